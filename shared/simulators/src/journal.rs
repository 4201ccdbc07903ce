//! What arrived: requests as a test looks at them, and what became of their answers.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::server::Request;

/// How much of the bodies that arrived is kept, all together.
const KEPT_BYTES: usize = 64 << 20;

/// How many requests are kept.
const KEPT_REQUESTS: usize = 1000;

/// The header values that `GET /_simulator/requests` does not show.
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "x-api-key",
    "cookie",
    "proxy-authorization",
];

/// A request that arrived, as a test looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Counts from 0 since the start or the last reset.
    pub index: u64,
    /// The method.
    pub method: String,
    /// The path with its query, as on the wire.
    pub path: String,
    /// The headers in the order they came, names in lower case. Bytes that are no ASCII appear as
    /// the Latin-1 characters of the same numbers.
    pub headers: Vec<(String, String)>,
    /// The body. Old bodies are let go of when they all together are more than 64 MiB.
    pub body: Bytes,
    /// The length of the body on the wire.
    pub body_bytes: usize,
    /// SHA-256 of the body in lower-case hexadecimal.
    pub body_sha256: String,
    /// The status it was answered with; none if the connection was broken or held instead.
    pub status: Option<u16>,
    /// What became of the answer.
    pub outcome: Outcome,
}

impl Received {
    /// A request that is just in. `target` is its path with the query.
    pub(super) fn of(request: &Request, target: &str) -> Self {
        let headers = request.headers.iter().map(|(name, value)| {
            let value = value
                .as_bytes()
                .iter()
                .map(|byte| char::from(*byte))
                .collect();
            (name.as_str().to_owned(), value)
        });
        Self {
            index: 0,
            method: request.method.to_string(),
            path: target.to_owned(),
            headers: headers.collect(),
            body: request.body.clone(),
            body_bytes: request.body.len(),
            body_sha256: hex_sha256(&request.body),
            status: None,
            outcome: Outcome::Open,
        }
    }

    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// A request as the control endpoint shows it: of a credential only its SHA-256, because the
    /// client may have sent a real one.
    pub(super) fn shown(&self) -> Value {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| {
                if CREDENTIALS.contains(&name.as_str()) {
                    json!([name, format!("sha256:{}", hex_sha256(value.as_bytes()))])
                } else {
                    json!([name, value])
                }
            })
            .collect();
        json!({
            "index": self.index,
            "method": self.method,
            "path": self.path,
            "headers": headers,
            "body": String::from_utf8_lossy(&self.body),
            "body_bytes": self.body_bytes,
            "body_sha256": self.body_sha256,
            "status": self.status,
            "outcome": self.outcome.name(),
        })
    }
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is still going out.
    Open,
    /// It went out to its end, be it the end of a broken answer.
    Sent,
    /// The client went away before it was out.
    Abandoned,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sent => "sent",
            Self::Abandoned => "abandoned",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    next: u64,
    /// Tells requests of before a reset from those after it.
    era: u64,
    requests: VecDeque<Received>,
}

impl Journal {
    pub(super) fn requests(&self) -> Vec<Received> {
        self.requests.iter().cloned().collect()
    }

    /// Forgets everything and counts from 0. Answers still going out are noted nowhere.
    pub(super) fn begin_anew(&mut self) {
        *self = Self {
            era: self.era + 1,
            ..Self::default()
        };
    }

    pub(super) fn take_down(&mut self, mut request: Received) -> Ticket {
        request.index = self.next;
        self.next += 1;
        let ticket = Ticket {
            era: self.era,
            index: request.index,
        };
        self.requests.push_back(request);
        if self.requests.len() > KEPT_REQUESTS {
            self.requests.pop_front();
        }
        let mut kept: usize = self.requests.iter().map(|request| request.body.len()).sum();
        for old in &mut self.requests {
            if kept <= KEPT_BYTES {
                break;
            }
            kept -= old.body.len();
            old.body = Bytes::new();
        }
        ticket
    }

    pub(super) fn request_mut(&mut self, ticket: Ticket) -> Option<&mut Received> {
        let current = ticket.era == self.era;
        self.requests
            .iter_mut()
            .rev()
            .find(|request| current && request.index == ticket.index)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    era: u64,
    index: u64,
}

pub(super) fn hex_sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = std::fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}"));
            hex
        })
}
