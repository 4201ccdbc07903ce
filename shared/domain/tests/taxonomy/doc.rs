//! `docs/failure-taxonomy.md`: its tables are the ones that the fixtures and the policy make.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use domain::policy::{BreakerScope, FallbackClass, Policy, PolicyChange};

use crate::table::{PLAN_ANSWERED, rows};

/// A setting that is a number.
struct Setting {
    set: fn(u32) -> PolicyChange,
    get: fn(&Policy) -> u64,
    unit: Unit,
    meaning: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Failures,
    Seconds,
}

fn settings() -> [Setting; 7] {
    [
        Setting {
            set: |value| PolicyChange {
                breaker_failures: Some(value),
                ..PolicyChange::default()
            },
            get: |policy| policy.breaker.failures.into(),
            unit: Unit::Failures,
            meaning: "so many counted answers in a row open the breaker",
        },
        Setting {
            set: |value| PolicyChange {
                breaker_window_s: Some(value),
                ..PolicyChange::default()
            },
            get: |policy| policy.breaker.window.as_secs(),
            unit: Unit::Seconds,
            meaning: "when they come within this time",
        },
        Setting {
            set: |value| PolicyChange {
                breaker_open_s: Some(value),
                ..PolicyChange::default()
            },
            get: |policy| policy.breaker.open_for.as_secs(),
            unit: Unit::Seconds,
            meaning: "for so long, or until `retry-after` if that is later",
        },
        Setting {
            set: |value| PolicyChange {
                breaker_max_open_s: Some(value),
                ..PolicyChange::default()
            },
            get: |policy| policy.breaker.max_open.as_secs(),
            unit: Unit::Seconds,
            meaning: "but never longer than this until one request asks Plan again, whatever a setting or an answer says",
        },
        Setting {
            set: |value| PolicyChange {
                breaker_jitter_s: Some(value),
                ..PolicyChange::default()
            },
            get: |policy| policy.breaker.jitter.as_secs(),
            unit: Unit::Seconds,
            meaning: "up to so much is added, so that not all keys ask at the same moment",
        },
        Setting {
            set: |value| PolicyChange {
                breaker_lease_s: Some(value),
                ..PolicyChange::default()
            },
            get: |policy| policy.breaker.lease.as_secs(),
            unit: Unit::Seconds,
            meaning: "so long has that one request before another may ask",
        },
        Setting {
            set: |value| PolicyChange {
                session_stickiness_s: Some(value),
                ..PolicyChange::default()
            },
            get: |policy| policy.session_stickiness.as_secs(),
            unit: Unit::Seconds,
            meaning: "so long after its last forced answer a conversation stays on Bedrock although Plan is back, for the sake of its prompt cache; 0: not at all",
        },
    ]
}

/// `1800 (30 min)`.
fn readable(value: u64, unit: Unit) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match value {
        _ if unit == Unit::Failures => value.to_string(),
        _ if value > DAY && value.is_multiple_of(DAY) => format!("{value} ({} days)", value / DAY),
        3600.. if value.is_multiple_of(3600) => format!("{value} ({} h)", value / 3600),
        60.. if value.is_multiple_of(60) => format!("{value} ({} min)", value / 60),
        _ => value.to_string(),
    }
}

fn word_of(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => panic!("{other:?} is no word"),
    }
}

fn verdict_table() -> String {
    let mut table = "| # | Plan answered | Verdict | This request | Breaker |\n\
                     |---|---|---|---|---|\n"
        .to_owned();
    for ((number, row), answered) in rows().into_iter().zip(PLAN_ANSWERED) {
        let [verdict, request, breaker] = row.cells();
        let _ = writeln!(
            table,
            "| {number} | {answered} | {verdict} | {request} | {breaker} |"
        );
    }
    table
}

fn settings_table() -> String {
    let list = |classes: &mut dyn Iterator<Item = FallbackClass>| {
        classes
            .map(|class| format!("`{class}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let default = Policy::default();
    let mut table = "| Setting | Default | Range | Meaning |\n|---|---|---|---|\n".to_owned();
    let _ = writeln!(
        table,
        "| `fallback_on` | {} | {} | the verdicts that fall back |",
        list(&mut default.fallback_on.iter().copied()),
        list(&mut FallbackClass::ALL.into_iter()),
    );
    for Setting {
        set,
        get,
        unit,
        meaning,
    } in settings()
    {
        let range = set(u32::MAX)
            .checked()
            .expect_err("no setting has this range");
        let number = |value: u32| readable(value.into(), unit);
        let _ = writeln!(
            table,
            "| `{}` | {} | {} to {} | {meaning} |",
            range.name,
            readable(get(&default), unit),
            number(range.least),
            number(range.most),
        );
    }
    let _ = writeln!(
        table,
        "| `breaker_scope` | `{}` | `{}`, `{}` | where `overloaded` and `broken` count: in the breaker of \
         the access key that met them, or in one for all keys |",
        word_of(default.breaker.scope),
        word_of(BreakerScope::Key),
        word_of(BreakerScope::Deployment),
    );
    table
}

/// What stands between the two comments that mark a table.
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
fn the_table_of_verdicts_in_the_doc_is_the_one_of_the_fixtures() {
    assert_doc_has("verdicts", &verdict_table());
}

#[test]
fn the_table_of_settings_in_the_doc_is_the_one_of_the_policy() {
    assert_doc_has("settings", &settings_table());
}

#[test]
fn the_table_of_settings_has_all_of_them_and_each_is_what_it_is_named_for() {
    let mut named = BTreeSet::from(["fallback_on".to_owned(), "breaker_scope".to_owned()]);
    let mut all = PolicyChange {
        fallback_on: Some(BTreeSet::new()),
        breaker_scope: Some(BreakerScope::Key),
        ..PolicyChange::default()
    };
    for Setting { set, get, .. } in settings() {
        let refused = set(u32::MAX)
            .checked()
            .expect_err("no setting has this range");
        assert_eq!(
            get(&Policy::default().with(&set(77))),
            77,
            "{}",
            refused.name
        );
        assert!(
            named.insert(refused.name.to_owned()),
            "{} twice",
            refused.name
        );
        all = all.or(set(77));
    }
    let fields = serde_json::to_value(&all).expect("JSON");
    let fields: BTreeSet<String> = fields
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect();
    assert_eq!(named, fields);
    // A field that is left out above would be missing on both sides.
    let PolicyChange {
        fallback_on: Some(_),
        breaker_failures: Some(_),
        breaker_window_s: Some(_),
        breaker_open_s: Some(_),
        breaker_max_open_s: Some(_),
        breaker_jitter_s: Some(_),
        breaker_lease_s: Some(_),
        breaker_scope: Some(_),
        session_stickiness_s: Some(_),
    } = all
    else {
        panic!("a setting is not in the table: {all:?}");
    };
}
