//! The rows of the failure taxonomy: what Plan answers, and what follows from it.

use std::time::Duration;

use simulators::{Point, Step, Window};

use super::broken;
use super::scenario::{
    A_MINUTE, Caller, HALF_AN_HOUR, OPUS, Request, SONNET, Scenario, ask, pass, plan_says,
};

const DAY_S: u64 = 24 * 60 * 60;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = good();
    for (row, scenarios) in [
        ("2", plan_limits()),
        ("3", family_limits()),
        ("4", entitlement()),
        ("5", spend_limits()),
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
            "Plan answers, as a stream and in one piece",
            vec![ask().into(), ask().whole().into()],
        ),
        Scenario::new(
            "late-content",
            "Plan's stream has many pings before its content, also more than are held back",
            vec![plan_says(pings(20)).into(), plan_says(pings(100)).into()],
        ),
        Scenario::new(
            "extra-usage",
            "Plan answers although its window is used up: the developer pays for extra usage",
            vec![plan_says(paid.clone()).into(), plan_says(paid).into()],
        ),
        Scenario::new(
            "count-anew",
            "A good answer between failures starts the count anew",
            vec![
                overloaded("closed", "closed 1/3").into(),
                overloaded("closed 1/3", "closed 2/3").into(),
                ask().breaker("closed 2/3", "closed").into(),
                overloaded("closed", "closed 1/3").into(),
            ],
        ),
    ];
    all.map(|scenario| scenario.row("1")).into()
}

fn overloaded(before: &str, after: &str) -> Request {
    plan_says(Step::Overloaded)
        .spills("overloaded")
        .breaker(before, after)
}

pub(super) fn limit(window: Window, reset_after_s: u64) -> Step {
    Step::UsageLimit {
        window,
        reset_after_s,
    }
}

fn plan_limits() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "plan-limit",
            "The plan's five-hour window is used up for half an hour; a colleague's is not",
            vec![
                plan_says(limit(Window::FiveHour, 1800))
                    .spills("usage_limit")
                    .breaker("closed", "open 30m")
                    .into(),
                ask()
                    .skips_plan("usage_limit", "30m")
                    .breaker_stays("open 30m")
                    .into(),
                ask().by(Caller::Colleague).into(),
                pass(HALF_AN_HOUR + A_MINUTE),
                ask().probes().breaker("probe due", "closed").into(),
                ask().into(),
            ],
        ),
        Scenario::new(
            "weekly-limit",
            "The week is used up for days; Plan is still asked once an hour",
            vec![
                plan_says(limit(Window::SevenDay, 3 * DAY_S))
                    .spills("usage_limit")
                    .breaker("closed", "open 60m")
                    .into(),
                pass(HALF_AN_HOUR),
                ask()
                    .skips_plan("usage_limit", "30m")
                    .breaker_stays("open 30m")
                    .into(),
                pass(HALF_AN_HOUR),
                plan_says(limit(Window::SevenDay, 3 * DAY_S))
                    .spills("usage_limit")
                    .breaker("probe due", "open 60m")
                    .into(),
            ],
        ),
    ]
}

fn family_limits() -> Vec<Scenario> {
    let scenario =
        |name, about, window, limited: &'static str, state: &str, other: &'static str| {
            let acts = vec![
                plan_says(limit(window, 1800))
                    .model(limited)
                    .spills("usage_limit")
                    .breaker("closed", state)
                    .into(),
                ask()
                    .model(limited)
                    .skips_plan("usage_limit", "30m")
                    .breaker_stays(state)
                    .into(),
                ask().model(other).breaker_stays(state).into(),
                pass(HALF_AN_HOUR + A_MINUTE),
                ask()
                    .model(limited)
                    .probes()
                    .breaker(&state.replace("open 30m", "probe due"), "closed")
                    .into(),
            ];
            Scenario::new(name, about, acts)
        };
    vec![
        scenario(
            "family-limit",
            "The week's Opus is used up; Sonnet still goes to Plan",
            Window::SevenDayOpus,
            OPUS,
            "opus open 30m",
            SONNET,
        ),
        scenario(
            "family-limit-unnamed",
            "A family that the headers do not name is the requested model's",
            Window::SevenDayOverageIncluded,
            SONNET,
            "sonnet open 30m",
            OPUS,
        ),
    ]
}

fn entitlement() -> Vec<Scenario> {
    let refused = || plan_says(Step::Entitlement).spills("entitlement").into();
    let out_of_extra_usage = plan_error(
        400,
        "invalid_request_error",
        "You're out of extra usage. Add more at claude.ai/settings/usage and keep going.",
    );
    let overage_is_off = Step::Headers {
        headers: [(
            "anthropic-ratelimit-unified-overage-disabled-reason".to_owned(),
            "out_of_credits".to_owned(),
        )]
        .into(),
        then: Box::new(burst()),
    };
    vec![
        Scenario::new(
            "entitlement",
            "The plan does not include long context: this request goes to Bedrock, the next to Plan",
            vec![refused(), refused(), refused(), ask().into()],
        ),
        Scenario::new(
            "out-of-extra-usage",
            "400: extra usage is used up; Plan's own answer is delivered when Bedrock fails too",
            vec![
                plan_says(out_of_extra_usage.clone())
                    .spills("entitlement")
                    .into(),
                plan_says(out_of_extra_usage)
                    .bedrock_says(Step::Unauthorized)
                    .delivers(400, "invalid_request_error", "entitlement")
                    .bedrock_fails("bedrock_auth_error")
                    .into(),
                ask().into(),
            ],
        ),
        Scenario::new(
            "overage-off",
            "429 whose only header about limits is why extra usage is off: nothing is counted",
            vec![
                plan_says(overage_is_off.clone())
                    .spills("entitlement")
                    .into(),
                plan_says(overage_is_off).spills("entitlement").into(),
                ask().into(),
            ],
        ),
    ]
}

/// An error of Plan's that no other step is.
fn plan_error(status: u16, kind: &str, message: &str) -> Step {
    Step::Error {
        status,
        kind: kind.to_owned(),
        message: message.to_owned(),
        headers: [].into(),
    }
}

/// A 429 without any header about limits.
fn burst() -> Step {
    Step::Error {
        status: 429,
        kind: "rate_limit_error".to_owned(),
        message: "Rate limited".to_owned(),
        headers: [("x-should-retry".to_owned(), "true".to_owned())].into(),
    }
}

fn bursts() -> Vec<Scenario> {
    let refused = |before: &str, after: &str| {
        plan_says(burst())
            .spills("rate_limited")
            .breaker(before, after)
    };
    let mut six_at_once = vec![refused("closed", "closed 1/3").into()];
    six_at_once.extend((0..5).map(|_| refused("closed 1/3", "closed 1/3").into()));
    six_at_once.extend([
        pass(Duration::from_secs(8)),
        ask().breaker("closed 1/3", "closed").into(),
        pass(A_MINUTE),
        ask().into(),
    ]);
    let apart = || pass(Duration::from_secs(15));
    let open = |state| {
        ask()
            .skips_plan("rate_limited", state)
            .breaker_stays(match state {
                "1m" => "open 1m",
                _ => "open 2m",
            })
            .into()
    };
    vec![
        Scenario::new(
            "burst",
            "Six agents at once are refused, and Plan is well 8 s later: the breaker does not open",
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
                pass(A_MINUTE),
                refused("probe due", "open 2m").into(),
                open("2m"),
                pass(2 * A_MINUTE),
                ask().probes().breaker("probe due", "closed").into(),
            ],
        ),
    ]
}

fn spend_limits() -> Vec<Scenario> {
    let spent = |step| plan_says(step).spills("usage_limit");
    vec![
        Scenario::new(
            "spend-limit",
            "A limit of money, whose end nobody knows, in its three wordings",
            vec![
                spent(Step::SpendLimit)
                    .breaker("closed", "closed 1/3")
                    .into(),
                spent(Step::SelfSetLimit)
                    .breaker("closed 1/3", "closed 2/3")
                    .into(),
                spent(Step::OutOfCredit)
                    .breaker("closed 2/3", "open 30m")
                    .into(),
                ask()
                    .skips_plan("usage_limit", "30m")
                    .breaker_stays("open 30m")
                    .into(),
            ],
        ),
        Scenario::new(
            "payment-due",
            "402, which counts like any limit whose end nobody knows",
            vec![
                spent(Step::Status { status: 402 })
                    .breaker("closed", "closed 1/3")
                    .into(),
            ],
        ),
    ]
}

/// The third in a row opens the breaker, and the fourth request does not meet Plan.
fn third_opens(
    name: &'static str,
    about: &'static str,
    step: &Step,
    verdict: &str,
    open: &str,
) -> Scenario {
    let failed = |before: &str, after: &str| {
        plan_says(step.clone())
            .spills(verdict)
            .breaker(before, after)
            .into()
    };
    let state = format!("open {open}");
    let acts = vec![
        failed("closed", "closed 1/3"),
        failed("closed 1/3", "closed 2/3"),
        failed("closed 2/3", &state),
        ask().skips_plan(verdict, open).breaker_stays(&state).into(),
    ];
    Scenario::new(name, about, acts)
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
            "Three throttles in a row, to be tried again after 20 seconds each",
            20,
            "30m",
        ),
        scenario(
            "rate-limit-long",
            "retry-after is later than the breaker's own time, and counts",
            40 * 60,
            "40m",
        ),
        scenario(
            "rate-limit-absurd",
            "retry-after is three years, and is not believed beyond an hour",
            99_999_999,
            "60m",
        ),
        third_opens(
            "rate-limit-without-time",
            "A throttle that names its limit and no time, as for a request that is too large alone",
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
            "500 whose api_error says Overloaded, three times",
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
    let refused = |step, status, kind| plan_says(step).delivers(status, kind, "login").into();
    vec![Scenario::new(
        "login",
        "A logged-out developer sees Plan's own answer, and is never billed on Bedrock",
        vec![
            refused(Step::Unauthorized, 401, "authentication_error"),
            refused(Step::Forbidden, 403, "permission_error"),
            refused(Step::Unauthorized, 401, "authentication_error"),
            ask().into(),
        ],
    )]
}

fn client_fault() -> Vec<Scenario> {
    let refused = |step, status, kind| {
        plan_says(step)
            .delivers(status, kind, "client_fault")
            .into()
    };
    let status = |status, kind| refused(Step::Status { status }, status, kind);
    vec![Scenario::new(
        "client-fault",
        "What is wrong with the request itself is told as Plan tells it",
        vec![
            refused(Step::TooLong, 400, "invalid_request_error"),
            status(404, "not_found_error"),
            status(413, "request_too_large"),
            status(422, "invalid_request_error"),
            ask().into(),
        ],
    )]
}
