//! A sandbox for a function that runs in its own process, as under `cargo lambda watch`: the AWS of
//! one machine and the two simulators on loopback ports, a user, a key and a Bedrock key.
//!
//! Prints one line of JSON: `environment`, which the function needs, and `access_key`. Runs until its
//! standard input ends. For trials on one machine: unlike the product, it listens for AWS calls.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example that cannot go on names the place"
)]

use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use http::{Response, StatusCode};
use local::LocalAws;
use serde_json::json;
use tests::{World, loopback};
use tokio::io::AsyncReadExt as _;

#[tokio::main]
async fn main() {
    let world = World::with(|_| {}).await;
    // The second request finds the plan exhausted.
    world.plan.script([simulators::Step::Normal]);
    world.exhaust_plan(100);

    let listener = loopback().await;
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let aws = world.stack.aws().clone();
    let bridge = axum::Router::new().fallback(move |request: Request| carry(aws.clone(), request));
    let serve = async { axum::serve(listener, bridge).await.unwrap() };

    let environment = json!({
        "AWS_ACCESS_KEY_ID": "LOCALMACHINE",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": endpoint,
        "SPILLWAY_SERVER_SECRET": spillway::local_stack::SERVER_SECRET,
        "SPILLWAY_KMS_KEY": world.stack.aws().kms_key_id(),
        "SPILLWAY_PLAN_URL": world.plan.url(),
        "SPILLWAY_BEDROCK_URL": world.bedrock.url(),
    });
    println!(
        "{}",
        json!({"environment": environment, "access_key": world.key.access_key})
    );
    let (mut input, mut ignored) = (tokio::io::stdin(), Vec::new());
    tokio::select! {
        () = serve => {}
        _ = input.read_to_end(&mut ignored) => {}
    }
}

/// Passes one AWS call to the AWS of this machine. A call of a web page, which has an `Origin`, is rejected.
async fn carry(aws: LocalAws, request: Request) -> Response<Body> {
    if request.headers().contains_key("origin") {
        return status(StatusCode::FORBIDDEN);
    }
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, 16 << 20).await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let mut call = HttpRequest::new(SdkBody::from(body));
    call.set_method(head.method.as_str()).unwrap();
    call.set_uri(head.uri.to_string()).unwrap();
    for (name, value) in &head.headers {
        if let Ok(value) = value.to_str() {
            call.headers_mut()
                .insert(name.as_str().to_owned(), value.to_owned());
        }
    }
    match aws.http_connector().call(call).await {
        Ok(answer) => {
            let mut response = Response::builder().status(answer.status().as_u16());
            for (name, value) in answer.headers() {
                response = response.header(name, value);
            }
            let body = answer.body().bytes().unwrap_or_default().to_vec();
            response.body(Body::from(body)).unwrap()
        }
        Err(_) => status(StatusCode::BAD_GATEWAY),
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
