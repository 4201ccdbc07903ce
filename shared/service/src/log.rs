//! How the functions log: JSON lines for CloudWatch.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::environment::Environment;

/// Writes JSON lines with a timestamp, without which Lambda takes every line for INFO. The level is
/// `AWS_LAMBDA_LOG_LEVEL`, INFO when it is not set. Never TRACE: at that level the runtime and the
/// SDKs print whole events, access keys and prompts with them.
pub fn to_cloudwatch() {
    let level = Environment::of_process()
        .get("AWS_LAMBDA_LOG_LEVEL")
        .unwrap_or_default();
    fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter(&level))
        .init();
    without_panic_texts();
}

/// Logs where a panic happened, and not its text, in which there may be a request's content.
pub fn without_panic_texts() {
    std::panic::set_hook(Box::new(|panic| {
        let (file, line) = panic
            .location()
            .map_or(("-", 0), |at| (at.file(), at.line()));
        tracing::error!(file, line, "panic");
    }));
}

/// The filter for a level by name; whatever is not DEBUG, INFO, WARN or ERROR becomes INFO. Even at
/// DEBUG the libraries below stay at INFO: their DEBUG lines are full of headers.
pub fn filter(level: &str) -> EnvFilter {
    let level = match level.to_ascii_lowercase().as_str() {
        "error" | "fatal" => "error",
        "warn" => "warn",
        "debug" | "trace" => {
            "info,proxy=debug,store=debug,admin=debug,rollup=debug,local=debug,spillway=debug"
        }
        _ => "info",
    };
    EnvFilter::new(level)
}
