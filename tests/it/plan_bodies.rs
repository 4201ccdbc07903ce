//! Bodies of Plan that break off, stall, or exceed the buffer.

use std::time::Duration;

use domain::breaker::BreakerState;
use reqwest::Method;
use tests::Afterwards::{Closes, IsSilent};
use tests::{Afterwards, Answer, Streaming, World, message, raw_plan};
use tokio::task::JoinSet;

/// A world whose Plan answers with these bytes.
async fn world_of(bytes: String, afterwards: Afterwards) -> (World, JoinSet<()>) {
    let (plan_url, serving) = raw_plan(bytes.into_bytes(), afterwards).await;
    let world = World::with(|settings| {
        settings.plan_url = plan_url;
        settings.deadlines.first_byte = Duration::from_millis(1400);
    })
    .await;
    (world, serving)
}

async fn ask(bytes: &str, afterwards: Afterwards, streaming: Streaming) -> (World, Answer) {
    let (world, _serving) = world_of(bytes.to_owned(), afterwards).await;
    let answer = world.ask(&message("hello", streaming)).await;
    (world, answer)
}

/// A response whose last bytes are missing.
fn cut(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n{headers}\r\n{body}"
    )
}

#[tokio::test]
async fn a_limit_whose_body_breaks_off_or_stalls_is_still_that_limit() {
    for afterwards in [Closes, IsSilent] {
        for body in ["", "{\"type\":\"err"] {
            let limit = cut(
                "429 Too Many Requests",
                "anthropic-ratelimit-unified-status: rejected\r\nretry-after: 1800\r\n",
                body,
            );
            let (world, answer) = ask(&limit, afterwards, Streaming::Yes).await;
            let upstream = answer.header("x-spillway-upstream");
            assert_eq!(upstream, "bedrock; reason=usage_limit", "{afterwards:?}");
            let breaker = world.breaker().await;
            assert!(matches!(breaker, BreakerState::Open { .. }), "{breaker:?}");
        }
    }
}

#[tokio::test]
async fn an_error_whose_body_breaks_off_is_delivered_with_an_envelope() {
    for (status, headers, code, kind) in [
        ("404 Not Found", "", 404, "not_found_error"),
        ("401 Unauthorized", "", 401, "authentication_error"),
        ("403 Forbidden", "", 403, "permission_error"),
        ("500 Internal Server Error", "", 500, "api_error"),
        (
            "400 Bad Request",
            "content-encoding: br\r\netag: x\r\n",
            400,
            "invalid_request_error",
        ),
    ] {
        let headers = format!("{headers}x-should-retry: false\r\nrequest-id: req_of_plan\r\n");
        let bytes = cut(status, &headers, "{\"type\":\"error\",\"err");
        let (world, answer) = ask(&bytes, Closes, Streaming::Yes).await;
        assert_eq!(answer.status, code);
        let (told, sentence) = answer.error();
        assert_eq!(told, kind);
        assert!(sentence.contains(&code.to_string()), "{sentence}");
        assert_eq!(answer.header("x-should-retry"), "false");
        assert_eq!(answer.header("request-id"), "req_of_plan");
        assert_eq!(answer.header("content-type"), "application/json");
        for gone in ["content-encoding", "etag"] {
            assert_eq!(answer.header(gone), "", "{gone}");
        }
        assert!(world.bedrock.requests().is_empty(), "{status}");
    }
}

#[tokio::test]
async fn a_json_answer_over_8_mib_that_breaks_off_is_aborted_without_an_event() {
    let long = "y".repeat(9 * 1024 * 1024);
    let length = long.len();
    let bytes = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
         9\r\n{{\"text\":\"\r\n{length:x}\r\n{long}\r\n"
    );
    let (world, _serving) = world_of(bytes, Closes).await;
    let request = world
        .request(Method::POST, "/v1/messages")
        .body(message("hello", Streaming::No).to_string());
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut read = Vec::new();
    let end = loop {
        match answer.chunk().await {
            Ok(Some(piece)) => read.extend_from_slice(&piece),
            end => break end,
        }
    };
    assert!(end.is_err(), "the connection is aborted");
    assert!(!String::from_utf8(read).unwrap().contains("event:"));
}

#[tokio::test]
async fn event_stream_with_a_content_length_can_carry_an_error_event() {
    let content = concat!(
        "event: message_start\n",
        r#"data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","#,
        r#""model":"claude-opus-5-5","content":[],"stop_reason":null,"stop_sequence":null,"#,
        r#""usage":{"input_tokens":1,"output_tokens":1}}}"#,
        "\n\nevent: content_block_start\n",
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        "\n\n",
    );
    let bytes = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{content}",
        content.len()
    );
    let (_world, answer) = ask(&bytes, IsSilent, Streaming::Yes).await;
    assert_eq!(answer.header("content-length"), "");
    assert!(answer.text().starts_with(content));
    assert_eq!(answer.events().last().unwrap(), "error");
    assert_eq!(answer.error().0, "overloaded_error");
}

#[tokio::test]
async fn long_download_that_breaks_is_aborted() {
    // In chunks, without a length that would show the missing bytes.
    let mebibyte = "z".repeat(1024 * 1024);
    let chunks = format!("100000\r\n{mebibyte}\r\n").repeat(9);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n\
                transfer-encoding: chunked\r\n\r\n";
    for (end, is_whole) in [("", false), ("0\r\n\r\n", true)] {
        let (world, _serving) = world_of(format!("{head}{chunks}{end}"), Closes).await;
        let request = world.request(Method::GET, "/v1/files/file_1/content");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.bytes().await.is_ok(), is_whole);
    }
}
