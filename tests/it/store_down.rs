//! A table that is down, throttled or slow does not stop traffic: breakers count as closed.

use std::process;
use std::time::Duration;

use domain::breaker::BreakerState;
use domain::policy::BreakerScope;
use local::Fault;
use proxy::config::Settings;
use serde_json::Value;
use service::metrics::Metrics;
use simulators::{Step, Window};
use tests::{Streaming, World, message};
use tokio::time::timeout;

const CACHE_BOUND: Duration = Duration::from_secs(5);

/// The time after which an open breaker of the deployment is read again.
const REVOCATION_BOUND: Duration = Duration::from_mins(1);

/// The maximum time until a probe in these tests, shorter than the cache period of a key.
const MAX_OPEN: Duration = Duration::from_secs(10);

/// The length of a probe's lease.
const LEASE: Duration = Duration::from_mins(1);

/// A number of faults for which the table is down until they are cleared.
const DOWN: usize = 1000;

/// The maximum number of calls of one operation: the SDK's attempts.
const ATTEMPTS: u64 = 3;

/// A timeout far longer than the table may delay a request.
const TIMEOUT: Duration = Duration::from_secs(10);

const OPERATIONS: [&str; 10] = [
    "BatchGetItem",
    "BatchWriteItem",
    "DeleteItem",
    "GetItem",
    "PutItem",
    "Query",
    "Scan",
    "TransactGetItems",
    "TransactWriteItems",
    "UpdateItem",
];

fn faults() -> [Fault; 7] {
    [
        Fault::Throttling,
        Fault::ProvisionedThroughputExceeded,
        Fault::InternalServerError,
        Fault::Error {
            status: 400,
            name: "AccessDeniedException",
            message: "not this role".to_owned(),
        },
        Fault::Timeout,
        Fault::ResponseLost,
        Fault::Hang,
    ]
}

/// A world with a short deadline for a table that hangs, and a long one otherwise.
async fn world_for(fault: &Fault, change: impl FnOnce(&mut Settings)) -> World {
    World::with(|settings| {
        settings.deadlines.store = match fault {
            Fault::Hang => Duration::from_millis(200),
            _ => TIMEOUT,
        };
        settings.policy.breaker.max_open = MAX_OPEN;
        settings.policy.breaker.jitter = Duration::ZERO;
        change(settings);
    })
    .await
}

fn fail(world: &World, operation: &str, times: usize, fault: &Fault) {
    let faults = world.stack.aws().faults();
    faults.fail_next(operation, times, fault.clone());
}

/// The calls of DynamoDB so far.
fn calls(world: &World) -> u64 {
    let aws = world.stack.aws();
    OPERATIONS
        .iter()
        .map(|operation| aws.calls(operation))
        .sum()
}

/// The header `x-spillway-upstream` of one request, and its number of DynamoDB calls.
async fn upstream(world: &World) -> (String, u64) {
    let before = calls(world);
    let upstream = timeout(TIMEOUT, world.upstream()).await;
    let upstream = upstream.expect("the request waits for the table");
    (upstream, calls(world) - before)
}

/// The stored number of times that the breaker opened.
async fn trips(world: &World) -> u32 {
    match world.breaker().await {
        BreakerState::Open { trip, .. } | BreakerState::HalfOpen { trip, .. } => trip.count,
        BreakerState::Closed { .. } => 0,
    }
}

/// Checks that the breaker opens after the table works again. Skipped for a table that hung: with that short
/// deadline even a working table may be too slow.
async fn recovers(world: &World, fault: &Fault, after: Duration) {
    if *fault == Fault::Hang {
        return;
    }
    world.stack.aws().faults().clear();
    world.pass(after);
    world.exhaust_plan(1);
    assert_eq!(world.upstream().await, "bedrock; reason=usage_limit");
    let (leg, _) = upstream(world).await;
    assert!(
        leg.starts_with("bedrock; reason=breaker_open"),
        "{fault:?}: {leg}"
    );
}

#[tokio::test]
async fn unreadable_breaker_is_closed_and_not_read_by_every_request() {
    for fault in faults() {
        let world = world_for(&fault, |_| {}).await;
        assert_eq!(world.upstream().await, "plan; reason=good");
        world.pass(CACHE_BOUND);
        fail(&world, "Query", DOWN, &fault);

        for _ in 0..2 {
            let (leg, calls) = upstream(&world).await;
            assert_eq!(leg, "plan; reason=good", "{fault:?}");
            assert!((1..=ATTEMPTS).contains(&calls), "{fault:?}: {calls} calls");

            for _ in 0..3 {
                let observed = upstream(&world).await;
                assert_eq!(observed, ("plan; reason=good".to_owned(), 0), "{fault:?}");
            }
            world.exhaust_plan(1);
            let observed = upstream(&world).await;
            assert_eq!(
                observed,
                ("bedrock; reason=usage_limit".to_owned(), 0),
                "{fault:?}"
            );
            world.pass(CACHE_BOUND);
        }
        recovers(&world, &fault, CACHE_BOUND).await;
    }
}

#[tokio::test]
async fn probe_without_a_written_lease_is_sent_to_plan() {
    for fault in faults() {
        let world = world_for(&fault, |_| {}).await;
        world.exhaust_plan(1);
        world.upstream().await;
        world.pass(MAX_OPEN);
        fail(&world, "PutItem", DOWN, &fault);

        let writes = world.stack.aws().calls("PutItem");
        let (leg, calls) = upstream(&world).await;
        assert_eq!(leg, "plan; reason=good", "{fault:?}");
        let writes = world.stack.aws().calls("PutItem") - writes;
        assert!(writes <= ATTEMPTS, "{fault:?}: {writes} writes");
        assert!(
            (1..=ATTEMPTS + 1).contains(&calls),
            "{fault:?}: {calls} calls"
        );
        for _ in 0..3 {
            let observed = upstream(&world).await;
            assert_eq!(observed, ("plan; reason=good".to_owned(), 0), "{fault:?}");
        }

        // A write without a response was made.
        if !matches!(fault, Fault::Hang | Fault::ResponseLost) {
            world.stack.aws().faults().clear();
            world.pass(CACHE_BOUND);
            assert_eq!(
                world.upstream().await,
                "plan; reason=good; probe",
                "{fault:?}"
            );
        }
    }
}

#[tokio::test]
async fn response_is_delivered_when_the_breaker_cannot_be_written() {
    let limit = Step::UsageLimit {
        window: Window::FiveHour,
        reset_after_s: 1800,
    };
    for fault in faults() {
        // Recorded during the call of Bedrock, and before Plan's response is delivered.
        for (step, expected) in [
            (limit.clone(), "bedrock; reason=usage_limit"),
            (Step::ServerError, "plan; reason=broken"),
        ] {
            let world = world_for(&fault, |_| {}).await;
            world.upstream().await;
            fail(&world, "PutItem", DOWN, &fault);
            world.plan.script([step.clone(), step]);
            let (leg, calls) = upstream(&world).await;
            assert_eq!(leg, expected, "{fault:?}");
            assert!((1..=ATTEMPTS).contains(&calls), "{fault:?}: {calls} calls");
            let again = upstream(&world).await;
            assert_eq!(
                again,
                (expected.to_owned(), 0),
                "no further call: {fault:?}"
            );
            let observed = upstream(&world).await;
            assert_eq!(observed, ("plan; reason=good".to_owned(), 0), "{fault:?}");

            recovers(&world, &fault, MAX_OPEN).await;
        }
    }
}

#[tokio::test]
async fn key_read_timeout_is_a_503_and_delays_no_other_request() {
    let short = |settings: &mut Settings| settings.deadlines.key = Duration::from_millis(50);
    let world = world_for(&Fault::Hang, short).await;
    world.upstream().await;
    world.pass(Duration::from_mins(1));
    fail(&world, "Query", DOWN, &Fault::Hang);
    let hello = message("hello", Streaming::Yes);
    let answer = timeout(TIMEOUT, world.ask(&hello))
        .await
        .expect("the request waits for the table");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-spillway-error"), "spillway_unavailable");
}

#[tokio::test]
async fn unreadable_breaker_of_the_deployment_is_closed() {
    for fault in faults() {
        let world = world_for(&fault, |settings| {
            settings.policy.breaker.scope = BreakerScope::Deployment;
        })
        .await;
        fail(&world, "GetItem", DOWN, &fault);
        for _ in 0..2 {
            let (leg, calls) = upstream(&world).await;
            assert_eq!(leg, "plan; reason=good", "{fault:?}");
            // The key's partition is read once, too.
            let tried = 1..=ATTEMPTS + 1;
            assert!(tried.contains(&calls), "{fault:?}: {calls} calls");
            let observed = upstream(&world).await;
            assert_eq!(observed, ("plan; reason=good".to_owned(), 0), "{fault:?}");
            world.pass(CACHE_BOUND);
        }
    }
}

#[tokio::test]
async fn open_breaker_of_the_deployment_stays_open_when_it_cannot_be_read() {
    for fault in faults() {
        let world = world_for(&fault, |settings| {
            settings.policy.breaker.scope = BreakerScope::Deployment;
            settings.policy.breaker.max_open = Duration::from_hours(1);
        })
        .await;
        for _ in 0..3 {
            world.plan.script([Step::Overloaded]);
            world.upstream().await;
        }
        world.pass(REVOCATION_BOUND);
        fail(&world, "GetItem", DOWN, &fault);
        let reads = world.stack.aws().calls("GetItem");
        for _ in 0..2 {
            for _ in 0..3 {
                let (leg, _) = upstream(&world).await;
                let is_open = leg.starts_with("bedrock; reason=breaker_open");
                assert!(is_open, "{fault:?}: {leg}");
            }
            assert_eq!(upstream(&world).await.1, 0, "{fault:?}: left alone");
            world.pass(CACHE_BOUND);
        }
        let reads = world.stack.aws().calls("GetItem") - reads;
        assert!((2..=2 * ATTEMPTS).contains(&reads), "{fault:?}: {reads}");
    }
}

#[tokio::test]
async fn conversation_gets_a_response_when_its_session_is_not_written() {
    for fault in faults() {
        let world = world_for(&fault, |settings| {
            settings.policy.session_stickiness = Duration::from_mins(5);
        })
        .await;
        fail(&world, "PutItem", DOWN, &fault);
        world.exhaust_plan(1);
        for expected in ["bedrock; reason=usage_limit", "bedrock; reason=session"] {
            let leg = world.upstream_as(&world.key, "conversation");
            let leg = timeout(TIMEOUT, leg).await;
            assert_eq!(
                leg.expect("the request waits for the table"),
                expected,
                "{fault:?}"
            );
        }
    }
}

/// The SDK retries a single failure. A retried write reads its own first write.
#[tokio::test]
async fn lease_with_a_lost_write_response_probes_once() {
    for fault in [Fault::ResponseLost, Fault::Timeout, Fault::Throttling] {
        let world = world_for(&fault, |_| {}).await;
        world.exhaust_plan(1);
        world.upstream().await;
        world.pass(MAX_OPEN);
        world.exhaust_plan(1);
        fail(&world, "PutItem", 1, &fault);
        let upstreams = tokio::join!(
            upstream(&world),
            upstream(&world),
            upstream(&world),
            upstream(&world),
        );
        assert_eq!(world.plan.requests().len(), 2, "{fault:?}: {upstreams:?}");
        assert_eq!(trips(&world).await, 2, "{fault:?}: {upstreams:?}");
    }
}

#[tokio::test]
async fn open_state_is_cached_after_a_lost_write_response() {
    for fault in [Fault::ResponseLost, Fault::Timeout, Fault::Throttling] {
        let world = world_for(&fault, |_| {}).await;
        world.exhaust_plan(1);
        fail(&world, "PutItem", 1, &fault);
        assert_eq!(world.upstream().await, "bedrock; reason=usage_limit");
        let (leg, calls) = upstream(&world).await;
        assert!(
            leg.starts_with("bedrock; reason=breaker_open"),
            "{fault:?}: {leg}"
        );
        assert_eq!(calls, 0, "{fault:?}");
        assert_eq!(trips(&world).await, 1, "{fault:?}");
    }
}

/// The holder of that lease does not use it, so the lease expires.
#[tokio::test]
async fn lease_without_a_write_response_expires_as_usual() {
    let world = world_for(&Fault::ResponseLost, |_| {}).await;
    world.exhaust_plan(1);
    world.upstream().await;
    world.pass(MAX_OPEN);
    fail(&world, "PutItem", 3, &Fault::ResponseLost);
    assert_eq!(world.upstream().await, "plan; reason=good");
    assert!(matches!(
        world.breaker().await,
        BreakerState::HalfOpen { .. }
    ));

    world.pass(CACHE_BOUND);
    let (leg, _) = upstream(&world).await;
    assert!(leg.starts_with("bedrock; reason=breaker_open"), "{leg}");
    world.pass(LEASE);
    assert_eq!(world.upstream().await, "plan; reason=good; probe");
    assert_eq!(world.breaker().await, BreakerState::CLOSED);
}

#[tokio::test]
async fn open_breaker_needs_no_dynamodb_call_during_an_outage() {
    let world = World::with(|_| {}).await;
    world.exhaust_plan(1);
    world.upstream().await;
    for operation in OPERATIONS {
        fail(&world, operation, DOWN, &Fault::Hang);
    }
    for _ in 0..10 {
        world.pass(CACHE_BOUND);
        let (leg, calls) = upstream(&world).await;
        assert!(leg.starts_with("bedrock; reason=breaker_open"), "{leg}");
        assert_eq!(calls, 0);
    }
}

#[tokio::test]
async fn uncached_key_takes_one_query_and_success_writes_nothing() {
    let world = World::with(|_| {}).await;
    let others = |world: &World| calls(world) - world.stack.aws().calls("Query");
    let before = others(&world);
    assert_eq!(upstream(&world).await, ("plan; reason=good".to_owned(), 1));
    for _ in 0..20 {
        assert_eq!(upstream(&world).await.1, 0);
        world.pass(CACHE_BOUND);
        assert_eq!(upstream(&world).await.1, 1);
    }
    assert_eq!(others(&world), before);
}

#[tokio::test]
async fn success_after_a_long_response_reads_for_the_next_request_too() {
    let world = std::sync::Arc::new(World::with(|_| {}).await);
    world.upstream().await;
    world.plan.script([Step::Held { content: vec![] }]);
    let before = calls(&world);
    let mut asking = tokio::task::JoinSet::new();
    let slow = std::sync::Arc::clone(&world);
    asking.spawn(async move { slow.upstream().await });
    while world.plan.requests().len() == 1 {
        tokio::task::yield_now().await;
    }
    world.pass(CACHE_BOUND);
    world.plan.release();
    assert_eq!(asking.join_all().await, ["plan; reason=good"]);
    assert_eq!(calls(&world) - before, 1);
    assert_eq!(upstream(&world).await, ("plan; reason=good".to_owned(), 0));
}

#[tokio::test]
async fn probe_takes_one_query_and_two_writes_with_or_without_cached_key() {
    for later in [MAX_OPEN, LEASE + MAX_OPEN] {
        let world = world_for(&Fault::Throttling, |_| {}).await;
        world.exhaust_plan(1);
        assert_eq!(upstream(&world).await.1, 2, "one read and one write");
        world.pass(later);
        let observed = upstream(&world).await;
        assert_eq!(observed, ("plan; reason=good; probe".to_owned(), 3));
    }
}

/// Logs and metrics go to standard output, so this test runs itself in a process of its own.
#[tokio::test]
async fn store_failure_is_logged_once_counted_and_explained() {
    const NAME: &str = "store_down::store_failure_is_logged_once_counted_and_explained";
    let cases = [
        (
            "Query",
            Fault::Throttling,
            "DynamoDB Query failed (ThrottlingException)",
        ),
        ("Query", Fault::Hang, "DynamoDB Query failed (deadline)"),
        (
            "PutItem",
            Fault::Timeout,
            "DynamoDB PutItem failed (dispatch_failure)",
        ),
        ("PutItem", Fault::Hang, "DynamoDB PutItem failed (deadline)"),
    ];
    if std::env::args().any(|argument| argument == "--nocapture") {
        service::log::start_json();
        for (operation, fault, _) in cases {
            run_failing_requests(operation, &fault).await;
        }
        return;
    }
    let itself = std::env::current_exe().unwrap();
    let mut alone = process::Command::new(itself);
    alone
        .args(["--exact", NAME, "--nocapture"])
        .env("AWS_LAMBDA_LOG_LEVEL", "INFO");
    let run = alone.output().unwrap();
    let printed = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success(), "{printed}");

    let json = printed
        .lines()
        .filter_map(|line| line.find('{').map(|at| &line[at..]));
    let lines: Vec<Value> = json
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let all = |name: &str, value: &str, what: &str| -> Vec<Value> {
        let found = lines.iter().filter(|line| line[name] == value);
        found.map(|line| line[what].clone()).collect()
    };
    assert_eq!(
        all("level", "WARN", "error"),
        cases.each_ref().map(|(_, _, error)| *error)
    );
    let message = "breaker unavailable, treated as closed";
    let warned = all("message", message, "key.id");
    let requests = all("breaker.asked", "unavailable", "key.id");
    let thrice = warned
        .iter()
        .flat_map(|key_id| std::iter::repeat_n(key_id.clone(), 3));
    assert_eq!(
        requests,
        thrice.collect::<Vec<_>>(),
        "one warning for each three requests"
    );

    let counted: Vec<_> = lines
        .iter()
        .filter(|line| line["BreakerUnavailable"] == 1)
        .collect();
    let counted: Vec<_> = counted.iter().map(|line| &line["Operation"]).collect();
    assert_eq!(
        counted,
        cases.each_ref().map(|(operation, _, _)| *operation)
    );
    // An opening is logged once, also when its write's response was lost.
    assert_eq!(
        all("message", "breaker open", "because"),
        ["usage_limit"; 4]
    );
    assert_eq!(all("Reason", "usage_limit", "BreakerOpened"), [1; 4]);
}

async fn run_failing_requests(operation: &str, fault: &Fault) {
    let world = World::with(|settings| {
        settings.metrics = Metrics::EmbeddedInLog;
        settings.policy.breaker.max_open = MAX_OPEN;
    })
    .await;
    world.exhaust_plan(1);
    fail(&world, "PutItem", 1, &Fault::ResponseLost);
    world.upstream().await;
    world.pass(MAX_OPEN);
    fail(&world, operation, DOWN, fault);
    for _ in 0..3 {
        assert_eq!(world.upstream().await, "plan; reason=good");
    }
}
