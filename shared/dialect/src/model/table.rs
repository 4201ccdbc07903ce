//! The capability table. A new model is one row.
//!
//! Sources: Anthropic's model overview and extended thinking pages, the Bedrock user guide's
//! pages on Claude and inference profiles, and the public model map of `BerriAI/litellm`
//! (`model_prices_and_context_window.json`), read in autumn 2026.

use super::capabilities::{Betas, Capabilities, Effort, ForcedTool, ThinkingKinds, ThinkingOff};
use super::name::{self, ClaudeName, Family};

use Effort::{High, Low, Max, Medium, Xhigh};
use Family::{Fable, Haiku, Opus, Sonnet};

const NO_BETAS: Betas = Betas {
    interleaved_thinking: false,
    context_1m: false,
    fine_grained_tool_streaming: false,
    effort: false,
};

const BETAS_TO_4_6: Betas = Betas {
    interleaved_thinking: true,
    fine_grained_tool_streaming: true,
    ..NO_BETAS
};

/// The capabilities that all Claude models have, for a target of an unknown model.
pub(super) const UNKNOWN: Capabilities = Capabilities {
    max_output: 64_000,
    context: 200_000,
    thinking: ThinkingKinds::None,
    thinking_off: ThinkingOff::Omit,
    binds_thinking: false,
    efforts: &[],
    effort_without_thinking: None,
    sampling: false,
    prefill: false,
    forced_tool: ForcedTool::WithoutThinking,
    cache_ttl: false,
    structured_output: false,
    native_system_role: false,
    tool_search: false,
    tool_changes: false,
    count_tokens: false,
    betas: NO_BETAS,
};

/// Claude 3.5: the last generation without thinking.
const V3_5: Capabilities = Capabilities {
    max_output: 8_192,
    sampling: true,
    prefill: true,
    forced_tool: ForcedTool::Yes,
    count_tokens: true,
    betas: NO_BETAS,
    ..UNKNOWN
};

const V3_7: Capabilities = Capabilities {
    max_output: 64_000,
    thinking: ThinkingKinds::Budget,
    forced_tool: ForcedTool::WithoutThinking,
    ..V3_5
};

const SONNET_4: Capabilities = Capabilities {
    betas: Betas {
        context_1m: true,
        ..BETAS_TO_4_6
    },
    ..V3_7
};

const OPUS_4: Capabilities = Capabilities {
    max_output: 32_000,
    betas: BETAS_TO_4_6,
    ..V3_7
};

const HAIKU_4_5: Capabilities = Capabilities {
    cache_ttl: true,
    structured_output: true,
    tool_search: true,
    betas: BETAS_TO_4_6,
    ..V3_7
};

const SONNET_4_5: Capabilities = Capabilities {
    betas: SONNET_4.betas,
    ..HAIKU_4_5
};

const OPUS_4_5: Capabilities = Capabilities {
    efforts: &[Low, Medium, High],
    betas: Betas {
        effort: true,
        ..BETAS_TO_4_6
    },
    ..HAIKU_4_5
};

const SONNET_4_6: Capabilities = Capabilities {
    context: 1_000_000,
    thinking: ThinkingKinds::Both,
    efforts: &[Low, Medium, High, Max],
    prefill: false,
    ..HAIKU_4_5
};

const OPUS_4_6: Capabilities = Capabilities {
    max_output: 128_000,
    ..SONNET_4_6
};

/// `max` is accepted since 4.6, `xhigh` since 4.7 (Anthropic's page on effort; a recorded refusal
/// of a 4.6 model names `high, low, max, medium`).
const OPUS_4_7: Capabilities = Capabilities {
    thinking: ThinkingKinds::Adaptive,
    thinking_off: ThinkingOff::Disabled,
    efforts: &[Low, Medium, High, Xhigh, Max],
    sampling: false,
    structured_output: false,
    count_tokens: false,
    betas: NO_BETAS,
    ..OPUS_4_6
};

const OPUS_4_8: Capabilities = Capabilities {
    native_system_role: true,
    ..OPUS_4_7
};

const SONNET_5: Capabilities = OPUS_4_8;

/// Source of `effort_without_thinking`: the release notes of Opus 5.
const OPUS_5: Capabilities = Capabilities {
    tool_changes: true,
    effort_without_thinking: Some(High),
    ..OPUS_4_8
};

// The 5.5 models and Fable 5.1 and later bind thinking to the conversation (Anthropic's page on
// preserved thinking, which names Amazon Bedrock).

/// Source of `effort_without_thinking`: the release notes of another gateway; no response of AWS is
/// recorded.
const SONNET_5_5: Capabilities = Capabilities {
    thinking_off: ThinkingOff::BetweenTools,
    binds_thinking: true,
    effort_without_thinking: Some(High),
    forced_tool: ForcedTool::No,
    ..SONNET_5
};

const OPUS_5_5: Capabilities = Capabilities {
    thinking_off: ThinkingOff::AlwaysOn,
    binds_thinking: true,
    effort_without_thinking: None,
    forced_tool: ForcedTool::No,
    ..OPUS_5
};

/// Source of `effort_without_thinking`: secondary sources, as for Sonnet 5.5.
const HAIKU_5_5: Capabilities = Capabilities {
    binds_thinking: true,
    effort_without_thinking: Some(High),
    ..SONNET_5
};

const FABLE_5: Capabilities = Capabilities {
    binds_thinking: false,
    ..OPUS_5_5
};

const FABLE_5_1: Capabilities = Capabilities {
    binds_thinking: true,
    ..FABLE_5
};

/// Equal to 5.1. Sources: the Bedrock user guide's model card, and the release notes of
/// `@ai-sdk/amazon-bedrock`.
const FABLE_5_2: Capabilities = FABLE_5_1;

/// One model: its capabilities, its id at Bedrock and its inference profiles.
#[derive(Debug)]
pub struct ModelRow {
    /// The family.
    pub family: Family,
    /// Major and minor version.
    pub version: (u16, u16),
    /// The foundation model id.
    pub foundation: &'static str,
    /// Geo prefixes of its inference profiles.
    pub prefixes: &'static [&'static str],
    /// The capabilities.
    pub capabilities: Capabilities,
    /// The preset `family` serves its family with this model.
    pub is_current: bool,
}

impl ModelRow {
    /// Marks the model with which the preset `family` serves its family. Another mark changes what
    /// requests cost.
    const fn current(self) -> Self {
        Self {
            is_current: true,
            ..self
        }
    }

    /// The model's name at Anthropic's API in the form that models have since version 4, such as
    /// `claude-opus-4-6`.
    pub fn claude_name(&self) -> String {
        let family = self.family.as_str();
        match self.version {
            (major, 0) => format!("claude-{family}-{major}"),
            (major, minor) => format!("claude-{family}-{major}-{minor}"),
        }
    }
}

const US_APAC: &[&str] = &["us", "apac"];
const US_EU_APAC: &[&str] = &["us", "eu", "apac"];
const GLOBAL_US_EU_APAC: &[&str] = &["global", "us", "eu", "apac"];
const WITHOUT_APAC: &[&str] = &["global", "us", "eu", "jp", "au", "us-gov"];
const US: &[&str] = &["us"];
const US_EU: &[&str] = &["us", "eu"];
const GLOBAL_US_EU: &[&str] = &["global", "us", "eu"];
const GLOBAL_US_EU_APAC_AU: &[&str] = &["global", "us", "eu", "apac", "au"];
const GLOBAL_US_EU_US_GOV: &[&str] = &["global", "us", "eu", "us-gov"];
const EVERYWHERE: &[&str] = &["global", "us", "eu", "au", "jp", "apac"];
const EVERYWHERE_AND_GOV: &[&str] = &["global", "us", "eu", "au", "jp", "apac", "us-gov"];

const fn model(
    family: Family,
    version: (u16, u16),
    foundation: &'static str,
    prefixes: &'static [&'static str],
    capabilities: Capabilities,
) -> ModelRow {
    ModelRow {
        family,
        version,
        foundation,
        prefixes,
        capabilities,
        is_current: false,
    }
}

/// All models, in ascending order of version within a family. Models that AWS has retired (3.5,
/// 3.7) or calls legacy (4.0) keep their rows, because a configured rule may name them; AWS
/// responds to such a call with 404.
#[rustfmt::skip]
pub const MODELS: &[ModelRow] = &[
    model(Haiku, (3, 5), "anthropic.claude-3-5-haiku-20241022-v1:0", US, V3_5),
    model(Haiku, (4, 5), "anthropic.claude-haiku-4-5-20251001-v1:0", EVERYWHERE, HAIKU_4_5),
    model(Haiku, (5, 5), "anthropic.claude-haiku-5-5", EVERYWHERE_AND_GOV, HAIKU_5_5).current(),
    model(Sonnet, (3, 5), "anthropic.claude-3-5-sonnet-20241022-v2:0", US_APAC, V3_5),
    model(Sonnet, (3, 7), "anthropic.claude-3-7-sonnet-20250219-v1:0", US_EU_APAC, V3_7),
    model(Sonnet, (4, 0), "anthropic.claude-sonnet-4-20250514-v1:0", GLOBAL_US_EU_APAC, SONNET_4),
    model(Sonnet, (4, 5), "anthropic.claude-sonnet-4-5-20250929-v1:0", WITHOUT_APAC, SONNET_4_5),
    model(Sonnet, (4, 6), "anthropic.claude-sonnet-4-6", EVERYWHERE, SONNET_4_6),
    model(Sonnet, (5, 0), "anthropic.claude-sonnet-5", EVERYWHERE_AND_GOV, SONNET_5),
    model(Sonnet, (5, 5), "anthropic.claude-sonnet-5-5", EVERYWHERE_AND_GOV, SONNET_5_5).current(),
    model(Opus, (4, 0), "anthropic.claude-opus-4-20250514-v1:0", US, OPUS_4),
    model(Opus, (4, 1), "anthropic.claude-opus-4-1-20250805-v1:0", US_EU, OPUS_4),
    model(Opus, (4, 5), "anthropic.claude-opus-4-5-20251101-v1:0", GLOBAL_US_EU, OPUS_4_5),
    model(Opus, (4, 6), "anthropic.claude-opus-4-6-v1", EVERYWHERE, OPUS_4_6),
    model(Opus, (4, 7), "anthropic.claude-opus-4-7", EVERYWHERE, OPUS_4_7),
    model(Opus, (4, 8), "anthropic.claude-opus-4-8", EVERYWHERE_AND_GOV, OPUS_4_8),
    model(Opus, (5, 0), "anthropic.claude-opus-5", EVERYWHERE_AND_GOV, OPUS_5),
    model(Opus, (5, 5), "anthropic.claude-opus-5-5", EVERYWHERE_AND_GOV, OPUS_5_5).current(),
    model(Fable, (5, 0), "anthropic.claude-fable-5", GLOBAL_US_EU_APAC_AU, FABLE_5),
    model(Fable, (5, 1), "anthropic.claude-fable-5-1", GLOBAL_US_EU_US_GOV, FABLE_5_1),
    // Only the profile `us` is documented; the others are those of 5.1.
    model(Fable, (5, 2), "anthropic.claude-fable-5-2", GLOBAL_US_EU_US_GOV, FABLE_5_2),
];

/// The models of the preset `family`: each family with the Claude name of its model. The region
/// decides the inference profile.
///
/// Source: the Bedrock user guide's page on supported models, read in autumn 2026.
pub fn current_models() -> impl Iterator<Item = (Family, String)> {
    let current = MODELS.iter().filter(|row| row.is_current);
    current.map(|row| (row.family, row.claude_name()))
}

/// The row of exactly this model.
pub(super) fn find_row(name: ClaudeName) -> Option<&'static ModelRow> {
    MODELS
        .iter()
        .find(|row| row.family == name.family && row.version == name.version)
}

/// The capabilities of a model: those of its row, or of the newest older model of its family. A new
/// model usually accepts what its predecessor accepted. An unknown family gets the capabilities of
/// Sonnet, and a model older than every row gets `UNKNOWN`.
pub(super) fn capabilities(name: ClaudeName) -> &'static Capabilities {
    let family = if name.family == Family::Other {
        Family::Sonnet
    } else {
        name.family
    };
    MODELS
        .iter()
        .rev()
        .find(|row| row.family == family && row.version <= name.version)
        .map_or(&UNKNOWN, |row| &row.capabilities)
}

/// The foundation model id of a name: a Bedrock id or ARN without its prefix, or the id of a Claude
/// name in the table. For a Claude name newer than the table it is `anthropic.` and the name, the
/// form of all models since Sonnet 4.6. None for every other name.
pub fn foundation_id(name: &str) -> Option<String> {
    if let Some(at) = name.find("anthropic.claude-") {
        return name.get(at..).map(str::to_owned);
    }
    if name.starts_with("arn:") {
        return None;
    }
    let plain = name::normalise(name);
    let read = ClaudeName::read(&plain)?;
    Some(match find_row(read) {
        Some(row) => row.foundation.to_owned(),
        None => format!("anthropic.{}", name::undated(&plain)),
    })
}
