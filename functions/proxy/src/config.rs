//! The settings of a deployment. [`Deployment::from_env`] is the only reader of the environment; local
//! mode fills [`Settings`] itself.

use std::time::Duration;

use domain::bedrock::{Dialect, ModelPreset};
use domain::policy::{POLICY_SETTINGS, Policy, PolicyChange};
use domain::setting::{InvalidSetting, Values};
use http::StatusCode;
use store::cache::CachePolicy;

use crate::metrics::Metrics;

/// What is the same for every request of a deployment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Plan is: scheme and authority, perhaps a path prefix, no trailing slash.
    pub plan_url: String,
    /// Where the Bedrock Runtime is; `None` for AWS's own endpoint of each user's region.
    pub bedrock_url: Option<String>,
    /// Which Bedrock API carries the requests of users without a dialect of their own.
    pub dialect: Dialect,
    /// What serves requests on Bedrock for users without a preset of their own.
    pub models: ModelPreset,
    /// Where metrics go.
    pub metrics: Metrics,
    /// What an unknown, malformed, revoked or expired key is answered with (requirement R1.4).
    pub unknown_key: UnknownKey,
    /// How long keys are cached.
    pub keys: CachePolicy,
    /// When requests fall back, for users and keys without a policy of their own.
    pub policy: Policy,
    /// How long upstreams may be silent.
    pub deadlines: Deadlines,
}

/// The answer to a key that is not served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownKey {
    /// 404 `not_found_error`, which says the least. Claude Code then names the model as the
    /// culprit and drops the message.
    #[default]
    NotFound,
    /// 401 `authentication_error`, whose message Claude Code shows to its user.
    Unauthorized,
}

/// The variable that says what an unknown key is answered with.
pub const UNKNOWN_KEY_STATUS: &str = "SPILLWAY_UNKNOWN_KEY_STATUS";

/// A text was not one of the two statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 404 or 401")]
pub struct MalformedStatus;

impl std::str::FromStr for UnknownKey {
    type Err = MalformedStatus;

    fn from_str(text: &str) -> Result<Self, MalformedStatus> {
        match text {
            "404" => Ok(Self::NotFound),
            "401" => Ok(Self::Unauthorized),
            _ => Err(MalformedStatus),
        }
    }
}

impl UnknownKey {
    /// Its HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
        }
    }
}

/// How long upstreams may take. Nothing waits without one of these.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// TCP and TLS to either upstream.
    pub connect: Duration,
    /// Between two pieces of a request's body.
    pub request_idle: Duration,
    /// From the request to the status line of a streamed answer, of whichever upstream. Claude Code and API
    /// Gateway give up after 300 s without a byte.
    pub first_byte: Duration,
    /// From the request to the end of an answer that is not streamed, on both legs together: the model
    /// writes all of it before the first byte. The official SDKs wait 600 s.
    pub whole_answer: Duration,
    /// Between two pieces of a stream.
    pub idle: Duration,
    /// From the request to the last byte of its answer. API Gateway ends every stream after 900 s;
    /// Spillway ends it first, with an error that the client understands. On Lambda the end of the
    /// invocation is a limit too.
    pub total: Duration,
    /// Reading an access key. Without it nothing goes on, so that it may take longer than a breaker.
    pub key: Duration,
    /// One operation on a breaker's state. A table that is slower is treated as one that is down:
    /// traffic flows as if the breaker were closed.
    pub store: Duration,
    /// A `ping` is sent after this much silence of Bedrock, which sends none of its own.
    pub ping: Duration,
    /// How long a connection to Plan is kept for another request. A longer time makes it likelier that
    /// Plan closes it at the moment when a request is sent.
    pub pool_idle: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request_idle: Duration::from_secs(30),
            first_byte: Duration::from_secs(290),
            whole_answer: Duration::from_mins(10),
            idle: Duration::from_secs(290),
            total: Duration::from_secs(890),
            key: Duration::from_secs(5),
            store: Duration::from_secs(1),
            ping: Duration::from_secs(15),
            pool_idle: Duration::from_secs(30),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            plan_url: PLAN_URL.to_owned(),
            bedrock_url: None,
            dialect: Dialect::default(),
            models: ModelPreset::default(),
            metrics: Metrics::Off,
            unknown_key: UnknownKey::default(),
            keys: CachePolicy::default(),
            policy: Policy::default(),
            deadlines: Deadlines::default(),
        }
    }
}

/// Anthropic's API.
pub const PLAN_URL: &str = "https://api.anthropic.com";

/// What the Lambda function needs besides its settings: where AWS is, and what things are called
/// there.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The settings.
    pub settings: Settings,
    /// The access table's name: `SPILLWAY_ACCESS_TABLE`.
    pub access_table: String,
    /// The server secret's name or ARN: `SPILLWAY_SERVER_SECRET`.
    pub server_secret: String,
    /// The id, ARN or alias of the KMS key under which Bedrock keys are sealed: `SPILLWAY_KMS_KEY`.
    pub kms_key: String,
    /// The default Plan key's secret, if the deployment has one: `SPILLWAY_PLAN_KEY_SECRET`
    /// (requirement R1.6). It serves messages, token counting and the list of models only: the rest of
    /// the API would show one developer what others keep in the workspace.
    pub plan_key_secret: Option<String>,
    /// `AWS_REGION`, which Lambda sets.
    pub region: String,
    /// The function's role: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`,
    /// which Lambda sets.
    pub credentials: aws_credential_types::Credentials,
    /// `AWS_ENDPOINT_URL`: another AWS than the real one, for trials.
    pub endpoint_url: Option<String>,
}

/// A variable of the environment is missing or wrong. The function does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It must be set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// It is set to something that cannot be used.
    #[error("the environment variable {name} must be {expected}")]
    Invalid {
        /// Which one.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A setting of the policy has a value of another form.
    #[error("the environment variable {name} must be {values}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// The values that the setting takes.
        values: Values,
    },
    /// A number of the policy is out of its range.
    #[error("the deployment's policy: {0}")]
    Policy(InvalidSetting),
}

impl Deployment {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// [`ConfigError`], which names the variable.
    pub fn from_env() -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this is the only reader")]
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let required = |name| variable(name).ok_or(ConfigError::Missing(name));
        let defaults = Settings::default();
        let plan_url = base_url(&variable, "SPILLWAY_PLAN_URL")?.unwrap_or(defaults.plan_url);
        let bedrock_url = base_url(&variable, "SPILLWAY_BEDROCK_URL")?;
        let unknown_key = word(&variable, UNKNOWN_KEY_STATUS, "404 or 401")?;
        let models = word(&variable, "SPILLWAY_MODELS", "one or family")?;
        let dialect = match variable("SPILLWAY_DIALECT").as_deref() {
            None | Some("converse") => Dialect::Converse,
            Some("invoke") => Dialect::Invoke,
            Some("auto") => Dialect::Auto,
            Some(_) => {
                let name = "SPILLWAY_DIALECT";
                return Err(ConfigError::Invalid {
                    name,
                    expected: "converse, invoke or auto",
                });
            }
        };
        let mut keys = CachePolicy::default();
        let seconds = |name, expected| match variable(name) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(seconds @ 1..=60) => Ok(Some(Duration::from_secs(seconds))),
                Ok(_) | Err(_) => Err(ConfigError::Invalid { name, expected }),
            },
        };
        let a_minute = "a whole number of seconds from 1 to 60";
        if let Some(bound) = seconds("SPILLWAY_REVOCATION_SECONDS", a_minute)? {
            keys.revocation_bound = bound;
        }
        if let Some(bound) = seconds("SPILLWAY_BREAKER_CACHE_SECONDS", a_minute)? {
            keys.breaker = bound;
        }
        let policy = defaults.policy.with(&policy(&variable)?);
        let credentials = aws_credential_types::Credentials::new(
            required("AWS_ACCESS_KEY_ID")?,
            required("AWS_SECRET_ACCESS_KEY")?,
            variable("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        Ok(Self {
            settings: Settings {
                plan_url,
                bedrock_url,
                dialect,
                models: models.unwrap_or(defaults.models),
                metrics: Metrics::EmbeddedInLog,
                unknown_key: unknown_key.unwrap_or(defaults.unknown_key),
                keys,
                policy,
                deadlines: defaults.deadlines,
            },
            access_table: variable("SPILLWAY_ACCESS_TABLE")
                .unwrap_or_else(|| store::layout::ACCESS.default_name.to_owned()),
            server_secret: required("SPILLWAY_SERVER_SECRET")?,
            kms_key: required("SPILLWAY_KMS_KEY")?,
            plan_key_secret: variable("SPILLWAY_PLAN_KEY_SECRET"),
            region: required("AWS_REGION")?,
            credentials,
            endpoint_url: base_url(&variable, "AWS_ENDPOINT_URL")?,
        })
    }
}

/// A variable that is one of several words.
fn word<T: std::str::FromStr>(
    variable: impl Fn(&str) -> Option<String>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, ConfigError> {
    match variable(name).map(|text| text.parse()) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) => Err(ConfigError::Invalid { name, expected }),
    }
}

/// The deployment's own policy: a variable for each of [`POLICY_SETTINGS`].
fn policy(variable: impl Fn(&str) -> Option<String>) -> Result<PolicyChange, ConfigError> {
    let mut change = PolicyChange::default();
    for setting in POLICY_SETTINGS {
        let Some(text) = variable(setting.variable) else {
            continue;
        };
        let value = setting.values.parse(&text).ok_or(ConfigError::Setting {
            name: setting.variable,
            values: setting.values,
        })?;
        setting
            .set(&mut change, value)
            .map_err(ConfigError::Policy)?;
    }
    change.checked().map_err(ConfigError::Policy)
}

fn base_url(
    variable: impl Fn(&str) -> Option<String>,
    name: &'static str,
) -> Result<Option<String>, ConfigError> {
    let Some(text) = variable(name) else {
        return Ok(None);
    };
    parse_base_url(&text).map(Some).ok_or(ConfigError::Invalid {
        name,
        expected: "a URL such as https://api.anthropic.com, without query or fragment",
    })
}

/// Reads the base URL of an upstream: `http` or `https`, a host, perhaps a path prefix. A trailing
/// slash is dropped. `None` for anything else.
pub fn parse_base_url(text: &str) -> Option<String> {
    let uri: http::Uri = text.parse().ok()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_plain = uri.query().is_none() && !text.contains(['#', '@']);
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    (is_web && is_plain && has_host).then(|| text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use domain::policy::{BreakerScope, FallbackClass};

    use super::*;

    fn read(extra: &[(&str, &str)]) -> Result<Deployment, ConfigError> {
        let mut all = vec![
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("SPILLWAY_SERVER_SECRET", "spillway/server"),
            ("SPILLWAY_KMS_KEY", "alias/spillway"),
        ];
        all.splice(0..0, extra.iter().copied());
        Deployment::read(|name| {
            let found = all.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned()).filter(|value| !value.is_empty())
        })
    }

    #[test]
    fn the_defaults_are_the_real_endpoints() {
        let deployment = read(&[]).unwrap();
        assert_eq!(deployment.settings.plan_url, "https://api.anthropic.com");
        assert_eq!(deployment.settings.bedrock_url, None);
        assert_eq!(deployment.settings.unknown_key, UnknownKey::NotFound);
        assert_eq!(
            deployment.settings.keys.revocation_bound,
            Duration::from_mins(1)
        );
        assert_eq!(deployment.endpoint_url, None);
    }

    #[test]
    fn a_wrong_variable_is_named_with_what_it_must_be() {
        let cases = [
            (
                "AWS_REGION",
                "",
                "the environment variable AWS_REGION is not set",
            ),
            (
                "SPILLWAY_KMS_KEY",
                "",
                "the environment variable SPILLWAY_KMS_KEY is not set",
            ),
            (
                "SPILLWAY_UNKNOWN_KEY_STATUS",
                "403",
                "the environment variable SPILLWAY_UNKNOWN_KEY_STATUS must be 404 or 401",
            ),
            (
                "SPILLWAY_REVOCATION_SECONDS",
                "61",
                "the environment variable SPILLWAY_REVOCATION_SECONDS must be a whole number of \
                 seconds from 1 to 60",
            ),
            (
                "SPILLWAY_MODELS",
                "best",
                "the environment variable SPILLWAY_MODELS must be one or family",
            ),
            (
                "SPILLWAY_DIALECT",
                "openai",
                "the environment variable SPILLWAY_DIALECT must be converse, invoke or auto",
            ),
            (
                "SPILLWAY_FALLBACK_ON",
                "usage_limit,everything",
                "the environment variable SPILLWAY_FALLBACK_ON must be a comma-separated list \
                 of usage_limit, rate_limited, entitlement, overloaded, broken",
            ),
            (
                "SPILLWAY_BREAKER_LEASE_SECONDS",
                "1",
                "the deployment's policy: breaker_lease_s must be a whole number from 5 to 900, \
                 not 1",
            ),
            (
                "SPILLWAY_PLAN_URL",
                "api.anthropic.com",
                "the environment variable SPILLWAY_PLAN_URL must be a URL such as \
                 https://api.anthropic.com, without query or fragment",
            ),
        ];
        for (name, value, expected) in cases {
            assert_eq!(read(&[(name, value)]).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn the_policy_of_a_deployment_is_read_variable_by_variable() {
        let deployment = read(&[
            ("SPILLWAY_FALLBACK_ON", "usage_limit, broken"),
            ("SPILLWAY_BREAKER_FAILURES", "5"),
            ("SPILLWAY_BREAKER_SCOPE", "deployment"),
            ("SPILLWAY_BREAKER_CACHE_SECONDS", "2"),
        ])
        .unwrap();
        let policy = deployment.settings.policy;
        assert_eq!(
            policy.fallback_on,
            [FallbackClass::UsageLimit, FallbackClass::Broken].into()
        );
        assert_eq!(policy.breaker.failures, 5);
        assert_eq!(policy.breaker.scope, BreakerScope::Deployment);
        assert_eq!(policy.breaker.open_for, Duration::from_mins(30));
        assert_eq!(deployment.settings.keys.breaker, Duration::from_secs(2));
    }

    #[test]
    fn a_base_url_is_a_place_and_nothing_more() {
        assert_eq!(
            parse_base_url("http://127.0.0.1:1/").as_deref(),
            Some("http://127.0.0.1:1")
        );
        assert_eq!(
            parse_base_url("https://host/prefix").as_deref(),
            Some("https://host/prefix")
        );
        for wrong in [
            "",
            "host",
            "ftp://host",
            "https://",
            "https://host/?a=b",
            "http://u:p@host",
        ] {
            assert_eq!(parse_base_url(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_functions_secrets_are_not_in_its_debug_output() {
        assert!(!format!("{:?}", read(&[]).unwrap()).contains("secret\""));
    }
}
