//! The data folder: which one, whether it holds demo or real data, and how another command names it.
//!
//! A folder of the demo has a file `demo` from before its database is made. So the demo never uses real
//! keys, and a real start never sends the demo's Bedrock key to AWS.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use local::{LocalAws, LocalError};

use crate::environment;

const DATABASE: &str = "dynamodb.sqlite";
const DEMO_MARK: &str = "demo";

/// A data folder that is or will be used.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    is_demo: bool,
    /// As it was chosen: what another command must be given to find it.
    argument: Option<String>,
}

impl Folder {
    /// The folder that the arguments name: `--data DIR`, `--demo`, or none of both.
    pub(crate) fn chosen(data: Option<&Path>, is_demo: bool) -> anyhow::Result<Self> {
        let path = match data {
            Some(data) => std::path::absolute(data).context("--data")?,
            None => environment::data_folder(is_demo)?,
        };
        let argument = match data {
            Some(_) => Some(format!("--data {}", quoted(&path.display().to_string()))),
            None => is_demo.then(|| "--demo".to_owned()),
        };
        Ok(Self {
            is_demo: is_demo || path.join(DEMO_MARK).exists(),
            path,
            argument,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it holds, or will hold, the demo's data.
    pub(crate) fn is_demo(&self) -> bool {
        self.is_demo
    }

    /// Whether nothing was ever kept in it.
    pub(crate) fn is_new(&self) -> bool {
        !self.path.join(DATABASE).exists()
    }

    /// Checks that a start with or without `--demo` may use it. Creates nothing.
    pub(crate) fn check(&self, is_demo: bool) -> anyhow::Result<()> {
        let shown = self.path.display();
        match (self.is_new(), self.path.join(DEMO_MARK).exists()) {
            (true, false) => Ok(()),
            (_, true) if is_demo => Ok(()),
            (false, false) if !is_demo => Ok(()),
            (_, true) => bail!(
                "{shown} holds demo data; start it with --demo, or name another folder with --data"
            ),
            (false, false) => bail!(
                "{shown} holds real data, which the demo does not use; leave --data out, or name \
                 another folder"
            ),
        }
    }

    /// Opens it, and makes it if it is not there.
    pub(crate) fn open(&self) -> anyhow::Result<LocalAws> {
        let opened = self.mark().and_then(|()| LocalAws::open(&self.path));
        opened.map_err(|error| match error {
            LocalError::Io { .. } => anyhow::anyhow!(
                "{error}; make it possible to write there, or name another folder with --data"
            ),
            other => other.into(),
        })
    }

    fn mark(&self) -> Result<(), LocalError> {
        if !self.is_demo {
            return Ok(());
        }
        let mark = self.path.join(DEMO_MARK);
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .recursive(true)
            .create(&self.path)
            .and_then(|()| std::fs::write(&mark, "This folder belongs to `spillway up --demo`.\n"))
            .map_err(|source| LocalError::Io { path: mark, source })
    }

    /// A command on this folder as a shell takes it: `spillway key list --data DIR`.
    pub(crate) fn command(&self, verb: &str) -> String {
        let program = quoted(&environment::program());
        match &self.argument {
            Some(argument) => format!("{program} {verb} {argument}"),
            None => format!("{program} {verb}"),
        }
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:=@%+,~".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) && !word.starts_with('~') {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_when_a_shell_would_change_it() {
        for (word, expected) in [
            ("/home/ada/spillway", "/home/ada/spillway"),
            ("with space", "'with space'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~/x", "'~/x'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
