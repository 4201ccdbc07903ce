//! Row 8 of the failure taxonomy: Plan fails, or does not answer.

use std::time::Duration;

use domain::policy::{FallbackClass, PolicyChange};
use simulators::{Point, Step};

use super::scenario::{Scenario, Setup, ask, plan_says};

pub(super) fn scenarios() -> Vec<Scenario> {
    let broken_once = |name, about, step: Step, status, body: &str| {
        let request = plan_says(step)
            .delivers(status, body, "broken")
            .breaker("closed", "closed 1/3");
        Scenario::new(name, about, vec![request.into()])
    };
    let unreachable = |name, about, step: Step, status, body: &str| {
        let request = plan_says(step)
            .delivers(status, body, "broken")
            .class("plan_unreachable")
            .breaker("closed", "closed 1/3");
        Scenario::new(name, about, vec![request.into()])
    };
    let impatient = |setup: &mut Setup| setup.first_byte = Some(Duration::from_millis(400));
    // The headers must come in time, also on a busy machine.
    let less_impatient = |setup: &mut Setup| setup.first_byte = Some(Duration::from_secs(6));
    let cut = |after| Step::Cut {
        after,
        content: vec![],
    };
    let hang = |after| Step::Hang {
        after,
        content: vec![],
    };
    let mut all = vec![
        five_hundreds(),
        broken_falls_back(),
        broken_once(
            "bad-gateway",
            "502, a web page of what stands before Plan",
            Step::Status { status: 502 },
            502,
            "text/html",
        ),
        unreachable(
            "connection-cut",
            "The connection breaks before any answer",
            cut(Point::Connect),
            502,
            "api_error",
        ),
        unreachable(
            "no-first-byte",
            "No answer in the time allowed",
            hang(Point::Connect),
            504,
            "timeout_error",
        )
        .setup(impatient),
        broken_once(
            "empty-stream",
            "200 and a stream without an event",
            Step::End {
                after: Point::Headers,
                content: vec![],
            },
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
            "200 and message_start, then nothing in the time allowed",
            hang(Point::MessageStart),
            200,
            "api_error",
        )
        .setup(less_impatient),
        broken_once(
            "web-page",
            "200 and a web page, as from a captive portal",
            Step::Html,
            200,
            "text/html",
        ),
    ];
    all.extend(refused_in_front());
    all
}

/// What stands before Plan refuses the request: no matter of the developer's login.
fn refused_in_front() -> [Scenario; 2] {
    let refused = |name, about, content_type: &str, body: &str, seen: &str| {
        let step = Step::Raw {
            status: 403,
            headers: [("content-type".to_owned(), content_type.to_owned())].into(),
            body: body.to_owned(),
        };
        let request = plan_says(step)
            .delivers(403, seen, "broken")
            .breaker("closed", "closed 1/3");
        Scenario::new(name, about, vec![request.into()])
    };
    [
        refused(
            "challenge-page",
            "403, a challenge page of what stands before Plan: no matter of the developer's login",
            "text/html",
            "<html><head><title>Just a moment...</title></head></html>",
            "text/html",
        ),
        refused(
            "forbidden-place",
            "403 `forbidden`, which is about an address or a country and not about the login",
            "application/json",
            r#"{"error":{"type":"forbidden","message":"Request not allowed"}}"#,
            "no known shape",
        ),
    ]
}

fn five_hundreds() -> Scenario {
    let failed = |step, status, before: &str, after: &str| {
        plan_says(step)
            .delivers(status, "api_error", "broken")
            .breaker(before, after)
            .into()
    };
    Scenario::new(
        "broken",
        "500 and 503 are delivered, until they have opened the breaker",
        vec![
            failed(Step::ServerError, 500, "closed", "closed 1/3"),
            failed(Step::NotReady, 503, "closed 1/3", "closed 2/3"),
            failed(Step::ServerError, 500, "closed 2/3", "open 30m"),
            ask()
                .skips_plan("broken", "30m")
                .breaker_stays("open 30m")
                .into(),
        ],
    )
}

fn broken_falls_back() -> Scenario {
    let spilled = |step, before: &str, after: &str| {
        plan_says(step)
            .spills("broken")
            .breaker(before, after)
            .into()
    };
    let empty = Step::End {
        after: Point::Headers,
        content: vec![],
    };
    let cut = Step::Cut {
        after: Point::MessageStart,
        content: vec![],
    };
    Scenario::new(
        "broken-falls-back",
        "With `broken` in fallback_on, the same goes to Bedrock",
        vec![
            spilled(Step::ServerError, "closed", "closed 1/3"),
            spilled(empty, "closed 1/3", "closed 2/3"),
            spilled(cut, "closed 2/3", "open 30m"),
        ],
    )
    .setup(|setup| {
        setup.policy = PolicyChange {
            fallback_on: Some(FallbackClass::ALL.into()),
            ..PolicyChange::default()
        }
    })
}
