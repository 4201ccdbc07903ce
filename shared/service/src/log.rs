//! The set-up of the log of a function: JSON lines for CloudWatch.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::environment::Environment;

/// Starts the log of a Lambda function: JSON lines with a timestamp, without which Lambda takes every line for
/// INFO. The level is `AWS_LAMBDA_LOG_LEVEL`, INFO when it is not set, and never TRACE: at that level the runtime
/// and the SDKs print whole events, access keys and prompts with them. Panics are logged by
/// [`log_panics_without_message`].
pub fn start_json() {
    let level = Environment::of_process()
        .get("AWS_LAMBDA_LOG_LEVEL")
        .unwrap_or_default();
    fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(level_filter(&level))
        .init();
    log_panics_without_message();
}

/// Logs the place of every panic and omits its message, which can contain parts of a request.
pub fn log_panics_without_message() {
    std::panic::set_hook(Box::new(|panic| {
        let (file, line) = panic
            .location()
            .map_or(("-", 0), |at| (at.file(), at.line()));
        tracing::error!(file, line, "panic");
    }));
}

/// The filter of a level: ERROR (also FATAL), WARN, INFO, or DEBUG (also TRACE), in any case. Any other name is
/// INFO. At DEBUG the libraries stay at INFO: their DEBUG lines contain headers.
pub fn level_filter(level: &str) -> EnvFilter {
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
