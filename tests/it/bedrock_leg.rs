//! Bedrock's responses, as the client receives them.

use std::time::Duration;

use admin::{IssuedKey, Settings};
use domain::bedrock::{BedrockModel, Dialect, ModelRule};
use reqwest::Method;
use serde_json::json;
use simulators::{Content, Point, Step, ToolCall, Usage};
use tests::{BEDROCK_KEY, Streaming, World, message, read, read_after, world};

#[tokio::test]
async fn a_streamed_answer_is_whole_and_in_order() {
    let world = world().await;
    world.exhaust_plan(1);
    world.bedrock.script([Step::Answer {
        content: vec![
            Content::Thinking("let me see".to_owned()),
            Content::Text("I call a tool.".to_owned()),
            Content::Tool(ToolCall {
                name: "Bash".to_owned(),
                input: json!({"zeta": 1, "alpha": "two"}),
            }),
        ],
        stop_reason: None,
        usage: Some(Usage {
            input: 7,
            output: 11,
            cache_read: 100,
            cache_write_5m: 20,
            cache_write_1h: 30,
        }),
    }]);
    let mut body = message("hello", Streaming::Yes);
    body["tools"] = json!([{"name": "Bash", "input_schema": {"type": "object"}}]);
    let answer = world.ask(&body).await;
    assert_eq!(
        answer.header("content-type"),
        "text/event-stream; charset=utf-8"
    );
    let mut events = answer.events();
    events.dedup();
    assert_eq!(
        events,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    let text = answer.text();
    assert!(
        text.contains(r#""model":"claude-opus-5-5""#),
        "the requested model's name"
    );
    assert!(text.contains(r#""stop_reason":"tool_use""#), "{text}");
    for count in [
        r#""input_tokens":7"#,
        r#""output_tokens":11"#,
        r#""cache_read_input_tokens":100"#,
        r#""cache_creation_input_tokens":50"#,
    ] {
        assert!(text.contains(count), "{count} in {text}");
    }
    assert_eq!(
        answer.header("request-id"),
        answer.header("x-spillway-request-id")
    );
}

#[tokio::test]
async fn an_answer_without_streaming_keeps_the_order_of_tool_inputs() {
    let world = world().await;
    world.exhaust_plan(1);
    let input = json!({"zeta": 1, "alpha": {"y": [1.50], "b": null}, "mid": "x"});
    world.bedrock.script([Step::Tools {
        calls: vec![ToolCall {
            name: "Bash".to_owned(),
            input: input.clone(),
        }],
    }]);
    let mut body = message("hello", Streaming::No);
    body["tools"] = json!([{"name": "Bash", "input_schema": {"type": "object"}}]);
    let answer = world.ask(&body).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.json()["stop_reason"], "tool_use");
    let text = answer.text();
    assert!(text.contains(&input.to_string()), "{text}");
}

#[tokio::test]
async fn a_tool_loop_goes_on_over_bedrock() {
    let world = world().await;
    world.exhaust_plan(2);
    let tools =
        json!([{"name": "Read", "description": "Reads", "input_schema": {"type": "object"}}]);
    let mut body = message(r#"[[tool:Read {"path":"a"}]]"#, Streaming::No);
    body["tools"] = tools;
    let first = world.ask(&body).await.json();
    let call = first["content"]
        .as_array()
        .unwrap()
        .iter()
        .find(|b| b["type"] == "tool_use")
        .unwrap();
    assert_eq!(call["input"], json!({"path": "a"}));
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": first["content"]}));
    messages.push(json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": call["id"], "content": "contents-of-a"},
    ]}));
    let second = world.ask(&body).await;
    assert!(
        second.text_content().contains("contents-of-a"),
        "{}",
        second.text()
    );
}

#[tokio::test]
async fn images_reach_bedrock() {
    let world = world().await;
    world.exhaust_plan(1);
    let mut body = message("", Streaming::No);
    body["messages"][0]["content"] = json!([
        {"type": "text", "text": "what is this?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
    ]);
    assert_eq!(world.ask(&body).await.status, 200);
    let sent = world.bedrock.requests()[0].json().unwrap();
    let content = &sent["messages"][0]["content"];
    assert_eq!(
        content[1],
        json!({"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}})
    );
}

#[tokio::test]
async fn a_stream_that_breaks_after_content_ends_in_an_error_event() {
    let broken = |after| {
        let content = vec![];
        [
            Step::Cut {
                after,
                content: content.clone(),
            },
            Step::End {
                after,
                content: content.clone(),
            },
            Step::Garbage {
                after,
                content: content.clone(),
            },
            Step::StreamError {
                after,
                kind: Some("modelStreamErrorException".to_owned()),
                message: Some("arn:aws:bedrock:eu-central-1:123456789012:model/x".to_owned()),
                content,
            },
        ]
    };
    for after in [Point::FirstDelta, Point::FirstBlock, Point::Content] {
        for step in broken(after) {
            let world = world().await;
            world.exhaust_plan(1);
            world.bedrock.script([step.clone()]);
            let answer = world.ask(&message("hello", Streaming::Yes)).await;
            assert_eq!(answer.status, 200, "{step:?}");
            assert_eq!(answer.error().0, "overloaded_error", "{step:?}");
            assert_eq!(
                answer.events().last().map(String::as_str),
                Some("error"),
                "{step:?}"
            );
            assert!(!answer.text().contains("arn:"), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn silent_bedrock_is_bridged_with_pings_until_the_deadline() {
    let quick = |settings: &mut proxy::config::Settings| {
        settings.deadlines.ping = Duration::from_millis(20);
        settings.deadlines.idle = Duration::from_millis(700);
    };
    for after in [
        Point::Connect,
        Point::Headers,
        Point::MessageStart,
        Point::FirstDelta,
    ] {
        let world = World::with(quick).await;
        world.exhaust_plan(1);
        world.bedrock.script([Step::Hang {
            after,
            content: vec![],
        }]);
        let answer = world.ask(&message("hello", Streaming::Yes)).await;
        assert_eq!(answer.status, 200, "{after:?}");
        assert!(
            answer.text().matches("event: ping").count() > 3,
            "{after:?}: {}",
            answer.text()
        );
        assert_eq!(
            answer.events().first().map(String::as_str),
            Some("message_start")
        );
        assert_eq!(answer.error().0, "overloaded_error", "{after:?}");
    }
}

/// Whether a stream without content has several keep-alives.
fn is_pinged_over(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let pings = text
        .lines()
        .filter(|line| line.contains("ping") || line.starts_with(':'));
    pings.count() > 3 && !text.contains("content_block_start")
}

#[tokio::test]
async fn slow_bedrock_response_is_bridged_with_pings() {
    let quick = |settings: &mut proxy::config::Settings| {
        settings.deadlines.ping = Duration::from_millis(20);
    };
    for user in [Dialect::Converse, Dialect::Invoke] {
        let world = World::with(quick).await;
        let key = world.key_of(dialect(user)).await;
        world.exhaust_plan(1);
        world.bedrock.script([Step::Held { content: vec![] }]);
        let request = world.request_as(&key.access_key, Method::POST, "/v1/messages");
        let request = request.body(message("hello", Streaming::Yes).to_string());
        let answer = read_after(request, is_pinged_over, || world.bedrock.release()).await;
        assert_eq!(answer.status, 200, "{user:?}");
        assert_eq!(
            answer.events().last().map(String::as_str),
            Some("message_stop"),
            "{user:?}"
        );
        assert!(
            answer.text_content().contains("Simulated Amazon Bedrock"),
            "{}",
            answer.text_content()
        );
    }
}

#[tokio::test]
async fn bedrock_timeout_is_retryable_for_the_client() {
    let world = World::with(|settings| {
        settings.deadlines.first_byte = Duration::from_millis(700);
        settings.deadlines.whole_answer = Duration::from_secs(5);
    })
    .await;
    world.exhaust_plan(1);
    world.bedrock.script([Step::Hang {
        after: Point::Connect,
        content: vec![],
    }]);
    let answer = world.ask(&message("hello", Streaming::Yes)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-spillway-error"), "bedrock_unavailable");
}

#[tokio::test]
async fn field_that_bedrock_rejects_is_left_out_from_then_on() {
    let world = world().await;
    world.exhaust_plan(3);
    let refusal = Step::Error {
        status: 400,
        kind: "ValidationException".to_owned(),
        message: "The model returned the following errors: invalid beta flag".to_owned(),
        headers: [].into(),
    };
    let mut body = message("hello", Streaming::Yes);
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 2000});
    body["max_tokens"] = json!(4000);
    body["tools"] = json!([{"name": "Bash", "input_schema": {"type": "object"}}]);
    let ask = || {
        world
            .request(Method::POST, "/v1/messages")
            .header("anthropic-beta", "interleaved-thinking-2025-05-14")
            .body(body.to_string())
    };
    world.bedrock.script([refusal]);
    let answer = read(ask()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let betas = |index: usize| {
        let sent = world.bedrock.requests()[index].json().unwrap();
        sent["additionalModelRequestFields"]["anthropic_beta"].clone()
    };
    assert_eq!(betas(0), json!(["interleaved-thinking-2025-05-14"]));
    assert_eq!(betas(1), json!(null), "the repair");
    assert_eq!(read(ask()).await.status, 200);
    assert_eq!(
        world.bedrock.requests().len(),
        3,
        "no repair is needed again"
    );
    assert_eq!(betas(2), json!(null));
}

#[tokio::test]
async fn requests_that_are_refused_at_the_same_moment_are_all_repaired() {
    const BETA: &str = "interleaved-thinking-2025-05-14";
    // Both requests are sent with the beta before either is rejected for it.
    let both = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let bedrock = axum::Router::new().fallback(move |body: String| {
        let both = std::sync::Arc::clone(&both);
        async move {
            if body.contains(BETA) {
                both.wait().await;
                let refusal = r#"{"__type":"ValidationException","message":"invalid beta flag"}"#;
                return (http::StatusCode::BAD_REQUEST, refusal);
            }
            let answer = r#"{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},
                "stopReason":"end_turn","metrics":{"latencyMs":1},
                "usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}"#;
            (http::StatusCode::OK, answer)
        }
    });
    let listener = tests::loopback().await;
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut running = tokio::task::JoinSet::new();
    running.spawn(async move { axum::serve(listener, bedrock).await.unwrap() });
    let world = World::with(|settings| settings.bedrock_url = Some(url)).await;
    world.exhaust_plan(2);
    let mut body = message("hello", Streaming::No);
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 2000});
    body["max_tokens"] = json!(4000);
    body["tools"] = json!([{"name": "Bash", "input_schema": {"type": "object"}}]);
    let ask = || {
        let request = world
            .request(Method::POST, "/v1/messages")
            .header("anthropic-beta", BETA);
        read(request.body(body.to_string()))
    };
    let (one, other) = tokio::join!(ask(), ask());
    assert_eq!(
        (one.status, other.status),
        (200, 200),
        "{} {}",
        one.text(),
        other.text()
    );
}

#[tokio::test]
async fn a_bedrock_key_is_opened_once_and_its_replacement_is_used_at_once() {
    let world = world().await;
    world.exhaust_plan(4);
    for _ in 0..3 {
        assert_eq!(
            world.ask(&message("hello", Streaming::No)).await.status,
            200
        );
    }
    assert_eq!(world.stack.aws().calls("Decrypt"), 1);
    let replacement = BEDROCK_KEY.replace("c3Rv", "b3Ro");
    world.bind(&replacement).await;
    world.pass(Duration::from_mins(1));
    let answer = world.ask(&message("hello", Streaming::No)).await;
    assert_eq!(
        answer.header("x-spillway-error"),
        "bedrock_auth_error",
        "the simulator knows one key"
    );
    let used = world.bedrock.requests()[3]
        .header("authorization")
        .unwrap()
        .to_owned();
    assert_eq!(used, format!("Bearer {replacement}"));
}

#[tokio::test]
async fn decrypted_bedrock_key_is_dropped_after_five_minutes() {
    let world = world().await;
    world.exhaust_plan(2);
    world.ask(&message("hello", Streaming::No)).await;
    world.pass(Duration::from_mins(5));
    world.ask(&message("hello", Streaming::No)).await;
    assert_eq!(world.stack.aws().calls("Decrypt"), 2);
}

async fn count(model: &str) -> (World, tests::Answer) {
    let world = World::with_no_plan_left().await;
    let mut body = message("hello", Streaming::No);
    body["model"] = json!(model);
    let request = world.request(Method::POST, "/v1/messages/count_tokens");
    let answer = read(request.body(body.to_string())).await;
    (world, answer)
}

#[tokio::test]
async fn bedrock_counts_tokens_while_the_plan_is_exhausted() {
    let (world, answer) = count("claude-opus-5-5").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json()["input_tokens"].is_u64(), "{}", answer.text());
    assert_eq!(
        answer.header("x-spillway-upstream"),
        "bedrock; reason=rate_limited"
    );
    assert_eq!(
        world.bedrock.requests()[0].path,
        "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens",
        "inference profiles cannot count"
    );
}

#[tokio::test]
async fn unsupported_token_count_is_a_501() {
    let (world, answer) = count("global.anthropic.claude-opus-5-5").await;
    assert_eq!(answer.status, 501, "{}", answer.text());
    assert_eq!(answer.error().0, "not_supported");
    assert_eq!(answer.header("x-should-retry"), "false");
    assert!(world.bedrock.requests().is_empty());
}

fn dialect(dialect: Dialect) -> Settings {
    Settings {
        dialect: Some(dialect),
        ..Settings::default()
    }
}

async fn ask_as(world: &World, key: &IssuedKey, body: &serde_json::Value) -> tests::Answer {
    world.exhaust_plan(1);
    let request = world.request_as(&key.access_key, Method::POST, "/v1/messages");
    read(request.body(body.to_string())).await
}

#[tokio::test]
async fn a_user_of_the_invoke_dialect_gets_the_native_answer() {
    let world = world().await;
    let key = world.key_of(dialect(Dialect::Invoke)).await;
    let answer = ask_as(&world, &key, &message("hello", Streaming::Yes)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.events().last().map(String::as_str),
        Some("message_stop")
    );
    assert!(
        answer.text_content().contains("Simulated Amazon Bedrock"),
        "{}",
        answer.text_content()
    );
    assert!(
        answer.text().contains(r#""model":"claude-opus-5-5""#),
        "{}",
        answer.text()
    );
    assert!(
        !answer.text().contains("invocationMetrics"),
        "{}",
        answer.text()
    );
    let answer = ask_as(&world, &key, &message("hello", Streaming::No)).await;
    assert_eq!(answer.json()["stop_reason"], "end_turn");

    let received = world.bedrock.requests();
    let paths: Vec<_> = received
        .iter()
        .map(|request| request.path.as_str())
        .collect();
    let model = "/model/global.anthropic.claude-sonnet-4-5-20250929-v1%3A0";
    assert_eq!(
        paths,
        [
            format!("{model}/invoke-with-response-stream"),
            format!("{model}/invoke")
        ]
    );
    let labels = received[0]
        .header("x-amzn-bedrock-request-metadata")
        .unwrap();
    assert!(labels.contains(key.user_id.as_str()), "{labels}");
}

#[tokio::test]
async fn a_native_stream_that_breaks_ends_in_an_error_event() {
    for step in [
        Step::Cut {
            after: Point::FirstDelta,
            content: vec![],
        },
        Step::End {
            after: Point::Content,
            content: vec![],
        },
        Step::StreamError {
            after: Point::FirstBlock,
            kind: None,
            message: None,
            content: vec![],
        },
    ] {
        let world = world().await;
        let key = world.key_of(dialect(Dialect::Invoke)).await;
        world.bedrock.script([step.clone()]);
        let answer = ask_as(&world, &key, &message("hello", Streaming::Yes)).await;
        assert_eq!(answer.error().0, "overloaded_error", "{step:?}");
        assert_eq!(
            answer.events().last().map(String::as_str),
            Some("error"),
            "{step:?}"
        );
    }
}

#[tokio::test]
async fn auto_dialect_uses_invoke_only_where_converse_cannot_translate() {
    let world = world().await;
    let key = world.key_of(dialect(Dialect::Auto)).await;
    ask_as(&world, &key, &message("hello", Streaming::No)).await;
    let mut body = message("hello", Streaming::No);
    body["tools"] = json!([{"name": "Bash", "input_schema": {"type": "object"}}]);
    body["tool_choice"] = json!({"type": "none"});
    ask_as(&world, &key, &body).await;
    let received = world.bedrock.requests();
    assert!(
        received[0].path.ends_with("/converse"),
        "{}",
        received[0].path
    );
    assert!(
        received[1].path.ends_with("/invoke"),
        "{}",
        received[1].path
    );
}

#[tokio::test]
async fn users_own_model_is_used_and_its_arn_is_not_revealed() {
    let arn = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123";
    let world = world().await;
    let model = BedrockModel {
        id: arn.to_owned(),
        base_model: Some("anthropic.claude-opus-4-6-v1".to_owned()),
    };
    let key = world
        .key_of(Settings {
            region: Some("eu-central-1".to_owned()),
            model: Some(model),
            ..Settings::default()
        })
        .await;
    let answer = ask_as(&world, &key, &message("hello", Streaming::Yes)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let path = &world.bedrock.requests()[0].path;
    assert!(path.starts_with("/model/arn%3Aaws%3Abedrock"), "{path}");
    assert!(!format!("{:?}{}", answer.headers, answer.text()).contains("123456789012"));
}

#[tokio::test]
async fn a_model_map_gives_each_request_its_model() {
    let world = world().await;
    let rule = |requested: &str, id: &str| ModelRule {
        requested: requested.to_owned(),
        serve: BedrockModel::named(id),
    };
    let rules = vec![
        rule("claude-opus-*", "global.anthropic.claude-opus-4-6-v1"),
        rule("claude-haiku-*", "claude-haiku-4-5"),
    ];
    let key = world
        .key_of(Settings {
            rules,
            ..Settings::default()
        })
        .await;
    for (requested, served) in [
        ("claude-opus-5-5", "global.anthropic.claude-opus-4-6-v1"),
        (
            "claude-haiku-5-5",
            "apac.anthropic.claude-haiku-4-5-20251001-v1%3A0",
        ),
        (
            "claude-sonnet-5-5",
            "global.anthropic.claude-sonnet-4-5-20250929-v1%3A0",
        ),
    ] {
        let mut body = message("hello", Streaming::No);
        body["model"] = json!(requested);
        let answer = ask_as(&world, &key, &body).await;
        assert_eq!(answer.json()["model"], requested);
        let path = world.bedrock.requests().last().unwrap().path.clone();
        assert_eq!(path, format!("/model/{served}/converse"));
    }
}

#[tokio::test]
async fn web_search_is_rejected_in_words_that_reach_the_model() {
    let world = world().await;
    world.exhaust_plan(1);
    let mut body = message("Perform a web search", Streaming::Yes);
    body["tools"] = json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}]);
    let answer = world.ask(&body).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let (kind, text) = answer.error();
    assert_eq!(kind, "policy_blocked");
    assert!(
        text.contains("web_search is not available on Amazon Bedrock"),
        "{text}"
    );
    assert!(world.bedrock.requests().is_empty());
}

#[tokio::test]
async fn safeguard_request_is_answered_as_unavailable() {
    let world = world().await;
    let key = world.key_of(dialect(Dialect::Invoke)).await;
    for key in [&world.key, &key] {
        for streaming in [Streaming::Yes, Streaming::No] {
            let mut body = message("hello", streaming);
            body["safeguards"] = json!([{"type": "dangerous_tool_use", "classifier_context": {}}]);
            let answer = ask_as(&world, key, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let expected = concat!(
                r#""safeguard_results":[{"type":"dangerous_tool_use","#,
                r#""status":{"type":"unavailable","reason":"disabled"}}]"#
            );
            assert!(answer.text().contains(expected), "{}", answer.text());
        }
    }
}
