//! Row 8 of the failure taxonomy: Plan fails, or does not respond.

use std::time::Duration;

use domain::policy::{FallbackClass, PolicyChange};
use simulators::{Point, Step};

use super::scenario::{Scenario, plan_answers, plan_skipped};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = vec![five_hundreds(), broken_falls_back()];
    all.extend(no_answer());
    all.extend(no_content());
    all.extend(refused_in_front());
    all
}

/// Plan's response is delivered, and counted as broken.
fn broken_once(
    name: &'static str,
    about: &'static str,
    step: Step,
    status: u16,
    body: &str,
) -> Scenario {
    let request = plan_answers(step)
        .delivers(status, body, "broken")
        .breaker("closed", "closed 1/3");
    Scenario::new(name, about, vec![request.into()])
}

/// Plan does not respond, or a gateway responds for it.
fn no_answer() -> [Scenario; 3] {
    let unreachable = |name, about, step: Step, status, body: &str| {
        let request = plan_answers(step)
            .delivers(status, body, "broken")
            .error_class("plan_unreachable")
            .breaker("closed", "closed 1/3");
        Scenario::new(name, about, vec![request.into()])
    };
    [
        broken_once(
            "bad-gateway",
            "502, a web page of the gateway before Plan",
            Step::Status { status: 502 },
            502,
            "text/html",
        ),
        unreachable(
            "connection-cut",
            "The connection breaks before any response",
            cut(Point::Connect),
            502,
            "api_error",
        ),
        unreachable(
            "no-first-byte",
            "No response before the deadline",
            hang(Point::Connect),
            504,
            "timeout_error",
        )
        .setup(|setup| setup.first_byte = Some(Duration::from_millis(400))),
    ]
}

/// Plan's response has status 200 and no content.
fn no_content() -> [Scenario; 4] {
    let empty = Step::End {
        after: Point::Headers,
        content: vec![],
    };
    [
        broken_once(
            "empty-stream",
            "200 and a stream without an event",
            empty,
            200,
            "api_error",
        ),
        broken_once(
            "cut-before-content",
            "200 and message_start, then the connection breaks",
            cut(Point::MessageStart),
            200,
            "api_error",
        ),
        broken_once(
            "silence-before-content",
            "200 and message_start, then nothing before the deadline",
            hang(Point::MessageStart),
            200,
            "api_error",
        )
        // Long enough for the headers on a busy machine.
        .setup(|setup| setup.first_byte = Some(Duration::from_secs(6))),
        broken_once(
            "web-page",
            "200 and a web page, as from a captive portal",
            Step::Html,
            200,
            "text/html",
        ),
    ]
}

fn cut(after: Point) -> Step {
    Step::Cut {
        after,
        content: vec![],
    }
}

fn hang(after: Point) -> Step {
    Step::Hang {
        after,
        content: vec![],
    }
}

/// A gateway before Plan rejects the request, which does not count as a login error.
fn refused_in_front() -> [Scenario; 2] {
    let refused = |name, about, content_type: &str, body: &str, observed: &str| {
        let step = Step::Raw {
            status: 403,
            headers: [("content-type".to_owned(), content_type.to_owned())].into(),
            body: body.to_owned(),
        };
        let request = plan_answers(step)
            .delivers(403, observed, "broken")
            .breaker("closed", "closed 1/3");
        Scenario::new(name, about, vec![request.into()])
    };
    [
        refused(
            "challenge-page",
            "403, a challenge page of the gateway before Plan, which is not about the login",
            "text/html",
            "<html><head><title>Just a moment...</title></head></html>",
            "text/html",
        ),
        refused(
            "forbidden-place",
            "403 `forbidden`, which is about an address or a country, not about the login",
            "application/json",
            r#"{"error":{"type":"forbidden","message":"Request not allowed"}}"#,
            "no known shape",
        ),
    ]
}

fn five_hundreds() -> Scenario {
    let failed = |step, status, before: &str, after: &str| {
        plan_answers(step)
            .delivers(status, "api_error", "broken")
            .breaker(before, after)
            .into()
    };
    Scenario::new(
        "broken",
        "500 and 503 are delivered until they open the breaker",
        vec![
            failed(Step::ServerError, 500, "closed", "closed 1/3"),
            failed(Step::NotReady, 503, "closed 1/3", "closed 2/3"),
            failed(Step::ServerError, 500, "closed 2/3", "open 30m"),
            plan_skipped("broken", "30m").into(),
        ],
    )
}

fn broken_falls_back() -> Scenario {
    let fell_back = |step, before: &str, after: &str| {
        plan_answers(step)
            .falls_back("broken")
            .breaker(before, after)
            .into()
    };
    let empty = Step::End {
        after: Point::Headers,
        content: vec![],
    };
    Scenario::new(
        "broken-falls-back",
        "With `broken` in fallback_on, the same failures fall back to Bedrock",
        vec![
            fell_back(Step::ServerError, "closed", "closed 1/3"),
            fell_back(empty, "closed 1/3", "closed 2/3"),
            fell_back(cut(Point::MessageStart), "closed 2/3", "open 30m"),
        ],
    )
    .setup(|setup| {
        setup.policy = PolicyChange {
            fallback_on: Some(FallbackClass::ALL.into()),
            ..PolicyChange::default()
        }
    })
}
