//! The fallback from Plan to Bedrock, and the responses when both fail.

use local::Fault;
use reqwest::Method;
use simulators::{Point, Step, Window};
use tests::{BEDROCK_KEY, CLIENT_CREDENTIAL, Streaming, World, message, read, world};

#[tokio::test]
async fn every_limit_falls_back_and_its_reason_is_reported() {
    let cases = [
        (limit(Window::FiveHour), "usage_limit"),
        (limit(Window::SevenDay), "usage_limit"),
        (limit(Window::SevenDayOpus), "usage_limit"),
        (
            Step::RateLimit {
                retry_after_s: Some(5),
            },
            "rate_limited",
        ),
        (Step::SpendLimit, "usage_limit"),
        (Step::Entitlement, "entitlement"),
        (Step::Status { status: 429 }, "rate_limited"),
        (
            error(429, "rate_limit_error", "Fast mode requires usage credits."),
            "entitlement",
        ),
        (out_of_extra_usage(), "entitlement"),
        (error(500, "api_error", "Overloaded"), "overloaded"),
    ];
    for (step, reason) in cases {
        let world = world().await;
        world.plan.script([step.clone()]);
        let answer = world.ask(&message("hello", Streaming::Yes)).await;
        assert_eq!(answer.status, 200, "{step:?}");
        let upstream = format!("bedrock; reason={reason}");
        assert_eq!(answer.header("x-spillway-upstream"), upstream, "{step:?}");
        assert!(
            answer.text_content().contains("Simulated Amazon Bedrock"),
            "{}",
            answer.text_content()
        );
        let limits = answer
            .headers
            .keys()
            .filter(|name| name.as_str().contains("ratelimit"));
        assert_eq!(
            limits.count(),
            0,
            "Plan's limits do not describe this answer"
        );
    }
}

fn error(status: u16, kind: &str, message: &str) -> Step {
    Step::Error {
        status,
        kind: kind.to_owned(),
        message: message.to_owned(),
        headers: [("x-should-retry".to_owned(), "false".to_owned())].into(),
    }
}

const OUT_OF_EXTRA_USAGE: &str =
    "You're out of extra usage. Add more at claude.ai/settings/usage and keep going.";

fn out_of_extra_usage() -> Step {
    error(400, "invalid_request_error", OUT_OF_EXTRA_USAGE)
}

#[tokio::test]
async fn a_400_about_extra_usage_is_unchanged_when_bedrock_fails_too() {
    for step in [Step::Unauthorized, Step::Overloaded] {
        let world = world().await;
        world.plan.script([out_of_extra_usage()]);
        world.bedrock.script([step]);
        let answer = world.ask(&message("hello", Streaming::Yes)).await;
        assert_eq!(answer.status, 400);
        let expected = (
            "invalid_request_error".to_owned(),
            OUT_OF_EXTRA_USAGE.to_owned(),
        );
        assert_eq!(answer.error(), expected);
        assert_eq!(answer.header("x-should-retry"), "false");
        assert_eq!(
            answer.header("x-spillway-upstream"),
            "plan; reason=entitlement"
        );
        assert_eq!(world.bedrock.requests().len(), 1);
    }
}

fn limit(window: Window) -> Step {
    Step::UsageLimit {
        window,
        reset_after_s: 3600,
    }
}

#[tokio::test]
async fn bedrock_gets_the_bedrock_key_and_no_client_credential() {
    let world = world().await;
    world.exhaust_plan(1);
    let request = world
        .request(Method::POST, "/v1/messages")
        .header("x-api-key", "sk-ant-api03-another-credential")
        .header("x-claude-code-session-id", "session")
        .header("user-agent", "claude-cli/2.1.329")
        .body(message("hello", Streaming::No).to_string());
    let answer = read(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = &world.bedrock.requests()[0];
    let bearer = format!("Bearer {BEDROCK_KEY}");
    assert_eq!(received.header("authorization"), Some(bearer.as_str()));
    assert_eq!(
        received.path,
        "/model/global.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
    );
    for (name, value) in &received.headers {
        assert!(
            !value.contains("sk-ant"),
            "{name} carries a credential of the client's"
        );
        assert!(!name.starts_with("anthropic"), "{name}");
        assert!(!name.starts_with("x-claude"), "{name}");
        assert!(!value.contains("claude-cli"), "{name}");
    }
    assert!(!String::from_utf8_lossy(&received.body).contains(CLIENT_CREDENTIAL));
}

#[tokio::test]
async fn each_upstream_is_called_once() {
    let world = world().await;
    world.exhaust_plan(1);
    world.bedrock.script([Step::Overloaded]);
    world.ask(&message("hello", Streaming::Yes)).await;
    assert_eq!(world.plan.requests().len(), 1);
    assert_eq!(world.bedrock.requests().len(), 1);
}

#[tokio::test]
async fn limit_without_a_bedrock_key_is_a_503_with_plans_limit_headers() {
    let world = world().await;
    let key = world.key_without_bedrock().await;
    world.exhaust_plan(1);
    let body = message("hello", Streaming::Yes).to_string();
    let request = world
        .request_as(&key.access_key, Method::POST, "/v1/messages")
        .body(body);
    let answer = read(request).await;
    assert_eq!(answer.status, 503);
    let (kind, text) = answer.error();
    assert_eq!(kind, "api_error");
    assert!(
        text.contains("no Amazon Bedrock API key is registered"),
        "{text}"
    );
    assert_eq!(
        answer.header("anthropic-ratelimit-unified-status"),
        "rejected"
    );
    assert!(
        !answer
            .header("anthropic-ratelimit-unified-reset")
            .is_empty()
    );
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(answer.header("x-spillway-error"), "no_bedrock_key");
    assert_eq!(
        answer.header("request-id"),
        answer.header("x-spillway-request-id")
    );
    assert!(world.bedrock.requests().is_empty());
}

#[tokio::test]
async fn plan_response_wins_with_its_headers_when_both_upstreams_fail() {
    let cases = [
        (Step::SpendLimit, "bedrock_quota_exceeded"),
        (Step::Unauthorized, "bedrock_auth_error"),
        (Step::Forbidden, "bedrock_auth_error"),
    ];
    for (step, class) in cases {
        let world = world().await;
        world.exhaust_plan(1);
        world.bedrock.script([step.clone()]);
        let answer = world.ask(&message("hello", Streaming::Yes)).await;
        assert_eq!(answer.status, 429, "{step:?}: {}", answer.text());
        assert_eq!(answer.error().0, "rate_limit_error", "{step:?}");
        assert_eq!(
            answer.header("anthropic-ratelimit-unified-status"),
            "rejected"
        );
        assert!(!answer.header("retry-after").is_empty());
        let upstream = answer.header("x-spillway-upstream");
        assert_eq!(upstream, "plan; reason=usage_limit");
        assert_eq!(answer.header("x-spillway-error"), class, "{step:?}");
        assert!(!answer.text().contains("arn:"), "{}", answer.text());
    }
}

#[tokio::test]
async fn temporary_bedrock_error_is_retryable_for_the_client() {
    let first_event = |kind: &str| Step::StreamError {
        after: Point::Headers,
        kind: Some(kind.to_owned()),
        message: Some("arn:aws:bedrock:eu-central-1:123456789012:x".to_owned()),
        content: vec![],
    };
    let cut = |after| Step::Cut {
        after,
        content: vec![],
    };
    let throttle = Step::RateLimit {
        retry_after_s: None,
    };
    let end = Step::End {
        after: Point::MessageStart,
        content: vec![],
    };
    let throttled = (429, "rate_limit_error", "30", "bedrock_quota_exceeded");
    let unavailable = (503, "api_error", "5", "bedrock_unavailable");
    for (step, (status, kind, retry_after, class)) in [
        (throttle, throttled),
        (Step::Overloaded, unavailable),
        (Step::NotReady, unavailable),
        (Step::ServerError, unavailable),
        (cut(Point::Connect), unavailable),
        (cut(Point::MessageStart), unavailable),
        (end, unavailable),
        (first_event("internalServerException"), unavailable),
        (first_event("throttlingException"), throttled),
        (Step::Html, unavailable),
    ] {
        let world = world().await;
        world.exhaust_plan(1);
        world.bedrock.script([step.clone()]);
        let answer = world.ask(&message("hello", Streaming::Yes)).await;
        assert_eq!(answer.status, status, "{step:?}: {}", answer.text());
        let (received, sentence) = answer.error();
        assert_eq!(received, kind, "{step:?}");
        assert!(sentence.contains("Your Claude plan has reached its limit until 20"));
        assert!(!sentence.contains("arn:"), "{sentence}");
        assert_eq!(answer.header("retry-after"), retry_after, "{step:?}");
        assert_eq!(answer.header("x-should-retry"), "", "{step:?}");
        // With these headers Claude Code would end the turn at a 429.
        assert_eq!(answer.header("anthropic-ratelimit-unified-status"), "");
        let upstream = answer.header("x-spillway-upstream");
        assert_eq!(upstream, "bedrock; reason=usage_limit");
        assert_eq!(answer.header("x-spillway-error"), class, "{step:?}");

        let retry = world.ask(&message("hello", Streaming::Yes)).await;
        assert_eq!(retry.status, 200, "{step:?}");
        assert!(retry.text_content().contains("Simulated Amazon Bedrock"));
        assert_eq!(world.plan.requests().len(), 1, "Plan is asked once");
    }
}

#[tokio::test]
async fn plan_response_is_delivered_when_kms_rejects_the_bedrock_key() {
    let refused = Fault::Error {
        status: 400,
        name: "InvalidCiphertextException",
        message: String::new(),
    };
    for (fault, status, class) in [
        (refused, 429, "bedrock_auth_error"),
        // KMS may work again soon.
        (Fault::InternalServerError, 503, "bedrock_unavailable"),
    ] {
        let world = world().await;
        world.exhaust_plan(1);
        world.stack.aws().faults().fail_next("Decrypt", 9, fault);
        let answer = world.ask(&message("hello", Streaming::Yes)).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-spillway-error"), class);
        assert!(world.bedrock.requests().is_empty());
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_a_clear_400_on_the_bedrock_leg() {
    // The simulated plan would reject such a body.
    let world = World::with_no_plan_left().await;
    for body in ["{not json", "[]"] {
        let answer = read(world.request(Method::POST, "/v1/messages").body(body)).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.error().0, "invalid_request_error", "{body}");
        assert_eq!(answer.header("x-should-retry"), "false");
    }
    assert!(world.bedrock.requests().is_empty());
}

#[tokio::test]
async fn prompt_too_long_for_bedrock_has_the_wording_of_anthropic() {
    let world = world().await;
    world.exhaust_plan(1);
    world.bedrock.script([Step::TooLong]);
    let answer = world.ask(&message("hello", Streaming::Yes)).await;
    assert_eq!(answer.status, 400);
    let (kind, text) = answer.error();
    assert_eq!(kind, "invalid_request_error");
    assert!(text.starts_with("prompt is too long"), "{text}");
}

#[tokio::test]
async fn sessions_at_the_same_time_do_not_mix() {
    let world = std::sync::Arc::new(world().await);
    let mut sessions = tokio::task::JoinSet::new();
    for number in 0..40 {
        let world = std::sync::Arc::clone(&world);
        sessions.spawn(async move {
            // An entitlement opens no breaker: the other sessions stay on Plan.
            let marker = if number % 2 == 0 {
                ""
            } else {
                "[[plan:entitlement]] "
            };
            let text = format!("{marker}session-{number}-");
            let answer = world.ask(&message(&text, Streaming::Yes)).await;
            (number, answer)
        });
    }
    while let Some(session) = sessions.join_next().await {
        let (number, answer) = session.unwrap();
        let expected = if number % 2 == 0 {
            "plan; reason=good"
        } else {
            "bedrock; reason=entitlement"
        };
        assert_eq!(answer.header("x-spillway-upstream"), expected);
        let text = answer.text_content();
        assert!(text.contains(&format!("session-{number}-")), "{text}");
        assert_eq!(text.matches("session-").count(), 1, "{text}");
    }
}

#[tokio::test]
async fn thread_continuation_is_refused_for_a_resend_before_bedrock_is_asked() {
    let world = world().await;
    world.exhaust_plan(2);
    let mut body = message("and now?", Streaming::Yes);
    body["thread"] = serde_json::json!({"type": "continue", "previous_message_id": "msg_01"});
    // Once after Plan's 429, once behind the breaker that this opened.
    for upstream in [
        "bedrock; reason=usage_limit",
        "bedrock; reason=breaker_open",
    ] {
        let answer = world.ask(&body).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert_eq!(answer.error().0, "invalid_request_error");
        let code = &answer.json()["error"]["details"]["error_code"];
        assert_eq!(code, "thread_unsupported_request");
        let received = answer.header("x-spillway-upstream");
        assert!(received.starts_with(upstream), "{received}");
    }
    assert_eq!(world.bedrock.requests().len(), 0, "Bedrock is not asked");

    body.as_object_mut().unwrap().remove("thread");
    let answer = world.ask(&body).await;
    assert_eq!(answer.status, 200, "the resent conversation is answered");
}

#[tokio::test]
async fn token_count_of_a_thread_continuation_is_refused_for_a_resend() {
    let world = World::with_no_plan_left().await;
    let mut body = message("and now?", Streaming::No);
    body["thread"] = serde_json::json!({"type": "continue", "previous_message_id": "msg_01"});
    let request = world.request(Method::POST, "/v1/messages/count_tokens");
    let answer = read(request.body(body.to_string())).await;
    let code = &answer.json()["error"]["details"]["error_code"];
    assert_eq!(
        (answer.status, code.as_str()),
        (400, Some("thread_unsupported_request")),
        "{}",
        answer.text()
    );
    assert_eq!(world.bedrock.requests().len(), 0, "Bedrock is not asked");
}
