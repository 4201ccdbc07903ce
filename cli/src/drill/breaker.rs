//! Drills of the breaker: half-open, counting, and a store that fails.

use std::time::Duration;

use domain::policy::{BreakerScope, PolicyChange};
use simulators::{Point, Step, Window};

use super::scenario::{
    A_MINUTE, Caller, HALF_AN_HOUR, Scenario, Setup, StoreState, advance, limit, opens_breaker,
    plan_answers, plan_skipped, request,
};

/// Longer than the cache period of a breaker that is not open.
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
            "After the limit's end, one request probes Plan and closes the breaker",
            vec![
                opens_breaker().into(),
                advance(HALF_AN_HOUR + A_MINUTE),
                request().probes().breaker("probe due", "closed").into(),
                request().into(),
            ],
        ),
        Scenario::new(
            "half-open-reopens",
            "The probe gets the next limit, opens the breaker, and falls back to Bedrock",
            vec![
                opens_breaker().into(),
                advance(HALF_AN_HOUR + A_MINUTE),
                // The simulator's clock is half an hour behind the sandbox's.
                plan_answers(limit(Window::FiveHour, 61 * 60))
                    .falls_back("usage_limit")
                    .breaker("probe due", "open 30m")
                    .into(),
                plan_skipped("usage_limit", "30m").into(),
            ],
        ),
        Scenario::new(
            "half-open-login",
            "The probe gets a 401: Plan responds, so the breaker closes",
            vec![
                opens_breaker().into(),
                advance(HALF_AN_HOUR + A_MINUTE),
                plan_answers(Step::Unauthorized)
                    .delivers(401, "authentication_error", "login")
                    .probes()
                    .breaker("probe due", "closed")
                    .into(),
            ],
        ),
        Scenario::new(
            "half-open-one-probe",
            "One request at a time probes Plan; after the end of its lease, the next one may",
            vec![
                opens_breaker().into(),
                advance(HALF_AN_HOUR + A_MINUTE),
                plan_answers(silence)
                    .breaker("probe due", "half-open")
                    .abandoned_after(vec![
                        request()
                            .skips_plan("usage_limit", "1m")
                            .breaker_stays("half-open")
                            .into(),
                        advance(A_MINUTE),
                        request().probes().breaker("half-open", "closed").into(),
                    ]),
            ],
        ),
    ]
}

fn counting() -> Vec<Scenario> {
    let overloaded = |before: &str, after: &str| {
        plan_answers(Step::Overloaded)
            .falls_back("overloaded")
            .breaker(before, after)
    };
    vec![
        Scenario::new(
            "failures-far-apart",
            "Failures that are more than a minute apart never open the breaker",
            vec![
                overloaded("closed", "closed 1/3").into(),
                advance(A_MINUTE + A_WHILE),
                overloaded("closed 1/3", "closed 1/3").into(),
                advance(A_MINUTE + A_WHILE),
                overloaded("closed 1/3", "closed 1/3").into(),
            ],
        ),
        Scenario::new(
            "deployment-scope",
            "With breaker_scope `deployment`, an overload of one developer opens the breaker for all",
            vec![
                overloaded("closed", "all closed 1/3").into(),
                overloaded("all closed 1/3", "all closed 2/3").into(),
                overloaded("all closed 2/3", "all open 30m").into(),
                request()
                    .sent_by(Caller::Colleague)
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
            "With session_stickiness_s, a conversation stays on Bedrock; others return to Plan",
            vec![
                opens_breaker().session("one").into(),
                advance(29 * A_MINUTE),
                request()
                    .session("one")
                    .skips_plan("usage_limit", "1m")
                    .breaker_stays("open 1m")
                    .into(),
                advance(2 * A_MINUTE),
                request()
                    .session("other")
                    .probes()
                    .breaker("probe due", "closed")
                    .into(),
                request().session("one").stays_on_bedrock().into(),
                advance(5 * A_MINUTE),
                request().session("one").into(),
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
    let overloaded = || plan_answers(Step::Overloaded).falls_back("overloaded");
    let impatient = |setup: &mut Setup| setup.store = Some(Duration::from_millis(100));
    vec![
        Scenario::new(
            "store-down",
            "Breakers that cannot be read block nothing; a cached open breaker stays open",
            vec![
                request().into(),
                advance(A_WHILE),
                request().while_store_is(StoreState::Unreadable).into(),
                overloaded().while_store_is(StoreState::Unreadable).into(),
                advance(A_WHILE),
                opens_breaker().into(),
                advance(A_WHILE),
                request()
                    .while_store_is(StoreState::Unreadable)
                    .skips_plan("usage_limit", "30m")
                    .breaker_stays("open 30m")
                    .into(),
            ],
        ),
        Scenario::new(
            "store-read-only",
            "Breakers that cannot be written block nothing, and do not open",
            vec![
                overloaded().while_store_is(StoreState::Unwritable).into(),
                overloaded().while_store_is(StoreState::Unwritable).into(),
                overloaded().while_store_is(StoreState::Unwritable).into(),
                request().into(),
            ],
        ),
        Scenario::new(
            "store-silent",
            "Breakers that are not read in time block nothing",
            vec![
                request().into(),
                advance(A_WHILE),
                request().while_store_is(StoreState::Silent).into(),
                overloaded().while_store_is(StoreState::Silent).into(),
            ],
        )
        .setup(impatient),
    ]
}
