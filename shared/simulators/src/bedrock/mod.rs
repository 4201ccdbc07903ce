//! The Amazon Bedrock Runtime, pretended: Converse, ConverseStream, `InvokeModel` and its stream,
//! and CountTokens (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>).
//!
//! It takes Bedrock API keys and nothing else, and refuses what the service and its Claude models
//! refuse, so that a request which passes here has a good chance there.

mod recorded;
mod refusal;

pub use recorded::RecordedError;

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::anthropic::{Message, Platform};
use super::conversation::Conversation;
use super::converse::{Output, broken_frame, event_frame, exception_frame, scripted_frame};
use super::delivery::{Beat, Delivery, Ending, Reply};
use super::ids;
use super::json::{at, elements};
use super::performance::{BreakIn, Performance};
use super::prompt_cache::{Prompt, PromptCache};
use super::rules::model::{self, Capabilities};
use super::rules::{self, Refused};
use super::script::{Frame, Point, Step};
use super::server::{self, Request, Script, Service, Simulator};
use refusal::{
    bad_key, broken, exception, invalid, json_reply, own_headers, refuse, refuse_untyped,
};

/// A Bedrock API key that has the form of a long-term one and opens nothing. The simulator takes
/// it, and the demo uses it.
pub const DEMO_BEDROCK_API_KEY: &str = "ABSKQmVkcm9ja0FQSUtleS1kZW1vLWF0LTAwMDAwMDAwMDAwMDpub3QtYS1zZWNyZXQtaXQtb3BlbnMtb25seS10aGUtc2ltdWxhdG9y";

/// How the simulator calls itself in its answers.
const NAME: &str = "Simulated Amazon Bedrock";

/// The largest body the service takes.
const BODY_LIMIT: usize = 25_000_000;

/// How the pretended service behaves.
#[derive(Clone, Debug, Default)]
pub struct BedrockOptions {
    /// The keys it takes.
    pub accepts: AcceptedKeys,
    /// The time between two frames of a stream.
    pub pace: Duration,
    /// A folder to which each body that arrives is written, as `N-OPERATION.json` with the members
    /// `operation`, `modelId` and `body`, for a validator outside to judge. Made if it is not there.
    pub dump_dir: Option<PathBuf>,
}

/// Which Bedrock API keys are good.
#[derive(Clone, Debug, Default)]
pub enum AcceptedKeys {
    /// Any that has the form of one: `ABSK` or `bedrock-api-key-` and base64.
    #[default]
    WellFormed,
    /// These only.
    Only(HashSet<String>),
}

/// Serves the pretended Bedrock Runtime on `listener`.
///
/// Nothing runs until the future is polled; dropping it ends every connection.
///
/// # Errors
///
/// When the listener does not know its own address, or the dump folder cannot be made.
pub fn serve(
    listener: TcpListener,
    options: BedrockOptions,
) -> io::Result<(Simulator, impl Future<Output = ()> + Send + use<>)> {
    if let Some(folder) = &options.dump_dir {
        std::fs::create_dir_all(folder)?;
    }
    server::serve(listener, Service::Bedrock(Bedrock::new(options)))
}

#[derive(Debug)]
pub(super) struct Bedrock {
    options: BedrockOptions,
    dumped: AtomicU64,
    cache: PromptCache,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Converse,
    ConverseStream,
    InvokeModel,
    InvokeModelWithResponseStream,
    CountTokens,
}

impl Operation {
    fn of_path(last: &str) -> Option<Self> {
        Some(match last {
            "converse" => Self::Converse,
            "converse-stream" => Self::ConverseStream,
            "invoke" => Self::InvokeModel,
            "invoke-with-response-stream" => Self::InvokeModelWithResponseStream,
            "count-tokens" => Self::CountTokens,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Converse => "Converse",
            Self::ConverseStream => "ConverseStream",
            Self::InvokeModel => "InvokeModel",
            Self::InvokeModelWithResponseStream => "InvokeModelWithResponseStream",
            Self::CountTokens => "CountTokens",
        }
    }

    fn is_converse(self) -> bool {
        matches!(self, Self::Converse | Self::ConverseStream)
    }

    fn streams(self) -> bool {
        matches!(
            self,
            Self::ConverseStream | Self::InvokeModelWithResponseStream
        )
    }
}

/// A call whose key, path and body could be read.
struct Call {
    operation: Operation,
    model_id: String,
    capabilities: Option<Capabilities>,
    body: Value,
}

impl Bedrock {
    pub(super) fn new(options: BedrockOptions) -> Self {
        Self {
            options,
            dumped: AtomicU64::new(0),
            cache: PromptCache::default(),
        }
    }

    pub(super) fn reset(&self) {
        self.cache.clear();
    }

    pub(super) fn answer(&self, request: &Request, script: &Script) -> Reply {
        let Some((operation, model_id)) = target(&request.path) else {
            return refuse(404, "UnknownOperationException", "");
        };
        if request.method != Method::POST {
            return refuse(405, "UnknownOperationException", "");
        }
        if let Err(reply) = self.authenticate(request) {
            return reply;
        }
        self.dump(operation, &model_id, &request.body);
        let scripted = if operation == Operation::CountTokens {
            None
        } else {
            script.next()
        };
        match Self::read(operation, model_id, request) {
            Ok(call) if operation == Operation::CountTokens => count_tokens(&call),
            Ok(call) => self.generate(&call, scripted),
            Err(reply) => reply,
        }
    }

    fn authenticate(&self, request: &Request) -> Result<(), Reply> {
        let presented = request
            .headers
            .get(AUTHORIZATION)
            .map(|value| value.to_str());
        let token = match presented {
            None => {
                return Err(refuse(
                    403,
                    "MissingAuthenticationTokenException",
                    "Missing Authentication Token",
                ));
            }
            Some(Ok(value)) => match value.split_once(' ').unwrap_or((value, "")) {
                (scheme, token) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
                // Signatures and everything else: this service has no IAM users.
                _ => {
                    return Err(refuse(
                        403,
                        "UnrecognizedClientException",
                        "The security token included in the request is invalid.",
                    ));
                }
            },
            Some(Err(_)) => "",
        };
        if !is_well_formed(token) {
            return Err(refuse_untyped(
                403,
                "Invalid API Key format: Must start with pre-defined prefix",
            ));
        }
        match &self.options.accepts {
            AcceptedKeys::WellFormed => Ok(()),
            AcceptedKeys::Only(keys) if keys.contains(token) => Ok(()),
            AcceptedKeys::Only(_) => Err(bad_key()),
        }
    }

    fn read(operation: Operation, model_id: String, request: &Request) -> Result<Call, Reply> {
        if request.body.len() > BODY_LIMIT {
            return Err(invalid("Input is too long for requested model."));
        }
        let capabilities = if operation == Operation::CountTokens {
            None
        } else {
            model::resolve(&model_id).map_err(|refused| invalid(&refused.0))?
        };
        let body: Value = serde_json::from_slice(&request.body)
            .map_err(|_| refuse(400, "SerializationException", "The body is not valid JSON."))?;
        Ok(Call {
            operation,
            model_id,
            capabilities,
            body,
        })
    }

    fn generate(&self, call: &Call, scripted: Option<Step>) -> Reply {
        let conversation = if call.operation.is_converse() {
            Conversation::of_converse(&call.body)
        } else {
            Conversation::of_messages(&call.body)
        };
        let marked = if scripted.is_none() {
            conversation.step("bedrock")
        } else {
            None
        };
        let step = match (scripted, marked) {
            (Some(step), _) | (None, Some(Ok(step))) => step,
            (None, Some(Err(reason))) => return invalid(&reason),
            (None, None) => Step::Normal,
        };
        let (step, headers) = step.and_headers();
        let reply = match step.performance() {
            Ok(performance) => match call.check() {
                Ok(()) => self.perform(call, performance, &conversation),
                Err(Refused(message)) => invalid(&message),
            },
            Err(Step::Frames { events }) => match call.check() {
                Ok(()) => self.frames(call, &events),
                Err(Refused(message)) => invalid(&message),
            },
            Err(step) => refusal::of_step(step),
        };
        reply.with_headers(headers)
    }

    fn perform(
        &self,
        call: &Call,
        mut performance: Performance,
        conversation: &Conversation,
    ) -> Reply {
        let content = performance.content_or(|| conversation.answer(NAME));
        let stop_reason = performance.stop_reason_for(&content);
        let stop_sequences = ["/inferenceConfig/stopSequences", "/stop_sequences"]
            .into_iter()
            .find_map(|path| call.body.pointer(path));
        let stop_sequence = stop_sequences.and_then(|named| performance.stop_sequence_of(named));
        if call.operation.is_converse() {
            let prompt = Prompt::of_converse(&call.body);
            let charged = self.cache.charge(&call.model_id, &prompt, &content);
            let paths = elements(at(&call.body, "/additionalModelResponseFieldPaths"));
            let output = Output {
                content,
                stop_reason,
                usage: performance.usage.unwrap_or(charged),
                caching: prompt.has_breakpoint(),
                stop_sequence,
                field_paths: paths
                    .iter()
                    .filter_map(|path| path.as_str().map(str::to_owned))
                    .collect(),
                empty_reasoning_text: call.model_id.contains("haiku-4-5"),
            };
            return if call.operation.streams() {
                self.stream(output.beats(), performance)
            } else {
                single(&output.whole(), Vec::new(), performance)
            };
        }
        let charged = self
            .cache
            .charge(&call.model_id, &Prompt::of_messages(&call.body), &content);
        let message = Message {
            platform: Platform::Bedrock,
            id: ids::bedrock_message(),
            model: call.model_name(),
            content,
            stop_reason,
            stop_sequence,
            usage: performance.usage.unwrap_or(charged),
        };
        if call.operation.streams() {
            self.stream(chunks(&message), performance)
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
            single(&message.whole(), headers.into(), performance)
        }
    }

    fn stream(&self, beats: Vec<Beat>, performance: Performance) -> Reply {
        let mut delivery = performance.delivery;
        delivery.between_beats.get_or_insert(self.options.pace);
        match performance.break_in {
            Some((Point::Connect, BreakIn::Error { kind, message })) => {
                return broken(kind, message);
            }
            Some((point, BreakIn::Error { kind, message })) => {
                let (kind, message) = exception(kind, message);
                delivery.ending = Ending::Instead(point, exception_frame(&kind, &message));
            }
            Some((point, BreakIn::Garbage)) => {
                delivery.ending = Ending::Instead(point, broken_frame());
            }
            None => {}
        }
        Reply::streamed(event_stream_headers(), beats, delivery)
    }

    fn frames(&self, call: &Call, events: &[Frame]) -> Reply {
        if !call.operation.streams() {
            return invalid("The simulator sends frames in a stream only.");
        }
        let beats = events.iter().map(|event| Beat {
            reaches: None,
            bytes: scripted_frame(event),
        });
        let delivery = Delivery {
            between_beats: Some(self.options.pace),
            ..Delivery::default()
        };
        Reply::streamed(event_stream_headers(), beats.collect(), delivery)
    }

    /// Writes a body down for a validator outside. What cannot be written is told once in the log
    /// and changes no answer.
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
    fn check(&self) -> Result<(), Refused> {
        if self.operation.is_converse() {
            rules::converse::check(&self.body, self.capabilities.as_ref())
        } else {
            rules::messages::check_invoke(&self.body, self.capabilities.as_ref())
        }
    }

    /// The model as the answers of `InvokeModel` name it.
    fn model_name(&self) -> String {
        let id = self.model_id.rsplit('/').next().unwrap_or(&self.model_id);
        let name = id.split_once("anthropic.").map_or(id, |(_, name)| name);
        name.split("-v1").next().unwrap_or(name).to_owned()
    }
}

/// `/model/{modelId}/{operation}`, whatever stands before it.
fn target(path: &str) -> Option<(Operation, String)> {
    let (_, rest) = path.split_once("/model/")?;
    let (model_id, last) = rest.rsplit_once('/')?;
    Some((Operation::of_path(last)?, percent_decoded(model_id)?))
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

/// The form of Bedrock API keys: a long-term one is `ABSK` and base64, a short-term one
/// `bedrock-api-key-` and base64
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-how.html>).
fn is_well_formed(token: &str) -> bool {
    let encoded = token
        .strip_prefix("ABSK")
        .or_else(|| token.strip_prefix("bedrock-api-key-"));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+/=-_".contains(c);
    encoded.is_some_and(|encoded| encoded.len() >= 16 && encoded.chars().all(allowed))
}

fn count_tokens(call: &Call) -> Reply {
    if !model::counts_tokens(&call.model_id) {
        return invalid("The provided model doesn't support counting tokens.");
    }
    let input = at(&call.body, "/input");
    let prompt = match (input.get("converse"), input.pointer("/invokeModel/body")) {
        (Some(converse), None) if converse.is_object() => Prompt::of_converse(converse),
        (None, Some(body)) => {
            let decoded = body.as_str().and_then(|body| BASE64.decode(body).ok());
            let parsed = decoded.and_then(|body| serde_json::from_slice::<Value>(&body).ok());
            let Some(parsed) = parsed else {
                return invalid("input.invokeModel.body must be a JSON object in base64.");
            };
            let stated = at(&parsed, "/anthropic_version") == "bedrock-2023-05-31";
            if !stated || at(&parsed, "/max_tokens").as_u64().is_none() {
                return invalid("anthropic_version, max_tokens: Field required");
            }
            Prompt::of_messages(&parsed)
        }
        _ => return invalid("input must hold exactly one of converse and invokeModel."),
    };
    json_reply(
        200,
        own_headers(),
        &json!({ "inputTokens": prompt.tokens() }),
    )
}

fn event_stream_headers() -> Vec<(String, String)> {
    let mut headers = own_headers();
    headers.push((
        "content-type".into(),
        "application/vnd.amazon.eventstream".into(),
    ));
    headers
}

/// The events of a message as the chunks of `InvokeModelWithResponseStream`. The last one carries
/// the service's own measurements.
fn chunks(message: &Message) -> Vec<Beat> {
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
    let chunk = |event: Value| {
        event_frame(
            "chunk",
            json!({ "bytes": BASE64.encode(event.to_string()) }),
        )
    };
    events
        .into_iter()
        .map(|(reaches, event)| Beat {
            reaches,
            bytes: chunk(event),
        })
        .collect()
}

fn single(output: &Value, further: Vec<(String, String)>, performance: Performance) -> Reply {
    let mut delivery = performance.delivery;
    match performance.break_in {
        Some((_, BreakIn::Error { kind, message })) => return broken(kind, message),
        Some((point, BreakIn::Garbage)) => delivery.ending = Ending::Early(point),
        None => {}
    }
    let mut headers = own_headers();
    headers.extend(further);
    headers.push(("content-type".into(), "application/json".into()));
    Reply::single(headers, output.to_string().into_bytes(), &delivery)
}
