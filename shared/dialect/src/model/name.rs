//! Claude model names: family and version of every spelling that clients and Bedrock use.

/// A family of Claude models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Claude Opus.
    Opus,
    /// Claude Sonnet.
    Sonnet,
    /// Claude Haiku.
    Haiku,
    /// Claude Fable.
    Fable,
    /// Another family.
    Other,
}

impl Family {
    /// The family's name in model names, such as `opus`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Sonnet => "sonnet",
            Self::Haiku => "haiku",
            Self::Fable => "fable",
            Self::Other => "other",
        }
    }
}

/// Family and version of a model name: `claude-opus-4-6` is family opus, version 4.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaudeName {
    /// The family.
    pub family: Family,
    /// Major and minor version, such as `(4, 6)`; without a minor part it is `(5, 0)`.
    pub version: (u16, u16),
}

impl ClaudeName {
    /// Reads any spelling that contains `claude-`: client names in both orders
    /// (`claude-sonnet-4-5-20250929`, `claude-3-7-sonnet-latest`), Bedrock ids with or without a
    /// geo prefix, and ARNs that end in such an id. None when the name has no family or no version.
    pub fn read(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let rest = &lower.get(lower.find("claude-")? + "claude-".len()..)?;
        let end = rest.find([':', '@', '[', '/']).unwrap_or(rest.len());
        let mut family = None;
        let mut version = [None, None];
        for part in rest.get(..end)?.split('-') {
            match part.parse::<u16>() {
                // A version part has one or two digits; a date has eight and overflows `u16`.
                Ok(number) if part.len() <= 2 => match version.iter_mut().find(|v| v.is_none()) {
                    Some(slot) => *slot = Some(number),
                    None => break,
                },
                _ if part.bytes().all(|byte| byte.is_ascii_digit()) => break,
                _ if family.is_none() && part.bytes().all(|byte| byte.is_ascii_lowercase()) => {
                    family = Some(match part {
                        "opus" => Family::Opus,
                        "sonnet" => Family::Sonnet,
                        "haiku" => Family::Haiku,
                        "fable" => Family::Fable,
                        _ => Family::Other,
                    });
                }
                _ => break,
            }
        }
        let [major, minor] = version;
        Some(Self {
            family: family?,
            version: (major?, minor.unwrap_or(0)),
        })
    }
}

/// A requested name in the form that model rules match: lower case, without `[1m]`, `-latest` and
/// `@date`. Bedrock ids and ARNs lose only `[1m]`.
pub(super) fn normalise(requested: &str) -> String {
    let trimmed = requested.trim();
    let name = trimmed
        .strip_suffix("[1m]")
        .or_else(|| trimmed.strip_suffix("[1M]"))
        .unwrap_or(trimmed)
        .trim_end();
    if is_bedrock_id(name) {
        return name.to_owned();
    }
    let lower = name.to_ascii_lowercase();
    let undated = lower
        .split_once('@')
        .map_or(lower.as_str(), |(head, _)| head);
    undated
        .strip_suffix("-latest")
        .unwrap_or(undated)
        .to_owned()
}

/// The name without the date at its end: `claude-sonnet-4-5` for `claude-sonnet-4-5-20250929`.
pub(super) fn undated(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((head, date)) if date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) => {
            head
        }
        _ => name,
    }
}

/// Maximum length of a model id at Bedrock, in characters.
const LONGEST_ID: usize = 2048;

/// Returns true when the name is a Bedrock id or ARN, which needs no lookup. An id has at most 2048
/// characters; the AWS SDK panics on an id that is invalid in a URL. Source:
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>.
pub(super) fn is_bedrock_id(name: &str) -> bool {
    (name.starts_with("arn:") || name.contains("anthropic."))
        && name.len() <= LONGEST_ID
        && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns true when `name` matches `pattern`, in which `*` matches any run of characters.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, mut pattern)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut rest) = name.strip_prefix(head) else {
        return false;
    };
    // The first occurrence of each middle piece leaves the longest rest for the next ones.
    while let Some((piece, after)) = pattern.split_once('*') {
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
        pattern = after;
    }
    rest.ends_with(pattern)
}
