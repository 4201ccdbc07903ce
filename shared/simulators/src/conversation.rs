//! The parts of a request, of either API, that the simulated model responds to, and its response.

use serde_json::{Value, json};

use super::json::{at, elements, text};
use super::script::{Citation, Cited, Content, Step};
use super::{citation, marker};

/// The maximum length of a quoted prompt or tool result, in characters.
const QUOTED: usize = 400;

/// The parts of a request on which the response depends.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Conversation {
    /// The user's text since the last assistant message, with markers and reminders.
    newest_text: String,
    /// The tool results since the last assistant message.
    tool_results: Vec<String>,
    /// The names of the request's tools.
    tools: Vec<String>,
    thinking: Thinking,
    /// The JSON schema of the response.
    schema: Option<Value>,
    /// The passages that the response cites.
    passages: Vec<Citation>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Thinking {
    #[default]
    Off,
    /// Thinking without its text in the response.
    Hidden,
    Shown,
}

impl Conversation {
    /// Reads a Messages API body.
    pub(super) fn from_messages(body: &Value) -> Self {
        let mut conversation = Self {
            tools: names(at(body, "/tools"), |tool| at(tool, "/name")),
            thinking: thinking(at(body, "/thinking")),
            schema: body.pointer("/output_config/format/schema").cloned(),
            passages: citation::from_messages(body),
            ..Self::default()
        };
        for message in newest_user_messages(at(body, "/messages")) {
            if let Some(text) = text(message, "/content") {
                conversation.say(text);
            }
            for block in elements(at(message, "/content")) {
                match text(block, "/type") {
                    Some("text") => conversation.say(text(block, "/text").unwrap_or_default()),
                    Some("tool_result") => {
                        let content = at(block, "/content");
                        let text = content
                            .as_str()
                            .map_or_else(|| joined(content), str::to_owned);
                        conversation.tool_results.push(text);
                    }
                    _ => {}
                }
            }
        }
        conversation
    }

    /// Reads a Converse body.
    pub(super) fn from_converse(body: &Value) -> Self {
        let schema = body.pointer("/outputConfig/textFormat/structure/jsonSchema/schema");
        let mut conversation = Self {
            tools: names(at(body, "/toolConfig/tools"), |tool| {
                at(tool, "/toolSpec/name")
            }),
            thinking: thinking(at(body, "/additionalModelRequestFields/thinking")),
            schema: schema
                .and_then(Value::as_str)
                .and_then(|text| serde_json::from_str(text).ok()),
            passages: citation::from_converse(body),
            ..Self::default()
        };
        for message in newest_user_messages(at(body, "/messages")) {
            for block in elements(at(message, "/content")) {
                if let Some(text) = text(block, "/text") {
                    conversation.say(text);
                } else if at(block, "/toolResult").is_object() {
                    conversation
                        .tool_results
                        .push(joined(at(block, "/toolResult/content")));
                }
            }
        }
        conversation
    }

    fn say(&mut self, text: &str) {
        if !self.newest_text.is_empty() {
            self.newest_text.push('\n');
        }
        self.newest_text.push_str(text);
    }

    /// The step of the first marker for this simulator.
    pub(super) fn step(&self, whom: &str) -> Option<Result<Step, String>> {
        marker::step(&self.newest_text, whom)
    }

    /// The response of the simulated model with this name.
    pub(super) fn answer(&self, name: &str) -> Vec<Content> {
        let mut content = Vec::new();
        match self.thinking {
            Thinking::Off => {}
            Thinking::Hidden => content.push(Content::Thinking(String::new())),
            Thinking::Shown => {
                content.push(Content::Thinking(
                    "A simulator has nothing to think about.".into(),
                ));
            }
        }
        if let Some(schema) = &self.schema {
            content.push(Content::Text(instance(schema).to_string()));
            return content;
        }
        let (calls, unknown): (Vec<_>, Vec<_>) = marker::tool_calls(&self.newest_text)
            .into_iter()
            .partition(|call| self.tools.contains(&call.name));
        if !calls.is_empty() {
            let names: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
            content.push(Content::Text(format!(
                "{name}: calling {}.",
                names.join(", ")
            )));
            content.extend(calls.into_iter().map(Content::Tool));
            return content;
        }
        content.push(Content::Text(if !self.tool_results.is_empty() {
            format!(
                "{name}: the tool answered: {}",
                quoted(&self.tool_results.join("\n"))
            )
        } else if let [call, ..] = unknown.as_slice() {
            format!("{name}: this request offers no tool called {}.", call.name)
        } else {
            let prompt = without_reminders(&self.newest_text);
            format!(
                "{name}: you said “{}”. No model has read it; this answer is made on your own \
                 machine.",
                quoted(prompt.trim())
            )
        }));
        for (number, passage) in self.passages.iter().enumerate() {
            // The text between two cited sentences is a separate block.
            if number > 0 {
                content.push(Content::Text(" ".to_owned()));
            }
            content.push(Content::Cited(Cited {
                text: passage.cited_text.trim().to_owned(),
                citations: vec![passage.clone()],
            }));
        }
        content
    }
}

/// The user messages since the last assistant message.
fn newest_user_messages(messages: &Value) -> impl Iterator<Item = &Value> {
    let messages = elements(messages);
    let answered = messages
        .iter()
        .rposition(|message| at(message, "/role") == "assistant");
    let start = answered.map_or(0, |at| at + 1);
    messages
        .get(start..)
        .unwrap_or_default()
        .iter()
        .filter(|message| at(message, "/role") == "user")
}

fn names<'a>(tools: &'a Value, name: impl Fn(&'a Value) -> &'a Value) -> Vec<String> {
    elements(tools)
        .iter()
        .filter_map(|tool| name(tool).as_str().map(str::to_owned))
        .collect()
}

fn thinking(config: &Value) -> Thinking {
    match text(config, "/type") {
        Some("enabled" | "adaptive" | "between_tools") if at(config, "/display") == "omitted" => {
            Thinking::Hidden
        }
        Some("enabled" | "adaptive" | "between_tools") => Thinking::Shown,
        _ => Thinking::Off,
    }
}

/// The texts of a list of blocks, one per line.
fn joined(blocks: &Value) -> String {
    let texts: Vec<_> = elements(blocks)
        .iter()
        .filter_map(|block| text(block, "/text"))
        .collect();
    texts.join("\n")
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The text without Claude Code's reminders.
fn without_reminders(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, reminder)) = rest.split_once("<system-reminder>") {
        kept.push_str(before);
        rest = reminder
            .split_once("</system-reminder>")
            .map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

/// A value that matches a JSON schema of types, properties, choices and constants.
fn instance(schema: &Value) -> Value {
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = elements(at(schema, "/enum")).first() {
        return first.clone();
    }
    if let Some(first) = ["anyOf", "oneOf", "allOf"]
        .iter()
        .find_map(|k| elements(&schema[*k]).first())
    {
        return instance(first);
    }
    let kind = text(schema, "/type").or_else(|| text(schema, "/type/0"));
    match kind {
        Some("object") | None => at(schema, "/properties").as_object().map_or_else(
            || json!({}),
            |properties| {
                properties
                    .iter()
                    .map(|(name, of)| (name.clone(), instance(of)))
                    .collect()
            },
        ),
        Some("array") => json!([]),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        Some(_) => json!("Simulated"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(content: &[Content]) -> &str {
        match content.last() {
            Some(Content::Text(text)) => text,
            other => panic!("no text at the end: {other:?}"),
        }
    }

    #[test]
    fn plain_prompt_is_repeated_without_system_reminders() {
        let body = json!({ "messages": [
            { "role": "user", "content": "old [[tool:Bash]]" },
            { "role": "assistant", "content": "old answer" },
            { "role": "user", "content": [
                { "type": "text", "text": "<system-reminder>rules</system-reminder>" },
                { "type": "text", "text": "say hello" },
            ]},
            { "role": "system", "content": "effort" },
        ]});
        let answer = Conversation::from_messages(&body).answer("Simulated Claude plan");
        assert_eq!(
            text_of(&answer),
            "Simulated Claude plan: you said “say hello”. No model has read it; this answer is \
             made on your own machine.",
        );
    }

    #[test]
    fn a_marked_tool_is_called_and_its_result_is_quoted() {
        let tools = json!([{ "name": "Bash" }]);
        let first = json!({ "tools": tools, "messages": [
            { "role": "user", "content": "[[tool:Bash {\"command\":\"echo hi\"}]]" },
        ]});
        let answer = Conversation::from_messages(&first).answer("Sim");
        assert!(matches!(answer.last(), Some(Content::Tool(call)) if call.name == "Bash"));

        let second = json!({ "tools": tools, "messages": [
            { "role": "user", "content": "[[tool:Bash {\"command\":\"echo hi\"}]]" },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "Bash" }] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "t", "content": [
                    { "type": "text", "text": "hi" },
                ]},
            ]},
        ]});
        let answer = Conversation::from_messages(&second).answer("Sim");
        assert_eq!(text_of(&answer), "Sim: the tool answered: hi");
    }

    #[test]
    fn both_apis_give_the_same_conversation() {
        let messages = json!({
            "tools": [{ "name": "Bash" }],
            "thinking": { "type": "adaptive", "display": "omitted" },
            "messages": [{ "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "t", "content": "hi" },
                { "type": "text", "text": "and now?" },
            ]}],
        });
        let converse = json!({
            "toolConfig": { "tools": [{ "toolSpec": { "name": "Bash" } }, { "cachePoint": {} }] },
            "additionalModelRequestFields": {
                "thinking": { "type": "adaptive", "display": "omitted" },
            },
            "messages": [{ "role": "user", "content": [
                { "toolResult": { "toolUseId": "t", "content": [{ "text": "hi" }] } },
                { "text": "and now?" },
            ]}],
        });
        assert_eq!(
            Conversation::from_messages(&messages),
            Conversation::from_converse(&converse)
        );
    }

    #[test]
    fn answer_matches_the_requested_schema() {
        let body = json!({
            "output_config": { "format": { "type": "json_schema", "schema": {
                "type": "object",
                "properties": {
                    "title": { "type": "string" },
                    "kind": { "enum": ["a", "b"] },
                    "count": { "type": "integer", "minimum": 3 },
                    "tags": { "type": "array" },
                },
            }}},
            "messages": [{ "role": "user", "content": "title this" }],
        });
        let answer = Conversation::from_messages(&body).answer("Sim");
        assert_eq!(
            text_of(&answer),
            r#"{"title":"Simulated","kind":"a","count":3,"tags":[]}"#
        );
    }
}
