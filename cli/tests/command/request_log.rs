//! The request log of `spillway up`: a line for people, or JSON.

use serde_json::Value;

use crate::running::up;

#[test]
fn request_is_one_short_line_in_the_text_log() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "--demo",
        "--demo-plan-requests",
        "1",
        "--log-format",
        "text",
    ];
    let running = up(folder.path(), &arguments, &[]);
    let key = running.word("access_key").to_owned();
    running.ask(&key, "hello");
    running.ask(&key, "hello");
    running.ask("ak_wrong", "hello");
    let printed = running.stop();
    let lines: Vec<_> = printed
        .lines()
        .filter(|line| line.contains(" ms"))
        .collect();
    assert_eq!(lines.len(), 3, "{printed}");
    let plan = " me  plan  good  claude-opus-5-5  200  ";
    assert!(lines[0].contains(plan), "{printed}");
    let bedrock = " me  bedrock  usage_limit  claude-opus-5-5 → \
                   global.anthropic.claude-sonnet-4-5-20250929-v1:0  200  ";
    assert!(lines[1].contains(bedrock), "{printed}");
    assert!(
        lines[1].contains(" in ") && lines[1].contains(" out"),
        "{printed}"
    );
    assert!(lines[2].contains("unknown_key"), "{printed}");
    for line in lines {
        assert!(line.chars().count() < 180, "{line}");
        assert!(!line.contains("dropped"), "{line}");
    }
}

#[test]
fn log_is_json_when_it_does_not_go_to_a_terminal() {
    for arguments in [&["--demo"][..], &["--demo", "--log-format", "json"]] {
        let folder = tempfile::tempdir().unwrap();
        let running = up(folder.path(), arguments, &[]);
        let key = running.word("access_key").to_owned();
        running.ask(&key, "hello");
        let printed = running.stop();
        let lines: Vec<Value> = printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect();
        let request = lines.iter().find(|line| line["message"] == "request");
        let request = request.unwrap_or_else(|| panic!("{printed}"));
        assert_eq!(request["user.name"], "me");
        assert_eq!(request["status"], 200);
    }
}
