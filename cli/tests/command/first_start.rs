//! The first start and the demo: creation, registration and rejected settings.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::running::{
    BEDROCK_KEY, complaint, ended, failing_up, spillway, start, up, verb_json, with_input,
};

const OTHER_BEDROCK_KEY: &str = "ABSKY2FuYXJ5LWF0LTAwMDAwMDAwMDAwMDphbm90aGVyLWtleQ";
/// A short-term key of eu-central-1 that ended on the first day of 2025.
const EXPIRED_BEDROCK_KEY: &str = "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29tLz9BY3Rpb249Q2FsbFdp\
    dGhCZWFyZXJUb2tlbiZYLUFtei1BbGdvcml0aG09QVdTNC1ITUFDLVNIQTI1NiZYLUFtei1DcmVkZW50aWFsPUFLSURF\
    WEFNUExFJTJGMjAyNTAxMDElMkZldS1jZW50cmFsLTElMkZiZWRyb2NrJTJGYXdzNF9yZXF1ZXN0JlgtQW16LURhdGU9\
    MjAyNTAxMDFUMDAwMDAwWiZYLUFtei1FeHBpcmVzPTQzMjAwJlgtQW16LVNpZ25hdHVyZT0wMCZWZXJzaW9uPTE=";

fn with_token(token: &str) -> [(&str, &str); 2] {
    [
        ("AWS_BEARER_TOKEN_BEDROCK", token),
        ("AWS_REGION", "eu-central-1"),
    ]
}

#[test]
fn demo_keeps_its_key_in_a_folder_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let environment = [("HOME", home.path().to_str().unwrap())];
    let first = start(&["--demo"], &environment);
    let folder = home.path().join(".local/share/spillway-demo");
    assert_eq!(first.word("data"), folder.to_str().unwrap());
    let key = first.word("access_key").to_owned();
    let list = || {
        let mut command = spillway(&["key", "list", "--demo", "--output", "json"]);
        command.envs(environment);
        let output = with_input(command, "");
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(list()["keys"][0]["key_id"], first.ready["key_id"]);
    first.stop();

    assert_eq!(list()["keys"].as_array().unwrap().len(), 1);
    let second = start(&["--demo"], &environment);
    assert_eq!(second.ready["access_key"], Value::Null);
    assert!(second.ask(&key, "hello").starts_with("HTTP/1.1 200"));
    second.stop();
    assert!(!home.path().join(".local/share/spillway").exists());
}

#[test]
fn demo_is_refused_on_a_folder_with_real_data_and_the_reverse() {
    let folder = tempfile::tempdir().unwrap();
    let (real, demo) = (folder.path().join("real"), folder.path().join("demo"));
    let started = up(&real, &[], &with_token(BEDROCK_KEY));
    let mask = started.ready["bedrock_key"].clone();
    started.stop();
    let text = failing_up(&real, &["--demo"], &[]);
    assert!(text.contains("real data"), "{text}");
    let again = up(&real, &[], &[]);
    assert_eq!(again.ready["bedrock_key"], mask);
    again.stop();

    up(&demo, &["--demo"], &[]).stop();
    let text = failing_up(&demo, &[], &[]);
    assert!(text.contains("demo data"), "{text}");
}

#[test]
fn other_bedrock_key_does_not_replace_the_registered_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let first = up(data, &[], &with_token(BEDROCK_KEY));
    let registered = first.ready["bedrock_key"].clone();
    assert_eq!(first.notices(), "");
    first.stop();

    let second = up(data, &[], &with_token(OTHER_BEDROCK_KEY));
    assert_eq!(second.ready["bedrock_key"], registered);
    let notices = second.notices();
    let set = format!("bedrock-key set {}", second.word("key_id"));
    let other = format!("ABSK…{}", &OTHER_BEDROCK_KEY[OTHER_BEDROCK_KEY.len() - 4..]);
    for part in ["ABSK…a2V5", &other, &set] {
        assert!(notices.contains(part), "{part}: {notices}");
    }
    second.stop();

    let third = up(data, &[], &with_token(BEDROCK_KEY));
    assert_eq!(third.notices(), "");
    third.stop();
}

#[test]
fn token_is_registered_only_when_one_key_is_active() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let started = up(data, &[], &[]);
    let user_id = started.word("user_id").to_owned();
    started.stop();
    let second_key = verb_json(data, &["key", "issue", &user_id], "");

    let several = up(data, &[], &with_token(BEDROCK_KEY));
    let notices = several.notices();
    assert!(
        notices.contains("was not registered") && notices.contains("2 access keys"),
        "{notices}"
    );
    several.stop();

    let second_key = second_key["key_id"].as_str().unwrap();
    verb_json(data, &["key", "revoke", second_key], "");
    let one = up(data, &[], &with_token(BEDROCK_KEY));
    assert_ne!(one.ready["bedrock_key"], Value::Null);
    one.stop();
}

/// A data folder, arguments, environment, and a part of the error.
type Case<'a> = (&'a Path, &'a [&'a str], [(&'a str, &'a str); 2], &'a str);

#[test]
fn a_failed_first_start_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = busy.local_addr().unwrap().to_string();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let fresh = folder.path().join("new/data");
    let under_a_file = file.join("data");
    let listen_there: &[&str] = &["--listen", &busy];
    let cases: [Case<'_>; 6] = [
        (
            &fresh,
            &[],
            with_token("AKIAIOSFODNN7EXAMPLE"),
            "AWS_BEARER_TOKEN_BEDROCK: this is not a Bedrock API key",
        ),
        (&fresh, &[], with_token(EXPIRED_BEDROCK_KEY), "expired at"),
        (
            &fresh,
            &[],
            [("AWS_REGION", "local"), ("A", "b")],
            "AWS_REGION: `local` is not an AWS region",
        ),
        (
            &fresh,
            &[],
            [("AWS_REGION", "us-esat-1"), ("A", "b")],
            "is not an AWS region",
        ),
        (
            &fresh,
            listen_there,
            with_token(BEDROCK_KEY),
            "cannot listen on",
        ),
        (
            &under_a_file,
            &[],
            with_token(BEDROCK_KEY),
            "name another folder with --data",
        ),
    ];
    for (data, arguments, environment, expected) in cases {
        let mut command = spillway(&["up"]);
        if arguments.is_empty() {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command
            .args(arguments)
            .arg("--data")
            .arg(data)
            .envs(environment);
        let text = complaint(&ended(&mut command));
        assert!(text.contains(expected), "{expected}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains("AKIA"), "{text}");
        assert!(!folder.path().join("new").exists(), "{expected}");
    }
}

#[test]
fn a_key_that_could_not_be_shown_is_revoked_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = spillway(&["up", "--listen", "127.0.0.1:0"]);
    command.arg("--data").arg(folder.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    drop(process.stdout.take());
    for _ in 0..200 {
        if process.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let _ = process.kill();
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");

    let keys = verb_json(folder.path(), &["key", "list"], "");
    assert_eq!(keys["keys"][0]["status"], "revoked", "{keys}");
    let next = up(folder.path(), &[], &[]);
    assert!(next.word("access_key").starts_with("ak_"));
    next.stop();
}

#[test]
fn a_malformed_environment_is_a_warning_when_a_key_is_registered() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    up(data, &[], &with_token(BEDROCK_KEY)).stop();
    let broken = [
        ("AWS_BEARER_TOKEN_BEDROCK", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_REGION", "local"),
    ];
    let started = up(data, &[], &broken);
    let notices = started.notices();
    assert!(notices.contains("AWS_BEARER_TOKEN_BEDROCK"), "{notices}");
    assert!(!notices.contains("AKIA"), "{notices}");
    assert_eq!(started.word("region"), "eu-central-1");
    started.stop();
}
