//! Which Bedrock model serves a requested model, and what it accepts.
//!
//! Models are rows of the table in `model/table.rs`. A model that is newer than the table gets the
//! capabilities of the newest older model of its family.

mod capabilities;
mod check;
mod name;
mod table;

use domain::bedrock::{BedrockModel, BedrockSettings, DEFAULT_MODEL_ID, ModelPreset};
use domain::model_family::ModelFamily;

pub use self::capabilities::{Betas, Capabilities, Effort, ForcedTool, ThinkingKinds, ThinkingOff};
pub use self::check::{UnusableModel, check};
pub use self::name::{ClaudeName, Family};
pub use self::table::{MODELS, ModelRow, current_models, foundation_id};

/// The model that serves a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The model id in the URL of the Bedrock call.
    pub model_id: String,
    /// The capabilities of the model.
    pub capabilities: &'static Capabilities,
    /// The foundation model id, which `CountTokens` requires instead of an inference profile. None
    /// when it is unknown.
    pub foundation_id: Option<String>,
    /// The client requested the long context window (`[1m]`).
    pub long_context: bool,
    /// A warning for the operator.
    pub warning: Option<TargetWarning>,
}

/// A reason for which a target gets fewer features than it may accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetWarning {
    /// The model id is an ARN that does not name its model, and no base model is configured.
    #[error(
        "the ARN does not name its model: without base_model, only the features of all Claude models are used"
    )]
    BaseModelMissing,
    /// The model id does not name a Claude model.
    #[error(
        "the model id does not name a Claude model: only the features of all Claude models are used"
    )]
    UnknownModel,
    /// The Claude model has no row in the capability table.
    #[error(
        "the model is not in the capability table: the capabilities of the newest older model apply"
    )]
    NewModel,
    /// The Claude model is older than every row of its family.
    #[error(
        "the model is older than the capability table: only the features of all Claude models are used"
    )]
    OldModel,
    /// The rule names a Claude model without an inference profile for the region.
    #[error("the rule's model has no inference profile in the region: the default model is used")]
    NotOffered,
}

/// Returns the model that serves `requested`: that of the first matching rule, else the requested
/// Bedrock id or ARN itself, else the model of the preset, else the default model of the settings.
///
/// A rule matches the name with or without its date, in upper and lower case: the rule
/// `claude-opus-4-5` also matches `claude-opus-4-5-20251101` and `Claude-Opus-4-5[1m]`.
pub fn resolve(requested: &str, settings: &BedrockSettings) -> Target {
    let name = name::normalise(requested);
    let long_context = requested.trim_end().to_ascii_lowercase().ends_with("[1m]");
    let rule = settings.models.rules.iter().find(|rule| {
        let pattern = name::normalise(&rule.requested);
        name::matches(&pattern, &name) || name::matches(&pattern, name::undated(&name))
    });
    let target = match rule {
        Some(rule) => target_for_model(&rule.serve, &settings.region),
        None if name::is_bedrock_id(&name) => {
            target_for_model(&BedrockModel::named(name), &settings.region)
        }
        None => match settings.preset.and_then(|preset| current(preset, &name)) {
            Some(model) => target_for_model(&model, &settings.region),
            None => target_for_model(&settings.models.default, &settings.region),
        },
    };
    let target = target.unwrap_or_else(|| Target {
        warning: Some(TargetWarning::NotOffered),
        // If the configured default has no profile either, the product's default serves.
        ..target_for_model(&settings.models.default, &settings.region)
            .unwrap_or_else(|| target_with_id(DEFAULT_MODEL_ID.to_owned(), None))
    });
    Target {
        long_context,
        ..target
    }
}

/// The model of the preset for a requested model.
fn current(preset: ModelPreset, requested: &str) -> Option<BedrockModel> {
    match preset {
        ModelPreset::One => None,
        ModelPreset::Family => {
            let family = ModelFamily::from_model(requested)?;
            current_models()
                .find(|(current, _)| current.as_str() == family.as_str())
                .map(|(_, model)| BedrockModel::named(model))
        }
    }
}

/// The Bedrock inference profile id of a Claude model for a region, such as
/// `eu.anthropic.claude-opus-4-6-v1` for `claude-opus-4-6` in `eu-west-1`.
///
/// The region chooses the geo prefix as Claude Code chooses it (`us-gov-*` is `us-gov`, `us-*` and
/// `ca-*` are `us`, `eu-*` is `eu`, `ap-*` is `apac`), and `global` where the model has no profile
/// with that prefix. None when the name is not a Claude model, or the model has neither.
pub fn bedrock_id(claude_name: &str, region: &str) -> Option<String> {
    let name = ClaudeName::read(&name::normalise(claude_name))?;
    let geo = match region {
        _ if region.starts_with("us-gov-") => "us-gov",
        _ if region.starts_with("us-") || region.starts_with("ca-") => "us",
        _ if region.starts_with("eu-") => "eu",
        _ if region.starts_with("ap-") => "apac",
        _ => "global",
    };
    let prefix = match table::find_row(name) {
        Some(row) => ["global", geo]
            .into_iter()
            .rfind(|prefix| row.prefixes.contains(prefix))?,
        // Every model since 2026 has a global profile; a newer model is expected to have one.
        None => "global",
    };
    Some(format!("{prefix}.{}", foundation_id(claude_name)?))
}

/// The target of a configured model. None for a plain Claude name without a profile in this region.
fn target_for_model(model: &BedrockModel, region: &str) -> Option<Target> {
    let plain_claude = model.id.to_ascii_lowercase().starts_with("claude-");
    let id = if plain_claude {
        bedrock_id(&model.id, region)?
    } else {
        model.id.clone()
    };
    Some(target_with_id(id, model.base_model.as_deref()))
}

fn target_with_id(model_id: String, base_model: Option<&str>) -> Target {
    let named = base_model.unwrap_or(&model_id);
    let name = ClaudeName::read(named);
    let warning = match name {
        Some(name) if table::find_row(name).is_some() => None,
        Some(name) if *table::capabilities(name) == table::UNKNOWN => Some(TargetWarning::OldModel),
        Some(_) => Some(TargetWarning::NewModel),
        None if base_model.is_none() && model_id.starts_with("arn:") => {
            Some(TargetWarning::BaseModelMissing)
        }
        None => Some(TargetWarning::UnknownModel),
    };
    Target {
        capabilities: name.map_or(&table::UNKNOWN, table::capabilities),
        foundation_id: foundation_id(named),
        model_id,
        long_context: false,
        warning,
    }
}
