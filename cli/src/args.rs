//! What can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use domain::bedrock::Dialect;
use domain::id::{KeyId, UserId};
use local::simulator::plan::DEFAULT_PLAN_REQUESTS;

/// A team proxy for Claude Code: each developer's own Claude plan first, and Amazon Bedrock, with
/// the developer's own key, when the plan is exhausted.
#[derive(Debug, Parser)]
#[command(name = "spillway", version, propagate_version = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start Spillway on this machine.
    Up(Up),
    /// Manage users.
    #[command(subcommand)]
    User(UserVerb),
    /// Manage access keys.
    #[command(subcommand)]
    Key(KeyVerb),
    /// Manage the Bedrock API keys bound to access keys.
    #[command(subcommand)]
    BedrockKey(BedrockKeyVerb),
}

/// Start Spillway on this machine.
#[derive(Debug, Parser)]
pub struct Up {
    /// The folder that keeps users and keys. Default: the platform's data folder.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Keep nothing: everything is gone when Spillway stops.
    #[arg(long, conflicts_with = "data")]
    pub memory: bool,
    /// The address to listen on; port 0 takes any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787")]
    pub listen: SocketAddr,
    /// Allow an address that other machines can reach. Access keys then travel over that network
    /// without TLS: put a TLS proxy in front.
    #[arg(long)]
    pub allow_remote: bool,
    /// Where Anthropic's API is.
    #[arg(long, value_name = "URL", default_value = proxy::config::PLAN_URL)]
    pub plan_url: String,
    /// Where the Bedrock Runtime is. Default: AWS's endpoint of each user's region.
    #[arg(long, value_name = "URL")]
    pub bedrock_url: Option<String>,
    /// Simulate Claude plan and Bedrock on this machine, so that no account is needed. Keeps
    /// nothing unless --data is given.
    #[arg(long, conflicts_with_all = ["plan_url", "bedrock_url"])]
    pub demo: bool,
    /// How many requests the simulated plan answers before it is exhausted.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PLAN_REQUESTS, requires = "demo")]
    pub demo_plan_requests: u64,
    /// What is printed when Spillway is ready: text, or one line of JSON.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// How much is logged, on standard error.
    #[arg(long, value_enum, default_value_t)]
    pub log_level: LogLevel,
    /// How long open streams may go on after a signal to stop, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub drain: u64,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Only what a person should look at.
    Error,
    /// And what went on in a degraded way.
    Warn,
    /// And one line per request.
    #[default]
    Info,
    /// And what helps to find a defect. Never keys, prompts or answers.
    Debug,
}

impl LogLevel {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Which data, and how results are printed.
#[derive(Debug, Parser)]
pub struct Common {
    /// The data folder. Default: the platform's data folder.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Manage users.
#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// Add a user.
    Create {
        /// The user's name.
        name: String,
        /// What usage is summed by, besides the user.
        #[arg(long)]
        team: Option<String>,
        /// Free text.
        #[arg(long)]
        description: Option<String>,
        /// The AWS region of the user's Bedrock calls.
        #[arg(long)]
        region: Option<String>,
        /// The Bedrock model that serves the user: a model id, an inference profile, or an ARN.
        #[arg(long, value_name = "ID")]
        model: Option<String>,
        /// The foundation model behind --model, when that is an application inference profile's
        /// ARN.
        #[arg(long, value_name = "ID", requires = "model")]
        base_model: Option<String>,
        /// Which Bedrock API carries the user's requests.
        #[arg(long, value_enum)]
        dialect: Option<DialectName>,
        /// Which data, and how results are printed.
        #[command(flatten)]
        common: Common,
    },
    /// List all users.
    List {
        /// Which data, and how results are printed.
        #[command(flatten)]
        common: Common,
    },
}

/// Which Bedrock API carries a user's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DialectName {
    /// Converse and `ConverseStream`.
    Converse,
    /// `InvokeModel` and `InvokeModelWithResponseStream`.
    Invoke,
    /// Converse, unless only `InvokeModel` can say what the request says.
    Auto,
}

impl From<DialectName> for Dialect {
    fn from(name: DialectName) -> Self {
        match name {
            DialectName::Converse => Self::Converse,
            DialectName::Invoke => Self::Invoke,
            DialectName::Auto => Self::Auto,
        }
    }
}

/// Manage access keys.
#[derive(Debug, Subcommand)]
pub enum KeyVerb {
    /// Issue an access key to a user. It is shown this once.
    Issue {
        /// The user's id.
        user_id: UserId,
        /// Which data, and how results are printed.
        #[command(flatten)]
        common: Common,
    },
    /// List access keys.
    List {
        /// Only this user's.
        #[arg(long, value_name = "USER_ID")]
        user: Option<UserId>,
        /// Which data, and how results are printed.
        #[command(flatten)]
        common: Common,
    },
    /// Revoke an access key for ever.
    Revoke {
        /// The key's id.
        key_id: KeyId,
        /// Which data, and how results are printed.
        #[command(flatten)]
        common: Common,
    },
}

/// Manage the Bedrock API keys bound to access keys.
#[derive(Debug, Subcommand)]
pub enum BedrockKeyVerb {
    /// Register the Bedrock API key of an access key. It is asked for, or read from standard input
    /// when that is not a terminal; never given as an argument, where every process could read it.
    Set {
        /// The access key's id.
        key_id: KeyId,
        /// The AWS region that this access key uses from now on. A short-term key knows its own.
        #[arg(long)]
        region: Option<String>,
        /// Which data, and how results are printed.
        #[command(flatten)]
        common: Common,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }
}
