//! Responses of Plan: messages are delivered byte for byte, and errors follow the table of verdicts.

use admin::Settings;
use reqwest::Method;
use serde_json::Value;
use tests::{Streaming, World, message, read};

use super::{cases, conclude, id, whole};

async fn replayed(world: &World, case: &Value) -> Result<(), String> {
    // Each case has its own breaker.
    let key = world.key_of(Settings::default()).await;
    let expect = &case["expect"];
    let streaming = if expect["streaming"] == true {
        Streaming::Yes
    } else {
        Streaming::No
    };
    let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
    let sent = case["body"].as_str().unwrap();
    world.plan.reset();
    world.bedrock.reset();
    world.plan.script([whole(status, &case["headers"], sent)]);
    let request = world
        .request_as(&key.access_key, Method::POST, "/v1/messages")
        .body(message("hello", streaming).to_string());
    let answer = read(request).await;
    let upstream = answer.header("x-spillway-upstream");
    let leg = expect["leg"].as_str().unwrap();
    let expected = expect["reason"].as_str().map_or_else(
        || leg.to_owned(),
        |reason| format!("{leg}; reason={reason}"),
    );
    if !upstream.starts_with(&expected) {
        return Err(format!("went by {upstream:?}, expected {expected:?}"));
    }
    if leg == "bedrock" {
        if answer.status != 200 {
            return Err(format!("{}: {}", answer.status, answer.text()));
        }
        return Ok(());
    }
    if answer.status != status || answer.body != sent.as_bytes() {
        return Err(format!("changed to {} {}", answer.status, answer.text()));
    }
    for (name, value) in case["headers"].as_object().unwrap() {
        if answer.header(name) != value {
            return Err(format!("{name} is {:?}", answer.header(name)));
        }
    }
    Ok(())
}

#[tokio::test]
async fn recorded_answers_of_plan_are_passed_on_or_fall_back() {
    let world = World::without_pace(|_| {}).await;
    let mut failures = Vec::new();
    for case in cases("plan") {
        if let Err(what) = replayed(&world, &case).await {
            failures.push(format!("{}: {what}", id(&case)));
        }
    }
    conclude(&failures);
}

/// Several concurrent agents get a 429 each, from a plan with most of its limit left.
#[tokio::test]
async fn burst_of_429_without_headers_does_not_open_the_breaker() {
    let world = World::without_pace(|_| {}).await;
    let cases = cases("plan");
    let burst = cases.iter().find(|case| id(case) == "bare_burst_limit");
    let burst = burst.unwrap();
    for _ in 0..6 {
        let sent = burst["body"].as_str().unwrap();
        world.plan.script([whole(429, &burst["headers"], sent)]);
        assert!(world.upstream().await.starts_with("bedrock"));
    }
    assert_eq!(world.plan.requests().len(), 6, "Plan was asked by each");
    assert_eq!(world.upstream().await, "plan; reason=good");
}
