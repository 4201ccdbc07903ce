//! The command-line arguments.

mod policy;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Parser, Subcommand, ValueEnum};
use domain::bedrock::{BedrockModel, Dialect, ModelPreset, ModelRule};
use domain::id::{KeyId, UserId};
use proxy::config::UnknownKey;
use simulators::plan::DEFAULT_PLAN_REQUESTS;

pub use self::policy::PolicyOptions;

/// Default address of `spillway up`.
pub const LISTEN: &str = "127.0.0.1:8787";

/// A team proxy for Claude Code: each developer's own Claude plan first, and Amazon Bedrock, with
/// the developer's own key, when the plan is exhausted.
#[derive(Debug, Parser)]
#[command(name = "spillway", version, propagate_version = true)]
pub struct Args {
    /// The command.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The command.
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
    /// Show and reset breakers.
    #[command(subcommand)]
    Breaker(BreakerVerb),
    /// Rehearse what happens when Plan or Bedrock fails: against simulators, without an account. Fails
    /// when a drill does not go as it must.
    Drill(Drill),
}

/// Start Spillway on this machine.
#[derive(Debug, Parser)]
pub struct Up {
    /// The folder that keeps users and keys. Default: the platform's data folder; the demo has one of
    /// its own.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Keep all data in memory only: it is gone when Spillway stops.
    #[arg(long, conflicts_with = "data")]
    pub memory: bool,
    /// The address to listen on; port 0 takes any free port.
    #[arg(long, value_name = "ADDR", default_value = LISTEN)]
    pub listen: SocketAddr,
    /// Allow an address that other machines can reach. Access keys then travel over that network
    /// without TLS: put a TLS proxy in front.
    #[arg(long)]
    pub allow_remote: bool,
    /// The URL of Anthropic's API.
    #[arg(long, value_name = "URL", default_value = proxy::config::PLAN_URL)]
    pub plan_url: String,
    /// The URL of the Bedrock Runtime. Default: AWS's endpoint of each user's region.
    #[arg(long, value_name = "URL")]
    pub bedrock_url: Option<String>,
    /// Simulate Claude plan and Bedrock on this machine, so that no account is needed. Users and keys
    /// are kept apart from the real ones: give --demo to the other commands too.
    #[arg(long, conflicts_with_all = ["plan_url", "bedrock_url"])]
    pub demo: bool,
    /// How many requests the simulated plan answers before it is exhausted.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PLAN_REQUESTS, requires = "demo")]
    pub demo_plan_requests: u64,
    /// The models that serve requests on Bedrock, for users and keys without models of their own. Default: one.
    #[arg(long, value_enum)]
    pub models: Option<Models>,
    /// The status for an unknown access key: 401, whose message Claude Code shows, or 404, which reveals the
    /// least. Default: 401, or the value of `SPILLWAY_UNKNOWN_KEY_STATUS`.
    #[arg(long, value_name = "STATUS")]
    pub unknown_key_status: Option<UnknownKey>,
    /// The form of the output when Spillway is ready: text, or one line of JSON.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// The level of the log, which is written to standard error.
    #[arg(long, value_enum, default_value_t)]
    pub log_level: LogLevel,
    /// The form of the log. Default: text when standard error is a terminal, else json.
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    /// Maximum time for open streams after a signal to stop, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub drain: u64,
    /// The policy of users and keys that have none of their own.
    #[command(flatten)]
    pub policy: PolicyOptions,
}

/// The form of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A short line per request, for people.
    Text,
    /// A JSON object per line, for programs.
    Json,
}

/// The models that serve requests on Bedrock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Models {
    /// One model serves all requests.
    One,
    /// A request for a Haiku, Sonnet or Opus is served by that family's current model.
    Family,
}

impl From<Models> for ModelPreset {
    fn from(models: Models) -> Self {
        match models {
            Models::One => Self::One,
            Models::Family => Self::Family,
        }
    }
}

/// The level of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Errors that a person should look at.
    Error,
    /// Errors, and warnings about degraded operation.
    Warn,
    /// Errors, warnings, and one line per request.
    #[default]
    Info,
    /// All of these, details for finding defects, and the parts of a request that were left out for Bedrock. Never keys, prompts or responses.
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

/// The data folder and the form of results.
#[derive(Debug, Parser)]
pub struct Common {
    /// The data folder. Default: the platform's data folder.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The data of `spillway up --demo`.
    #[arg(long, conflicts_with = "data")]
    pub demo: bool,
    /// The form of the result.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Settings of a user or a key.
#[derive(Debug, Parser)]
pub struct Settings {
    /// The AWS region of the Bedrock calls.
    #[arg(long)]
    pub region: Option<String>,
    /// The Bedrock model that serves the requests: a model id, an inference profile, or an ARN.
    #[arg(long, value_name = "ID")]
    pub model: Option<String>,
    /// The foundation model behind --model, when that is an application inference profile's ARN.
    #[arg(long, value_name = "ID", requires = "model")]
    pub base_model: Option<String>,
    /// The models that serve requests on Bedrock that no --map names. With family, --model serves the rest.
    #[arg(long, value_enum)]
    pub models: Option<Models>,
    /// Another model for some requests: `claude-opus-*=ID`, or `claude-opus-*=ARN,FOUNDATION_ID`.
    /// May be given several times; the first that fits wins.
    #[arg(long, value_name = "NAME=ID", value_parser = model_rule)]
    pub map: Vec<ModelRule>,
    /// The Bedrock API that carries the requests.
    #[arg(long, value_enum)]
    pub dialect: Option<DialectName>,
    /// The policy settings.
    #[command(flatten)]
    pub policy: PolicyOptions,
}

fn model_rule(text: &str) -> Result<ModelRule, String> {
    let (requested, id) = text
        .split_once('=')
        .filter(|(requested, id)| !requested.is_empty() && !id.is_empty())
        .ok_or("must be NAME=ID, such as claude-opus-*=global.anthropic.claude-opus-4-6-v1")?;
    let (id, base_model) = match id.split_once(',') {
        Some((id, base_model)) => (id, Some(base_model.to_owned())),
        None => (id, None),
    };
    let serve = BedrockModel {
        id: id.to_owned(),
        base_model,
    };
    Ok(ModelRule {
        requested: requested.to_owned(),
        serve,
    })
}

impl From<Settings> for admin::Settings {
    fn from(settings: Settings) -> Self {
        let base_model = settings.base_model;
        Self {
            region: settings.region,
            model: settings.model.map(|id| BedrockModel { id, base_model }),
            models: settings.models.map(Into::into),
            rules: settings.map,
            dialect: settings.dialect.map(Into::into),
            policy: settings.policy.0,
        }
    }
}

/// Manage users.
#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// Add a user.
    Create {
        /// The user's name.
        name: String,
        /// The team, by which usage is summed besides the user: 1 to 64 characters without `#`.
        #[arg(long)]
        team: Option<String>,
        /// Free text: 1 to 256 characters.
        #[arg(long)]
        description: Option<String>,
        /// The user's settings.
        #[command(flatten)]
        settings: Box<Settings>,
        /// The data folder and the form of results.
        #[command(flatten)]
        common: Common,
    },
    /// List all users.
    List {
        /// The data folder and the form of results.
        #[command(flatten)]
        common: Common,
    },
}

/// The Bedrock API that carries requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DialectName {
    /// Converse and `ConverseStream`.
    Converse,
    /// `InvokeModel` and `InvokeModelWithResponseStream`.
    Invoke,
    /// Converse, unless a part of the request exists in `InvokeModel` only.
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
        /// The key's own settings, where they differ from the user's.
        #[command(flatten)]
        settings: Box<Settings>,
        /// The data folder and the form of results.
        #[command(flatten)]
        common: Common,
    },
    /// List access keys.
    List {
        /// Only this user's.
        #[arg(long, value_name = "USER_ID")]
        user: Option<UserId>,
        /// The data folder and the form of results.
        #[command(flatten)]
        common: Common,
    },
    /// Revoke an access key permanently.
    Revoke {
        /// The key's id.
        key_id: KeyId,
        /// The data folder and the form of results.
        #[command(flatten)]
        common: Common,
    },
}

/// Manage the Bedrock API keys bound to access keys.
#[derive(Debug, Subcommand)]
pub enum BedrockKeyVerb {
    /// Register the Bedrock API key of an access key. It is typed at a prompt, or read from standard input
    /// when that is not a terminal; it is no argument, because every process can read arguments.
    Set {
        /// The access key's id.
        key_id: KeyId,
        /// The AWS region that this access key uses from now on. Default: the region of a short-term key.
        #[arg(long)]
        region: Option<String>,
        /// The data folder and the form of results.
        #[command(flatten)]
        common: Common,
    },
}

/// Show and reset breakers.
#[derive(Debug, Subcommand)]
pub enum BreakerVerb {
    /// Show breakers: of one access key, or all that have been written at least once.
    Show {
        /// The access key's id.
        key_id: Option<KeyId>,
        /// The data folder and the form of results.
        #[command(flatten)]
        common: Common,
    },
    /// Close breakers, so that requests go to Plan again.
    Reset {
        /// The access key's id.
        #[arg(required_unless_present_any = ["deployment", "all"])]
        key_id: Option<KeyId>,
        /// The breaker of the whole deployment.
        #[arg(long, conflicts_with = "key_id")]
        deployment: bool,
        /// All breakers.
        #[arg(long, conflicts_with_all = ["key_id", "deployment"])]
        all: bool,
        /// The data folder and the form of results.
        #[command(flatten)]
        common: Common,
    },
}

/// Rehearse what happens when Plan or Bedrock fails.
#[derive(Debug, Parser)]
pub struct Drill {
    /// The drills. Default: all.
    #[arg(value_name = "NAME", value_parser = drill_names())]
    pub names: Vec<String>,
    /// The form of the result: a table, or one line of JSON per drill.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

fn drill_names() -> PossibleValuesParser {
    let scenarios = crate::drill::scenarios().into_iter();
    PossibleValuesParser::new(
        scenarios.map(|scenario| PossibleValue::new(scenario.name).help(scenario.about)),
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_model_rule_names_both_sides() {
        let rule =
            model_rule("claude-opus-*=arn:aws:bedrock:x,anthropic.claude-opus-4-6-v1").unwrap();
        assert_eq!(rule.requested, "claude-opus-*");
        assert_eq!(rule.serve.id, "arn:aws:bedrock:x");
        assert_eq!(
            rule.serve.base_model.as_deref(),
            Some("anthropic.claude-opus-4-6-v1")
        );
        for wrong in ["", "claude", "=id", "claude="] {
            assert!(model_rule(wrong).is_err(), "{wrong}");
        }
    }
}
