//! The choice of Bedrock model and region, and the rejection of invalid settings.

use crate::running::{BEDROCK_KEY, complaint, ended, spillway, up, verb, verb_json};

#[test]
fn a_wrong_region_or_model_is_refused_when_it_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let started = up(data, &[], &[]);
    let (user_id, key_id) = (
        started.word("user_id").to_owned(),
        started.word("key_id").to_owned(),
    );
    started.stop();
    let create = ["user", "create", "Ada"];
    let issue = ["key", "issue", &user_id];
    let set = ["bedrock-key", "set", &key_id];
    let arn =
        "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude-opus-5-5";
    let cases: [(&[&str], &[&str], &str); 7] = [
        (&create, &["--region", "us-esat-1"], "is not an AWS region"),
        (
            &issue,
            &["--region", "eu-central-9"],
            "is not an AWS region",
        ),
        (&set, &["--region", "Frankfurt"], "is not an AWS region"),
        (
            &create,
            &["--model", "global.antropic.claude-sonnet-4-5"],
            "is not a Claude model on Bedrock",
        ),
        (
            &issue,
            &["--map", "claude-opus-*=anthropic.claude-opsu"],
            "is not a Claude model on Bedrock",
        ),
        (
            &create,
            &["--map", "claude opus=claude-opus-5-5"],
            "a map's left side",
        ),
        (
            &create,
            &["--region", "eu-central-1", "--model", arn],
            "is of us-west-2, not of eu-central-1",
        ),
    ];
    for (arguments, wrong, expected) in cases {
        let output = verb(data, &[arguments, wrong].concat(), BEDROCK_KEY);
        let text = complaint(&output);
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(!text.contains("123456789012"), "{text}");
    }
    let arguments = [&create[..], &["--region", "us-west-2", "--model", arn]].concat();
    assert_eq!(
        verb_json(data, &arguments, "")["bedrock"]["region"],
        "us-west-2"
    );
}

#[test]
fn a_region_that_contradicts_an_arn_in_force_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    up(data, &[], &[]).stop();
    let arn =
        "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude-opus-5-5";
    let create = [
        "user",
        "create",
        "Ada",
        "--region",
        "us-west-2",
        "--model",
        arn,
    ];
    let user = verb_json(data, &create, "");
    let user_id = user["user_id"].as_str().unwrap();
    let text = complaint(&verb(
        data,
        &["key", "issue", user_id, "--region", "eu-west-1"],
        "",
    ));
    assert!(text.contains("is of us-west-2, not of eu-west-1"), "{text}");
    let issued = verb_json(data, &["key", "issue", user_id], "");
    let set = [
        "bedrock-key",
        "set",
        issued["key_id"].as_str().unwrap(),
        "--region",
        "eu-west-1",
    ];
    let text = complaint(&verb(data, &set, BEDROCK_KEY));
    assert!(text.contains("is of us-west-2, not of eu-west-1"), "{text}");
}

#[test]
fn first_start_prints_region_and_models_and_how_to_change_them() {
    let folder = tempfile::tempdir().unwrap();
    let text = |arguments: &[&str], environment: &[(&str, &str)]| {
        let data = tempfile::tempdir_in(folder.path()).unwrap();
        let mut command = spillway(&["up", "--listen", "127.0.0.1:0"]);
        command.arg("--data").arg(data.path());
        command.args(arguments).envs(environment.iter().copied());
        let mut process = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        let mut stdout = std::io::BufReader::new(process.stdout.take().unwrap());
        while !text.contains("ANTHROPIC_BASE_URL=") {
            assert_ne!(
                std::io::BufRead::read_line(&mut stdout, &mut text).unwrap(),
                0,
                "{text}"
            );
        }
        process.kill().unwrap();
        process.wait().unwrap();
        text
    };
    let one = text(&[], &[]);
    for part in [
        "region   ap-northeast-2 (default; set AWS_REGION",
        "models   one for all requests: global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "--models family",
    ] {
        assert!(one.contains(part), "{part}: {one}");
    }
    let family = text(&["--models", "family"], &[("AWS_REGION", "eu-west-1")]);
    for part in ["region   eu-west-1", "models   family", "--models one"] {
        assert!(family.contains(part), "{part}: {family}");
    }
}

#[test]
fn with_models_family_a_request_is_served_by_its_own_family() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let arguments = ["--demo", "--demo-plan-requests", "0"];
    let running = up(data, &arguments, &[]);
    let served = |answer: String| {
        let model = answer
            .lines()
            .find_map(|line| line.strip_prefix("x-spillway-bedrock-model: "));
        model.unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let key = running.word("access_key").to_owned();
    let sonnet = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";
    assert_eq!(served(running.ask(&key, "hello")), sonnet);
    let create = [
        "user",
        "create",
        "Ada",
        "--models",
        "family",
        "--region",
        "us-east-1",
    ];
    let user = verb_json(data, &create, "");
    let user_id = user["user_id"].as_str().unwrap();
    let key_of = |more: &[&str]| {
        let issued = verb_json(data, &[&["key", "issue", user_id], more].concat(), "");
        let key_id = issued["key_id"].as_str().unwrap();
        verb_json(data, &["bedrock-key", "set", key_id], BEDROCK_KEY);
        issued["access_key"].as_str().unwrap().to_owned()
    };
    let opus = "us.anthropic.claude-opus-5-5";
    assert_eq!(served(running.ask(&key_of(&[]), "hello")), opus);
    assert_eq!(
        served(running.ask(&key_of(&["--models", "one"]), "hello")),
        sonnet
    );
    running.stop();

    let arguments = [&arguments[..], &["--models", "family"]].concat();
    let running = up(data, &arguments, &[]);
    assert_eq!(
        served(running.ask(&key, "hello")),
        "apac.anthropic.claude-opus-5-5"
    );
    running.stop();
}

#[test]
fn a_wrong_preset_is_refused() {
    let output = ended(&mut spillway(&["up", "--memory", "--models", "best"]));
    assert!(!output.status.success(), "{output:?}");
}
