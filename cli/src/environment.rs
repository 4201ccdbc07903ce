//! The only reader of the environment in the command.

use std::path::PathBuf;

use anyhow::Context as _;

/// The data folder that is used when none is named.
pub(crate) fn data_folder() -> anyhow::Result<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "spillway")
        .context("this system has no data folder for programs; name one with --data DIR")?;
    Ok(folders.data_dir().to_owned())
}

/// A developer's own Bedrock API key, under the name that AWS gave the variable.
pub(crate) fn bedrock_api_key() -> Option<String> {
    variable("AWS_BEARER_TOKEN_BEDROCK")
}

/// The AWS region of that developer.
pub(crate) fn region() -> Option<String> {
    variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"))
}

#[expect(clippy::disallowed_methods, reason = "this is the only reader")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
