//! Invocations of the proxy function: events of API Gateway, and the output of the Lambda runtime.

use std::time::Duration;

use futures_util::StreamExt as _;
use lambda_runtime::{Context, LambdaEvent};
use proxy::lambda::{HttpEvent, respond};
use serde_json::{Value, json};
use simulators::{Point, Step};
use tests::Afterwards::Closes;
use tests::{Answer, CLIENT_CREDENTIAL, Streaming, World, message, raw_plan, world};
use tokio::time::timeout;

/// The event of a REST API for a message.
fn event(world: &World, streaming: Streaming) -> Value {
    json!({
        "resource": "/ak/{key}/{proxy+}",
        "path": format!("/ak/{}/v1/messages", world.key.access_key),
        "httpMethod": "POST",
        "headers": {"Host": "gateway", "X-Forwarded-Proto": "http,https", "anthropic-beta": "two"},
        "multiValueHeaders": {
            "Host": ["gateway"],
            "X-Forwarded-Proto": ["http,https"],
            "authorization": [format!("Bearer {CLIENT_CREDENTIAL}")],
            "anthropic-version": ["2023-06-01"],
            "anthropic-beta": ["one", "two"],
        },
        "multiValueQueryStringParameters": {"beta": ["true"]},
        "requestContext": {"stage": "live", "httpMethod": "POST"},
        "body": message("hello", streaming).to_string(),
        "isBase64Encoded": false,
    })
}

/// The prelude as the runtime writes it, and the body.
async fn invoke(world: &World, event: Value, left: Duration) -> (Value, Answer) {
    let event: HttpEvent = serde_json::from_value(event).unwrap();
    let mut context = Context::default();
    context.deadline = u64::try_from(world.now().plus(left).as_millis()).unwrap();
    let event = LambdaEvent::new(event, context);
    let response = Box::pin(respond(world.stack.proxy(), event)).await;
    let prelude = serde_json::to_value(&response.metadata_prelude).unwrap();
    let pieces: Vec<_> = response.stream.collect().await;
    let answer = Answer {
        status: response.metadata_prelude.status_code.as_u16(),
        headers: response.metadata_prelude.headers,
        body: pieces.into_iter().flat_map(Result::unwrap).collect(),
    };
    (prelude, answer)
}

const QUARTER: Duration = Duration::from_mins(15);

#[tokio::test]
async fn repeated_headers_and_the_query_of_an_invocation_reach_plan() {
    let world = world().await;
    let (_, answer) = invoke(&world, event(&world, Streaming::Yes), QUARTER).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.events().last().unwrap(), "message_stop");
    let received = &world.plan.requests()[0];
    assert_eq!(received.path, "/v1/messages?beta=true");
    let betas = received
        .headers
        .iter()
        .filter(|(name, _)| name == "anthropic-beta");
    let betas: Vec<_> = betas.map(|(_, value)| value.as_str()).collect();
    assert_eq!(betas.join(","), "one,two");
    assert_eq!(received.header("x-forwarded-proto"), None);
}

#[tokio::test]
async fn prelude_is_valid_for_api_gateway_with_any_plan_headers() {
    let bytes = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
                      x-odd: caf\xe9\r\nx-twice: a\r\nx-twice: b\r\nset-cookie: a=1\r\n\
                      set-cookie: b=2\r\n\r\n{}";
    let (plan_url, _serving) = raw_plan(bytes.to_vec(), Closes).await;
    let world = World::with(|settings| settings.plan_url = plan_url).await;
    let (prelude, answer) = invoke(&world, event(&world, Streaming::No), QUARTER).await;
    assert_eq!(answer.text(), "{}");
    let headers = prelude["headers"].as_object().unwrap();
    assert!(headers.values().all(Value::is_string), "{prelude}");
    assert_eq!(headers["x-twice"], "a, b");
    assert!(!headers.contains_key("content-length") && !headers.contains_key("x-odd"));
    assert_eq!(prelude["cookies"], json!(["a=1", "b=2"]));

    // Also for errors of Spillway itself.
    let mut unknown = event(&world, Streaming::No);
    unknown["path"] = json!("/ak/ak_nonsense/v1/messages");
    let (prelude, answer) = invoke(&world, unknown, QUARTER).await;
    assert_eq!(answer.status, 404);
    assert_eq!(prelude["headers"]["content-length"], Value::Null);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_400_in_anthropics_envelope() {
    let world = world().await;
    let mut broken = event(&world, Streaming::No);
    broken["isBase64Encoded"] = json!(true);
    for event in [broken, json!({})] {
        let (_, answer) = invoke(&world, event, QUARTER).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.error().0, "invalid_request_error");
        assert!(answer.header("x-spillway-request-id").starts_with("req_"));
    }
}

#[tokio::test]
async fn a_request_ends_five_seconds_before_its_invocation() {
    let world = world().await;
    for (streaming, after, status) in [
        (Streaming::No, Point::Connect, 504),
        (Streaming::Yes, Point::Connect, 504),
        (Streaming::Yes, Point::FirstDelta, 200),
    ] {
        world.plan.script([Step::Hang {
            after,
            content: vec![],
        }]);
        let event = event(&world, streaming);
        let invoking = invoke(&world, event, Duration::from_millis(5_700));
        let answered = timeout(Duration::from_secs(20), invoking).await;
        let (_, answer) = answered.expect("an answer before the invocation ends");
        assert_eq!(answer.status, status, "{streaming:?} {after:?}");
        let kind = if status == 200 {
            "overloaded_error"
        } else {
            "timeout_error"
        };
        assert_eq!(answer.error().0, kind);
    }
}

#[tokio::test]
async fn truncated_download_ends_without_added_bytes() {
    let mebibyte = "z".repeat(1024 * 1024);
    let chunks = format!("100000\r\n{mebibyte}\r\n").repeat(9);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let (plan_url, _serving) = raw_plan(format!("{head}{chunks}").into_bytes(), Closes).await;
    let world = World::with(|settings| settings.plan_url = plan_url).await;
    let mut event = event(&world, Streaming::No);
    event["httpMethod"] = json!("GET");
    event["path"] = json!(format!("/ak/{}/v1/files/f/content", world.key.access_key));
    let (_, answer) = invoke(&world, event, QUARTER).await;
    assert!(answer.body.iter().all(|byte| *byte == b'z'));
}
