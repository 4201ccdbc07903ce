//! What the decision costs one request on the Plan leg, for counting instructions: run it under
//! `valgrind --tool=callgrind` with two numbers of requests, and the difference is the requests' alone.
//! `benches/decision.sh` does.
//!
//! `verdict_cost PART REQUESTS`, where PART is `nothing`, `hold` (read a stream to its first content),
//! `verdict` (read a good answer), `limit` (read a usage limit) or `breaker` (admit and record at a closed one).

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark measures valid input only"
)]

use std::hint::black_box;

use dialect::stream_start::StreamStartReader;
use domain::breaker::{BreakerState, Circuit, Signal};
use domain::id::RequestId;
use domain::model_family::ModelFamily;
use domain::policy::{BreakerPolicy, BreakerScope};
use domain::time::Timestamp;
use domain::verdict::{BodyStart, PlanResponse, Verdict};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The beginning of a healthy stream, as it comes: an event in each piece.
const OPENING: [&str; 3] = [
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01\",\"type\":\"message\",\
     \"role\":\"assistant\",\"model\":\"claude-opus-5-5\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":\
     null,\"usage\":{\"input_tokens\":3,\"cache_creation_input_tokens\":1200,\"cache_read_input_tokens\":48000,\
     \"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":\
     {\"type\":\"text\",\"text\":\"\"}}\n\n",
];

/// The headers of a subscription's answer.
fn headers(status: &'static str) -> HeaderMap {
    let lines = [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("request-id", "req_011CQx3N8kP2sVh5aYtWc7Lm"),
        (
            "anthropic-organization-id",
            "00000000-0000-4000-8000-000000000000",
        ),
        ("anthropic-ratelimit-unified-status", status),
        ("anthropic-ratelimit-unified-5h-status", status),
        ("anthropic-ratelimit-unified-5h-reset", "1795003600"),
        ("anthropic-ratelimit-unified-5h-utilization", "0.31"),
        ("anthropic-ratelimit-unified-7d-status", "allowed"),
        ("anthropic-ratelimit-unified-7d-reset", "1795260000"),
        ("anthropic-ratelimit-unified-7d-utilization", "0.12"),
        (
            "anthropic-ratelimit-unified-representative-claim",
            "five_hour",
        ),
        ("anthropic-ratelimit-unified-fallback-percentage", "0.5"),
        ("anthropic-ratelimit-unified-reset", "1795003600"),
        ("anthropic-ratelimit-unified-overage-status", "rejected"),
        ("cache-control", "no-cache"),
        ("date", "Sat, 21 Nov 2026 00:00:00 GMT"),
        ("server", "cloudflare"),
    ];
    lines
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().expect("PART REQUESTS");
    let requests: u32 = arguments.next().expect("REQUESTS").parse().unwrap();

    let (allowed, rejected) = (headers("allowed"), headers("rejected"));
    let family = ModelFamily::from_model("claude-opus-5-5");
    let now = Timestamp::from_seconds(1_795_000_000);
    let who: RequestId = "req_0190000000007000800000000000abcd".parse().unwrap();
    let policy = BreakerPolicy::default();
    let closed = BreakerState::CLOSED;
    let read = |headers, status, body| {
        let response = PlanResponse {
            status,
            headers,
            body,
        };
        Verdict::read(response, family.as_ref(), now)
    };
    for _ in 0..requests {
        match part.as_str() {
            "nothing" => {}
            "hold" => {
                let mut watch = StreamStartReader::default();
                for piece in OPENING {
                    black_box(watch.push(black_box(piece).as_bytes()));
                }
            }
            "verdict" => {
                black_box(read(
                    black_box(&allowed),
                    StatusCode::OK,
                    BodyStart::Content,
                ));
            }
            "limit" => {
                let body = BodyStart::Whole(br#"{"type":"error"}"#.as_slice());
                black_box(read(
                    black_box(&rejected),
                    StatusCode::TOO_MANY_REQUESTS,
                    body,
                ));
            }
            "breaker" => {
                let good = black_box(Verdict::Good);
                for circuit in [Circuit::Key, Circuit::Family(family.clone().expect("opus"))] {
                    black_box(closed.admit(&who, now, &policy));
                    let signal = Signal::from_verdict(&good, &circuit, BreakerScope::Key);
                    black_box(closed.record(&who, signal, now, &policy));
                }
            }
            other => panic!("{other} is no part"),
        }
    }
}
