//! Bedrock settings: region, models, dialect. Data only; the capability table of the models is in the
//! `dialect` crate.

use serde::{Deserialize, Serialize};

/// The Bedrock model used when no rule of the model map matches (requirement R3.1).
pub const DEFAULT_MODEL_ID: &str = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";

/// The Bedrock region of a user without a region setting (requirement R3.1).
pub const DEFAULT_REGION: &str = "ap-northeast-2";

/// The Bedrock API that carries a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `Converse` and `ConverseStream`: the body is translated both ways.
    #[default]
    Converse,
    /// `InvokeModel` and `InvokeModelWithResponseStream`: the native Anthropic body, reduced.
    Invoke,
    /// `Converse`, unless a part of the request exists in `InvokeModel` only.
    Auto,
}

/// A model of Bedrock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BedrockModel {
    /// The id in the request's URL: a foundation model id, an inference profile id such as
    /// `global.anthropic.claude-sonnet-4-5-20250929-v1:0`, or an (application) inference profile ARN.
    pub id: String,
    /// The foundation model behind an ARN that does not name it. Required for application
    /// inference profiles, because the ARN does not show their capabilities.
    pub base_model: Option<String>,
}

impl BedrockModel {
    /// A model whose id contains its family.
    pub fn named(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            base_model: None,
        }
    }
}

/// One line of a model map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRule {
    /// A Claude model name as the client requests it. `*` stands for any characters:
    /// `claude-opus-*`.
    pub requested: String,
    /// The model that serves the matching requests.
    pub serve: BedrockModel,
}

/// The map from requested models to Bedrock models. The first rule that matches wins. Without a match, a request
/// that names a Bedrock id or ARN is served by that model, and any other by `default`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelMap {
    /// The rules, in the order of the check.
    pub rules: Vec<ModelRule>,
    /// The model for requests without a matching rule.
    pub default: BedrockModel,
}

impl Default for ModelMap {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            default: BedrockModel::named(DEFAULT_MODEL_ID),
        }
    }
}

/// The choice of the model for requests without a matching rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelPreset {
    /// The model map's default serves all of them.
    #[default]
    One,
    /// A request for a Haiku, Sonnet or Opus of any generation is served by that family's current
    /// model, and any other by the model map's default.
    Family,
}

/// A text that is not a preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one or family")]
pub struct UnknownPreset;

impl std::str::FromStr for ModelPreset {
    type Err = UnknownPreset;

    fn from_str(text: &str) -> Result<Self, UnknownPreset> {
        match text {
            "one" => Ok(Self::One),
            "family" => Ok(Self::Family),
            _ => Err(UnknownPreset),
        }
    }
}

/// The Bedrock settings in force for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BedrockSettings {
    /// An AWS region name, such as `ap-northeast-2`.
    pub region: String,
    /// The map from requested models to Bedrock models.
    pub models: ModelMap,
    /// The preset for requests without a matching rule; the deployment's when absent.
    pub preset: Option<ModelPreset>,
    /// The API that carries the request; the deployment's when absent.
    pub dialect: Option<Dialect>,
}

impl Default for BedrockSettings {
    fn default() -> Self {
        Self {
            region: DEFAULT_REGION.to_owned(),
            models: ModelMap::default(),
            preset: None,
            dialect: None,
        }
    }
}

/// The Bedrock settings that a user or a key has instead of the ones below it; `None` where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BedrockOverrides {
    /// An AWS region name.
    pub region: Option<String>,
    /// The model for requests without a matching rule.
    pub model: Option<BedrockModel>,
    /// The rules; they replace all rules of the level below.
    pub rules: Option<Vec<ModelRule>>,
    /// The preset for requests without a matching rule.
    pub preset: Option<ModelPreset>,
    /// The Bedrock API that carries the requests.
    pub dialect: Option<Dialect>,
}

impl BedrockSettings {
    /// These settings with those of `overrides` in place of their own.
    #[must_use]
    pub fn with(mut self, overrides: &BedrockOverrides) -> Self {
        if let Some(region) = &overrides.region {
            self.region.clone_from(region);
        }
        if let Some(model) = &overrides.model {
            self.models.default.clone_from(model);
        }
        if let Some(rules) = &overrides.rules {
            self.models.rules.clone_from(rules);
        }
        self.preset = overrides.preset.or(self.preset);
        self.dialect = overrides.dialect.or(self.dialect);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn override_replaces_its_own_setting_only() {
        let user = BedrockOverrides {
            region: Some("eu-central-1".to_owned()),
            model: Some(BedrockModel::named("one")),
            dialect: Some(Dialect::Invoke),
            ..BedrockOverrides::default()
        };
        let key = BedrockOverrides {
            model: Some(BedrockModel::named("two")),
            preset: Some(ModelPreset::One),
            ..BedrockOverrides::default()
        };
        let settings = BedrockSettings::default().with(&user).with(&key);
        assert_eq!(settings.region, "eu-central-1");
        assert_eq!(settings.models.default, BedrockModel::named("two"));
        assert_eq!(settings.preset, Some(ModelPreset::One));
        assert_eq!(settings.dialect, Some(Dialect::Invoke));
    }
}
