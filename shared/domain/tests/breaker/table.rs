//! The documented table of transitions, cell by cell, and the signal of each verdict for each breaker.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::breaker::{Admission, BreakerState, Circuit, CountedFailure, Signal, Trip};
use domain::id::RequestId;
use domain::model_family::ModelFamily;
use domain::policy::{BreakerPolicy, BreakerScope, FallbackClass};
use domain::time::Timestamp;
use domain::verdict::{LimitOf, Verdict};
use insta::assert_snapshot;

const DOCUMENTED: &str = include_str!("../../src/breaker.rs");
const COLUMNS: [&str; 8] = [
    "state",
    "`admit`",
    "[`Success`]",
    "[`LimitUntil`]",
    "[`Failure`]",
    "[`Burst`]",
    "[`Answered`]",
    "[`Nothing`]",
];

/// The time this many minutes from now.
fn minute(minute: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + minute * 60)
}

const NOW: i64 = 0;

fn policy(failures: u32) -> BreakerPolicy {
    BreakerPolicy {
        failures,
        window: Duration::from_mins(1),
        open_for: Duration::from_mins(30),
        max_open: Duration::from_hours(1),
        jitter: Duration::ZERO,
        lease: Duration::from_mins(2),
        scope: BreakerScope::Key,
    }
}

fn request(name: &str) -> RequestId {
    format!("req_{name}").parse().unwrap()
}

fn own_request() -> RequestId {
    request("me")
}

/// A closed breaker with failures of these ages in minutes.
fn closed(minutes_ago: &[i64]) -> BreakerState {
    let failures = failures(minutes_ago);
    BreakerState::Closed { failures }
}

fn failures(minutes_ago: &[i64]) -> Vec<CountedFailure> {
    let failure = |ago: &i64| CountedFailure {
        at: minute(-ago),
        request: request(&format!("failed-{ago}")),
        is_burst: false,
    };
    minutes_ago.iter().map(failure).collect()
}

/// A closed breaker with failures of these ages in minutes and a burst of this age in seconds.
fn closed_with_burst(minutes_ago: &[i64], seconds_ago: i64) -> BreakerState {
    let mut failures = failures(minutes_ago);
    failures.push(CountedFailure {
        at: Timestamp::from_millis(minute(NOW).as_millis() - seconds_ago * 1000),
        request: request("burst"),
        is_burst: true,
    });
    BreakerState::Closed { failures }
}

fn trip(count: u32, bursts: u32) -> Trip {
    Trip {
        class: FallbackClass::RateLimited,
        since: minute(-30),
        count,
        bursts,
        end_is_known: false,
    }
}

fn open(until: i64) -> BreakerState {
    BreakerState::Open {
        trip: trip(4, 0),
        until: minute(until),
    }
}

fn half_open(probe: &RequestId, lease_until: i64) -> BreakerState {
    BreakerState::HalfOpen {
        trip: trip(4, 0),
        probe: probe.clone(),
        lease_until: minute(lease_until),
    }
}

/// A row of the table, with examples of its state and `n`: `below` for `ƒ` + 1 < `n`, `reached` for the
/// rest.
struct Row {
    name: &'static str,
    below: Vec<(BreakerState, u32)>,
    reached: Vec<(BreakerState, u32)>,
}

fn rows() -> Vec<Row> {
    let any = |name, states: &[BreakerState]| Row {
        name,
        below: states.iter().cloned().map(|state| (state, 3)).collect(),
        reached: states.iter().cloned().map(|state| (state, 1)).collect(),
    };
    let other = request("other");
    vec![
        any("no `ƒ`", &[closed(&[]), closed(&[2]), closed(&[60, 2, -2])]),
        Row {
            name: "`ƒ` < `n`",
            below: vec![
                (closed(&[1]), 3),
                (closed(&[2, 0]), 3),
                (closed(&[60, 1, 0, -1]), 5),
            ],
            reached: vec![
                (closed(&[0]), 2),
                (closed(&[1, 0]), 3),
                (closed(&[2, 1, 0, -1]), 4),
                // Failures that were counted under another policy.
                (closed(&[1, 0]), 1),
                (closed_with_burst(&[0], 10), 3),
            ],
        },
        Row {
            name: "`ƒ` < `n`, with a burst in the last 10 s",
            below: vec![
                (closed_with_burst(&[], 0), 3),
                (closed_with_burst(&[0], 9), 4),
                (closed_with_burst(&[], -9), 3),
            ],
            reached: vec![
                (closed_with_burst(&[], 0), 2),
                (closed_with_burst(&[0], 9), 3),
                (closed_with_burst(&[0], 9), 1),
            ],
        },
        any("open, before `until`", &[open(1), open(60)]),
        any("open, after `until`", &[open(0), open(-1)]),
        any(
            "half-open, another's probe",
            &[half_open(&other, 1), half_open(&other, 2)],
        ),
        any(
            "half-open, another's probe, lease over",
            &[half_open(&other, 0), half_open(&other, -1)],
        ),
        any(
            "half-open, own probe",
            &[
                half_open(&own_request(), 1),
                half_open(&own_request(), 0),
                half_open(&own_request(), -9),
            ],
        ),
    ]
}

fn admit_cell(state: &BreakerState, policy: &BreakerPolicy) -> String {
    let decision = state.admit(&own_request(), minute(NOW), policy);
    let denied = match state {
        BreakerState::Closed { .. } => None,
        BreakerState::Open { trip, until } => Some((trip, until)),
        BreakerState::HalfOpen {
            trip, lease_until, ..
        } => Some((trip, lease_until)),
    };
    let denied = denied.map(|(trip, until)| Admission::Deny {
        class: trip.class,
        until: *until,
        is_limit_with_end: trip.end_is_known,
    });
    match (&decision.admission, &decision.next) {
        (Admission::Allow, None) => "allow".to_owned(),
        (Admission::Probe, None) => "probe".to_owned(),
        (Admission::Probe, Some(next)) if *next == half_open(&own_request(), 2) => {
            "half-open, probe".to_owned()
        }
        (deny, None) if Some(deny) == denied.as_ref() => "deny".to_owned(),
        _ => format!("{decision:?}"),
    }
}

/// A signal, with the class and the end in minutes of the state that it opens.
type OpenedBy = (Signal, FallbackClass, i64);

fn signals() -> [Vec<OpenedBy>; 6] {
    let limit = |until: i64| {
        let capped = until.min(60);
        let signal = Signal::LimitUntil(minute(until));
        (signal, FallbackClass::UsageLimit, capped)
    };
    let failure = |class, not_before: Option<i64>, until| {
        let not_before = not_before.map(minute);
        (Signal::Failure { class, not_before }, class, until)
    };
    // A signal that does not open the breaker gets an end that no state has.
    let other = |signal| vec![(signal, FallbackClass::Entitlement, 999)];
    let mut failures: Vec<OpenedBy> = FallbackClass::ALL
        .map(|class| failure(class, None, 30))
        .into();
    let broken = FallbackClass::Broken;
    failures.extend([
        failure(broken, Some(-5), 30),
        failure(broken, Some(29), 30),
        failure(broken, Some(31), 31),
        failure(broken, Some(61), 60),
    ]);
    [
        other(Signal::Success),
        [-5, 0, 10, 60, 61, 1_000_000].map(limit).into(),
        failures,
        vec![(Signal::Burst, FallbackClass::RateLimited, 1)],
        other(Signal::Answered),
        other(Signal::Nothing),
    ]
}

fn record_cell(
    state: &BreakerState,
    (signal, class, until): OpenedBy,
    policy: &BreakerPolicy,
) -> String {
    let Some(next) = state.record(&own_request(), signal, minute(NOW), policy) else {
        return "–".to_owned();
    };
    let counted = |mut failures: Vec<CountedFailure>| {
        failures.retain(|failure| (minute(-1)..=minute(1)).contains(&failure.at));
        failures.push(CountedFailure {
            at: minute(NOW),
            request: own_request(),
            is_burst: signal == Signal::Burst,
        });
        BreakerState::Closed { failures }
    };
    let (count, one_more, until_now) = match state {
        BreakerState::Closed { failures } => (0, Some(counted(failures.clone())), None),
        BreakerState::Open { trip, .. } | BreakerState::HalfOpen { trip, .. } => {
            (trip.count, None, Some(open(NOW)))
        }
    };
    let opened = BreakerState::Open {
        trip: Trip {
            class,
            since: minute(NOW),
            count: count + 1,
            bursts: u32::from(signal == Signal::Burst),
            end_is_known: matches!(signal, Signal::LimitUntil(_)),
        },
        until: minute(until),
    };
    let word = match state {
        BreakerState::Closed { .. } if next == BreakerState::CLOSED => "no `ƒ`",
        _ if next == BreakerState::CLOSED => "closed",
        _ if next == opened => "open",
        _ if Some(&next) == one_more.as_ref() => "`ƒ` + 1",
        _ if Some(&next) == until_now.as_ref() => "open until now",
        _ => return format!("{next:?}"),
    };
    word.to_owned()
}

/// The result that all examples have in common, split by the number of failures where it depends on that.
fn cell(row: &Row, result: impl Fn(&BreakerState, &BreakerPolicy) -> Vec<String>) -> String {
    let common = |examples: &[(BreakerState, u32)]| {
        let words = examples
            .iter()
            .flat_map(|(state, failures)| result(state, &policy(*failures)));
        let words: BTreeSet<String> = words.collect();
        Vec::from_iter(words).join(" or ")
    };
    let (below, reached) = (common(&row.below), common(&row.reached));
    if below == reached {
        below
    } else {
        format!("`ƒ` + 1 < `n`: {below}, else {reached}")
    }
}

#[test]
fn documented_table_matches_the_transitions() {
    let line = |cells: &[String]| format!("//! | {} |", cells.join(" | "));
    let mut table = vec![
        line(&COLUMNS.map(ToOwned::to_owned)),
        format!("//! |{}", "---|".repeat(COLUMNS.len())),
    ];
    for row in rows() {
        let mut cells = vec![row.name.to_owned()];
        cells.push(cell(&row, |state, policy| vec![admit_cell(state, policy)]));
        cells.extend(signals().map(|openings| {
            cell(&row, |state, policy| {
                let recorded = |opening: &OpenedBy| record_cell(state, *opening, policy);
                openings.iter().map(recorded).collect()
            })
        }));
        table.push(line(&cells));
    }
    let documented: Vec<&str> = DOCUMENTED
        .lines()
        .filter(|line| line.starts_with("//! |"))
        .collect();
    assert_eq!(table.join("\n"), documented.join("\n"));
}

fn family(name: &str) -> ModelFamily {
    ModelFamily::try_from(name.to_owned()).unwrap()
}

fn verdicts() -> Vec<(&'static str, Verdict)> {
    let later = Some(minute(7));
    let limit = |of, until| Verdict::UsageLimit { of, until };
    let opus = || LimitOf::Family(family("opus"));
    vec![
        ("good", Verdict::Good),
        ("plan's limit until t", limit(LimitOf::Plan, later)),
        ("plan's limit", limit(LimitOf::Plan, None)),
        ("opus's limit until t", limit(opus(), later)),
        ("opus's limit", limit(opus(), None)),
        ("entitlement", Verdict::Entitlement),
        (
            "rate limited until t",
            Verdict::RateLimited { retry_at: later },
        ),
        ("rate limited", Verdict::RateLimited { retry_at: None }),
        ("burst", Verdict::Burst),
        (
            "overloaded until t",
            Verdict::Overloaded { retry_at: later },
        ),
        ("overloaded", Verdict::Overloaded { retry_at: None }),
        ("broken until t", Verdict::Broken { retry_at: later }),
        ("broken", Verdict::Broken { retry_at: None }),
        ("login", Verdict::Login),
        ("client fault", Verdict::ClientFault),
    ]
}

fn signal(verdict: &Verdict, circuit: &Circuit, scope: BreakerScope) -> String {
    let until = |moment: Timestamp| {
        assert_eq!(moment, minute(7));
        "until t"
    };
    match Signal::from_verdict(verdict, circuit, scope) {
        Signal::Success => "success".to_owned(),
        Signal::LimitUntil(moment) => format!("limit {}", until(moment)),
        Signal::Failure { class, not_before } => {
            assert_eq!(Some(class), verdict.fallback_class());
            let until = not_before.map_or("", until);
            format!("failure {until}").trim().to_owned()
        }
        Signal::Burst => "burst".to_owned(),
        Signal::Answered => "answered".to_owned(),
        Signal::Nothing => "–".to_owned(),
    }
}

/// A cell has the signals in the scope of the key and of the deployment, where they differ.
#[test]
fn verdict_has_a_signal_for_each_breaker() {
    let circuits = [
        Circuit::Key,
        Circuit::Family(family("opus")),
        Circuit::Family(family("sonnet")),
        Circuit::Deployment,
    ];
    let line = |name: &str, cells: &[String; 4]| {
        let [key, opus, sonnet, deployment] = cells;
        format!("{name:<20} | {key:<19} | {opus:<13} | {sonnet:<8} | {deployment}")
    };
    let mut table = vec![line(
        "",
        &circuits.clone().map(|circuit| circuit.to_string()),
    )];
    for (name, verdict) in verdicts() {
        let cells = circuits.clone().map(|circuit| {
            let [key, deployment] = [BreakerScope::Key, BreakerScope::Deployment]
                .map(|scope| signal(&verdict, &circuit, scope));
            if key == deployment {
                key
            } else {
                format!("{key} / {deployment}")
            }
        });
        table.push(line(name, &cells));
    }
    assert_snapshot!(table.join("\n"), @"
                         | key                 | opus          | sonnet   | deployment
    good                 | success             | success       | success  | success
    plan's limit until t | limit until t       | –             | –        | answered
    plan's limit         | failure             | –             | –        | answered
    opus's limit until t | answered            | limit until t | –        | answered
    opus's limit         | answered            | failure       | –        | answered
    entitlement          | answered            | answered      | answered | answered
    rate limited until t | failure until t     | –             | –        | answered
    rate limited         | failure             | –             | –        | answered
    burst                | burst               | –             | –        | answered
    overloaded until t   | failure until t / – | –             | –        | – / failure until t
    overloaded           | failure / –         | –             | –        | – / failure
    broken until t       | failure until t / – | –             | –        | – / failure until t
    broken               | failure / –         | –             | –        | – / failure
    login                | answered            | answered      | answered | answered
    client fault         | answered            | answered      | answered | answered
    ");
}

/// The state after the request `name` received a burst this many seconds from now.
fn after_burst(
    state: &BreakerState,
    name: &str,
    seconds: i64,
    policy: &BreakerPolicy,
) -> BreakerState {
    let at = Timestamp::from_millis(minute(NOW).as_millis() + seconds * 1000);
    let next = state.record(&request(name), Signal::Burst, at, policy);
    next.unwrap_or_else(|| state.clone())
}

#[test]
fn three_bursts_open_the_breaker_for_a_minute() {
    let policy = policy(3);
    let mut state = BreakerState::CLOSED;
    for (agent, seconds) in ["a", "b", "c", "d", "e", "f"]
        .into_iter()
        .zip([0, 0, 1, 3, 8, 9])
    {
        state = after_burst(&state, agent, seconds, &policy);
    }
    let counted = |state: &BreakerState| match state {
        BreakerState::Closed { failures } => failures.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(counted(&state), 1, "six agents at once");
    state = after_burst(&state, "g", 10, &policy);
    state = after_burst(&state, "h", 19, &policy);
    assert_eq!(counted(&state), 2, "another burst");
    state = after_burst(&state, "i", 20, &policy);
    let opened = BreakerState::Open {
        trip: Trip {
            since: minute(NOW).plus(Duration::from_secs(20)),
            ..trip(1, 1)
        },
        until: minute(NOW).plus(Duration::from_secs(80)),
    };
    assert_eq!(state, opened);
}

#[test]
fn burst_after_a_probe_doubles_the_open_time_up_to_the_policy() {
    let long = policy(1);
    let short = BreakerPolicy {
        open_for: Duration::from_secs(40),
        ..policy(1)
    };
    for (policy, minutes_and_seconds) in [
        (long, [60, 120, 240, 480, 960, 1800, 1800]),
        (short, [40; 7]),
    ] {
        let mut state = BreakerState::CLOSED;
        let mut now = 0;
        let open = minutes_and_seconds.map(|_| {
            state = after_burst(&state, "probe", now, &policy);
            let BreakerState::Open { trip, until } = state else {
                panic!("{state:?}");
            };
            let open = until.since(trip.since).as_secs();
            state = state.admit(&request("probe"), until, &policy).next.unwrap();
            now = (until.as_millis() - minute(NOW).as_millis()) / 1000;
            open
        });
        assert_eq!(open, minutes_and_seconds);
    }
}

#[test]
fn other_opening_between_bursts_restarts_the_doubling() {
    let policy = policy(1);
    let probing = |bursts| BreakerState::HalfOpen {
        trip: trip(9, bursts),
        probe: own_request(),
        lease_until: minute(2),
    };
    let bursts = |signal: Signal, before: u32| {
        let next = probing(before).record(&own_request(), signal, minute(NOW), &policy);
        match next {
            Some(BreakerState::Open { trip, .. }) => Some(trip.bursts),
            _ => None,
        }
    };
    let failure = Signal::Failure {
        class: FallbackClass::Overloaded,
        not_before: None,
    };
    assert_eq!(bursts(Signal::Burst, 3), Some(4));
    assert_eq!(bursts(Signal::Burst, u32::MAX), Some(u32::MAX));
    assert_eq!(
        bursts(Signal::Nothing, 3),
        Some(3),
        "a response without meaning for the breaker"
    );
    assert_eq!(bursts(failure, 3), Some(0));
    assert_eq!(bursts(Signal::LimitUntil(minute(9)), 3), Some(0));
    assert_eq!(bursts(Signal::Success, 3), None);
}
