//! Checks that every member and variant of Bedrock's responses has a case, and every cause of an error.

use std::collections::BTreeSet;

use serde_json::Value;

use super::cases;

const ANSWERS: [&str; 5] = [
    "answers/citations",
    "answers/text_and_others",
    "answers/thinking",
    "answers/tools",
    "answers/usage_and_stop_reasons",
];

/// The shapes of AWS's own model of the API.
fn model() -> Value {
    let text = include_str!("../../recorded/converse_shapes.json");
    serde_json::from_str(text).unwrap()
}

/// Records which members and values of `shape` are in `value`, and below it.
fn note(shapes: &Value, shape: &str, value: &Value, seen: &mut BTreeSet<String>) {
    if let Some(list) = value.as_array() {
        for value in list {
            note(shapes, shape, value, seen);
        }
        return;
    }
    if let Some(word) = value.as_str() {
        seen.insert(format!("{shape}={word}"));
        return;
    }
    let Some(members) = shapes[shape].as_object() else {
        return;
    };
    for (member, below) in members {
        let Some(value) = value.get(member) else {
            continue;
        };
        seen.insert(format!("{shape}.{member}"));
        if let Some(below) = below.as_str() {
            note(shapes, below, value, seen);
        }
    }
}

#[test]
fn every_member_and_variant_of_a_converse_answer_has_a_case() {
    let model = model();
    let shapes = &model["shapes"];
    let mut seen = BTreeSet::new();
    for case in ANSWERS.into_iter().flat_map(cases) {
        note(shapes, "ConverseResponse", &case["converse"], &mut seen);
        for frame in case["converse_stream"].as_array().into_iter().flatten() {
            let event = Value::Object(
                [(
                    frame["type"].as_str().unwrap().to_owned(),
                    frame["payload"].clone(),
                )]
                .into_iter()
                .collect(),
            );
            note(shapes, "ConverseStreamOutput", &event, &mut seen);
        }
    }
    for case in cases("errors") {
        for frame in case["frames"]["converse_stream"]
            .as_array()
            .into_iter()
            .flatten()
        {
            seen.insert(format!(
                "ConverseStreamOutput.{}",
                frame["type"].as_str().unwrap()
            ));
            let stop = &frame["payload"]["stopReason"];
            note(shapes, "StopReason", stop, &mut seen);
        }
    }
    let all = shapes.as_object().unwrap().iter();
    let all = all.flat_map(|(shape, members)| -> Vec<String> {
        let name = |member: &String| format!("{shape}.{member}");
        match members {
            Value::Object(members) => members.keys().map(name).collect(),
            Value::Array(values) => {
                let values = values.iter().filter_map(Value::as_str);
                values.map(|value| format!("{shape}={value}")).collect()
            }
            _ => panic!("{shape}"),
        }
    });
    // The role of a response is always `assistant`.
    let missing: Vec<_> = all
        .filter(|name| name != "ConversationRole=user" && !seen.contains(name))
        .collect();
    assert!(missing.is_empty(), "no case has {missing:?}");
}

/// The names are read from the source, because the product has no list of them.
#[test]
fn every_cause_of_an_error_has_a_case() {
    let source = include_str!("../../../shared/dialect/src/error/cause.rs");
    let (_, names) = source.split_once("impl Cause {").unwrap();
    let (names, _) = names.split_once("pub fn class(").unwrap();
    let arms = names
        .lines()
        .filter_map(|line| line.trim().split_once(" => \""));
    let causes: BTreeSet<_> = arms
        .filter_map(|(variant, name)| variant.starts_with("Self::").then_some(name))
        .filter_map(|name| name.strip_suffix("\","))
        .collect();
    assert!(
        causes.len() >= 19 && causes.contains("refused"),
        "{causes:?}"
    );
    let errors = cases("errors");
    let covered: BTreeSet<_> = errors
        .iter()
        .map(|case| case["cause"].as_str().unwrap())
        .collect();
    let missing: Vec<_> = causes.difference(&covered).collect();
    assert!(missing.is_empty(), "no case has {missing:?}");
    let classes: BTreeSet<_> = errors
        .iter()
        .filter_map(|case| case["expect"]["class"].as_str())
        .collect();
    let (_, arms) = source.split_once("impl Class {").unwrap();
    for class in arms.split('"').filter(|word| word.starts_with("bedrock_")) {
        assert!(classes.contains(class), "no case has {class}");
    }
}
