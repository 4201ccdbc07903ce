//! The only reader of the environment in the command.

use std::path::PathBuf;

use anyhow::Context as _;
use proxy::config::{UNKNOWN_KEY_STATUS, UnknownKey};

/// The data folder that is used when none is named; the demo has one of its own.
pub(crate) fn data_folder(is_demo: bool) -> anyhow::Result<PathBuf> {
    let name = if is_demo { "spillway-demo" } else { "spillway" };
    let folders = directories::ProjectDirs::from("", "", name)
        .context("this system has no data folder for programs; name one with --data DIR")?;
    Ok(folders.data_dir().to_owned())
}

/// A developer's own Bedrock API key, under the name that AWS gave the variable.
pub(crate) fn bedrock_api_key() -> Option<String> {
    variable(BEDROCK_API_KEY)
}

/// The variable of [`bedrock_api_key`].
pub(crate) const BEDROCK_API_KEY: &str = "AWS_BEARER_TOKEN_BEDROCK";

/// The AWS region of that developer, with the name of the variable that has it.
pub(crate) fn region() -> Option<(&'static str, String)> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .find_map(|name| Some((name, variable(name)?)))
}

/// What an unknown access key is answered with, if the environment says so.
pub(crate) fn unknown_key() -> anyhow::Result<Option<UnknownKey>> {
    let status = variable(UNKNOWN_KEY_STATUS).map(|text| text.parse());
    status.transpose().context(UNKNOWN_KEY_STATUS)
}

/// This program as a shell can call it again, from any folder.
pub(crate) fn program() -> String {
    let typed = std::env::args().next().filter(|typed| !typed.is_empty());
    let typed = typed.unwrap_or_else(|| "spillway".to_owned());
    if !typed.contains('/') {
        return typed;
    }
    match std::path::absolute(&typed) {
        Ok(path) => path.display().to_string(),
        Err(_) => typed,
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the only reader")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
