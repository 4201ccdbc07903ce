//! The preset `family`: which model serves a request for a family's model of any generation.

use domain::model_family::ModelFamily;

/// Each family with its current model on Bedrock, by its Claude name; the region chooses the profile. A
/// new model becomes the current one by a change here: it changes what requests cost.
///
/// Source: the Bedrock user guide's page on supported models, read in autumn 2026.
pub const CURRENT_MODELS: &[(&str, &str)] = &[
    ("haiku", "claude-haiku-5-5"),
    ("sonnet", "claude-sonnet-5-5"),
    ("opus", "claude-opus-5-5"),
];

/// The current model of the family that a requested name belongs to.
pub(super) fn current_model(requested: &str) -> Option<&'static str> {
    let requested = ModelFamily::of(requested)?;
    CURRENT_MODELS
        .iter()
        .find(|(family, _)| *family == requested.as_str())
        .map(|(_, model)| *model)
}
