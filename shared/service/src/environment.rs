//! The environment of a function. No other module of the functions reads environment variables.

use std::fmt;
use std::str::FromStr;

use domain::policy::{POLICY_SETTINGS, PolicyChange};
use domain::setting::{InvalidSetting, Values};

/// The environment variables of the process, or of a test.
pub struct Environment(Box<ReadVariable>);

type ReadVariable = dyn Fn(&str) -> Option<String>;

/// An environment variable is missing or invalid. The function does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required variable is not set, or empty.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// The value of a variable is invalid.
    #[error("the environment variable {name} must be {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// The description of its valid values.
        expected: &'static str,
    },
    /// The value of a variable of the policy has another form than its setting.
    #[error("the environment variable {name} must be {values}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// The valid values of the setting.
        values: Values,
    },
    /// A number of the policy is out of its range.
    #[error("the deployment's policy: {0}")]
    Policy(InvalidSetting),
}

impl Environment {
    /// The environment of the process.
    pub fn of_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the only reader")]
        Self::from_fn(|name| std::env::var(name).ok())
    }

    /// An environment in which `variable` returns the value of each name.
    pub fn from_fn(variable: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self(Box::new(variable))
    }

    /// The value of a variable. An empty variable counts as one that is not set.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The value of a variable that must be set.
    ///
    /// # Errors
    /// [`ConfigError::Missing`].
    pub fn required(&self, name: &'static str) -> Result<String, ConfigError> {
        self.get(name).ok_or(ConfigError::Missing(name))
    }

    /// The parsed value of a variable, `None` when it is not set. `expected` describes the valid values.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] when the value cannot be parsed.
    pub fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        let value = self.get(name).map(|text| text.parse());
        value
            .transpose()
            .map_err(|_| ConfigError::Invalid { name, expected })
    }

    /// The base URL in a variable, as [`parse_base_url`] returns it; `None` when the variable is not set.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] when the value is another text.
    pub fn base_url(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        parse_base_url(&text).map(Some).ok_or(ConfigError::Invalid {
            name,
            expected: "a URL such as https://api.anthropic.com, without query or fragment",
        })
    }

    /// The policy of the deployment: one variable for each of [`POLICY_SETTINGS`].
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for a value of another form, [`ConfigError::Policy`] for a number out of its
    /// range.
    pub fn policy(&self) -> Result<PolicyChange, ConfigError> {
        let mut change = PolicyChange::default();
        for setting in POLICY_SETTINGS {
            let Some(text) = self.get(setting.variable) else {
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
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Environment")
    }
}

/// Parses a base URL: `http` or `https`, a host, and optionally a path prefix. A trailing slash is removed.
/// Returns `None` for any other text.
pub fn parse_base_url(text: &str) -> Option<String> {
    let uri: http::Uri = text.parse().ok()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_plain = uri.query().is_none() && !text.contains(['#', '@']);
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    (is_web && is_plain && has_host).then(|| text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_variable_counts_as_not_set() {
        let environment = Environment::from_fn(|name| (name == "EMPTY").then(String::new));
        assert_eq!(environment.get("EMPTY"), None);
        assert_eq!(
            environment.required("EMPTY"),
            Err(ConfigError::Missing("EMPTY"))
        );
    }

    #[test]
    fn base_url_has_scheme_host_and_optional_prefix_only() {
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
}
