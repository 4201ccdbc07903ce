//! Drills of the rows of the failure taxonomy: Plan's responses and their consequences.

use std::time::Duration;

use simulators::{Point, Step};

use super::scenario::{
    A_MINUTE, Request, Scenario, advance, burst, plan_answers, plan_error, plan_skipped, request,
};
use super::{broken, limits};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = good();
    for (row, scenarios) in [
        ("2", limits::plan_limits()),
        ("3", limits::family_limits()),
        ("4", limits::entitlement()),
        ("5", limits::spend_limits()),
        ("6", rate_limits()),
        ("6b", bursts()),
        ("7", overload()),
        ("8", broken::scenarios()),
        ("9", login()),
        ("10", client_fault()),
    ] {
        all.extend(scenarios.into_iter().map(|scenario| scenario.row(row)));
    }
    all
}

fn good() -> Vec<Scenario> {
    let overage = [
        ("anthropic-ratelimit-unified-status", "rejected"),
        ("anthropic-ratelimit-unified-5h-status", "rejected"),
        ("anthropic-ratelimit-unified-overage-in-use", "true"),
    ];
    let overage = overage.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let paid = Step::Headers {
        headers: overage.into(),
        then: Box::default(),
    };
    let pings = |count| Step::Pings {
        count,
        then: Box::default(),
    };
    let all = [
        Scenario::new(
            "healthy",
            "Plan answers, as a stream and as JSON",
            vec![request().into(), request().unstreamed().into()],
        ),
        Scenario::new(
            "late-content",
            "Plan's stream has many pings before its content, also more than are buffered",
            vec![
                plan_answers(pings(20)).into(),
                plan_answers(pings(100)).into(),
            ],
        ),
        Scenario::new(
            "extra-usage",
            "Plan answers although its window is used up: the developer pays for extra usage",
            vec![plan_answers(paid.clone()).into(), plan_answers(paid).into()],
        ),
        Scenario::new(
            "count-anew",
            "A success between failures resets the count",
            vec![
                overloaded("closed", "closed 1/3").into(),
                overloaded("closed 1/3", "closed 2/3").into(),
                request().breaker("closed 2/3", "closed").into(),
                overloaded("closed", "closed 1/3").into(),
            ],
        ),
    ];
    all.map(|scenario| scenario.row("1")).into()
}

fn overloaded(before: &str, after: &str) -> Request {
    plan_answers(Step::Overloaded)
        .falls_back("overloaded")
        .breaker(before, after)
}

fn bursts() -> Vec<Scenario> {
    let refused = |before: &str, after: &str| {
        plan_answers(burst())
            .falls_back("rate_limited")
            .breaker(before, after)
    };
    let mut six_at_once = vec![refused("closed", "closed 1/3").into()];
    six_at_once.extend((0..5).map(|_| refused("closed 1/3", "closed 1/3").into()));
    six_at_once.extend([
        advance(Duration::from_secs(8)),
        request().breaker("closed 1/3", "closed").into(),
        advance(A_MINUTE),
        request().into(),
    ]);
    let apart = || advance(Duration::from_secs(15));
    let open = |until| plan_skipped("rate_limited", until).into();
    vec![
        Scenario::new(
            "burst",
            "Six concurrent requests are rejected, and Plan works 8 s later: the breaker stays closed",
            six_at_once,
        ),
        Scenario::new(
            "bursts-in-a-row",
            "Three bursts in a minute open the breaker for a minute, and for two when the probe fails",
            vec![
                refused("closed", "closed 1/3").into(),
                apart(),
                refused("closed 1/3", "closed 2/3").into(),
                apart(),
                refused("closed 2/3", "open 1m").into(),
                open("1m"),
                advance(A_MINUTE),
                refused("probe due", "open 2m").into(),
                open("2m"),
                advance(2 * A_MINUTE),
                request().probes().breaker("probe due", "closed").into(),
            ],
        ),
    ]
}

/// The third failure in a row opens the breaker, and the fourth request does not reach Plan.
fn third_opens(
    name: &'static str,
    about: &'static str,
    step: &Step,
    verdict: &str,
    open: &str,
) -> Scenario {
    let failed = |before: &str, after: &str| {
        plan_answers(step.clone())
            .falls_back(verdict)
            .breaker(before, after)
            .into()
    };
    let state = format!("open {open}");
    let steps = vec![
        failed("closed", "closed 1/3"),
        failed("closed 1/3", "closed 2/3"),
        failed("closed 2/3", &state),
        plan_skipped(verdict, open).into(),
    ];
    Scenario::new(name, about, steps)
}

fn rate_limits() -> Vec<Scenario> {
    let scenario = |name, about, retry_after_s, open| {
        let step = Step::RateLimit {
            retry_after_s: Some(retry_after_s),
        };
        third_opens(name, about, &step, "rate_limited", open)
    };
    vec![
        scenario(
            "rate-limit",
            "Three rate limits in a row, each with a retry-after of 20 seconds",
            20,
            "30m",
        ),
        scenario(
            "rate-limit-long",
            "retry-after is later than the breaker's own time, and is used",
            40 * 60,
            "40m",
        ),
        scenario(
            "rate-limit-absurd",
            "retry-after is three years, and is capped at an hour",
            99_999_999,
            "60m",
        ),
        third_opens(
            "rate-limit-without-time",
            "A rate limit without a time, as for a single request that is too large",
            &Step::RateLimit {
                retry_after_s: None,
            },
            "rate_limited",
            "30m",
        ),
    ]
}

fn overload() -> Vec<Scenario> {
    let scenario = |name, about, step: Step| third_opens(name, about, &step, "overloaded", "30m");
    let error_event = |after| Step::StreamError {
        after,
        kind: None,
        message: None,
        content: vec![],
    };
    vec![
        scenario(
            "overload",
            "529, three times: Anthropic has no capacity",
            Step::Overloaded,
        ),
        scenario(
            "overload-as-api-error",
            "500 with the api_error message Overloaded, three times",
            plan_error(500, "api_error", "Overloaded"),
        ),
        scenario(
            "overload-first-event",
            "200, whose first event is an overloaded_error",
            error_event(Point::Headers),
        ),
        scenario(
            "overload-before-content",
            "200 and message_start, then an overloaded_error",
            error_event(Point::MessageStart),
        ),
    ]
}

fn login() -> Vec<Scenario> {
    let refused = |step, status, kind| plan_answers(step).delivers(status, kind, "login").into();
    vec![Scenario::new(
        "login",
        "A logged-out developer gets Plan's response, and is never billed on Bedrock",
        vec![
            refused(Step::Unauthorized, 401, "authentication_error"),
            refused(Step::Forbidden, 403, "permission_error"),
            refused(Step::Unauthorized, 401, "authentication_error"),
            request().into(),
        ],
    )]
}

fn client_fault() -> Vec<Scenario> {
    let refused = |step, status, kind| {
        plan_answers(step)
            .delivers(status, kind, "client_fault")
            .into()
    };
    let status = |status, kind| refused(Step::Status { status }, status, kind);
    vec![Scenario::new(
        "client-fault",
        "Errors of the request itself are delivered as Plan words them",
        vec![
            refused(Step::TooLong, 400, "invalid_request_error"),
            status(404, "not_found_error"),
            status(413, "request_too_large"),
            status(422, "invalid_request_error"),
            request().into(),
        ],
    )]
}
