//! Checks a model when it is configured, so that an error shows before the first fallback.

use domain::bedrock::BedrockModel;

use super::name::{ClaudeName, Family};
use super::table::{self, foundation_id};

/// The reason why a model cannot be configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableModel {
    /// The id is empty, too long, or has invalid characters.
    #[error("a model must be 1 to 2048 visible ASCII characters")]
    Unprintable,
    /// The id does not name a Claude model.
    #[error(
        "`{0}` is not a Claude model on Bedrock; give a model id, an inference profile id such as \
         global.anthropic.claude-sonnet-4-5-20250929-v1:0, or an ARN"
    )]
    NotClaude(String),
    /// The id is similar to that of a model.
    #[error("`{given}` is not a Claude model on Bedrock; did you mean {similar}?")]
    Misspelt {
        /// The configured id.
        given: String,
        /// The id of the similar model.
        similar: String,
    },
    /// The ARN is not that of a Bedrock model or profile.
    #[error("the ARN is not that of a Bedrock model or inference profile")]
    OtherArn,
    /// The ARN belongs to another region than the configured one.
    #[error(
        "the model's ARN is of {arn}, not of {region}; a Bedrock call reaches only ARNs of its own region"
    )]
    OtherRegion {
        /// The ARN's region.
        arn: String,
        /// The configured region.
        region: String,
    },
    /// The ARN of an application inference profile, without its model.
    #[error(
        "the ARN of an application inference profile does not name its model: give the foundation \
         model too, such as anthropic.claude-sonnet-4-5-20250929-v1:0"
    )]
    BaseModelMissing,
}

/// Resource types of a Bedrock model's ARN (AWS service authorization reference, Amazon Bedrock).
const ARN_KINDS: &[&str] = &[
    "application-inference-profile",
    "custom-model-deployment",
    "foundation-model",
    "imported-model",
    "inference-profile",
    "provisioned-model",
];

/// Prefixes of inference profile ids.
const PREFIXES: &[&str] = &["apac", "au", "ca", "eu", "global", "jp", "us", "us-gov"];

/// Ids of Claude models on Bedrock that are not in the capability table.
const OTHER_FOUNDATIONS: &[&str] = &["anthropic.claude-3-5-sonnet-20240620-v1:0"];

/// Checks a model that is configured for calls in `region`. A model that is newer than the
/// capability table is accepted; a model of an unknown family is accepted with a base model of a
/// known family.
///
/// # Errors
/// [`UnusableModel`], whose message names what to configure.
pub fn check(model: &BedrockModel, region: &str) -> Result<(), UnusableModel> {
    let is_visible = |text: &str| {
        (1..=2048).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !is_visible(&model.id) || !model.base_model.as_deref().is_none_or(is_visible) {
        return Err(UnusableModel::Unprintable);
    }
    if let Some(base_model) = &model.base_model {
        check_name(base_model)?;
    }
    if !model.id.starts_with("arn:") {
        return match model.base_model {
            Some(_) => Ok(()),
            None => check_name(&model.id),
        };
    }
    let fields: Vec<_> = model.id.splitn(6, ':').collect();
    let ["arn", _, "bedrock", arn_region, _, resource] = fields.as_slice() else {
        return Err(UnusableModel::OtherArn);
    };
    let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
    if !ARN_KINDS.contains(&kind) || name.is_empty() {
        return Err(UnusableModel::OtherArn);
    }
    if *arn_region != region {
        return Err(UnusableModel::OtherRegion {
            arn: (*arn_region).to_owned(),
            region: region.to_owned(),
        });
    }
    match (kind, &model.base_model) {
        ("application-inference-profile", None) => Err(UnusableModel::BaseModelMissing),
        ("foundation-model" | "inference-profile", None) => check_name(name),
        _ => Ok(()),
    }
}

/// Checks a Claude name, a foundation model id or an inference profile id.
fn check_name(name: &str) -> Result<(), UnusableModel> {
    let not_claude = || UnusableModel::NotClaude(name.chars().take(100).collect());
    let claude = ClaudeName::read(name)
        .filter(|claude| claude.family != Family::Other)
        .ok_or_else(not_claude)?;
    let foundation = foundation_id(name).ok_or_else(not_claude)?;
    let prefix = match name.strip_suffix(foundation.as_str()) {
        Some("") => None,
        Some(prefix) => Some(prefix.strip_suffix('.').ok_or_else(not_claude)?),
        // A plain Claude name: the region chooses the prefix.
        None if name.starts_with("claude-") => None,
        None => return Err(not_claude()),
    };
    if prefix.is_some_and(|prefix| !PREFIXES.contains(&prefix)) {
        return Err(not_claude());
    }
    let Some(row) = table::find_row(claude) else {
        return Ok(());
    };
    // `anthropic.claude-…-v1:0:200k` is the same model with a shorter context.
    let is_known = |known: &str| {
        foundation
            .strip_prefix(known)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    let is_plain = name.starts_with("claude-");
    if is_plain || is_known(row.foundation) || OTHER_FOUNDATIONS.iter().any(|known| is_known(known))
    {
        return Ok(());
    }
    let similar = match prefix {
        Some(prefix) => format!("{prefix}.{}", row.foundation),
        None => row.foundation.to_owned(),
    };
    Err(UnusableModel::Misspelt {
        given: name.chars().take(100).collect(),
        similar,
    })
}
