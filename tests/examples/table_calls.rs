//! Prints the number of DynamoDB calls of a request for each case of the breaker. `benches/decision.sh` shows them
//! beside the instructions.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example that cannot go on names the place"
)]

use std::time::Duration;

use domain::policy::PolicyChange;
use simulators::Step;
use tests::{World, world};

/// All operations of DynamoDB that the proxy uses.
const OPERATIONS: [&str; 7] = [
    "Query",
    "GetItem",
    "BatchGetItem",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "TransactWriteItems",
];

fn calls(world: &World) -> [u64; 7] {
    OPERATIONS.map(|operation| world.stack.aws().calls(operation))
}

/// Sends requests, and prints their calls of DynamoDB.
async fn measure(case: &str, world: &World, requests: usize) {
    let before = calls(world);
    let mut upstreams = std::collections::BTreeSet::new();
    for _ in 0..requests {
        let upstream = world.upstream().await;
        let reason = upstream
            .split("; because")
            .next()
            .unwrap_or_default()
            .to_owned();
        upstreams.insert(reason);
    }
    let after = calls(world);
    let made: Vec<String> = OPERATIONS
        .iter()
        .zip(before.iter().zip(&after))
        .filter(|(_, (before, after))| after > before)
        .map(|(operation, (before, after))| format!("{operation} {}", after - before))
        .collect();
    let made = if made.is_empty() {
        "none".to_owned()
    } else {
        made.join(", ")
    };
    let upstreams: Vec<_> = upstreams.into_iter().collect();
    println!(
        "{case:42} {requests:>4}   {made:22} {}",
        upstreams.join(" | ")
    );
}

#[tokio::main]
async fn main() {
    println!(
        "{:42} {:>4}   {:22} answers",
        "case", "sent", "DynamoDB calls"
    );
    let fresh = world().await;
    measure("cold key, closed", &fresh, 1).await;
    measure("warm key, closed", &fresh, 200).await;
    fresh.pass(Duration::from_secs(5));
    measure("warm key, closed, breaker known too long", &fresh, 1).await;
    fresh.plan.script([Step::Overloaded]);
    measure("a counted failure", &fresh, 1).await;
    measure("a success after it", &fresh, 1).await;
    fresh.exhaust_plan(1);
    measure("a usage limit, which opens the breaker", &fresh, 1).await;
    measure("warm key, open", &fresh, 200).await;
    fresh.pass(Duration::from_mins(50));
    measure("cold record, open still", &fresh, 1).await;
    measure("warm record, open still", &fresh, 200).await;
    fresh.pass(Duration::from_mins(11));
    measure("the probe, which closes it", &fresh, 1).await;

    let sticky = PolicyChange {
        session_stickiness_s: Some(300),
        ..PolicyChange::default()
    };
    let sticky = World::with(|settings| settings.policy = settings.policy.with(&sticky)).await;
    sticky.exhaust_plan(1);
    sticky.upstream().await;
    measure("open, stickiness on, no session id", &sticky, 200).await;
}
