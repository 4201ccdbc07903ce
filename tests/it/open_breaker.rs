//! The open breaker: its cache period, requests that go to Plan nevertheless, and the length of its lease.

use std::time::Duration;

use admin::{BreakersOf, Command};
use domain::breaker::BreakerState;
use domain::policy::{BreakerScope, PolicyChange};
use reqwest::Method;
use simulators::Step;
use tests::{Answer, Streaming, World, message, read, world};

const MINUTE: Duration = Duration::from_mins(1);
/// The maximum default jitter.
const JITTER: Duration = Duration::from_secs(10);

async fn send(world: &World) -> Answer {
    world.ask(&message("hello", Streaming::Yes)).await
}

/// The numbers of requests to Plan and to Bedrock.
fn calls(world: &World) -> (usize, usize) {
    (world.plan.requests().len(), world.bedrock.requests().len())
}

/// Opens the breaker with three responses of this step.
async fn open_by(world: &World, step: &Step) {
    for _ in 0..3 {
        world.plan.script([step.clone()]);
        world.upstream().await;
    }
    let upstream = world.upstream().await;
    assert!(upstream.contains("breaker_open"), "{step:?}: {upstream}");
}

#[tokio::test]
async fn reset_of_the_deployment_breaker_takes_effect_within_a_minute() {
    let world = World::with(|settings| {
        let change = PolicyChange {
            breaker_scope: Some(BreakerScope::Deployment),
            ..PolicyChange::default()
        };
        settings.policy = settings.policy.with(&change);
    })
    .await;
    open_by(&world, &Step::ServerError).await;
    let of = BreakersOf::Deployment;
    world.command(Command::ResetBreakers { of }).await;

    let reads = || world.stack.aws().calls("GetItem");
    let before = reads();
    for _ in 0..3 {
        world.pass(MINUTE / 4);
        let upstream = world.upstream().await;
        assert!(upstream.contains("breaker_open"), "{upstream}");
    }
    assert_eq!(reads(), before, "an open breaker is read once per minute");
    world.pass(MINUTE / 4);
    assert_eq!(world.upstream().await, "plan; reason=good");
    assert_eq!(reads() - before, 1);
}

#[tokio::test]
async fn open_breaker_of_the_deployment_is_read_once_per_minute() {
    let world = World::with(|settings| {
        settings.policy.breaker.scope = BreakerScope::Deployment;
    })
    .await;
    open_by(&world, &Step::ServerError).await;
    let before = world.stack.aws().calls("GetItem");
    for minute in 1..=10 {
        world.pass(MINUTE);
        for _ in 0..3 {
            let upstream = world.upstream().await;
            assert!(upstream.contains("breaker_open"), "{upstream}");
        }
        let reads = world.stack.aws().calls("GetItem") - before;
        assert_eq!(reads, minute);
    }
}

#[tokio::test]
async fn open_breaker_lets_requests_use_plan_when_the_bedrock_key_fails() {
    // The last is a limit without a known end.
    for step in [Step::Overloaded, Step::ServerError, Step::SpendLimit] {
        let world = world().await;
        open_by(&world, &step).await;
        let opened = world.breaker().await;
        let before = calls(&world);

        world.bedrock.script([Step::Unauthorized]);
        let answer = send(&world).await;
        assert_eq!(answer.status, 200, "{step:?}: {}", answer.text());
        assert_eq!(answer.header("x-spillway-upstream"), "plan; reason=good");
        let after = calls(&world);
        assert_eq!(after, (before.0 + 1, before.1 + 1), "{step:?}: each once");

        world.plan.script([Step::Overloaded]);
        world.bedrock.script([Step::Unauthorized]);
        let answer = send(&world).await;
        assert_eq!(answer.status, 529, "{step:?}: {}", answer.text());
        let upstream = answer.header("x-spillway-upstream");
        assert_eq!(upstream, "plan; reason=overloaded", "{step:?}");
        let class = answer.header("x-spillway-error");
        assert_eq!(class, "bedrock_auth_error", "{step:?}");
        assert_eq!(calls(&world), (after.0 + 1, after.1 + 1), "{step:?}");

        assert_eq!(
            world.breaker().await,
            opened,
            "only the probe changes the breaker"
        );
        let upstream = world.upstream().await;
        assert!(upstream.contains("breaker_open"), "{step:?}: {upstream}");
    }
}

#[tokio::test]
async fn open_breaker_keeps_requests_from_plan_after_other_failures() {
    let auth = "bedrock_auth_error";
    let limit = |world: &World| world.limit_for(50 * MINUTE);
    for (opens, bedrock, class) in [
        (None, Step::Unauthorized, auth),
        (
            Some(Step::Overloaded),
            Step::Overloaded,
            "bedrock_unavailable",
        ),
    ] {
        let world = world().await;
        if let Some(step) = opens {
            open_by(&world, &step).await;
        } else {
            world.plan.script([limit(&world)]);
            world.upstream().await;
        }
        let before = calls(&world);
        world.bedrock.script([bedrock]);
        let answer = send(&world).await;
        assert_eq!(answer.header("x-spillway-error"), class);
        assert_eq!(calls(&world), (before.0, before.1 + 1), "{class}");
    }
}

/// A short-term key: the base64 of a URL that was signed at 2026-11-18T11:06:40Z, the time of a new world,
/// for 600 s. The simulated Bedrock rejects it.
const SHORT_TERM_KEY: &str = "bedrock-api-key-\
     YmVkcm9jay5hbWF6b25hd3MuY29tLz9BY3Rpb249Q2FsbFdpdGhCZWFyZXJUb2tlbiZYLUFtei1DcmVkZW50\
     aWFsPUFLSURFWEFNUExFJTJGMjAyNjExMTglMkZldS1jZW50cmFsLTElMkZiZWRyb2NrJTJGYXdzNF9yZXF1\
     ZXN0JlgtQW16LURhdGU9MjAyNjExMThUMTEwNjQwWiZYLUFtei1FeHBpcmVzPTYwMCZYLUFtei1TaWduYXR1\
     cmU9MDAmVmVyc2lvbj0x";

#[tokio::test]
async fn expired_bedrock_key_counts_as_none_behind_an_open_breaker() {
    let world = world().await;
    world.bind(SHORT_TERM_KEY).await;
    world.open_breaker(50 * MINUTE).await;
    let answer = send(&world).await;
    let upstream = answer.header("x-spillway-upstream");
    assert!(upstream.contains("breaker_open"), "{upstream}");

    world.pass(10 * MINUTE);
    let before = calls(&world);
    let answer = send(&world).await;
    assert_eq!(answer.header("x-spillway-upstream"), "plan; reason=good");
    assert_eq!(calls(&world), (before.0 + 1, before.1));
}

#[tokio::test]
async fn probe_without_streaming_has_a_lease_for_a_whole_response() {
    let world = std::sync::Arc::new(world().await);
    world.open_breaker(MINUTE).await;
    world.pass(MINUTE + JITTER);
    world.plan.script([Step::Held { content: vec![] }]);
    let sent = world.plan.requests().len();
    let body = message("hello", Streaming::No).to_string();
    let request = world.request(Method::POST, "/v1/messages").body(body);
    let mut probing = tokio::task::JoinSet::new();
    probing.spawn(async move {
        let answer = read(request).await;
        answer.header("x-spillway-upstream").to_owned()
    });
    while world.plan.requests().len() == sent {
        tokio::task::yield_now().await;
    }
    // Responses that are not streamed may take ten minutes.
    for _ in 0..9 {
        world.pass(MINUTE);
        let upstream = world.upstream().await;
        assert!(upstream.contains("breaker_open"), "{upstream}");
    }
    world.plan.release();
    assert_eq!(probing.join_all().await, ["plan; reason=good; probe"]);
    assert_eq!(world.breaker().await, BreakerState::CLOSED);
    assert_eq!(world.upstream().await, "plan; reason=good");
}
