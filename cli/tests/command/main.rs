//! The `spillway` command as a process: its output, its data, its shutdown, and its secrets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed, and names the place"
)]

mod first_start;
mod messages;
mod models_and_regions;
mod request_log;
mod running;
mod serving;

use std::io::{BufRead as _, BufReader, Read as _};

use serde_json::Value;

use crate::running::{BEDROCK_KEY, CREDENTIAL, complaint, spillway, up, verb, verb_json};

#[test]
fn the_first_start_makes_a_key_and_later_starts_find_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = up(&data, &["--demo"], &[]);
    let key = first.word("access_key").to_owned();
    assert_eq!(first.word("data"), data.to_str().unwrap());
    assert_eq!(
        first.word("anthropic_base_url"),
        format!("{}/ak/{key}", first.word("base_url"))
    );
    let ids = (
        first.word("user_id").to_owned(),
        first.word("key_id").to_owned(),
    );
    assert!(
        first
            .ask(&key, "hello")
            .contains("x-spillway-upstream: plan")
    );
    first.stop();

    let second = up(&data, &["--demo"], &[]);
    assert_eq!(second.ready["access_key"], Value::Null);
    assert_eq!(
        (
            second.word("user_id").to_owned(),
            second.word("key_id").to_owned()
        ),
        ids
    );
    assert!(
        second
            .ask(&key, "hello")
            .contains("x-spillway-upstream: plan")
    );
    second.stop();
}

#[test]
fn demo_falls_back_to_bedrock_after_its_plan_requests() {
    let folder = tempfile::tempdir().unwrap();
    let demo = up(folder.path(), &["--demo", "--demo-plan-requests", "1"], &[]);
    let key = demo.word("access_key");
    assert!(
        demo.ask(key, "hello")
            .contains("x-spillway-upstream: plan; reason=good\r\n")
    );
    let answer = demo.ask(key, "hello");
    assert!(
        answer.contains("x-spillway-upstream: bedrock; reason=usage_limit\r\n"),
        "{answer}"
    );
    assert!(answer.contains("event: message_stop"), "{answer}");
    demo.stop();
}

#[test]
fn open_breaker_is_shown_and_reset_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let arguments = [
        "--demo",
        "--demo-plan-requests",
        "0",
        "--breaker-max-open",
        "900",
    ];
    let first = up(data, &arguments, &[]);
    let (key, key_id) = (first.word("access_key"), first.word("key_id"));
    let limited = first.ask(key, "hello");
    assert!(
        limited.contains("bedrock; reason=usage_limit\r\n"),
        "{limited}"
    );
    let shown = verb_json(data, &["breaker", "show", key_id], "");
    let breaker = &shown["breakers"][0];
    assert_eq!(breaker["state"], "open", "{shown}");
    assert_eq!(breaker["because"], "usage_limit");
    let time = |name: &str| -> jiff::Timestamp { breaker[name].as_str().unwrap().parse().unwrap() };
    let open_for = time("until").duration_since(time("since"));
    assert_eq!(
        open_for.as_millis(),
        900_000,
        "no longer than the deployment's policy"
    );
    let key = key.to_owned();
    first.stop();

    let table = verb(data, &["breaker", "show"], "");
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.contains("open") && table.contains("usage_limit"),
        "{table}"
    );
    let second = up(data, &["--demo"], &[]);
    let denied = second.ask(&key, "hello");
    assert!(
        denied.contains("bedrock; reason=breaker_open; because=usage_limit"),
        "{denied}"
    );
    second.stop();

    let reset = verb_json(data, &["breaker", "reset", "--all"], "");
    assert_eq!(reset["breakers"][0]["state"], "open", "as it was: {reset}");
    let third = up(data, &["--demo"], &[]);
    let answer = third.ask(&key, "hello");
    assert!(
        answer.contains("x-spillway-upstream: plan; reason=good\r\n"),
        "{answer}"
    );
    third.stop();
}

#[test]
fn the_real_endpoints_are_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let started = up(folder.path(), &[], &[]);
    assert_eq!(started.word("plan_url"), "https://api.anthropic.com");
    assert_eq!(started.ready["demo"], Value::Null);
    assert_eq!(started.ready["bedrock_key"], Value::Null);
    started.stop();
}

#[test]
fn a_bedrock_key_in_the_environment_is_registered_with_its_region() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("AWS_BEARER_TOKEN_BEDROCK", BEDROCK_KEY),
        ("AWS_REGION", "eu-central-1"),
    ];
    let started = up(folder.path(), &[], &environment);
    let bedrock_key = &started.ready["bedrock_key"];
    assert_eq!(bedrock_key["bedrock_key_masked"], "ABSK…a2V5");
    assert_eq!(started.word("region"), "eu-central-1");
    started.stop();

    let mut wrong = spillway(&["up", "--listen", "127.0.0.1:0", "--memory"]);
    let output = wrong
        .env("AWS_BEARER_TOKEN_BEDROCK", "AKIAIOSFODNN7EXAMPLE")
        .output()
        .unwrap();
    let complaint = complaint(&output);
    assert!(
        complaint.contains("AWS_BEARER_TOKEN_BEDROCK: this is not a Bedrock API key"),
        "{complaint}"
    );
    assert!(!complaint.contains("AKIA"), "{complaint}");
}

#[test]
fn commands_work_through_the_running_process_and_on_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let running = up(data, &["--demo"], &[]);
    let user = verb_json(data, &["user", "create", "Ada", "--team", "engines"], "");
    let user_id = user["user_id"].as_str().unwrap();
    let issued = verb_json(data, &["key", "issue", user_id], "");
    let (key_id, key) = (
        issued["key_id"].as_str().unwrap(),
        issued["access_key"].as_str().unwrap(),
    );
    assert!(running.ask(key, "hello").starts_with("HTTP/1.1 200"));
    let bound = verb_json(
        data,
        &["bedrock-key", "set", key_id, "--region", "us-west-2"],
        BEDROCK_KEY,
    );
    assert_eq!(bound["region"], "us-west-2");
    assert_eq!(bound["bedrock_key"]["bedrock_key_masked"], "ABSK…a2V5");
    running.stop();

    let listed = verb_json(data, &["key", "list", "--user", user_id], "");
    assert_eq!(listed["keys"][0]["key_id"], *key_id);
    assert_eq!(listed["keys"][0]["bedrock"]["region"], "us-west-2");
    let users = verb_json(data, &["user", "list"], "");
    assert_eq!(users["users"][1]["name"], "Ada");
    let table = verb(data, &["key", "list"], "");
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.contains(key_id) && table.contains("ABSK…a2V5"),
        "{table}"
    );
    assert!(!table.contains(key), "{table}");

    verb_json(data, &["key", "revoke", key_id], "");
    let again = up(data, &["--demo"], &[]);
    assert!(again.ask(key, "hello").starts_with("HTTP/1.1 401"));
    again.stop();
}

#[test]
fn mistakes_are_reported_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let text = complaint(&verb(&data, &["user", "list"], ""));
    assert!(text.contains("there is no Spillway data in"), "{text}");

    let running = up(&data, &["--demo"], &[]);
    let text = complaint(
        &spillway(&["up", "--demo", "--listen", "127.0.0.1:0"])
            .args(["--data", data.to_str().unwrap()])
            .output()
            .unwrap(),
    );
    assert!(text.contains("is in use by another process"), "{text}");
    let key_id = running.word("key_id");
    let text = complaint(&verb(&data, &["bedrock-key", "set", key_id], "not-a-key"));
    assert!(text.contains("this is not a Bedrock API key"), "{text}");
    assert!(!text.contains("not-a-key"), "{text}");
    let text = complaint(&verb(&data, &["key", "revoke", "key_nothing"], ""));
    assert!(text.contains("there is no key key_nothing"), "{text}");
    running.stop();

    let text = complaint(
        &spillway(&["up", "--memory", "--listen", "0.0.0.0:0"])
            .output()
            .unwrap(),
    );
    assert!(text.contains("--allow-remote"), "{text}");
    let text = complaint(
        &spillway(&["up", "--memory", "--plan-url", "host"])
            .output()
            .unwrap(),
    );
    assert!(text.contains("--plan-url must be a URL"), "{text}");
    let text = complaint(
        &spillway(&["up", "--memory", "--breaker-lease", "1"])
            .output()
            .unwrap(),
    );
    let range = "breaker_lease_s must be a whole number from 5 to 900, not 1";
    assert!(text.contains(range), "{text}");
}

#[test]
fn a_signal_to_stop_lets_an_open_answer_finish() {
    let folder = tempfile::tempdir().unwrap();
    let running = up(folder.path(), &["--demo"], &[]);
    let prompt = r#"[[plan:{"step":"slow","events_ms":60}]] hello"#;
    let mut answer = BufReader::new(running.send(
        &format!("/ak/{}/v1/messages", running.word("access_key")),
        prompt,
    ));
    let mut text = String::new();
    while !text.contains("content_block_delta") {
        assert_ne!(answer.read_line(&mut text).unwrap(), 0, "{text}");
    }
    running.terminate();
    answer.read_to_string(&mut text).unwrap();
    assert!(text.contains("event: message_stop"), "{text}");
    running.printed();
}

#[test]
fn no_secret_is_ever_printed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let environment = [
        ("AWS_BEARER_TOKEN_BEDROCK", BEDROCK_KEY),
        ("RUST_LOG", "trace"),
    ];
    // Nothing listens at the discard port of this machine, so both upstreams fail.
    let arguments = ["--log-level", "debug", "--plan-url", "http://127.0.0.1:9"];
    let failing = up(data, &arguments, &environment);
    let key = failing.word("access_key").to_owned();
    assert!(
        failing
            .ask(&key, "prompt-canary")
            .starts_with("HTTP/1.1 502")
    );
    failing.ask(&format!("{key}x"), "prompt-canary");
    let mut printed = failing.stop();

    // The demo uses a separate folder.
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let demo = up(
        data,
        &[
            "--log-level",
            "debug",
            "--demo",
            "--demo-plan-requests",
            "1",
        ],
        &environment,
    );
    let demo_key = demo.word("access_key").to_owned();
    for marker in [
        "",
        "[[bedrock:cut]]",
        "[[bedrock:throttle]]",
        "[[bedrock:error]]",
        "[[bedrock:auth]]",
    ] {
        demo.ask(&demo_key, &format!("prompt-canary {marker}"));
    }
    let key_id = demo.word("key_id").to_owned();
    let set = verb(data, &["bedrock-key", "set", &key_id], BEDROCK_KEY);
    assert!(set.status.success());
    printed.push_str(&String::from_utf8(set.stdout).unwrap());
    printed.push_str(&String::from_utf8(set.stderr).unwrap());
    printed.push_str(&demo.stop());

    assert!(
        printed.contains("bedrock_auth_error"),
        "the log says what went on: {printed}"
    );
    for (what, secret) in [
        ("access key", key.as_str()),
        ("access key, without its prefix", &key[3..]),
        ("demo's access key", &demo_key[3..]),
        ("Bedrock key", BEDROCK_KEY),
        (
            "Bedrock key, its part after the account",
            &BEDROCK_KEY[24..],
        ),
        (
            "demo's Bedrock key",
            simulators::bedrock::DEMO_BEDROCK_API_KEY,
        ),
        ("client's credential", CREDENTIAL),
        ("prompt", "prompt-canary"),
    ] {
        assert!(
            !printed.contains(secret),
            "the {what} was printed: {printed}"
        );
    }
}
