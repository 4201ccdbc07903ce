//! What happens around the breaker, and when both legs fail.

use std::time::Duration;

use domain::policy::{BreakerScope, FallbackClass, PolicyChange};
use simulators::{Point, Step, Window};

use super::rows::limit;
use super::scenario::{
    A_MINUTE, Caller, HALF_AN_HOUR, Request, Scenario, Setup, Store, ask, pass, plan_says,
};

/// Longer than a breaker that is not open is believed without a look at the table.
const A_WHILE: Duration = Duration::from_secs(6);

pub(super) fn scenarios() -> Vec<Scenario> {
    let lists = [half_open(), counting(), bedrock(), streams(), store()];
    lists.into_iter().flatten().collect()
}

/// The plan is used up for half an hour.
fn plan_is_used_up() -> Request {
    plan_says(limit(Window::FiveHour, 1800))
}

fn is_limited() -> Request {
    plan_is_used_up()
        .spills("usage_limit")
        .breaker("closed", "open 30m")
}

fn half_open() -> Vec<Scenario> {
    let silence = Step::Hang {
        after: Point::Connect,
        content: vec![],
    };
    vec![
        Scenario::new(
            "half-open-recovers",
            "When the limit is over, one request asks Plan and closes the breaker",
            vec![
                is_limited().into(),
                pass(HALF_AN_HOUR + A_MINUTE),
                ask().probes().breaker("probe due", "closed").into(),
                ask().into(),
            ],
        ),
        Scenario::new(
            "half-open-reopens",
            "The request that asks Plan meets the next limit, and goes to Bedrock itself",
            vec![
                is_limited().into(),
                pass(HALF_AN_HOUR + A_MINUTE),
                // By the simulator's clock, half an hour from then.
                plan_says(limit(Window::FiveHour, 61 * 60))
                    .spills("usage_limit")
                    .breaker("probe due", "open 30m")
                    .into(),
                ask()
                    .skips_plan("usage_limit", "30m")
                    .breaker_stays("open 30m")
                    .into(),
            ],
        ),
        Scenario::new(
            "half-open-login",
            "Plan answers, if only about the login: it is back",
            vec![
                is_limited().into(),
                pass(HALF_AN_HOUR + A_MINUTE),
                plan_says(Step::Unauthorized)
                    .delivers(401, "authentication_error", "login")
                    .probes()
                    .breaker("probe due", "closed")
                    .into(),
            ],
        ),
        Scenario::new(
            "half-open-one-probe",
            "While one request asks Plan, no other does; when its time is over, the next one may",
            vec![
                is_limited().into(),
                pass(HALF_AN_HOUR + A_MINUTE),
                plan_says(silence)
                    .breaker("probe due", "half-open")
                    .abandoned_after(vec![
                        ask()
                            .skips_plan("usage_limit", "1m")
                            .breaker_stays("half-open")
                            .into(),
                        pass(A_MINUTE),
                        ask().probes().breaker("half-open", "closed").into(),
                    ]),
            ],
        ),
    ]
}

fn counting() -> Vec<Scenario> {
    let overloaded = |before: &str, after: &str| {
        plan_says(Step::Overloaded)
            .spills("overloaded")
            .breaker(before, after)
    };
    vec![
        Scenario::new(
            "failures-far-apart",
            "Failures that are more than a minute apart never open the breaker",
            vec![
                overloaded("closed", "closed 1/3").into(),
                pass(A_MINUTE + A_WHILE),
                overloaded("closed 1/3", "closed 1/3").into(),
                pass(A_MINUTE + A_WHILE),
                overloaded("closed 1/3", "closed 1/3").into(),
            ],
        ),
        Scenario::new(
            "deployment-scope",
            "With breaker_scope `deployment`, all developers learn of an overload from one",
            vec![
                overloaded("closed", "all closed 1/3").into(),
                overloaded("all closed 1/3", "all closed 2/3").into(),
                overloaded("all closed 2/3", "all open 30m").into(),
                ask()
                    .by(Caller::Colleague)
                    .skips_plan("overloaded", "30m")
                    .breaker_stays("all open 30m")
                    .into(),
            ],
        )
        .setup(|setup| {
            setup.policy = PolicyChange {
                breaker_scope: Some(BreakerScope::Deployment),
                ..PolicyChange::default()
            }
        }),
        Scenario::new(
            "session-stays",
            "With session_stickiness_s, a conversation keeps Bedrock's prompt cache; others go back",
            vec![
                is_limited().session("one").into(),
                pass(29 * A_MINUTE),
                ask()
                    .session("one")
                    .skips_plan("usage_limit", "1m")
                    .breaker_stays("open 1m")
                    .into(),
                pass(2 * A_MINUTE),
                ask()
                    .session("other")
                    .probes()
                    .breaker("probe due", "closed")
                    .into(),
                ask().session("one").stays().into(),
                pass(5 * A_MINUTE),
                ask().session("one").into(),
            ],
        )
        .setup(|setup| {
            setup.policy = PolicyChange {
                session_stickiness_s: Some(300),
                ..PolicyChange::default()
            }
        }),
    ]
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

fn store() -> Vec<Scenario> {
    let overloaded = || plan_says(Step::Overloaded).spills("overloaded");
    let impatient = |setup: &mut Setup| setup.store = Some(Duration::from_millis(100));
    vec![
        Scenario::new(
            "store-down",
            "Breakers that cannot be read block nothing; one that is known to be open stays so",
            vec![
                ask().into(),
                pass(A_WHILE),
                ask().while_store_is(Store::Unreadable).into(),
                overloaded().while_store_is(Store::Unreadable).into(),
                pass(A_WHILE),
                is_limited().into(),
                pass(A_WHILE),
                ask()
                    .while_store_is(Store::Unreadable)
                    .skips_plan("usage_limit", "30m")
                    .breaker_stays("open 30m")
                    .into(),
            ],
        ),
        Scenario::new(
            "store-read-only",
            "Breakers that cannot be written block nothing, and do not open",
            vec![
                overloaded().while_store_is(Store::Unwritable).into(),
                overloaded().while_store_is(Store::Unwritable).into(),
                overloaded().while_store_is(Store::Unwritable).into(),
                ask().into(),
            ],
        ),
        Scenario::new(
            "store-silent",
            "Breakers that are not read in time block nothing",
            vec![
                ask().into(),
                pass(A_WHILE),
                ask().while_store_is(Store::Silent).into(),
                overloaded().while_store_is(Store::Silent).into(),
            ],
        )
        .setup(impatient),
    ]
}
