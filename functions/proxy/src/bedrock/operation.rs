//! One call of the Bedrock Runtime through the SDK.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::{Builder, Config, Region, Token};
use aws_sdk_bedrockruntime::error::ProvideErrorMetadata;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use dialect::request::{BedrockRequest, Operation, RequestLabels};
use futures_util::future::BoxFuture;

use super::BedrockCall;
use super::failure::{self, Failure};
use super::frames::{Frames, TakeBody};

/// What an operation gave.
pub(super) struct Answered {
    pub(super) aws_request_id: Option<String>,
    pub(super) output: Output,
}

pub(super) enum Output {
    /// The body of an answer that is not streamed.
    Whole(Bytes),
    Streamed(Frames),
}

/// A call under way. It owns all that it needs, so that a client can be given keep-alives meanwhile.
pub(super) type Calling = BoxFuture<'static, Result<Answered, Failure>>;

/// Calls Bedrock once. Nothing is sent before the future is polled.
pub(super) fn start(client: &Client, sent: &BedrockRequest, call: &BedrockCall<'_>) -> Calling {
    let id = sent.model_id.clone();
    let body = Bytes::copy_from_slice(&sent.body);
    let blob = Blob::new(body.clone());
    let json = "application/json";
    let taken = TakeBody::default();
    // The operations are types of the SDK without a trait in common.
    macro_rules! send {
        ($operation:expr, $change:expr, $is_streamed:literal) => {{
            let request = $operation.customize().config_override(override_for(call));
            let request = request.mutate_request($change).interceptor(taken.clone());
            receive(request.send(), taken, $is_streamed)
        }};
    }
    match sent.operation {
        Operation::ConverseStream => {
            let operation = client.converse_stream().model_id(id);
            send!(operation, with_body(body), true)
        }
        Operation::Converse => {
            let operation = client.converse().model_id(id);
            send!(operation, with_body(body), false)
        }
        Operation::InvokeModelWithResponseStream => {
            let operation = client.invoke_model_with_response_stream().model_id(id);
            let operation = operation.content_type(json).body(blob);
            send!(operation, with_labels(call), true)
        }
        Operation::InvokeModel => {
            let operation = client.invoke_model().model_id(id);
            let operation = operation.content_type(json).body(blob);
            send!(operation, with_labels(call), false)
        }
        Operation::CountTokens => {
            let operation = client.count_tokens().model_id(id);
            send!(operation, with_body(body), false)
        }
    }
}

/// Waits for the response. What the SDK makes of a success is not used: its body was taken before.
fn receive<T, E>(
    sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send + 'static,
    taken: TakeBody,
    is_streamed: bool,
) -> Calling
where
    T: Send,
    E: ProvideErrorMetadata + Send,
{
    Box::pin(async move {
        let sent = sent.await;
        let Some(taken) = taken.taken() else {
            return Err(sent.map_or_else(|error| failure::of(&error), |_| Failure::Unreadable));
        };
        drop(sent);
        Ok(Answered {
            aws_request_id: taken.aws_request_id.clone(),
            output: if is_streamed {
                Output::Streamed(taken.frames())
            } else {
                Output::Whole(taken.whole().await?)
            },
        })
    })
}

fn override_for(call: &BedrockCall<'_>) -> Builder {
    Config::builder()
        .region(Region::new(call.settings.region.clone()))
        .bearer_token(Token::new(call.token.expose(), None))
}

/// What Bedrock's invocation logs are to know of the request.
pub(super) fn labels(call: &BedrockCall<'_>) -> RequestLabels {
    RequestLabels::new(call.owner.user.as_str(), call.request.id.as_str())
}

/// `InvokeModel` has no place for the labels in its body.
fn with_labels(call: &BedrockCall<'_>) -> impl Fn(&mut HttpRequest) + Send + Sync + 'static {
    let labels = serde_json::to_string(&labels(call)).unwrap_or_default();
    move |request| {
        request
            .headers_mut()
            .insert("x-amzn-bedrock-request-metadata", labels.clone());
    }
}

/// The SDK's own documents serialise maps in random order; this is our body, as it was translated.
fn with_body(body: Bytes) -> impl Fn(&mut HttpRequest) + Send + Sync + 'static {
    move |request| {
        let length = body.len().to_string();
        request.headers_mut().insert("content-length", length);
        *request.body_mut() = SdkBody::from(body.clone());
    }
}
