//! What the plan's names promise.

use serde_json::Value;

use super::{events, plan, prompt, read, send_marker, streamed, summary};

#[tokio::test]
async fn every_named_error_has_the_shape_of_the_api() {
    let plan = plan().await;
    let (limit, too_fast) = ("rate_limit_error", "would exceed your account's rate limit");
    let request = "invalid_request_error";
    for (name, status, kind, message) in [
        ("429", 429, limit, too_fast),
        ("five_hour", 429, limit, too_fast),
        ("seven_day_opus", 429, limit, too_fast),
        ("entitlement", 429, limit, "Extra usage is required"),
        ("spend_limit", 429, limit, "monthly spend limit"),
        ("throttle", 429, limit, "50 requests per minute"),
        ("bare_429", 429, limit, too_fast),
        (
            "self_set_limit",
            400,
            request,
            "You have reached your specified API usage limits.",
        ),
        (
            "out_of_credit",
            400,
            request,
            "Your credit balance is too low",
        ),
        ("402", 402, "billing_error", "billing or payment"),
        ("529", 529, "overloaded_error", "Overloaded"),
        ("500", 500, "api_error", "Internal server error"),
        ("503", 503, "api_error", "unavailable"),
        ("401", 401, "authentication_error", "invalid x-api-key"),
        ("403", 403, "permission_error", "permission"),
        ("400", 400, request, "messages:"),
        (
            "too_long",
            400,
            request,
            "prompt is too long: 207312 tokens > 200000 maximum",
        ),
        ("404", 404, "not_found_error", "model:"),
        ("413", 413, "request_too_large", "maximum size"),
    ] {
        let (answered, headers, body) = send_marker(&plan, name).await;
        assert_eq!((name, answered), (name, status));
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"]["type"], kind, "{name}");
        let summary = body["error"]["message"].as_str().unwrap();
        assert!(
            summary.contains(message) && !summary.is_empty(),
            "{name}: {summary}"
        );
        assert_eq!(
            body["request_id"],
            headers["request-id"].to_str().unwrap(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn gateway_errors_are_pages_without_a_request_id() {
    let plan = plan().await;
    for (name, status, title) in [("502", 502, "502 Bad Gateway"), ("html", 200, "Sign in")] {
        let (answered, headers, body) = send_marker(&plan, name).await;
        assert_eq!((name, answered), (name, status));
        assert!(
            headers["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/html"),
            "{name}"
        );
        assert!(!headers.contains_key("request-id"), "{name}");
        assert!(body.contains(&format!("<title>{title}</title>")), "{body}");
    }
}

#[tokio::test]
async fn each_429_has_the_headers_of_its_kind() {
    let plan = plan().await;
    let unified = "anthropic-ratelimit-unified-status";
    let minute = "anthropic-ratelimit-requests-reset";
    for (name, expected) in [
        ("five_hour", vec!["retry-after", unified]),
        (
            r#"{"step":"rate_limit","retry_after_s":20}"#,
            vec!["retry-after", minute],
        ),
        ("throttle", vec![minute]),
        ("bare_429", vec![]),
        ("entitlement", vec![]),
        ("spend_limit", vec![]),
    ] {
        let (_, headers, _) = send_marker(&plan, name).await;
        let summary: Vec<_> = ["retry-after", unified, minute]
            .into_iter()
            .filter(|summary| headers.contains_key(*summary))
            .collect();
        assert_eq!(summary, expected, "{name}");
        let limits = headers
            .keys()
            .filter(|summary| summary.as_str().contains("ratelimit"))
            .count();
        assert_eq!(
            limits > 0,
            expected.contains(&unified) || expected.contains(&minute),
            "{name}"
        );
    }
}

#[tokio::test]
async fn failures_before_the_first_content_have_names() {
    let plan = plan().await;
    for (name, expected, well) in [
        ("empty", "", true),
        ("end_before_content", "message_start", true),
        ("cut_before_content", "message_start", false),
        ("first_error", "error overloaded_error", true),
        ("first_api_error", "error api_error", true),
        (
            "error_before_content",
            "message_start | error overloaded_error",
            true,
        ),
    ] {
        let body = streamed(prompt(&format!("[[plan:{name}]]")));
        let response = plan.messages(&body).await.unwrap();
        assert_eq!(response.status(), 200, "{name}");
        let (text, ended) = read(response).await;
        assert_eq!(
            (summary(&events(&text)).as_str(), ended),
            (expected, well),
            "{name}"
        );
    }
    for (name, expected) in [
        (
            r#"{"step":"hang","after":"message_start"}"#,
            "message_start",
        ),
        (r#"{"step":"hang","after":"connect"}"#, ""),
    ] {
        let body = streamed(prompt(&format!("[[plan:{name}]]")));
        let mut arrived = Vec::new();
        let hanging = async {
            let mut response = plan.messages(&body).await.unwrap();
            while let Some(chunk) = response.chunk().await.unwrap() {
                arrived.extend_from_slice(&chunk);
            }
        };
        let limit = std::time::Duration::from_millis(100);
        assert!(
            tokio::time::timeout(limit, hanging).await.is_err(),
            "{name}"
        );
        let arrived = String::from_utf8(arrived).unwrap();
        assert_eq!(summary(&events(&arrived)), expected, "{name}");
    }
    let close = streamed(prompt("[[plan:close]]"));
    assert!(plan.messages(&close).await.is_err());
}
