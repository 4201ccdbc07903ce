//! `ConverseStream`: one case for each row and rule of the state machine.

use dialect::stream::StreamEnd;
use domain::usage::TokenUsage;
use insta::assert_snapshot;

use crate::notation::{context, render, run, translate};

/// The cases of `fixtures/stream/converse.cases`: a title after `#`, steps after `<`, and the client's events.
#[test]
fn steps_of_each_case_become_the_expected_events() {
    let cases = include_str!("../fixtures/stream/converse.cases");
    let mut number = 0;
    for case in cases.split("\n\n") {
        let mut lines = case.lines();
        let title = lines.next().unwrap();
        assert!(title.starts_with("# "), "{title}");
        let (steps, events): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("< "));
        let steps: Vec<_> = steps.iter().map(|line| &line[2..]).collect();
        assert_eq!(
            translate(&steps.join(" ")).trim_end(),
            events.join("\n"),
            "{title}"
        );
        number += 1;
    }
    assert_eq!(number, 12);
}

#[test]
fn message_start_has_zero_counts_and_message_delta_all_counts() {
    let (translator, out) = run(
        "messageStart; messageStop end_turn; metadata in=3 out=2 read=7 write=5 5m=4 1h=1",
        context(),
    );
    assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
    event: message_start
    data: {"type":"message_start","message":{"id":"msg_test","type":"message","role":"assistant","model":"claude-opus-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}

    event: ping
    data: {"type":"ping"}

    event: message_delta
    data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"output_tokens":2}}

    event: message_stop
    data: {"type":"message_stop"}
    "#);
    let expected = TokenUsage {
        input: Some(3),
        output: Some(2),
        cache_read: Some(7),
        cache_write: Some(5),
        cache_write_5m: Some(4),
        cache_write_1h: Some(1),
    };
    assert_eq!(translator.usage(), expected);
}

#[test]
fn missing_counts_are_none_in_the_ledger_and_zero_for_clients() {
    let (translator, out) = run(
        "messageStart; messageStop end_turn; metadata in=3 out=0",
        context(),
    );
    assert!(render(&out).contains("message_delta end_turn in=3 out=0 read=0 write=0"));
    let expected = TokenUsage {
        input: Some(3),
        output: Some(0),
        ..TokenUsage::default()
    };
    assert_eq!(translator.usage(), expected);
}

#[test]
fn cache_writes_are_the_sum_of_cache_details_when_missing() {
    let (translator, _) = run(
        "messageStart; messageStop end_turn; metadata in=3 out=1 5m=4 1h=2",
        context(),
    );
    assert_eq!(translator.usage().cache_write, Some(6));
}

#[test]
fn interleaved_blocks_without_stop_are_complete_at_the_end() {
    let shown = translate(
        "start 0 tool t0 Read; start 1 tool t1 Bash; delta 1 input {}; delta 0 input {\"a\":1};
         messageStop tool_use; metadata in=1 out=1",
    );
    let blocks = "content_block_start 0 tool_use t0 Read\n\
                  content_block_delta 0 input_json_delta {\"a\":1}\n\
                  content_block_stop 0\n\
                  content_block_start 1 tool_use t1 Bash\n\
                  content_block_delta 1 input_json_delta {}\n\
                  content_block_stop 1\n\
                  message_delta tool_use";
    assert!(shown.contains(blocks), "{shown}");
}

#[test]
fn tool_input_without_its_call_ends_the_stream_with_an_error() {
    for steps in [
        "start 0 tool t0 Read; delta 0 input {\"a\":1}; stop 0; delta 0 input {}",
        "start 0 tool t0 Read; delta 0 input {\"a\":1}; delta 0 text Hi; delta 0 input {}",
        "start 0 tool t0 Read; start 1 tool t1 Bash; stop 1; delta 1 input {}; stop 0",
        "delta 0 input {}",
    ] {
        let steps = format!("{steps}; messageStop tool_use; metadata in=1 out=1");
        let shown = translate(&steps);
        assert!(
            shown.ends_with("error overloaded_error req_test\n"),
            "{shown}"
        );
    }
}

#[test]
fn citation_before_or_after_its_text_is_written() {
    assert_snapshot!(translate("messageStart; start 0; delta 0 cite early; delta 0 text ; delta 0 text Said; delta 0 cite so; stop 0"), @r#"
    message_start msg_test claude-opus-5-5
    ping
    content_block_start 0 text []
    content_block_delta 0 citations_delta {"type":"page_location","cited_text":"early","document_index":0,"document_title":"Title of the client","file_id":null,"start_page_number":1,"end_page_number":2}
    content_block_delta 0 text_delta Said
    content_block_delta 0 citations_delta {"type":"page_location","cited_text":"so","document_index":0,"document_title":"Title of the client","file_id":null,"start_page_number":1,"end_page_number":2}
    content_block_stop 0
    "#);
    let (translator, out) = run(
        "messageStart; delta 0 cite lone; delta 0 text \\n; stop 0; delta 1 text Hi; stop 1",
        context(),
    );
    assert!(!render(&out).contains("citations_delta"));
    let losses: Vec<_> = translator.losses().iter().collect();
    assert_eq!(
        losses,
        ["reply:citation"],
        "text that is blank cannot be cited"
    );
}

#[test]
fn message_end_waits_for_metadata_until_the_end_of_the_stream() {
    assert_snapshot!(translate("messageStart; delta 0 text a; messageStop end_turn"), @"
    message_start msg_test claude-opus-5-5
    ping
    content_block_start 0 text
    content_block_delta 0 text_delta a
    content_block_stop 0
    ");
    for ending in ["end", "fail internalServerException"] {
        let steps = format!("messageStart; delta 0 text a; messageStop end_turn; {ending}");
        let (translator, out) = run(&steps, context());
        let shown = render(&out);
        assert!(
            shown.ends_with("message_delta end_turn in=0 out=0 read=0 write=0\nmessage_stop\n")
        );
        assert_eq!(translator.end(), Some(StreamEnd::Complete));
        assert_eq!(
            translator.usage(),
            TokenUsage::default(),
            "unknown, not zero"
        );
    }
}

#[test]
fn each_stop_reason_has_its_translation() {
    let table = [
        ("end_turn", "end_turn"),
        ("tool_use", "tool_use"),
        ("max_tokens", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        (
            "model_context_window_exceeded",
            "model_context_window_exceeded",
        ),
        ("content_filtered", "refusal"),
        ("guardrail_intervened", "refusal"),
        ("something_new", "end_turn"),
    ];
    for (bedrock, anthropic) in table {
        let (translator, out) = run(
            &format!("messageStart; messageStop {bedrock}; end"),
            context(),
        );
        assert!(
            render(&out).contains(&format!("message_delta {anthropic} ")),
            "{bedrock}"
        );
        assert_eq!(translator.stop_reason(), Some(anthropic));
        let is_new = bedrock == "something_new";
        assert_eq!(
            translator
                .losses()
                .iter()
                .any(|loss| loss == "reply:stop_reason"),
            is_new
        );
    }
}

#[test]
fn malformed_output_ends_the_stream_with_an_error() {
    for reason in ["malformed_model_output", "malformed_tool_use"] {
        let steps = format!(
            "messageStart; start 0 tool t1 Read; delta 0 input {{\"pa; messageStop {reason}; metadata in=1 out=1"
        );
        let (translator, out) = run(&steps, context());
        assert!(
            render(&out).ends_with("input_json_delta {\"pa\nerror overloaded_error req_test\n")
        );
        assert_eq!(translator.end(), Some(StreamEnd::Failed));
        assert_eq!(
            translator.usage().output,
            Some(1),
            "it cost something all the same"
        );
    }
}

#[test]
fn stop_sequence_is_written_only_with_its_stop_reason() {
    let expected = translate("messageStart; messageStop stop_sequence END; metadata in=1 out=1");
    assert!(
        expected.contains("message_delta stop_sequence in=1 out=1 read=0 write=0 sequence=END\n")
    );
    let other = translate("messageStart; messageStop end_turn END; metadata in=1 out=1");
    assert!(!other.contains("END"));
}

#[test]
fn unsupported_content_is_left_out_and_recorded_as_a_loss() {
    let (translator, out) = run(
        "messageStart; start 0 server_tool; delta 0 input {}; stop 0; delta 1 other; stop 1;
         unknown; delta 2 text Hi; stop 2; messageStop end_turn; metadata in=1 out=1",
        context(),
    );
    assert_snapshot!(render(&out), @"
    message_start msg_test claude-opus-5-5
    ping
    content_block_start 0 text
    content_block_delta 0 text_delta Hi
    content_block_stop 0
    message_delta end_turn in=1 out=1 read=0 write=0
    message_stop
    ");
    let losses: Vec<_> = translator.losses().iter().collect();
    assert_eq!(
        losses,
        [
            "reply:server_tool_use",
            "reply:content_block",
            "reply:event"
        ]
    );
}

#[test]
fn changed_tool_name_is_restored_in_the_stream() {
    let mut context = context();
    let original = "mcp__a_server_with_a_long_name__and_a_tool_with_an_even_longer_one";
    context.renamed_tools = vec![("mcp__a_server_x".to_owned(), original.to_owned())];
    let (_, out) = run(
        "start 0 tool t1 mcp__a_server_x; stop 0; start 1 tool t2 Read; stop 1",
        context,
    );
    let shown = render(&out);
    assert!(shown.contains(&format!("content_block_start 0 tool_use t1 {original}\n")));
    assert!(shown.contains("content_block_start 1 tool_use t2 Read\n"));
}

#[test]
fn requested_safeguards_are_reported_as_unavailable() {
    let mut context = context();
    context.safeguards_requested = true;
    let (_, out) = run(
        "messageStart; messageStop end_turn; metadata in=1 out=1",
        context,
    );
    assert!(render(&out).contains(
        r#" safeguards=[{"type":"dangerous_tool_use","status":{"type":"unavailable","reason":"disabled"}}]"#
    ));
}

#[test]
fn broken_stream_ends_with_an_error_that_claude_code_resumes_from() {
    for ending in [
        "end",
        "fail throttlingException",
        "fail modelStreamErrorException",
        "fail x",
    ] {
        let steps = format!("messageStart; delta 0 text Hi; {ending}; delta 0 text late; end");
        let shown = translate(&steps);
        let (_, ended) = shown.split_once("text_delta Hi\n").unwrap();
        assert_eq!(
            ended, "error overloaded_error req_test\n",
            "the block stays open: {ending}"
        );
    }
}

#[test]
fn stream_has_content_with_its_first_block() {
    for (steps, has_content) in [
        ("", false),
        ("ping; messageStart", false),
        ("messageStart; start 0; delta 0 text \\n", false),
        ("messageStart; delta 0 text Hi", true),
        ("messageStart; start 0 tool t1 Read", true),
        ("messageStart; end", false),
        ("messageStart; messageStop end_turn; end", true),
    ] {
        assert_eq!(
            run(steps, context()).0.has_content(),
            has_content,
            "{steps}"
        );
    }
}
