//! What happens around the breaker: half-open, counting, and a store that fails.

use std::time::Duration;

use domain::policy::{BreakerScope, PolicyChange};
use simulators::{Point, Step, Window};

use super::scenario::{
    A_MINUTE, Caller, HALF_AN_HOUR, Scenario, Setup, Store, ask, is_limited, limit, pass,
    plan_says, plan_skipped,
};

/// Longer than a breaker that is not open is believed without a look at the table.
const A_WHILE: Duration = Duration::from_secs(6);

pub(super) fn scenarios() -> Vec<Scenario> {
    [half_open(), counting(), store()].concat()
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
                plan_skipped("usage_limit", "30m").into(),
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
