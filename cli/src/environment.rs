//! The environment of the command. No other module reads it.

use std::path::PathBuf;

use anyhow::Context as _;
use proxy::config::{UNKNOWN_KEY_STATUS, UnknownKey};
use service::environment::Environment;

/// The default data folder; the demo has another one.
pub(crate) fn data_folder(is_demo: bool) -> anyhow::Result<PathBuf> {
    let name = if is_demo { "spillway-demo" } else { "spillway" };
    let folders = directories::ProjectDirs::from("", "", name)
        .context("this system has no data folder for programs; name one with --data DIR")?;
    Ok(folders.data_dir().to_owned())
}

/// The developer's Bedrock API key, from the variable that AWS names for it.
pub(crate) fn bedrock_api_key() -> Option<String> {
    variable(BEDROCK_API_KEY)
}

/// The variable of [`bedrock_api_key`].
pub(crate) const BEDROCK_API_KEY: &str = "AWS_BEARER_TOKEN_BEDROCK";

/// The developer's AWS region, with the name of its variable.
pub(crate) fn region() -> Option<(&'static str, String)> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .find_map(|name| Some((name, variable(name)?)))
}

/// The name of the person at this machine, for audit records; `cli` when the environment has none.
pub(crate) fn user_name() -> String {
    let name = ["USER", "LOGNAME"].into_iter().find_map(variable);
    name.unwrap_or_else(|| "cli".to_owned())
}

/// The status with which an unknown access key is refused, if the environment has one.
pub(crate) fn unknown_key() -> anyhow::Result<Option<UnknownKey>> {
    let status = variable(UNKNOWN_KEY_STATUS).map(|text| text.parse());
    status.transpose().context(UNKNOWN_KEY_STATUS)
}

/// The name under which a shell in any folder can call this program again.
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

fn variable(name: &str) -> Option<String> {
    Environment::of_process().get(name)
}
