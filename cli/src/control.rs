//! How a second `spillway` command reaches the process that holds the data folder: a Unix socket in
//! that folder, which only its owner can open. No port, so no web page and no other user gets near.
//!
//! One request per connection: a line of JSON (the command), and a line with the Bedrock API key,
//! which is empty for all commands but one. One line of JSON comes back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use admin::{Command, Outcome};
use anyhow::{Context as _, bail};
use domain::bedrock_key::BedrockKey;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};

use crate::house::House;

/// The longest line that is read.
const LINE_BYTES: u64 = 64 * 1024;
/// How long the other side may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done(Box<Outcome>),
    Failed(String),
}

fn socket(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Listens in a data folder whose lock this process holds.
pub(crate) fn listen(data: &Path) -> std::io::Result<UnixListener> {
    let socket = socket(data);
    // Whoever left it there is gone: the lock is ours.
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&socket)?;
    // The folder is private already, unless someone made it before and otherwise.
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves commands for ever.
pub(crate) async fn serve(listener: UnixListener, house: House) {
    let house = Arc::new(house);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let house = Arc::clone(&house);
                    connections.spawn(async move {
                        if timeout(PATIENCE, serve_one(stream, &house)).await.is_err() {
                            tracing::warn!("a control connection took too long");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket does not accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn serve_one(stream: UnixStream, house: &House) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read.take(2 * LINE_BYTES));
    let answer = match answer(&mut read, house).await {
        Ok(outcome) => Answer::Done(Box::new(outcome)),
        Err(error) => Answer::Failed(format!("{error:#}")),
    };
    let Ok(mut line) = serde_json::to_vec(&answer) else {
        return;
    };
    line.push(b'\n');
    // A client that has gone needs no answer.
    let _ = write.write_all(&line).await;
}

async fn answer(
    read: &mut (impl tokio::io::AsyncBufRead + Unpin),
    house: &House,
) -> anyhow::Result<Outcome> {
    let (mut command, mut bedrock_key) = (String::new(), String::new());
    read.read_line(&mut command).await?;
    read.read_line(&mut bedrock_key).await?;
    let command: Command = serde_json::from_str(&command)
        .context("the running Spillway is of another version and does not know this command")?;
    let bedrock_key = match bedrock_key.trim() {
        "" => None,
        text => Some(BedrockKey::parse(text)?),
    };
    Ok(house
        .admin()
        .execute(command, bedrock_key, house.clock().now())
        .await?)
}

/// Has the process that holds `data` carry out a command.
pub(crate) async fn ask(
    data: &Path,
    command: &Command,
    bedrock_key: Option<&BedrockKey>,
) -> anyhow::Result<Outcome> {
    let exchange = async {
        let mut stream = UnixStream::connect(socket(data))
            .await
            .with_context(|| format!("the process that uses {} does not answer", data.display()))?;
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
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await?;
        anyhow::Ok(serde_json::from_str(&answer)?)
    };
    match timeout(PATIENCE, exchange)
        .await
        .context("the running Spillway does not answer")??
    {
        Answer::Done(outcome) => Ok(*outcome),
        Answer::Failed(reason) => bail!(reason),
    }
}
