//! Errors of Bedrock, on every operation that can send them, behind an open breaker.

use dialect::error::{AwsError, BedrockFailure, classify};
use serde_json::Value;
use simulators::Step;

use super::message::received;
use super::{BedrockOnly, Operation, cases, conclude, frames, id, whole};

/// The response of this operation; absent when the case has none for it.
fn step(case: &Value, operation: Operation) -> Option<Step> {
    let only = case["only"].as_array();
    if only.is_some_and(|only| only.iter().all(|name| name != operation.member())) {
        return None;
    }
    if let Some(step) = case.get("step") {
        return Some(serde_json::from_value(step.clone()).unwrap());
    }
    if let Some(http) = case.get("http") {
        let status = http["status"].as_u64().unwrap();
        let status = u16::try_from(status).unwrap();
        return Some(whole(status, &http["headers"], &http["body"].to_string()));
    }
    case["frames"].get(operation.member()).map(frames)
}

async fn replayed(
    bedrock: &BedrockOnly,
    operation: Operation,
    case: &Value,
    step: Step,
) -> Result<(), String> {
    let no_members = Value::Object(serde_json::Map::new());
    let request = case.get("request").unwrap_or(&no_members);
    // Twice, for a request that is repaired.
    let answer = bedrock
        .ask(operation, request, vec![step.clone(), step])
        .await;
    let received = received(&answer)?;
    let expect = &case["expect"];
    let (kind, message) = received.error.ok_or("no error")?;
    let mut found = vec![
        ("status", Value::from(received.status)),
        ("type", kind.into()),
    ];
    if expect["in_stream"] == true {
        found.push(("in_stream", received.in_stream.into()));
    } else {
        found.push(("class", answer.header("x-spillway-error").into()));
        found.push(("should_retry", answer.header("x-should-retry").into()));
    }
    for (name, found) in found {
        if expect[name] != found {
            let expected = &expect[name];
            return Err(format!("{name} is {found}, expected {expected}: {message}"));
        }
    }
    let words = expect["message"].as_str().unwrap_or_default();
    if !message.contains(words) {
        return Err(format!("{words:?} is not in {message:?}"));
    }
    if message.contains("arn:") || message.contains("000000000000") {
        return Err(format!("shows what AWS wrote: {message}"));
    }
    Ok(())
}

#[tokio::test]
async fn recorded_errors_of_bedrock_reach_the_client_as_their_class() {
    let bedrock = BedrockOnly::new().await;
    let mut failures = Vec::new();
    for case in cases("errors") {
        let mut replays = 0;
        for operation in Operation::ALL {
            let Some(step) = step(&case, operation) else {
                continue;
            };
            replays += 1;
            if let Err(what) = replayed(&bedrock, operation, &case, step).await {
                failures.push(format!("{}/{}: {what}", id(&case), operation.member()));
            }
        }
        assert!(replays > 0, "{}: no error", id(&case));
    }
    conclude(&failures);
}

/// The cause is not sent to the client; it decides the log entry and the recommended action.
#[test]
fn recorded_errors_have_their_cause() {
    let mut failures = Vec::new();
    for case in cases("errors") {
        let http = &case["http"];
        let body = &http["body"];
        let Some(message) = body["message"].as_str().or(body["Message"].as_str()) else {
            continue;
        };
        let status = http["status"].as_u64().and_then(|s| u16::try_from(s).ok());
        let cause = classify(&BedrockFailure::ErrorResponse(AwsError {
            status,
            code: http["headers"]["x-amzn-errortype"].as_str().map(Into::into),
            message: Some(message.into()),
            retry_after_s: None,
            request_id: None,
        }))
        .cause
        .as_str();
        if case["cause"] != cause {
            failures.push(format!(
                "{}: {cause}, expected {}",
                id(&case),
                case["cause"]
            ));
        }
    }
    conclude(&failures);
}
