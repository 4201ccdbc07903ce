//! Sixty instances serve one access key. They share only the table, and their clocks differ.

mod instances;

use std::collections::BTreeSet;
use std::time::Duration;

use domain::breaker::BreakerState;
use domain::policy::{BreakerScope, FallbackClass};
use domain::time::Timestamp;
use simulators::{Step, Window};

use instances::{
    CACHE_BOUND, Fleet, GateState, HALF_AN_HOUR, LEASE, OPUS, SKEW, SONNET, WORKERS, counted,
    finished, is_from_bedrock, is_from_plan, open_until, upstream,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limit_stops_all_instances_within_the_cache_bound() {
    let fleet = Fleet::new().await;
    let answers = fleet.all_send(OPUS).await;
    assert!(answers.iter().all(is_from_plan));
    assert_eq!(fleet.plan_requests(), WORKERS);

    fleet.limit(Window::FiveHour, fleet.now().plus(HALF_AN_HOUR));
    let met = fleet.send(WORKERS / 2, OPUS).await;
    assert_eq!(upstream(&met), "bedrock; reason=usage_limit");

    fleet.pass(CACHE_BOUND.saturating_sub(Duration::from_millis(1)));
    let answers = fleet.all_send(OPUS).await;
    let from_plan = answers.iter().filter(|answer| is_from_plan(answer)).count();
    assert_eq!(from_plan, WORKERS - 1, "instances share no cache");

    fleet.pass(Duration::from_millis(1));
    let before = fleet.plan_requests();
    let mut upstreams = BTreeSet::new();
    for later in [Duration::ZERO, CACHE_BOUND, Duration::from_mins(28)] {
        fleet.pass(later);
        let answers = fleet.all_send(OPUS).await;
        upstreams.extend(answers.iter().map(|answer| upstream(answer).to_owned()));
    }
    assert_eq!(fleet.plan_requests(), before, "Plan was called");
    let until = open_until(&fleet.breaker().await);
    let expected = format!("bedrock; reason=breaker_open; because=usage_limit; until={until}");
    assert_eq!(
        upstreams,
        BTreeSet::from([expected]),
        "all instances have the same state"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_request_of_the_fleet_probes_in_each_half_open_period() {
    let mut fleet = Fleet::new().await;
    fleet.open_breaker().await;
    for (trips, gate) in [
        (2, GateState::Open),
        (3, GateState::Closed),
        (4, GateState::Open),
    ] {
        fleet.all_clocks_reach(open_until(&fleet.breaker().await));
        fleet.limit(Window::FiveHour, fleet.now().plus(HALF_AN_HOUR));
        let before = fleet.plan_requests();
        let answers = fleet.all_send_through(gate).await;
        assert_eq!(fleet.plan_requests() - before, 1, "before trip {trips}");
        assert!(answers.iter().all(is_from_bedrock));
        let breaker = fleet.breaker().await;
        assert!(
            matches!(&breaker.state, BreakerState::Open { trip, .. } if trip.count == trips),
            "{:?}",
            breaker.state
        );
    }

    fleet.all_clocks_reach(open_until(&fleet.breaker().await));
    let before = fleet.plan_requests();
    let answers = fleet.all_send_through(GateState::Closed).await;
    assert_eq!(fleet.plan_requests() - before, 1);
    let probes = answers
        .iter()
        .map(upstream)
        .filter(|upstream| upstream.contains("plan"));
    assert_eq!(probes.collect::<Vec<_>>(), ["plan; reason=good; probe"]);
    assert_eq!(fleet.breaker().await.state, BreakerState::CLOSED);

    fleet.pass(CACHE_BOUND);
    let before = fleet.plan_requests();
    assert!(fleet.all_send(OPUS).await.iter().all(is_from_plan));
    assert_eq!(fleet.plan_requests() - before, WORKERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clock_skew_makes_the_probe_early_and_never_two() {
    let fleet = Fleet::new().await;
    fleet.open_breaker().await;
    let until = open_until(&fleet.breaker().await);
    let before = fleet.plan_requests();
    let mut calls = Vec::new();
    for seconds in [-25, -20, -15, -5, 0, 5, 15, 20, 25] {
        fleet.set(Timestamp::from_millis(until.as_millis() + seconds * 1000));
        if calls.is_empty() {
            fleet.limit(Window::FiveHour, until.plus(HALF_AN_HOUR));
        }
        let answers = fleet.all_send(OPUS).await;
        assert!(answers.iter().all(is_from_bedrock));
        calls.push(fleet.plan_requests() - before);
    }
    // The fastest clock is 20 seconds early.
    assert_eq!(calls, [0, 1, 1, 1, 1, 1, 1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_one_request_replaces_an_expired_probe() {
    let mut fleet = Fleet::new().await;
    fleet.open_breaker().await;
    fleet.all_clocks_reach(open_until(&fleet.breaker().await));
    fleet.close_gate();
    let before = fleet.plan_requests();

    let mut first = fleet.start_all(OPUS);
    let lost = fleet.next_held_request().await;
    assert!(
        finished(&mut first, WORKERS - 1)
            .await
            .iter()
            .all(is_from_bedrock)
    );
    // A lease of 60 s by the slowest clock ends 20 s later by the fastest.
    fleet.pass(Duration::from_millis(19_999));
    assert!(fleet.all_send(OPUS).await.iter().all(is_from_bedrock));
    assert_eq!(fleet.plan_requests() - before, 1, "while the lease lasts");

    // A lease that was taken at the fastest clock has ended at the slowest clock too.
    fleet.pass(LEASE + SKEW + SKEW);
    let mut second = fleet.start_all(OPUS);
    let follower = fleet.next_held_request().await;
    assert!(
        finished(&mut second, WORKERS - 1)
            .await
            .iter()
            .all(is_from_bedrock)
    );
    assert_eq!(fleet.plan_requests() - before, 2, "after the lease");

    lost.send(()).unwrap();
    let late = finished(&mut first, 1).await;
    assert_eq!(upstream(&late[0]), "plan; reason=good; probe");
    let breaker = fleet.breaker().await;
    assert!(
        matches!(breaker.state, BreakerState::HalfOpen { trip, .. } if trip.count == 1),
        "{:?}",
        breaker.state
    );

    fleet.limit(Window::FiveHour, fleet.now().plus(HALF_AN_HOUR));
    follower.send(()).unwrap();
    let answers = finished(&mut second, 1).await;
    assert_eq!(upstream(&answers[0]), "bedrock; reason=usage_limit");
    let breaker = fleet.breaker().await;
    assert!(
        matches!(breaker.state, BreakerState::Open { trip, .. } if trip.count == 2),
        "{:?}",
        breaker.state
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn failure_is_counted_with_any_cache_age() {
    let fleet = Fleet::with(|settings| settings.policy.breaker.failures = 100).await;
    fleet.all_send(OPUS).await;
    for worker in 0..WORKERS {
        fleet.plan.script([Step::Overloaded]);
        fleet.send(worker, OPUS).await;
        assert_eq!(counted(&fleet.breaker().await).len(), worker + 1);
    }
}

/// Each failure is written in at most two attempts, and each lost attempt lost against a different write.
/// Thus at least two of any number of concurrent failures are counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_failures_are_counted_without_overwriting() {
    let mut fleet = Fleet::with(|settings| settings.policy.breaker.failures = 100).await;
    let answers = fleet.fail_all_at_once().await;
    let breaker = fleet.breaker().await;
    let counted = counted(&breaker);
    assert!(counted.len() >= 2, "{}", counted.len());
    assert_eq!(counted.len() as u64, breaker.version, "one for each write");
    let sent = answers
        .iter()
        .map(|answer| answer.header("x-spillway-request-id").to_owned());
    assert!(counted.is_subset(&sent.collect()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_failures_open_the_breaker_once() {
    let mut fleet = Fleet::new().await;
    fleet.fail_all_at_once().await;
    if let BreakerState::Closed { failures } = fleet.breaker().await.state {
        assert_eq!(failures.len(), 2);
        fleet.plan.script([Step::Overloaded]);
        fleet.send(0, OPUS).await;
    }
    let breaker = fleet.breaker().await;
    assert!(
        matches!(breaker.state, BreakerState::Open { trip, .. } if trip.count == 1),
        "{:?}",
        breaker.state
    );
    assert_eq!(
        breaker.version, 3,
        "one write for each failure that counted"
    );

    fleet.pass(CACHE_BOUND);
    let before = fleet.plan_requests();
    assert!(fleet.all_send(OPUS).await.iter().all(is_from_bedrock));
    assert_eq!(fleet.plan_requests(), before);
}

/// Six requests wait for Plan for longer than the cache period. Every second one fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn failures_between_successes_do_not_open_the_breaker() {
    for scope in [BreakerScope::Key, BreakerScope::Deployment] {
        let mut fleet = Fleet::with(|settings| settings.policy.breaker.scope = scope).await;
        let (mut requests, held) = fleet.hold_some(6).await;
        fleet.pass(CACHE_BOUND);
        for (at, held) in held.into_iter().enumerate() {
            if at % 2 == 0 {
                fleet.plan.script([Step::Overloaded]);
            }
            held.send(()).unwrap();
            let answer = &finished(&mut requests, 1).await[0];
            let breaker = match scope {
                BreakerScope::Key => fleet.breaker().await,
                BreakerScope::Deployment => fleet.breaker_of_deployment().await,
            };
            let failures = counted(&breaker).len();
            assert_eq!(failures, (at + 1) % 2, "{scope:?}: {}", upstream(answer));
        }
    }
}

/// Each instance has cached the open breaker at a different time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reset_of_the_deployment_breaker_reaches_all_instances_in_a_minute() {
    let fleet = Fleet::with(|settings| {
        settings.policy.breaker.scope = BreakerScope::Deployment;
    })
    .await;
    for _ in 0..3 {
        fleet.plan.script([Step::Overloaded]);
        fleet.send(0, OPUS).await;
    }
    fleet.pass(CACHE_BOUND);
    assert!(fleet.all_send(OPUS).await.iter().all(is_from_bedrock));
    fleet.reset_deployment().await;
    fleet.pass(Duration::from_mins(1));
    assert!(fleet.all_send(OPUS).await.iter().all(is_from_plan));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opus_limit_stops_opus_and_no_other_model_in_the_fleet() {
    let fleet = Fleet::new().await;
    fleet.limit(Window::SevenDayOpus, fleet.now().plus(HALF_AN_HOUR));
    let met = fleet.send(0, OPUS).await;
    assert_eq!(upstream(&met), "bedrock; reason=usage_limit");
    fleet.pass(CACHE_BOUND);

    let before = fleet.plan_requests();
    assert!(fleet.all_send(OPUS).await.iter().all(is_from_bedrock));
    assert_eq!(fleet.plan_requests(), before);
    assert!(fleet.all_send(SONNET).await.iter().all(is_from_plan));
    assert_eq!(fleet.plan_requests() - before, WORKERS);
    let circuits: Vec<_> = fleet.breakers().await;
    let circuits = circuits
        .iter()
        .map(|breaker| breaker.key.circuit().to_string());
    assert_eq!(circuits.collect::<Vec<_>>(), ["opus"]);
}

/// The clocks of these six differ by about 3 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn six_concurrent_rejections_do_not_open_the_breaker() {
    let fleet = Fleet::new().await;
    fleet.all_send(OPUS).await;
    fleet.plan.script(std::iter::repeat_n(burst(), 6));
    let mut agents = fleet.start_some(0..6, OPUS);
    for answer in finished(&mut agents, 6).await {
        assert_eq!(upstream(&answer), "bedrock; reason=rate_limited");
    }
    assert_eq!(counted(&fleet.breaker().await).len(), 1);

    for later in [Duration::from_secs(8), Duration::from_mins(1)] {
        fleet.pass(later);
        let before = fleet.plan_requests();
        assert!(fleet.all_send(OPUS).await.iter().all(is_from_plan));
        assert_eq!(fleet.plan_requests() - before, WORKERS, "{later:?} later");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_bursts_open_the_breaker_of_the_fleet_for_a_minute() {
    let mut fleet = Fleet::with(|settings| settings.policy.breaker.jitter = Duration::ZERO).await;
    for _ in 0..3 {
        fleet.plan.script([burst()]);
        let met = fleet.send(0, OPUS).await;
        assert_eq!(upstream(&met), "bedrock; reason=rate_limited");
        fleet.pass(Duration::from_secs(11));
    }
    let breaker = fleet.breaker().await;
    let BreakerState::Open { trip, until } = breaker.state else {
        panic!("{breaker:?}");
    };
    assert_eq!((trip.class, trip.bursts), (FallbackClass::RateLimited, 1));
    assert_eq!(until.since(trip.since), Duration::from_mins(1));
    assert!(fleet.all_send(OPUS).await.iter().all(is_from_bedrock));

    // The probe gets another burst, which opens the breaker for two minutes.
    fleet.all_clocks_reach(until);
    fleet.plan.script([burst()]);
    assert!(
        fleet
            .all_send_through(GateState::Closed)
            .await
            .iter()
            .all(is_from_bedrock)
    );
    let breaker = fleet.breaker().await;
    let BreakerState::Open { trip, until } = breaker.state else {
        panic!("{breaker:?}");
    };
    assert_eq!(until.since(trip.since), Duration::from_mins(2));

    fleet.all_clocks_reach(until);
    fleet.all_send_through(GateState::Closed).await;
    assert_eq!(fleet.breaker().await.state, BreakerState::CLOSED);
    fleet.pass(CACHE_BOUND);
    assert!(fleet.all_send(OPUS).await.iter().all(is_from_plan));
}

/// 429 without any header about limits.
fn burst() -> Step {
    Step::Error {
        status: 429,
        kind: "rate_limit_error".to_owned(),
        message: "Rate limited".to_owned(),
        headers: [("x-should-retry".to_owned(), "true".to_owned())].into(),
    }
}
