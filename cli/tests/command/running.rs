//! The `spillway` command as a child process of a test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};

const SPILLWAY: &str = env!("CARGO_BIN_EXE_spillway");
pub(crate) const CREDENTIAL: &str = "sk-ant-oat01-canary-credential-of-the-client";
pub(crate) const BEDROCK_KEY: &str = "ABSKY2FuYXJ5LWF0LTAwMDAwMDAwMDAwMDpjYW5hcnkta2V5";

/// A running `spillway up`.
pub(crate) struct Running {
    pub(crate) process: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) ready: Value,
}

/// The command with these arguments and an empty environment.
pub(crate) fn spillway(arguments: &[&str]) -> Command {
    let mut command = if spillway::hangup::is_ignored() {
        let mut with_default = Command::new("env");
        with_default.args(["--default-signal=HUP", SPILLWAY]);
        with_default
    } else {
        Command::new(SPILLWAY)
    };
    command.env_clear().args(arguments);
    command
}

/// `spillway up` on a data folder.
pub(crate) fn up(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
    let data = data.to_str().unwrap();
    start(&[&["--data", data], arguments].concat(), environment)
}

/// Starts `spillway up` with these arguments, and waits until it is ready.
pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Running {
    let mut process = spillway(&["up", "--listen", "127.0.0.1:0", "--output", "json"])
        .args(arguments)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spillway starts");
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let ready = serde_json::from_str(&line).unwrap_or_else(|_| {
        let mut complaint = String::new();
        let mut stderr = process.stderr.take().unwrap();
        stderr.read_to_string(&mut complaint).unwrap();
        panic!("{line:?} {complaint}")
    });
    Running {
        process,
        stdout,
        ready,
    }
}

/// Runs `spillway up` on a data folder, which must fail. Returns its standard error.
pub(crate) fn failing_up(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = spillway(&["up", "--listen", "127.0.0.1:0"]);
    command
        .arg("--data")
        .arg(data)
        .args(arguments)
        .envs(environment.iter().copied());
    complaint(&ended(&mut command))
}

/// Waits for the output of a command, which is killed after 20 seconds.
pub(crate) fn ended(command: &mut Command) -> Output {
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..400 {
        if process.try_wait().unwrap().is_some() {
            return process.wait_with_output().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    process.kill().unwrap();
    process.wait_with_output().unwrap()
}

impl Running {
    /// A text of the ready line.
    pub(crate) fn word(&self, name: &str) -> &str {
        self.ready[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {}", self.ready))
    }

    /// The ready line's notices, one per line.
    pub(crate) fn notices(&self) -> String {
        let notices = self.ready["notices"].as_array().unwrap();
        let notices: Vec<_> = notices.iter().map(|one| one.as_str().unwrap()).collect();
        notices.join("\n")
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let kill = Command::new("kill").args([name, &id]).status();
        assert!(kill.unwrap().success());
    }

    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Stops it, and returns its output after the ready line.
    pub(crate) fn stop(self) -> String {
        self.terminate();
        self.printed()
    }

    /// Waits for an end without an error, and returns the output after the ready line.
    pub(crate) fn printed(mut self) -> String {
        let mut printed = String::new();
        self.stdout.read_to_string(&mut printed).unwrap();
        let mut stderr = self.process.stderr.take().unwrap();
        stderr.read_to_string(&mut printed).unwrap();
        let status = self.process.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{printed}");
        printed
    }

    /// Sends a request, and returns the stream with the response.
    pub(crate) fn send(&self, path: &str, prompt: &str) -> TcpStream {
        let address = self.word("base_url").strip_prefix("http://").unwrap();
        let body = json!({
            "model": "claude-opus-5-5",
            "max_tokens": 100,
            "stream": true,
            "messages": [{"role": "user", "content": prompt}],
        })
        .to_string();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             authorization: Bearer {CREDENTIAL}\r\nanthropic-version: 2023-06-01\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        stream
    }

    /// The response to a message under a key.
    pub(crate) fn ask(&self, access_key: &str, prompt: &str) -> String {
        self.ask_at(&format!("/ak/{access_key}/v1/messages"), prompt)
    }

    /// The response to a message to this path.
    pub(crate) fn ask_at(&self, path: &str, prompt: &str) -> String {
        let mut answer = String::new();
        let mut stream = self.send(path, prompt);
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// Runs another command on a data folder.
pub(crate) fn verb(data: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = spillway(arguments);
    command.arg("--data").arg(data);
    with_input(command, input)
}

/// Runs a command with this standard input.
pub(crate) fn with_input(mut command: Command, input: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    // It may have failed before it read.
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
    process.wait_with_output().unwrap()
}

/// The result of another command on a data folder, which must succeed.
pub(crate) fn verb_json(data: &Path, arguments: &[&str], input: &str) -> Value {
    let arguments = [arguments, &["--output", "json"]].concat();
    let output = verb(data, &arguments, input);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The standard error of a failed command, which has no other output.
pub(crate) fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}
