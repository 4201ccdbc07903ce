//! Streams in a small notation: Bedrock's events in, one line for each of the client's events out.
//!
//! Steps are separated by `;`. Text runs to the end of its step, with `\n` for a line break.
//!
//! | step | meaning |
//! |---|---|
//! | `messageStart`, `unknown` | the event |
//! | `start 0`, `start 0 tool ID NAME`, `start 0 server_tool` | `contentBlockStart` |
//! | `delta 0 text …`, `think …`, `sig …`, `redacted …`, `input …`, `cite …`, `other` | `contentBlockDelta` |
//! | `stop 0` | `contentBlockStop` |
//! | `messageStop REASON`, `messageStop REASON SEQUENCE` | `messageStop` |
//! | `metadata in=1 out=2 read=3 write=4 5m=3 1h=1` | `metadata`; other counts are absent |
//! | `end`, `fail CODE`, `ping` | the end, an exception, a keep-alive |

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use dialect::ReplyContext;
use dialect::error::{BedrockFailure, classify};
use dialect::reply::{CacheDetail, Citation, CitationLocation, CitationUnit, ConverseUsage};
use dialect::stream::{BlockDelta, BlockStart, ConverseEvent, StreamTranslator};
use serde_json::Value;

pub(crate) fn context() -> ReplyContext {
    ReplyContext {
        requested_model: "claude-opus-5-5".to_owned(),
        document_titles: vec![Some("Title of the client".to_owned())],
        ..ReplyContext::default()
    }
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Writes a stream to the folder of the external validators, if it is configured.
pub(crate) fn write_for_validators(stream: &[u8]) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the folder is a setting of the tests"
    )]
    let Some(folder) = std::env::var_os("SPILLWAY_JUDGE_DIR") else {
        return;
    };
    let folder = PathBuf::from(folder).join("sse").join("dialect");
    std::fs::create_dir_all(&folder).expect("the folder of the validators can be written");
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::fs::write(folder.join(format!("{number}.sse")), stream).expect("and each stream in it");
}

/// A translator after these steps, and the bytes that it wrote.
pub(crate) fn run(steps: &str, context: ReplyContext) -> (StreamTranslator, Vec<u8>) {
    let mut translator = StreamTranslator::new("msg_test", "req_test", context);
    let mut out = Vec::new();
    for step in steps
        .split(';')
        .map(str::trim)
        .filter(|step| !step.is_empty())
    {
        match step.split_once(' ').unwrap_or((step, "")) {
            ("end", _) => translator.finish(&mut out),
            ("ping", _) => translator.ping(&mut out),
            ("fail", code) => {
                let failure = BedrockFailure::ErrorResponse {
                    status: None,
                    code: Some(code),
                    message: None,
                    retry_after_s: None,
                };
                translator.fail(&classify(&failure), &mut out);
            }
            _ => translator.push(event(step), &mut out),
        }
    }
    if translator.end().is_some() {
        write_for_validators(&out);
    }
    (translator, out)
}

/// The client's events for these steps, one line for each.
pub(crate) fn translate(steps: &str) -> String {
    render(&run(steps, context()).1)
}

fn event(step: &str) -> ConverseEvent<'static> {
    let words: Vec<&str> = step.split(' ').collect();
    let index = || words[1].parse().expect("an index");
    match words.as_slice() {
        ["messageStart"] => ConverseEvent::MessageStart,
        ["unknown"] => ConverseEvent::Unknown,
        ["start", _] => ConverseEvent::BlockStart {
            index: index(),
            start: BlockStart::Other,
        },
        ["start", _, "tool", id, name] => ConverseEvent::BlockStart {
            index: index(),
            start: BlockStart::ToolUse {
                id: (*id).to_owned().into(),
                name: (*name).to_owned().into(),
            },
        },
        ["start", _, "server_tool"] => ConverseEvent::BlockStart {
            index: index(),
            start: BlockStart::ServerToolUse,
        },
        ["delta", _, kind, ..] => {
            let text = step
                .splitn(4, ' ')
                .nth(3)
                .unwrap_or_default()
                .replace("\\n", "\n");
            ConverseEvent::BlockDelta {
                index: index(),
                delta: delta(kind, text),
            }
        }
        ["stop", _] => ConverseEvent::BlockStop { index: index() },
        ["messageStop", reason, rest @ ..] => ConverseEvent::MessageStop {
            stop_reason: (*reason).to_owned().into(),
            stop_sequence: rest.first().map(|sequence| (*sequence).to_owned().into()),
        },
        ["metadata", counts @ ..] => ConverseEvent::Metadata(usage(counts)),
        _ => panic!("not a step: {step}"),
    }
}

fn delta(kind: &str, text: String) -> BlockDelta<'static> {
    match kind {
        "text" => BlockDelta::Text(text.into()),
        "think" => BlockDelta::Reasoning(text.into()),
        "sig" => BlockDelta::Signature(text.into()),
        "redacted" => BlockDelta::Redacted(text.into_bytes().into()),
        "input" => BlockDelta::ToolInput(text.into()),
        "cite" => BlockDelta::Citation(Citation {
            title: Some("document-1".to_owned()),
            source: None,
            cited_text: text,
            location: Some(CitationLocation {
                unit: CitationUnit::DocumentPage,
                index: 0,
                start: 1,
                end: 2,
            }),
        }),
        "other" => BlockDelta::Unknown,
        _ => panic!("not a delta: {kind}"),
    }
}

fn usage(counts: &[&str]) -> ConverseUsage {
    let text = |name: &str| -> Option<i64> {
        let count = counts
            .iter()
            .find_map(|count| count.strip_prefix(name)?.strip_prefix('='))?;
        Some(count.parse().expect("a count"))
    };
    let living = |ttl: &str| {
        text(ttl).map(|input_tokens| CacheDetail {
            ttl: ttl.to_owned(),
            input_tokens,
        })
    };
    let details: Vec<_> = [living("5m"), living("1h")].into_iter().flatten().collect();
    ConverseUsage {
        input_tokens: text("in"),
        output_tokens: text("out"),
        cache_read_input_tokens: text("read"),
        cache_write_input_tokens: text("write"),
        cache_details: (!details.is_empty()).then_some(details),
    }
}

/// The frames of a stream, checked, one line for each.
pub(crate) fn render(out: &[u8]) -> String {
    let text = std::str::from_utf8(out).expect("UTF-8");
    let mut lines = String::new();
    for frame in text.split_terminator("\n\n") {
        let (event, data) = frame.split_once('\n').expect("two lines");
        let name = event.strip_prefix("event: ").expect("an event line");
        let data = data.strip_prefix("data: ").expect("a data line");
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(data["type"], name, "the name stands twice");
        writeln!(lines, "{}", line(name, &data)).unwrap();
    }
    lines
}

fn line(name: &str, data: &Value) -> String {
    let index = &data["index"];
    match name {
        "message_start" => {
            let message = &data["message"];
            format!(
                "message_start {} {}",
                word(&message["id"]),
                word(&message["model"])
            )
        }
        "content_block_start" => {
            let block = &data["content_block"];
            let mut line = format!("content_block_start {index} {}", word(&block["type"]));
            for member in ["id", "name", "data", "citations"] {
                if let Some(value) = block.get(member) {
                    write!(line, " {}", word(value)).unwrap();
                }
            }
            line
        }
        "content_block_delta" => {
            let delta = &data["delta"];
            let kind = word(&delta["type"]);
            let added = ["text", "thinking", "signature", "partial_json", "citation"]
                .iter()
                .find_map(|member| delta.get(*member))
                .expect("a delta adds something");
            format!("content_block_delta {index} {kind} {}", word(added))
        }
        "content_block_stop" => format!("content_block_stop {index}"),
        "message_delta" => {
            let (delta, usage) = (&data["delta"], &data["usage"]);
            let mut line = format!("message_delta {}", word(&delta["stop_reason"]));
            for (label, member) in [
                ("in", "input_tokens"),
                ("out", "output_tokens"),
                ("read", "cache_read_input_tokens"),
                ("write", "cache_creation_input_tokens"),
            ] {
                write!(line, " {label}={}", usage[member]).unwrap();
            }
            if !delta["stop_sequence"].is_null() {
                write!(line, " sequence={}", word(&delta["stop_sequence"])).unwrap();
            }
            if let Some(results) = delta.get("safeguard_results") {
                write!(line, " safeguards={results}").unwrap();
            }
            line
        }
        "error" => format!(
            "error {} {}",
            word(&data["error"]["type"]),
            word(&data["request_id"])
        ),
        _ => name.to_owned(),
    }
}

/// A string without its quotes and with visible line breaks; empty for an absent value.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('\n', "\\n"),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
