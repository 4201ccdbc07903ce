//! The drills of `spillway drill`, which are the rows of the failure taxonomy end to end.

use std::collections::BTreeSet;

use spillway::drill::{Act, Played, Scenario, Seen, play, play_all, scenarios, table};

/// Of each row of the failure taxonomy.
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
async fn every_drill_goes_as_expected_and_shows_the_verdict_of_its_row() {
    let all = play_all(scenarios()).await.unwrap();
    let complaints: Vec<_> = all.iter().flat_map(Played::complaints).collect();
    assert_eq!(complaints, [""; 0]);
    for played in &all {
        assert!(played.as_expected, "{}", played.name);
        let verdicts: Vec<_> = played.requests.iter().map(|line| &line.verdict).collect();
        for (_, verdict) in VERDICTS.iter().filter(|(row, _)| Some(*row) == played.row) {
            let shows_it = verdicts.contains(&&Some((*verdict).to_owned()));
            assert!(shows_it, "{}: {verdicts:?}", played.name);
        }
        for seen in played.requests.iter().map(|line| &line.seen) {
            assert!(seen.plan_calls <= 1 && seen.bedrock_calls <= 2, "{seen:?}");
            let is_plans_business =
                matches!(seen.verdict(), Some("good" | "login" | "client_fault"));
            // Behind an open breaker Bedrock is asked first, and Plan only when Bedrock refuses the key.
            let is_asked = seen.bedrock_calls > 0 && !seen.breaker_before.starts_with("open ");
            assert!(
                !(is_plans_business && is_asked),
                "{}: {seen:?}",
                played.name
            );
        }
    }
    let table = table(&all);
    let longest = table.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(120), "{longest:?}\n{table}");
}

#[test]
fn every_row_of_the_taxonomy_has_a_drill() {
    let rows: BTreeSet<_> = scenarios().iter().filter_map(|drill| drill.row).collect();
    assert_eq!(rows, VERDICTS.map(|(row, _)| row).into());
}

#[test]
fn every_drill_has_a_name_of_its_own_that_one_can_type_and_says_in_a_line_what_it_is_about() {
    let mut names = BTreeSet::new();
    for Scenario { name, about, .. } in scenarios() {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
        assert!(name.split('-').all(is_word), "{name}");
        assert!(names.insert(name), "{name} is there twice");
        let width = about.chars().count();
        assert!(
            (20..=95).contains(&width) && !about.contains('\n'),
            "{about}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_not_as_expected_is_told_with_what_was_expected() {
    type Change = fn(&mut Seen);
    let changes: [(Change, &str); 13] = [
        (
            |seen| seen.status = Some(200),
            "status is 503, expected 200",
        ),
        (
            |seen| seen.body = "answer".into(),
            "body is api_error, expected answer",
        ),
        (|seen| seen.begun = true, "begun is false, expected true"),
        (
            |seen| seen.leg = "plan".into(),
            "leg is bedrock, expected plan",
        ),
        (
            |seen| seen.reason = "good".into(),
            "reason is breaker_open, expected good",
        ),
        (|seen| seen.probe = true, "probe is false, expected true"),
        (
            |seen| seen.because = None,
            "because is usage_limit, expected none",
        ),
        (
            |seen| seen.until = Some("60m".into()),
            "until is 30m, expected 60m",
        ),
        (
            |seen| seen.error = None,
            "error is bedrock_unavailable, expected none",
        ),
        (
            |seen| seen.breaker_before = "closed".into(),
            "breaker_before is open 30m, expected closed",
        ),
        (
            |seen| seen.breaker_after = "closed".into(),
            "breaker_after is open 30m, expected closed",
        ),
        (|seen| seen.plan_calls = 1, "plan_calls is 0, expected 1"),
        (
            |seen| seen.bedrock_calls = 2,
            "bedrock_calls is 1, expected 2",
        ),
    ];
    let named = |name: &str| scenarios().into_iter().find(|drill| drill.name == name);
    for (change, complaint) in changes {
        let mut scenario = named("bedrock-down").unwrap();
        let Some(Act::Ask(request)) = scenario.acts.last_mut() else {
            panic!()
        };
        change(&mut request.expected);
        let played = play(&scenario).await;
        let complaint = format!("bedrock-down, request 2: {complaint}");
        assert_eq!(played.complaints(), [complaint.as_str()]);
        assert!(!played.as_expected);
        let table = table(&[played]);
        assert!(
            table.contains("0+1    NO\n") && table.contains(&complaint),
            "{table}"
        );
        assert!(!table.contains("All went as expected"), "{table}");
    }
}

#[tokio::test]
async fn a_drill_that_cannot_be_played_to_its_end_is_no_success() {
    let mut scenario = scenarios().remove(0);
    let Some(Act::Ask(answered)) = scenario.acts.pop() else {
        panic!()
    };
    scenario.acts.push(Act::Abandon(answered, vec![]));
    let played = play(&scenario).await;
    assert_eq!(played.requests.len(), scenario.acts.len() - 1);
    assert!(!played.as_expected);
    let [complaint] = &*played.complaints() else {
        panic!("{played:?}")
    };
    assert!(
        complaint.starts_with("healthy was not played to its end: "),
        "{complaint}"
    );
    assert!(!complaint.contains("/ak/"), "{complaint}");
}
