//! The connection of a second `spillway` command to the process that holds the data folder: a Unix socket
//! in that folder, which only its owner can open. It is no port, so web pages and other users cannot
//! connect.
//!
//! One request per connection: a line of JSON (the command), and a line with the Bedrock API key, which is
//! empty for all commands but one. The response is one line of JSON.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use admin::{Command, Outcome};
use anyhow::{Context as _, bail};
use domain::bedrock_key::BedrockKey;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};

use crate::execute;
use crate::local_stack::LocalStack;

/// The maximum length of a line.
const LINE_BYTES: u64 = 64 * 1024;
/// The maximum time of one request.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Response {
    Done(Box<Done>),
    Failed(String),
}

/// The outcome of a command in the running process.
#[derive(Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    /// The URL at which that process listens for Claude Code: `http://ADDRESS`.
    pub(crate) base_url: String,
}

const SOCKET: &str = "control.sock";

/// Longest path that every Unix takes for a socket: 104 bytes on macOS and 108 on Linux, with the zero
/// at its end.
const SOCKET_PATH_BYTES: usize = 103;

/// Calls `with` on the path of a data folder's socket. When that path is too long for a socket, the
/// process is in the folder meanwhile, and the path is the socket's name alone.
fn at_socket<T>(data: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let socket = data.join(SOCKET);
    if socket.as_os_str().len() <= SOCKET_PATH_BYTES {
        return with(&socket);
    }
    let before = std::env::current_dir();
    std::env::set_current_dir(data)?;
    let result = with(Path::new(SOCKET));
    // The folder before may be gone; nothing below needs it.
    if let Ok(before) = before {
        let _ = std::env::set_current_dir(before);
    }
    result
}

/// Listens in a data folder whose lock this process holds.
pub(crate) fn listen(data: &Path) -> io::Result<UnixListener> {
    let listener = at_socket(data, |socket| {
        // A process that has ended left it there: the folder's lock is held here.
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(socket)?;
        // The folder is private already, unless someone made it before and otherwise.
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    })?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Connects to the process that listens in a data folder. An error means that none does.
pub(crate) fn connect(data: &Path) -> io::Result<UnixStream> {
    let stream = at_socket(data, |socket| {
        std::os::unix::net::UnixStream::connect(socket)
    })?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Serves commands until the process ends, in a process that listens for Claude Code at `base_url`.
pub(crate) async fn serve(listener: UnixListener, stack: LocalStack, base_url: String) {
    let stack = Arc::new((stack, base_url));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let stack = Arc::clone(&stack);
                    connections.spawn(async move {
                        if timeout(TIMEOUT, serve_one(stream, &stack.0, &stack.1)).await.is_err() {
                            tracing::warn!("a control connection timed out");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn serve_one(stream: UnixStream, stack: &LocalStack, base_url: &str) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read.take(2 * LINE_BYTES));
    let response = match execute(&mut read, stack).await {
        Ok(outcome) => Response::Done(Box::new(Done {
            outcome,
            base_url: base_url.to_owned(),
        })),
        Err(error) => Response::Failed(format!("{error:#}")),
    };
    let Ok(mut line) = serde_json::to_vec(&response) else {
        return;
    };
    line.push(b'\n');
    // A client that has disconnected needs no response.
    let _ = write.write_all(&line).await;
}

async fn execute(
    read: &mut (impl tokio::io::AsyncBufRead + Unpin),
    stack: &LocalStack,
) -> anyhow::Result<Outcome> {
    let (mut command, mut bedrock_key) = (String::new(), String::new());
    read.read_line(&mut command).await?;
    read.read_line(&mut bedrock_key).await?;
    let command: Command = serde_json::from_str(&command)
        .context("the running Spillway is of another version and does not have this command")?;
    let bedrock_key = match bedrock_key.trim() {
        "" => None,
        text => Some(BedrockKey::parse(text)?),
    };
    execute::execute(stack, command, bedrock_key).await
}

/// Sends a command to the process at the other end, and returns its outcome.
pub(crate) async fn send(
    mut stream: UnixStream,
    command: &Command,
    bedrock_key: Option<&BedrockKey>,
) -> anyhow::Result<Done> {
    let exchange = async {
        let mut lines = serde_json::to_vec(command)?;
        lines.push(b'\n');
        lines.extend_from_slice(
            bedrock_key
                .map(BedrockKey::expose)
                .unwrap_or_default()
                .as_bytes(),
        );
        lines.push(b'\n');
        stream.write_all(&lines).await?;
        let mut response = String::new();
        BufReader::new(stream).read_line(&mut response).await?;
        serde_json::from_str(&response)
            .context("the running Spillway is of another version; stop it, and start this version")
    };
    match timeout(TIMEOUT, exchange)
        .await
        .context("the running Spillway did not respond in time")??
    {
        Response::Done(done) => Ok(*done),
        Response::Failed(reason) => bail!(reason),
    }
}
