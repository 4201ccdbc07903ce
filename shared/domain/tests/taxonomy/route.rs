//! The whole matrix of each routing choice, and the header that reports the result.

use std::fmt::Write as _;

use domain::breaker::Admission;
use domain::policy::{FallbackClass, Policy, PolicyChange};
use domain::route::{
    AfterPlan, BedrockKeyState, FallbackFailure, FallbackReason, FirstUpstream, Upstream,
    Usefulness, Winner,
};
use domain::time::Timestamp;
use domain::verdict::{LimitOf, Verdict, VerdictKind};
use http::StatusCode;
use insta::assert_snapshot;
use proptest::prelude::*;

const UNTIL: Timestamp = Timestamp::from_seconds(1_795_000_000);

const fn deny(is_limit_with_end: bool) -> Admission {
    Admission::Deny {
        class: FallbackClass::UsageLimit,
        until: UNTIL,
        is_limit_with_end,
    }
}

fn plan_limit() -> Verdict {
    Verdict::UsageLimit {
        of: LimitOf::Plan,
        until: None,
    }
}

fn verdicts() -> [Verdict; 9] {
    [
        Verdict::Good,
        plan_limit(),
        Verdict::Entitlement,
        Verdict::RateLimited { retry_at: None },
        Verdict::Burst,
        Verdict::Overloaded { retry_at: None },
        Verdict::Broken { retry_at: None },
        Verdict::Login,
        Verdict::ClientFault,
    ]
}

#[test]
fn first_upstream_follows_breaker_pin_and_bedrock_key() {
    let admissions = [
        ("allow", Admission::Allow),
        ("probe", Admission::Probe),
        ("deny, limit with end", deny(true)),
        ("deny, other", deny(false)),
    ];
    let keys = [
        BedrockKeyState::Missing,
        BedrockKeyState::Usable,
        BedrockKeyState::Rejected,
        BedrockKeyState::Failed,
    ];
    let mut table = format!(
        "{:<32}{:<14}{:<14}{:<14}{:<14}",
        "breaker", "missing", "usable", "rejected", "failed"
    );
    for (name, admission) in admissions {
        for is_pinned in [false, true] {
            let pinned = if is_pinned { ", pinned" } else { "" };
            write!(table, "\n{:<32}", format!("{name}{pinned}")).unwrap();
            for key in keys {
                let chosen = match FirstUpstream::choose(admission, is_pinned, key) {
                    FirstUpstream::Plan => "plan".to_owned(),
                    FirstUpstream::Bedrock(reason) => reason.as_str().to_owned(),
                    FirstUpstream::Neither(_) => "bedrock error".to_owned(),
                };
                write!(table, "{chosen:<14}").unwrap();
            }
        }
    }
    assert_snapshot!(lines(&table), @r"
    breaker                         missing       usable        rejected      failed
    allow                           plan          plan          plan          plan
    allow, pinned                   plan          session       plan          plan
    probe                           plan          plan          plan          plan
    probe, pinned                   plan          plan          plan          plan
    deny, limit with end            plan          breaker_open  bedrock error bedrock error
    deny, limit with end, pinned    plan          breaker_open  bedrock error bedrock error
    deny, other                     plan          breaker_open  plan          bedrock error
    deny, other, pinned             plan          breaker_open  plan          bedrock error
    ");
}

#[test]
fn fallback_follows_the_policy_and_goes_to_bedrock_once() {
    let everything = Policy::default().with(&PolicyChange {
        fallback_on: Some(FallbackClass::ALL.into()),
        ..PolicyChange::default()
    });
    let nothing = Policy::default().with(&PolicyChange {
        fallback_on: Some([].into()),
        ..PolicyChange::default()
    });
    let mut table = format!(
        "{:<14}{:<28}{:<28}{:<28}",
        "verdict", "default", "all classes", "no class"
    );
    for verdict in verdicts() {
        write!(table, "\n{:<14}", verdict.as_str()).unwrap();
        for policy in [&Policy::default(), &everything, &nothing] {
            let [first, second] =
                [false, true].map(|failed| match AfterPlan::choose(&verdict, policy, failed) {
                    AfterPlan::Return => "return".to_owned(),
                    AfterPlan::FallBack(class) => class.to_string(),
                    AfterPlan::ChooseWinner => "choose".to_owned(),
                });
            write!(table, "{:<28}", format!("{first} / {second}")).unwrap();
        }
    }
    assert_snapshot!(lines(&table), @r"
    verdict       default                     all classes                 no class
    good          return / return             return / return             return / return
    usage_limit   usage_limit / choose        usage_limit / choose        return / return
    entitlement   entitlement / choose        entitlement / choose        return / return
    rate_limited  rate_limited / choose       rate_limited / choose       return / return
    burst         rate_limited / choose       rate_limited / choose       return / return
    overloaded    overloaded / choose         overloaded / choose         return / return
    broken        return / return             broken / choose             return / return
    login         return / return             return / return             return / return
    client_fault  return / return             return / return             return / return
    ");
}

#[test]
fn winner_follows_failure_verdict_and_use_of_plans_response() {
    let failures = [
        ("no bedrock key", FallbackFailure::NoBedrockKey),
        ("request", FallbackFailure::Request),
        ("passing", FallbackFailure::Passing),
        ("final", FallbackFailure::Final),
    ];
    let mut table = format!(
        "{:<30}{:<26}{:<26}{:<26}{:<26}",
        "failure, verdict", "no response", "empty", "useful", "ends turn"
    );
    for (name, failure) in failures {
        for verdict in verdicts() {
            let row = [
                Usefulness::NoResponse,
                Usefulness::Empty,
                Usefulness::Useful,
                Usefulness::EndsTurn,
            ]
            .map(|plan| format!("{:?}", Winner::choose(failure, &verdict, plan)));
            let verdict = verdict.as_str();
            write!(table, "\n{:<30}", format!("{name}, {verdict}")).unwrap();
            for winner in row {
                write!(table, "{winner:<26}").unwrap();
            }
        }
    }
    assert_snapshot!(lines(&table), @r"
    failure, verdict              no response               empty                     useful                    ends turn
    no bedrock key, good          Plan                      Plan                      PlanWithError             PlanWithError
    no bedrock key, usage_limit   Plan                      LimitWithoutBedrockKey    LimitWithoutBedrockKey    LimitWithoutBedrockKey
    no bedrock key, entitlement   Plan                      Plan                      PlanWithError             PlanWithError
    no bedrock key, rate_limited  Plan                      LimitWithoutBedrockKey    LimitWithoutBedrockKey    LimitWithoutBedrockKey
    no bedrock key, burst         Plan                      LimitWithoutBedrockKey    LimitWithoutBedrockKey    LimitWithoutBedrockKey
    no bedrock key, overloaded    Plan                      Plan                      PlanWithError             PlanWithError
    no bedrock key, broken        Plan                      Plan                      PlanWithError             PlanWithError
    no bedrock key, login         Plan                      Plan                      PlanWithError             PlanWithError
    no bedrock key, client_fault  Plan                      Plan                      PlanWithError             PlanWithError
    request, good                 Bedrock                   Bedrock                   Bedrock                   Bedrock
    request, usage_limit          Bedrock                   Bedrock                   Bedrock                   Bedrock
    request, entitlement          Bedrock                   Bedrock                   Bedrock                   Bedrock
    request, rate_limited         Bedrock                   Bedrock                   Bedrock                   Bedrock
    request, burst                Bedrock                   Bedrock                   Bedrock                   Bedrock
    request, overloaded           Bedrock                   Bedrock                   Bedrock                   Bedrock
    request, broken               Bedrock                   Bedrock                   Bedrock                   Bedrock
    request, login                Bedrock                   Bedrock                   Bedrock                   Bedrock
    request, client_fault         Bedrock                   Bedrock                   Bedrock                   Bedrock
    passing, good                 Bedrock                   Bedrock                   PlanWithError             BedrockWithPlanState
    passing, usage_limit          Bedrock                   Bedrock                   PlanWithError             BedrockWithPlanState
    passing, entitlement          Bedrock                   Bedrock                   PlanWithError             BedrockWithPlanState
    passing, rate_limited         Bedrock                   Bedrock                   PlanWithError             BedrockWithPlanState
    passing, burst                Bedrock                   Bedrock                   PlanWithError             BedrockWithPlanState
    passing, overloaded           Bedrock                   Bedrock                   PlanWithError             BedrockWithPlanState
    passing, broken               Bedrock                   Bedrock                   PlanWithError             BedrockWithPlanState
    passing, login                Bedrock                   Bedrock                   PlanWithError             BedrockWithPlanState
    passing, client_fault         Bedrock                   Bedrock                   PlanWithError             BedrockWithPlanState
    final, good                   Bedrock                   Bedrock                   PlanWithError             PlanWithError
    final, usage_limit            Bedrock                   Bedrock                   PlanWithError             PlanWithError
    final, entitlement            Bedrock                   Bedrock                   PlanWithError             PlanWithError
    final, rate_limited           Bedrock                   Bedrock                   PlanWithError             PlanWithError
    final, burst                  Bedrock                   Bedrock                   PlanWithError             PlanWithError
    final, overloaded             Bedrock                   Bedrock                   PlanWithError             PlanWithError
    final, broken                 Bedrock                   Bedrock                   PlanWithError             PlanWithError
    final, login                  Bedrock                   Bedrock                   PlanWithError             PlanWithError
    final, client_fault           Bedrock                   Bedrock                   PlanWithError             PlanWithError
    ");
}

#[test]
fn response_of_plan_is_useful_except_for_an_empty_success() {
    let cases = [
        (429, plan_limit(), false, Usefulness::EndsTurn),
        (429, Verdict::Entitlement, false, Usefulness::EndsTurn),
        (429, Verdict::Burst, false, Usefulness::Useful),
        (402, plan_limit(), false, Usefulness::Useful),
        (400, Verdict::Entitlement, false, Usefulness::Useful),
        (
            200,
            Verdict::Broken { retry_at: None },
            false,
            Usefulness::Empty,
        ),
        (
            200,
            Verdict::Broken { retry_at: None },
            true,
            Usefulness::Useful,
        ),
        (200, plan_limit(), true, Usefulness::Useful),
        (
            503,
            Verdict::Broken { retry_at: None },
            false,
            Usefulness::Useful,
        ),
    ];
    for (status, verdict, is_error_event, expected) in cases {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(
            Usefulness::from_response(status, &verdict, is_error_event),
            expected,
            "{status} {verdict:?} {is_error_event}"
        );
    }
}

fn upstreams() -> impl Strategy<Value = Upstream> {
    let verdict = proptest::sample::select(&VerdictKind::ALL[..]);
    let class = proptest::sample::select(&FallbackClass::ALL[..]);
    prop_oneof![
        (verdict.clone(), any::<bool>())
            .prop_map(|(verdict, is_probe)| Upstream::Plan { verdict, is_probe }),
        verdict.prop_map(|verdict| Upstream::Bedrock(FallbackReason::Verdict(verdict))),
        Just(Upstream::Bedrock(FallbackReason::Session)),
        (class, 0..4_102_444_800_000_i64).prop_map(|(class, until)| {
            let until = Timestamp::from_millis(until);
            Upstream::Bedrock(FallbackReason::BreakerOpen { class, until })
        }),
    ]
}

proptest! {
    #[test]
    fn upstream_header_parses_from_its_text(upstream in upstreams()) {
        prop_assert_eq!(upstream.to_string().parse(), Ok(upstream));
    }

    #[test]
    fn invalid_upstream_header_is_rejected(text in "[ -~]{0,40}") {
        if let Ok(upstream) = text.parse::<Upstream>() {
            prop_assert_eq!(upstream.to_string(), text);
        }
    }
}

#[test]
fn upstream_header_names_the_leg_and_the_reason() {
    let written = [
        Upstream::Plan {
            verdict: VerdictKind::Good,
            is_probe: false,
        },
        Upstream::Plan {
            verdict: VerdictKind::UsageLimit,
            is_probe: true,
        },
        Upstream::Bedrock(FallbackClass::RateLimited.into()),
        Upstream::Bedrock(FallbackReason::Session),
        Upstream::Bedrock(FallbackReason::BreakerOpen {
            class: FallbackClass::UsageLimit,
            until: UNTIL,
        }),
    ]
    .map(|upstream| upstream.to_string())
    .join("\n");
    assert_snapshot!(written, @r"
    plan; reason=good
    plan; reason=usage_limit; probe
    bedrock; reason=rate_limited
    bedrock; reason=session
    bedrock; reason=breaker_open; because=usage_limit; until=2026-11-18T11:06:40Z
    ");
}

/// A table without spaces at the ends of its lines.
fn lines(table: &str) -> String {
    table
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}
