//! The Bedrock leg: the request translated, sent with the developer's own Bedrock API key, and the
//! answer translated back.
//!
//! The SDK finds the endpoint, adds the bearer token, frames, checks CRCs and types errors. The body
//! is ours: the SDK's own documents serialise maps in random order, which would defeat Bedrock's
//! prompt cache. Exactly one attempt, and one more when Bedrock named what it would not take.

mod event_stream;
mod failure;
mod frames;
mod operation;
mod refusal_cache;
mod response;
mod warned_models;

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::timeout::TimeoutConfig;
use aws_sdk_bedrockruntime::config::{
    BehaviorVersion, Config, Region, StalledStreamProtectionConfig,
};
use aws_smithy_runtime_api::client::auth::http::HTTP_BEARER_AUTH_SCHEME_ID;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use dialect::UnsupportedFeatures;
use dialect::error::{
    BedrockFailure, Class, FailureDetail, Repair, SetupStep, repairs, sent_betas,
};
use dialect::model::Target;
use dialect::request::{BedrockRequest, MessagesRequest, Operation};
use dialect::stream::{InvokeTranslator, StreamTranslator};
use domain::bedrock::{BedrockSettings, Dialect};
use domain::bedrock_key::BedrockKey;
use domain::route::FallbackReason;
use domain::time::Timestamp;
use http::StatusCode;
use service::metrics::Metrics;
use store::vault::Owner;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout, timeout_at};

use self::event_stream::{EventStream, Translator};
use self::operation::Output;
use self::refusal_cache::{RefusalCache, RequestTarget};
use self::response::BedrockResponse;
use self::warned_models::WarnedModels;
use crate::config::Deadlines;
use crate::error_response::ErrorResponse;
use crate::fallback_error::FallbackError;
use crate::request::IncomingRequest;
use crate::request_kind::RequestKind;
use crate::request_log::RequestLog;
use crate::response::HeldResponse;

/// The client of the Bedrock Runtime.
#[derive(Debug)]
pub(crate) struct Bedrock {
    client: Client,
    /// For users without a dialect of their own.
    dialect: Dialect,
    deadlines: Deadlines,
    metrics: Metrics,
    refusals: RefusalCache,
    warned: WarnedModels,
}

/// One request that goes to Bedrock.
pub(crate) struct BedrockCall<'a> {
    pub(crate) request: &'a IncomingRequest<'a>,
    pub(crate) reason: FallbackReason,
    /// The present moment.
    pub(crate) now: Timestamp,
    pub(crate) settings: &'a BedrockSettings,
    pub(crate) owner: Owner<'a>,
    pub(crate) token: &'a BedrockKey,
}

impl Bedrock {
    pub(crate) fn new(
        http: SharedHttpClient,
        endpoint_url: Option<&str>,
        dialect: Dialect,
        deadlines: Deadlines,
        metrics: Metrics,
    ) -> Self {
        // Built without the environment: a bearer token or a profile of the host must never be used.
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            // It has been seen to end streams in which the model thinks for long; we keep our own time.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(deadlines.connect)
                    .build(),
            )
            .auth_scheme_preference([HTTP_BEARER_AUTH_SCHEME_ID])
            .region(Region::from_static(domain::bedrock::DEFAULT_REGION));
        config.set_endpoint_url(endpoint_url.map(str::to_owned));
        Self {
            client: Client::from_conf(config.build()),
            dialect,
            deadlines,
            metrics,
            refusals: RefusalCache::default(),
            warned: WarnedModels::default(),
        }
    }

    /// Sends the request, and waits until the response has content, or until a keep-alive is due.
    pub(crate) async fn send(
        &self,
        call: BedrockCall<'_>,
        log: &mut RequestLog,
    ) -> Result<HeldResponse, FallbackError> {
        let incoming = call.request;
        let betas = incoming.headers.get_all("anthropic-beta");
        let betas = betas.iter().filter_map(|value| value.to_str().ok());
        let (request, target, mut left_out, translated) = blocking(incoming.body.len(), || {
            let request = MessagesRequest::parse(&incoming.body, betas)
                .map_err(|error| translate_error(&error))?;
            let target = self.target(&request, &call);
            log.fields_mut().bedrock_model = Some(loggable(&target.model_id));
            let left_out = self
                .refusals
                .parts(request_target(&target, &call), call.now);
            let translated = self.translate(&request, &target, &left_out, &call)?;
            Ok((request, target, left_out, translated))
        })?;
        let failure = match self.attempt(&translated, &call, log).await {
            Ok(response) => return Ok(self.held(response, &translated, &call, log)),
            Err(failure) => failure,
        };
        // One repair: the request without what Bedrock named, if that makes it another request.
        let repairs = blocking(incoming.body.len(), || {
            repairs(&failure, &sent_betas(&translated.body))
        });
        if repairs.is_empty() {
            return Err(fallback_error(&failure, &call, log));
        }
        let detail = FailureDetail::from_failure(&failure);
        tracing::warn!(
            request.id = %call.request.id,
            key.id = %call.owner.key,
            parts = ?repairs,
            aws.status = detail.status,
            aws.code = detail.code,
            aws.reason = detail.reason,
            "Bedrock refused parts of the request; it is sent once more without them"
        );
        for repair in &repairs {
            left_out.insert(repair.part.clone());
        }
        let repaired = blocking(incoming.body.len(), || {
            self.translate(&request, &target, &left_out, &call)
        })?;
        if repaired.body == translated.body {
            return Err(fallback_error(&failure, &call, log));
        }
        let response = self
            .attempt(&repaired, &call, log)
            .await
            .map_err(|failure| fallback_error(&failure, &call, log))?;
        if response.is_accepted() {
            self.cache_refusals(request_target(&target, &call), &repairs, &call);
        }
        Ok(self.held(response, &repaired, &call, log))
    }

    fn held(
        &self,
        response: BedrockResponse,
        sent: &BedrockRequest,
        call: &BedrockCall<'_>,
        log: &mut RequestLog,
    ) -> HeldResponse {
        let until = call.request.deadlines.end;
        response.into_held(sent, call.reason, until, self.deadlines, self.metrics, log)
    }

    /// The model that serves the request. What is odd about it is logged once.
    fn target(&self, request: &MessagesRequest<'_>, call: &BedrockCall<'_>) -> Target {
        let target = dialect::model::resolve(request.model(), call.settings);
        if let Some(warning) = &target.warning
            && self.warned.insert(&target.model_id)
        {
            tracing::warn!(
                %warning,
                model = loggable(&target.model_id),
                user.id = %call.owner.user,
                "Bedrock model"
            );
        }
        target
    }

    fn translate(
        &self,
        request: &MessagesRequest<'_>,
        target: &Target,
        left_out: &UnsupportedFeatures,
        call: &BedrockCall<'_>,
    ) -> Result<BedrockRequest, FallbackError> {
        let labels = operation::labels(call);
        let dialect = call.settings.dialect.unwrap_or(self.dialect);
        if call.request.kind == RequestKind::CountTokens {
            dialect::request::count_tokens(request, target, dialect, left_out)
        } else {
            dialect::request::translate(request, target, dialect, left_out, &labels)
        }
        .map_err(|error| translate_error(&error))
    }

    /// Caches what an accepted repair has shown of the target, and reports it.
    fn cache_refusals(
        &self,
        target: RequestTarget<'_>,
        repairs: &[Repair],
        call: &BedrockCall<'_>,
    ) {
        let added = self.refusals.insert(target, repairs, call.now);
        if added.is_empty() {
            return;
        }
        let model = loggable(target.model_id);
        tracing::warn!(
            request.id = %call.request.id,
            key.id = %call.owner.key,
            bedrock.model = model,
            parts = ?added,
            "Bedrock refused parts of a request; requests to this model leave them out for an hour"
        );
        self.metrics.refusals_cached(&model, added.len(), call.now);
    }

    /// One call of Bedrock, to the point where the client may have its answer.
    async fn attempt(
        &self,
        sent: &BedrockRequest,
        call: &BedrockCall<'_>,
        log: &mut RequestLog,
    ) -> Result<BedrockResponse, BedrockFailure> {
        let deadlines = call.request.deadlines;
        let answer_by = match sent.operation {
            Operation::ConverseStream | Operation::InvokeModelWithResponseStream => {
                deadlines.first_byte
            }
            Operation::Converse | Operation::InvokeModel | Operation::CountTokens => {
                deadlines.whole_answer
            }
        };
        if Instant::now() >= answer_by {
            return Err(BedrockFailure::TimedOut);
        }
        let calling = operation::start(&self.client, sent, call);
        let request_id = call.request.id.as_str();
        let message_id = format!("msg_bdrk_{}", request_id.trim_start_matches("req_"));
        let context = sent.reply.clone();
        let response = match sent.operation {
            Operation::ConverseStream => {
                let translator = StreamTranslator::new(message_id, request_id, context);
                self.begin(
                    EventStream::new(calling, Translator::Converse(translator)),
                    answer_by,
                )
                .await?
            }
            Operation::InvokeModelWithResponseStream => {
                let translator = InvokeTranslator::new(request_id, context);
                self.begin(
                    EventStream::new(calling, Translator::Invoke(translator)),
                    answer_by,
                )
                .await?
            }
            Operation::Converse | Operation::InvokeModel | Operation::CountTokens => {
                let answered = timeout_at(answer_by, calling).await;
                let answered = answered.map_err(|_| BedrockFailure::TimedOut)??;
                log.fields_mut().bedrock_request_id = answered.aws_request_id;
                let Output::Whole(body) = answered.output else {
                    return Err(BedrockFailure::Unreadable);
                };
                let reply = match sent.operation {
                    Operation::CountTokens => {
                        dialect::reply::counted_tokens(&body).map(BedrockResponse::TokenCount)
                    }
                    Operation::InvokeModel => {
                        dialect::reply::invoke_reply(&body, &context).map(BedrockResponse::Message)
                    }
                    _ => dialect::reply::converse_reply(&body, &message_id, &context)
                        .map(BedrockResponse::Message),
                };
                reply.map_err(|broken| broken.to_failure())?
            }
        };
        Ok(response)
    }

    /// Waits until there is something to show. Until then nothing has left: an error, or an exception
    /// in the first events, is still an answer like any other. But the client must hear something
    /// before long.
    async fn begin(
        &self,
        mut events: EventStream,
        answer_by: Instant,
    ) -> Result<BedrockResponse, BedrockFailure> {
        let mut begun = Vec::new();
        let shown = timeout(self.deadlines.ping, async {
            while !events.has_content() && events.end().is_none() {
                events.advance(&mut begun).await?;
            }
            Ok(())
        });
        match timeout_at(answer_by, shown).await {
            Err(_) => return Err(BedrockFailure::TimedOut),
            Ok(Ok(Err(failure))) => return Err(failure),
            Ok(Ok(Ok(()))) => {
                if let Some(failure) = events.failure() {
                    return Err(failure);
                }
            }
            Ok(Err(_)) => events.ping(&mut begun),
        }
        Ok(BedrockResponse::Stream {
            events: Box::new(events),
            begun,
        })
    }
}

fn request_target<'a>(target: &'a Target, call: &BedrockCall<'a>) -> RequestTarget<'a> {
    RequestTarget {
        region: &call.settings.region,
        model_id: &target.model_id,
        key_id: call.owner.key,
    }
}

/// Bodies of more bytes are translated apart from other requests: at about 20 ms per MB they would
/// hold all that wait for the same worker thread.
const APART_ABOVE_BYTES: usize = 1_000_000;

/// Does the work for a body of so many bytes, and hands this thread's other tasks to another thread
/// when it takes long. A runtime with one thread has none to hand them to.
fn blocking<T>(body_bytes: usize, work: impl FnOnce() -> T) -> T {
    let has_threads = Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if has_threads && body_bytes > APART_ABOVE_BYTES {
        block_in_place(work)
    } else {
        work()
    }
}

/// Logs the failure of a call, and gives the error for it.
fn fallback_error(
    failure: &BedrockFailure,
    call: &BedrockCall<'_>,
    log: &mut RequestLog,
) -> FallbackError {
    let error = dialect::error::classify(failure);
    let aws_request_id = failure
        .aws_error()
        .and_then(|error| error.request_id.clone());
    log.fields_mut()
        .bedrock_request_id
        .clone_from(&aws_request_id);
    let detail = FailureDetail::from_failure(failure);
    tracing::warn!(
        request.id = %call.request.id,
        key.id = %call.owner.key,
        class = error.class().as_str(),
        cause = error.cause.as_str(),
        step = error.cause.setup_step().map(SetupStep::as_str),
        aws.status = detail.status,
        aws.code = detail.code,
        aws.reason = detail.reason,
        aws.request_id = aws_request_id,
        "Bedrock did not answer"
    );
    if call.request.kind == RequestKind::CountTokens && error.class() == Class::Rejected {
        // Never a made-up number: the client estimates by itself.
        return FallbackError::Request(ErrorResponse::final_error(
            StatusCode::NOT_IMPLEMENTED,
            "not_supported",
            error.class().as_str(),
            "Token counting is not available for this request on Amazon Bedrock.",
        ));
    }
    if error.is_about_the_request() {
        FallbackError::Request(error.into())
    } else {
        FallbackError::Bedrock(error.into())
    }
}

/// The request cannot be translated for Bedrock.
fn translate_error(error: &dialect::request::TranslateError) -> FallbackError {
    FallbackError::Request(ErrorResponse {
        error_code: error.error_code(),
        ..ErrorResponse::final_error(
            StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST),
            error.error_type(),
            "bedrock_rejected",
            error.to_string(),
        )
    })
}

/// A model id without the account that an ARN names, of at most 100 characters: clients choose it.
fn loggable(model_id: &str) -> String {
    let resource = model_id
        .strip_prefix("arn:")
        .and_then(|arn| arn.rsplit(':').next());
    let named = resource.unwrap_or(model_id);
    named.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        let http = service::aws::https_client().unwrap();
        let (dialect, deadlines) = (Dialect::Converse, Deadlines::default());
        Bedrock::new(http, None, dialect, deadlines, Metrics::Off).client
    }

    #[test]
    fn a_model_that_thinks_for_long_is_not_taken_for_a_stalled_stream() {
        let client = client();
        let protection = client.config().stalled_stream_protection().unwrap();
        assert!(!protection.download_enabled() && !protection.upload_enabled());
    }

    #[test]
    fn the_sdk_makes_one_attempt_and_never_pays_twice() {
        assert_eq!(client().config().retry_config().unwrap().max_attempts(), 1);
    }

    #[test]
    fn a_model_id_is_logged_without_the_account_of_its_arn() {
        let arn = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc";
        assert_eq!(loggable(arn), "application-inference-profile/abc");
        assert_eq!(
            loggable("global.anthropic.claude-opus-5-5"),
            "global.anthropic.claude-opus-5-5"
        );
        let long = format!("anthropic.{}", "a".repeat(100_000));
        assert_eq!(loggable(&long).len(), 100);
    }
}
