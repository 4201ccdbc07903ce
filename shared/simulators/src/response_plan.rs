//! The response that a step asks for, if it is no error response.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::delivery::{Delivery, DeliveryEnd};
use super::json::elements;
use super::script::{Content, Point, Step, Usage};

/// The maximum number of pings of a step. The number comes from a prompt.
const PINGS: usize = 1 << 16;

/// How a response differs from the default one.
#[derive(Debug, Default)]
pub(super) struct ResponsePlan {
    /// The content blocks; empty for those of the simulated model.
    pub(super) content: Vec<Content>,
    pub(super) stop_reason: Option<String>,
    pub(super) usage: Option<Usage>,
    /// The number of pings before the first block.
    pub(super) pings: usize,
    pub(super) delivery: Delivery,
    /// The error that is sent after a point.
    pub(super) injected_error: Option<(Point, InjectedError)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum InjectedError {
    /// An error event, or an exception frame.
    Error {
        kind: Option<String>,
        message: Option<String>,
    },
    /// An event that cannot be parsed.
    Garbage,
}

impl Step {
    /// The response plan of this step. A step for an error response is returned unchanged.
    pub(super) fn response_plan(self) -> Result<ResponsePlan, Self> {
        let with = |content, ending| ResponsePlan {
            content,
            delivery: Delivery {
                ending,
                ..Delivery::default()
            },
            ..ResponsePlan::default()
        };
        Ok(match self {
            Self::Normal => ResponsePlan::default(),
            Self::Tools { calls } => with(
                calls.into_iter().map(Content::Tool).collect(),
                DeliveryEnd::Complete,
            ),
            Self::Answer {
                content,
                stop_reason,
                usage,
            } => ResponsePlan {
                content,
                stop_reason,
                usage,
                ..ResponsePlan::default()
            },
            Self::Slow {
                headers_ms,
                events_ms,
            } => ResponsePlan {
                delivery: Delivery {
                    is_held: false,
                    before_headers: Duration::from_millis(headers_ms),
                    between_chunks: Some(Duration::from_millis(events_ms)),
                    ending: DeliveryEnd::Complete,
                },
                ..ResponsePlan::default()
            },
            Self::Held { content } => ResponsePlan {
                content,
                delivery: Delivery {
                    is_held: true,
                    ..Delivery::default()
                },
                ..ResponsePlan::default()
            },
            Self::Hang { after, content } => with(content, DeliveryEnd::Hang(after)),
            Self::Cut { after, content } => with(content, DeliveryEnd::Cut(after)),
            Self::End { after, content } => with(content, DeliveryEnd::Early(after)),
            Self::StreamError {
                after,
                kind,
                message,
                content,
            } => ResponsePlan {
                content,
                injected_error: Some((after, InjectedError::Error { kind, message })),
                ..ResponsePlan::default()
            },
            Self::Garbage { after, content } => ResponsePlan {
                content,
                injected_error: Some((after, InjectedError::Garbage)),
                ..ResponsePlan::default()
            },
            Self::Pings { count, then } => ResponsePlan {
                pings: usize::try_from(count).map_or(PINGS, |count| count.min(PINGS)),
                ..then.response_plan()?
            },
            other => return Err(other),
        })
    }

    /// Splits the headers of [`Step::Headers`] off. Their names are in lower case; the outermost header of a
    /// name wins.
    pub(super) fn split_headers(self) -> (Self, BTreeMap<String, String>) {
        match self {
            Self::Headers { headers, then } => {
                let (step, mut all) = then.split_headers();
                let named = |(name, value): (String, _)| (name.to_ascii_lowercase(), value);
                all.extend(headers.into_iter().map(named));
                (step, all)
            }
            Self::Pings { count, then } => {
                let (then, headers) = then.split_headers();
                let then = Box::new(then);
                (Self::Pings { count, then }, headers)
            }
            other => (other, BTreeMap::new()),
        }
    }
}

impl ResponsePlan {
    /// The content of the step, or this default.
    pub(super) fn content_or(&mut self, normal: impl FnOnce() -> Vec<Content>) -> Vec<Content> {
        let content = std::mem::take(&mut self.content);
        if content.is_empty() {
            normal()
        } else {
            content
        }
    }

    /// The stop sequence of a response that ends with one: the first that the request names.
    pub(super) fn matched_stop_sequence(&self, named: &Value) -> Option<String> {
        let stops = self.stop_reason.as_deref() == Some("stop_sequence");
        let first = elements(named).first().filter(|_| stops)?;
        first.as_str().map(str::to_owned)
    }

    /// The stop reason of the step, or the one that fits the content.
    pub(super) fn stop_reason_for(&self, content: &[Content]) -> String {
        let calls = content
            .iter()
            .any(|block| matches!(block, Content::Tool(_)));
        let fitting = if calls { "tool_use" } else { "end_turn" };
        self.stop_reason
            .clone()
            .unwrap_or_else(|| fitting.to_owned())
    }
}
