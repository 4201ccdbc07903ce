//! Drills of failures of Bedrock, and of streams that break.

use domain::policy::{FallbackClass, PolicyChange};
use simulators::{Point, Step};

use super::scenario::{Request, Scenario, opens_breaker, plan_answers, plan_limit, request};

pub(super) fn scenarios() -> Vec<Scenario> {
    [bedrock(), streams()].concat()
}

/// Both upstreams fail; the second time Plan is not called, because the breaker is open. `answer` is the
/// response that the client gets the first time.
fn both_fail(
    name: &'static str,
    about: &'static str,
    step: Step,
    class: &str,
    answer: BothFail,
    alone: (u16, &str),
) -> Scenario {
    let (status, kind) = alone;
    let first = plan_limit()
        .bedrock_answers(step.clone())
        .bedrock_fails(class)
        .breaker("closed", "open 30m");
    let first = match answer {
        BothFail::PlansAnswer => first.delivers(429, "rate_limit_error", "usage_limit"),
        BothFail::BedrocksError => first.falls_back("usage_limit").returns_error(status, kind),
    };
    let steps = vec![
        first.into(),
        request()
            .bedrock_answers(step)
            .skips_plan("usage_limit", "30m")
            .returns_error(status, kind)
            .error_class(class)
            .breaker_stays("open 30m")
            .into(),
    ];
    Scenario::new(name, about, steps)
}

/// The response that the client gets when Plan is limited and Bedrock fails.
#[derive(Clone, Copy)]
enum BothFail {
    PlansAnswer,
    /// For temporary failures, which the client retries.
    BedrocksError,
}

fn bedrock() -> Vec<Scenario> {
    let both_broken = plan_answers(Step::End {
        after: Point::Headers,
        content: vec![],
    })
    .bedrock_answers(Step::Overloaded)
    .falls_back("broken")
    .returns_error(503, "api_error")
    .error_class("bedrock_unavailable")
    .breaker("closed", "closed 1/3");
    vec![
        both_fail(
            "bedrock-down",
            "The plan is used up, and Bedrock answers 503",
            Step::Overloaded,
            "bedrock_unavailable",
            BothFail::BedrocksError,
            (503, "api_error"),
        ),
        both_fail(
            "bedrock-throttled",
            "The plan is used up, and Bedrock throttles",
            Step::RateLimit {
                retry_after_s: None,
            },
            "bedrock_quota_exceeded",
            BothFail::BedrocksError,
            (429, "rate_limit_error"),
        ),
        both_fail(
            "bedrock-key-refused",
            "The plan is used up, and Bedrock rejects the key: the client never gets a 401",
            Step::Unauthorized,
            "bedrock_auth_error",
            BothFail::PlansAnswer,
            (400, "policy_blocked"),
        ),
        both_fail(
            "bedrock-rejects",
            "The plan is used up, and Bedrock rejects the request without a reason",
            Step::Status { status: 400 },
            "bedrock_rejected",
            BothFail::PlansAnswer,
            (400, "policy_blocked"),
        ),
        Scenario::new(
            "bedrock-prompt-too-long",
            "The prompt is too long for Bedrock: the error has the wording that Claude Code handles",
            vec![
                plan_limit()
                    .bedrock_answers(Step::TooLong)
                    .falls_back("usage_limit")
                    .returns_error(400, "invalid_request_error")
                    .error_class("bedrock_rejected")
                    .breaker("closed", "open 30m")
                    .into(),
            ],
        ),
        bedrock_key_overload(),
        no_bedrock_key(),
        Scenario::new(
            "both-broken",
            "Plan's stream is empty and Bedrock is down: neither response can be delivered",
            vec![both_broken.into()],
        )
        .setup(|setup| {
            setup.policy = PolicyChange {
                fallback_on: Some([FallbackClass::Broken].into()),
                ..PolicyChange::default()
            }
        }),
    ]
}

fn bedrock_key_overload() -> Scenario {
    let overloaded = |before: &str, after: &str| {
        plan_answers(Step::Overloaded)
            .falls_back("overloaded")
            .breaker(before, after)
            .into()
    };
    let refused = |request: Request| {
        request
            .bedrock_answers(Step::Unauthorized)
            .tries_bedrock_first()
            .breaker_stays("open 30m")
    };
    Scenario::new(
        "bedrock-key-overload",
        "An overload opened the breaker, and Bedrock rejects the key: Plan is called after all",
        vec![
            overloaded("closed", "closed 1/3"),
            overloaded("closed 1/3", "closed 2/3"),
            overloaded("closed 2/3", "open 30m"),
            refused(request()).into(),
            refused(plan_answers(Step::Overloaded).delivers(529, "overloaded_error", "overloaded"))
                .error_class("bedrock_auth_error")
                .into(),
        ],
    )
}

fn no_bedrock_key() -> Scenario {
    let refused = |request: Request, verdict: &str| {
        request
            .delivers(503, "api_error", verdict)
            .error_class("no_bedrock_key")
    };
    Scenario::new(
        "no-bedrock-key",
        "Without a Bedrock key a limit becomes a 503, and Plan is called behind an open breaker",
        vec![
            refused(plan_limit(), "usage_limit")
                .breaker("closed", "open 30m")
                .into(),
            refused(plan_limit(), "usage_limit")
                .breaker_stays("open 30m")
                .into(),
            request().breaker_stays("open 30m").into(),
            refused(
                plan_answers(Step::RateLimit {
                    retry_after_s: Some(20),
                }),
                "rate_limited",
            )
            .breaker_stays("open 30m")
            .into(),
            plan_answers(Step::Overloaded)
                .delivers(529, "overloaded_error", "overloaded")
                .error_class("no_bedrock_key")
                .breaker_stays("open 30m")
                .into(),
        ],
    )
    .setup(|setup| setup.lacks_bedrock_key = true)
}

fn streams() -> Vec<Scenario> {
    let cut = || Step::Cut {
        after: Point::FirstDelta,
        content: vec![],
    };
    vec![
        Scenario::new(
            "plan-cut-mid-stream",
            "Plan's stream breaks after its first content: an error event, without a switch to Bedrock",
            vec![plan_answers(cut()).breaks_with("overloaded_error").into()],
        ),
        Scenario::new(
            "bedrock-cut-mid-stream",
            "Bedrock's stream breaks after its first content: an error event, without a switch to Plan",
            vec![
                opens_breaker()
                    .bedrock_answers(cut())
                    .breaks_with("overloaded_error")
                    .into(),
            ],
        ),
    ]
}
