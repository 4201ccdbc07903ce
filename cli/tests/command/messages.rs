//! The texts and JSON of the command: next steps, errors, names and times.

use serde_json::Value;

use crate::running::{BEDROCK_KEY, spillway, up, verb, verb_json, with_input};

#[test]
fn next_command_can_be_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("with space");
    let running = up(&data, &["--demo"], &[]);
    let next = |printed: &[u8]| {
        let printed = String::from_utf8(printed.to_vec()).unwrap();
        let line = printed.lines().find_map(|line| line.strip_prefix("Next: "));
        line.unwrap_or_else(|| panic!("{printed}")).to_owned()
    };
    let paste = |line: &str, input: &str| {
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", line])
            .env_clear()
            .env("PATH", "/usr/bin:/bin");
        let output = with_input(shell, input);
        assert!(output.status.success(), "{line}: {output:?}");
        output.stdout
    };
    let created = verb(&data, &["user", "create", "Ada"], "").stdout;
    let issued = paste(&next(&created), "");
    let text = String::from_utf8(issued.clone()).unwrap();
    let url = format!("ANTHROPIC_BASE_URL={}/ak/ak_", running.word("base_url"));
    assert!(text.contains(&url), "{text}");
    let registered = paste(&next(&issued), BEDROCK_KEY);
    let text = String::from_utf8(registered).unwrap();
    assert!(text.contains("Registered Bedrock API key"), "{text}");
    running.stop();
}

#[test]
fn an_error_is_json_when_json_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("nothing");
    let arguments: [&[&str]; 4] = [
        &["user", "list", "--output", "json"],
        &["up", "--output=json", "--plan-url", "host"],
        &["user", "list", "--output", "json", "--no-such-argument"],
        &["key", "revoke", "not-an-id", "--output", "json"],
    ];
    for arguments in arguments {
        let output = verb(&data, arguments, "");
        assert!(!output.status.success());
        assert!(output.stdout.is_empty(), "{output:?}");
        let error: Value = serde_json::from_slice(&output.stderr)
            .unwrap_or_else(|_| panic!("{arguments:?}: {output:?}"));
        let sentence = error["error"]["message"].as_str().unwrap();
        assert!(!sentence.is_empty() && !sentence.contains('\n'), "{error}");
    }
    let plain = spillway(&["user", "list", "--no-such-argument"])
        .output()
        .unwrap();
    let plain = String::from_utf8(plain.stderr).unwrap();
    assert!(plain.starts_with("error: "), "{plain}");
}

#[test]
fn names_and_times_are_the_same_in_every_result() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let arguments = ["--demo", "--demo-plan-requests", "0"];
    let running = up(data, &arguments, &[]);
    running.ask(running.word("access_key"), "hello");
    let created = verb_json(data, &["user", "create", "Ada"], "");
    let user_id = created["user_id"].as_str().unwrap();
    let issued = verb_json(data, &["key", "issue", user_id], "");
    let key_id = issued["key_id"].as_str().unwrap();
    let results = [
        running.ready.clone(),
        verb_json(data, &["user", "list"], ""),
        verb_json(data, &["bedrock-key", "set", key_id], BEDROCK_KEY),
        verb_json(data, &["key", "list"], ""),
        verb_json(data, &["breaker", "show"], ""),
        created.clone(),
        issued.clone(),
    ];
    let mut times = 0;
    for result in &results {
        check_names_and_times(result, &mut times);
    }
    assert!(times > 8, "{times}");
    assert!(
        created["bedrock"]["models"]["default"]["id"].is_string(),
        "{created}"
    );
    running.stop();
}

/// Every time is RFC 3339 in UTC, no user or key has a bare `id`, and `bedrock_key` is an object.
fn check_names_and_times(value: &Value, times: &mut usize) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                // The id of a Bedrock model is not an id of Spillway.
                assert!(
                    name != "id" || value.as_str().unwrap().contains("anthropic."),
                    "{fields:?}"
                );
                let is_time = name.ends_with("_at")
                    || name.ends_with("until")
                    || ["as_of", "since", "at"].contains(&name.as_str());
                if is_time && !value.is_null() {
                    let text = value.as_str().unwrap_or_else(|| panic!("{name}: {value}"));
                    assert!(text.ends_with('Z') && text.contains('T'), "{name}: {text}");
                    *times += 1;
                }
                if name == "bedrock_key" {
                    assert!(value.is_object() || value.is_null(), "{value}");
                }
                check_names_and_times(value, times);
            }
        }
        Value::Array(values) => {
            for value in values {
                check_names_and_times(value, times);
            }
        }
        _ => {}
    }
}
