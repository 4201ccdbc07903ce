//! Executes admin commands on the local stack.

use admin::{AdminError, Command, Invocation, Outcome};
use anyhow::anyhow;
use domain::bedrock_key::BedrockKey;

use crate::environment;
use crate::local_stack::LocalStack;

/// Executes a command as the person at this machine.
pub(crate) async fn execute(
    stack: &LocalStack,
    command: Command,
    bedrock_key: Option<BedrockKey>,
) -> anyhow::Result<Outcome> {
    let invocation = Invocation::local(&environment::user_name(), stack.clock().now());
    let admin = stack.admin();
    let executed = admin.execute_as(&invocation, command, bedrock_key).await;
    executed.map_err(with_hint)
}

/// The error with the command that helps.
fn with_hint(error: AdminError) -> anyhow::Error {
    match error {
        AdminError::NoSuchUser(_) => anyhow!("{error}; `spillway user list` shows all"),
        AdminError::NoSuchKey(_) => anyhow!("{error}; `spillway key list` shows all"),
        AdminError::KeyRevoked(_) => {
            anyhow!("{error}; issue a new one with `spillway key issue`")
        }
        other => other.into(),
    }
}
