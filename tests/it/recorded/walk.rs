//! Every message again with additions of a newer service: an unknown member in every object, an unknown event
//! after every event, and an unknown value in every enumeration. The known parts must still reach the client.

use serde_json::{Map, Value, json};

use super::answers::replayed;
use super::{BedrockOnly, Operation, cases, conclude, id};

/// Members whose objects are unions, which have exactly one member.
const UNIONS: [&str; 7] = [
    "start",
    "delta",
    "location",
    "output",
    "reasoningContent",
    "source",
    "guardContent",
];

/// Members whose elements are unions.
const UNION_LISTS: [&str; 3] = ["content", "sourceContent", "toolResult"];

/// Members whose value is of an enumeration.
const WORDS: [&str; 8] = [
    "type",
    "stopReason",
    "stop_reason",
    "status",
    "role",
    "ttl",
    "service_tier",
    "latency",
];

/// The input of tools, which has no schema in the API.
const OPAQUE: [&str; 5] = [
    "input",
    "json",
    "partial_json",
    "additionalModelResponseFields",
    "trace",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Object {
    Structure,
    Union,
}

/// Adds a member to every object of this kind.
fn with_members(value: &mut Value, kind: Object, this: Object, name: &str) {
    match value {
        Value::Array(list) => {
            let element = if UNION_LISTS.contains(&name) {
                Object::Union
            } else {
                Object::Structure
            };
            for value in list {
                with_members(value, kind, element, "");
            }
        }
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                if !OPAQUE.contains(&name.as_str()) {
                    let is_union = UNIONS.contains(&name.as_str());
                    let below = if is_union {
                        Object::Union
                    } else {
                        Object::Structure
                    };
                    with_members(value, kind, below, name);
                }
            }
            if this == kind {
                members.insert("addedLater".to_owned(), json!({"deep": [1, null]}));
            }
        }
        _ => {}
    }
}

/// The message with an added member in every object of this kind. Anthropic's objects are all structures.
fn with_unknown_members(operation: Operation, recorded: &Value, kind: Object) -> Option<Value> {
    let is_converse = matches!(operation, Operation::Converse | Operation::ConverseStream);
    if !is_converse && kind == Object::Union {
        return None;
    }
    let mut changed = recorded.clone();
    if operation == Operation::ConverseStream {
        for frame in changed.as_array_mut()? {
            with_members(&mut frame["payload"], kind, Object::Structure, "");
        }
    } else if is_converse {
        with_members(&mut changed, kind, Object::Structure, "");
    } else {
        with_every_member(&mut changed);
    }
    Some(changed)
}

fn with_every_member(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(with_every_member),
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                if !OPAQUE.contains(&name.as_str()) {
                    with_every_member(value);
                }
            }
            members.insert("added_later".to_owned(), json!({"deep": [1, null]}));
        }
        _ => {}
    }
}

fn with_unknown_events(operation: Operation, recorded: &Value) -> Option<Value> {
    let unknown = match operation {
        Operation::ConverseStream => json!({"type": "addedLater", "payload": {"deep": [1]}}),
        Operation::InvokeModelWithResponseStream => json!({"type": "added_later", "deep": [1]}),
        Operation::Converse | Operation::InvokeModel => return None,
    };
    let frames = recorded.as_array()?.iter();
    // Nothing follows the last event of a stream.
    let mut frames: Vec<_> = frames
        .flat_map(|frame| [unknown.clone(), frame.clone()])
        .collect();
    if frames.first() == Some(&unknown) {
        frames.remove(0);
    }
    Some(frames.into())
}

/// The JSON pointers of every value of an enumeration.
fn words(value: &Value, at: &str, found: &mut Vec<String>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                words(value, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                let below = format!("{at}/{}", escaped(name));
                if WORDS.contains(&name.as_str()) && value.is_string() {
                    found.push(below);
                } else if !OPAQUE.contains(&name.as_str()) {
                    words(value, &below, found);
                }
            }
        }
        _ => {}
    }
}

/// Whether a value names the type of its object, which cannot be read without it.
fn is_the_kind_of_all(operation: Operation, pointer: &str) -> bool {
    let levels = pointer.matches('/').count();
    match operation {
        Operation::Converse => false,
        // The name of a frame; another test covers unknown ones.
        Operation::ConverseStream => levels == 2,
        Operation::InvokeModel => pointer == "/type",
        Operation::InvokeModelWithResponseStream => {
            levels == 2 || pointer.ends_with("/message/type")
        }
    }
}

/// The members that the change does not affect.
fn still_expected(expect: &Value, recorded: &Value, pointer: &str) -> Value {
    let mut expect = expect.clone();
    let members: &mut Map<String, Value> = expect.as_object_mut().unwrap();
    if pointer.ends_with("/stopReason") || pointer.ends_with("/stop_reason") {
        members.retain(|name, _| !name.starts_with("stop_"));
    }
    if pointer.contains("/stop_details/") {
        members.shift_remove("stop_details");
    }
    if pointer.ends_with("/ttl") {
        members.shift_remove("usage");
    }
    // An unknown kind of block, delta or citation: the others remain.
    let is_converse_tool = pointer.ends_with("/toolUse/type") || pointer.contains("toolResult");
    if pointer.ends_with("/type") && !is_converse_tool && !pointer.contains("serviceTier") {
        let kind = recorded.pointer(pointer).and_then(Value::as_str);
        let parts = ["content", "content_without_blank_text", "text", "citations"];
        members.retain(|name, _| !parts.contains(&name.as_str()) || kind.is_none());
    }
    // A server tool of an unknown type has the shape of a client's tool.
    let was_server_tool = recorded
        .pointer(pointer)
        .is_some_and(|it| it == "server_tool_use");
    if was_server_tool {
        members.retain(|name, _| name == "usage");
    }
    expect
}

async fn walk(operation: Operation) {
    // The judges would reject the additions.
    let bedrock = BedrockOnly::unjudged().await;
    let mut failures = Vec::new();
    let mut replays = 0;
    for case in cases("answers") {
        let Some(recorded) = case.get(operation.member()) else {
            continue;
        };
        let expect = &case["expect"];
        // Another test covers the case without the change.
        if replayed(&bedrock, operation, &case, recorded, expect)
            .await
            .is_err()
        {
            continue;
        }
        let changed = [
            (
                "members",
                with_unknown_members(operation, recorded, Object::Structure),
            ),
            (
                "union members",
                with_unknown_members(operation, recorded, Object::Union),
            ),
            ("events", with_unknown_events(operation, recorded)),
        ];
        for (what, changed) in changed {
            let Some(changed) = changed else { continue };
            replays += 1;
            let result = replayed(&bedrock, operation, &case, &changed, expect).await;
            if let Err(difference) = result {
                failures.push(format!("{}: with unknown {what}: {difference}", id(&case)));
            }
        }
        let mut pointers = Vec::new();
        words(recorded, "", &mut pointers);
        // JSON text without one of its deltas is not JSON.
        let is_json =
            |pointer: &String| recorded.pointer(pointer) == Some(&json!("input_json_delta"));
        pointers.retain(|it| !is_the_kind_of_all(operation, it) && !is_json(it));
        for pointer in pointers {
            let mut changed = recorded.clone();
            *changed.pointer_mut(&pointer).unwrap() = json!("added_later");
            let expect = still_expected(expect, recorded, &pointer);
            replays += 1;
            let result = replayed(&bedrock, operation, &case, &changed, &expect).await;
            if let Err(difference) = result {
                let what = format!("with an unknown word at {pointer}");
                failures.push(format!("{}: {what}: {difference}", id(&case)));
            }
        }
    }
    assert!(replays > 20, "{replays}");
    conclude(&failures);
}

#[tokio::test]
async fn unknown_parts_of_a_converse_answer_lose_nothing() {
    walk(Operation::Converse).await;
}

#[tokio::test]
async fn unknown_parts_of_a_converse_stream_lose_nothing() {
    walk(Operation::ConverseStream).await;
}

#[tokio::test]
async fn unknown_parts_of_an_invoke_answer_lose_nothing() {
    walk(Operation::InvokeModel).await;
}

#[tokio::test]
async fn unknown_parts_of_an_invoke_stream_lose_nothing() {
    walk(Operation::InvokeModelWithResponseStream).await;
}
