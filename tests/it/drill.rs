//! The drills of `spillway drill`, which are the rows of the failure taxonomy end to end.

use std::collections::BTreeSet;

use spillway::drill::{
    DrillResult, DrillStep, Observation, Scenario, run_all, run_scenario, scenarios, table,
};

/// The verdict of each row of the failure taxonomy.
const VERDICTS: [(&str, &str); 11] = [
    ("1", "good"),
    ("2", "usage_limit"),
    ("3", "usage_limit"),
    ("4", "entitlement"),
    ("5", "usage_limit"),
    ("6", "rate_limited"),
    // A burst falls back under this name.
    ("6b", "rate_limited"),
    ("7", "overloaded"),
    ("8", "broken"),
    ("9", "login"),
    ("10", "client_fault"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_drill_passes_and_has_the_verdict_of_its_row() {
    let all = run_all(scenarios()).await.unwrap();
    let failures: Vec<_> = all.iter().flat_map(DrillResult::failures).collect();
    assert_eq!(failures, [""; 0]);
    for result in &all {
        assert!(result.as_expected, "{}", result.name);
        let verdicts: Vec<_> = result
            .requests
            .iter()
            .map(|request| &request.verdict)
            .collect();
        for (_, verdict) in VERDICTS.iter().filter(|(row, _)| Some(*row) == result.row) {
            let is_shown = verdicts.contains(&&Some((*verdict).to_owned()));
            assert!(is_shown, "{}: {verdicts:?}", result.name);
        }
        for observed in result.requests.iter().map(|request| &request.observed) {
            assert!(
                observed.plan_calls <= 1 && observed.bedrock_calls <= 2,
                "{observed:?}"
            );
            let stays_on_plan =
                matches!(observed.verdict(), Some("good" | "login" | "client_fault"));
            // Behind an open breaker Bedrock is called first, and Plan only when Bedrock rejects the key.
            let was_called =
                observed.bedrock_calls > 0 && !observed.breaker_before.starts_with("open ");
            assert!(
                !(stays_on_plan && was_called),
                "{}: {observed:?}",
                result.name
            );
        }
    }
    let table = table(&all);
    let longest = table.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(120), "{longest:?}\n{table}");
}

#[test]
fn every_taxonomy_row_has_a_drill() {
    let rows: BTreeSet<_> = scenarios().iter().filter_map(|drill| drill.row).collect();
    assert_eq!(rows, VERDICTS.map(|(row, _)| row).into());
}

#[test]
fn every_drill_has_a_unique_typeable_name_and_a_one_line_summary() {
    let mut names = BTreeSet::new();
    for Scenario { name, about, .. } in scenarios() {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
        assert!(name.split('-').all(is_word), "{name}");
        assert!(names.insert(name), "{name} is used twice");
        let width = about.chars().count();
        assert!(
            (20..=95).contains(&width) && !about.contains('\n'),
            "{about}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn difference_is_reported_with_the_expected_value() {
    type Change = fn(&mut Observation);
    let changes: [(Change, &str); 13] = [
        (
            |observed| observed.status = Some(200),
            "status is 503, expected 200",
        ),
        (
            |observed| observed.body = "answer".into(),
            "body is api_error, expected answer",
        ),
        (
            |observed| observed.begun = true,
            "begun is false, expected true",
        ),
        (
            |observed| observed.leg = "plan".into(),
            "leg is bedrock, expected plan",
        ),
        (
            |observed| observed.reason = "good".into(),
            "reason is breaker_open, expected good",
        ),
        (
            |observed| observed.probe = true,
            "probe is false, expected true",
        ),
        (
            |observed| observed.because = None,
            "because is usage_limit, expected none",
        ),
        (
            |observed| observed.until = Some("60m".into()),
            "until is 30m, expected 60m",
        ),
        (
            |observed| observed.error = None,
            "error is bedrock_unavailable, expected none",
        ),
        (
            |observed| observed.breaker_before = "closed".into(),
            "breaker_before is open 30m, expected closed",
        ),
        (
            |observed| observed.breaker_after = "closed".into(),
            "breaker_after is open 30m, expected closed",
        ),
        (
            |observed| observed.plan_calls = 1,
            "plan_calls is 0, expected 1",
        ),
        (
            |observed| observed.bedrock_calls = 2,
            "bedrock_calls is 1, expected 2",
        ),
    ];
    let named = |name: &str| scenarios().into_iter().find(|drill| drill.name == name);
    for (change, failure) in changes {
        let mut scenario = named("bedrock-down").unwrap();
        let Some(DrillStep::Send(request)) = scenario.steps.last_mut() else {
            panic!()
        };
        change(&mut request.expected);
        let result = run_scenario(&scenario).await;
        let failure = format!("bedrock-down, request 2: {failure}");
        assert_eq!(result.failures(), [failure.as_str()]);
        assert!(!result.as_expected);
        let table = table(&[result]);
        assert!(
            table.contains("0+1    NO\n") && table.contains(&failure),
            "{table}"
        );
        assert!(!table.contains("All drills passed"), "{table}");
    }
}

#[tokio::test]
async fn drill_that_cannot_finish_is_a_failure() {
    let mut scenario = scenarios().remove(0);
    let Some(DrillStep::Send(answered)) = scenario.steps.pop() else {
        panic!()
    };
    scenario.steps.push(DrillStep::Abandon(answered, vec![]));
    let result = run_scenario(&scenario).await;
    assert_eq!(result.requests.len(), scenario.steps.len() - 1);
    assert!(!result.as_expected);
    let [failure] = &*result.failures() else {
        panic!("{result:?}")
    };
    assert!(failure.starts_with("healthy did not finish: "), "{failure}");
    assert!(!failure.contains("/ak/"), "{failure}");
}
