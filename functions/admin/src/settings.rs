//! Settings, checked when they are made: a wrong one is refused here and not found at the first fallback.

use domain::bedrock::{BedrockSettings, ModelPreset, ModelRule};
use domain::bedrock_key::{BedrockKey, Presigned};
use domain::policy::PolicyChange;
use domain::region::check_region;
use domain::time::Timestamp;

use crate::{AdminError, Settings};

fn invalid(error: impl std::fmt::Display) -> AdminError {
    AdminError::Invalid(error.to_string())
}

/// A text for people to read, without the white space around it: 1 to `most` printable characters.
pub(crate) fn checked_text(what: &str, text: &str, most: usize) -> Result<String, AdminError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(invalid(format!(
            "{what} must be 1 to {most} printable characters"
        )));
    }
    Ok(text.to_owned())
}

pub(crate) fn checked_policy(policy: PolicyChange) -> Result<PolicyChange, AdminError> {
    policy.checked().map_err(invalid)
}

/// The settings in force after a change.
pub(crate) fn change_settings(
    mut settings: BedrockSettings,
    change: Settings,
) -> Result<BedrockSettings, AdminError> {
    if let Some(region) = change.region {
        settings.region = region;
    }
    if let Some(model) = change.model {
        settings.models.default = model;
        // A named model wins over the deployment's preset.
        settings.preset = Some(ModelPreset::One);
    }
    settings.preset = change.models.or(settings.preset);
    if !change.rules.is_empty() {
        settings.models.rules = change.rules;
    }
    settings.dialect = change.dialect.or(settings.dialect);
    check_settings(&settings)?;
    Ok(settings)
}

/// Checks that all of the settings can work together: the region, and each model in that region.
pub(crate) fn check_settings(settings: &BedrockSettings) -> Result<(), AdminError> {
    check_region(&settings.region).map_err(invalid)?;
    let models = &settings.models;
    dialect::model::check(&models.default, &settings.region).map_err(invalid)?;
    for rule in &models.rules {
        check_requested(rule)?;
        dialect::model::check(&rule.serve, &settings.region).map_err(invalid)?;
    }
    Ok(())
}

fn check_requested(rule: &ModelRule) -> Result<(), AdminError> {
    let requested = &rule.requested;
    let is_name = (1..=200).contains(&requested.len())
        && requested.bytes().all(|byte| byte.is_ascii_graphic());
    if is_name {
        return Ok(());
    }
    Err(invalid(
        "a map's left side must be 1 to 200 visible ASCII characters: a model's name, such as \
         claude-opus-*",
    ))
}

/// Checks a Bedrock API key at `now`, for calls in `region` if one is given; returns what a short-term
/// key says of itself. Nothing is written and nobody is asked.
///
/// # Errors
/// [`AdminError::Invalid`] for a short-term key that has expired or works in another region.
pub fn check_bedrock_key(
    bedrock_key: &BedrockKey,
    region: Option<&str>,
    now: Timestamp,
) -> Result<Option<Presigned>, AdminError> {
    let presigned = bedrock_key.presigned();
    if let Some(Presigned {
        region: own,
        expires_at,
    }) = &presigned
    {
        if let Some(region) = region
            && region != own
        {
            return Err(invalid(format!(
                "this short-term Bedrock API key works in {own} only, not in {region}"
            )));
        }
        if *expires_at <= now {
            return Err(invalid(format!(
                "this short-term Bedrock API key expired at {expires_at}; generate a new one"
            )));
        }
        check_region(own).map_err(invalid)?;
    }
    Ok(presigned)
}
