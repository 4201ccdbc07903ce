//! Method and path in, [`Endpoint`] out.
//!
//! ```text
//! [/STAGE…]/ak/{access key}/v1/messages     the key in the path
//! [/STAGE]/v1/messages                      the key in `x-spillway-key`
//! ```
//!
//! A base URL that ends in `/v1` works too: `/v1/v1/messages` is `/v1/messages`. The query never matters
//! for routing, and no route redirects.

use http::{HeaderMap, Method};

use crate::request_kind::RequestKind;

/// The header that may carry the access key instead of the path (requirement R1.3).
pub(crate) const KEY_HEADER: &str = "x-spillway-key";

/// What a method and a path address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Endpoint<'a> {
    /// The front page: a cheap response without a key.
    Front,
    /// Liveness, without a key.
    Health,
    /// An API call under a key.
    Api {
        /// The access key as it was sent, not checked.
        key: &'a str,
        /// What is called. Whether a message is streamed is not known yet.
        kind: RequestKind,
        /// The path of the request to Plan, beginning with `/v1/`.
        plan_path: &'a str,
    },
    /// Nothing that Spillway serves.
    Unknown,
}

impl<'a> Endpoint<'a> {
    pub(crate) fn from_request(method: &Method, path: &'a str, headers: &'a HeaderMap) -> Self {
        if let Some((key, rest)) = split_at_key(path) {
            return match rest {
                // Claude Code requests /api/hello to see whether the host is there. Any status is
                // accepted; answer without doing work.
                "" | "/" | "/api/hello" => front(method),
                _ => api(method, key, rest),
            };
        }
        match path {
            "" | "/" => front(method),
            "/health" => match front(method) {
                Endpoint::Front => Endpoint::Health,
                other => other,
            },
            _ => match headers.get(KEY_HEADER).and_then(|key| key.to_str().ok()) {
                Some(key) => api(method, key, after_stage(path)),
                None => Endpoint::Unknown,
            },
        }
    }
}

fn front<'a>(method: &Method) -> Endpoint<'a> {
    if method == Method::GET || method == Method::HEAD {
        Endpoint::Front
    } else {
        Endpoint::Unknown
    }
}

fn api<'a>(method: &Method, key: &'a str, plan_path: &'a str) -> Endpoint<'a> {
    // A client that appends `/v1/…` to a base URL that ends in `/v1`.
    let plan_path = match plan_path.strip_prefix("/v1/v1") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            plan_path.get("/v1".len()..).unwrap_or(plan_path)
        }
        _ => plan_path,
    };
    let is_api = plan_path.len() > "/v1/".len()
        && plan_path.starts_with("/v1/")
        && plan_path.bytes().all(is_path_byte);
    // A dot segment would leave /v1/ once the URL is normalised.
    let leaves = plan_path.split('/').any(|segment| {
        matches!(
            segment.to_ascii_lowercase().replace("%2e", ".").as_str(),
            "." | ".."
        )
    });
    if !is_api || leaves {
        return Endpoint::Unknown;
    }
    let kind = match (method, plan_path) {
        (&Method::POST, "/v1/messages") => RequestKind::Message,
        (&Method::POST, "/v1/messages/count_tokens") => RequestKind::CountTokens,
        (&Method::GET, "/v1/models") => RequestKind::ModelList,
        _ => RequestKind::Other,
    };
    Endpoint::Api {
        key,
        kind,
        plan_path,
    }
}

/// Whether RFC 3986 allows the byte in a path. Any other one, such as a backslash, would be changed when
/// the URL of the Plan request is made, and the path would no longer be the one that was checked.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&byte)
}

/// Splits `/STAGE/ak/KEY/rest` into `KEY` and `/rest`. The stage of API Gateway, or any other
/// prefix that a proxy in front adds, may come before.
fn split_at_key(path: &str) -> Option<(&str, &str)> {
    let after = match path.strip_prefix("/ak/") {
        Some(after) => after,
        None => path.split_once("/ak/")?.1,
    };
    match after.find('/') {
        Some(slash) => Some(after.split_at(slash)),
        None => Some((after, "")),
    }
}

/// The path from the first `/v1/` on: `/live/base/v1/messages` and `/v1/messages` are the same.
fn after_stage(path: &str) -> &str {
    path.find("/v1/")
        .and_then(|begin| path.get(begin..))
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(line: &str) -> String {
        let (method, path) = line.split_once(' ').unwrap();
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static(KEY_HEADER),
            http::HeaderValue::from_static("HEADER"),
        )]);
        let method = method.parse().unwrap();
        let with_header = Endpoint::from_request(&method, path, &headers);
        match with_header {
            Endpoint::Api { key: "HEADER", .. } => {
                assert_eq!(
                    Endpoint::from_request(&method, path, &HeaderMap::new()),
                    Endpoint::Unknown,
                    "{line}"
                );
            }
            _ => assert_eq!(
                Endpoint::from_request(&method, path, &HeaderMap::new()),
                with_header,
                "{line}"
            ),
        }
        match with_header {
            Endpoint::Api {
                key,
                kind,
                plan_path,
            } => format!("{kind:?} {key} {plan_path}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn endpoint_follows_from_method_and_path() {
        let table = [
            ("POST /ak/K/v1/messages", "Message K /v1/messages"),
            ("POST /live/ak/K/v1/messages", "Message K /v1/messages"),
            ("POST /a/b/ak/K/v1/messages", "Message K /v1/messages"),
            ("POST /v1/messages", "Message HEADER /v1/messages"),
            ("POST /live/v1/messages", "Message HEADER /v1/messages"),
            (
                "POST /ak/K/v1/messages/count_tokens",
                "CountTokens K /v1/messages/count_tokens",
            ),
            ("GET /ak/K/v1/messages", "Other K /v1/messages"),
            ("GET /ak/K/v1/models", "ModelList K /v1/models"),
            ("POST /ak/K/v1/models", "Other K /v1/models"),
            ("GET /ak/K/v1/models/", "Other K /v1/models/"),
            ("GET /ak/K/v1/models/x", "Other K /v1/models/x"),
            ("GET /ak/K/v1/files", "Other K /v1/files"),
            // A base URL that ends in /v1.
            ("POST /ak/K/v1/v1/messages", "Message K /v1/messages"),
            (
                "POST /live/ak/K/v1/v1/messages/count_tokens",
                "CountTokens K /v1/messages/count_tokens",
            ),
            ("POST /v1/v1/messages", "Message HEADER /v1/messages"),
            ("GET /ak/K/v1/v1", "Unknown"),
            ("GET /ak/K/v1/v1x/models", "Other K /v1/v1x/models"),
            ("POST /ak/K/v1/v1/v1/messages", "Other K /v1/v1/messages"),
            // The header with a base path, behind a stage.
            ("POST /live/base/v1/messages", "Message HEADER /v1/messages"),
            ("GET /live/v1/files/v1/x", "Other HEADER /v1/files/v1/x"),
            // What making the URL of the Plan request would change.
            ("GET /ak/K/v1/..\\..\\api\\oauth\\usage", "Unknown"),
            ("GET /ak/K/v1/%2e%2e\\x", "Unknown"),
            ("GET /ak/K/v1/models/{x}", "Unknown"),
            ("GET /ak/K/v1/models/\"x\"", "Unknown"),
            ("GET /ak/K/v1/models/a|b^c", "Unknown"),
            ("GET /ak/K/v1/models/caf\u{e9}", "Unknown"),
            (
                "GET /ak/K/v1/models/it's:@a%2Fb",
                "Other K /v1/models/it's:@a%2Fb",
            ),
            ("DELETE /ak/K/v1/files/a%2Fb", "Other K /v1/files/a%2Fb"),
            ("HEAD /ak/K/api/hello", "Front"),
            ("HEAD /ak/K/", "Front"),
            ("GET /ak/K", "Front"),
            ("GET /", "Front"),
            ("HEAD /", "Front"),
            ("GET /health", "Health"),
            ("POST /health", "Unknown"),
            ("POST /", "Unknown"),
            ("GET /ak/K/v1/", "Unknown"),
            ("GET /ak/K/v1", "Unknown"),
            ("GET /ak/K/api/oauth/usage", "Unknown"),
            ("GET /ak/K/v1/../admin", "Unknown"),
            ("GET /ak/K/v1/%2E%2e/admin", "Unknown"),
            ("GET /favicon.ico", "Unknown"),
            ("POST /ak//v1/messages", "Message  /v1/messages"),
        ];
        for (line, expected) in table {
            assert_eq!(endpoint(line), expected, "{line}");
        }
    }

    #[test]
    fn default_plan_key_serves_messages_token_counts_and_the_model_list() {
        for (method, path, expected) in [
            (Method::POST, "/v1/messages", true),
            (Method::POST, "/v1/messages/count_tokens", true),
            (Method::GET, "/v1/models", true),
            (Method::GET, "/v1/files", false),
            (Method::GET, "/v1/files/file_1/content", false),
            (Method::DELETE, "/v1/files/file_1", false),
            (Method::GET, "/v1/messages", false),
            (Method::POST, "/v1/messages/batches", false),
            (Method::GET, "/v1/messages/batches/b/results", false),
            (Method::POST, "/v1/models", false),
        ] {
            let path = format!("/ak/K{path}");
            let headers = HeaderMap::new();
            let Endpoint::Api { kind, .. } = Endpoint::from_request(&method, &path, &headers)
            else {
                panic!("{path}")
            };
            assert_eq!(kind.allows_default_key(), expected, "{method} {path}");
        }
    }
}
