//! The operations of the Bedrock Runtime, and the paths that name them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Converse,
    ConverseStream,
    InvokeModel,
    InvokeModelWithResponseStream,
    CountTokens,
}

impl Operation {
    pub(super) fn from_path(last: &str) -> Option<Self> {
        Some(match last {
            "converse" => Self::Converse,
            "converse-stream" => Self::ConverseStream,
            "invoke" => Self::InvokeModel,
            "invoke-with-response-stream" => Self::InvokeModelWithResponseStream,
            "count-tokens" => Self::CountTokens,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Converse => "Converse",
            Self::ConverseStream => "ConverseStream",
            Self::InvokeModel => "InvokeModel",
            Self::InvokeModelWithResponseStream => "InvokeModelWithResponseStream",
            Self::CountTokens => "CountTokens",
        }
    }

    pub(super) fn is_converse(self) -> bool {
        matches!(self, Self::Converse | Self::ConverseStream)
    }

    pub(super) fn streams(self) -> bool {
        matches!(
            self,
            Self::ConverseStream | Self::InvokeModelWithResponseStream
        )
    }
}

/// `/model/{modelId}/{operation}`, whatever stands before it.
pub(super) fn target(path: &str) -> Option<(Operation, String)> {
    let (_, rest) = path.split_once("/model/")?;
    let (model_id, last) = rest.rsplit_once('/')?;
    Some((Operation::from_path(last)?, percent_decoded(model_id)?))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (hex, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}
