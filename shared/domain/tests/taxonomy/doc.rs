//! The tables of `docs/failure-taxonomy.md` match the fixtures and the policy.

use std::fmt::Write as _;
use std::path::Path;

use domain::policy::{POLICY_SETTINGS, Policy, PolicyChange};
use domain::setting::{SettingValue, Unit, Values};

use crate::table::{PLAN_RESPONSES, rows};

/// A value with its unit: `1800 (30 min)`.
fn readable(value: u32, unit: Unit) -> String {
    const DAY: u32 = 24 * 60 * 60;
    match value {
        _ if unit == Unit::Count => value.to_string(),
        _ if value > DAY && value.is_multiple_of(DAY) => format!("{value} ({} days)", value / DAY),
        3600.. if value.is_multiple_of(3600) => format!("{value} ({} h)", value / 3600),
        60.. if value.is_multiple_of(60) => format!("{value} ({} min)", value / 60),
        _ => value.to_string(),
    }
}

fn verdict_table() -> String {
    let mut table = "| # | Plan's response | Verdict | This request | Breaker |\n\
                     |---|---|---|---|---|\n"
        .to_owned();
    for ((number, row), response) in rows().into_iter().zip(PLAN_RESPONSES) {
        let [verdict, request, breaker] = row.cells();
        let _ = writeln!(
            table,
            "| {number} | {response} | {verdict} | {request} | {breaker} |"
        );
    }
    table
}

fn settings_table() -> String {
    let list = |words: &[&str]| {
        let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
        quoted.join(", ")
    };
    let default = Policy::default();
    let mut table = "| Setting | Default | Values | Meaning |\n|---|---|---|---|\n".to_owned();
    for setting in POLICY_SETTINGS {
        let (default, values) = match (setting.in_force(&default), setting.values) {
            (SettingValue::Number(default), Values::Number { least, most, unit }) => {
                let range = [least, most].map(|number| readable(number, unit));
                (readable(default, unit), range.join(" to "))
            }
            (SettingValue::Word(default), Values::OneOf(words)) => (list(&[&default]), list(words)),
            (SettingValue::Words(default), Values::ListOf(words)) => {
                let default: Vec<_> = default.iter().map(String::as_str).collect();
                (list(&default), list(words))
            }
            other => panic!("{}: {other:?}", setting.name),
        };
        let _ = writeln!(
            table,
            "| `{}` | {default} | {values} | {} |",
            setting.name, setting.meaning
        );
    }
    table
}

/// Compares `table` with the text between the two comments that mark it in the document.
fn assert_doc_has(name: &str, table: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/failure-taxonomy.md");
    let doc = std::fs::read_to_string(file).expect("docs/failure-taxonomy.md");
    let found = doc
        .split_once(&format!("<!-- table: {name} -->\n"))
        .and_then(|(_, rest)| rest.split_once(&format!("<!-- end: {name} -->")))
        .map(|(found, _)| found.trim());
    assert!(
        found == Some(table.trim()),
        "docs/failure-taxonomy.md must have, between its comments about {name}:\n\n{table}\n"
    );
}

#[test]
fn documented_verdict_table_matches_the_fixtures() {
    assert_doc_has("verdicts", &verdict_table());
}

#[test]
fn documented_settings_table_matches_the_policy() {
    assert_doc_has("settings", &settings_table());
}

#[test]
fn setting_changes_the_field_it_is_declared_for() {
    for setting in POLICY_SETTINGS {
        let value = match setting.values {
            Values::Number { .. } => SettingValue::Number(77),
            Values::OneOf(words) => SettingValue::Word((*words.last().unwrap()).to_owned()),
            Values::ListOf(words) => SettingValue::Words(vec![words[0].to_owned()]),
        };
        let name = setting.name;
        let mut change = PolicyChange::default();
        assert_eq!(setting.get(&change), None, "{name}");
        setting.set(&mut change, value.clone()).unwrap();
        assert_eq!(setting.get(&change), Some(value.clone()), "{name}");
        assert_eq!(change.values().count(), 1, "{name}");
        let policy = Policy::default().with(&change);
        assert_eq!(setting.in_force(&policy), value, "{name}");
        assert_eq!(PolicyChange::default().or(change.clone()), change, "{name}");
        for other in POLICY_SETTINGS.iter().filter(|other| other.name != name) {
            let default = other.in_force(&Policy::default());
            assert_eq!(other.in_force(&policy), default, "{name}");
        }
    }
}

#[test]
fn variable_and_option_of_a_setting_follow_from_its_name() {
    for setting in POLICY_SETTINGS {
        let name = match setting.name.strip_suffix("_s") {
            Some(name) => format!("{name}_seconds"),
            None => setting.name.to_owned(),
        };
        assert_eq!(
            setting.variable,
            format!("SPILLWAY_{}", name.to_uppercase())
        );
    }
}
