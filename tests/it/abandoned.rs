//! The request log of clients that disconnect before the end of the response.

use std::io;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tests::{Streaming, World, message};
use tracing_subscriber::fmt::MakeWriter;

/// Keeps the log entries.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// The fields of the request's event.
    fn request(&self) -> Value {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut requests = events.filter(|event: &Value| event["message"] == "request");
        let request = requests.next().unwrap();
        assert!(requests.next().is_none(), "one event a request");
        request
    }
}

/// The log entry of a stream whose client disconnects after the chunk that contains `last`.
async fn leaves_with(world: &World, last: &str) -> Value {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(log.clone())
        .finish();
    // The runtime has this thread only.
    let _logging = tracing::subscriber::set_default(subscriber);
    let request = Request::post(format!("/ak/{}/v1/messages", world.key.access_key))
        .header("content-type", "application/json")
        .body(Body::from(message("hello", Streaming::Yes).to_string()))
        .unwrap();
    let router = TowerToHyperService::new(world.stack.router());
    let mut body = router.call(request).await.unwrap().into_body();
    loop {
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        if String::from_utf8_lossy(&piece).contains(last) {
            break;
        }
    }
    drop(body);
    world.stack.proxy().drain().await;
    log.request()
}

#[tokio::test]
async fn client_that_leaves_with_the_last_event_is_logged_with_all_counts() {
    let world = World::with_no_plan_left().await;
    let logged = leaves_with(&world, "message_stop").await;
    assert_eq!(logged["outcome"], "client_gone");
    assert_eq!(logged["stop_reason"], "end_turn");
    assert!(logged["usage.input"].as_u64() > Some(0), "{logged}");
    assert!(logged["usage.output"].as_u64() > Some(0), "{logged}");
    assert!(logged["bedrock.request_id"].is_string(), "{logged}");
}

#[tokio::test]
async fn client_that_leaves_early_is_logged_with_awss_request_id() {
    let world = World::with_no_plan_left().await;
    let logged = leaves_with(&world, "content_block_start").await;
    assert_eq!(logged["outcome"], "client_gone");
    assert!(logged["bedrock.request_id"].is_string(), "{logged}");
}
