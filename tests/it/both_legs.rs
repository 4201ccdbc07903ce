//! Failures of both upstreams (requirements R1.10 and R1.11): Plan's response × Bedrock's failure.

use domain::policy::{FallbackClass, PolicyChange};
use reqwest::Method;
use simulators::{Point, Step, Window};
use tests::{Answer, Streaming, World, message, read};

/// Plan's step, and its response; absent when that has nothing useful for the client.
struct PlanCase {
    name: &'static str,
    step: Step,
    own: Option<(u16, &'static str)>,
    /// Whether Claude Code gives up without a retry.
    ends_the_turn: bool,
}

fn plan_cases() -> Vec<PlanCase> {
    let case = |name, step, own| PlanCase {
        name,
        step,
        own,
        ends_the_turn: matches!(
            name,
            "usage limit" | "family limit" | "entitlement" | "spend limit"
        ),
    };
    let limit = |window| Step::UsageLimit {
        window,
        reset_after_s: 3600,
    };
    let error = |status, kind: &str, message: &str| Step::Error {
        status,
        kind: kind.to_owned(),
        message: message.to_owned(),
        headers: [("retry-after".to_owned(), "7".to_owned())].into(),
    };
    let first_event = Step::StreamError {
        after: Point::Headers,
        kind: Some("overloaded_error".to_owned()),
        message: None,
        content: vec![],
    };
    let cut = |after| Step::Cut {
        after,
        content: vec![],
    };
    vec![
        case(
            "usage limit",
            limit(Window::FiveHour),
            Some((429, "rate_limit_error")),
        ),
        case(
            "family limit",
            limit(Window::SevenDayOpus),
            Some((429, "rate_limit_error")),
        ),
        case(
            "entitlement",
            Step::Entitlement,
            Some((429, "rate_limit_error")),
        ),
        case(
            "spend limit",
            Step::SpendLimit,
            Some((429, "rate_limit_error")),
        ),
        case(
            "own limit",
            error(
                400,
                "invalid_request_error",
                "You have reached your specified API usage limits.",
            ),
            Some((400, "invalid_request_error")),
        ),
        case(
            "no credit",
            error(402, "billing_error", "No credit"),
            Some((402, "billing_error")),
        ),
        case(
            "throttled",
            error(429, "rate_limit_error", "Slow down"),
            Some((429, "rate_limit_error")),
        ),
        case(
            "throttled for good",
            Step::Headers {
                headers: [("x-should-retry".to_owned(), "false".to_owned())].into(),
                then: Box::new(error(429, "rate_limit_error", "This request is too large")),
            },
            Some((429, "rate_limit_error")),
        ),
        case(
            "burst",
            Step::Headers {
                headers: [("x-should-retry".to_owned(), "true".to_owned())].into(),
                then: Box::new(Step::Status { status: 429 }),
            },
            Some((429, "rate_limit_error")),
        ),
        case(
            "overloaded",
            Step::Overloaded,
            Some((529, "overloaded_error")),
        ),
        case(
            "overloaded in the stream",
            first_event,
            Some((200, "overloaded_error")),
        ),
        case("broken", Step::ServerError, Some((500, "api_error"))),
        case("cut", cut(Point::MessageStart), None),
        case("no answer", cut(Point::Connect), None),
    ]
}

/// Bedrock's failure: the step, the class, and the response that the client gets without one of Plan.
fn bedrock_cases() -> Vec<(Step, &'static str, u16, &'static str)> {
    let rejected = Step::Error {
        status: 400,
        kind: "ValidationException".to_owned(),
        message: "Malformed input request".to_owned(),
        headers: std::collections::BTreeMap::new(),
    };
    let throttle = Step::RateLimit {
        retry_after_s: None,
    };
    vec![
        (
            Step::Unauthorized,
            "bedrock_auth_error",
            400,
            "policy_blocked",
        ),
        (throttle, "bedrock_quota_exceeded", 429, "rate_limit_error"),
        (Step::Overloaded, "bedrock_unavailable", 503, "api_error"),
        (rejected, "bedrock_rejected", 400, "policy_blocked"),
    ]
}

/// A policy that falls back for every class, with a breaker that stays closed.
async fn on_everything() -> World {
    World::with(|settings| {
        settings.policy = settings.policy.with(&PolicyChange {
            fallback_on: Some(FallbackClass::ALL.into()),
            ..PolicyChange::default()
        });
    })
    .await
}

fn check_error(answer: &Answer, class: &str, what: &str) {
    assert_eq!(answer.header("x-spillway-error"), class, "{what}");
    assert!(!answer.header("x-spillway-upstream").is_empty(), "{what}");
    for secret in ["arn:", "123456789012", "ABSK", "sk-ant"] {
        assert!(!answer.text().contains(secret), "{what}: {}", answer.text());
    }
}

#[tokio::test]
async fn plan_response_wins_and_bedrocks_error_replaces_a_missing_one() {
    for plan in plan_cases() {
        for (step, class, status, kind) in bedrock_cases() {
            let what = format!("Plan: {}, Bedrock: {class}", plan.name);
            let world = on_everything().await;
            world.plan.script([plan.step.clone()]);
            world.bedrock.script([step]);
            let answer = world.ask(&message("hello", Streaming::Yes)).await;
            check_error(&answer, class, &what);
            // A temporary failure of Bedrock is retried, where Plan's limit would end the turn.
            let heals = plan.ends_the_turn && matches!(status, 429 | 503);
            let (expected, leg) = match plan.own {
                Some(own) if !heals => (own, "plan; "),
                _ => ((status, kind), "bedrock; "),
            };
            let received = (answer.status, answer.error().0);
            assert_eq!(received, (expected.0, expected.1.to_owned()), "{what}");
            let upstream = answer.header("x-spillway-upstream");
            assert!(upstream.starts_with(leg), "{what}: {upstream}");
            if plan.own.is_some() && !heals {
                let sent_by_plan =
                    answer.header("request-id") != answer.header("x-spillway-request-id");
                assert!(sent_by_plan, "{what}: Plan's own headers are kept");
            } else if class == "bedrock_quota_exceeded" {
                assert_eq!(answer.header("retry-after"), "30", "{what}");
            }
            if heals {
                assert!(answer.text().contains("Your Claude plan "), "{what}");
                assert!(!answer.header("retry-after").is_empty(), "{what}");
                assert_eq!(answer.header("x-should-retry"), "", "{what}");
            } else if plan.name.ends_with("limit") && plan.own.is_some_and(|own| own.0 == 429) {
                let limits = answer
                    .headers
                    .keys()
                    .any(|name| name.as_str().contains("unified"));
                assert_eq!(limits, plan.name != "spend limit", "{what}");
            }
            let calls = (world.plan.requests().len(), world.bedrock.requests().len());
            assert_eq!(calls, (1, 1), "{what}: each leg is tried once");
        }
    }
}

#[tokio::test]
async fn bedrock_error_behind_an_open_breaker_has_a_known_wording() {
    for (step, class, status, kind) in bedrock_cases() {
        let world = on_everything().await;
        world.exhaust_plan(1);
        world.ask(&message("hello", Streaming::Yes)).await;
        world.bedrock.script([step]);
        let answer = world.ask(&message("hello", Streaming::Yes)).await;
        check_error(&answer, class, class);
        assert_eq!((answer.status, answer.error().0), (status, kind.to_owned()));
        let upstream = answer.header("x-spillway-upstream");
        assert!(
            upstream.starts_with("bedrock; reason=breaker_open"),
            "{upstream}"
        );
        let sentence = answer.error().1;
        let plan = "Your Claude plan has reached its limit; Spillway tries it again at 20";
        assert!(sentence.contains(plan), "{sentence}");
        let no_retry = answer.header("x-should-retry") == "false";
        let is_final = ["bedrock_auth_error", "bedrock_rejected"].contains(&class);
        assert_eq!(no_retry, is_final, "{class}");
        assert_eq!(
            world.plan.requests().len(),
            1,
            "never twice into the same wall"
        );
    }
}

#[tokio::test]
async fn error_that_the_client_can_fix_wins_over_plans_response() {
    for plan in plan_cases() {
        let world = on_everything().await;
        world.plan.script([plan.step]);
        world.bedrock.script([Step::TooLong]);
        let answer = world.ask(&message("hello", Streaming::Yes)).await;
        let received = (answer.status, answer.error().0);
        assert_eq!(
            received,
            (400, "invalid_request_error".to_owned()),
            "{}",
            plan.name
        );
        check_error(&answer, "bedrock_rejected", plan.name);
    }
}

#[tokio::test]
async fn limit_without_a_bedrock_key_is_named_and_all_else_is_unchanged() {
    for plan in plan_cases() {
        let world = on_everything().await;
        let key = world.key_without_bedrock().await;
        world.plan.script([plan.step.clone()]);
        let body = message("hello", Streaming::Yes).to_string();
        let request = world
            .request_as(&key.access_key, Method::POST, "/v1/messages")
            .body(body);
        let answer = read(request).await;
        let is_throttle = ["throttled", "throttled for good", "burst"].contains(&plan.name);
        let is_limit = is_throttle || plan.name == "no credit" || plan.name.ends_with("limit");
        if is_limit {
            let received = (answer.status, answer.error().0);
            assert_eq!(received, (503, "api_error".to_owned()), "{}", plan.name);
            check_error(&answer, "no_bedrock_key", plan.name);
            // A rate limit keeps Plan's response; retries cannot help with a usage limit.
            let should_retry = match plan.name {
                "throttled" => "",
                "burst" => "true",
                _ => "false",
            };
            assert_eq!(
                answer.header("x-should-retry"),
                should_retry,
                "{}",
                plan.name
            );
            let sentence = answer.error().1;
            let begins = match plan.name {
                "burst" => "Your Claude plan is throttling requests, and no Amazon",
                _ if is_throttle => "Your Claude plan is throttling requests until 20",
                "usage limit" => "Your Claude plan has reached its limit until 20",
                "family limit" => "Your Claude plan has reached its limit for opus models until 20",
                _ => "Your Claude plan has reached its limit, and no Amazon",
            };
            assert!(sentence.starts_with(begins), "{}: {sentence}", plan.name);
            assert_eq!(
                sentence.contains(" UTC, and no Amazon"),
                begins.ends_with("20"),
                "{sentence}"
            );
            if matches!(plan.name, "throttled" | "throttled for good" | "no credit") {
                assert_eq!(answer.header("retry-after"), "7");
            }
        } else if let Some((status, kind)) = plan.own {
            assert_eq!(
                (answer.status, answer.error().0.as_str()),
                (status, kind),
                "{}",
                plan.name
            );
        } else {
            assert_eq!(answer.header("x-spillway-upstream"), "plan; reason=broken");
        }
        assert!(world.bedrock.requests().is_empty());
    }
}
