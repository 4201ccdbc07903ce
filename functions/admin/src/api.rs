//! The values of the admin API: what is shown of users, keys and Bedrock keys, and the settings that are
//! given. Times are RFC 3339 in UTC; no value has a secret, but for a new access key.

use std::collections::BTreeMap;

use domain::bedrock::{
    BedrockModel, BedrockOverrides, BedrockSettings, Dialect, ModelPreset, ModelRule,
};
use domain::bedrock_key::BedrockKeyKind;
use domain::grant::{KeyRecord, KeyStatus};
use domain::id::{KeyId, UserId};
use domain::key::MaskedKey;
use domain::policy::{PolicyChange, PolicySetting};
use domain::setting::SettingValue;
use domain::time::{MalformedTime, Timestamp};
use domain::user::{Overrides, User, UserStatus};
use serde::{Deserialize, Serialize};
use store::keys::{BindingSummary, ListedKey};

/// A time, in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(pub Timestamp);

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Time {
    type Error = MalformedTime;

    fn try_from(text: String) -> Result<Self, MalformedTime> {
        text.parse().map(Self)
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    /// The user's id.
    pub user_id: UserId,
    /// The user's name.
    pub name: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What usage is summed by, besides the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Whether the user's keys are served.
    pub status: UserStatus,
    /// The Bedrock settings in force for keys without settings of their own.
    pub bedrock: BedrockView,
    /// The policy settings of the user.
    pub policy: PolicyView,
    /// The time of creation.
    pub created_at: Time,
}

/// The Bedrock settings in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BedrockView {
    /// The AWS region.
    pub region: String,
    /// Which model serves which.
    pub models: ModelsView,
    /// What serves the requests that no rule names; the deployment's preset when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<ModelPreset>,
    /// The Bedrock API; the deployment's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
}

/// Which model serves which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelsView {
    /// The rules, checked in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleView>,
    /// Serves the requests that no rule names.
    pub default: ModelView,
}

/// A Bedrock model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelView {
    /// A model id, an inference profile id, or an ARN.
    pub id: String,
    /// The foundation model behind an ARN that does not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
}

/// One rule of a model map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleView {
    /// The name that a client requests, with `*` for any characters.
    pub requested: String,
    /// The model that serves it.
    pub serve: ModelView,
}

/// Policy settings, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyView(BTreeMap<String, serde_json::Value>);

/// An access key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// The key's id.
    pub key_id: KeyId,
    /// The id of its user.
    pub user_id: UserId,
    /// The name of its user.
    pub user_name: String,
    /// The team of its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The beginning of the key.
    pub masked: MaskedKey,
    /// Active or revoked.
    pub status: KeyStatus,
    /// The status of its user.
    pub user_status: UserStatus,
    /// The time from which the key is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// The time of issue.
    pub created_at: Time,
    /// The Bedrock settings in force.
    pub bedrock: BedrockView,
    /// The policy settings in force, of the key or its user.
    pub policy: PolicyView,
    /// Its Bedrock key, if one is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_key: Option<BedrockKeyView>,
}

/// The part of a Bedrock API key that may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BedrockKeyView {
    /// The token without its secret part.
    pub bedrock_key_masked: String,
    /// Long-term or short-term.
    pub bedrock_key_kind: BedrockKeyKind,
    /// The only region it works in, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_key_region: Option<String>,
    /// The time of its end, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_key_expires_at: Option<Time>,
    /// The time of its registration.
    pub bedrock_key_set_at: Time,
}

/// The settings of a user or a key that are given, as far as they differ from those of the level below.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SettingsJson", into = "SettingsJson")]
pub struct Settings {
    /// The AWS region.
    pub region: Option<String>,
    /// The Bedrock model that serves the requests that no rule names.
    pub model: Option<BedrockModel>,
    /// What serves the requests that no rule names.
    pub models: Option<ModelPreset>,
    /// Which model serves which requested one; they replace all rules of the level below. None: no change.
    pub rules: Vec<ModelRule>,
    /// Which Bedrock API carries the requests.
    pub dialect: Option<Dialect>,
    /// When requests fall back.
    pub policy: PolicyChange,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self {
            user_id: user.id.clone(),
            name: user.name.clone(),
            description: user.description.clone(),
            team: user.team.clone(),
            status: user.status,
            bedrock: BedrockSettings::default()
                .with(&user.settings.bedrock)
                .into(),
            policy: (&user.settings.policy).into(),
            created_at: user.created_at.into(),
        }
    }
}

impl KeyView {
    /// The view of a key with its Bedrock key.
    pub fn new(record: &KeyRecord, bedrock_key: Option<&BindingSummary>) -> Self {
        let policy = record.own.policy.clone();
        Self {
            key_id: record.key_id.clone(),
            user_id: record.user.id.clone(),
            user_name: record.user.name.clone(),
            team: record.user.team.clone(),
            masked: record.masked.clone(),
            status: record.status,
            user_status: record.user.status,
            expires_at: record.expires_at.map(Into::into),
            created_at: record.created_at.into(),
            bedrock: record.effective_bedrock(BedrockSettings::default()).into(),
            policy: (&policy.or(record.user.settings.policy.clone())).into(),
            bedrock_key: bedrock_key.map(Into::into),
        }
    }
}

impl From<&ListedKey> for KeyView {
    fn from(key: &ListedKey) -> Self {
        Self::new(&key.record, key.bedrock_key.as_ref())
    }
}

impl From<&BindingSummary> for BedrockKeyView {
    fn from(summary: &BindingSummary) -> Self {
        Self {
            bedrock_key_masked: summary.bedrock_key_masked.clone(),
            bedrock_key_kind: summary.bedrock_key_kind,
            bedrock_key_region: summary.bedrock_key_region.clone(),
            bedrock_key_expires_at: summary.bedrock_key_expires_at.map(Into::into),
            bedrock_key_set_at: summary.bedrock_key_set_at.into(),
        }
    }
}

impl From<BedrockSettings> for BedrockView {
    fn from(settings: BedrockSettings) -> Self {
        let rules = settings.models.rules.into_iter().map(Into::into);
        Self {
            region: settings.region,
            models: ModelsView {
                rules: rules.collect(),
                default: settings.models.default.into(),
            },
            preset: settings.preset,
            dialect: settings.dialect,
        }
    }
}

impl From<BedrockModel> for ModelView {
    fn from(model: BedrockModel) -> Self {
        Self {
            id: model.id,
            base_model: model.base_model,
        }
    }
}

impl From<ModelView> for BedrockModel {
    fn from(view: ModelView) -> Self {
        Self {
            id: view.id,
            base_model: view.base_model,
        }
    }
}

impl From<ModelRule> for RuleView {
    fn from(rule: ModelRule) -> Self {
        Self {
            requested: rule.requested,
            serve: rule.serve.into(),
        }
    }
}

impl From<RuleView> for ModelRule {
    fn from(view: RuleView) -> Self {
        Self {
            requested: view.requested,
            serve: view.serve.into(),
        }
    }
}

impl From<&PolicyChange> for PolicyView {
    fn from(change: &PolicyChange) -> Self {
        let values = change.values().map(|(setting, value)| {
            let value = serde_json::to_value(value).unwrap_or_default();
            (setting.name.to_owned(), value)
        });
        Self(values.collect())
    }
}

impl From<PolicyView> for PolicyChange {
    /// Names that no setting has, and values of another form, are left out. Ranges are checked later.
    fn from(view: PolicyView) -> Self {
        let mut change = Self::default();
        for (name, value) in view.0 {
            let value = serde_json::from_value::<SettingValue>(value);
            if let (Some(setting), Ok(value)) = (PolicySetting::named(&name), value) {
                let _ = setting.set(&mut change, value);
            }
        }
        change
    }
}

impl From<&Settings> for Overrides {
    fn from(settings: &Settings) -> Self {
        let rules = &settings.rules;
        // A named model wins over the preset of the level below.
        let named = settings.model.is_some().then_some(ModelPreset::One);
        Self {
            bedrock: BedrockOverrides {
                region: settings.region.clone(),
                model: settings.model.clone(),
                rules: (!rules.is_empty()).then(|| rules.clone()),
                preset: settings.models.or(named),
                dialect: settings.dialect,
            },
            policy: settings.policy.clone(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct SettingsJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<ModelView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    models: Option<ModelPreset>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rules: Vec<RuleView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dialect: Option<Dialect>,
    #[serde(default)]
    policy: PolicyView,
}

impl From<Settings> for SettingsJson {
    fn from(settings: Settings) -> Self {
        Self {
            region: settings.region,
            model: settings.model.map(Into::into),
            models: settings.models,
            rules: settings.rules.into_iter().map(Into::into).collect(),
            dialect: settings.dialect,
            policy: (&settings.policy).into(),
        }
    }
}

impl From<SettingsJson> for Settings {
    fn from(json: SettingsJson) -> Self {
        Self {
            region: json.region,
            model: json.model.map(Into::into),
            models: json.models,
            rules: json.rules.into_iter().map(Into::into).collect(),
            dialect: json.dialect,
            policy: json.policy.into(),
        }
    }
}
