//! Laws of the verdict on every response.

use domain::model_family::ModelFamily;
use domain::policy::{FallbackClass, Policy, PolicyChange};
use domain::route::AfterPlan;
use domain::time::Timestamp;
use domain::verdict::{BodyStart, LimitOf, PlanResponse, Verdict};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;

use crate::shape::moment;

#[derive(Clone, Debug)]
struct Case {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    start: StartKind,
    body: Vec<u8>,
    requested: Option<&'static str>,
    now: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StartKind {
    Content,
    Whole,
    Part,
    Pending,
    ErrorEvent,
    Nothing,
}

impl Case {
    fn verdict(&self) -> Verdict {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().expect("a header's name");
            headers.append(
                name,
                HeaderValue::from_bytes(value).expect("a header's value"),
            );
        }
        let response = PlanResponse {
            status: StatusCode::from_u16(self.status).expect("a status"),
            headers: &headers,
            body: match self.start {
                StartKind::Content => BodyStart::Content,
                StartKind::Whole => BodyStart::Whole(&self.body),
                StartKind::Part => BodyStart::Part(&self.body),
                StartKind::Pending => BodyStart::Pending,
                StartKind::ErrorEvent => BodyStart::ErrorEvent(&self.body),
                StartKind::Nothing => BodyStart::Nothing,
            },
        };
        let requested = self.requested.and_then(ModelFamily::from_model);
        Verdict::read(response, requested.as_ref(), self.now)
    }

    /// Whether the body contains a text that makes a usage limit of a 400.
    fn has_limit_text(&self) -> bool {
        let text = String::from_utf8_lossy(&self.body).to_ascii_lowercase();
        [
            "credit balance is too low",
            "you have reached your specified",
            "extra usage",
        ]
        .iter()
        .any(|words| text.contains(words))
    }
}

fn cases(statuses: impl Strategy<Value = u16>) -> impl Strategy<Value = Case> {
    const KINDS: [StartKind; 6] = [
        StartKind::Content,
        StartKind::Whole,
        StartKind::Part,
        StartKind::Pending,
        StartKind::ErrorEvent,
        StartKind::Nothing,
    ];
    (
        statuses,
        vec((header_name(), header_value()), 0..12),
        select(&KINDS[..]),
        body(),
        select(
            &[
                None,
                Some("claude-opus-5-5"),
                Some("claude-fable-5-2"),
                Some("best"),
            ][..],
        ),
        // Until the year 9999.
        (0..=253_402_300_799_999_i64).prop_map(Timestamp::from_millis),
    )
        .prop_map(|(status, headers, start, body, requested, now)| Case {
            status,
            headers,
            start,
            body,
            requested,
            now,
        })
}

fn any_status() -> impl Strategy<Value = u16> {
    prop_oneof![
        select(&[200_u16, 400, 401, 402, 403, 413, 429, 500, 529][..]),
        100..=999_u16
    ]
}

fn header_name() -> impl Strategy<Value = String> {
    let unified = (
        select(
            &[
                "",
                "5h-",
                "7d-",
                "7d_opus-",
                "7d_sonnet-",
                "7d_oi-",
                "7d_fable-",
                "overage-",
                "-",
            ][..],
        ),
        select(
            &[
                "status",
                "reset",
                "utilization",
                "representative-claim",
                "status-status",
            ][..],
        ),
    );
    prop_oneof![
        6 => unified.prop_map(|(window, what)| format!("anthropic-ratelimit-unified-{window}{what}")),
        2 => Just("retry-after".to_owned()),
        1 => "anthropic-ratelimit-unified-[a-z0-9_-]{0,12}",
        1 => "[a-z0-9_-]{1,12}",
    ]
}

fn header_value() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&str] = &[
        "rejected",
        "allowed",
        "allowed_warning",
        "five_hour",
        "seven_day",
        "seven_day_opus",
        "seven_day_overage_included",
        "seven_day_",
        "seven_day__",
    ];
    prop_oneof![
        4 => select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
        2 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        2 => (0..300_000_000_000_i64).prop_map(|number| number.to_string().into_bytes()),
        1 => (-10..10_i8).prop_map(|number| number.to_string().into_bytes()),
        2 => vec(prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8], 0..30),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    const KINDS: &[&str] = &[
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "timeout_error",
        "overloaded_error",
        "api_error",
        "?",
    ];
    const MESSAGES: &[&str] = &[
        "Your credit balance is too low",
        "You have reached your specified API usage limits",
        "Extra usage is required for long context requests.",
        "Overloaded",
        "",
    ];
    let envelope = (select(KINDS), select(MESSAGES), "[a-z_]{0,9}(spend_limit_reached)?")
        .prop_map(|(kind, message, code)| {
            json!({"type": "error", "error": {"type": kind, "message": message, "details": {"error_code": code}}})
        });
    prop_oneof![
        4 => envelope.clone().prop_map(|body| body.to_string().into_bytes()),
        2 => (envelope, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(body, at, byte)| {
            let mut bytes = body.to_string().into_bytes();
            *at.get_mut(&mut bytes) = byte;
            bytes
        }),
        1 => Just(br#"{"type":"message"}"#.to_vec()),
        1 => vec(any::<u8>(), 0..60),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    subsequence(&FallbackClass::ALL[..], 0..=5).prop_map(|classes| {
        Policy::default().with(&PolicyChange {
            fallback_on: Some(classes.into_iter().collect()),
            ..PolicyChange::default()
        })
    })
}

proptest! {
    #[test]
    fn verdict_on_any_response_has_no_past_time(case in cases(any_status())) {
        let verdict = case.verdict();
        if let Some(moment) = moment(&verdict) {
            prop_assert!(moment > case.now, "{verdict:?}");
        }
    }

    #[test]
    fn success_with_content_is_good_with_any_headers(
        case in cases(200..=299_u16),
    ) {
        let case = Case { start: StartKind::Content, ..case };
        prop_assert_eq!(case.verdict(), Verdict::Good);
        let case = Case { start: StartKind::Whole, body: br#"{"type":"message"}"#.to_vec(), ..case };
        prop_assert_eq!(case.verdict(), Verdict::Good);
    }

    #[test]
    fn login_error_never_falls_back_under_any_policy(
        case in cases(select(&[401_u16, 403][..])),
        kind in select(&["authentication_error", "permission_error"][..]),
        message in ".{0,40}",
        start in select(&[StartKind::Whole, StartKind::ErrorEvent][..]),
        policy in any_policy(),
    ) {
        let body = json!({"type": "error", "error": {"type": kind, "message": message}});
        let case = Case { start, body: body.to_string().into_bytes(), ..case };
        prop_assert_eq!(AfterPlan::choose(&case.verdict(), &policy, false), AfterPlan::Return);
    }

    #[test]
    fn client_error_never_falls_back_under_any_policy(
        case in cases(400..=499_u16), policy in any_policy(),
    ) {
        prop_assume!(!matches!(case.status, 401 | 402 | 403 | 429));
        prop_assume!(case.status != 400 || !case.has_limit_text());
        prop_assert_eq!(AfterPlan::choose(&case.verdict(), &policy, false), AfterPlan::Return);
    }

    #[test]
    fn fallback_has_a_class_of_the_policy(
        case in cases(any_status()), policy in any_policy(),
    ) {
        if let AfterPlan::FallBack(class) = AfterPlan::choose(&case.verdict(), &policy, false) {
            prop_assert!(policy.fallback_on.contains(&class));
        }
    }

    #[test]
    fn headers_make_a_limit_of_a_429_only(case in cases(any_status())) {
        prop_assume!(case.status != 429 && case.status >= 300);
        let bare = Case {
            headers: case.headers.iter().filter(|(name, _)| name == "retry-after").cloned().collect(),
            ..case.clone()
        };
        prop_assert_eq!(case.verdict(), bare.verdict());
    }

    #[test]
    fn requested_family_is_limited_in_any_order_of_the_windows(
        windows in Just(vec![("7d_sonnet", 1_795_100_000), ("7d_opus", 1_795_200_000), ("7d_oi", 0)])
            .prop_shuffle(),
        (model, family, reset) in select(&[
            ("claude-opus-5-5", "opus", 1_795_200_000_i64),
            ("claude-sonnet-5-5", "sonnet", 1_795_100_000),
        ][..]),
    ) {
        let header = |what: &str, value: &str| {
            (format!("anthropic-ratelimit-unified-{what}"), value.as_bytes().to_vec())
        };
        let mut headers = vec![header("status", "rejected")];
        for (window, reset) in windows {
            headers.push(header(&format!("{window}-status"), "rejected"));
            headers.push(header(&format!("{window}-reset"), &reset.to_string()));
        }
        let case = Case {
            status: 429,
            headers,
            start: StartKind::Nothing,
            body: Vec::new(),
            requested: Some(model),
            now: crate::shape::NOW,
        };
        let expected = Verdict::UsageLimit {
            of: LimitOf::Family(ModelFamily::try_from(family.to_owned()).unwrap()),
            until: Some(Timestamp::from_seconds(reset)),
        };
        prop_assert_eq!(case.verdict(), expected);
    }
}
