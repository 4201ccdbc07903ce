//! Responses and shutdown of `spillway up`, and its access by other commands.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use crate::running::{spillway, up, verb, verb_json};

/// Arguments, environment, and the beginning of the response.
type Case<'a> = (&'a [&'a str], [(&'a str, &'a str); 1], &'a str);

#[test]
fn an_unknown_key_is_answered_with_401_unless_set_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let variable = [("SPILLWAY_UNKNOWN_KEY_STATUS", "404")];
    let nothing = [("A", "b")];
    let cases: [Case<'_>; 4] = [
        (&[], nothing, "HTTP/1.1 401"),
        (&["--unknown-key-status", "404"], nothing, "HTTP/1.1 404"),
        (&[], variable, "HTTP/1.1 404"),
        (&["--unknown-key-status", "401"], variable, "HTTP/1.1 401"),
    ];
    for (arguments, environment, expected) in cases {
        let arguments = [&["--demo"], arguments].concat();
        let running = up(folder.path(), &arguments, &environment);
        let answer = running.ask("ak_wrong", "hello");
        assert!(answer.starts_with(expected), "{answer}");
        assert!(answer.contains("x-should-retry: false"), "{answer}");
        running.stop();
    }
}

#[test]
fn base_url_that_ends_in_v1_still_allows_the_fallback() {
    let folder = tempfile::tempdir().unwrap();
    let running = up(folder.path(), &["--demo", "--demo-plan-requests", "0"], &[]);
    let path = format!("/ak/{}/v1/v1/messages", running.word("access_key"));
    let answer = running.ask_at(&path, "hello");
    assert!(
        answer.contains("x-spillway-upstream: bedrock; reason=usage_limit\r\n"),
        "{answer}"
    );
    running.stop();
}

#[test]
fn a_hangup_lets_an_open_answer_finish() {
    let folder = tempfile::tempdir().unwrap();
    let running = up(folder.path(), &["--demo"], &[]);
    let prompt = r#"[[plan:{"step":"slow","events_ms":60}]] hello"#;
    let path = format!("/ak/{}/v1/messages", running.word("access_key"));
    let mut answer = BufReader::new(running.send(&path, prompt));
    let mut text = String::new();
    while !text.contains("content_block_delta") {
        assert_ne!(answer.read_line(&mut text).unwrap(), 0, "{text}");
    }
    running.signal("-HUP");
    answer.read_to_string(&mut text).unwrap();
    assert!(text.contains("event: message_stop"), "{text}");
    running.printed();
}

#[test]
fn commands_reach_a_running_process_whose_folder_has_a_long_path() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("a".repeat(100)).join("b".repeat(100));
    let running = up(&data, &["--demo"], &[]);
    let user = verb_json(&data, &["user", "create", "Ada"], "");
    let issued = verb_json(
        &data,
        &["key", "issue", user["user_id"].as_str().unwrap()],
        "",
    );
    let key = issued["access_key"].as_str().unwrap();
    assert!(running.ask(key, "hello").starts_with("HTTP/1.1 200"));
    assert_eq!(running.stop().matches("WARN").count(), 0);
}

#[test]
fn commands_on_one_folder_at_once_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    up(folder.path(), &["--demo"], &[]).stop();
    let several: Vec<_> = (0..6)
        .map(|_| {
            let mut command = spillway(&["key", "list"]);
            command.arg("--data").arg(folder.path());
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for process in several {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a_team_and_a_description_are_short_and_printable() {
    let folder = tempfile::tempdir().unwrap();
    up(folder.path(), &["--demo"], &[]).stop();
    let long = "x".repeat(65);
    let longer = "x".repeat(501);
    for wrong in [
        ["--team", &long],
        ["--team", "red\u{1b}[31m"],
        ["--team", " "],
        ["--description", &longer],
        ["--description", "a\nb"],
    ] {
        let arguments = [&["user", "create", "Ada"], wrong.as_slice()].concat();
        let output = verb(folder.path(), &arguments, "");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("printable characters"), "{wrong:?}: {text}");
    }
    let team = "x".repeat(64);
    let arguments = ["user", "create", "Ada", "--team", &team];
    assert_eq!(verb_json(folder.path(), &arguments, "")["team"], team);
}
