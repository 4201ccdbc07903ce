//! The table: each shape has its expected verdict, and all shapes of a row have the same effect on the request
//! and on the breaker.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::breaker::{BreakerState, Circuit, CountedFailure, Signal};
use domain::id::RequestId;
use domain::model_family::ModelFamily;
use domain::policy::{BreakerPolicy, BreakerScope, FallbackClass, Policy, PolicyChange};
use domain::route::AfterPlan;
use domain::verdict::{LimitOf, Verdict};

use crate::shape::{NOW, RowNumber, Shape, limited, moment};

/// Plan's responses in words, row by row: the only part of the table that the fixtures do not generate.
pub(crate) const PLAN_RESPONSES: [&str; 11] = [
    "2xx with content: a stream that has come to its first content event or is alive after 15 s without one, \
     or a message in one piece. Also one that was paid from extra usage (`anthropic-ratelimit-unified-status: rejected` under a 200)",
    "429 with `anthropic-ratelimit-unified-status: rejected`, or with the window `5h` or `7d` \
     `rejected`; a future reset or `retry-after` names the end",
    "429 as in row 2, but the only window `rejected` is one of a model family (`7d_opus`, `7d_sonnet`; \
     `7d_oi` and any other: the family of the requested model), or, when no window is `rejected`, the \
     claim is of one (`seven_day_opus`)",
    "429 whose message is about extra usage, usage credits or long context, whose `error_code` is `credits_required`, or \
     of whose `anthropic-ratelimit-*` headers and `retry-after` only `anthropic-ratelimit-unified-overage-disabled-reason` is \
     there; 400 `invalid_request_error` whose message is about extra usage or usage credits; or as in row 3, for a model whose name \
     has no family",
    "429 with an `error_code` that ends in `spend_limit_reached`, or a message with it; 400 “You have reached your specified \
     (workspace) API usage limits”; 400 “credit balance is too low”; 402; or as in row 2, without a \
     future time",
    "any other 429 with a `retry-after` or an `anthropic-ratelimit-*` header",
    "429 with neither: several agents have started at once, or the request does not look like Claude Code's",
    "529; 500 `api_error` “Overloaded”; a stream whose first event is `overloaded_error`",
    "any other 5xx; no connection, no TLS, no first byte in time, a redirect; a stream that is empty, is \
     cut or falls silent before its first content event; a 200 whose body is no JSON object; any other 401 or 403, \
     such as a challenge page or `forbidden`",
    "401, 403 with Anthropic's `authentication_error` or `permission_error`, or whose body does not arrive",
    "any other 4xx",
];

/// The effect of a verdict on the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    FallsBack,
    /// The request falls back only under a policy with this class.
    FallsBackOnDemand(FallbackClass),
    ReturnsPlan,
}

/// The effect of a verdict on the breakers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaker {
    Success,
    OpensAtOnce,
    /// The breaker of the family opens; the breaker of the key stays the same.
    OpensForFamilyAtOnce,
    Counted,
    CountedOncePerBurst,
    NotCounted,
}

/// The properties that all shapes of a row have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    verdict: &'static str,
    limit: Option<Limit>,
    request: Request,
    breaker: Breaker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    OfPlan { end_known: bool },
    OfFamily { end_known: bool },
}

impl Row {
    fn of(verdict: &Verdict) -> Self {
        let limit = match verdict {
            Verdict::UsageLimit { of, until } => {
                let end_known = until.is_some();
                Some(match of {
                    LimitOf::Plan => Limit::OfPlan { end_known },
                    LimitOf::Family(_) => Limit::OfFamily { end_known },
                })
            }
            Verdict::Good
            | Verdict::Entitlement
            | Verdict::RateLimited { .. }
            | Verdict::Burst
            | Verdict::Overloaded { .. }
            | Verdict::Broken { .. }
            | Verdict::Login
            | Verdict::ClientFault => None,
        };
        Self {
            verdict: verdict.as_str(),
            limit,
            request: Request::of(verdict),
            breaker: Breaker::of(verdict),
        }
    }

    /// The cells after the number and Plan's response.
    pub(crate) fn cells(&self) -> [String; 3] {
        let limit = match self.limit {
            Some(Limit::OfPlan { end_known: true }) => " of the plan, end known",
            Some(Limit::OfPlan { end_known: false }) => " of the plan, end unknown",
            Some(Limit::OfFamily { end_known: true }) => " of that family, end known",
            Some(Limit::OfFamily { end_known: false }) => " of that family, end unknown",
            None => "",
        };
        let request = match self.request {
            Request::FallsBack => "falls back".to_owned(),
            Request::FallsBackOnDemand(class) => {
                format!("Plan's response; falls back when `fallback_on` has `{class}`")
            }
            Request::ReturnsPlan => "Plan's response, with any `fallback_on`".to_owned(),
        };
        let breaker = match self.breaker {
            Breaker::Success => "success: the count restarts",
            Breaker::OpensAtOnce => "opens at once, until then",
            Breaker::OpensForFamilyAtOnce => "opens at once, until then, for that family only",
            Breaker::Counted => "counted",
            Breaker::CountedOncePerBurst => {
                "one per 10 s is counted; opens for 60 s at first, and for twice as long each time that the \
                 probe receives a burst again, up to `breaker_open_s`"
            }
            Breaker::NotCounted => "not counted",
        };
        let verdict = format!("`{}`{limit}", self.verdict);
        [verdict, request, breaker.to_owned()]
    }
}

impl Request {
    fn of(verdict: &Verdict) -> Self {
        let after = |policy: &Policy| AfterPlan::choose(verdict, policy, false);
        match (after(&Policy::default()), after(&everything())) {
            (AfterPlan::FallBack(_), _) => Self::FallsBack,
            (_, AfterPlan::FallBack(class)) => Self::FallsBackOnDemand(class),
            _ => Self::ReturnsPlan,
        }
    }
}

impl Breaker {
    fn of(verdict: &Verdict) -> Self {
        let family = match verdict {
            Verdict::UsageLimit {
                of: LimitOf::Family(family),
                ..
            } => Some(Circuit::Family(family.clone())),
            _ => None,
        };
        let signal = |circuit: &Circuit| Signal::from_verdict(verdict, circuit, BreakerScope::Key);
        match (signal(&Circuit::Key), family.as_ref().map(signal)) {
            (Signal::Success, None) => Self::Success,
            (Signal::LimitUntil(_), None) => Self::OpensAtOnce,
            (Signal::Failure { .. }, None) => Self::Counted,
            (Signal::Burst, None) => Self::CountedOncePerBurst,
            (Signal::Answered, None) => Self::NotCounted,
            (Signal::Answered, Some(Signal::LimitUntil(_))) => Self::OpensForFamilyAtOnce,
            other => panic!("no cell for {other:?}"),
        }
    }
}

/// The policy with all classes of fallback.
fn everything() -> Policy {
    Policy::default().with(&PolicyChange {
        fallback_on: Some(FallbackClass::ALL.into()),
        ..PolicyChange::default()
    })
}

/// The rows, after a check that all shapes of a row are equal.
pub(crate) fn rows() -> BTreeMap<RowNumber, Row> {
    let mut rows: BTreeMap<RowNumber, (Row, String)> = BTreeMap::new();
    for shape in Shape::all() {
        let row = Row::of(&shape.verdict());
        let (first, of) = rows
            .entry(shape.expect.row)
            .or_insert_with(|| (row.clone(), shape.name.clone()));
        assert_eq!(row, *first, "{} and {of} are of one row", shape.name);
    }
    rows.into_iter()
        .map(|(number, (row, _))| (number, row))
        .collect()
}

#[test]
fn shape_has_its_expected_verdict() {
    for shape in Shape::all() {
        let verdict = shape.verdict();
        let name = &shape.name;
        assert_eq!(verdict.as_str(), shape.expect.verdict, "{name}");
        assert_eq!(limited(&verdict), shape.expect.of.as_deref(), "{name}");
        assert_eq!(moment(&verdict), shape.until(), "{name}");
        assert!(shape.source.len() > 10, "{name}: the source is missing");
    }
}

#[test]
fn row_has_at_least_three_equal_shapes() {
    let mut shapes: BTreeMap<RowNumber, usize> = BTreeMap::new();
    for shape in Shape::all() {
        *shapes.entry(shape.expect.row).or_default() += 1;
    }
    let numbers: Vec<String> = rows().keys().map(ToString::to_string).collect();
    let expected = ["1", "2", "3", "4", "5", "6", "6b", "7", "8", "9", "10"];
    assert_eq!(numbers, expected);
    assert!(shapes.values().all(|&count| count >= 3), "{shapes:?}");
}

#[test]
fn family_limit_has_no_meaning_for_another_family() {
    for shape in Shape::all() {
        if let Verdict::UsageLimit {
            of: LimitOf::Family(limited),
            ..
        } = shape.verdict()
        {
            let other = ["haiku", "opus"]
                .into_iter()
                .find(|name| *name != limited.as_str());
            let other = ModelFamily::try_from(other.unwrap().to_owned()).unwrap();
            let signal =
                Signal::from_verdict(&shape.verdict(), &Circuit::Family(other), BreakerScope::Key);
            assert_eq!(signal, Signal::Nothing, "{}", shape.name);
        }
    }
}

#[test]
fn deployment_scope_counts_anthropic_failures_there_only() {
    for shape in Shape::all() {
        let verdict = shape.verdict();
        let signal = |circuit| Signal::from_verdict(&verdict, circuit, BreakerScope::Deployment);
        let of_key = Signal::from_verdict(&verdict, &Circuit::Key, BreakerScope::Key);
        let name = &shape.name;
        if matches!(verdict, Verdict::Overloaded { .. } | Verdict::Broken { .. }) {
            assert_eq!(signal(&Circuit::Deployment), of_key, "{name}");
            assert_eq!(signal(&Circuit::Key), Signal::Nothing, "{name}");
        } else {
            let counts = matches!(
                signal(&Circuit::Deployment),
                Signal::Failure { .. } | Signal::LimitUntil(_) | Signal::Burst
            );
            assert!(!counts, "{name}");
            assert_eq!(signal(&Circuit::Key), of_key, "{name}");
        }
    }
}

#[test]
fn key_breaker_follows_the_table() {
    let policy = BreakerPolicy::default();
    let two = BreakerState::Closed {
        failures: ["req_1", "req_2"].map(failure).into(),
    };
    for shape in Shape::all() {
        let verdict = shape.verdict();
        let record = |state: &BreakerState| {
            let signal = Signal::from_verdict(&verdict, &Circuit::Key, BreakerScope::Key);
            state.record(&request("req_3"), signal, NOW, &policy)
        };
        let name = &shape.name;
        match Breaker::of(&verdict) {
            Breaker::Success => assert_eq!(record(&two), Some(BreakerState::CLOSED), "{name}"),
            Breaker::NotCounted | Breaker::OpensForFamilyAtOnce => {
                assert_eq!(record(&two), None, "{name}");
            }
            Breaker::OpensAtOnce => {
                let open = open_for(record(&BreakerState::CLOSED), name);
                let named = shape.until().unwrap().since(NOW);
                assert_lasts(open, named.min(policy.max_open), &policy, name);
            }
            Breaker::Counted => {
                let one = Some(BreakerState::Closed {
                    failures: vec![failure("req_3")],
                });
                assert_eq!(record(&BreakerState::CLOSED), one, "{name}");
                let named = shape
                    .until()
                    .map_or(Duration::ZERO, |until| until.since(NOW));
                let at_least = named.max(policy.open_for).min(policy.max_open);
                assert_lasts(open_for(record(&two), name), at_least, &policy, name);
            }
            Breaker::CountedOncePerBurst => {
                let one = BreakerState::Closed {
                    failures: vec![CountedFailure {
                        is_burst: true,
                        ..failure("req_3")
                    }],
                };
                assert_eq!(record(&BreakerState::CLOSED), Some(one.clone()), "{name}");
                assert_eq!(record(&one), None, "{name}");
                let open = open_for(record(&two), name);
                assert_lasts(open, Duration::from_mins(1), &policy, name);
            }
        }
    }
}

fn request(id: &str) -> RequestId {
    RequestId::try_from(id.to_owned()).expect("a request id")
}

fn failure(id: &str) -> CountedFailure {
    CountedFailure {
        at: NOW,
        request: request(id),
        is_burst: false,
    }
}

fn open_for(state: Option<BreakerState>, name: &str) -> Duration {
    match state {
        Some(BreakerState::Open { until, .. }) => until.since(NOW),
        other => panic!("{name}: not open but {other:?}"),
    }
}

fn assert_lasts(open: Duration, time: Duration, policy: &BreakerPolicy, name: &str) {
    let most = time.saturating_add(policy.jitter).min(policy.max_open);
    assert!(
        (time..=most).contains(&open),
        "{name}: open for {open:?}, not {time:?}"
    );
}

/// The responses are files, deleted objects and responses to a HEAD.
#[test]
fn success_on_another_path_may_have_any_body() {
    let now = domain::time::Timestamp::from_seconds(1_795_000_000);
    let headers = http::HeaderMap::new();
    for (status, body, of_message, of_other_path) in [
        (204, "", "broken", "good"),
        (200, "", "broken", "good"),
        (200, "a,b\n", "broken", "good"),
        (200, "{}", "good", "good"),
        (
            200,
            r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
            "overloaded",
            "overloaded",
        ),
        (500, "", "broken", "broken"),
        (404, "", "client_fault", "client_fault"),
    ] {
        let response = domain::verdict::PlanResponse {
            status: http::StatusCode::from_u16(status).unwrap(),
            headers: &headers,
            body: domain::verdict::BodyStart::Whole(body.as_bytes()),
        };
        let of = [
            domain::verdict::Verdict::read(response, None, now),
            domain::verdict::Verdict::read_of_other_path(response, None, now),
        ];
        let of = of.each_ref().map(domain::verdict::Verdict::as_str);
        assert_eq!(of, [of_message, of_other_path], "{status} {body}");
    }
}
