//! The simulated Amazon Bedrock Runtime: Converse, ConverseStream, `InvokeModel` and its stream,
//! and CountTokens (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>).
//!
//! It accepts Bedrock API keys only, and rejects the requests that the service and its Claude models reject.

mod count;
mod credentials;
mod errors;
mod operation;
mod recorded;

pub use credentials::AcceptedKeys;
pub use recorded::RecordedError;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::anthropic::{Message, Platform};
use super::conversation::Conversation;
use super::converse::{Output, corrupt_frame, event_frame, exception_frame, scripted_frame};
use super::delivery::{Chunk, Delivery, DeliveryEnd, Reply};
use super::ids;
use super::json::{at, elements};
use super::prompt_cache::{Prompt, PromptCache};
use super::response_plan::{InjectedError, ResponsePlan};
use super::rules::model::{self, Capabilities};
use super::rules::{self, RuleViolation};
use super::script::{Frame, Point, Step, StepQueue};
use super::server::{self, Simulator};
use super::service::{Request, Service};
use errors::{error_reply, exception, service_headers, stream_error_reply, validation_error};
use operation::{Operation, target};

/// A Bedrock API key of the demo. It has the form of a long-term key, and is valid for the simulator only.
pub const DEMO_BEDROCK_API_KEY: &str = "ABSKQmVkcm9ja0FQSUtleS1kZW1vLWF0LTAwMDAwMDAwMDAwMDpub3QtYS1zZWNyZXQtaXQtb3BlbnMtb25seS10aGUtc2ltdWxhdG9y";

/// The simulator's name in its responses.
const NAME: &str = "Simulated Amazon Bedrock";

/// The maximum size of a request body, in bytes.
const BODY_LIMIT: usize = 25_000_000;

/// The options of the simulated service.
#[derive(Clone, Debug, Default)]
pub struct BedrockOptions {
    /// The accepted keys.
    pub accepts: AcceptedKeys,
    /// The time between two frames of a stream.
    pub pace: Duration,
    /// A folder to which each request body is written for an outside validator, as `N-OPERATION.json` with the
    /// members `operation`, `modelId` and `body`. It is created if absent.
    pub dump_dir: Option<PathBuf>,
}

/// Serves the simulated Bedrock Runtime on `listener`.
///
/// Nothing runs until the future is polled; dropping it ends every connection.
///
/// # Errors
///
/// When the listener has no address, or the dump folder cannot be created.
pub fn serve(
    listener: TcpListener,
    options: BedrockOptions,
) -> io::Result<(Simulator, impl Future<Output = ()> + Send + use<>)> {
    if let Some(folder) = &options.dump_dir {
        std::fs::create_dir_all(folder)?;
    }
    server::serve(listener, Box::new(Bedrock::new(options)))
}

#[derive(Debug)]
struct Bedrock {
    options: BedrockOptions,
    dumped: AtomicU64,
    cache: PromptCache,
}

/// A call with a valid key, path and body.
struct Call {
    operation: Operation,
    model_id: String,
    capabilities: Option<Capabilities>,
    body: Value,
}

impl Service for Bedrock {
    fn answer(&self, request: &Request, script: &StepQueue) -> Reply {
        let Some((operation, model_id)) = target(&request.path) else {
            return error_reply(404, "UnknownOperationException", "");
        };
        if request.method != Method::POST {
            return error_reply(405, "UnknownOperationException", "");
        }
        if let Err(reply) = credentials::authenticate(request, &self.options.accepts) {
            return reply;
        }
        self.dump(operation, &model_id, &request.body);
        let scripted = if operation == Operation::CountTokens {
            None
        } else {
            script.next()
        };
        match Self::read(operation, model_id, request) {
            Ok(call) if operation == Operation::CountTokens => {
                count::count_tokens(&call.model_id, &call.body)
            }
            Ok(call) => self.generate(&call, scripted),
            Err(reply) => reply,
        }
    }

    fn reset(&self) {
        self.cache.clear();
    }
}

impl Bedrock {
    fn new(options: BedrockOptions) -> Self {
        Self {
            options,
            dumped: AtomicU64::new(0),
            cache: PromptCache::default(),
        }
    }

    fn read(operation: Operation, model_id: String, request: &Request) -> Result<Call, Reply> {
        if request.body.len() > BODY_LIMIT {
            return Err(validation_error("Input is too long for requested model."));
        }
        let capabilities = if operation == Operation::CountTokens {
            None
        } else {
            model::resolve(&model_id).map_err(|refused| validation_error(&refused.0))?
        };
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| {
            error_reply(400, "SerializationException", "The body is not valid JSON.")
        })?;
        Ok(Call {
            operation,
            model_id,
            capabilities,
            body,
        })
    }

    fn generate(&self, call: &Call, scripted: Option<Step>) -> Reply {
        let conversation = if call.operation.is_converse() {
            Conversation::from_converse(&call.body)
        } else {
            Conversation::from_messages(&call.body)
        };
        let marked = if scripted.is_none() {
            conversation.step("bedrock")
        } else {
            None
        };
        let step = match (scripted, marked) {
            (Some(step), _) | (None, Some(Ok(step))) => step,
            (None, Some(Err(reason))) => return validation_error(&reason),
            (None, None) => Step::Normal,
        };
        let (step, headers) = step.split_headers();
        let reply = match step.response_plan() {
            Ok(response) => match call.check() {
                Ok(()) => self.run(call, response, &conversation),
                Err(RuleViolation(message)) => validation_error(&message),
            },
            Err(Step::Frames { events }) => match call.check() {
                Ok(()) => self.frames(call, &events),
                Err(RuleViolation(message)) => validation_error(&message),
            },
            Err(step) => errors::from_step(step),
        };
        reply.with_headers(headers)
    }

    fn run(&self, call: &Call, mut response: ResponsePlan, conversation: &Conversation) -> Reply {
        let content = response.content_or(|| conversation.answer(NAME));
        let stop_reason = response.stop_reason_for(&content);
        let stop_sequences = ["/inferenceConfig/stopSequences", "/stop_sequences"]
            .into_iter()
            .find_map(|path| call.body.pointer(path));
        let stop_sequence = stop_sequences.and_then(|named| response.matched_stop_sequence(named));
        if call.operation.is_converse() {
            let prompt = Prompt::from_converse(&call.body);
            let charged = self.cache.charge(&call.model_id, &prompt, &content);
            let paths = elements(at(&call.body, "/additionalModelResponseFieldPaths"));
            let output = Output {
                content,
                stop_reason,
                usage: response.usage.unwrap_or(charged),
                caching: prompt.has_breakpoint(),
                stop_sequence,
                field_paths: paths
                    .iter()
                    .filter_map(|path| path.as_str().map(str::to_owned))
                    .collect(),
                empty_reasoning_text: call.model_id.contains("haiku-4-5"),
            };
            return if call.operation.streams() {
                self.stream(output.chunks(), response)
            } else {
                single(&output.full_body(), Vec::new(), response)
            };
        }
        let charged =
            self.cache
                .charge(&call.model_id, &Prompt::from_messages(&call.body), &content);
        let message = Message {
            platform: Platform::Bedrock,
            id: ids::bedrock_message(),
            model: call.model_name(),
            content,
            stop_reason,
            stop_sequence,
            usage: response.usage.unwrap_or(charged),
        };
        if call.operation.streams() {
            self.stream(invoke_chunks(&message), response)
        } else {
            let usage = message.usage;
            let written = usage.cache_write_5m + usage.cache_write_1h;
            let counts = [
                ("x-amzn-bedrock-input-token-count", usage.input),
                ("x-amzn-bedrock-output-token-count", usage.output),
                (
                    "x-amzn-bedrock-cache-read-input-token-count",
                    usage.cache_read,
                ),
                ("x-amzn-bedrock-cache-write-input-token-count", written),
                ("x-amzn-bedrock-invocation-latency", 17),
            ];
            let headers = counts.map(|(name, count)| (name.to_owned(), count.to_string()));
            single(&message.full_body(), headers.into(), response)
        }
    }

    fn stream(&self, chunks: Vec<Chunk>, response: ResponsePlan) -> Reply {
        let mut delivery = response.delivery;
        delivery.between_chunks.get_or_insert(self.options.pace);
        match response.injected_error {
            Some((Point::Connect, InjectedError::Error { kind, message })) => {
                return stream_error_reply(kind, message);
            }
            Some((point, InjectedError::Error { kind, message })) => {
                let (kind, message) = exception(kind, message);
                delivery.ending = DeliveryEnd::Instead(point, exception_frame(&kind, &message));
            }
            Some((point, InjectedError::Garbage)) => {
                delivery.ending = DeliveryEnd::Instead(point, corrupt_frame());
            }
            None => {}
        }
        Reply::streamed(event_stream_headers(), chunks, delivery)
    }

    fn frames(&self, call: &Call, events: &[Frame]) -> Reply {
        if !call.operation.streams() {
            return validation_error("The simulator sends frames in a stream only.");
        }
        let chunks = events.iter().map(|event| Chunk {
            reaches: None,
            bytes: scripted_frame(event),
        });
        let delivery = Delivery {
            between_chunks: Some(self.options.pace),
            ..Delivery::default()
        };
        Reply::streamed(event_stream_headers(), chunks.collect(), delivery)
    }

    /// Writes a body to the dump folder. A failure is logged, and does not change the response.
    fn dump(&self, operation: Operation, model_id: &str, body: &Bytes) {
        let Some(folder) = &self.options.dump_dir else {
            return;
        };
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return;
        };
        let number = self.dumped.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{number}-{}.json", operation.name()));
        let dumped = json!({
            "operation": operation.name(), "modelId": model_id, "body": body,
        });
        if let Err(error) = std::fs::write(&path, dumped.to_string()) {
            tracing::warn!(%error, "the simulator could not write a dump");
        }
    }
}

impl Call {
    fn check(&self) -> Result<(), RuleViolation> {
        if self.operation.is_converse() {
            rules::converse::check(&self.body, self.capabilities.as_ref())
        } else {
            rules::messages::check_invoke(&self.body, self.capabilities.as_ref())
        }
    }

    /// The model's name in the responses of `InvokeModel`.
    fn model_name(&self) -> String {
        let id = self.model_id.rsplit('/').next().unwrap_or(&self.model_id);
        let name = id.split_once("anthropic.").map_or(id, |(_, name)| name);
        name.split("-v1").next().unwrap_or(name).to_owned()
    }
}

fn event_stream_headers() -> Vec<(String, String)> {
    let mut headers = service_headers();
    headers.push((
        "content-type".into(),
        "application/vnd.amazon.eventstream".into(),
    ));
    headers
}

/// The events of a message as frames of `InvokeModelWithResponseStream`. The last one has the service's
/// metrics.
fn invoke_chunks(message: &Message) -> Vec<Chunk> {
    let usage = message.usage;
    let mut events = message.events();
    if let Some(last) = events
        .last_mut()
        .and_then(|(_, event)| event.as_object_mut())
    {
        last.insert(
            "amazon-bedrock-invocationMetrics".into(),
            json!({
                "inputTokenCount": usage.input,
                "outputTokenCount": usage.output,
                "invocationLatency": 17,
                "firstByteLatency": 5,
            }),
        );
    }
    let frame = |event: Value| {
        event_frame(
            "chunk",
            json!({ "bytes": BASE64.encode(event.to_string()) }),
        )
    };
    events
        .into_iter()
        .map(|(reaches, event)| Chunk {
            reaches,
            bytes: frame(event),
        })
        .collect()
}

fn single(output: &Value, further: Vec<(String, String)>, response: ResponsePlan) -> Reply {
    let mut delivery = response.delivery;
    match response.injected_error {
        Some((_, InjectedError::Error { kind, message })) => {
            return stream_error_reply(kind, message);
        }
        Some((point, InjectedError::Garbage)) => delivery.ending = DeliveryEnd::Early(point),
        None => {}
    }
    let mut headers = service_headers();
    headers.extend(further);
    headers.push(("content-type".into(), "application/json".into()));
    Reply::single(headers, output.to_string().into_bytes(), &delivery)
}
