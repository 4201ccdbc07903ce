//! One call of the Bedrock Runtime through the SDK.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::{Builder, Config, Region, Token};
use aws_sdk_bedrockruntime::error::ProvideErrorMetadata;
use aws_sdk_bedrockruntime::operation::RequestId;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::primitives::event_stream::EventReceiver;
use aws_sdk_bedrockruntime::types::error::{ConverseStreamOutputError, ResponseStreamError};
use aws_sdk_bedrockruntime::types::{ConverseStreamOutput, ResponseStream};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use dialect::request::{Operation, RequestLabels, Translated};
use futures_util::future::BoxFuture;

use super::BedrockCall;
use super::events::RawBody;
use super::failure::{self, Failure};

/// What an operation gave.
pub(super) struct Answered {
    pub(super) aws_request_id: Option<String>,
    pub(super) output: Output,
}

pub(super) enum Output {
    /// The body of an answer that is not streamed.
    Whole(Vec<u8>),
    /// A number of tokens.
    Counted(i32),
    Converse(EventReceiver<ConverseStreamOutput, ConverseStreamOutputError>),
    Invoke(EventReceiver<ResponseStream, ResponseStreamError>),
}

/// A call under way. It owns all that it needs, so that a client can be given keep-alives meanwhile.
pub(super) type Calling = BoxFuture<'static, Result<Answered, Failure>>;

/// Calls Bedrock once. Nothing is sent before the future is polled.
pub(super) fn start(client: &Client, sent: &Translated, call: &BedrockCall<'_>) -> Calling {
    let settings = override_for(call);
    let body = Bytes::copy_from_slice(&sent.body);
    let id = sent.model_id.clone();
    match sent.operation {
        Operation::ConverseStream => {
            let request = client.converse_stream().model_id(id).customize();
            let request = request
                .config_override(settings)
                .mutate_request(with_body(body));
            receive(request.send(), |output| Output::Converse(output.stream))
        }
        Operation::Converse => {
            let raw = RawBody::default();
            let request = client
                .converse()
                .model_id(id)
                .customize()
                .config_override(settings);
            let request = request
                .mutate_request(with_body(body))
                .interceptor(raw.clone());
            receive(request.send(), move |_| Output::Whole(raw.take()))
        }
        Operation::InvokeModelWithResponseStream => {
            let request = client
                .invoke_model_with_response_stream()
                .model_id(id)
                .content_type("application/json")
                .body(Blob::new(body));
            let request = request.customize().config_override(settings);
            let request = request.mutate_request(with_labels(call));
            receive(request.send(), |output| Output::Invoke(output.body))
        }
        Operation::InvokeModel => {
            let request = client
                .invoke_model()
                .model_id(id)
                .content_type("application/json")
                .body(Blob::new(body));
            let request = request.customize().config_override(settings);
            let request = request.mutate_request(with_labels(call));
            receive(request.send(), |output| {
                Output::Whole(output.body.into_inner())
            })
        }
        Operation::CountTokens => {
            let request = client.count_tokens().model_id(id).customize();
            let request = request
                .config_override(settings)
                .mutate_request(with_body(body));
            receive(request.send(), |output| {
                Output::Counted(output.input_tokens)
            })
        }
    }
}

/// Waits for the SDK's answer.
fn receive<T, E>(
    sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send + 'static,
    output: impl FnOnce(T) -> Output + Send + 'static,
) -> Calling
where
    T: RequestId,
    E: ProvideErrorMetadata,
{
    Box::pin(async move {
        let answer = sent.await.map_err(|error| failure::of(&error))?;
        let aws_request_id = answer.request_id().map(str::to_owned);
        Ok(Answered {
            aws_request_id,
            output: output(answer),
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
    RequestLabels::new(call.owner.user.as_str(), call.request_id.as_str())
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
