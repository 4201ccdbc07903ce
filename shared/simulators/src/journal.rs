//! The requests that arrived, as tests read them.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::service::Request;

/// The maximum total size of the kept bodies, in bytes.
const KEPT_BYTES: usize = 64 << 20;

/// The maximum number of kept requests.
const KEPT_REQUESTS: usize = 1000;

/// The headers whose values `GET /_simulator/requests` hashes.
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "x-api-key",
    "cookie",
    "proxy-authorization",
];

/// A received request, as tests read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedRequest {
    /// Counts from 0 since the start.
    pub index: u64,
    /// The method.
    pub method: String,
    /// The path with its query, as on the wire.
    pub path: String,
    /// The headers in order of arrival, names in lower case. Bytes above ASCII appear as Latin-1 characters.
    pub headers: Vec<(String, String)>,
    /// The body. Old bodies are dropped when all together exceed 64 MiB.
    pub body: Bytes,
    /// The status of the response; absent before the response and after a broken connection.
    pub status: Option<u16>,
}

impl ReceivedRequest {
    /// A request without a response so far. `target` is its path with the query.
    pub(super) fn from_request(request: &Request, target: &str) -> Self {
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
            status: None,
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

    /// The request as the control endpoint returns it. Credentials, which may be real, are hashed with SHA-256.
    pub(super) fn to_redacted_json(&self) -> Value {
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
            "status": self.status,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    next: u64,
    requests: VecDeque<ReceivedRequest>,
}

impl Journal {
    pub(super) fn requests(&self) -> Vec<ReceivedRequest> {
        self.requests.iter().cloned().collect()
    }

    /// Removes all requests. The count goes on.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
    }

    /// Adds a request, and returns its index.
    pub(super) fn add(&mut self, mut request: ReceivedRequest) -> u64 {
        let index = self.next;
        request.index = index;
        self.next += 1;
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
        index
    }

    /// Records the status of a response, if its request is still kept.
    pub(super) fn set_status(&mut self, index: u64, status: u16) {
        let mut newest_first = self.requests.iter_mut().rev();
        if let Some(request) = newest_first.find(|request| request.index == index) {
            request.status = Some(status);
        }
    }
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
