//! Messages of Bedrock, through both dialects, streamed and as JSON.

use serde_json::{Value, json};

use super::message::{differences, received};
use super::{BedrockOnly, Operation, cases, conclude, id};

/// Replays one message, and returns each difference from the expected one.
pub(super) async fn replayed(
    bedrock: &BedrockOnly,
    operation: Operation,
    case: &Value,
    recorded: &Value,
    expect: &Value,
) -> Result<Value, String> {
    let steps = vec![operation.step(recorded)];
    let answer = bedrock.ask(operation, &case["request"], steps).await;
    if !bedrock.was_asked() {
        return Err(format!("Bedrock was not asked: {}", answer.text()));
    }
    let received = received(&answer)?;
    if let Some(error) = received.error {
        if expect["or_error"] == true {
            return Ok(Value::Null);
        }
        return Err(format!("{} {error:?}", received.status));
    }
    if received.status != 200 {
        return Err(format!("status {}", received.status));
    }
    let differences = differences(expect, &received.message);
    if differences.is_empty() {
        Ok(received.message)
    } else {
        Err(differences.join("; "))
    }
}

async fn replay_all(folder: &str) {
    let bedrock = BedrockOnly::new().await;
    let mut failures = Vec::new();
    for case in cases(folder) {
        let operations = Operation::ALL.into_iter();
        let operations: Vec<_> = operations
            .filter(|operation| case.get(operation.member()).is_some())
            .collect();
        assert!(!operations.is_empty(), "{}: no answer", id(&case));
        for operation in operations {
            let recorded = &case[operation.member()];
            let result = replayed(&bedrock, operation, &case, recorded, &case["expect"]).await;
            if let Err(what) = result {
                failures.push(format!("{}/{}: {what}", id(&case), operation.member()));
            }
        }
    }
    conclude(&failures);
}

#[tokio::test]
async fn recorded_texts_reach_the_client() {
    replay_all("answers/text_and_others").await;
}

#[tokio::test]
async fn recorded_tool_calls_reach_the_client() {
    replay_all("answers/tools").await;
}

#[tokio::test]
async fn recorded_thinking_reaches_the_client() {
    replay_all("answers/thinking").await;
}

#[tokio::test]
async fn recorded_citations_reach_the_client() {
    replay_all("answers/citations").await;
}

#[tokio::test]
async fn recorded_usage_and_stop_reasons_reach_the_client() {
    replay_all("answers/usage_and_stop_reasons").await;
}

#[tokio::test]
async fn a_request_that_bedrock_refuses_is_repaired_once() {
    let mut failures = Vec::new();
    for case in cases("repaired") {
        for operation in Operation::ALL {
            // A field that one case leaves out must be sent again in the next case.
            let bedrock = BedrockOnly::new().await;
            let body = json!({"message": case["message"]}).to_string();
            let headers = json!({
                "x-amzn-errortype":
                    "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/",
            });
            let steps = vec![super::whole(400, &headers, &body)];
            let answer = bedrock.ask(operation, &case["request"], steps).await;
            let calls = bedrock.world.bedrock.requests().len();
            if answer.status != 200 || calls != 2 {
                let what = format!("{} after {calls} calls: {}", answer.status, answer.text());
                failures.push(format!("{}/{}: {what}", id(&case), operation.member()));
            }
        }
    }
    conclude(&failures);
}
