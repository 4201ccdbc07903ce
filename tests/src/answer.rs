//! A response as a client receives it.

use serde_json::Value;

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Parses an HTTP/1.1 response whose body ends with the connection or has a `content-length`.
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = bytes.split_at(end.expect("a whole head") + 4);
        let head = std::str::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let mut headers = http::HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        Self {
            status: status.parse().unwrap(),
            headers,
            body: body.to_vec(),
        }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The text of a header; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The names of the events of an event stream, without pings.
    pub fn events(&self) -> Vec<String> {
        let text = self.text();
        let names = text.lines().filter_map(|line| line.strip_prefix("event: "));
        names
            .filter(|name| *name != "ping")
            .map(str::to_owned)
            .collect()
    }

    /// The text content of a message, streamed or not.
    pub fn text_content(&self) -> String {
        let text = self.text();
        if !self.header("content-type").starts_with("text/event-stream") {
            let content = self.json()["content"].clone();
            let blocks = content.as_array().unwrap().iter();
            return blocks.filter_map(|block| block["text"].as_str()).collect();
        }
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
        events
            .filter_map(|event| Some(event["delta"]["text"].as_str()?.to_owned()))
            .collect()
    }

    /// The type and the message of an error, streamed or not.
    pub fn error(&self) -> (String, String) {
        let text = self.text();
        let data = text
            .split_once("event: error\ndata: ")
            .map_or(text.as_str(), |(_, data)| data);
        let value: Value = serde_json::from_str(data.lines().next().unwrap()).unwrap();
        assert_eq!(value["type"], "error", "{text}");
        let error = &value["error"];
        let word = |name: &str| error[name].as_str().unwrap().to_owned();
        (word("type"), word("message"))
    }
}
