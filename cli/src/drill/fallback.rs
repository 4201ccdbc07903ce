//! What happens when Bedrock fails too, and when a stream breaks.

use domain::policy::{FallbackClass, PolicyChange};
use simulators::{Point, Step};

use super::scenario::{Request, Scenario, ask, is_limited, plan_is_used_up, plan_says};

pub(super) fn scenarios() -> Vec<Scenario> {
    [bedrock(), streams()].concat()
}

/// Both legs fail, first with Plan's answer and then without, because the breaker is open. `answer` is what
/// the client gets in the first case: Plan's answer, or what Bedrock's passing failure becomes.
fn both_fail(
    name: &'static str,
    about: &'static str,
    step: Step,
    class: &str,
    answer: BothFail,
    alone: (u16, &str),
) -> Scenario {
    let (status, kind) = alone;
    let first = plan_is_used_up()
        .bedrock_says(step.clone())
        .bedrock_fails(class)
        .breaker("closed", "open 30m");
    let first = match answer {
        BothFail::PlansAnswer => first.delivers(429, "rate_limit_error", "usage_limit"),
        BothFail::BedrocksError => first.spills("usage_limit").tells(status, kind),
    };
    let acts = vec![
        first.into(),
        ask()
            .bedrock_says(step)
            .skips_plan("usage_limit", "30m")
            .tells(status, kind)
            .class(class)
            .breaker_stays("open 30m")
            .into(),
    ];
    Scenario::new(name, about, acts)
}

/// What the client gets when Plan's limit and a failure of Bedrock meet.
#[derive(Clone, Copy)]
enum BothFail {
    PlansAnswer,
    /// The failure passes, so that the client is to try again.
    BedrocksError,
}

fn bedrock() -> Vec<Scenario> {
    let both_broken = plan_says(Step::End {
        after: Point::Headers,
        content: vec![],
    })
    .bedrock_says(Step::Overloaded)
    .spills("broken")
    .tells(503, "api_error")
    .class("bedrock_unavailable")
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
            "The plan is used up, and Bedrock does not take the key; never a 401",
            Step::Unauthorized,
            "bedrock_auth_error",
            BothFail::PlansAnswer,
            (400, "policy_blocked"),
        ),
        both_fail(
            "bedrock-rejects",
            "The plan is used up, and Bedrock refuses the request without saying what is wrong with it",
            Step::Status { status: 400 },
            "bedrock_rejected",
            BothFail::PlansAnswer,
            (400, "policy_blocked"),
        ),
        Scenario::new(
            "bedrock-prompt-too-long",
            "The prompt is too long for Bedrock: told in the words that Claude Code recovers from",
            vec![
                plan_is_used_up()
                    .bedrock_says(Step::TooLong)
                    .spills("usage_limit")
                    .tells(400, "invalid_request_error")
                    .class("bedrock_rejected")
                    .breaker("closed", "open 30m")
                    .into(),
            ],
        ),
        bedrock_key_overload(),
        no_bedrock_key(),
        Scenario::new(
            "both-broken",
            "Plan's stream is empty and Bedrock is down: there is no answer that could win",
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
        plan_says(Step::Overloaded)
            .spills("overloaded")
            .breaker(before, after)
            .into()
    };
    let refused = |request: Request| {
        request
            .bedrock_says(Step::Unauthorized)
            .asks_bedrock_first()
            .breaker_stays("open 30m")
    };
    Scenario::new(
        "bedrock-key-overload",
        "An overload opened the breaker, and Bedrock does not take the key: Plan is asked after all",
        vec![
            overloaded("closed", "closed 1/3"),
            overloaded("closed 1/3", "closed 2/3"),
            overloaded("closed 2/3", "open 30m"),
            refused(ask()).into(),
            refused(plan_says(Step::Overloaded).delivers(529, "overloaded_error", "overloaded"))
                .class("bedrock_auth_error")
                .into(),
        ],
    )
}

fn no_bedrock_key() -> Scenario {
    let refused = |request: Request, verdict: &str| {
        request
            .delivers(503, "api_error", verdict)
            .class("no_bedrock_key")
    };
    Scenario::new(
        "no-bedrock-key",
        "Without a Bedrock key a limit is a 503 that says so, and Plan is asked all the same",
        vec![
            refused(plan_is_used_up(), "usage_limit")
                .breaker("closed", "open 30m")
                .into(),
            refused(plan_is_used_up(), "usage_limit")
                .breaker_stays("open 30m")
                .into(),
            ask().breaker_stays("open 30m").into(),
            refused(
                plan_says(Step::RateLimit {
                    retry_after_s: Some(20),
                }),
                "rate_limited",
            )
            .breaker_stays("open 30m")
            .into(),
            plan_says(Step::Overloaded)
                .delivers(529, "overloaded_error", "overloaded")
                .class("no_bedrock_key")
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
            "Plan's stream breaks after its first content: an error event, and Plan stays",
            vec![plan_says(cut()).ends_in("overloaded_error").into()],
        ),
        Scenario::new(
            "bedrock-cut-mid-stream",
            "Bedrock's stream breaks after its first content: an error event, and Bedrock stays",
            vec![
                is_limited()
                    .bedrock_says(cut())
                    .ends_in("overloaded_error")
                    .into(),
            ],
        ),
    ]
}
