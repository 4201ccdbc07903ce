//! What is observed of one request: its response, the calls of both upstreams, and the breakers.

use serde::Serialize;
use serde_json::Value;

/// The observation of a request, or the expected one. Breakers and times are texts, as in the table of
/// results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// The HTTP status; absent when the client closed the connection before.
    pub status: Option<u16>,
    /// `answer`, the type of the error, or the kind of any other body.
    pub body: String,
    /// Whether the error came in a stream after its first content.
    pub begun: bool,
    /// The first word of `x-spillway-upstream`: the upstream that responded.
    pub leg: String,
    /// The `reason` in that header: the verdict on Plan's response, if Plan was called.
    pub reason: String,
    /// Whether the request was a probe whose response from Plan was delivered.
    pub probe: bool,
    /// The reason of an open breaker.
    pub because: Option<String>,
    /// The time until the next probe of Plan, as in the header.
    pub until: Option<String>,
    /// The header `x-spillway-error`.
    pub error: Option<String>,
    /// The breakers of the caller before the request.
    pub breaker_before: String,
    /// The breakers of the caller after the response.
    pub breaker_after: String,
    /// The number of calls of Plan.
    pub plan_calls: usize,
    /// The number of calls of Bedrock.
    pub bedrock_calls: usize,
}

impl Observation {
    /// The verdict on Plan's response; absent when Plan was not called, or no header names it.
    pub fn verdict(&self) -> Option<&str> {
        let is_asked = !matches!(self.reason.as_str(), "" | "breaker_open" | "session");
        is_asked.then_some(&*self.reason)
    }

    /// Each difference from `expected` as a sentence.
    pub(super) fn differences(&self, expected: &Self) -> Vec<String> {
        let (observed, expected) = (self.fields(), expected.fields());
        let pairs = observed.iter().zip(&expected);
        pairs
            .filter(|(observed, expected)| observed != expected)
            .map(|((name, observed), (_, expected))| {
                format!("{name} is {observed}, expected {expected}")
            })
            .collect()
    }

    /// All fields as texts. The pattern is exhaustive, so a new field cannot be left out.
    fn fields(&self) -> [(&'static str, String); 13] {
        let Self {
            status,
            body,
            begun,
            leg,
            reason,
            probe,
            because,
            until,
            error,
            breaker_before,
            breaker_after,
            plan_calls,
            bedrock_calls,
        } = self;
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        [
            ("status", or_none(&status.map(|status| status.to_string()))),
            ("body", body.clone()),
            ("begun", begun.to_string()),
            ("leg", leg.clone()),
            ("reason", reason.clone()),
            ("probe", probe.to_string()),
            ("because", or_none(because)),
            ("until", or_none(until)),
            ("error", or_none(error)),
            ("breaker_before", breaker_before.clone()),
            ("breaker_after", breaker_after.clone()),
            ("plan_calls", plan_calls.to_string()),
            ("bedrock_calls", bedrock_calls.to_string()),
        ]
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// At its end.
    Orderly,
    /// With the connection.
    Broken,
}

/// The kind of a body, and whether it is an error in a stream after its first content.
pub(super) fn body(content_type: &str, bytes: &[u8], ending: BodyEnd) -> (String, bool) {
    let text = String::from_utf8_lossy(bytes);
    let kind = content_type.split(';').next().unwrap_or_default();
    let words = match (kind, ending) {
        (_, BodyEnd::Broken) => "broken off".to_owned(),
        ("text/event-stream", _) => return stream(&text),
        ("application/json", _) => {
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            match at(&value, "/type") {
                "message" => "answer".to_owned(),
                "error" => error_type(&value),
                _ => "no known shape".to_owned(),
            }
        }
        (kind, _) => kind.to_owned(),
    };
    (words, false)
}

fn stream(text: &str) -> (String, bool) {
    let mut last = "";
    let mut has_content = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("event: ") {
            has_content |= name == "content_block_start";
            last = name;
        } else if let Some(data) = line.strip_prefix("data: ")
            && last == "error"
        {
            let value: Value = serde_json::from_str(data).unwrap_or_default();
            return (error_type(&value), has_content);
        }
    }
    let is_whole = last == "message_stop";
    (
        if is_whole { "answer" } else { "cut off" }.to_owned(),
        false,
    )
}

fn error_type(value: &Value) -> String {
    match at(value, "/error/type") {
        "" => "an error without a type".to_owned(),
        kind => kind.to_owned(),
    }
}

fn at<'v>(value: &'v Value, pointer: &str) -> &'v str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_an_answer_only_when_it_is_complete() {
        const STREAM: &str = "text/event-stream; charset=utf-8";
        const JSON: &str = "application/json";
        let event = |name: &str| format!("event: {name}\ndata: {{\"type\":\"{name}\"}}\n\n");
        let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
        let begun = event("message_start") + &event("content_block_start");
        let whole = begun.clone() + &event("message_stop");
        for (kind, text, expected, begun) in [
            (STREAM, whole.as_str(), "answer", false),
            (STREAM, &begun, "cut off", false),
            (STREAM, "", "cut off", false),
            (STREAM, error, "overloaded_error", false),
            (STREAM, &(begun.clone() + error), "overloaded_error", true),
            (STREAM, &(whole.clone() + error), "overloaded_error", true),
            (
                STREAM,
                "event: error\ndata: {}\n",
                "an error without a type",
                false,
            ),
            (JSON, "{\"type\":\"message\"}", "answer", false),
            (
                JSON,
                "{\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}",
                "api_error",
                false,
            ),
            (JSON, "{}", "no known shape", false),
            (JSON, "", "no known shape", false),
            ("text/html", "<html>", "text/html", false),
        ] {
            let bytes = text.as_bytes();
            let read = body(kind, bytes, BodyEnd::Orderly);
            assert_eq!(read, (expected.to_owned(), begun), "{text}");
            assert_eq!(body(kind, bytes, BodyEnd::Broken).0, "broken off", "{text}");
        }
    }
}
