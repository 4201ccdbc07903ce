//! Rows 2 to 5 of the failure taxonomy: limits of a plan, of a model family and of money, and features that a
//! plan does not include.

use simulators::{Step, Window};

use super::scenario::{
    A_MINUTE, Caller, HALF_AN_HOUR, OPUS, SONNET, Scenario, advance, burst, limit, plan_answers,
    plan_error, plan_skipped, request,
};

const DAY_S: u64 = 24 * 60 * 60;

pub(super) fn plan_limits() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "plan-limit",
            "The plan's five-hour window is used up for half an hour; a colleague's is not",
            vec![
                plan_answers(limit(Window::FiveHour, 1800))
                    .falls_back("usage_limit")
                    .breaker("closed", "open 30m")
                    .into(),
                plan_skipped("usage_limit", "30m").into(),
                request().sent_by(Caller::Colleague).into(),
                advance(HALF_AN_HOUR + A_MINUTE),
                request().probes().breaker("probe due", "closed").into(),
                request().into(),
            ],
        ),
        Scenario::new(
            "weekly-limit",
            "The week is used up for days; Plan is still probed once an hour",
            vec![
                plan_answers(limit(Window::SevenDay, 3 * DAY_S))
                    .falls_back("usage_limit")
                    .breaker("closed", "open 60m")
                    .into(),
                advance(HALF_AN_HOUR),
                plan_skipped("usage_limit", "30m").into(),
                advance(HALF_AN_HOUR),
                plan_answers(limit(Window::SevenDay, 3 * DAY_S))
                    .falls_back("usage_limit")
                    .breaker("probe due", "open 60m")
                    .into(),
            ],
        ),
    ]
}

pub(super) fn family_limits() -> Vec<Scenario> {
    let scenario =
        |name, about, window, limited: &'static str, state: &str, other: &'static str| {
            let steps = vec![
                plan_answers(limit(window, 1800))
                    .model(limited)
                    .falls_back("usage_limit")
                    .breaker("closed", state)
                    .into(),
                request()
                    .model(limited)
                    .skips_plan("usage_limit", "30m")
                    .breaker_stays(state)
                    .into(),
                request().model(other).breaker_stays(state).into(),
                advance(HALF_AN_HOUR + A_MINUTE),
                request()
                    .model(limited)
                    .probes()
                    .breaker(&state.replace("open 30m", "probe due"), "closed")
                    .into(),
            ];
            Scenario::new(name, about, steps)
        };
    vec![
        scenario(
            "family-limit",
            "The week's Opus is used up; Sonnet still goes to Plan",
            Window::SevenDayOpus,
            OPUS,
            "opus open 30m",
            SONNET,
        ),
        scenario(
            "family-limit-unnamed",
            "The limit of a family without a name in the headers applies to the requested model's",
            Window::SevenDayOverageIncluded,
            SONNET,
            "sonnet open 30m",
            OPUS,
        ),
    ]
}

pub(super) fn entitlement() -> Vec<Scenario> {
    let refused = || {
        plan_answers(Step::Entitlement)
            .falls_back("entitlement")
            .into()
    };
    let out_of_extra_usage = plan_error(
        400,
        "invalid_request_error",
        "You're out of extra usage. Add more at claude.ai/settings/usage and keep going.",
    );
    let overage_is_off = Step::Headers {
        headers: [(
            "anthropic-ratelimit-unified-overage-disabled-reason".to_owned(),
            "out_of_credits".to_owned(),
        )]
        .into(),
        then: Box::new(burst()),
    };
    vec![
        Scenario::new(
            "entitlement",
            "The plan does not include long context: this request goes to Bedrock, the next to Plan",
            vec![refused(), refused(), refused(), request().into()],
        ),
        Scenario::new(
            "out-of-extra-usage",
            "400: extra usage is used up; Plan's response is delivered when Bedrock fails too",
            vec![
                plan_answers(out_of_extra_usage.clone())
                    .falls_back("entitlement")
                    .into(),
                plan_answers(out_of_extra_usage)
                    .bedrock_answers(Step::Unauthorized)
                    .delivers(400, "invalid_request_error", "entitlement")
                    .bedrock_fails("bedrock_auth_error")
                    .into(),
                request().into(),
            ],
        ),
        Scenario::new(
            "overage-off",
            "429 with only the header that names why extra usage is off: nothing is counted",
            vec![
                plan_answers(overage_is_off.clone())
                    .falls_back("entitlement")
                    .into(),
                plan_answers(overage_is_off)
                    .falls_back("entitlement")
                    .into(),
                request().into(),
            ],
        ),
    ]
}

pub(super) fn spend_limits() -> Vec<Scenario> {
    let spent = |step| plan_answers(step).falls_back("usage_limit");
    vec![
        Scenario::new(
            "spend-limit",
            "A spend limit, which has no known end, in its three wordings",
            vec![
                spent(Step::SpendLimit)
                    .breaker("closed", "closed 1/3")
                    .into(),
                spent(Step::SelfSetLimit)
                    .breaker("closed 1/3", "closed 2/3")
                    .into(),
                spent(Step::OutOfCredit)
                    .breaker("closed 2/3", "open 30m")
                    .into(),
                plan_skipped("usage_limit", "30m").into(),
            ],
        ),
        Scenario::new(
            "payment-due",
            "402, which counts like any limit without a known end",
            vec![
                spent(Step::Status { status: 402 })
                    .breaker("closed", "closed 1/3")
                    .into(),
            ],
        ),
    ]
}
