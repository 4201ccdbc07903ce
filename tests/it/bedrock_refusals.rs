//! Fields that Bedrock rejects in one request, and their effect on later requests.

use admin::{IssuedKey, Settings};
use domain::bedrock::Dialect;
use reqwest::Method;
use serde_json::{Value, json};
use simulators::Step;
use simulators::bedrock::RecordedError;
use tests::{Answer, Streaming, World, message, read, world};

const BETA: &str = "interleaved-thinking-2025-05-14";

/// A request with most fields that Bedrock can reject.
fn conversation() -> Value {
    let mut body = message("first", Streaming::Yes);
    body["max_tokens"] = json!(4000);
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 2000});
    body["tools"] = json!([{"name": "Bash", "input_schema": {"type": "object"}}]);
    body["messages"] = json!([
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2lnbmF0dXJl"},
            {"type": "text", "text": "second"},
        ]},
        {"role": "user", "content": [
            {"type": "text", "text": "third", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        ]},
    ]);
    body
}

async fn ask(world: &World, key: &IssuedKey, body: &Value) -> Answer {
    world.exhaust_plan(1);
    let request = world
        .request_as(&key.access_key, Method::POST, "/v1/messages")
        .header("anthropic-beta", BETA);
    read(request.body(body.to_string())).await
}

/// The last body that Bedrock received, without the labels, which name the request.
fn last_body(world: &World) -> String {
    let mut body = world.bedrock.requests().last().unwrap().json().unwrap();
    body.as_object_mut().unwrap().remove("requestMetadata");
    body.to_string()
}

fn refusal(status: u16, kind: &str, message: &str) -> Step {
    Step::Error {
        status,
        kind: kind.to_owned(),
        message: message.to_owned(),
        headers: [].into(),
    }
}

#[tokio::test]
async fn a_fault_of_one_user_does_not_change_the_requests_of_another() {
    let invalid = |message| (400, "ValidationException", message);
    for (status, kind, message) in [
        invalid("messages.1.content.0: Invalid `signature` in `thinking` block"),
        invalid(
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`.",
        ),
        invalid(
            "messages.1.content.0: Input tag 'mcp_tool_use' found using 'type' does not match any of the expected tags: 'redacted_thinking', 'text', 'thinking'",
        ),
        invalid("messages.2.content.0.cache_control: Extra inputs are not permitted"),
        invalid("messages.2.content.0.text.cache_control.ttl: Extra inputs are not permitted"),
        invalid("`max_tokens` must be greater than `thinking.budget_tokens`."),
        invalid(
            "The inputSchema is invalid: $.properties.temperature: null found, [object] is required",
        ),
        invalid("tools.0.custom.input_schema.properties.strict: invalid"),
        invalid("messages.0.role: Input should be 'user' or 'assistant'"),
        invalid("invalid beta flag"),
        (
            403,
            "AccessDeniedException",
            "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more information.",
        ),
    ] {
        let world = world().await;
        let other = world.key_of(Settings::default()).await;
        assert_eq!(ask(&world, &other, &conversation()).await.status, 200);
        let before = last_body(&world);
        world.bedrock.script([refusal(status, kind, message)]);
        ask(&world, &world.key, &conversation()).await;
        assert_eq!(ask(&world, &other, &conversation()).await.status, 200);
        assert_eq!(last_body(&world), before, "{message}");
    }
}

#[tokio::test]
async fn unsupported_field_is_left_out_after_an_accepted_repair() {
    let world = world().await;
    let other = world.key_of(Settings::default()).await;
    let mut body = message("hello", Streaming::Yes);
    body["top_k"] = json!(7);
    let lacks = || {
        refusal(
            400,
            "ValidationException",
            "top_k: Extra inputs are not permitted",
        )
    };
    // The repaired request fails, so the rejection has no effect on later requests.
    world.bedrock.script([lacks(), Step::ServerError]);
    ask(&world, &world.key, &body).await;
    assert!(!last_body(&world).contains("top_k"), "the repair");
    assert_eq!(ask(&world, &other, &body).await.status, 200);
    assert!(last_body(&world).contains("top_k"));
    // The repaired request is accepted.
    world.bedrock.script([lacks()]);
    assert_eq!(ask(&world, &world.key, &body).await.status, 200);
    let received = world.bedrock.requests().len();
    for key in [&world.key, &other] {
        assert_eq!(ask(&world, key, &body).await.status, 200);
        assert!(!last_body(&world).contains("top_k"));
    }
    assert_eq!(
        world.bedrock.requests().len(),
        received + 2,
        "no repair is needed"
    );
}

#[tokio::test]
async fn a_refused_beta_is_left_out_of_the_requests_of_its_key_only() {
    let world = world().await;
    let other = world.key_of(Settings::default()).await;
    world
        .bedrock
        .script([refusal(400, "ValidationException", "invalid beta flag")]);
    assert_eq!(ask(&world, &world.key, &conversation()).await.status, 200);
    ask(&world, &world.key, &conversation()).await;
    assert!(!last_body(&world).contains(BETA));
    ask(&world, &other, &conversation()).await;
    assert!(last_body(&world).contains(BETA));
}

#[tokio::test]
async fn missing_step_of_the_accounts_setup_is_named_in_a_final_error() {
    for (error, words) in [
        (RecordedError::UseCaseForm, "use case form"),
        (RecordedError::DataRetention, "data retention mode"),
        (RecordedError::Marketplace, "aws-marketplace:Subscribe"),
        (RecordedError::NotVerified, "verified by AWS Support"),
        (RecordedError::NotOffered, "does not offer this model"),
    ] {
        // Behind an open breaker there is no response of Plan.
        let world = world().await;
        assert_eq!(ask(&world, &world.key, &conversation()).await.status, 200);
        world.bedrock.script([error.step()]);
        let answer = world.ask(&message("hello", Streaming::Yes)).await;
        assert_eq!(answer.status, 400, "{error:?}: {}", answer.text());
        assert_eq!(answer.header("x-spillway-error"), "bedrock_auth_error");
        assert_eq!(answer.header("x-should-retry"), "false");
        let (kind, sentence) = answer.error();
        assert_eq!(kind, "policy_blocked");
        assert!(sentence.contains(words), "{sentence}");
    }
}

#[tokio::test]
async fn anthropics_envelope_in_bedrocks_error_is_read_like_any_error() {
    for dialect in [Dialect::Converse, Dialect::Invoke] {
        let world = world().await;
        let key = world
            .key_of(Settings {
                dialect: Some(dialect),
                ..Settings::default()
            })
            .await;
        for error in [
            RecordedError::PromptTooLongInJson,
            RecordedError::PromptTooLongAsBody,
        ] {
            world.bedrock.script([error.step()]);
            let answer = ask(&world, &key, &message("hello", Streaming::Yes)).await;
            let (kind, sentence) = answer.error();
            assert_eq!(
                (answer.status, kind.as_str()),
                (400, "invalid_request_error")
            );
            assert_eq!(
                sentence,
                "prompt is too long: 211055 tokens > 200000 maximum"
            );
        }
        world.bedrock.script([Step::Raw {
            status: 400,
            headers: [].into(),
            body: r#"{"type":"error","error":{"type":"invalid_request_error","message":"invalid beta flag"}}"#.to_owned(),
        }]);
        let answer = ask(&world, &key, &conversation()).await;
        assert_eq!(answer.status, 200, "the repair: {}", answer.text());
    }
}

#[tokio::test]
async fn unknown_model_name_is_served_by_the_default_model() {
    let world = world().await;
    for model in [
        format!("anthropic.{}", "a".repeat(100_000)),
        format!("arn:{}", "a".repeat(3000)),
        "anthropic.claude\u{1}".to_owned(),
        "anthropic.claude \u{e9}".to_owned(),
    ] {
        let mut body = message("hello", Streaming::No);
        body["model"] = json!(model);
        let answer = ask(&world, &world.key, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    for request in world.bedrock.requests() {
        assert!(
            request.path.contains("claude-sonnet-4-5"),
            "{}",
            request.path
        );
    }
}
