//! The body of a Bedrock answer as it came: whole, or as the frames of an event stream.
//!
//! The SDK sends the request and reads errors. It does not read the body of a success: its typed unions
//! refuse an object without a member, or with a member that its model of the API does not list, and its
//! typed tool inputs lose the order of their keys.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use aws_smithy_eventstream::error::Error as FrameError;
use aws_smithy_eventstream::frame::{UnmarshallMessage, UnmarshalledMessage};
use aws_smithy_http::event_stream::Receiver;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextMut;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::{AggregatedBytes, ByteStream};
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::event_stream::{Message, RawMessage};
use bytes::Bytes;
use dialect::error::BedrockFailure;
use service::lock;

use super::failure::from_exception;

/// Takes the body of a successful response before the SDK reads it.
#[derive(Clone, Debug, Default)]
pub(super) struct TakeBody(Arc<Mutex<Option<TakenBody>>>);

/// A successful response as it came.
#[derive(Debug)]
pub(super) struct TakenBody {
    pub(super) aws_request_id: Option<String>,
    body: SdkBody,
}

impl TakeBody {
    /// The body, when a response was a success.
    pub(super) fn taken(&self) -> Option<TakenBody> {
        lock(&self.0).take()
    }
}

impl TakenBody {
    /// All of it.
    pub(super) async fn whole(self) -> Result<Bytes, BedrockFailure> {
        let read = ByteStream::new(self.body).collect().await;
        read.map(AggregatedBytes::into_bytes)
            .map_err(|_| BedrockFailure::Cut)
    }

    /// As an event stream.
    pub(super) fn frames(self) -> Frames {
        Frames(Box::new(Receiver::new(ReadFrame, self.body)))
    }
}

impl Intercept for TakeBody {
    fn name(&self) -> &'static str {
        "TakeBody"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        if response.status().is_success() {
            let aws_request_id = response.headers().get("x-amzn-requestid");
            let aws_request_id = aws_request_id.map(str::to_owned);
            let body = std::mem::replace(response.body_mut(), SdkBody::empty());
            let taken = TakenBody {
                aws_request_id,
                body,
            };
            *lock(&self.0) = Some(taken);
        }
        Ok(())
    }
}

/// The frames of one event stream, in the order in which they arrive
/// (<https://smithy.io/2.0/aws/amazon-eventstream.html>).
#[derive(Debug)]
pub(super) struct Frames(Box<Receiver<Frame, Infallible>>);

/// One frame whose checksums are right.
#[derive(Debug)]
enum Frame {
    Event(Event),
    Failure(BedrockFailure),
}

/// An event: its name, and its JSON.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) event_type: String,
    pub(super) payload: Bytes,
}

impl Frames {
    /// Waits for the next event. `None`: the stream has ended in good order. Dropping the future
    /// loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, BedrockFailure> {
        match self.0.recv().await {
            Ok(Some(Frame::Event(event))) => Ok(Some(event)),
            Ok(Some(Frame::Failure(failure))) => Err(failure),
            Ok(None) => Ok(None),
            Err(error) => Err(from_broken_stream(&error)),
        }
    }
}

/// A stream whose frames are damaged, or whose connection is lost.
fn from_broken_stream(error: &SdkError<Infallible, RawMessage>) -> BedrockFailure {
    match error {
        SdkError::ResponseError(_) => BedrockFailure::Unreadable,
        SdkError::TimeoutError(_) => BedrockFailure::TimedOut,
        _ => BedrockFailure::Cut,
    }
}

#[derive(Debug)]
struct ReadFrame;

impl UnmarshallMessage for ReadFrame {
    type Output = Frame;
    type Error = Infallible;

    fn unmarshall(
        &self,
        message: &Message,
    ) -> Result<UnmarshalledMessage<Frame, Infallible>, FrameError> {
        let header = |name: &str| {
            let mut headers = message.headers().iter();
            let found = headers.find(|header| header.name().as_str() == name);
            let text = found.and_then(|header| header.value().as_string().ok());
            text.map(aws_smithy_types::str_bytes::StrBytes::as_str)
        };
        let failed = |code, text: Option<&str>| {
            Frame::Failure(from_exception(code, text, message.payload()))
        };
        Ok(UnmarshalledMessage::Event(match header(":message-type") {
            Some("exception") => failed(header(":exception-type"), None),
            Some("error") => failed(header(":error-code"), header(":error-message")),
            _ => Frame::Event(Event {
                event_type: header(":event-type").unwrap_or_default().to_owned(),
                payload: message.payload().clone(),
            }),
        }))
    }
}
