//! The checks of settings. A wrong setting is refused when it is made, not at the first fallback.

use domain::bedrock::{BedrockSettings, ModelRule};
use domain::bedrock_key::{BedrockKey, Presigned};
use domain::region::check_region;
use domain::time::Timestamp;
use domain::user::{Overrides, User};

use crate::AdminError;
use crate::api::Settings;

fn invalid(error: impl std::fmt::Display) -> AdminError {
    AdminError::Invalid(error.to_string())
}

/// A user's name, without the white space around it.
pub(crate) fn checked_name(text: &str) -> Result<String, AdminError> {
    checked_text("a user's name", text, User::MAX_NAME_CHARS)
}

/// A description, without the white space around it.
pub(crate) fn checked_description(text: &str) -> Result<String, AdminError> {
    checked_text("a description", text, User::MAX_DESCRIPTION_CHARS)
}

/// A team, without the white space around it. It is part of keys of the table, where `#` separates.
pub(crate) fn checked_team(text: &str) -> Result<String, AdminError> {
    if text.contains('#') {
        return Err(invalid("a team must not contain `#`"));
    }
    checked_text("a team", text, User::MAX_TEAM_CHARS)
}

fn checked_text(what: &str, text: &str, most: usize) -> Result<String, AdminError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(invalid(format!(
            "{what} must be 1 to {most} printable characters"
        )));
    }
    Ok(text.to_owned())
}

/// The overrides of a user or a key; every value of the policy is in its range.
pub(crate) fn checked_overrides(settings: &Settings) -> Result<Overrides, AdminError> {
    let mut overrides = Overrides::from(settings);
    overrides.policy = overrides.policy.checked().map_err(invalid)?;
    Ok(overrides)
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

/// Checks a Bedrock API key at `now`, for calls in `region` if one is given; returns the region and the end
/// that a short-term key contains. Nothing is written or sent.
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
