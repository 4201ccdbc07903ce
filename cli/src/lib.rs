//! Spillway on one machine, and its command-line tools.
//!
//! [`local_stack`] puts the functions, the embedded AWS and the settings together, and [`sandbox`] adds the
//! simulated upstreams for drills and end-to-end tests. The rest is the `spillway` command: [`args`] defines
//! its arguments, `up` serves (`folder` is its data folder, `first_key` the user and key of the first start,
//! `ready` its output, `log` its log), [`drill`] has the drills, and `commands` runs the other commands on a
//! data folder, or, through `control`, in the process that holds it.

pub mod args;
mod commands;
mod control;
pub mod drill;
mod drill_command;
mod environment;
mod execute;
mod first_key;
mod folder;
pub mod hangup;
pub mod local_stack;
mod log;
mod ready;
pub mod sandbox;
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
        Verb::Drill(args) => drill_command::run(args).await,
    }
}
