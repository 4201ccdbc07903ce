//! Access keys, and paths that need none.

use std::time::Duration;

use http::HeaderMap;
use local::Fault;
use proxy::config::UnknownKey;
use reqwest::Method;
use tests::{Answer, CLIENT_CREDENTIAL, Streaming, World, message, read, world};

/// The parts of a response that could distinguish one rejection from another.
fn comparable(answer: &Answer) -> (u16, Vec<String>, String) {
    let mut headers: HeaderMap = answer.headers.clone();
    for per_request in ["date", "request-id", "x-spillway-request-id"] {
        headers.remove(per_request);
    }
    let id = answer.header("request-id");
    let headers = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    (answer.status, headers, answer.text().replace(id, "ID"))
}

async fn ask_as(world: &World, key: &str) -> Answer {
    let body = message("hello", Streaming::Yes).to_string();
    read(
        world
            .request_as(key, Method::POST, "/v1/messages")
            .body(body),
    )
    .await
}

fn never_issued() -> String {
    domain::key::AccessKey::from_entropy(&[9; 32])
        .expose()
        .to_owned()
}

#[tokio::test]
async fn malformed_unknown_and_revoked_keys_get_the_same_response() {
    let world = world().await;
    assert_eq!(ask_as(&world, &world.key.access_key).await.status, 200);
    world.revoke_key().await;
    world.pass(Duration::from_mins(1));

    let malformed = comparable(&ask_as(&world, "ak_nonsense").await);
    assert_eq!(malformed.0, 404);
    assert!(
        malformed
            .1
            .contains(&"x-should-retry: \"false\"".to_owned()),
        "{:?}",
        malformed.1
    );
    assert_eq!(
        comparable(&ask_as(&world, &never_issued()).await),
        malformed
    );
    assert_eq!(
        comparable(&ask_as(&world, &world.key.access_key).await),
        malformed
    );
    assert_eq!(world.plan.requests().len(), 1);
}

#[tokio::test]
async fn deployment_may_answer_401_to_keys_that_are_not_served() {
    let world = World::with(|settings| settings.unknown_key = UnknownKey::Unauthorized).await;
    let answer = ask_as(&world, "ak_nonsense").await;
    assert_eq!(answer.status, 401);
    let (kind, sentence) = answer.error();
    assert_eq!(kind, "authentication_error");
    assert!(
        sentence.contains("logging in to Claude again does not help"),
        "{sentence}"
    );
    assert_eq!(answer.header("x-should-retry"), "false");
}

/// Claude Code blames the model for a 404 and does not show its message.
#[tokio::test]
async fn message_to_an_unknown_path_gets_a_visible_error() {
    let world = world().await;
    let body = || message("hello", Streaming::Yes).to_string();
    for path in [
        "/v1/messages",
        "/no/v1/messages",
        "/ak/KEY/live/v1/messages",
    ] {
        let request = world.bare(Method::POST, path).body(body());
        let answer = read(request).await;
        let (kind, sentence) = answer.error();
        assert_eq!((answer.status, kind.as_str()), (400, "policy_blocked"));
        assert_eq!(answer.header("x-should-retry"), "false");
        assert_eq!(answer.header("x-spillway-error"), "not_found");
        assert!(sentence.contains("/ak/YOUR_ACCESS_KEY"), "{sentence}");
    }
}

#[tokio::test]
async fn malformed_key_costs_no_read_and_a_well_formed_one_costs_one() {
    let world = world().await;
    let queries = |world: &World| world.stack.aws().calls("Query");
    let before = queries(&world);
    let damaged = world.key.access_key.replacen("ak_", "ak_x", 1);
    for key in ["", "ak_", "short", &damaged] {
        ask_as(&world, key).await;
    }
    assert_eq!(queries(&world), before);
    for _ in 0..5 {
        ask_as(&world, &world.key.access_key).await;
    }
    assert_eq!(queries(&world), before + 1);
    for _ in 0..5 {
        ask_as(&world, &never_issued()).await;
    }
    assert_eq!(queries(&world), before + 2);
}

#[tokio::test]
async fn revoked_key_stops_within_the_bound_and_a_new_key_works_at_once() {
    let world = world().await;
    assert_eq!(ask_as(&world, &world.key.access_key).await.status, 200);
    world.revoke_key().await;
    world.pass(Duration::from_secs(59));
    assert_eq!(
        ask_as(&world, &world.key.access_key).await.status,
        200,
        "still cached"
    );
    world.pass(Duration::from_secs(1));
    assert_eq!(ask_as(&world, &world.key.access_key).await.status, 404);
    let fresh = world.key_without_bedrock().await;
    assert_eq!(ask_as(&world, &fresh.access_key).await.status, 200);
}

#[tokio::test]
async fn unreadable_table_is_a_503_and_outdated_keys_are_not_served() {
    let world = world().await;
    assert_eq!(ask_as(&world, &world.key.access_key).await.status, 200);
    world
        .stack
        .aws()
        .faults()
        .fail_next("Query", 9, Fault::InternalServerError);
    assert_eq!(
        ask_as(&world, &world.key.access_key).await.status,
        200,
        "still cached"
    );
    world.pass(Duration::from_mins(1));
    let answer = ask_as(&world, &world.key.access_key).await;
    assert_eq!(
        (answer.status, answer.error().0.as_str()),
        (503, "api_error")
    );
    assert_eq!(answer.header("x-spillway-error"), "spillway_unavailable");
    world.stack.aws().faults().clear();
    assert_eq!(ask_as(&world, &world.key.access_key).await.status, 200);
}

#[tokio::test]
async fn key_in_a_header_is_accepted_and_not_forwarded() {
    let world = world().await;
    let request = world
        .bare(Method::POST, "/v1/messages?beta=true")
        .header("x-spillway-key", &world.key.access_key)
        .header("authorization", format!("Bearer {CLIENT_CREDENTIAL}"))
        .header("anthropic-version", "2023-06-01")
        .body(message("hello", Streaming::No).to_string());
    assert_eq!(read(request).await.status, 200);
    let received = &world.plan.requests()[0];
    assert_eq!(received.path, "/v1/messages?beta=true");
    assert_eq!(received.header("x-spillway-key"), None);
}

#[tokio::test]
async fn landing_page_and_health_check_need_no_key() {
    let world = world().await;
    let reads = world.stack.aws().calls("Query");
    for (method, path, status) in [
        (Method::GET, "/", 200),
        (Method::HEAD, "/", 200),
        (Method::GET, "/health", 200),
        (Method::HEAD, "/ak/anything/api/hello", 200),
        (Method::GET, "/ak/anything/", 200),
        (Method::GET, "/elsewhere", 404),
        (Method::POST, "/", 404),
    ] {
        let answer = read(world.bare(method.clone(), path)).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(
            answer.header("x-spillway-request-id").starts_with("req_"),
            "{path}"
        );
    }
    assert_eq!(world.stack.aws().calls("Query"), reads);
    assert!(world.plan.requests().is_empty());
}

#[tokio::test]
async fn path_outside_the_api_is_not_forwarded() {
    let world = world().await;
    for path in [
        "/api/oauth/usage",
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/managed/settings",
    ] {
        // The client library would normalise the path.
        let answer = raw_get(&world, &format!("/ak/{}{path}", world.key.access_key)).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    assert!(world.plan.requests().is_empty());
}

async fn raw_get(world: &World, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = world.base_url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_key_that_is_not_served_is_refused_without_waiting_for_the_body() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = world().await;
    let address = world.base_url.strip_prefix("http://").unwrap();
    let mut answers = Vec::new();
    for key in ["ak_nonsense".to_owned(), never_issued()] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /ak/{key}/v1/messages HTTP/1.1\r\nhost: {address}\r\n\
             content-length: 30000000\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut begun = [0; 12];
        let reading = stream.read_exact(&mut begun);
        let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
        read.expect("an answer without the body").unwrap();
        answers.push(begun);
    }
    assert_eq!(answers, [*b"HTTP/1.1 404"; 2]);
}
