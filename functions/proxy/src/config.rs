//! The settings of the proxy. [`Deployment::read`] reads them from the environment of the function; on one machine
//! the command fills [`Settings`].

use std::time::Duration;

use domain::bedrock::{Dialect, ModelPreset};
use domain::policy::Policy;
use http::StatusCode;
use service::aws::AwsSettings;
use service::environment::{ConfigError, Environment};
use service::metrics::Metrics;
use store::cache::CachePolicy;

/// The settings that all requests of a deployment share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base URL of Plan: scheme, authority and optional path prefix, without a trailing slash.
    pub plan_url: String,
    /// The base URL of the Bedrock Runtime; `None` for AWS's endpoint of each user's region.
    pub bedrock_url: Option<String>,
    /// The Bedrock API for users without a dialect in their settings.
    pub dialect: Dialect,
    /// The Bedrock models for users without a preset in their settings.
    pub models: ModelPreset,
    /// The destination of metrics.
    pub metrics: Metrics,
    /// The response to an unknown, malformed, revoked or expired key (requirement R1.4).
    pub unknown_key: UnknownKey,
    /// The lifetimes of cached keys and breakers.
    pub keys: CachePolicy,
    /// The fallback policy for users and keys without one in their settings.
    pub policy: Policy,
    /// The time limits of a request.
    pub deadlines: Deadlines,
}

/// The response to a key that is not served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownKey {
    /// 404 `not_found_error`, which reveals the least. Claude Code then shows a problem with the model, without
    /// the message.
    #[default]
    NotFound,
    /// 401 `authentication_error`, whose message Claude Code shows to its user.
    Unauthorized,
}

/// The variable with the status of the response to an unknown key: `404` or `401`.
pub const UNKNOWN_KEY_STATUS: &str = "SPILLWAY_UNKNOWN_KEY_STATUS";

/// A text is neither `404` nor `401`.
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
    /// The HTTP status of the response.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
        }
    }
}

/// The time limits of a request. Each wait has one of them.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Maximum time to connect to an upstream: TCP and TLS.
    pub connect: Duration,
    /// Maximum time between two chunks of a request's body.
    pub request_idle: Duration,
    /// Maximum time from the request to the status line of a streamed response of either upstream. Claude Code
    /// and API Gateway give up after 300 s without a byte.
    pub first_byte: Duration,
    /// Maximum time from the request to the end of a response that is not streamed, for both upstreams together:
    /// the model writes all of it before the first byte. The official SDKs wait 600 s.
    pub whole_answer: Duration,
    /// Maximum time between two chunks of a stream.
    pub idle: Duration,
    /// Maximum time from the request to the last byte of its response. API Gateway ends every stream after 900 s;
    /// Spillway ends it earlier, with an error of the Messages API. On Lambda the end of the invocation is a limit
    /// too.
    pub total: Duration,
    /// Maximum time to read an access key. It is longer than that of a breaker, as no request is served without its
    /// key.
    pub key: Duration,
    /// Maximum time of one operation on a breaker's state. After it the table counts as unavailable and the
    /// breaker as closed.
    pub store: Duration,
    /// Time without an event from Bedrock after which a `ping` is sent. Bedrock sends no pings.
    pub ping: Duration,
    /// Lifetime of an idle connection to Plan. The longer it is, the likelier Plan closes a connection while a
    /// request is being sent on it.
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

/// The base URL of Anthropic's API.
pub const PLAN_URL: &str = "https://api.anthropic.com";

/// The settings of the Lambda function, with the AWS resources that it uses.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The settings.
    pub settings: Settings,
    /// The name of the access table: `SPILLWAY_ACCESS_TABLE`.
    pub access_table: String,
    /// The name or ARN of the server secret: `SPILLWAY_SERVER_SECRET`.
    pub server_secret: String,
    /// The id, ARN or alias of the KMS key that encrypts Bedrock keys: `SPILLWAY_KMS_KEY`.
    pub kms_key: String,
    /// The secret with the default Plan key, if the deployment has one: `SPILLWAY_PLAN_KEY_SECRET`
    /// (requirement R1.6). The key serves messages, token counting and the list of models only: the rest of
    /// the API would show one developer the data of the others in the workspace.
    pub plan_key_secret: Option<String>,
    /// The region, role and endpoint of the AWS calls.
    pub aws: AwsSettings,
}

impl Deployment {
    /// Reads the settings of the function from its environment.
    ///
    /// # Errors
    /// [`ConfigError`], which names the variable or the setting.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let defaults = Settings::default();
        let plan_url = environment
            .base_url("SPILLWAY_PLAN_URL")?
            .unwrap_or(defaults.plan_url);
        let bedrock_url = environment.base_url("SPILLWAY_BEDROCK_URL")?;
        let unknown_key = environment.parsed(UNKNOWN_KEY_STATUS, "404 or 401")?;
        let models = environment.parsed("SPILLWAY_MODELS", "one or family")?;
        let dialect = match environment.get("SPILLWAY_DIALECT").as_deref() {
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
        let seconds = |name, expected| match environment.get(name) {
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
        let policy = defaults.policy.with(&environment.policy()?);
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
            access_table: environment
                .get("SPILLWAY_ACCESS_TABLE")
                .unwrap_or_else(|| store::layout::ACCESS.default_name.to_owned()),
            server_secret: environment.required("SPILLWAY_SERVER_SECRET")?,
            kms_key: environment.required("SPILLWAY_KMS_KEY")?,
            plan_key_secret: environment.get("SPILLWAY_PLAN_KEY_SECRET"),
            aws: AwsSettings::read(environment)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use domain::policy::{BreakerScope, FallbackClass};

    use super::*;

    fn read(extra: &[(&'static str, &'static str)]) -> Result<Deployment, ConfigError> {
        let mut all = vec![
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("SPILLWAY_SERVER_SECRET", "spillway/server"),
            ("SPILLWAY_KMS_KEY", "alias/spillway"),
        ];
        all.splice(0..0, extra.iter().copied());
        Deployment::read(&Environment::from_fn(move |name| {
            let (_, value) = all.iter().find(|(variable, _)| *variable == name)?;
            Some((*value).to_owned())
        }))
    }

    #[test]
    fn endpoints_are_the_real_ones_by_default() {
        let deployment = read(&[]).unwrap();
        assert_eq!(deployment.settings.plan_url, "https://api.anthropic.com");
        assert_eq!(deployment.settings.bedrock_url, None);
        assert_eq!(deployment.settings.unknown_key, UnknownKey::NotFound);
        assert_eq!(
            deployment.settings.keys.revocation_bound,
            Duration::from_mins(1)
        );
        assert_eq!(deployment.aws.endpoint_url, None);
    }

    #[test]
    fn invalid_variable_is_named_with_its_valid_values() {
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
    fn policy_of_a_deployment_is_read_from_its_variables() {
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
    fn debug_output_of_a_deployment_has_no_secret() {
        assert!(!format!("{:?}", read(&[]).unwrap()).contains("secret\""));
    }
}
