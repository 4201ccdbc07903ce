//! Whole streams as Bedrock frames them: `NAME.jsonl` (one event a line, in the form of the API
//! reference, padding included; made for these tests) becomes `NAME.sse`, byte for byte. The `.sse`
//! files are also the input of the external validators.

use std::path::Path;

use dialect::stream::{BlockStart, ConverseEvent, StreamTranslator};
use serde_json::{Map, Value};

use crate::notation::context;

fn translate(lines: &str) -> String {
    let mut translator = StreamTranslator::new("msg_bdrk_0199", "req_0199", context());
    let mut out = Vec::new();
    for line in lines.lines() {
        let event: Map<String, Value> = serde_json::from_str(line).unwrap();
        let (name, payload) = event.iter().next().unwrap();
        let payload = payload.to_string();
        let event = ConverseEvent::parse(name, payload.as_bytes()).unwrap();
        translator.push(event, &mut out);
    }
    translator.finish(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn fixture_streams_become_the_expected_bytes() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stream");
    let mut seen = 0;
    for entry in std::fs::read_dir(fixtures).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            let out = translate(&std::fs::read_to_string(&path).unwrap());
            let expected = std::fs::read_to_string(path.with_extension("sse")).unwrap_or_default();
            assert_eq!(out, expected, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 3, "the fixtures are found");
}

#[test]
fn malformed_event_is_an_error_and_unknown_event_is_not() {
    for (name, payload) in [
        ("contentBlockDelta", "{}"),
        ("contentBlockDelta", r#"{"contentBlockIndex":"0"}"#),
        ("contentBlockStart", "[]"),
        ("contentBlockStop", ""),
        ("messageStop", "{}"),
        ("metadata", "not JSON"),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"%%"}}}"#,
        ),
    ] {
        assert!(
            ConverseEvent::parse(name, payload.as_bytes()).is_err(),
            "{name} {payload}"
        );
    }
    assert_eq!(
        ConverseEvent::parse("somethingNew", b"not JSON"),
        Ok(ConverseEvent::Unknown)
    );
}

#[test]
fn tool_start_of_every_type_but_server_tool_use_is_a_client_call() {
    let call = BlockStart::ToolUse {
        id: "t1".into(),
        name: "Bash".into(),
    };
    for (r#type, expected) in [
        ("", &call),
        (r#","type":"tool_use""#, &call),
        (r#","type":"something_newer""#, &call),
        (r#","type":"server_tool_use""#, &BlockStart::ServerToolUse),
    ] {
        let json = format!(
            r#"{{"contentBlockIndex":0,"start":{{"toolUse":{{"name":"Bash","toolUseId":"t1"{type}}}}},"p":"ab"}}"#
        );
        let event = ConverseEvent::parse("contentBlockStart", json.as_bytes()).unwrap();
        let start = expected.clone();
        assert_eq!(
            event,
            ConverseEvent::BlockStart { index: 0, start },
            "{type}"
        );
    }
}
