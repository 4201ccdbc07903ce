//! The Bedrock leg: the request translated, sent with the developer's own Bedrock API key, and the
//! answer translated back.
//!
//! The SDK finds the endpoint, adds the bearer token, frames, checks CRCs and types errors. The body
//! is ours: the SDK's own documents serialise maps in random order, which would defeat Bedrock's
//! prompt cache. Exactly one attempt, and one more when Bedrock named what it would not take.

mod answer;
mod failure;
mod frames;
mod operation;
mod pump;
mod refusal_cache;
mod warned;

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::timeout::TimeoutConfig;
use aws_sdk_bedrockruntime::config::{
    BehaviorVersion, Config, Region, StalledStreamProtectionConfig,
};
use aws_smithy_runtime_api::client::auth::http::HTTP_BEARER_AUTH_SCHEME_ID;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use dialect::UnsupportedFeatures;
use dialect::error::{Class, FailureDetail, Repair, SetupStep, repairs, sent_betas};
use dialect::model::Target;
use dialect::request::{BedrockRequest, MessagesRequest, Operation};
use dialect::stream::{InvokeTranslator, StreamTranslator};
use domain::bedrock::{BedrockSettings, Dialect};
use domain::bedrock_key::BedrockKey;
use domain::id::RequestId;
use domain::time::Timestamp;
use http::{HeaderMap, StatusCode};
use store::vault::Owner;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use self::answer::BedrockAnswer;
use self::answer::{AnswerBody, Head};
use self::failure::Failure;
use self::operation::Output;
use self::pump::{Pump, Translator};
use self::refusal_cache::{RefusalCache, RequestTarget};
use self::warned::WarnedModels;
use crate::config::Deadlines;
use crate::deadline::RequestDeadlines;
use crate::metrics::Metrics;
use crate::record::Record;
use crate::reply::Refusal;

/// The client of the Bedrock Runtime.
#[derive(Debug)]
pub(crate) struct Bedrock {
    client: Client,
    /// For users without one of their own.
    dialect: Dialect,
    deadlines: Deadlines,
    /// What the target models refused.
    refusals: RefusalCache,
    warned: WarnedModels,
}

/// What is wanted of Bedrock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An answer of the model.
    Answer,
    /// How many tokens the request has.
    Count,
}

/// One request that goes to Bedrock.
pub(crate) struct BedrockCall<'a> {
    pub(crate) purpose: Purpose,
    pub(crate) request_id: RequestId,
    /// The present moment.
    pub(crate) now: Timestamp,
    pub(crate) metrics: Metrics,
    pub(crate) settings: &'a BedrockSettings,
    pub(crate) owner: Owner<'a>,
    pub(crate) token: &'a BedrockKey,
    /// Why, for `x-spillway-upstream`.
    pub(crate) why: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) deadlines: RequestDeadlines,
}

/// There is no answer from Bedrock.
pub(crate) enum Failed {
    /// The request is at fault, and the client can do something about it.
    Request(Refusal),
    /// Bedrock, or the developer's key for it. Plan's answer is better, if there is one.
    Bedrock(Refusal),
}

impl Bedrock {
    pub(crate) fn new(
        http: SharedHttpClient,
        endpoint_url: Option<&str>,
        dialect: Dialect,
        deadlines: Deadlines,
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
            refusals: RefusalCache::default(),
            warned: WarnedModels::default(),
        }
    }

    /// Sends the request, and waits until there is something to show for it.
    pub(crate) async fn send(
        &self,
        call: BedrockCall<'_>,
        record: &mut Record,
    ) -> Result<BedrockAnswer, Failed> {
        let betas = call.headers.get_all("anthropic-beta");
        let betas = betas.iter().filter_map(|value| value.to_str().ok());
        let (request, target, mut left_out, translated) = blocking(call.body.len(), || {
            let request = MessagesRequest::parse(call.body, betas)
                .map_err(|refusal| refused_by_us(&refusal))?;
            let target = self.target(&request, &call);
            record.note().bedrock_model = Some(loggable(&target.model_id));
            let left_out = self
                .refusals
                .parts(request_target(&target, &call), call.now);
            let translated = self.translate(&request, &target, &left_out, &call)?;
            Ok((request, target, left_out, translated))
        })?;
        let failure = match self.attempt(&translated, &call, record).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        // One repair: the request without what Bedrock named, if that makes it another request.
        let repairs = blocking(call.body.len(), || {
            repairs(&failure.as_failure(), &sent_betas(&translated.body))
        });
        if repairs.is_empty() {
            return Err(failed(&failure, &call, record));
        }
        let detail = FailureDetail::from_failure(&failure.as_failure());
        tracing::warn!(
            request.id = %call.request_id,
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
        let repaired = blocking(call.body.len(), || {
            self.translate(&request, &target, &left_out, &call)
        })?;
        if repaired.body == translated.body {
            return Err(failed(&failure, &call, record));
        }
        let outcome = self.attempt(&repaired, &call, record).await;
        if outcome.as_ref().is_ok_and(BedrockAnswer::is_accepted) {
            self.cache_properties(request_target(&target, &call), &repairs, &call);
        }
        outcome.map_err(|failure| failed(&failure, &call, record))
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
    ) -> Result<BedrockRequest, Failed> {
        let labels = operation::labels(call);
        let dialect = call.settings.dialect.unwrap_or(self.dialect);
        match call.purpose {
            Purpose::Answer => {
                dialect::request::translate(request, target, dialect, left_out, &labels)
            }
            Purpose::Count => dialect::request::count_tokens(request, target, dialect, left_out),
        }
        .map_err(|refusal| refused_by_us(&refusal))
    }

    /// Caches what an accepted repair has shown of the target, and reports it.
    fn cache_properties(
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
            request.id = %call.request_id,
            key.id = %call.owner.key,
            bedrock.model = model,
            parts = ?added,
            "Bedrock refused parts of a request; requests to this model leave them out for an hour"
        );
        call.metrics.refusals_cached(&model, added.len(), call.now);
    }

    /// One call of Bedrock, to the point where the client may have its answer.
    async fn attempt(
        &self,
        sent: &BedrockRequest,
        call: &BedrockCall<'_>,
        record: &mut Record,
    ) -> Result<BedrockAnswer, Failure> {
        let deadlines = call.deadlines;
        let answer_by = match sent.operation {
            Operation::ConverseStream | Operation::InvokeModelWithResponseStream => {
                deadlines.first_byte
            }
            Operation::Converse | Operation::InvokeModel | Operation::CountTokens => {
                deadlines.whole_answer
            }
        };
        if Instant::now() >= answer_by {
            return Err(Failure::TimedOut);
        }
        let calling = operation::start(&self.client, sent, call);
        let request_id = call.request_id.as_str();
        let message_id = format!("msg_bdrk_{}", request_id.trim_start_matches("req_"));
        let context = sent.reply.clone();
        let body = match sent.operation {
            Operation::ConverseStream => {
                let translator = StreamTranslator::new(message_id, request_id, context);
                self.begin(
                    Pump::new(calling, Translator::Converse(translator)),
                    answer_by,
                )
                .await?
            }
            Operation::InvokeModelWithResponseStream => {
                let translator = InvokeTranslator::new(request_id, context);
                self.begin(
                    Pump::new(calling, Translator::Invoke(translator)),
                    answer_by,
                )
                .await?
            }
            Operation::Converse | Operation::InvokeModel | Operation::CountTokens => {
                let answered = timeout_at(answer_by, calling).await;
                let answered = answered.map_err(|_| Failure::TimedOut)??;
                record.note().bedrock_request_id = answered.aws_request_id;
                let Output::Whole(body) = answered.output else {
                    return Err(Failure::Unreadable);
                };
                let reply = match sent.operation {
                    Operation::CountTokens => {
                        dialect::reply::counted_tokens(&body).map(AnswerBody::Counted)
                    }
                    Operation::InvokeModel => {
                        dialect::reply::invoke_reply(&body, &context).map(AnswerBody::Whole)
                    }
                    _ => dialect::reply::converse_reply(&body, &message_id, &context)
                        .map(AnswerBody::Whole),
                };
                reply.map_err(|broken| Failure::from(broken.as_failure()))?
            }
        };
        Ok(BedrockAnswer {
            head: Head::new(sent, call),
            body,
        })
    }

    /// Waits until there is something to show. Until then nothing has left: an error, or an exception
    /// in the first events, is still an answer like any other. But the client must hear something
    /// before long.
    async fn begin(&self, mut pump: Pump, answer_by: Instant) -> Result<AnswerBody, Failure> {
        let mut begun = Vec::new();
        let shown = timeout(self.deadlines.ping, async {
            while !pump.has_content() && pump.end().is_none() {
                pump.advance(&mut begun).await?;
            }
            Ok(())
        });
        match timeout_at(answer_by, shown).await {
            Err(_) => return Err(Failure::TimedOut),
            Ok(Ok(Err(failure))) => return Err(failure),
            Ok(Ok(Ok(()))) => {
                if let Some(failure) = pump.failure() {
                    return Err(failure);
                }
            }
            Ok(Err(_)) => pump.ping(&mut begun),
        }
        Ok(AnswerBody::Streaming {
            pump: Box::new(pump),
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

fn failed(failure: &Failure, call: &BedrockCall<'_>, record: &mut Record) -> Failed {
    let error = dialect::error::classify(&failure.as_failure());
    record.note().bedrock_request_id = failure.aws_request_id().map(str::to_owned);
    let detail = FailureDetail::from_failure(&failure.as_failure());
    tracing::warn!(
        request.id = %call.request_id,
        key.id = %call.owner.key,
        class = error.class().as_str(),
        cause = error.cause.as_str(),
        step = error.cause.setup_step().map(SetupStep::as_str),
        aws.status = detail.status,
        aws.code = detail.code,
        aws.reason = detail.reason,
        aws.request_id = failure.aws_request_id(),
        "Bedrock did not answer"
    );
    if call.purpose == Purpose::Count && error.class() == Class::Rejected {
        // Never a made-up number: the client estimates by itself.
        return Failed::Request(Refusal {
            status: StatusCode::NOT_IMPLEMENTED,
            error_type: "not_supported",
            class: error.class().as_str(),
            message: "Token counting is not available for this request on Amazon Bedrock."
                .to_owned(),
            error_code: None,
            should_retry: Some(false),
            retry_after_s: None,
        });
    }
    if error.is_about_the_request() {
        Failed::Request(error.into())
    } else {
        Failed::Bedrock(error.into())
    }
}

/// The request cannot be said to Bedrock at all.
fn refused_by_us(refusal: &dialect::request::TranslateError) -> Failed {
    Failed::Request(Refusal {
        status: StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST),
        error_type: refusal.error_type(),
        class: "bedrock_rejected",
        message: refusal.to_string(),
        error_code: refusal.error_code(),
        should_retry: Some(false),
        retry_after_s: None,
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
        let http = store::aws::https_client().unwrap();
        Bedrock::new(http, None, Dialect::Converse, Deadlines::default()).client
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
