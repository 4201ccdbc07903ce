//! The SDK's typed stream events as the dialect's, and the raw body of an answer that is not streamed.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_bedrockruntime::types as sdk;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::Document;
use aws_smithy_types::config_bag::ConfigBag;
use dialect::reply::{
    CacheDetail, Citation, CitationLocation, CitationUnit, ConverseUsage, is_server_tool,
};
use dialect::stream::{BlockDelta, BlockStart, ConverseEvent};

/// Translates one event of `ConverseStream`.
pub(super) fn event(event: &sdk::ConverseStreamOutput) -> ConverseEvent<'_> {
    match event {
        sdk::ConverseStreamOutput::MessageStart(_) => ConverseEvent::MessageStart,
        sdk::ConverseStreamOutput::ContentBlockStart(begun) => ConverseEvent::BlockStart {
            index: begun.content_block_index.into(),
            start: match &begun.start {
                Some(sdk::ContentBlockStart::ToolUse(tool))
                    if is_server_tool(tool.r#type.as_ref().map(sdk::ToolUseType::as_str)) =>
                {
                    BlockStart::ServerToolUse
                }
                Some(sdk::ContentBlockStart::ToolUse(tool)) => BlockStart::ToolUse {
                    id: tool.tool_use_id.as_str().into(),
                    name: tool.name.as_str().into(),
                },
                _ => BlockStart::Other,
            },
        },
        sdk::ConverseStreamOutput::ContentBlockDelta(added) => ConverseEvent::BlockDelta {
            index: added.content_block_index.into(),
            delta: added.delta.as_ref().map_or(BlockDelta::Unknown, delta),
        },
        sdk::ConverseStreamOutput::ContentBlockStop(ended) => ConverseEvent::BlockStop {
            index: ended.content_block_index.into(),
        },
        sdk::ConverseStreamOutput::MessageStop(stop) => ConverseEvent::MessageStop {
            stop_reason: stop.stop_reason.as_str().into(),
            stop_sequence: stop
                .additional_model_response_fields
                .as_ref()
                .and_then(stop_sequence)
                .map(Into::into),
        },
        sdk::ConverseStreamOutput::Metadata(metadata) => {
            ConverseEvent::Metadata(metadata.usage.as_ref().map(usage).unwrap_or_default())
        }
        _ => ConverseEvent::Unknown,
    }
}

fn delta(delta: &sdk::ContentBlockDelta) -> BlockDelta<'_> {
    match delta {
        sdk::ContentBlockDelta::Text(text) => BlockDelta::Text(text.as_str().into()),
        sdk::ContentBlockDelta::ToolUse(tool) => BlockDelta::ToolInput(tool.input.as_str().into()),
        sdk::ContentBlockDelta::ReasoningContent(reasoning) => match reasoning {
            sdk::ReasoningContentBlockDelta::Text(text) => {
                BlockDelta::Reasoning(text.as_str().into())
            }
            sdk::ReasoningContentBlockDelta::Signature(part) => {
                BlockDelta::Signature(part.as_str().into())
            }
            sdk::ReasoningContentBlockDelta::RedactedContent(blob) => {
                BlockDelta::Redacted(blob.as_ref().into())
            }
            _ => BlockDelta::Unknown,
        },
        sdk::ContentBlockDelta::Citation(citation) => {
            BlockDelta::Citation(self::citation(citation))
        }
        _ => BlockDelta::Unknown,
    }
}

fn citation(citation: &sdk::CitationsDelta) -> Citation {
    let texts = citation
        .source_content()
        .iter()
        .filter_map(|content| content.text.as_deref());
    Citation {
        title: citation.title.clone(),
        source: citation.source.clone(),
        cited_text: texts.collect(),
        location: citation.location.as_ref().and_then(location),
    }
}

/// `None` for a place that Anthropic has no words for, such as a web page.
fn location(location: &sdk::CitationLocation) -> Option<CitationLocation> {
    let (unit, index, start, end) = match location {
        sdk::CitationLocation::DocumentChar(at) => (
            CitationUnit::DocumentChar,
            at.document_index,
            at.start,
            at.end,
        ),
        sdk::CitationLocation::DocumentPage(at) => (
            CitationUnit::DocumentPage,
            at.document_index,
            at.start,
            at.end,
        ),
        sdk::CitationLocation::DocumentChunk(at) => (
            CitationUnit::DocumentChunk,
            at.document_index,
            at.start,
            at.end,
        ),
        sdk::CitationLocation::SearchResultLocation(at) => (
            CitationUnit::SearchResult,
            at.search_result_index,
            at.start,
            at.end,
        ),
        _ => return None,
    };
    let number = |number: Option<i32>| number.unwrap_or_default().into();
    Some(CitationLocation {
        unit,
        index: number(index),
        start: number(start),
        end: number(end),
    })
}

fn usage(usage: &sdk::TokenUsage) -> ConverseUsage {
    ConverseUsage {
        input_tokens: Some(usage.input_tokens.into()),
        output_tokens: Some(usage.output_tokens.into()),
        cache_read_input_tokens: usage.cache_read_input_tokens.map(Into::into),
        cache_write_input_tokens: usage.cache_write_input_tokens.map(Into::into),
        cache_details: usage.cache_details.as_ref().map(|details| {
            let detail = |detail: &sdk::CacheDetail| CacheDetail {
                ttl: detail.ttl.as_str().to_owned(),
                input_tokens: detail.input_tokens.into(),
            };
            details.iter().map(detail).collect()
        }),
    }
}

/// `stop_sequence` of the additional fields, or the one under `delta`, as models answer it.
fn stop_sequence(fields: &Document) -> Option<&str> {
    let fields = fields.as_object()?;
    let own = fields.get("stop_sequence");
    let under_delta = || fields.get("delta")?.as_object()?.get("stop_sequence");
    own.and_then(Document::as_string)
        .or_else(|| under_delta()?.as_string())
}

/// Takes a copy of an answer's body as it came. The typed answer keeps tool inputs in hash maps,
/// which lose the order of their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct RawBody(Arc<Mutex<Vec<u8>>>);

impl RawBody {
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Intercept for RawBody {
    fn name(&self) -> &'static str {
        "RawBody"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(body) = context.response().body().bytes() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body.to_vec();
        }
        Ok(())
    }
}
