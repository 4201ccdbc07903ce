//! Which headers pass between a client and Plan: all end-to-end ones, and no others.

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName};

pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.trim_start().starts_with("text/event-stream"))
}

/// What ends at this hop (RFC 9110 §7.6.1), and what the server side of this hop added.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    [
        CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ]
    .contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// What a proxy in front of Spillway adds: API Gateway, CloudFront, a load balancer.
fn is_added_by_a_proxy(name: &HeaderName) -> bool {
    let name = name.as_str();
    [FORWARDED, VIA].iter().any(|known| known == name)
        || name == "x-real-ip"
        || ["x-forwarded-", "x-amzn-", "x-amz-cf-", "cloudfront-"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

fn is_spillways_own(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-spillway-")
}

pub(super) fn end_to_end_request_headers(headers: &HeaderMap) -> HeaderMap {
    keep(headers, |name| {
        ![HOST, CONTENT_LENGTH, EXPECT].contains(name)
            && !is_added_by_a_proxy(name)
            && !is_spillways_own(name)
    })
}

pub(super) fn end_to_end_response_headers(headers: &HeaderMap) -> HeaderMap {
    keep(headers, |name| !is_spillways_own(name))
}

fn keep(headers: &HeaderMap, wanted: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let named_by_connection: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let ends_here = is_hop_by_hop(name)
            || named_by_connection
                .iter()
                .any(|named| named == name.as_str());
        if !ends_here && wanted(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

#[cfg(test)]
pub(in crate::plan) mod tests {
    use http::HeaderValue;

    use super::*;

    pub(in crate::plan) fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::try_from(*value).unwrap(),
            );
        }
        headers
    }

    pub(in crate::plan) fn names(headers: &HeaderMap) -> Vec<String> {
        headers
            .iter()
            .map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn every_end_to_end_request_header_goes_to_plan_and_nothing_else() {
        let sent = headers(&[
            ("host", "spillway"),
            ("content-length", "3"),
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("via", "1.1 gateway"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-amzn-trace-id", "Root=1"),
            ("x-spillway-key", "ak_secret"),
            ("authorization", "Bearer sk-ant-oat01-x"),
            ("anthropic-beta", "a,b"),
            ("anthropic-beta", "c"),
            ("anthropic-future", "x"),
            ("x-claude-code-anything", "y"),
            ("user-agent", "claude-cli/2"),
            ("x-stainless-timeout", "600"),
        ]);
        insta::assert_snapshot!(names(&end_to_end_request_headers(&sent)).join("\n"), @r"
        authorization: Bearer sk-ant-oat01-x
        anthropic-beta: a,b
        anthropic-beta: c
        anthropic-future: x
        x-claude-code-anything: y
        user-agent: claude-cli/2
        x-stainless-timeout: 600
        ");
    }

    #[test]
    fn plans_answer_headers_come_back_as_they_are() {
        let answered = headers(&[
            ("content-type", "text/event-stream"),
            ("request-id", "req_1"),
            ("anthropic-ratelimit-unified-status", "allowed"),
            ("retry-after", "3"),
            ("x-should-retry", "true"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("x-spillway-upstream", "forged"),
        ]);
        insta::assert_snapshot!(names(&end_to_end_response_headers(&answered)).join("\n"), @r"
        content-type: text/event-stream
        request-id: req_1
        anthropic-ratelimit-unified-status: allowed
        retry-after: 3
        x-should-retry: true
        set-cookie: a=1
        set-cookie: b=2
        ");
    }
}
