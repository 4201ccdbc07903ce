//! A streamed Bedrock response: Bedrock's events in, Anthropic's events out.

use dialect::Losses;
use dialect::error::{BedrockFailure, classify};
use dialect::stream::{ConverseEvent, InvokeTranslator, StreamEnd, StreamTranslator, invoke_chunk};
use domain::usage::TokenUsage;

use super::frames::{Event, Frames};
use super::operation::{Calling, Output};

/// A streamed answer, from the call to its last event.
pub(super) struct EventStream {
    source: Source,
    translator: Translator,
    aws_request_id: Option<String>,
}

enum Source {
    /// Bedrock has not answered yet.
    Calling(Calling),
    Streaming(Frames),
}

/// The translator of the operation that was called.
pub(super) enum Translator {
    Converse(StreamTranslator),
    Invoke(InvokeTranslator),
}

/// The same word to whichever translator it is.
macro_rules! translator {
    ($self:ident, $translator:ident => $word:expr) => {
        match $self {
            Translator::Converse($translator) => $word,
            Translator::Invoke($translator) => $word,
        }
    };
}

impl Translator {
    /// Takes one event.
    fn push(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<(), BedrockFailure> {
        match self {
            Self::Converse(translator) => {
                let event = ConverseEvent::parse(&event.event_type, &event.payload);
                translator.push(event.map_err(|_| BedrockFailure::Unreadable)?, out);
            }
            Self::Invoke(translator) => {
                let chunk = invoke_chunk(&event.event_type, &event.payload);
                if let Some(chunk) = chunk.map_err(|_| BedrockFailure::Unreadable)? {
                    translator.push(&chunk, out);
                }
            }
        }
        Ok(())
    }

    fn ping(&mut self, out: &mut Vec<u8>) {
        translator!(self, translator => translator.ping(out));
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        translator!(self, translator => translator.finish(out));
    }

    fn fail(&mut self, failure: &BedrockFailure, out: &mut Vec<u8>) {
        let error = classify(failure);
        translator!(self, translator => translator.fail(&error, out));
    }

    fn end(&self) -> Option<StreamEnd> {
        translator!(self, translator => translator.end())
    }

    fn failure(&self) -> Option<BedrockFailure> {
        translator!(self, translator => translator.failure())
    }

    fn has_content(&self) -> bool {
        translator!(self, translator => translator.has_content())
    }

    fn usage(&self) -> TokenUsage {
        translator!(self, translator => translator.usage())
    }

    fn losses(&self) -> &Losses {
        translator!(self, translator => translator.losses())
    }

    fn stop_reason(&self) -> Option<&str> {
        translator!(self, translator => translator.stop_reason())
    }
}

impl EventStream {
    pub(super) fn new(calling: Calling, translator: Translator) -> Self {
        Self {
            source: Source::Calling(calling),
            translator,
            aws_request_id: None,
        }
    }

    /// Waits for Bedrock's response, or for its next event, and appends what follows for the client.
    /// Dropping the future loses nothing. After a failure there is nothing more to wait for.
    pub(super) async fn advance(&mut self, out: &mut Vec<u8>) -> Result<(), BedrockFailure> {
        match &mut self.source {
            Source::Calling(calling) => {
                let answered = calling.as_mut().await?;
                self.aws_request_id = answered.aws_request_id;
                let Output::Streamed(frames) = answered.output else {
                    return Err(BedrockFailure::Unreadable);
                };
                self.source = Source::Streaming(frames);
            }
            Source::Streaming(frames) => match frames.next().await? {
                Some(event) => self.translator.push(&event, out)?,
                None => self.translator.finish(out),
            },
        }
        Ok(())
    }

    /// A keep-alive for the client.
    pub(super) fn ping(&mut self, out: &mut Vec<u8>) {
        self.translator.ping(out);
    }

    /// Ends the stream with an error event, unless its answer is whole already.
    pub(super) fn fail(&mut self, failure: &BedrockFailure, out: &mut Vec<u8>) {
        self.translator.fail(failure, out);
    }

    /// How the stream ended, once it has.
    pub(super) fn end(&self) -> Option<StreamEnd> {
        self.translator.end()
    }

    /// Why the stream failed, when its translation ended it.
    pub(super) fn failure(&self) -> Option<BedrockFailure> {
        self.translator.failure()
    }

    /// Whether the client has received content, which cannot be taken back.
    pub(super) fn has_content(&self) -> bool {
        self.translator.has_content()
    }

    /// The token counts, as far as they have come.
    pub(super) fn usage(&self) -> TokenUsage {
        self.translator.usage()
    }

    /// Anthropic's stop reason, once it is known.
    pub(super) fn stop_reason(&self) -> Option<&str> {
        self.translator.stop_reason()
    }

    /// Parts of the answer that were left out.
    pub(super) fn losses(&self) -> &Losses {
        self.translator.losses()
    }

    /// AWS's id of the request, once it has answered.
    pub(super) fn aws_request_id(&self) -> Option<&str> {
        self.aws_request_id.as_deref()
    }
}
