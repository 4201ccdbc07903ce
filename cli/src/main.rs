//! The `spillway` command.

use std::process::ExitCode;

use clap::Parser as _;
use spillway::args::Args;

#[tokio::main]
async fn main() -> ExitCode {
    let wants_json = wants_json();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() && wants_json => {
            spillway::error(&sentence(&error.render().to_string()), true);
            return ExitCode::from(2);
        }
        Err(error) => error.exit(),
    };
    match spillway::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            spillway::error(&format!("{error:#}"), wants_json);
            ExitCode::FAILURE
        }
    }
}

/// Whether JSON was asked for, also when the arguments cannot be parsed.
fn wants_json() -> bool {
    let typed: Vec<String> = std::env::args_os()
        .map(|typed| typed.to_string_lossy().into_owned())
        .collect();
    let is_pair =
        |pair: &[String]| matches!(pair, [name, value] if name == "--output" && value == "json");
    typed.iter().any(|typed| typed == "--output=json") || typed.windows(2).any(is_pair)
}

/// What is wrong with the arguments, without the usage below it.
fn sentence(rendered: &str) -> String {
    let first: Vec<_> = rendered
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .map(str::trim)
        .collect();
    first.join(" ").trim_start_matches("error: ").to_owned()
}
