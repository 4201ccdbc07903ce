//! The breaker (requirement R2).

use std::time::Duration;

use admin::{BreakersOf, Command, Outcome};
use domain::breaker::{BreakerState, Circuit};
use domain::policy::{BreakerPolicy, FallbackClass};
use local::Fault;
use reqwest::Method;
use simulators::{Point, Step, Window};
use store::breakers::Swap;
use store::layout::ACCESS;
use store::table::AccessTable;
use tests::{Streaming, World, message, read, world};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
/// The maximum default jitter.
const JITTER: Duration = Duration::from_secs(10);

fn limit(window: Window, reset_after_s: u64) -> Step {
    Step::UsageLimit {
        window,
        reset_after_s,
    }
}

#[tokio::test]
async fn usage_limit_opens_the_breaker_until_reset_and_a_probe_closes_it() {
    let world = world().await;
    let after = 20 * MINUTE;
    let until = world.now().plus(after);
    world.plan.script([world.limit_for(after)]);
    assert_eq!(world.upstream().await, "bedrock; reason=usage_limit");
    let BreakerState::Open {
        trip,
        until: open_until,
    } = world.breaker().await
    else {
        panic!("the breaker is not open");
    };
    assert_eq!((trip.class, trip.count), (FallbackClass::UsageLimit, 1));
    assert!(open_until >= until, "until the reset");
    assert!(open_until <= until.plus(JITTER), "with jitter");

    let opened = format!("bedrock; reason=breaker_open; because=usage_limit; until={open_until}");
    for _ in 0..3 {
        assert_eq!(world.upstream().await, opened);
    }
    assert_eq!(world.plan.requests().len(), 1, "Plan is left alone");

    world.pass(after + JITTER);
    assert_eq!(world.upstream().await, "plan; reason=good; probe");
    assert_eq!(world.breaker().await, BreakerState::CLOSED);
    assert_eq!(world.upstream().await, "plan; reason=good");
}

#[tokio::test]
async fn failed_probe_opens_the_breaker_again() {
    let world = world().await;
    world.open_breaker(MINUTE).await;
    world.pass(MINUTE + JITTER);
    world.plan.script([world.limit_for(2 * MINUTE)]);
    assert_eq!(world.upstream().await, "bedrock; reason=usage_limit");
    let BreakerState::Open { trip, until } = world.breaker().await else {
        panic!("the breaker is not open again");
    };
    assert_eq!(trip.count, 2);
    assert!(until >= world.now().plus(2 * MINUTE));
    let upstream = world.upstream().await;
    assert!(upstream.contains("breaker_open"), "{upstream}");
}

#[tokio::test]
async fn one_request_probes_and_the_others_do_not_wait() {
    let world = std::sync::Arc::new(world().await);
    world.open_breaker(MINUTE).await;
    world.pass(MINUTE + JITTER);
    world.plan.script([Step::Held { content: vec![] }]);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let world = std::sync::Arc::clone(&world);
        asking.spawn(async move { world.upstream().await });
    }
    let mut upstreams = Vec::new();
    while upstreams.len() < 19 {
        upstreams.push(asking.join_next().await.unwrap().unwrap());
    }
    world.plan.release();
    upstreams.extend(asking.join_all().await);
    let probes = upstreams
        .iter()
        .filter(|it| *it == "plan; reason=good; probe");
    assert_eq!(probes.count(), 1, "{upstreams:?}");
    let denied = upstreams
        .iter()
        .filter(|it| it.starts_with("bedrock; reason=breaker_open"));
    assert_eq!(denied.count(), 19, "{upstreams:?}");
    assert_eq!(world.plan.requests().len(), 2);
}

#[tokio::test]
async fn probe_that_never_ends_is_replaced_after_its_lease() {
    let world = world().await;
    world.open_breaker(MINUTE).await;
    world.pass(MINUTE + JITTER);
    world.plan.script([Step::Hang {
        after: Point::Connect,
        content: vec![],
    }]);
    let sent = world.plan.requests().len();
    let body = message("hello", Streaming::Yes).to_string();
    let request = world.request(Method::POST, "/v1/messages").body(body);
    let mut probing = tokio::task::JoinSet::new();
    probing.spawn(request.send());
    while world.plan.requests().len() == sent {
        tokio::task::yield_now().await;
    }
    // The client disconnects, so the result of the probe is never recorded.
    probing.shutdown().await;
    let upstream = world.upstream().await;
    assert!(upstream.contains("breaker_open"), "{upstream}");
    world.pass(MINUTE);
    assert_eq!(world.upstream().await, "plan; reason=good; probe");
}

#[tokio::test]
async fn three_failures_within_a_minute_open_the_breaker_for_half_an_hour() {
    let world = world().await;
    for counted in 1..=3 {
        world.plan.script([Step::Overloaded]);
        assert_eq!(
            world.upstream().await,
            "bedrock; reason=overloaded",
            "{counted}"
        );
        world.pass(SECOND);
    }
    let BreakerState::Open { trip, until } = world.breaker().await else {
        panic!("the third failure does not open the breaker");
    };
    assert_eq!(trip.class, FallbackClass::Overloaded);
    let left = until.since(world.now());
    assert!(left > 29 * MINUTE && left < 31 * MINUTE, "{left:?}");
}

#[tokio::test]
async fn failures_count_only_in_a_row_and_within_the_window() {
    let overloaded = |world: &World| world.plan.script([Step::Overloaded]);
    let in_between = world().await;
    for _ in 0..2 {
        overloaded(&in_between);
        in_between.upstream().await;
    }
    assert_eq!(in_between.upstream().await, "plan; reason=good");
    assert_eq!(in_between.breaker().await, BreakerState::CLOSED);
    overloaded(&in_between);
    in_between.upstream().await;
    assert_eq!(in_between.upstream().await, "plan; reason=good");

    let too_slow = world().await;
    for _ in 0..4 {
        overloaded(&too_slow);
        assert_eq!(too_slow.upstream().await, "bedrock; reason=overloaded");
        too_slow.pass(31 * SECOND);
    }
    assert!(matches!(
        too_slow.breaker().await,
        BreakerState::Closed { .. }
    ));
}

#[tokio::test]
async fn broken_response_is_delivered_and_counted() {
    let world = world().await;
    for _ in 0..3 {
        world.plan.script([Step::ServerError]);
        assert_eq!(world.upstream().await, "plan; reason=broken");
    }
    let upstream = world.upstream().await;
    assert!(
        upstream.starts_with("bedrock; reason=breaker_open; because=broken"),
        "{upstream}"
    );
}

#[tokio::test]
async fn login_and_client_errors_never_open_the_breaker() {
    let world = world().await;
    for step in [
        Step::Unauthorized,
        Step::Forbidden,
        Step::TooLong,
        Step::Entitlement,
    ] {
        for _ in 0..4 {
            world.plan.script([step.clone()]);
            world.upstream().await;
        }
        assert_eq!(world.breaker().await, BreakerState::CLOSED, "{step:?}");
    }
    assert_eq!(world.upstream().await, "plan; reason=good");
}

#[tokio::test]
async fn limit_of_one_family_leaves_the_others_on_plan() {
    let world = world().await;
    world.plan.script([limit(Window::SevenDayOpus, 3600)]);
    assert_eq!(world.upstream().await, "bedrock; reason=usage_limit");
    let opus: Circuit = "opus".parse().unwrap();
    let opened: Vec<_> = world.breakers().await;
    assert!(
        matches!(opened.as_slice(), [only] if only.circuit == opus),
        "{opened:?}"
    );
    let upstream = world.upstream().await;
    assert!(upstream.contains("breaker_open"), "{upstream}");
    let mut sonnet = message("hello", Streaming::Yes);
    sonnet["model"] = "claude-sonnet-5-5".into();
    let answer = world.ask(&sonnet).await;
    assert_eq!(answer.header("x-spillway-upstream"), "plan; reason=good");
}

#[tokio::test]
async fn request_without_all_leases_returns_those_it_has() {
    let world = world().await;
    world
        .plan
        .script([limit(Window::SevenDayOpus, 3600), world.limit_for(MINUTE)]);
    world.upstream().await;
    let mut sonnet = message("hello", Streaming::Yes);
    sonnet["model"] = "claude-sonnet-5-5".into();
    world.ask(&sonnet).await;
    world.pass(2 * Duration::from_hours(1));
    // A token count reads the key with its breakers, and checks none of them.
    let count = message("hello", Streaming::No).to_string();
    let count = world
        .request(Method::POST, "/v1/messages/count_tokens")
        .body(count);
    read(count).await;

    // Another instance takes the lease of opus while this one has cached it as free.
    let table = AccessTable::new(world.stack.aws().dynamodb(), ACCESS.default_name);
    let resolved = table.key(&world.key.key_id).await.unwrap().unwrap();
    let opus = resolved
        .breakers
        .into_iter()
        .find(|it| it.key.circuit().to_string() == "opus")
        .unwrap();
    let other = "req_another".parse().unwrap();
    let taken = opus
        .state
        .admit(&other, world.now(), &BreakerPolicy::default());
    let swapped = table
        .swap_breaker(&opus, taken.next.unwrap())
        .await
        .unwrap();
    assert!(matches!(swapped, Swap::Won(_)));

    let sent = world.plan.requests().len();
    let written = world.stack.aws().calls("PutItem");
    let upstream = world.upstream().await;
    assert!(upstream.contains("breaker_open"), "{upstream}");
    assert_eq!(world.plan.requests().len(), sent);
    let written = world.stack.aws().calls("PutItem") - written;
    assert_eq!(
        written, 3,
        "the plan's lease, the lost lease of opus, and the return"
    );
    let BreakerState::Open { until, .. } = world.breaker().await else {
        panic!("the plan's lease is not returned");
    };
    assert!(until <= world.now());
    let answer = world.ask(&sonnet).await;
    assert_eq!(
        answer.header("x-spillway-upstream"),
        "plan; reason=good; probe"
    );
}

#[tokio::test]
async fn probe_result_is_recorded_after_another_store_failure() {
    let world = std::sync::Arc::new(world().await);
    world.plan.script([limit(Window::SevenDayOpus, 3600)]);
    world.upstream().await;
    world.pass(2 * Duration::from_hours(1));
    let held = Step::Held { content: vec![] };
    world.plan.script([held, Step::Overloaded]);
    let sent = world.plan.requests().len();
    let mut probing = tokio::task::JoinSet::new();
    let probe = std::sync::Arc::clone(&world);
    probing.spawn(async move { probe.upstream().await });
    while world.plan.requests().len() == sent {
        tokio::task::yield_now().await;
    }

    // An error that the SDK does not retry.
    let refused = Fault::Error {
        status: 400,
        name: "AccessDeniedException",
        message: String::new(),
    };
    world.stack.aws().faults().fail_next("PutItem", 1, refused);
    let mut sonnet = message("hello", Streaming::Yes);
    sonnet["model"] = "claude-sonnet-5-5".into();
    let answer = world.ask(&sonnet).await;
    let upstream = answer.header("x-spillway-upstream");
    assert_eq!(upstream, "bedrock; reason=overloaded");
    assert_eq!(
        world.stack.aws().faults().pending(),
        0,
        "the write of the breaker has failed"
    );
    world.plan.release();

    assert_eq!(probing.join_all().await, ["plan; reason=good; probe"]);
    let opus = world.breakers().await.into_iter();
    let mut opus = opus.filter(|it| it.circuit.to_string() == "opus");
    assert_eq!(opus.next().unwrap().state, BreakerState::CLOSED);
}

#[tokio::test]
async fn open_breaker_lets_a_key_without_a_bedrock_key_use_plan() {
    let world = world().await;
    let key = world.key_without_bedrock().await;
    world.plan.script([world.limit_for(20 * MINUTE)]);
    let limited = world.upstream_as(&key, "a").await;
    assert_eq!(limited, "plan; reason=usage_limit");
    assert!(matches!(
        world.breakers_of(&key).await.as_slice(),
        [it] if matches!(it.state, BreakerState::Open { .. })
    ));
    assert_eq!(world.upstream_as(&key, "a").await, "plan; reason=good");
    assert_eq!(world.plan.requests().len(), 2);
}

#[tokio::test]
async fn token_count_goes_to_plan_while_the_breaker_is_open() {
    let world = world().await;
    world.open_breaker(20 * MINUTE).await;
    let count = world
        .request(Method::POST, "/v1/messages/count_tokens")
        .body(message("hello", Streaming::No).to_string());
    let answer = read(count).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-spillway-upstream"), "plan; reason=good");
}

/// The response of a used-up plan that names its reset in one header.
fn rejected(header: &str, value: &str) -> Step {
    let status = "anthropic-ratelimit-unified-status".to_owned();
    let headers = [
        (status, "rejected".to_owned()),
        (header.to_owned(), value.to_owned()),
    ];
    Step::Error {
        status: 429,
        kind: "rate_limit_error".to_owned(),
        message: String::new(),
        headers: headers.into(),
    }
}

#[tokio::test]
async fn reset_in_a_response_is_capped_at_the_longest_open_time() {
    let hour = Duration::from_hours(1);
    for (header, value) in [
        ("anthropic-ratelimit-unified-reset", "253402300799"),
        ("retry-after", "99999999"),
        ("retry-after", "18446744073709551615"),
    ] {
        let world = world().await;
        world.plan.script([rejected(header, value)]);
        world.upstream().await;
        let BreakerState::Open { until, .. } = world.breaker().await else {
            panic!("{header}: {value} does not open the breaker");
        };
        assert_eq!(until, world.now().plus(hour), "{header}: {value}");
    }
}

#[tokio::test]
async fn limit_with_an_unreadable_end_is_counted() {
    for (header, value) in [
        ("anthropic-ratelimit-unified-reset", "0"),
        ("anthropic-ratelimit-unified-reset", "-99999999999999999999"),
        ("retry-after", "-1"),
        ("retry-after", "Wed, 21 Oct 2037 07:28:00 GMT"),
    ] {
        let world = world().await;
        world.plan.script([rejected(header, value)]);
        assert_eq!(world.upstream().await, "bedrock; reason=usage_limit");
        let state = world.breaker().await;
        assert!(
            matches!(&state, BreakerState::Closed { failures } if failures.len() == 1),
            "{header}: {value}: {state:?}"
        );
    }
}

#[tokio::test]
async fn breaker_reset_takes_effect_within_the_revocation_bound() {
    let world = world().await;
    world.open_breaker(50 * MINUTE).await;
    let of = BreakersOf::Key(world.key.key_id.clone());
    let reset = Command::ResetBreakers { of };
    let Outcome::BreakersReset { breakers, .. } = world.command(reset.clone()).await else {
        panic!()
    };
    assert!(
        matches!(breakers.as_slice(), [it] if matches!(it.state, BreakerState::Open { .. })),
        "the reset returns the state before: {breakers:?}"
    );
    assert_eq!(world.breaker().await, BreakerState::CLOSED);
    world.pass(MINUTE);
    assert_eq!(world.upstream().await, "plan; reason=good");

    let Outcome::BreakersReset { breakers, .. } = world.command(reset).await else {
        panic!()
    };
    assert!(breakers.is_empty(), "the second reset has no breaker");
    let Outcome::Breakers { breakers, .. } =
        world.command(Command::ShowBreakers { key_id: None }).await
    else {
        panic!()
    };
    assert_eq!(breakers.len(), 1, "all breakers are listed: {breakers:?}");
}
