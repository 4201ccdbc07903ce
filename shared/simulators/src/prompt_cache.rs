//! The prompt cache of a simulated model: token counts as the service would charge them.
//!
//! A request is a sequence of segments: tools, system, messages. Some segments end in a breakpoint. The prefix
//! up to a breakpoint is written to the cache, and the longest cached prefix is read from it
//! (<https://docs.claude.com/en/docs/build-with-claude/prompt-caching>). Unlike the real cache, this one has no
//! minimum length, looks back over any number of segments, and expires nothing.

use std::collections::HashSet;
use std::sync::Mutex;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::json::{at, elements, text};
use super::script::{Content, Usage};
use crate::lock::lock;

/// The maximum number of cached prefixes; beyond it the cache is cleared.
const KEPT: usize = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeToLive {
    FiveMinutes,
    Hour,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    text: String,
    breakpoint: Option<TimeToLive>,
}

/// A request as segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt(Vec<Segment>);

#[derive(Debug, Default)]
pub(super) struct PromptCache {
    written: Mutex<HashSet<[u8; 32]>>,
}

impl PromptCache {
    pub(super) fn clear(&self) {
        lock(&self.written).clear();
    }

    /// The token counts of a request with this output. Writes its prefixes to the cache.
    pub(super) fn charge(&self, model: &str, prompt: &Prompt, output: &[Content]) -> Usage {
        let mut written = lock(&self.written);
        if written.len() > KEPT {
            written.clear();
        }
        let mut prefix = Sha256::new_with_prefix(model);
        let mut read = 0;
        let mut total = 0;
        let mut breakpoints = Vec::new();
        for segment in &prompt.0 {
            prefix.update(
                u64::try_from(segment.text.len())
                    .unwrap_or(u64::MAX)
                    .to_be_bytes(),
            );
            prefix.update(&segment.text);
            total += tokens(&segment.text);
            let digest: [u8; 32] = prefix.clone().finalize().into();
            if written.contains(&digest) {
                read = total;
            }
            if let Some(time_to_live) = segment.breakpoint {
                breakpoints.push((digest, total, time_to_live));
            }
        }
        let last = breakpoints.last().map_or(0, |(_, total, _)| *total);
        let mut usage = Usage {
            cache_read: read.min(last),
            ..Usage::default()
        };
        let mut reached = usage.cache_read;
        for (digest, total, time_to_live) in breakpoints {
            written.insert(digest);
            let more = total.saturating_sub(reached);
            reached = reached.max(total);
            match time_to_live {
                TimeToLive::FiveMinutes => usage.cache_write_5m += more,
                TimeToLive::Hour => usage.cache_write_1h += more,
            }
        }
        usage.input = total.saturating_sub(reached).max(1);
        usage.output = output.iter().map(output_tokens).sum();
        usage
    }
}

/// The approximate number of tokens: one for four characters.
fn tokens(text: &str) -> u64 {
    u64::try_from(text.len() / 4).unwrap_or(u64::MAX) + 1
}

pub(super) fn output_tokens(content: &Content) -> u64 {
    match content {
        Content::Cited(cited) => tokens(&cited.text),
        Content::Text(text) | Content::Thinking(text) | Content::RedactedThinking(text) => {
            tokens(text)
        }
        Content::Tool(call) => tokens(&call.name) + tokens(&call.input.to_string()),
    }
}

impl Prompt {
    /// Whether any segment ends in a breakpoint.
    pub(super) fn has_breakpoint(&self) -> bool {
        self.0.iter().any(|segment| segment.breakpoint.is_some())
    }

    /// The approximate number of tokens.
    pub(super) fn tokens(&self) -> u64 {
        self.0.iter().map(|segment| tokens(&segment.text)).sum()
    }

    /// Reads a Messages API body. `cache_control` marks its block, and is not part of the segment.
    pub(super) fn from_messages(body: &Value) -> Self {
        let mut prompt = Self(Vec::new());
        for tool in elements(at(body, "/tools")) {
            prompt.push_block("tool", tool);
        }
        prompt.push_content("system", at(body, "/system"));
        for message in elements(at(body, "/messages")) {
            let role = text(message, "/role").unwrap_or_default();
            prompt.push_content(role, at(message, "/content"));
        }
        prompt
    }

    fn push_content(&mut self, role: &str, content: &Value) {
        if content.is_string() {
            self.push_block(role, &json!({ "type": "text", "text": content }));
        }
        for block in elements(content) {
            self.push_block(role, block);
        }
    }

    fn push_block(&mut self, role: &str, block: &Value) {
        let mut block = block.clone();
        let marked = block
            .as_object_mut()
            .and_then(|block| block.shift_remove("cache_control"));
        let breakpoint = marked
            .filter(Value::is_object)
            .map(|marked| time_to_live(&marked));
        self.0.push(Segment {
            text: format!("{role}:{block}"),
            breakpoint,
        });
    }

    /// Reads a Converse body. A `cachePoint` marks the block before it.
    pub(super) fn from_converse(body: &Value) -> Self {
        let mut prompt = Self(Vec::new());
        prompt.push_blocks("tool", at(body, "/toolConfig/tools"));
        prompt.push_blocks("system", at(body, "/system"));
        for message in elements(at(body, "/messages")) {
            prompt.push_blocks(
                text(message, "/role").unwrap_or_default(),
                at(message, "/content"),
            );
        }
        prompt
    }

    fn push_blocks(&mut self, role: &str, blocks: &Value) {
        for block in elements(blocks) {
            match (block.get("cachePoint"), self.0.last_mut()) {
                (None, _) => {
                    self.0.push(Segment {
                        text: format!("{role}:{block}"),
                        breakpoint: None,
                    });
                }
                (Some(point), Some(last)) => last.breakpoint = Some(time_to_live(point)),
                (Some(_), None) => {}
            }
        }
    }
}

fn time_to_live(marked: &Value) -> TimeToLive {
    if at(marked, "/ttl") == "1h" {
        TimeToLive::Hour
    } else {
        TimeToLive::FiveMinutes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(texts: &[&str]) -> Value {
        let mut messages: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(at, text)| {
                let role = if at % 2 == 0 { "user" } else { "assistant" };
                json!({ "role": role, "content": [{ "type": "text", "text": text }] })
            })
            .collect();
        let last = texts.len() - 1;
        messages[last]["content"][0]["cache_control"] = json!({ "type": "ephemeral" });
        json!({ "messages": messages })
    }

    #[test]
    fn next_turn_reads_the_cached_prefix() {
        let cache = PromptCache::default();
        let first = cache.charge(
            "m",
            &Prompt::from_messages(&turn(&["a long question"])),
            &[],
        );
        assert_eq!((first.cache_read, first.input), (0, 1));
        assert!(first.cache_write_5m > 0);

        let next = turn(&["a long question", "an answer", "another question"]);
        let second = cache.charge("m", &Prompt::from_messages(&next), &[]);
        assert_eq!(second.cache_read, first.cache_write_5m);
        assert!(second.cache_write_5m > 0);
    }

    #[test]
    fn changed_prefix_or_other_model_reads_nothing_from_the_cache() {
        let cache = PromptCache::default();
        cache.charge("m", &Prompt::from_messages(&turn(&["a question"])), &[]);
        let changed = Prompt::from_messages(&turn(&["A question", "answer", "more"]));
        assert_eq!(cache.charge("m", &changed, &[]).cache_read, 0);
        let same = Prompt::from_messages(&turn(&["a question"]));
        assert_eq!(cache.charge("other", &same, &[]).cache_read, 0);
        assert_ne!(cache.charge("m", &same, &[]).cache_read, 0);
    }

    #[test]
    fn cache_point_applies_to_the_preceding_block() {
        let body = json!({
            "system": [{ "text": "rules" }, { "cachePoint": { "type": "default", "ttl": "1h" } }],
            "messages": [{ "role": "user", "content": [{ "text": "hello" }] }],
        });
        let cache = PromptCache::default();
        let usage = cache.charge("m", &Prompt::from_converse(&body), &[]);
        assert_eq!(usage.cache_write_5m, 0);
        assert!(usage.cache_write_1h > 0 && usage.input > 0);
    }
}
