use std::collections::HashSet;

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::{BehaviorVersion, Config, Region, Token};
use aws_sdk_bedrockruntime::error::ProvideErrorMetadata;
use aws_sdk_bedrockruntime::operation::RequestId as _;
use aws_sdk_bedrockruntime::operation::converse::{ConverseError, ConverseOutput};
use aws_sdk_bedrockruntime::operation::converse_stream::{
    ConverseStreamError, ConverseStreamOutput,
};
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError;
use aws_sdk_bedrockruntime::types::{
    ContentBlockDelta, ContentBlockStart, ConverseStreamOutput as Event, ConverseTokensRequest,
    CountTokensInput, InvokeModelTokensRequest, Message, ReasoningContentBlockDelta,
    ResponseStream,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::super::bedrock::{AcceptedKeys, BedrockOptions, DEMO_BEDROCK_API_KEY};
use super::super::{Content, Frame, Point, Step, ToolCall, Usage};
use super::{Running, bedrock, start_bedrock};

const MODEL: &str = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";

fn sdk_with_key(running: &Running, key: &str) -> Client {
    Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new("us-east-1"))
            .endpoint_url(running.simulator.url())
            .retry_config(RetryConfig::disabled())
            .bearer_token(Token::new(key, None))
            .build(),
    )
}

fn sdk(running: &Running) -> Client {
    sdk_with_key(running, DEMO_BEDROCK_API_KEY)
}

/// Puts a body of our own on the wire.
fn with_body(body: &Value) -> impl Fn(&mut HttpRequest) + Send + Sync + 'static {
    let body = body.to_string();
    move |request| {
        request
            .headers_mut()
            .insert("content-length", body.len().to_string());
        *request.body_mut() = SdkBody::from(body.clone());
    }
}

type Outcome<T, E> = Result<T, SdkError<E, HttpResponse>>;

async fn converse(client: &Client, body: &Value) -> Outcome<ConverseOutput, ConverseError> {
    client
        .converse()
        .model_id(MODEL)
        .customize()
        .mutate_request(with_body(body))
        .send()
        .await
}

async fn converse_stream(
    client: &Client,
    body: &Value,
) -> Outcome<ConverseStreamOutput, ConverseStreamError> {
    let call = client.converse_stream().model_id(MODEL).customize();
    call.mutate_request(with_body(body)).send().await
}

fn prompt(text: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": [{ "text": text }] }] })
}

/// A stream in one line, and how it ended.
async fn summary(output: ConverseStreamOutput) -> (String, Result<(), String>) {
    let mut stream = output.stream;
    let mut summary: Vec<String> = Vec::new();
    let mut delta = String::new();
    let ended = loop {
        let event = match stream.recv().await {
            Ok(Some(event)) => event,
            Ok(None) => break Ok(()),
            Err(SdkError::ServiceError(error)) => {
                break Err(match error.into_err() {
                    ConverseStreamOutputError::InternalServerException(_) => "internal".into(),
                    ConverseStreamOutputError::ThrottlingException(_) => "throttling".into(),
                    other => format!("{other:?}"),
                });
            }
            Err(SdkError::ResponseError(_)) => break Err("unreadable".into()),
            Err(SdkError::DispatchFailure(_)) => break Err("cut".into()),
            Err(other) => break Err(format!("{other:?}")),
        };
        if let Event::ContentBlockDelta(part) = event {
            match part.delta.unwrap() {
                ContentBlockDelta::Text(text) => delta.push_str(&text),
                ContentBlockDelta::ToolUse(call) => delta.push_str(&call.input),
                ContentBlockDelta::ReasoningContent(ReasoningContentBlockDelta::Text(text)) => {
                    delta.extend(["(", text.as_str(), ")"]);
                }
                ContentBlockDelta::ReasoningContent(ReasoningContentBlockDelta::Signature(_)) => {
                    delta.push_str("(signed)");
                }
                other => panic!("{other:?}"),
            }
            continue;
        }
        if !delta.is_empty() {
            summary.push(std::mem::take(&mut delta));
        }
        summary.push(match event {
            Event::MessageStart(_) => "start".into(),
            Event::ContentBlockStart(start) => match start.start.unwrap() {
                ContentBlockStart::ToolUse(call) => format!("call {}", call.name),
                other => panic!("{other:?}"),
            },
            Event::ContentBlockStop(_) => "stop".into(),
            Event::MessageStop(stop) => stop.stop_reason.as_str().to_owned(),
            Event::Metadata(metadata) => {
                assert!(metadata.usage.unwrap().output_tokens > 0);
                "metadata".into()
            }
            other => panic!("{other:?}"),
        });
    };
    if !delta.is_empty() {
        summary.push(delta);
    }
    (summary.join(" | "), ended)
}

const ANSWER: &str = "Simulated Amazon Bedrock: you said “say hello”. No model has read it; this \
                      answer is made on your own machine.";

#[tokio::test]
async fn converse_answers_in_one_piece() {
    let bedrock = bedrock().await;
    let output = converse(&sdk(&bedrock), &prompt("say hello"))
        .await
        .unwrap();
    assert_eq!(output.request_id().unwrap().len(), 36);
    assert_eq!(output.stop_reason.as_str(), "end_turn");
    let usage = output.usage.unwrap();
    assert_eq!(usage.total_tokens, usage.input_tokens + usage.output_tokens);
    assert_eq!(usage.cache_read_input_tokens, None);
    let message = output.output.unwrap();
    let message: &Message = message.as_message().unwrap();
    assert_eq!(message.content[0].as_text().unwrap(), ANSWER);
}

#[tokio::test]
async fn converse_stream_answers_in_frames_that_the_sdk_decodes() {
    let bedrock = bedrock().await;
    let output = converse_stream(&sdk(&bedrock), &prompt("say hello"))
        .await
        .unwrap();
    assert_eq!(output.request_id().unwrap().len(), 36);
    let (summary, ended) = summary(output).await;
    assert_eq!(
        summary,
        format!("start | {ANSWER} | stop | end_turn | metadata")
    );
    assert_eq!(ended, Ok(()));
}

#[tokio::test]
async fn any_model_id_is_percent_decoded() {
    let bedrock = bedrock().await;
    let profile = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abc123";
    let call = sdk(&bedrock).converse().model_id(profile).customize();
    call.mutate_request(with_body(&prompt("x")))
        .send()
        .await
        .unwrap();
    let path = bedrock.simulator.requests()[0].path.clone();
    assert!(
        path.contains("application-inference-profile%2Fabc123/converse"),
        "{path}"
    );

    for (model, refused) in [
        (
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "on-demand throughput",
        ),
        (
            "moon.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "identifier is invalid",
        ),
        ("gpt-5", "identifier is invalid"),
        ("arn:aws:s3:::bucket", "identifier is invalid"),
    ] {
        let call = sdk(&bedrock).converse().model_id(model).customize();
        let error = call
            .mutate_request(with_body(&prompt("x")))
            .send()
            .await
            .unwrap_err();
        let error = error.into_service_error();
        assert!(error.is_validation_exception(), "{model}");
        assert!(
            error.message().unwrap().contains(refused),
            "{model}: {error:?}"
        );
    }
}

#[tokio::test]
async fn only_bedrock_api_keys_are_accepted() {
    let known = HashSet::from([DEMO_BEDROCK_API_KEY.to_owned()]);
    let accepts = AcceptedKeys::Only(known);
    let bedrock = start_bedrock(BedrockOptions {
        accepts,
        ..BedrockOptions::default()
    })
    .await;
    converse(&sdk(&bedrock), &prompt("x")).await.unwrap();

    let other = sdk_with_key(&bedrock, "ABSKbm90LWEta2V5LW9mLXRoaXMtc2VydmljZQ==");
    let error = converse(&other, &prompt("x")).await.unwrap_err();
    let raw = error.raw_response().unwrap();
    assert_eq!(raw.status().as_u16(), 403);
    let body: Value = serde_json::from_slice(raw.body().bytes().unwrap()).unwrap();
    let message = "Authentication failed: Please make sure your API Key is valid.";
    assert_eq!(body, json!({ "Message": message }));

    let url = format!("{}/model/{MODEL}/converse", bedrock.simulator.url());
    for (authorization, named, message) in [
        (
            None,
            Some("MissingAuthenticationTokenException"),
            "Missing Authentication Token",
        ),
        (
            Some("AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/bedrock/aws4_request"),
            Some("UnrecognizedClientException"),
            "security token",
        ),
        (
            Some("Basic abc"),
            Some("UnrecognizedClientException"),
            "security token",
        ),
        (
            Some("Bearer sk-ant-oat01-secret"),
            None,
            "Invalid API Key format",
        ),
        (Some("Bearer "), None, "Invalid API Key format"),
    ] {
        let mut call = bedrock.client.post(&url).body(prompt("x").to_string());
        if let Some(authorization) = authorization {
            call = call.header("authorization", authorization);
        }
        let response = call.send().await.unwrap();
        assert_eq!(response.status(), 403, "{authorization:?}");
        let kind = response
            .headers()
            .get("x-amzn-errortype")
            .map(|kind| kind.to_str().unwrap());
        assert_eq!(
            kind.and_then(|kind| kind.split(':').next()),
            named,
            "{authorization:?}"
        );
        assert!(
            response.text().await.unwrap().contains(message),
            "{authorization:?}"
        );
    }
}

#[tokio::test]
async fn any_well_formed_key_is_accepted_by_default() {
    let bedrock = bedrock().await;
    let short = "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29tLz9BY3Rpb249Q2FsbA==";
    converse(&sdk_with_key(&bedrock, short), &prompt("x"))
        .await
        .unwrap();
    for malformed in [
        "ABSK",
        "ABSKshort",
        "AKIAIOSFODNN7EXAMPLE",
        "ABSKwith spaces in between it",
    ] {
        let error = converse(&sdk_with_key(&bedrock, malformed), &prompt("x"))
            .await
            .unwrap_err();
        assert_eq!(
            error.raw_response().unwrap().status().as_u16(),
            403,
            "{malformed}"
        );
    }
}

#[tokio::test]
async fn tool_loop_completes() {
    let bedrock = bedrock().await;
    let mut body = prompt("go [[tool:Bash {\"command\":\"ls\"}]] [[tool:Now]]");
    let spec = |name: &str| json!({ "toolSpec": { "name": name, "inputSchema": { "json": { "type": "object" } } } });
    body["toolConfig"] = json!({ "tools": [spec("Bash"), spec("Now")] });
    let (first, _) = summary(converse_stream(&sdk(&bedrock), &body).await.unwrap()).await;
    assert_eq!(
        first,
        "start | Simulated Amazon Bedrock: calling Bash, Now. | stop | call Bash | \
         {\"command\":\"ls\"} | stop | call Now | stop | tool_use | metadata"
    );
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({ "role": "assistant", "content": [
        { "toolUse": { "toolUseId": "tooluse_1", "name": "Bash", "input": { "command": "ls" } } },
    ]}));
    messages.push(json!({ "role": "user", "content": [
        { "toolResult": { "toolUseId": "tooluse_1", "content": [{ "text": "a file" }] } },
    ]}));
    let output = converse(&sdk(&bedrock), &body).await.unwrap();
    let message = output.output.unwrap();
    let text = message.as_message().unwrap().content[0].as_text().unwrap();
    assert_eq!(text, "Simulated Amazon Bedrock: the tool answered: a file");
}

#[tokio::test]
async fn thinking_comes_as_reasoning() {
    let bedrock = bedrock().await;
    let mut body = prompt("say hello");
    body["inferenceConfig"] = json!({ "maxTokens": 4096 });
    body["additionalModelRequestFields"] =
        json!({ "thinking": { "type": "enabled", "budget_tokens": 2048 } });
    let (streamed, _) = summary(converse_stream(&sdk(&bedrock), &body).await.unwrap()).await;
    assert!(
        streamed.contains(")(signed) | stop | Simulated Amazon"),
        "{streamed}"
    );
    let output = converse(&sdk(&bedrock), &body)
        .await
        .unwrap()
        .output
        .unwrap();
    let reasoning = output.as_message().unwrap().content[0]
        .as_reasoning_content()
        .unwrap();
    let reasoning = reasoning.as_reasoning_text().unwrap();
    assert!(!reasoning.text.is_empty() && !reasoning.signature.as_ref().unwrap().is_empty());
}

#[tokio::test]
async fn cache_points_show_in_the_usage() {
    let bedrock = bedrock().await;
    let mut body = prompt("x");
    body["system"] =
        json!([{ "text": "long rules" }, { "cachePoint": { "type": "default", "ttl": "1h" } }]);
    let first = converse(&sdk(&bedrock), &body)
        .await
        .unwrap()
        .usage
        .unwrap();
    assert_eq!(first.cache_read_input_tokens, Some(0));
    let written = first.cache_write_input_tokens.unwrap();
    assert!(written > 0);
    assert_eq!(
        first.total_tokens,
        first.input_tokens + first.output_tokens + written
    );
    let [detail] = first.cache_details() else {
        panic!("{first:?}")
    };
    assert_eq!((detail.ttl.as_str(), detail.input_tokens), ("1h", written));
    let second = converse(&sdk(&bedrock), &body)
        .await
        .unwrap()
        .usage
        .unwrap();
    assert_eq!(second.cache_read_input_tokens, Some(written));
    assert_eq!(second.cache_write_input_tokens, Some(0));
}

#[tokio::test]
async fn error_replies_are_typed_errors_of_the_sdk() {
    let bedrock = bedrock().await;
    let client = sdk(&bedrock);
    for (step, status, name) in [
        (
            Step::RateLimit {
                retry_after_s: None,
            },
            429,
            "ThrottlingException",
        ),
        (Step::SpendLimit, 400, "ServiceQuotaExceededException"),
        (Step::Entitlement, 403, "AccessDeniedException"),
        (Step::Forbidden, 403, "AccessDeniedException"),
        (Step::ServerError, 500, "InternalServerException"),
        (Step::Overloaded, 503, "ServiceUnavailableException"),
        (Step::NotReady, 429, "ModelNotReadyException"),
        (Step::TooLong, 400, "ValidationException"),
        (
            Step::Error {
                status: 408,
                kind: "ModelTimeoutException".into(),
                message: "m".into(),
                headers: [].into(),
            },
            408,
            "ModelTimeoutException",
        ),
    ] {
        bedrock.simulator.script([step.clone(), step]);
        let whole = converse(&client, &prompt("x")).await.unwrap_err();
        let streamed = converse_stream(&client, &prompt("x")).await.unwrap_err();
        assert_eq!(
            whole.raw_response().unwrap().status().as_u16(),
            status,
            "{name}"
        );
        assert_eq!(
            streamed.raw_response().unwrap().status().as_u16(),
            status,
            "{name}"
        );
        assert_eq!((whole.code(), streamed.code()), (Some(name), Some(name)));
    }
    let body = prompt("[[bedrock:throttle]]");
    let marked = converse(&client, &body)
        .await
        .unwrap_err()
        .into_service_error();
    assert!(
        matches!(marked, ConverseError::ThrottlingException(_)),
        "{marked:?}"
    );
    let wrong = converse(&client, &prompt("[[bedrock:what]]"))
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Some("ValidationException"));
}

#[tokio::test]
async fn a_stream_can_be_broken_at_every_point() {
    let bedrock = bedrock().await;
    let client = sdk(&bedrock);
    let call = ToolCall {
        name: "T".into(),
        input: json!({}),
    };
    let content = || vec![Content::Text("a".repeat(40)), Content::Tool(call.clone())];
    let (first, all) = ("a".repeat(14), "a".repeat(40));
    for (after, arrived) in [
        (Point::Headers, String::new()),
        (Point::MessageStart, "start".into()),
        (Point::FirstDelta, format!("start | {first}")),
        (Point::FirstBlock, format!("start | {all} | stop")),
        (
            Point::Content,
            format!("start | {all} | stop | call T | stop"),
        ),
    ] {
        let kind = Some("throttlingException".to_owned());
        for (step, ended) in [
            (
                Step::Cut {
                    after,
                    content: content(),
                },
                Err("cut"),
            ),
            (
                Step::End {
                    after,
                    content: content(),
                },
                Ok(()),
            ),
            (
                Step::Garbage {
                    after,
                    content: content(),
                },
                Err("unreadable"),
            ),
            (
                Step::StreamError {
                    after,
                    kind: None,
                    message: None,
                    content: content(),
                },
                Err("internal"),
            ),
            (
                Step::StreamError {
                    after,
                    kind,
                    message: None,
                    content: content(),
                },
                Err("throttling"),
            ),
        ] {
            bedrock.simulator.script([step.clone()]);
            let broken = match converse_stream(&client, &prompt("x")).await {
                Ok(output) => summary(output).await,
                // The SDK reads the first frame before it hands the stream out.
                Err(error) => {
                    assert_eq!(after, Point::Headers, "{step:?}: {error:?}");
                    continue;
                }
            };
            assert_eq!(
                broken,
                (arrived.clone(), ended.map_err(str::to_owned)),
                "{step:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_exception_before_the_stream_is_an_http_error() {
    let bedrock = bedrock().await;
    let kind = Some("throttlingException".to_owned());
    let step = |after| Step::StreamError {
        after,
        kind: kind.clone(),
        message: None,
        content: vec![],
    };
    bedrock
        .simulator
        .script([step(Point::Connect), step(Point::FirstDelta)]);
    let error = converse_stream(&sdk(&bedrock), &prompt("x"))
        .await
        .unwrap_err();
    assert!(error.into_service_error().is_throttling_exception());
    let error = converse(&sdk(&bedrock), &prompt("x")).await.unwrap_err();
    assert!(error.into_service_error().is_throttling_exception());
}

#[tokio::test]
async fn scripted_usage_is_returned() {
    let bedrock = bedrock().await;
    let usage = Usage {
        input: 1,
        output: 2,
        cache_read: 3,
        cache_write_5m: 4,
        cache_write_1h: 5,
    };
    bedrock.simulator.script([Step::Answer {
        content: vec![Content::Text("x".into())],
        stop_reason: Some("model_context_window_exceeded".into()),
        usage: Some(usage),
    }]);
    let output = converse(&sdk(&bedrock), &prompt("x")).await.unwrap();
    assert_eq!(output.stop_reason.as_str(), "model_context_window_exceeded");
    let usage = output.usage.unwrap();
    assert_eq!(
        (usage.input_tokens, usage.output_tokens, usage.total_tokens),
        (1, 2, 15)
    );
    assert_eq!(usage.cache_write_input_tokens, Some(9));
}

fn anthropic(text: &str) -> Value {
    json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1024,
        "messages": [{ "role": "user", "content": text }],
    })
}

#[tokio::test]
async fn invoke_model_answers_with_an_anthropic_message() {
    let bedrock = bedrock().await;
    let body = Blob::new(anthropic("say hello").to_string());
    let call = sdk(&bedrock).invoke_model().model_id(MODEL).body(body);
    let answer: Value = serde_json::from_slice(call.send().await.unwrap().body.as_ref()).unwrap();
    assert_eq!(answer["content"][0]["text"], ANSWER);
    assert_eq!(answer["model"], "claude-sonnet-4-5-20250929");
    assert!(answer["id"].as_str().unwrap().starts_with("msg_bdrk_"));
}

#[tokio::test]
async fn invoke_model_streams_anthropic_events_in_chunks() {
    let bedrock = bedrock().await;
    let body = Blob::new(anthropic("say hello").to_string());
    let call = sdk(&bedrock)
        .invoke_model_with_response_stream()
        .model_id(MODEL)
        .body(body);
    let mut stream = call.send().await.unwrap().body;
    let mut events: Vec<Value> = Vec::new();
    while let Some(ResponseStream::Chunk(chunk)) = stream.recv().await.unwrap() {
        events.push(serde_json::from_slice(chunk.bytes.unwrap().as_ref()).unwrap());
    }
    assert_eq!(
        super::summary(&events),
        format!(
            "message_start | start text | {ANSWER} | stop | message_delta end_turn | message_stop"
        )
    );
    let metrics = &events.last().unwrap()["amazon-bedrock-invocationMetrics"];
    assert!(metrics["inputTokenCount"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn invoke_model_rejects_unknown_members() {
    let bedrock = bedrock().await;
    for (member, value, refused) in [
        (
            "model",
            json!("claude-opus-5-5"),
            "model: Extra inputs are not permitted",
        ),
        (
            "stream",
            json!(true),
            "stream: Extra inputs are not permitted",
        ),
        (
            "safeguards",
            json!([]),
            "safeguards: Extra inputs are not permitted",
        ),
        (
            "anthropic_version",
            json!("2023-06-01"),
            "anthropic_version",
        ),
        (
            "anthropic_beta",
            json!(["oauth-2025-04-20"]),
            "invalid beta flag",
        ),
        (
            "system",
            json!("x-anthropic-billing-header: a"),
            "reserved keyword",
        ),
        (
            "thinking",
            json!({ "type": "adaptive" }),
            "adaptive thinking is not supported",
        ),
        (
            "max_tokens",
            json!(128_000),
            "exceeds the model limit of 64000",
        ),
        ("messages", json!([]), "at least one message"),
        (
            "messages",
            json!([
                { "role": "user", "content": "x" }, { "role": "system", "content": "y" },
            ]),
            "messages.1.role",
        ),
    ] {
        let mut body = anthropic("x");
        body[member] = value;
        let body = Blob::new(body.to_string());
        let call = sdk(&bedrock).invoke_model().model_id(MODEL).body(body);
        let error = call.send().await.unwrap_err().into_service_error();
        assert!(error.is_validation_exception(), "{member}");
        assert!(
            error.message().unwrap().contains(refused),
            "{member}: {error:?}"
        );
    }
}

#[tokio::test]
async fn tokens_are_counted_for_foundation_models_only() {
    let bedrock = bedrock().await;
    let client = sdk(&bedrock);
    let foundation = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    let message: Message = Message::builder()
        .role(aws_sdk_bedrockruntime::types::ConversationRole::User)
        .content(aws_sdk_bedrockruntime::types::ContentBlock::Text(
            "hello there".into(),
        ))
        .build()
        .unwrap();
    let converse = ConverseTokensRequest::builder().messages(message).build();
    let converse = CountTokensInput::Converse(converse);
    let invoke = Blob::new(anthropic("hello there").to_string());
    let invoke = InvokeModelTokensRequest::builder()
        .body(invoke)
        .build()
        .unwrap();
    for input in [converse, CountTokensInput::InvokeModel(invoke)] {
        let call = client
            .count_tokens()
            .model_id(foundation)
            .input(input.clone());
        assert!(call.send().await.unwrap().input_tokens > 1);
        let call = client.count_tokens().model_id(MODEL).input(input);
        let error = call.send().await.unwrap_err();
        assert!(
            error
                .message()
                .unwrap()
                .contains("doesn't support counting tokens")
        );
    }
    // Counting plays no step of the script.
    assert_eq!(bedrock.simulator.requests().len(), 4);
}

#[tokio::test]
async fn every_body_is_written_to_the_dump_folder() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("dumps");
    let options = BedrockOptions {
        dump_dir: Some(folder.clone()),
        ..BedrockOptions::default()
    };
    let bedrock = start_bedrock(options).await;
    converse(&sdk(&bedrock), &prompt("one")).await.unwrap();
    converse_stream(&sdk(&bedrock), &prompt("two"))
        .await
        .unwrap();
    // What is refused is what a validator wants to see most.
    converse(&sdk(&bedrock), &json!({ "messages": [] }))
        .await
        .unwrap_err();
    let dump = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
    };
    assert_eq!(
        dump("0-Converse.json"),
        json!({
            "operation": "Converse", "modelId": MODEL, "body": prompt("one"),
        })
    );
    assert_eq!(dump("1-ConverseStream.json")["body"], prompt("two"));
    assert_eq!(dump("2-Converse.json")["body"], json!({ "messages": [] }));
}

#[tokio::test]
async fn unknown_operation_is_not_found() {
    let bedrock = bedrock().await;
    for path in ["/", "/model/x", "/model/x/dance", "/model/%zz/converse"] {
        let url = format!("{}{path}", bedrock.simulator.url());
        let call = bedrock.client.post(url).bearer_auth(DEMO_BEDROCK_API_KEY);
        assert_eq!(call.send().await.unwrap().status(), 404, "{path}");
    }
    let url = format!("{}/model/{MODEL}/converse", bedrock.simulator.url());
    let call = bedrock
        .client
        .post(url)
        .bearer_auth(DEMO_BEDROCK_API_KEY)
        .body("not json");
    assert_eq!(call.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn citations_come_before_the_text_they_support() {
    let bedrock = bedrock().await;
    let mut body = prompt("what is there?");
    let document = json!({ "document": {
        "name": "facts", "format": "txt", "source": { "text": "One fact." },
        "citations": { "enabled": true }, "context": "a title",
    }});
    let content = body["messages"][0]["content"].as_array_mut().unwrap();
    content.push(document);
    let mut stream = converse_stream(&sdk(&bedrock), &body).await.unwrap().stream;
    let mut deltas = Vec::new();
    while let Some(event) = stream.recv().await.unwrap() {
        if let Event::ContentBlockDelta(part) = event
            && part.content_block_index == 1
        {
            deltas.push(part.delta.unwrap());
        }
    }
    let [
        ContentBlockDelta::Citation(citation),
        ContentBlockDelta::Text(text),
    ] = deltas.as_slice()
    else {
        panic!("{deltas:?}")
    };
    assert_eq!(text, "One fact.");
    assert_eq!(citation.title(), Some("facts"));
    let location = citation.location().unwrap().as_document_char().unwrap();
    assert_eq!((location.start(), location.end()), (Some(0), Some(9)));

    let output = converse(&sdk(&bedrock), &body)
        .await
        .unwrap()
        .output
        .unwrap();
    let cited = output.as_message().unwrap().content[1]
        .as_citations_content()
        .unwrap();
    assert_eq!(cited.citations()[0].title(), Some("facts"));
}

#[tokio::test]
async fn scripted_frames_are_the_stream() {
    let bedrock = bedrock().await;
    let event = |kind: &str, payload: Value| Frame {
        kind: kind.to_owned(),
        payload,
    };
    let events = vec![
        event("messageStart", json!({ "role": "assistant" })),
        event(
            "contentBlockDelta",
            json!({ "contentBlockIndex": 0, "delta": { "text": "hi" } }),
        ),
        event("throttlingException", json!({ "message": "slow down" })),
    ];
    bedrock.simulator.script([Step::Frames { events }]);
    let output = converse_stream(&sdk(&bedrock), &prompt("x")).await.unwrap();
    let (summary, ended) = summary(output).await;
    assert_eq!(
        (summary.as_str(), ended),
        ("start | hi", Err("throttling".into()))
    );

    let payload = json!({ "type": "message_stop" });
    bedrock.simulator.script([Step::Frames {
        events: vec![event("chunk", payload.clone())],
    }]);
    let call = sdk(&bedrock)
        .invoke_model_with_response_stream()
        .model_id(MODEL)
        .body(Blob::new(anthropic("x").to_string()));
    let mut stream = call.send().await.unwrap().body;
    let Some(ResponseStream::Chunk(chunk)) = stream.recv().await.unwrap() else {
        panic!()
    };
    let sent: Value = serde_json::from_slice(chunk.bytes.unwrap().as_ref()).unwrap();
    assert_eq!(sent, payload);
}
