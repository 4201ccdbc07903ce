//! Requests that cannot be sent to Plan byte for byte.

use domain::breaker::BreakerState;
use domain::policy::BreakerScope;
use tests::{Answer, CLIENT_CREDENTIAL, Streaming, World, message};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Sends a message with exactly this path, and reads the full response.
async fn post(world: &World, path: &str) -> Answer {
    let address = world.base_url.strip_prefix("http://").unwrap();
    let body = message("hello", Streaming::No).to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nx-spillway-key: {}\r\nconnection: close\r\n\
         authorization: Bearer {CLIENT_CREDENTIAL}\r\n\
         anthropic-version: 2023-06-01\r\ncontent-length: {}\r\n\r\n{body}",
        world.key.access_key,
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    Answer::parse(&read)
}

#[tokio::test]
async fn query_that_a_url_would_change_is_400_and_not_counted() {
    let world = World::with(|settings| {
        settings.policy.breaker.scope = BreakerScope::Deployment;
    })
    .await;
    for query in ["'".repeat(30_000), "a='x'".to_owned()] {
        let answer = post(&world, &format!("/v1/messages?q={query}")).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.error().0, "invalid_request_error");
        assert_eq!(answer.header("x-should-retry"), "false");
    }
    assert!(world.plan.requests().is_empty());
    assert_eq!(world.breaker().await, BreakerState::CLOSED);
    assert_eq!(world.upstream().await, "plan; reason=good");
}

#[tokio::test]
async fn a_url_that_is_too_long_for_plan_is_414() {
    let long = "/long".repeat(100);
    let world = World::with(|settings| settings.plan_url.push_str(&long)).await;
    let answer = post(&world, &format!("/v1/messages?q={}", "x".repeat(65_100))).await;
    assert_eq!(answer.status, 414);
    assert_eq!(answer.error().0, "invalid_request_error");
    assert_eq!(world.breaker().await, BreakerState::CLOSED);
    assert!(world.plan.requests().is_empty());
}

#[tokio::test]
async fn a_percent_encoded_query_reaches_plan_as_it_was_sent() {
    let world = tests::world().await;
    let path = "/v1/messages?q=%27%22%2b+a,b;c:@!$()*/?~&e=&f&%C3%A9";
    assert_eq!(post(&world, path).await.status, 200);
    assert_eq!(world.plan.requests()[0].path, path);
}
