//! The `spillway` command.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    match spillway::run(spillway::args::Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a command speaks on standard error")]
            {
                eprintln!("spillway: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
