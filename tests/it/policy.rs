//! Policies that are not the default: of a user, of the deployment, and for conversations on Bedrock.

use std::time::Duration;

use admin::{BreakersOf, Command, Outcome, Settings};
use domain::breaker::{BreakerState, Circuit};
use domain::policy::{BreakerScope, FallbackClass, PolicyChange};
use simulators::Step;
use tests::{World, world};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
/// The maximum default jitter.
const JITTER: Duration = Duration::from_secs(10);

fn policy(policy: PolicyChange) -> Settings {
    Settings {
        policy,
        ..Settings::default()
    }
}

fn with_policy(change: PolicyChange) -> impl FnOnce(&mut proxy::config::Settings) {
    move |settings| settings.policy = settings.policy.with(&change)
}

#[tokio::test]
async fn user_has_its_own_policy() {
    let world = world().await;
    let only_limits = world
        .key_of(policy(PolicyChange {
            fallback_on: Some([FallbackClass::UsageLimit].into()),
            ..PolicyChange::default()
        }))
        .await;
    world.plan.script([Step::Overloaded]);
    assert_eq!(
        world.upstream_as(&only_limits, "a").await,
        "plan; reason=overloaded"
    );

    let impatient = world
        .key_of(policy(PolicyChange {
            breaker_failures: Some(1),
            breaker_open_s: Some(5),
            breaker_jitter_s: Some(0),
            ..PolicyChange::default()
        }))
        .await;
    world.plan.script([Step::Overloaded]);
    world.upstream_as(&impatient, "a").await;
    let upstream = world.upstream_as(&impatient, "a").await;
    assert!(upstream.contains("breaker_open"), "{upstream}");
    world.pass(5 * SECOND);
    assert_eq!(
        world.upstream_as(&impatient, "a").await,
        "plan; reason=good; probe"
    );
    assert_eq!(
        world.upstream().await,
        "plan; reason=good",
        "other users keep the policy of the deployment"
    );
}

#[tokio::test]
async fn overload_counts_for_the_deployment_in_deployment_scope() {
    let world = World::with(with_policy(PolicyChange {
        breaker_scope: Some(BreakerScope::Deployment),
        ..PolicyChange::default()
    }))
    .await;
    let others = [
        world.key_of(Settings::default()).await,
        world.key_of(Settings::default()).await,
    ];
    // A usage limit belongs to the key in every scope.
    world.open_breaker(MINUTE).await;
    assert_eq!(
        world.upstream_as(&others[0], "a").await,
        "plan; reason=good"
    );

    for key in [&others[0], &others[1], &others[0]] {
        world.plan.script([Step::ServerError]);
        assert_eq!(world.upstream_as(key, "a").await, "plan; reason=broken");
    }
    for key in &others {
        let upstream = world.upstream_as(key, "a").await;
        assert!(
            upstream.contains("breaker_open; because=broken"),
            "{upstream}"
        );
    }
    let reset = Command::ResetBreakers {
        of: BreakersOf::Deployment,
    };
    world.command(reset).await;
    let Outcome::Breakers { breakers, .. } =
        world.command(Command::ShowBreakers { key_id: None }).await
    else {
        panic!()
    };
    let deployment = breakers.iter().find(|it| it.circuit == Circuit::Deployment);
    assert_eq!(deployment.unwrap().state, BreakerState::CLOSED);
}

#[tokio::test]
async fn shared_breaker_follows_the_policy_of_the_deployment() {
    let world = World::with(with_policy(PolicyChange {
        breaker_scope: Some(BreakerScope::Deployment),
        ..PolicyChange::default()
    }))
    .await;
    let impatient = world
        .key_of(policy(PolicyChange {
            breaker_failures: Some(1),
            breaker_max_open_s: Some(1),
            ..PolicyChange::default()
        }))
        .await;
    world
        .plan
        .script([Step::ServerError, Step::ServerError, Step::ServerError]);
    for _ in 0..3 {
        assert_eq!(
            world.upstream_as(&impatient, "a").await,
            "plan; reason=broken"
        );
    }
    world.pass(10 * MINUTE);
    let upstream = world.upstream_as(&impatient, "a").await;
    assert!(upstream.contains("breaker_open"), "{upstream}");
}

fn sticky() -> impl FnOnce(&mut proxy::config::Settings) {
    with_policy(PolicyChange {
        session_stickiness_s: Some(300),
        ..PolicyChange::default()
    })
}

#[tokio::test]
async fn conversation_stays_on_bedrock_for_the_stickiness_period() {
    let world = World::with(sticky()).await;
    world.plan.script([world.limit_for(20 * SECOND)]);
    let limited = world.upstream_as(&world.key, "one").await;
    assert_eq!(limited, "bedrock; reason=usage_limit");
    world.pass(20 * SECOND + JITTER);
    assert_eq!(
        world.upstream_as(&world.key, "two").await,
        "plan; reason=good; probe"
    );
    for _ in 0..2 {
        assert_eq!(
            world.upstream_as(&world.key, "one").await,
            "bedrock; reason=session"
        );
    }
    // Requests on Bedrock do not prolong the period.
    world.pass(4 * MINUTE + 40 * SECOND);
    assert_eq!(
        world.upstream_as(&world.key, "one").await,
        "plan; reason=good"
    );
}

#[tokio::test]
async fn conversation_stays_from_its_last_fallback_on() {
    let world = World::with(sticky()).await;
    world.plan.script([world.limit_for(10 * MINUTE)]);
    world.upstream_as(&world.key, "one").await;
    for _ in 0..3 {
        world.pass(3 * MINUTE);
        let upstream = world.upstream_as(&world.key, "one").await;
        assert!(upstream.contains("breaker_open"), "{upstream}");
    }
    world.pass(MINUTE + JITTER);
    assert_eq!(
        world.upstream_as(&world.key, "one").await,
        "bedrock; reason=session"
    );
    assert_eq!(
        world.upstream_as(&world.key, "two").await,
        "plan; reason=good; probe"
    );
    assert_eq!(
        world.upstream_as(&world.key, "one").await,
        "bedrock; reason=session"
    );
}

#[tokio::test]
async fn conversations_return_to_plan_at_once_by_default() {
    let world = world().await;
    world.plan.script([world.limit_for(20 * SECOND)]);
    world.upstream_as(&world.key, "one").await;
    world.pass(20 * SECOND + JITTER);
    assert_eq!(
        world.upstream_as(&world.key, "one").await,
        "plan; reason=good; probe"
    );
    assert_eq!(
        world.upstream_as(&world.key, "one").await,
        "plan; reason=good"
    );
}

#[tokio::test]
async fn conversation_returns_to_plan_early_when_bedrock_fails() {
    let world = World::with(sticky()).await;
    world.plan.script([world.limit_for(20 * SECOND)]);
    world.upstream_as(&world.key, "one").await;
    world.pass(20 * SECOND + JITTER);
    world.upstream_as(&world.key, "two").await;
    for step in [Step::Overloaded, Step::Unauthorized, Step::TooLong] {
        world.bedrock.script([step.clone()]);
        let upstream = world.upstream_as(&world.key, "one").await;
        assert_eq!(upstream, "plan; reason=good", "{step:?}");
    }
}
