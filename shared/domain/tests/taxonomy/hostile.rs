//! Malformed responses: no value in them is trusted, and none causes a panic.

use std::time::Duration;

use domain::breaker::{BreakerState, Circuit, Signal};
use domain::id::RequestId;
use domain::model_family::ModelFamily;
use domain::policy::{BreakerPolicy, BreakerScope};
use domain::time::Timestamp;
use domain::verdict::{BodyStart, LimitOf, PlanResponse, Verdict};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::shape::{NOW, moment};

const NOW_S: i64 = NOW.as_millis() / 1000;
const REJECTED: (&str, &str) = ("anthropic-ratelimit-unified-status", "rejected");

fn read(status: u16, headers: &[(&str, &[u8])], body: BodyStart<&[u8]>) -> Verdict {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a header's name");
            (
                name,
                HeaderValue::from_bytes(value).expect("a header's value"),
            )
        })
        .collect();
    let status = StatusCode::from_u16(status).expect("a status");
    let response = PlanResponse {
        status,
        headers: &headers,
        body,
    };
    Verdict::read(
        response,
        ModelFamily::from_model("claude-opus-5-5").as_ref(),
        NOW,
    )
}

fn limited(headers: &[(&str, &str)]) -> Verdict {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    read(429, &headers, BodyStart::Nothing)
}

/// The state of the key's breaker after three responses with this verdict.
fn state_after_three(verdict: &Verdict, policy: &BreakerPolicy) -> BreakerState {
    let signal = Signal::from_verdict(verdict, &Circuit::Key, BreakerScope::Key);
    let request = |id: &str| RequestId::try_from(id.to_owned()).expect("a request id");
    let mut state = BreakerState::CLOSED;
    for id in ["req_1", "req_2", "req_3"] {
        state = state
            .record(&request(id), signal, NOW, policy)
            .unwrap_or(state);
    }
    state
}

#[test]
fn retry_after_is_read_as_positive_whole_seconds_only() {
    for (value, seconds) in [
        ("1", Some(1)),
        (" 7 ", Some(7)),
        ("99999999", Some(99_999_999)),
        ("18446744073709551615", Some(u64::from(u32::MAX))),
        ("0", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("7, 8", None),
        ("", None),
        ("Wed, 18 Nov 2026 12:00:00 GMT", None),
        ("soon", None),
        ("999999999999999999999999999999", None),
    ] {
        let expected = seconds.map(|seconds| NOW.plus(Duration::from_secs(seconds)));
        for status in [429, 503, 529] {
            let verdict = read(
                status,
                &[("retry-after", value.as_bytes())],
                BodyStart::Nothing,
            );
            assert_eq!(moment(&verdict), expected, "{status} {value:?}");
        }
        let limit = limited(&[REJECTED, ("retry-after", value)]);
        assert_eq!(moment(&limit), expected, "{value:?}");
    }
}

#[test]
fn reset_is_read_as_future_unix_seconds_only() {
    let past = (NOW_S - 1).to_string();
    let present = NOW_S.to_string();
    let next = (NOW_S + 1).to_string();
    for (value, expected) in [
        (next.as_str(), Some(Timestamp::from_seconds(NOW_S + 1))),
        (
            "253402300799",
            Some(Timestamp::from_seconds(253_402_300_799)),
        ),
        (
            "9223372036854775807",
            Some(Timestamp::from_millis(i64::MAX)),
        ),
        ("9223372036854775808", None),
        (past.as_str(), None),
        (present.as_str(), None),
        ("0", None),
        ("-1", None),
        ("-9223372036854775808", None),
        ("", None),
        ("tomorrow", None),
        ("2026-12-01T00:00:00Z", None),
        ("1795007200.5", None),
    ] {
        let limit = limited(&[REJECTED, ("anthropic-ratelimit-unified-reset", value)]);
        assert_eq!(moment(&limit), expected, "{value:?}");
        let limit = limited(&[
            ("anthropic-ratelimit-unified-5h-status", "rejected"),
            ("anthropic-ratelimit-unified-5h-reset", value),
        ]);
        assert_eq!(moment(&limit), expected, "5h {value:?}");
    }
}

#[test]
fn time_in_a_response_keeps_the_breaker_open_for_the_maximum() {
    let policy = BreakerPolicy::default();
    for verdict in [
        limited(&[
            REJECTED,
            ("anthropic-ratelimit-unified-reset", "9223372036854775807"),
        ]),
        limited(&[
            REJECTED,
            ("anthropic-ratelimit-unified-reset", "253402300799"),
        ]),
        limited(&[REJECTED, ("retry-after", "18446744073709551615")]),
        limited(&[("retry-after", "99999999")]),
        read(503, &[("retry-after", b"99999999")], BodyStart::Nothing),
        read(529, &[("retry-after", b"99999999")], BodyStart::Nothing),
    ] {
        let BreakerState::Open { until, .. } = state_after_three(&verdict, &policy) else {
            panic!("{verdict:?} does not open");
        };
        assert_eq!(until, NOW.plus(policy.max_open), "{verdict:?}");
    }
}

#[test]
fn unreadable_header_value_counts_as_absent() {
    let reset = (
        "anthropic-ratelimit-unified-reset",
        b"1795007200".as_slice(),
    );
    for status in [
        b"rejected\xff".as_slice(),
        b"\xc3\xa9",
        b"",
        b"REJECTED?",
        b"rejected, rejected",
    ] {
        let headers = [("anthropic-ratelimit-unified-status", status), reset];
        assert_eq!(
            read(429, &headers, BodyStart::Nothing).as_str(),
            "rate_limited",
            "{status:?}"
        );
    }
    let headers = [
        ("anthropic-ratelimit-unified-status", b"rejected".as_slice()),
        ("anthropic-ratelimit-unified-reset", b"1795007200\xff"),
        (
            "anthropic-ratelimit-unified-representative-claim",
            b"seven_day_opus\xff",
        ),
        ("retry-after", b"\xd9\xa3"),
    ];
    let unknown = Verdict::UsageLimit {
        of: LimitOf::Plan,
        until: None,
    };
    assert_eq!(read(429, &headers, BodyStart::Nothing), unknown);
}

#[test]
fn header_with_a_similar_name_is_no_window() {
    for name in [
        "anthropic-ratelimit-unified--status",
        "anthropic-ratelimit-unified-overage-status",
        "anthropic-ratelimit-unified-opus-status",
        "anthropic-ratelimit-unified_5h-status",
        "anthropic-ratelimit-5h-status",
        "anthropic-ratelimit-unified-5h-status-",
        "anthropic-ratelimit-unified-status-5h",
        "x-anthropic-ratelimit-unified-5h-status",
    ] {
        let is_of_a_limit = name.starts_with("anthropic-ratelimit-");
        let verdict = if is_of_a_limit {
            "rate_limited"
        } else {
            "burst"
        };
        assert_eq!(limited(&[(name, "rejected")]).as_str(), verdict, "{name}");
    }
}

#[test]
fn first_of_300_repeated_headers_counts() {
    let mut repeated = vec![REJECTED];
    repeated.extend([("anthropic-ratelimit-unified-status", "allowed"); 300]);
    repeated.extend([("anthropic-ratelimit-unified-reset", "1795007200"); 300]);
    repeated.push(("anthropic-ratelimit-unified-reset", "1795999999"));
    let expected = Verdict::UsageLimit {
        of: LimitOf::Plan,
        until: Some(Timestamp::from_seconds(1_795_007_200)),
    };
    assert_eq!(limited(&repeated), expected);
}

#[test]
fn three_hundred_windows_limit_the_requested_family() {
    let names: Vec<String> = (0..300)
        .map(|n| format!("anthropic-ratelimit-unified-{n}d_x-status"))
        .collect();
    let mut headers: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), "rejected"))
        .collect();
    headers.push(("anthropic-ratelimit-unified-reset", "1795007200"));
    let expected = Verdict::UsageLimit {
        of: LimitOf::Family(ModelFamily::from_model("claude-opus-5-5").unwrap()),
        until: Some(Timestamp::from_seconds(1_795_007_200)),
    };
    assert_eq!(limited(&headers), expected);
}

#[test]
fn window_limits_its_named_family_for_any_requested_model() {
    for family in ["opus", "sonnet"] {
        let window = format!("anthropic-ratelimit-unified-7d_{family}-status");
        let expected = Verdict::UsageLimit {
            of: LimitOf::Family(ModelFamily::try_from(family.to_owned()).unwrap()),
            until: None,
        };
        assert_eq!(limited(&[REJECTED, (&window, "rejected")]), expected);
        let claim = format!("seven_day_{family}");
        let claim = (
            "anthropic-ratelimit-unified-representative-claim",
            claim.as_str(),
        );
        assert_eq!(limited(&[REJECTED, claim]), expected);
    }
}

#[test]
fn family_limit_without_an_end_is_counted_for_that_family() {
    let limit = limited(&[
        REJECTED,
        ("anthropic-ratelimit-unified-7d_opus-status", "rejected"),
    ]);
    let opus = Circuit::Family(ModelFamily::from_model("claude-opus-5-5").unwrap());
    let counted = Signal::from_verdict(&limit, &opus, BreakerScope::Key);
    assert!(
        matches!(
            counted,
            Signal::Failure {
                not_before: None,
                ..
            }
        ),
        "{counted:?}"
    );
    assert_eq!(
        Signal::from_verdict(&limit, &Circuit::Key, BreakerScope::Key),
        Signal::Answered
    );
}

#[test]
fn malformed_error_body_does_not_fall_back() {
    let deep = "[".repeat(100_000);
    let deep_error = format!(r#"{{"type":"error","error":{{"message":{deep}"#);
    let words = "You have reached your specified API usage limits";
    for body in [
        r#"{"type":"error","error":"Your credit balance is too low"}"#,
        r#"{"type":"error","error":{"type":7,"message":8,"details":9}}"#,
        r#"{"type":"error","error":{"message":["Your credit balance is too low"]}}"#,
        r#"{"type":"error","error":{"details":{"error_code":["enforced_spend_limit_reached"]}}}"#,
        r#"{"type":"error","error":[],"message":"Your credit balance is too low"}"#,
        r#"["error"]"#,
        r#""Your credit balance is too low""#,
        "null",
        "",
        "{",
        "\u{feff}{}",
        words,
        &deep,
        &deep_error,
    ] {
        let whole = BodyStart::Whole(body.as_bytes());
        let start = &body[..body.len().min(80)];
        assert_eq!(read(400, &[], whole), Verdict::ClientFault, "{start}");
        assert_eq!(read(429, &[], whole), Verdict::Burst, "{start}");
        let broken = Verdict::Broken { retry_at: None };
        assert_eq!(read(401, &[], whole), broken, "{start}");
        let event = BodyStart::ErrorEvent(body.as_bytes());
        assert_eq!(read(200, &[], event).as_str(), "broken", "{start}");
    }
    for bytes in [
        b"\xff\xfe".as_slice(),
        b"{\"error\":{\"message\":\"credit balance is too low \xff\"}}",
    ] {
        assert_eq!(
            read(400, &[], BodyStart::Whole(bytes)),
            Verdict::ClientFault
        );
        assert_eq!(read(429, &[], BodyStart::Whole(bytes)), Verdict::Burst);
        assert_eq!(
            read(200, &[], BodyStart::ErrorEvent(bytes)).as_str(),
            "broken"
        );
    }
}

#[test]
fn success_body_is_any_object_without_the_type_error() {
    let nested = format!(
        r#"{{"content":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let long = format!(
        r#"{{"type":"message","text":"{}"}}"#,
        "x".repeat(10_000_000)
    );
    for (body, verdict) in [
        (nested.as_str(), "good"),
        (&long, "good"),
        (r#"{"type":7,"error":8}"#, "good"),
        ("{}", "good"),
        (r#"{"type":"error"}"#, "broken"),
        (r#"{"type":"error","error":"overloaded_error"}"#, "broken"),
        (
            r#"{"type":"error","error":{"type":["overloaded_error"]}}"#,
            "broken",
        ),
        (&long[..long.len() - 1], "broken"),
        ("null", "broken"),
        ("[]", "broken"),
        ("17", "broken"),
        (r#""fine""#, "broken"),
        ("\u{feff}{}", "broken"),
    ] {
        let read = read(200, &[], BodyStart::Whole(body.as_bytes()));
        assert_eq!(read.as_str(), verdict, "{}", &body[..body.len().min(80)]);
    }
}

#[test]
fn error_body_over_64_kib_is_not_read() {
    let error = |length: usize| {
        let body = r#"{"error":{"message":"Your credit balance is too low"}}"#;
        body.to_owned() + &" ".repeat(length - body.len())
    };
    for (length, verdict) in [
        (65_536, "usage_limit"),
        (65_537, "client_fault"),
        (10_000_000, "client_fault"),
    ] {
        let body = error(length);
        assert_eq!(
            read(400, &[], BodyStart::Whole(body.as_bytes())).as_str(),
            verdict,
            "{length}"
        );
    }
    let event = format!(
        r#"{{"error":{{"type":"overloaded_error","message":"{}"}}}}"#,
        "x".repeat(10_000_000)
    );
    assert_eq!(
        read(200, &[], BodyStart::ErrorEvent(event.as_bytes())).as_str(),
        "broken"
    );
}

#[test]
fn every_status_has_a_verdict() {
    for status in 100..=999 {
        let verdict = read(status, &[], BodyStart::Nothing);
        let expected = match status {
            429 => "burst",
            402 => "usage_limit",
            401 | 403 => "login",
            400..=499 => "client_fault",
            529 => "overloaded",
            _ => "broken",
        };
        assert_eq!(verdict.as_str(), expected, "{status}");
    }
}
