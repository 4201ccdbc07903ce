//! The whole of Spillway on one machine, and the tools of the people who run it.
//!
//! [`house`] puts the functions, the embedded AWS and the settings together; the end-to-end tests
//! live in the same house. The rest is the `spillway` command: [`args`] is what can be typed, `up`
//! serves (`folder` is where its data is, `first_key` what a start finds or creates there, `ready` what it
//! prints, `log` how it logs), [`drill`] rehearses, `commands` carries out the rest on a data folder or, through
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

/// Carries out what was typed.
///
/// # Errors
/// Whatever went wrong, with what to do about it.
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
