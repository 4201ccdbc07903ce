//! The message that a client reads from a response, and its differences from the expected one.

use serde_json::{Map, Value, json};
use tests::Answer;

/// A response as a client has read it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) status: u16,
    /// The message; of a failed stream, the part before the failure.
    pub(super) message: Value,
    /// Type and message of the error in the body or in the stream.
    pub(super) error: Option<(String, String)>,
    pub(super) in_stream: bool,
}

/// Reads a response.
///
/// # Errors
/// The way in which a stream violates the protocol.
pub(super) fn received(answer: &Answer) -> Result<Received, String> {
    let in_stream = answer
        .header("content-type")
        .starts_with("text/event-stream");
    let mut received = Received {
        status: answer.status,
        message: Value::Null,
        error: None,
        in_stream,
    };
    if in_stream {
        let mut stream = Stream::default();
        for event in answer.text().split_terminator("\n\n") {
            stream
                .take(event)
                .map_err(|what| format!("{what} in {event}"))?;
        }
        if stream.error.is_none() && !stream.ended {
            return Err(format!("the stream has no end: {}", answer.text()));
        }
        received.message = stream.message;
        received.error = stream.error;
    } else {
        let body = serde_json::from_slice::<Value>(&answer.body);
        let body = body.map_err(|error| format!("{error}: {:?}", answer.body))?;
        if body["type"] == "error" {
            received.error = Some(error_of(&body));
        } else {
            received.message = body;
        }
    }
    Ok(received)
}

fn error_of(body: &Value) -> (String, String) {
    let word = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    (word("type"), word("message"))
}

#[derive(Default)]
struct Stream {
    message: Value,
    open: Option<(u64, String)>,
    ended: bool,
    error: Option<(String, String)>,
}

impl Stream {
    fn take(&mut self, event: &str) -> Result<(), String> {
        let (name, data) = event
            .split_once("\ndata: ")
            .and_then(|(name, data)| Some((name.strip_prefix("event: ")?, data)))
            .ok_or("no event")?;
        let data: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
        if data["type"] != name {
            return Err("another type".to_owned());
        }
        if self.ended || self.error.is_some() {
            return Err("an event after the end".to_owned());
        }
        match name {
            "ping" => {}
            "error" => self.error = Some(error_of(&data)),
            "message_start" if self.message.is_null() => self.message = data["message"].clone(),
            _ if self.message.is_null() => return Err("no message_start before it".to_owned()),
            "content_block_start" => return self.start(&data),
            "content_block_delta" => return self.delta(&data),
            "content_block_stop" => return self.stop(&data),
            "message_delta" if self.open.is_none() => {
                for (name, value) in members(&data["delta"]) {
                    self.message[name.as_str()] = value.clone();
                }
                for (name, value) in members(&data["usage"]) {
                    self.message["usage"][name.as_str()] = value.clone();
                }
            }
            "message_stop" if self.open.is_none() => self.ended = true,
            "message_delta" | "message_stop" | "message_start" => {
                return Err("out of place".to_owned());
            }
            // Clients ignore unknown events.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, data: &Value) -> Result<(), String> {
        let content = self.message["content"].as_array_mut().ok_or("no content")?;
        if self.open.is_some() || data["index"] != content.len() {
            return Err("out of place".to_owned());
        }
        let index = data["index"].as_u64().ok_or("no index")?;
        content.push(data["content_block"].clone());
        self.open = Some((index, String::new()));
        Ok(())
    }

    fn delta(&mut self, data: &Value) -> Result<(), String> {
        let (index, json) = self.open.as_mut().ok_or("no open block")?;
        if data["index"] != *index {
            return Err("of another block".to_owned());
        }
        let content = self.message["content"].as_array_mut().ok_or("no content")?;
        let block = content.last_mut().ok_or("no block")?;
        let delta = &data["delta"];
        let mut append = |name: &str| {
            let text = format!(
                "{}{}",
                block[name].as_str().unwrap_or_default(),
                delta[name].as_str().unwrap_or_default()
            );
            block[name] = text.into();
        };
        match delta["type"].as_str().unwrap_or_default() {
            "text_delta" => append("text"),
            "thinking_delta" => append("thinking"),
            "signature_delta" => append("signature"),
            "input_json_delta" => {
                json.push_str(delta["partial_json"].as_str().unwrap_or_default());
            }
            "citations_delta" => {
                if !block["citations"].is_array() {
                    block["citations"] = json!([]);
                }
                let citations = block["citations"].as_array_mut().ok_or("no list")?;
                citations.push(delta["citation"].clone());
            }
            _ => {}
        }
        Ok(())
    }

    fn stop(&mut self, data: &Value) -> Result<(), String> {
        let (index, json) = self.open.take().ok_or("no open block")?;
        if data["index"] != index {
            return Err("of another block".to_owned());
        }
        let content = self.message["content"].as_array_mut().ok_or("no content")?;
        let block = content.last_mut().ok_or("no block")?;
        if !json.is_empty() {
            let input = serde_json::from_str(&json);
            block["input"] = input.map_err(|error| format!("{error}: {json}"))?;
        }
        Ok(())
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// The differences of a message from the expected one.
pub(super) fn differences(expect: &Value, message: &Value) -> Vec<String> {
    let content: Vec<Value> = message["content"]
        .as_array()
        .into_iter()
        .flatten()
        .map(comparable)
        .collect();
    let is_blank = |block: &Value| {
        block["type"] == "text" && block["text"].as_str().is_some_and(|t| t.trim().is_empty())
    };
    let mut differences = Vec::new();
    for (name, expected) in members(expect) {
        let found = match name.as_str() {
            "or_error" => continue,
            "content" => json!(content),
            "content_without_blank_text" => {
                let blocks = content.iter().filter(|block| !is_blank(block));
                blocks.cloned().collect()
            }
            "text" => {
                let texts = content.iter().filter_map(|block| block["text"].as_str());
                texts.collect::<String>().into()
            }
            "citations" => {
                let lists = content
                    .iter()
                    .filter_map(|block| block["citations"].as_array());
                lists.flatten().cloned().collect()
            }
            "usage" => {
                let counts = members(expected);
                counts
                    .map(|(name, _)| (name.clone(), comparable(&message["usage"][name.as_str()])))
                    .collect()
            }
            other => comparable(&message[other]),
        };
        if found != *expected {
            differences.push(format!("{name} is {found}, expected {expected}"));
        }
    }
    differences
}

/// A block without empty members and without those that the walk adds: native responses pass through
/// unchanged.
fn comparable(block: &Value) -> Value {
    let none = [json!([]), Value::Null];
    match block {
        Value::Array(list) => list.iter().map(comparable).collect(),
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, value)| {
                name.as_str() != "added_later"
                    && (name.as_str() != "citations" || !none.contains(value))
            });
            kept.map(|(name, value)| (name.clone(), comparable(value)))
                .collect()
        }
        other => other.clone(),
    }
}
