//! The settings of a user or a key, as they are stored.

use std::collections::BTreeMap;

use domain::bedrock::{BedrockModel, BedrockOverrides, Dialect, ModelPreset, ModelRule};
use domain::policy::{PolicyChange, PolicySetting};
use domain::setting::{SettingValue, Values};
use domain::user::Overrides;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(crate) struct OverridesRow {
    bedrock: BedrockRow,
    policy: BTreeMap<String, SettingValue>,
}

#[derive(Serialize, Deserialize)]
struct BedrockRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<ModelRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<RuleRow>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preset: Option<ModelPreset>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dialect: Option<Dialect>,
}

#[derive(Serialize, Deserialize)]
struct ModelRow {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_model: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct RuleRow {
    requested: String,
    serve: ModelRow,
}

impl From<&Overrides> for OverridesRow {
    fn from(overrides: &Overrides) -> Self {
        let bedrock = &overrides.bedrock;
        let rules = bedrock.rules.as_ref();
        Self {
            bedrock: BedrockRow {
                region: bedrock.region.clone(),
                model: bedrock.model.as_ref().map(ModelRow::from),
                rules: rules.map(|rules| rules.iter().map(RuleRow::from).collect()),
                preset: bedrock.preset,
                dialect: bedrock.dialect,
            },
            policy: overrides
                .policy
                .values()
                .map(|(setting, value)| (setting.name.to_owned(), value))
                .collect(),
        }
    }
}

impl OverridesRow {
    /// The settings, and whether some were left out: names and values of a newer version never apply here.
    pub(crate) fn into_overrides(self) -> (Overrides, bool) {
        let mut policy = PolicyChange::default();
        let mut is_incomplete = false;
        for (name, value) in self.policy {
            let Some(setting) = PolicySetting::named(&name) else {
                is_incomplete = true;
                continue;
            };
            let taken = taken_words(setting.values, &value);
            let is_taken = setting.values.contain(&taken);
            is_incomplete |= taken != value || !is_taken;
            if is_taken {
                is_incomplete |= setting.set(&mut policy, taken).is_err();
            }
        }
        let BedrockRow {
            region,
            model,
            rules,
            preset,
            dialect,
        } = self.bedrock;
        let bedrock = BedrockOverrides {
            region,
            model: model.map(Into::into),
            rules: rules.map(|rules| rules.into_iter().map(Into::into).collect()),
            preset,
            dialect,
        };
        (Overrides { bedrock, policy }, is_incomplete)
    }
}

/// The value without the words that a list does not take.
fn taken_words(values: Values, value: &SettingValue) -> SettingValue {
    match (values, value) {
        (Values::ListOf(words), SettingValue::Words(given)) => {
            let given = given.iter();
            let taken = given.filter(|word| words.contains(&word.as_str()));
            SettingValue::Words(taken.cloned().collect())
        }
        _ => value.clone(),
    }
}

impl From<&BedrockModel> for ModelRow {
    fn from(model: &BedrockModel) -> Self {
        Self {
            id: model.id.clone(),
            base_model: model.base_model.clone(),
        }
    }
}

impl From<ModelRow> for BedrockModel {
    fn from(row: ModelRow) -> Self {
        Self {
            id: row.id,
            base_model: row.base_model,
        }
    }
}

impl From<&ModelRule> for RuleRow {
    fn from(rule: &ModelRule) -> Self {
        Self {
            requested: rule.requested.clone(),
            serve: (&rule.serve).into(),
        }
    }
}

impl From<RuleRow> for ModelRule {
    fn from(row: RuleRow) -> Self {
        Self {
            requested: row.requested,
            serve: row.serve.into(),
        }
    }
}
