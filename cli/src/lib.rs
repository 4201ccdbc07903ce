//! Spillway on one machine, and its command-line tools.
//!
//! [`house`] puts the functions, the embedded AWS and the settings together; the end-to-end tests
//! live in the same house. The rest is the `spillway` command: [`args`] has the arguments, `up`
//! serves (`folder` is the data folder, `first_key` finds or creates the first key, `ready` is the output, `log` the
//! log), [`drill`] rehearses failures, and `commands` executes the other commands on a data folder or, through
//! `control`, in the process that holds it.

pub mod args;
mod commands;
mod control;
pub mod drill;
mod environment;
mod first_key;
mod folder;
pub mod house;
mod log;
mod ready;
mod serve;
mod show;
mod up;

use args::{Args, Verb};

pub use show::error;

/// Executes the command that was given.
///
/// # Errors
/// The failure of the command, with advice.
pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.verb {
        Verb::Up(up) => up::run(up).await,
        Verb::User(verb) => commands::user(verb).await,
        Verb::Key(verb) => commands::key(verb).await,
        Verb::BedrockKey(verb) => commands::bedrock_key(verb).await,
        Verb::Breaker(verb) => commands::breaker(verb).await,
        Verb::Drill(args) => drill::run(args).await,
    }
}
