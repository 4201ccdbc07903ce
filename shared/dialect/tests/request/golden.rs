//! Recorded requests of the real client, for targets of three generations.

use dialect::UnsupportedFeatures;
use dialect::request::{MessagesRequest, Operation, RequestLabels, translate};
use domain::bedrock::Dialect;
use insta::assert_snapshot;
use serde_json::Value;

use crate::translation::{
    OPUS_4_6, OPUS_5_5, SONNET_4_5, Translation, losses, outline, read, target,
    write_for_validators,
};

/// The Converse bodies of a fixture for the three targets, with their losses.
fn bodies(fixture: &str) -> String {
    let fixture: Value = serde_json::from_str(fixture).expect("a fixture is JSON");
    let betas = fixture["anthropic_beta"].as_str().expect("betas");
    let mut text = Vec::new();
    for model in [SONNET_4_5, OPUS_4_6, OPUS_5_5] {
        let translation = Translation {
            model,
            betas,
            ..Translation::default()
        };
        let translated = translation
            .translate_body(&fixture["body"])
            .expect("the client's own requests go through");
        assert_eq!(translated.operation, Operation::ConverseStream);
        assert_eq!(translated.model_id, model);
        let (body, lost) = (outline(&read(&translated)), losses(&translated));
        text.push(format!("== {model}\n{body}\ndropped: {lost}"));
    }
    text.join("\n")
}

macro_rules! fixture {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../fixtures/request/", $name, ".json")),
            include_str!(concat!("../fixtures/request/", $name, ".expected")),
        )
    };
}

/// The fixtures: name, request in the shape of the real client, expected Converse bodies.
const FIXTURES: &[(&str, &str, &str)] = &[
    fixture!("first_turn"),  // the first turn of a session
    fixture!("tool_loop"),   // a tool loop with thinking and parallel results
    fixture!("tool_search"), // a tool that was searched for
    fixture!("title"),       // a title in a json schema
    fixture!("compaction"),  // a compaction under safeguards
    fixture!("plan_login"),  // an hour of cache as a plan login asks for it
    fixture!("budget"),      // thinking with a budget
];

#[test]
fn request_of_the_client_becomes_its_expected_converse_bodies() {
    for (name, request, expected) in FIXTURES {
        assert_eq!(bodies(request), expected.trim_end(), "{name}");
    }
}

#[test]
fn converse_body_has_the_expected_bytes() {
    let (_, fixture, _) = fixture!("tool_search");
    let fixture: Value = serde_json::from_str(fixture).unwrap();
    let body = fixture["body"].to_string();
    let betas = fixture["anthropic_beta"].as_str().unwrap();
    let request = MessagesRequest::parse(body.as_bytes(), std::iter::once(betas)).unwrap();
    assert_eq!(
        (request.model(), request.stream(), request.max_tokens()),
        ("claude-opus-5-5", true, Some(128_000))
    );
    let labels = RequestLabels::new("ada", "req_1");
    let translated = translate(
        &request,
        &target(SONNET_4_5),
        Dialect::Converse,
        &UnsupportedFeatures::default(),
        &labels,
    )
    .unwrap();
    write_for_validators(&translated);
    let sent = String::from_utf8(translated.body).unwrap();
    assert_snapshot!(sent.replace("},{", "},\n{"), @r#"
    {"messages":[{"role":"user","content":[{"text":"Context."},
    {"text":"Do the thing"},
    {"text":"<system-reminder>\nThe state of the project.\n</system-reminder>"}]},
    {"role":"assistant","content":[{"toolUse":{"toolUseId":"toolu_1","name":"ToolSearch","input":{"query":"select:WebFetch","max_results":5}}}]},
    {"role":"user","content":[{"toolResult":{"toolUseId":"toolu_1","content":[{"text":"Tool loaded: WebFetch"}]}},
    {"text":"Tool loaded."},
    {"cachePoint":{"type":"default"}}]}],"system":[{"text":"You are an agent."},
    {"cachePoint":{"type":"default"}},
    {"text":"The rules."},
    {"cachePoint":{"type":"default"}}],"inferenceConfig":{"maxTokens":64000},"toolConfig":{"tools":[{"toolSpec":{"name":"ToolSearch","description":"ToolSearch does it.","inputSchema":{"json":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"z":{"type":"string"},"a":{"type":"number","exclusiveMinimum":0}},"additionalProperties":false}}}},
    {"toolSpec":{"name":"WebFetch","description":"WebFetch does it.","inputSchema":{"json":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"z":{"type":"string"},"a":{"type":"number","exclusiveMinimum":0}},"additionalProperties":false}}}}]},"additionalModelResponseFieldPaths":["/stop_sequence","/delta/stop_sequence"],"requestMetadata":{"spillway_user":"ada","spillway_request":"req_1"}}
    "#);
}
