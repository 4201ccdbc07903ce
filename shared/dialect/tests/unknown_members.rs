//! AWS adds members, variants and enum values to its responses without notice. An unknown one at
//! any place of a Converse response loses no known content.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its expectation does not hold"
)]

use dialect::ReplyContext;
use dialect::reply::converse_reply;
use dialect::stream::{ConverseEvent, StreamEnd, StreamTranslator};
use serde_json::{Map, Value, json};

fn context() -> ReplyContext {
    ReplyContext {
        requested_model: "claude-opus-5-5".to_owned(),
        document_titles: vec![Some("Handbook".to_owned())],
        ..ReplyContext::default()
    }
}

/// A response with every kind of block, in the shape of the API reference.
fn whole() -> Value {
    json!({
        "output": { "message": { "role": "assistant", "content": [
            { "reasoningContent": { "reasoningText": { "text": "Hm.", "signature": "c2ln" } } },
            { "reasoningContent": { "redactedContent": "UVVKRA==" } },
            { "citationsContent": {
                "content": [{ "text": "It grew." }],
                "citations": [{
                    "title": "document-1",
                    "sourceContent": [{ "text": "grew" }],
                    "location": { "documentChar": { "documentIndex": 0, "start": 1, "end": 5 } },
                }],
            } },
            { "text": "Reading." },
            { "toolUse": {
                "toolUseId": "t1", "name": "Read", "input": { "path": "a" }, "type": "tool_use",
            } },
        ] } },
        "stopReason": "tool_use",
        "usage": {
            "inputTokens": 3, "outputTokens": 2, "totalTokens": 17,
            "cacheReadInputTokens": 7, "cacheReadInputTokenCount": 7,
            "cacheWriteInputTokens": 5, "cacheWriteInputTokenCount": 5,
            "cacheDetails": [{ "ttl": "1h", "inputTokens": 4 }, { "ttl": "5m", "inputTokens": 1 }],
            "serverToolUsage": {},
        },
        "metrics": { "latencyMs": 9 },
        "additionalModelResponseFields": { "stop_sequence": null },
    })
}

/// The events of the same response.
fn events() -> Vec<Value> {
    let start = |index: i64, start: Value| json!({ "contentBlockStart": { "contentBlockIndex": index, "start": start } });
    let delta = |index: i64, delta: Value| json!({ "contentBlockDelta": { "contentBlockIndex": index, "delta": delta } });
    let stop = |index: i64| json!({ "contentBlockStop": { "contentBlockIndex": index } });
    let whole = whole();
    vec![
        json!({ "messageStart": { "role": "assistant" } }),
        delta(0, json!({ "reasoningContent": { "text": "Hm." } })),
        delta(0, json!({ "reasoningContent": { "signature": "c2ln" } })),
        stop(0),
        delta(
            1,
            json!({ "reasoningContent": { "redactedContent": "UVVKRA==" } }),
        ),
        stop(1),
        delta(
            2,
            json!({ "citation": whole["output"]["message"]["content"][2]["citationsContent"]["citations"][0] }),
        ),
        delta(2, json!({ "text": "It grew." })),
        stop(2),
        delta(3, json!({ "text": "Reading." })),
        stop(3),
        start(
            4,
            json!({ "toolUse": { "toolUseId": "t1", "name": "Read", "type": "tool_use" } }),
        ),
        delta(4, json!({ "toolUse": { "input": "" } })),
        delta(4, json!({ "toolUse": { "input": "{\"path\":\"a\"}" } })),
        stop(4),
        json!({ "messageStop": {
            "stopReason": "tool_use", "additionalModelResponseFields": { "stop_sequence": null },
        } }),
        json!({ "metadata": { "usage": whole["usage"], "metrics": { "latencyMs": 9 } } }),
    ]
}

fn reply(answer: &Value) -> Value {
    let reply = converse_reply(answer.to_string().as_bytes(), "msg_test", &context());
    let reply = reply.unwrap_or_else(|broken| panic!("{broken}: {answer}"));
    serde_json::from_slice(&reply.body).unwrap()
}

fn stream(events: &[Value]) -> String {
    let mut translator = StreamTranslator::new("msg_test", "req_test", context());
    let mut out = Vec::new();
    for event in events {
        let (name, payload) = event.as_object().unwrap().iter().next().unwrap();
        let payload = payload.to_string();
        let event = ConverseEvent::parse(name, payload.as_bytes());
        let event = event.unwrap_or_else(|broken| panic!("{broken}: {name} {payload}"));
        translator.push(event, &mut out);
    }
    translator.finish(&mut out);
    assert_eq!(translator.end(), Some(StreamEnd::Complete));
    String::from_utf8(out).unwrap()
}

/// Pointers to all objects below and with a value.
fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.push(at.to_owned());
            for (name, member) in members {
                objects(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                objects(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// The value once for each of its objects, with a new member before and after the others.
fn with_new_members(value: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    objects(value, "", &mut places);
    let change = |place: String| {
        let mut changed = value.clone();
        let object = changed
            .pointer_mut(&place)
            .unwrap()
            .as_object_mut()
            .unwrap();
        let mut members = Map::new();
        members.insert(
            "newFirst".into(),
            json!({ "newMember": [1, { "text": "no" }] }),
        );
        members.append(object);
        members.insert("newLast".into(), json!("new"));
        *object = members;
        (place, changed)
    };
    places.into_iter().map(change).collect()
}

#[test]
fn unknown_member_loses_no_content_of_a_whole_response() {
    let expected = reply(&whole());
    let changed = with_new_members(&whole());
    assert!(changed.len() > 20);
    for (place, answer) in changed {
        // The arguments of a tool call are the client's.
        if !place.contains("/toolUse/input") {
            assert_eq!(reply(&answer), expected, "{place}");
        }
    }
}

#[test]
fn unknown_member_loses_no_content_of_a_stream() {
    let expected = stream(&events());
    for at in 0..events().len() {
        for (place, event) in with_new_members(&events()[at]) {
            // An event has one name.
            if !place.is_empty() {
                let mut changed = events();
                changed[at] = event;
                assert_eq!(stream(&changed), expected, "{place}");
            }
        }
    }
}

#[test]
fn unknown_enum_value_loses_no_content() {
    for (place, expected) in [
        ("/output/message/role", reply(&whole())),
        ("/output/message/content/4/toolUse/type", reply(&whole())),
        ("/stopReason", reply(&whole())),
    ] {
        let mut answer = whole();
        *answer.pointer_mut(place).unwrap() = json!("something_new");
        assert_eq!(reply(&answer), expected, "{place}");
    }
    let mut answer = whole();
    answer["usage"]["cacheDetails"][0]["ttl"] = json!("2h");
    assert_eq!(reply(&answer)["content"], reply(&whole())["content"]);

    let expected = stream(&events());
    for (at, place) in [
        (0, "/messageStart/role"),
        (11, "/contentBlockStart/start/toolUse/type"),
        (15, "/messageStop/stopReason"),
    ] {
        let mut changed = events();
        *changed[at].pointer_mut(place).unwrap() = json!("something_new");
        assert_eq!(stream(&changed), expected, "{place}");
    }
}

#[test]
fn unknown_variant_alone_is_left_out_and_recorded() {
    let mut answer = whole();
    let content = answer["output"]["message"]["content"]
        .as_array_mut()
        .unwrap();
    content.insert(3, json!({ "newBlock": { "text": "no" } }));
    content.insert(0, json!({}));
    let reply_with = converse_reply(answer.to_string().as_bytes(), "msg_test", &context()).unwrap();
    let losses: Vec<_> = reply_with.losses.iter().collect();
    assert_eq!(losses, ["reply:content_block"]);
    assert_eq!(reply(&answer), reply(&whole()));

    let new = [
        json!({ "newEvent": { "x": 1 } }),
        json!({ "contentBlockStart": { "contentBlockIndex": 9, "start": { "newStart": {} } } }),
        json!({ "contentBlockDelta": { "contentBlockIndex": 9, "delta": { "newDelta": {} } } }),
        json!({ "contentBlockDelta": { "contentBlockIndex": 9, "delta": { "reasoningContent": { "new": 1 } } } }),
        json!({ "contentBlockDelta": { "contentBlockIndex": 9, "delta": { "toolUse": { "input": "{}" } } } }),
        json!({ "contentBlockStop": { "contentBlockIndex": 9 } }),
    ];
    let mut changed = events();
    changed.splice(9..9, new);
    assert_eq!(stream(&changed), stream(&events()));
}

#[test]
fn empty_union_in_a_stream_is_ignored() {
    let mut changed = events();
    let empty = [
        json!({ "contentBlockStart": { "contentBlockIndex": 3, "start": {} } }),
        json!({ "contentBlockDelta": { "contentBlockIndex": 3, "delta": {} } }),
        json!({ "contentBlockDelta": { "contentBlockIndex": 3, "delta": null } }),
        json!({ "contentBlockDelta": { "contentBlockIndex": 3 } }),
        json!({ "contentBlockDelta": { "contentBlockIndex": 3, "delta": { "toolUse": {} } } }),
    ];
    changed.splice(9..9, empty);
    assert_eq!(stream(&changed), stream(&events()));
}
