//! Bedrock's events in, Anthropic's events out.

use aws_sdk_bedrockruntime::primitives::event_stream::EventReceiver;
use aws_sdk_bedrockruntime::types::error::{ConverseStreamOutputError, ResponseStreamError};
use aws_sdk_bedrockruntime::types::{ConverseStreamOutput, ResponseStream};
use dialect::error::classify;
use dialect::stream::{InvokeTranslator, StreamEnd, StreamTranslator};
use domain::usage::TokenUsage;

use super::events;
use super::failure::{Failure, of_stream};
use super::operation::{Calling, Output};

/// A streamed answer, from the call to its last event.
pub(super) struct Pump {
    source: Source,
    translator: Translator,
    aws_request_id: Option<String>,
}

enum Source {
    /// Bedrock has not answered yet.
    Calling(Calling),
    Converse(EventReceiver<ConverseStreamOutput, ConverseStreamOutputError>),
    Invoke(EventReceiver<ResponseStream, ResponseStreamError>),
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
    fn ping(&mut self, out: &mut Vec<u8>) {
        translator!(self, translator => translator.ping(out));
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        translator!(self, translator => translator.finish(out));
    }

    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        let error = classify(&failure.as_failure());
        translator!(self, translator => translator.fail(&error, out));
    }

    fn end(&self) -> Option<StreamEnd> {
        translator!(self, translator => translator.end())
    }

    fn has_content(&self) -> bool {
        translator!(self, translator => translator.has_content())
    }

    fn usage(&self) -> TokenUsage {
        translator!(self, translator => translator.usage())
    }

    fn stop_reason(&self) -> Option<&str> {
        translator!(self, translator => translator.stop_reason())
    }
}

impl Pump {
    pub(super) fn new(calling: Calling, translator: Translator) -> Self {
        Self {
            source: Source::Calling(calling),
            translator,
            aws_request_id: None,
        }
    }

    /// Waits for Bedrock's answer, or for its next event, and appends what the client is told of it.
    /// Dropping the future loses nothing. After a failure there is nothing more to wait for.
    pub(super) async fn advance(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        match (&mut self.source, &mut self.translator) {
            (Source::Calling(calling), _) => {
                let answered = calling.as_mut().await?;
                self.aws_request_id = answered.aws_request_id;
                self.source = match answered.output {
                    Output::Converse(events) => Source::Converse(events),
                    Output::Invoke(events) => Source::Invoke(events),
                    Output::Whole(_) | Output::Counted(_) => return Err(Failure::Unreadable),
                };
            }
            (Source::Converse(events), Translator::Converse(translator)) => {
                match events.recv().await.map_err(|error| of_stream(&error))? {
                    Some(event) => translator.push(events::event(&event), out),
                    None => translator.finish(out),
                }
            }
            (Source::Invoke(events), Translator::Invoke(translator)) => {
                match events.recv().await.map_err(|error| of_stream(&error))? {
                    Some(ResponseStream::Chunk(chunk)) => {
                        let bytes = chunk.bytes.as_ref().map(AsRef::as_ref).unwrap_or_default();
                        translator.push(bytes, out);
                    }
                    // Newer than this code.
                    Some(_) => {}
                    None => translator.finish(out),
                }
            }
            (Source::Converse(_) | Source::Invoke(_), translator) => translator.finish(out),
        }
        Ok(())
    }

    /// A keep-alive for the client.
    pub(super) fn ping(&mut self, out: &mut Vec<u8>) {
        self.translator.ping(out);
    }

    /// Ends the stream with an error event, unless its answer is whole already.
    pub(super) fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        self.translator.fail(failure, out);
    }

    /// How the stream ended, once it has.
    pub(super) fn end(&self) -> Option<StreamEnd> {
        self.translator.end()
    }

    /// Whether the client has been told anything that cannot be taken back.
    pub(super) fn has_content(&self) -> bool {
        self.translator.has_content()
    }

    /// The token counts, as far as they were told.
    pub(super) fn usage(&self) -> TokenUsage {
        self.translator.usage()
    }

    /// Anthropic's stop reason, once it is known.
    pub(super) fn stop_reason(&self) -> Option<&str> {
        self.translator.stop_reason()
    }

    /// AWS's id of the request, once it has answered.
    pub(super) fn aws_request_id(&self) -> Option<&str> {
        self.aws_request_id.as_deref()
    }
}
