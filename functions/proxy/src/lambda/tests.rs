use serde_json::json;

use super::*;

fn request(event: Value) -> Request<RequestBody> {
    let event: HttpEvent = serde_json::from_value(event).unwrap();
    event.into_request().unwrap()
}

fn refusal(event: Value) -> u16 {
    let event: HttpEvent = serde_json::from_value(event).unwrap();
    event.into_request().unwrap_err().status.as_u16()
}

fn values<'a>(request: &'a Request<RequestBody>, name: &str) -> Vec<&'a str> {
    let values = request.headers().get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn every_value_of_a_repeated_header_is_read_from_a_rest_event() {
    let request = request(json!({
        "httpMethod": "POST",
        "path": "/ak/K/v1/messages",
        "headers": {"Anthropic-Beta": "two", "x-app": "cli", "only-here": "1", "bad name": "x", "lf": "a\nb"},
        "multiValueHeaders": {"anthropic-beta": ["one", "two"], "X-App": ["cli"]},
    }));
    assert_eq!(values(&request, "anthropic-beta"), ["one", "two"]);
    assert_eq!(values(&request, "x-app"), ["cli"]);
    assert_eq!(values(&request, "only-here"), ["1"]);
    assert_eq!(request.headers().len(), 4);
}

#[test]
fn the_query_of_a_rest_event_keeps_order_and_values() {
    let query = |lists: Value, singles: Value| {
        let request = request(json!({
            "httpMethod": "GET",
            "path": "/x",
            "multiValueQueryStringParameters": lists,
            "queryStringParameters": singles,
        }));
        request.uri().query().map(str::to_owned)
    };
    let cases = [
        (json!({"beta": ["true"]}), Some("beta=true")),
        (
            json!({"z": ["1", "2"], "a": ["b,c:d/e@f"]}),
            Some("z=1&z=2&a=b,c:d/e@f"),
        ),
        (
            json!({"ids[]": ["a b", "a+b"]}),
            Some("ids%5B%5D=a%20b&ids%5B%5D=a%2Bb"),
        ),
        (
            json!({"q": ["'\"<#&%é="]}),
            Some("q=%27%22%3C%23%26%25%C3%A9="),
        ),
        (json!({"flag": [""]}), Some("flag=")),
        (json!({}), None),
        (Value::Null, None),
    ];
    for (lists, expected) in cases {
        assert_eq!(query(lists, Value::Null).as_deref(), expected);
    }
    let single = query(Value::Null, json!({"beta": "true"}));
    assert_eq!(single.as_deref(), Some("beta=true"));
}

#[test]
fn no_header_or_path_of_an_event_makes_the_adapter_panic() {
    for (host, proto) in [
        ("host", "http,https"),
        ("a b<>", "https"),
        ("[::", "::"),
        ("", ""),
        ("\u{0}", "\u{e9}"),
    ] {
        let request = request(json!({
            "httpMethod": "GET",
            "path": "/ak/K/v1/models",
            "multiValueHeaders": {"Host": [host], "X-Forwarded-Proto": [proto]},
        }));
        assert_eq!(request.uri().to_string(), "/ak/K/v1/models");
    }
    for (path, expected) in [
        ("/v1/a b", "/v1/a%20b"),
        ("/v1/caf\u{e9}?x#y", "/v1/caf%C3%A9%3Fx%23y"),
        ("/v1/..\\x", "/v1/..\\x"),
        ("/v1/a%2Fb", "/v1/a%2Fb"),
        ("v1", "/v1"),
        ("", "/"),
        ("//", "//"),
        ("/<>`^|{}\"'", "/%3C%3E%60%5E%7C{}\"'"),
    ] {
        let request = request(json!({"httpMethod": "GET", "path": path}));
        assert_eq!(request.uri().to_string(), expected);
    }
}

#[test]
fn an_event_that_is_no_request_is_an_error_of_its_own() {
    assert_eq!(refusal(json!({})), 400);
    assert_eq!(
        refusal(json!({"httpMethod": "NO METHOD", "path": "/"})),
        400
    );
    let path = format!("/{}", "x".repeat(70_000));
    assert_eq!(refusal(json!({"httpMethod": "GET", "path": path})), 400);
    for body in ["%", "e30", "e30=="] {
        let event =
            json!({"httpMethod": "POST", "path": "/", "body": body, "isBase64Encoded": true});
        assert_eq!(refusal(event), 400, "{body}");
    }
}

#[tokio::test]
async fn a_body_is_taken_as_it_is_or_decoded() {
    for (body, is_base64, expected) in [
        (
            json!("{\"caf\u{e9}\":1}"),
            json!(false),
            "{\"caf\u{e9}\":1}",
        ),
        (json!("e30="), json!(true), "{}"),
        (json!("e30="), json!(null), "e30="),
        (json!(null), json!(true), ""),
    ] {
        let event =
            json!({"httpMethod": "POST", "path": "/", "body": body, "isBase64Encoded": is_base64});
        let body = request(event).into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), expected);
    }
}

#[test]
fn the_event_of_an_http_api_is_read_too() {
    let request = request(json!({
        "version": "2.0",
        "httpMethod": "GET",
        "rawPath": "/ak/K/v1/messages",
        "rawQueryString": "beta=true&q=%27+x",
        "cookies": ["a=1", "b=2"],
        "headers": {"anthropic-beta": "one,two"},
        "requestContext": {"http": {"method": "POST"}, "stage": "$default"},
    }));
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), "/ak/K/v1/messages?beta=true&q=%27+x");
    assert_eq!(values(&request, "cookie"), ["a=1; b=2"]);
    assert_eq!(values(&request, "anthropic-beta"), ["one,two"]);
}

#[tokio::test]
async fn the_prelude_has_one_string_for_every_header() {
    let mut response = Response::new(crate::response::full_body("body"));
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-length", b"4".as_slice()),
        ("content-type", b"text/plain"),
        ("x-twice", b"one"),
        ("x-twice", b"two"),
        ("x-odd", b"caf\xe9"),
        ("x-half-odd", b"\xff"),
        ("x-half-odd", b"plain"),
        ("set-cookie", b"a=1"),
        ("set-cookie", b"b=2"),
        ("set-cookie", b"\xff"),
    ] {
        let value = HeaderValue::from_bytes(value).unwrap();
        headers.append(HeaderName::from_static(name), value);
    }
    let response = to_lambda(response);
    let prelude = serde_json::to_value(&response.metadata_prelude).unwrap();
    let expected = json!({
        "statusCode": 200,
        "headers": {"content-type": "text/plain", "x-twice": "one, two", "x-half-odd": "plain"},
        "cookies": ["a=1", "b=2"],
    });
    assert_eq!(prelude, expected);
    let pieces: Vec<_> = response.stream.collect().await;
    assert_eq!(pieces, [Ok(Bytes::from("body"))]);
}

#[test]
fn the_end_of_an_invocation_is_read_unless_it_is_in_the_past() {
    let now = domain::time::Timestamp::from_millis(1_000_000);
    let clock = Clock::from_fn(move || now);
    let left = |deadline: u64| {
        let mut context = Context::default();
        context.deadline = deadline;
        let InvocationEnd(end) = end_of(&context, &clock)?;
        Some(end.saturating_duration_since(Instant::now()).as_secs())
    };
    assert_eq!(left(1_060_900), Some(60));
    assert_eq!(left(600_000), None);
    assert_eq!(left(0), None);
}
