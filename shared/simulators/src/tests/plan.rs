use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::plan::PlanOptions;
use super::super::{Content, Point, Step, ToolCall, Usage, Window};
use super::{events, plan, prompt, read, start_plan, streamed, summary};

const ANSWER: &str = "Simulated Claude plan: you said “say hello”. No model has read it; this \
                      answer is made on your own machine.";

fn header<'a>(response: &'a reqwest::Response, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_message_comes_in_one_piece() {
    let plan = plan().await;
    let response = plan.messages(&prompt("say hello")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(header(&response, "request-id").unwrap().starts_with("req_"));
    let message: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(message["type"], "message");
    assert_eq!(message["role"], "assistant");
    assert_eq!(message["model"], "claude-opus-5-5");
    assert!(message["id"].as_str().unwrap().starts_with("msg_01"));
    assert_eq!(
        message["content"],
        json!([{ "type": "text", "text": ANSWER }])
    );
    assert_eq!(message["stop_reason"], "end_turn");
    assert!(message["usage"]["input_tokens"].as_u64().unwrap() > 0);
    assert!(message["usage"]["output_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_message_comes_in_events() {
    let plan = plan().await;
    let response = plan.messages(&streamed(prompt("say hello"))).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        header(&response, "content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    let (text, ended) = read(response).await;
    assert!(ended);
    let events = events(&text);
    assert_eq!(
        summary(&events),
        format!(
            "message_start | start text | ping | {ANSWER} | stop | message_delta end_turn | \
             message_stop"
        )
    );
    let deltas = events
        .iter()
        .filter(|event| event["type"] == "content_block_delta")
        .count();
    assert!(deltas > 5, "small deltas: {deltas}");
    let start = &events[0]["message"];
    assert_eq!(start["content"], json!([]));
    assert_eq!(start["stop_reason"], Value::Null);
    let end = events
        .iter()
        .find(|event| event["type"] == "message_delta")
        .unwrap();
    assert_eq!(end["usage"]["input_tokens"], start["usage"]["input_tokens"]);
    assert!(end["usage"]["output_tokens"].as_u64().unwrap() > 1);
}

#[tokio::test]
async fn thinking_that_is_asked_for_comes_signed() {
    let plan = plan().await;
    let mut body = streamed(prompt("say hello"));
    body["thinking"] = json!({ "type": "adaptive" });
    let (text, _) = read(plan.messages(&body).await.unwrap()).await;
    let shown = summary(&events(&text));
    assert!(shown.contains("start thinking"), "{shown}");
    assert!(
        shown.contains("A simulator has nothing to think about.(signed) | stop"),
        "{shown}"
    );

    body["thinking"]["display"] = json!("omitted");
    let (text, _) = read(plan.messages(&body).await.unwrap()).await;
    assert!(
        summary(&events(&text)).contains("start thinking | ping | (signed) | stop | start text")
    );
}

#[tokio::test]
async fn plan_with_two_requests_answers_two_and_then_names_its_reset() {
    let plan = start_plan(PlanOptions::default()).await;
    for used in ["0.50", "1.00"] {
        let response = plan.messages(&prompt("say hello")).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(
            header(&response, "anthropic-ratelimit-unified-status"),
            Some("allowed")
        );
        assert_eq!(
            header(&response, "anthropic-ratelimit-unified-5h-utilization"),
            Some(used)
        );
    }
    // Neither of these is an answer of the plan.
    let count = plan
        .post("/v1/messages/count_tokens", &prompt("x"))
        .send()
        .await
        .unwrap();
    assert_eq!(count.status(), 200);

    let response = plan.messages(&streamed(prompt("say hello"))).await.unwrap();
    assert_eq!(response.status(), 429);
    for (name, value) in [
        ("status", "rejected"),
        ("representative-claim", "five_hour"),
        ("5h-status", "rejected"),
        ("5h-utilization", "1.02"),
        ("7d-status", "allowed"),
        ("overage-status", "rejected"),
        ("overage-disabled-reason", "org_level_disabled"),
    ] {
        let name = format!("anthropic-ratelimit-unified-{name}");
        assert_eq!(header(&response, &name), Some(value), "{name}");
    }
    let seconds = |name: &str| header(&response, name).unwrap().parse::<u64>().unwrap();
    let reset = seconds("anthropic-ratelimit-unified-reset");
    assert_eq!(seconds("anthropic-ratelimit-unified-5h-reset"), reset);
    assert!(
        (1790..=1800).contains(&seconds("retry-after")),
        "{}",
        seconds("retry-after")
    );
    assert!(reset > 1_700_000_000, "unix seconds");
    let request_id = header(&response, "request-id").unwrap().to_owned();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(
        body,
        json!({
            "type": "error",
            "error": {
                "type": "rate_limit_error",
                "message":
                    "This request would exceed your account's rate limit. Please try again later.",
            },
            "request_id": request_id,
        })
    );
}

#[tokio::test]
async fn each_credential_has_its_own_usage_window() {
    let plan = start_plan(PlanOptions {
        requests: Some(1),
        ..PlanOptions::default()
    })
    .await;
    let send_marker = |name: &'static str, value: &'static str| {
        let url = format!("{}/v1/messages", plan.simulator.url());
        let call = plan
            .client
            .post(url)
            .header(name, value)
            .header("anthropic-version", "x");
        call.body(prompt("hi").to_string()).send()
    };
    assert_eq!(send_marker("x-api-key", "one").await.unwrap().status(), 200);
    assert_eq!(send_marker("x-api-key", "one").await.unwrap().status(), 429);
    assert_eq!(
        send_marker("authorization", "Bearer two")
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        send_marker("authorization", "Bearer two")
            .await
            .unwrap()
            .status(),
        429
    );
    plan.simulator.reset();
    assert_eq!(send_marker("x-api-key", "one").await.unwrap().status(), 200);
}

#[tokio::test]
async fn usage_window_restarts_after_its_end() {
    let window = Duration::ZERO;
    let plan = start_plan(PlanOptions {
        requests: Some(1),
        window,
        ..PlanOptions::default()
    })
    .await;
    for _ in 0..3 {
        assert_eq!(plan.messages(&prompt("hi")).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn rejected_request_gets_the_error_envelope() {
    let plan = plan().await;
    let url = |path: &str| format!("{}{path}", plan.simulator.url());
    let bare = plan
        .client
        .post(url("/v1/messages"))
        .header("anthropic-version", "2023-06-01");
    let no_version = plan
        .client
        .post(url("/v1/messages"))
        .header("x-api-key", "k");
    let mut unanswered = prompt("x");
    unanswered["messages"] = json!([
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": [
            { "type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {} },
        ]},
        { "role": "user", "content": "and?" },
    ]);
    let not_json = plan.post("/v1/messages", &json!(null)).body("not json");
    for (call, status, kind) in [
        (bare.body("{}"), 401, "authentication_error"),
        (no_version.body("{}"), 400, "invalid_request_error"),
        (not_json, 400, "invalid_request_error"),
        (
            plan.post("/v1/messages", &json!({})),
            400,
            "invalid_request_error",
        ),
        (
            plan.post("/v1/messages", &unanswered),
            400,
            "invalid_request_error",
        ),
        (
            plan.post("/v1/elsewhere", &json!({})),
            404,
            "not_found_error",
        ),
        (
            plan.post("/v1/models", &json!({})),
            405,
            "invalid_request_error",
        ),
    ] {
        let response = call.send().await.unwrap();
        assert_eq!(response.status(), status);
        let request_id = header(&response, "request-id").unwrap().to_owned();
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(body["type"], "error");
        assert_eq!(body["error"]["type"], kind);
        assert_eq!(body["request_id"], request_id);
    }
}

#[tokio::test]
async fn the_other_endpoints_are_there_under_any_prefix() {
    let plan = plan().await;
    let counted = plan
        .post("/pre/fix/v1/messages/count_tokens", &prompt("x"))
        .send()
        .await
        .unwrap();
    let counted: Value = serde_json::from_str(&counted.text().await.unwrap()).unwrap();
    assert!(counted["input_tokens"].as_u64().unwrap() > 0);
    let url = format!("{}/v1/models?limit=1000", plan.simulator.url());
    let models = plan
        .client
        .get(url)
        .header("x-api-key", "k")
        .header("anthropic-version", "x");
    let models: Value =
        serde_json::from_str(&models.send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(models["data"][0]["type"], "model");
    assert_eq!(models["has_more"], false);
}

#[tokio::test]
async fn marked_tool_is_called_and_its_result_is_returned_as_text() {
    let plan = plan().await;
    let mut body = streamed(prompt(
        "please [[tool:Bash {\"command\":\"echo \\\"hi\\\"\"}]]",
    ));
    body["tools"] = json!([{ "name": "Bash", "input_schema": { "type": "object" } }]);
    let (text, _) = read(plan.messages(&body).await.unwrap()).await;
    let events = events(&text);
    assert_eq!(
        summary(&events),
        "message_start | start text | ping | Simulated Claude plan: calling Bash. | stop | start \
         tool_use | {\"command\":\"echo \\\"hi\\\"\"} | stop | message_delta tool_use | message_stop"
    );
    let call = events
        .iter()
        .find(|event| event["content_block"]["type"] == "tool_use")
        .unwrap();
    let id = call["content_block"]["id"].as_str().unwrap();

    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({ "role": "assistant", "content": [
        { "type": "tool_use", "id": id, "name": "Bash", "input": { "command": "echo hi" } },
    ]}));
    messages.push(json!({ "role": "user", "content": [
        { "type": "tool_result", "tool_use_id": id, "content": "hi" },
    ]}));
    let (text, _) = read(plan.messages(&body).await.unwrap()).await;
    assert!(
        summary(&super::events(&text)).contains("the tool answered: hi"),
        "{text}"
    );
}

#[tokio::test]
async fn the_prompt_cache_shows_in_the_usage() {
    let plan = plan().await;
    let mut body = prompt("x");
    body["system"] = json!([
        { "type": "text", "text": "long rules", "cache_control": { "type": "ephemeral" } },
    ]);
    let mut usages = Vec::new();
    for _ in 0..2 {
        let answer = plan.messages(&body).await.unwrap().text().await.unwrap();
        usages.push(serde_json::from_str::<Value>(&answer).unwrap()["usage"].clone());
    }
    let written = &usages[0]["cache_creation_input_tokens"];
    assert!(written.as_u64().unwrap() > 0);
    assert_eq!(
        &usages[0]["cache_creation"]["ephemeral_5m_input_tokens"],
        written
    );
    assert_eq!(&usages[1]["cache_read_input_tokens"], written);
    assert_eq!(usages[1]["cache_creation_input_tokens"], 0);
}

#[tokio::test]
async fn scripted_errors_have_the_status_and_type_of_the_api() {
    let plan = plan().await;
    let limit = |window| Step::UsageLimit {
        window,
        reset_after_s: 60,
    };
    let own = Step::Error {
        status: 418,
        kind: "teapot_error".into(),
        message: "short".into(),
        headers: [("retry-after".to_owned(), "7".to_owned())].into(),
    };
    for (step, status, kind) in [
        (limit(Window::SevenDay), 429, "rate_limit_error"),
        (limit(Window::SevenDayOpus), 429, "rate_limit_error"),
        (
            Step::RateLimit {
                retry_after_s: Some(20),
            },
            429,
            "rate_limit_error",
        ),
        (Step::SpendLimit, 429, "rate_limit_error"),
        (Step::Entitlement, 429, "rate_limit_error"),
        (Step::Unauthorized, 401, "authentication_error"),
        (Step::Forbidden, 403, "permission_error"),
        (Step::ServerError, 500, "api_error"),
        (Step::Overloaded, 529, "overloaded_error"),
        (Step::NotReady, 503, "api_error"),
        (Step::TooLong, 400, "invalid_request_error"),
        (own, 418, "teapot_error"),
    ] {
        plan.simulator.script([step.clone()]);
        let response = plan.messages(&streamed(prompt("x"))).await.unwrap();
        assert_eq!(response.status(), status, "{step:?}");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(body["error"]["type"], kind, "{step:?}");
    }
}

#[tokio::test]
async fn headers_distinguish_window_model_and_minute_limits() {
    let plan = plan().await;
    let limit_header = |name: &str| format!("anthropic-ratelimit-unified-{name}");
    for (window, claim, rejected) in [
        (Window::FiveHour, "five_hour", "5h"),
        (Window::SevenDay, "seven_day", "7d"),
        (Window::SevenDayOpus, "seven_day_opus", "7d_opus"),
        (
            Window::SevenDayOverageIncluded,
            "seven_day_overage_included",
            "7d_oi",
        ),
    ] {
        plan.simulator.script([Step::UsageLimit {
            window,
            reset_after_s: 90,
        }]);
        let response = plan.messages(&prompt("x")).await.unwrap();
        assert_eq!(
            header(&response, &limit_header("representative-claim")),
            Some(claim)
        );
        assert_eq!(header(&response, "retry-after"), Some("90"));
        for name in ["5h", "7d", "7d_opus", "7d_oi"] {
            let status = header(&response, &limit_header(&format!("{name}-status")));
            let expected = match name {
                _ if name == rejected => Some("rejected"),
                "5h" | "7d" => Some("allowed"),
                _ => None,
            };
            assert_eq!(status, expected, "{claim} {name}");
        }
    }
    plan.simulator.script([
        Step::RateLimit {
            retry_after_s: Some(20),
        },
        Step::SpendLimit,
    ]);
    let minute = plan.messages(&prompt("x")).await.unwrap();
    assert_eq!(header(&minute, &limit_header("status")), None);
    assert_eq!(header(&minute, "retry-after"), Some("20"));
    assert!(
        header(&minute, "anthropic-ratelimit-requests-reset")
            .unwrap()
            .ends_with('Z')
    );
    let spent = plan.messages(&prompt("x")).await.unwrap();
    assert_eq!(header(&spent, "retry-after"), None);
    let body: Value = serde_json::from_str(&spent.text().await.unwrap()).unwrap();
    assert_eq!(
        body["error"]["details"]["error_code"],
        "enforced_spend_limit_reached"
    );
}

#[tokio::test]
async fn scripted_answers_have_the_scripted_content() {
    let plan = plan().await;
    let call = || ToolCall {
        name: "Read".into(),
        input: json!({ "path": "/x" }),
    };
    let answer = |content| Step::Answer {
        content,
        stop_reason: None,
        usage: None,
    };
    for (step, expected) in [
        (
            answer(vec![Content::Text("hi".into())]),
            "start text | ping | hi | stop | message_delta end_turn",
        ),
        (
            answer(vec![
                Content::Thinking("hm".into()),
                Content::Text("hi".into()),
            ]),
            "start thinking | ping | hm(signed) | stop | start text | hi | stop | message_delta end_turn",
        ),
        (
            Step::Tools {
                calls: vec![call(), call()],
            },
            "start tool_use | ping | {\"path\":\"/x\"} | stop | start tool_use | {\"path\":\"/x\"} | \
             stop | message_delta tool_use",
        ),
        (
            Step::Answer {
                content: vec![
                    Content::RedactedThinking("data".into()),
                    Content::Text("é".into()),
                ],
                stop_reason: Some("max_tokens".into()),
                usage: Some(Usage {
                    input: 1,
                    output: 2,
                    ..Usage::default()
                }),
            },
            "start redacted_thinking | ping | stop | start text | é | stop | message_delta max_tokens",
        ),
    ] {
        plan.simulator.script([step]);
        let (text, _) = read(plan.messages(&streamed(prompt("x"))).await.unwrap()).await;
        assert_eq!(
            summary(&events(&text)),
            format!("message_start | {expected} | message_stop")
        );
    }
}

#[tokio::test]
async fn a_stream_can_be_broken_at_every_point() {
    let plan = plan().await;
    let content = || {
        vec![
            Content::Text("a".repeat(40)),
            Content::Text("second".into()),
        ]
    };
    let first = "a".repeat(14);
    let all = "a".repeat(40);
    for (after, arrived) in [
        (Point::Headers, String::new()),
        (Point::MessageStart, "message_start".into()),
        (
            Point::FirstDelta,
            format!("message_start | start text | ping | {first}"),
        ),
        (
            Point::FirstBlock,
            format!("message_start | start text | ping | {all} | stop"),
        ),
        (
            Point::Content,
            format!(
                "message_start | start text | ping | {all} | stop | start text | second | stop"
            ),
        ),
    ] {
        let error = format!("{arrived} | error overloaded_error");
        for (step, expected, well) in [
            (
                Step::Cut {
                    after,
                    content: content(),
                },
                arrived.clone(),
                false,
            ),
            (
                Step::End {
                    after,
                    content: content(),
                },
                arrived.clone(),
                true,
            ),
            (
                Step::Garbage {
                    after,
                    content: content(),
                },
                arrived.clone(),
                true,
            ),
            (
                Step::StreamError {
                    after,
                    kind: None,
                    message: None,
                    content: content(),
                },
                error.trim_start_matches(" | ").to_owned(),
                true,
            ),
        ] {
            plan.simulator.script([step.clone()]);
            let response = plan.messages(&streamed(prompt("x"))).await.unwrap();
            assert_eq!(response.status(), 200, "{step:?}");
            let (text, ended) = read(response).await;
            assert_eq!(
                (summary(&events(&text)), ended),
                (expected, well),
                "{step:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_connection_can_break_before_the_status_line() {
    let plan = plan().await;
    let (after, content) = (Point::Connect, vec![]);
    plan.simulator.script([Step::Cut {
        after,
        content: content.clone(),
    }]);
    assert!(plan.messages(&streamed(prompt("x"))).await.is_err());
    let (kind, message) = (Some("api_error".to_owned()), None);
    plan.simulator.script([Step::StreamError {
        after,
        kind,
        message,
        content,
    }]);
    assert_eq!(
        plan.messages(&streamed(prompt("x")))
            .await
            .unwrap()
            .status(),
        500
    );
}

#[tokio::test]
async fn an_answer_in_one_piece_can_be_broken_too() {
    let plan = plan().await;
    let after = Point::FirstDelta;
    let cut = Step::Cut {
        after,
        content: vec![],
    };
    plan.simulator.script([
        cut,
        Step::Garbage {
            after,
            content: vec![],
        },
    ]);
    let (_, ended) = read(plan.messages(&prompt("x")).await.unwrap()).await;
    assert!(!ended);
    let (text, ended) = read(plan.messages(&prompt("x")).await.unwrap()).await;
    assert!(ended);
    assert!(serde_json::from_str::<Value>(&text).is_err());
    let error = Step::StreamError {
        after,
        kind: None,
        message: None,
        content: vec![],
    };
    plan.simulator.script([error]);
    assert_eq!(plan.messages(&prompt("x")).await.unwrap().status(), 529);
}

#[tokio::test]
async fn web_page_and_raw_response_can_be_scripted() {
    let plan = plan().await;
    let headers = [("content-type".to_owned(), "text/plain".to_owned())].into();
    plan.simulator.script([
        Step::Html,
        Step::Raw {
            status: 299,
            headers,
            body: "raw".into(),
        },
    ]);
    let page = plan.messages(&streamed(prompt("x"))).await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(
        header(&page, "content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.text().await.unwrap().starts_with("<!doctype html>"));
    let raw = plan.messages(&prompt("x")).await.unwrap();
    assert_eq!(
        (raw.status().as_u16(), raw.text().await.unwrap()),
        (299, "raw".to_owned())
    );
}

#[tokio::test]
async fn slow_response_waits_before_headers_and_between_events() {
    let plan = plan().await;
    plan.simulator.script([Step::Slow {
        headers_ms: 60,
        events_ms: 20,
    }]);
    let asked = Instant::now();
    let response = plan.messages(&streamed(prompt("x"))).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(60));
    let answered = Instant::now();
    let (text, _) = read(response).await;
    let pauses = u32::try_from(events(&text).len()).unwrap() - 1;
    assert!(answered.elapsed() >= Duration::from_millis(20) * (pauses - 1));
}

#[tokio::test]
async fn marker_in_the_prompt_is_a_step_and_a_wrong_one_is_an_error() {
    let plan = plan().await;
    for (text, status) in [
        ("[[plan:429]]", 429),
        ("[[plan:529]]", 529),
        ("[[plan:{\"step\":\"unauthorized\"}]]", 401),
        ("[[bedrock:throttle]]", 200),
        ("[[plan:nonsense]]", 400),
    ] {
        assert_eq!(
            plan.messages(&prompt(text)).await.unwrap().status(),
            status,
            "{text}"
        );
    }
}

#[tokio::test]
async fn good_answers_carry_the_headers_and_members_of_a_subscription() {
    let plan = plan().await;
    let (status, headers, text) = super::send_marker(&plan, r#"{"step":"normal"}"#).await;
    assert_eq!(status, 200);
    for (name, value) in [
        ("status", "allowed"),
        ("5h-status", "allowed"),
        ("7d-status", "allowed"),
        ("upgrade-paths", "upgrade_plan,overage"),
        ("overage-in-use", "false"),
        ("overage-utilization", "0.0"),
    ] {
        let name = format!("anthropic-ratelimit-unified-{name}");
        assert_eq!(headers[&name], value, "{name}");
    }
    for name in [
        "anthropic-organization-id",
        "anthropic-workspace-id",
        "traceresponse",
        "cf-ray",
        "content-security-policy",
        "server-timing",
        "anthropic-ratelimit-unified-overage-reset",
    ] {
        assert!(headers.contains_key(name), "{name}");
    }
    assert!(text.contains(" }\n\n"), "padded with blanks: {text}");
    let events = events(&text);
    let usage = &events[0]["message"]["usage"];
    assert_eq!(
        usage["output_tokens_details"],
        json!({ "thinking_tokens": 0 })
    );
    assert_eq!(usage["iterations"][0]["type"], "message");
    let delta = events.iter().find(|event| event["type"] == "message_delta");
    let delta = delta.unwrap();
    assert_eq!(delta["delta"]["stop_details"], Value::Null);
    assert_eq!(delta["context_management"], json!({ "applied_edits": [] }));
    assert!(delta["usage"]["input_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn documents_with_citations_are_cited() {
    let plan = plan().await;
    let mut body = prompt("");
    body["messages"][0]["content"] = json!([
        {
            "type": "document", "title": "facts.txt", "citations": { "enabled": true },
            "source": { "type": "text", "media_type": "text/plain", "data": "One. Two." },
        },
        { "type": "text", "text": "what is there?" },
    ]);
    let (text, _) = read(plan.messages(&streamed(body)).await.unwrap()).await;
    let events = events(&text);
    let shown = summary(&events);
    assert!(
        shown.contains("| start text | One. | stop | start text |   | stop | start text | Two. |"),
        "{shown}"
    );
    let deltas: Vec<_> = events
        .iter()
        .filter(|event| event["index"] == 1 && event["type"] == "content_block_delta")
        .map(|event| event["delta"]["type"].as_str().unwrap())
        .collect();
    assert_eq!(deltas, ["citations_delta", "text_delta"]);
}

#[tokio::test]
async fn scripted_frames_go_out_as_they_are() {
    let plan = plan().await;
    let frames = json!({ "step": "frames", "events": [
        { "type": "ping", "payload": { "type": "ping", "later": 1 } },
        { "type": "odd", "payload": "{\"cut" },
    ]});
    plan.simulator
        .script([serde_json::from_value(frames.clone()).unwrap()]);
    let (text, _) = read(plan.messages(&streamed(prompt("x"))).await.unwrap()).await;
    assert_eq!(
        text,
        "event: ping\ndata: {\"type\":\"ping\",\"later\":1}\n\nevent: odd\ndata: {\"cut\n\n"
    );
    plan.simulator
        .script([serde_json::from_value(frames).unwrap()]);
    assert_eq!(plan.messages(&prompt("x")).await.unwrap().status(), 400);
}
