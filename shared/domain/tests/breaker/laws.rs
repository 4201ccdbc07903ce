//! Laws of the breaker under every allowed policy, for arbitrary states and clocks.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use domain::breaker::{
    Admission, BreakerState, Circuit, CountedFailure, Guard, Signal, Trip, admit,
};
use domain::id::RequestId;
use domain::policy::{BreakerPolicy, BreakerScope, FallbackClass, Policy, PolicyChange};
use domain::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// The maximum clock error that the breaker tolerates.
const TOLERANCE: Duration = Duration::from_mins(5);
const TODAY: Timestamp = Timestamp::from_seconds(1_795_000_000);
const HOUR_MS: i64 = 3_600_000;

fn request(name: char) -> RequestId {
    format!("req_{name}").parse().unwrap()
}

fn requests() -> impl Strategy<Value = RequestId> {
    select(vec!['a', 'b', 'c', 'd']).prop_map(request)
}

/// A number of seconds in the range; each end is as likely as all values between.
fn seconds(range: RangeInclusive<u32>) -> impl Strategy<Value = Option<u32>> {
    let short = *range.start()..=(*range.start() + 10).min(*range.end());
    let (least, most) = (*range.start(), *range.end());
    prop_oneof![short, range, Just(least), Just(most)].prop_map(Some)
}

prop_compose! {
    fn policies()(
        breaker_failures in prop_oneof![4 => 1..=4_u32, 1 => 1..=100_u32].prop_map(Some),
        breaker_window_s in seconds(1..=3600),
        breaker_open_s in seconds(1..=86_400),
        breaker_max_open_s in seconds(1..=604_800),
        breaker_jitter_s in seconds(0..=600),
        breaker_lease_s in seconds(5..=900),
        scope in select(vec![BreakerScope::Key, BreakerScope::Deployment]),
    ) -> BreakerPolicy {
        let change = PolicyChange {
            breaker_failures,
            breaker_window_s,
            breaker_open_s,
            breaker_max_open_s,
            breaker_jitter_s,
            breaker_lease_s,
            breaker_scope: Some(scope),
            ..PolicyChange::default()
        };
        Policy::default().with(&change.checked().unwrap()).breaker
    }
}

/// A time within two hours of today.
fn sane() -> impl Strategy<Value = Timestamp> {
    (-2 * HOUR_MS..2 * HOUR_MS).prop_map(|ms| Timestamp::from_millis(TODAY.as_millis() + ms))
}

/// A time at any distance from today, often an extreme of the type.
fn wild() -> impl Strategy<Value = Timestamp> {
    let years = -50 * 365 * 24 * HOUR_MS..50 * 365 * 24 * HOUR_MS;
    prop_oneof![
        4 => sane(),
        2 => years.prop_map(|ms| Timestamp::from_millis(TODAY.as_millis() + ms)),
        1 => select(vec![i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX])
            .prop_map(Timestamp::from_millis),
        1 => any::<i64>().prop_map(Timestamp::from_millis),
    ]
}

fn classes() -> impl Strategy<Value = FallbackClass> {
    select(FallbackClass::ALL.to_vec())
}

fn signals() -> impl Strategy<Value = Signal> {
    let failure = (classes(), proptest::option::of(wild()));
    prop_oneof![
        2 => Just(Signal::Success),
        2 => wild().prop_map(Signal::LimitUntil),
        2 => Just(Signal::Burst),
        3 => failure.prop_map(|(class, not_before)| Signal::Failure { class, not_before }),
        1 => Just(Signal::Answered),
        1 => Just(Signal::Nothing),
    ]
}

prop_compose! {
    fn failures()(
        counted in vec((requests(), wild(), any::<bool>()), 0..5),
    ) -> BreakerState {
        let counted = counted.into_iter();
        let failure = |(request, at, is_burst)| CountedFailure { at, request, is_burst };
        let failures = counted.map(failure).collect();
        BreakerState::Closed { failures }
    }
}

prop_compose! {
    fn trips()(
        class in classes(),
        since in wild(),
        count in prop_oneof![0..9_u32, Just(u32::MAX)],
        bursts in prop_oneof![0..9_u32, Just(u32::MAX)],
        end_is_known in any::<bool>(),
    ) -> Trip {
        Trip { class, since, count, bursts, end_is_known }
    }
}

prop_compose! {
    fn open()(trip in trips(), until in wild()) -> BreakerState {
        BreakerState::Open { trip, until }
    }
}

prop_compose! {
    fn half_open()(
        trip in trips(),
        probe in requests(),
        lease_until in wild(),
    ) -> BreakerState {
        BreakerState::HalfOpen { trip, probe, lease_until }
    }
}

fn states() -> impl Strategy<Value = BreakerState> {
    prop_oneof![Just(BreakerState::CLOSED), failures(), open(), half_open()]
}

/// A call of one transition function.
#[derive(Clone, Copy, Debug)]
enum Event {
    Admit,
    Record(Signal),
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![Just(Event::Admit), signals().prop_map(Event::Record)]
}

/// The state after the event.
fn after(
    state: BreakerState,
    (request_id, now, event): &(RequestId, Timestamp, Event),
    policy: &BreakerPolicy,
) -> BreakerState {
    let next = match event {
        Event::Admit => state.admit(request_id, *now, policy).next,
        Event::Record(signal) => state.record(request_id, *signal, *now, policy),
    };
    next.unwrap_or(state)
}

fn may_go_to_plan(
    state: &BreakerState,
    request_id: &RequestId,
    now: Timestamp,
    policy: &BreakerPolicy,
) -> bool {
    match state.admit(request_id, now, policy).admission {
        Admission::Allow | Admission::Probe => true,
        Admission::Deny { .. } => false,
    }
}

/// Events under clocks that differ by at most `skew`. The true time increases; the clocks' times jump.
#[derive(Clone, Debug)]
struct History {
    policy: BreakerPolicy,
    skew: Duration,
    /// The events, each with its true time; no clock is behind that time.
    events: Vec<(Timestamp, (RequestId, Timestamp, Event))>,
}

fn histories() -> impl Strategy<Value = History> {
    let skews = prop_oneof![Just(TOLERANCE), (0..=10_u64).prop_map(Duration::from_secs)];
    (policies(), skews).prop_flat_map(|(policy, skew)| {
        let longest = policy.lease.max(policy.max_open.min(policy.open_for));
        let up_to = |most: Duration| {
            let ms = 0..=u64::try_from(most.as_millis()).unwrap();
            let between = ms.prop_map(Duration::from_millis);
            prop_oneof![Just(Duration::ZERO), Just(most), between]
        };
        let step = prop_oneof![up_to(policy.lease / 4), up_to(longest + skew)];
        vec((step, requests(), up_to(skew), events()), 1..60).prop_map(move |events| {
            let mut now = TODAY;
            let dated = events.into_iter().map(|(step, request_id, ahead, event)| {
                now = now.plus(step);
                (now, (request_id, now.plus(ahead), event))
            });
            History {
                policy,
                skew,
                events: dated.collect(),
            }
        })
    })
}

fn is_opened_by_limit_with_end(state: &BreakerState) -> bool {
    match state {
        BreakerState::Open { trip, .. } | BreakerState::HalfOpen { trip, .. } => trip.end_is_known,
        BreakerState::Closed { .. } => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_second_request_probes_before_the_lease_ends_by_every_clock(history in histories()) {
        let History { policy, skew, events } = history;
        let mut state = BreakerState::CLOSED;
        let mut at_plan: HashMap<RequestId, Timestamp> = HashMap::new();
        for (now, event) in events {
            let (request_id, clock, what) = &event;
            let admission = state.admit(request_id, *clock, &policy).admission;
            state = after(state, &event, &policy);
            if matches!(what, Event::Record(_)) {
                at_plan.remove(request_id);
            } else if admission == Admission::Probe {
                for (other, lease) in at_plan.iter().filter(|(other, _)| *other != request_id) {
                    prop_assert!(*lease <= now.plus(skew), "{other} and {request_id}");
                }
                let BreakerState::HalfOpen { lease_until, probe, .. } = &state else {
                    panic!("a probe without a lease: {state:?}")
                };
                prop_assert_eq!(probe, request_id);
                at_plan.insert(request_id.clone(), *lease_until);
            }
        }
    }

    #[test]
    fn lease_denies_requests_under_a_policy_with_a_shorter_lease(
        policy in policies(),
        other in policies(),
        state in open(),
        now in sane(),
        early in 0..1000_u32,
    ) {
        let taken = after(state, &(request('a'), now, Event::Admit), &policy);
        if let BreakerState::HalfOpen { lease_until, .. } = &taken {
            let at = now.plus(lease_until.since(now) * early / 1000);
            let decision = taken.admit(&request('b'), at, &other).admission;
            prop_assert!(matches!(decision, Admission::Deny { .. }), "{decision:?}");
        }
    }

    #[test]
    fn only_the_probe_changes_an_open_or_half_open_breaker(
        policy in policies(),
        state in prop_oneof![open(), half_open()],
        request_id in requests(),
        signal in signals(),
        now in wild(),
    ) {
        let is_probe = matches!(&state, BreakerState::HalfOpen { probe, .. } if *probe == request_id);
        prop_assert_eq!(state.record(&request_id, signal, now, &policy).is_some(), is_probe);
    }

    #[test]
    fn breaker_is_open_for_at_most_the_maximum_time(
        policy in policies(),
        state in states(),
        request_id in requests(),
        now in wild(),
        event in events(),
    ) {
        match after(state.clone(), &(request_id, now, event), &policy) {
            next if next == state => {}
            BreakerState::Open { until, .. } => prop_assert!(until <= now.plus(policy.max_open)),
            BreakerState::HalfOpen { lease_until, .. } => {
                prop_assert_eq!(lease_until, now.plus(policy.lease));
            }
            BreakerState::Closed { failures } => {
                prop_assert!(failures.len() < policy.failures.try_into().unwrap());
            }
        }
    }

    #[test]
    fn jitter_is_bounded_and_constant_for_a_request(
        policy in policies(),
        request_id in "req_[a-z0-9-]{1,40}",
        class in classes(),
    ) {
        let now = TODAY;
        let request_id: RequestId = request_id.parse().unwrap();
        let policy = BreakerPolicy { failures: 1, max_open: Duration::from_hours(168), ..policy };
        let failure = Signal::Failure { class, not_before: None };
        let opened = BreakerState::CLOSED.record(&request_id, failure, now, &policy);
        prop_assert_eq!(&opened, &BreakerState::CLOSED.record(&request_id, failure, now, &policy));
        let Some(BreakerState::Open { until, .. }) = opened else {
            panic!("{opened:?}")
        };
        let least = now.plus(policy.open_for);
        prop_assert!(until >= least);
        prop_assert!(until.since(least) <= policy.jitter * 999 / 1000);
    }

    #[test]
    fn closed_breaker_allows_every_request_without_a_write(
        policy in policies(),
        state in prop_oneof![Just(BreakerState::CLOSED), failures()],
        request_id in requests(),
        now in wild(),
    ) {
        let decision = state.admit(&request_id, now, &policy);
        prop_assert_eq!(decision.admission, Admission::Allow);
        prop_assert_eq!(decision.next, None);
        prop_assert_eq!(BreakerState::CLOSED.record(&request_id, Signal::Success, now, &policy), None);
    }

    #[test]
    fn recording_a_response_twice_has_no_further_effect(
        policy in policies(),
        state in states(),
        request_id in requests(),
        signal in signals(),
        now in wild(),
    ) {
        let once = after(state, &(request_id.clone(), now, Event::Record(signal)), &policy);
        prop_assert_eq!(once.record(&request_id, signal, now, &policy), None);
    }

    #[test]
    fn failure_counts_once_when_recorded_again_after_others(
        policy in policies(),
        others in vec((requests(), classes()), 0..6),
        now in sane(),
    ) {
        let mut state = BreakerState::CLOSED;
        for (request_id, class) in others {
            let failure = Signal::Failure { class, not_before: None };
            state = after(state, &(request_id, now, Event::Record(failure)), &policy);
        }
        if let BreakerState::Closed { failures } = state {
            for failure in &failures {
                let same = failures.iter().filter(|other| other.request == failure.request);
                prop_assert_eq!(same.count(), 1);
            }
        }
    }

    #[test]
    fn bursts_within_ten_seconds_of_the_first_count_once(
        policy in policies(),
        bursts in vec(("req_[a-z0-9-]{1,40}", 0..10_000_i64), 1..9),
    ) {
        let policy = BreakerPolicy { failures: 2, ..policy };
        let mut bursts = bursts;
        bursts.sort_by_key(|(_, ms)| *ms);
        let first = bursts[0].1;
        let mut state = BreakerState::CLOSED;
        for (request_id, ms) in bursts {
            let now = Timestamp::from_millis(TODAY.as_millis() + ms - first);
            state = after(state, &(request_id.parse().unwrap(), now, Event::Record(Signal::Burst)), &policy);
        }
        let is_one = matches!(&state, BreakerState::Closed { failures } if failures.len() == 1);
        prop_assert!(is_one, "{state:?}");
    }

    #[test]
    fn burst_opens_for_at_most_the_open_time_of_a_failure(
        policy in policies(),
        state in states(),
        request_id in requests(),
        now in sane(),
    ) {
        let next = after(state.clone(), &(request_id, now, Event::Record(Signal::Burst)), &policy);
        if next != state && let BreakerState::Open { until, .. } = next {
            prop_assert!(until <= now.plus(policy.open_for + policy.jitter));
        }
    }

    #[test]
    fn repeated_admission_is_equal_and_writes_nothing(
        policy in policies(),
        state in states(),
        request_id in requests(),
        now in wild(),
    ) {
        let first = state.admit(&request_id, now, &policy);
        let state = first.next.unwrap_or(state);
        let second = state.admit(&request_id, now, &policy);
        prop_assert_eq!(second.admission, first.admission);
        prop_assert_eq!(second.next, None);
    }

    #[test]
    fn open_breaker_denies_without_a_write(
        policy in policies(),
        state in states(),
        request_id in requests(),
        now in wild(),
    ) {
        let decision = state.admit(&request_id, now, &policy);
        let is_denied = matches!(decision.admission, Admission::Deny { .. });
        let is_open = matches!(state, BreakerState::Open { .. }) && is_denied;
        prop_assert_eq!(state.is_open(now, &policy), is_open);
        prop_assert!(!is_denied || decision.next.is_none());
    }

    #[test]
    fn denied_request_is_admitted_at_the_time_in_the_denial(
        policy in policies(),
        state in states(),
        request_id in requests(),
        now in wild(),
    ) {
        if let Admission::Deny { until, .. } = state.admit(&request_id, now, &policy).admission {
            prop_assert!(now < until);
            prop_assert!(may_go_to_plan(&state, &request_id, until, &policy));
        }
    }

    #[test]
    fn wrong_clock_keeps_the_breaker_open_for_a_bounded_time(
        policy in policies(),
        start in states(),
        history in vec((requests(), wild(), events()), 0..12),
        now in sane(),
    ) {
        let mut state = history.iter().fold(start, |state, event| after(state, event, &policy));
        state = after(state, &(request('x'), now, Event::Admit), &policy);
        // None of these requests records a response.
        let longest = policy.max_open.max(BreakerPolicy::LONGEST_LEASE);
        let soon = now.plus(longest + TOLERANCE);
        for (request_id, now) in [('y', soon), ('z', soon.plus(policy.lease))] {
            prop_assert!(may_go_to_plan(&state, &request(request_id), now, &policy), "{request_id}");
            state = after(state, &(request(request_id), now, Event::Admit), &policy);
        }
    }

    #[test]
    fn only_a_limit_with_a_known_end_sets_end_is_known(
        policy in policies(),
        request_id in requests(),
        signals in vec(signals(), 1..9),
        now in sane(),
    ) {
        let mut state = BreakerState::CLOSED;
        for signal in signals {
            if signal == Signal::Nothing { continue }
            let Some(next) = state.record(&request_id, signal, now, &policy) else { continue };
            let is_limit = matches!(signal, Signal::LimitUntil(_));
            prop_assert_eq!(is_opened_by_limit_with_end(&next), is_limit);
            let BreakerState::Open { until, .. } = &next else { break };
            let probing = next.admit(&request_id, *until, &policy).next.unwrap();
            prop_assert_eq!(is_opened_by_limit_with_end(&probing), is_limit);
            state = probing;
        }
    }

    #[test]
    fn circuit_parses_from_its_name(family in "[a-z]{1,20}") {
        let circuit: Circuit = family.parse().unwrap();
        prop_assert_eq!(circuit.to_string(), family);
    }
}

#[test]
fn jitter_spreads_requests_over_its_whole_range() {
    let policy = Policy::default().breaker;
    let failure = Signal::LimitUntil(TODAY);
    let tenths = (0..1000).map(|number| {
        let request_id = format!("req_0199c3a1-7b2e-7{number:03x}-9d41-2f60c8b5e7a3");
        let opened =
            BreakerState::CLOSED.record(&request_id.parse().unwrap(), failure, TODAY, &policy);
        let Some(BreakerState::Open { until, .. }) = opened else {
            panic!("{opened:?}")
        };
        until.since(TODAY).as_millis() * 10 / policy.jitter.as_millis()
    });
    let mut counts = [0; 10];
    for tenth in tenths {
        counts[usize::try_from(tenth).unwrap()] += 1;
    }
    assert!(
        counts.iter().all(|count| (50..200).contains(count)),
        "{counts:?}"
    );
}

/// A breaker of a request, with its policy.
#[derive(Debug)]
struct GuardWithPolicy(BreakerState, BreakerPolicy);

impl Guard for GuardWithPolicy {
    fn state(&self) -> &BreakerState {
        &self.0
    }
}

proptest! {
    #[test]
    fn denial_of_one_breaker_wins_and_changes_none(
        states in vec((states(), policies()), 1..4), request_id in requests(), now in wild(),
    ) {
        let breakers: Vec<GuardWithPolicy> =
            states.into_iter().map(|(state, policy)| GuardWithPolicy(state, policy)).collect();
        let alone = |breaker: &GuardWithPolicy| breaker.0.admit(&request_id, now, &breaker.1);
        let combined = admit(&breakers, |breaker| breaker.1, &request_id, now);
        let denials: Vec<Admission> = breakers
            .iter()
            .map(|breaker| alone(breaker).admission)
            .filter(|admission| matches!(admission, Admission::Deny { .. }))
            .collect();
        if let Some(Admission::Deny { class, until, .. }) = denials.first() {
            let is_limit_with_end = denials.iter().any(|denial| {
                matches!(denial, Admission::Deny { is_limit_with_end: true, .. })
            });
            let expected = Admission::Deny { class: *class, until: *until, is_limit_with_end };
            prop_assert_eq!(combined.admission, expected);
            prop_assert!(combined.leases.is_empty());
        } else {
            let is_denied = matches!(combined.admission, Admission::Deny { .. });
            prop_assert!(!is_denied);
        }
    }

    #[test]
    fn request_probes_once_it_holds_the_lease_of_every_breaker(
        states in vec((states(), policies()), 1..4), request_id in requests(), now in sane(),
    ) {
        let mut breakers: Vec<GuardWithPolicy> =
            states.into_iter().map(|(state, policy)| GuardWithPolicy(state, policy)).collect();
        let first = admit(&breakers, |breaker| breaker.1, &request_id, now);
        prop_assume!(!matches!(first.admission, Admission::Deny { .. }));
        let admission = first.admission;
        let wanted = breakers
            .iter()
            .filter(|breaker| breaker.0.admit(&request_id, now, &breaker.1).next.is_some())
            .count();
        prop_assert_eq!(first.leases.len(), wanted);
        let taken: Vec<BreakerState> =
            breakers.iter().map(|breaker| breaker.0.admit(&request_id, now, &breaker.1).next.unwrap_or_else(|| breaker.0.clone())).collect();
        for (breaker, next) in breakers.iter_mut().zip(taken) {
            breaker.0 = next;
        }
        let again = admit(&breakers, |breaker| breaker.1, &request_id, now);
        prop_assert_eq!(again.admission, admission);
        prop_assert!(again.leases.is_empty());
        let other = request('z');
        let other = admit(&breakers, |breaker| breaker.1, &other, now);
        let is_denied = matches!(other.admission, Admission::Deny { .. });
        prop_assert!(is_denied || wanted == 0);
    }
}
