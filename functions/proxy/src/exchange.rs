//! The story of one request: admit the key, ask Plan, fall back to Bedrock when the plan is
//! exhausted, commit to one answer.
//!
//! The commit point is where a [`Response`] is returned: before it the upstream may be switched,
//! after it never.

use std::sync::Arc;

use bytes::Bytes;
use dialect::error::Class;
use domain::grant::{Denial, Grant};
use domain::key::AccessKey;
use domain::verdict::{FallbackReason, Next};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;
use store::access::{AccessTable, Binding, Resolved};
use store::directory::Directory;
use store::vault::{Opener, Owner, VaultError};
use tokio::time::Instant;

use crate::StartError;
use crate::bedrock::{Bedrock, BedrockAnswer, BedrockCall, Failed, Purpose};
use crate::clock::Clock;
use crate::config::Settings;
use crate::plan::{Plan, PlanAnswer, PlanBody, PlanFailure, PlanRequest, http_client};
use crate::record::{Outcome, Record};
use crate::reply::{Body, ERROR, Refusal, UPSTREAM, whole};
use crate::route::Endpoint;
use crate::streaming::{Ending, Patience, pass_through};

/// The proxy: what is the same for all requests of an instance.
#[derive(Debug)]
pub struct Proxy {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    directory: Directory,
    opener: Opener,
    plan: Plan,
    bedrock: Bedrock,
}

/// What the proxy works with, made by whoever starts it.
#[derive(Debug)]
pub struct Parts {
    /// Users, keys and bindings.
    pub access: AccessTable,
    /// Hashes access keys.
    pub server_secret: domain::key::ServerSecret,
    /// Opens Bedrock keys.
    pub opener: Opener,
    /// Sent to Plan for clients without a credential of their own (requirement R1.6).
    pub plan_key: Option<SecretString>,
    /// The HTTP client of the Bedrock Runtime.
    pub aws_http: aws_smithy_runtime_api::client::http::SharedHttpClient,
    /// Tells the time.
    pub clock: Clock,
}

/// A request of the API that names a key, with its body.
pub(crate) struct Arrival<'a> {
    /// When it arrived.
    pub(crate) at: Instant,
    pub(crate) method: Method,
    pub(crate) key: &'a str,
    pub(crate) endpoint: Endpoint,
    /// From `/v1/` on, with the query.
    pub(crate) path_and_query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
}

/// What Spillway wants to know of a body that it does not parse. A body that is no such JSON says
/// nothing, and Plan decides what to think of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Peek {
    model: Option<String>,
    stream: Option<bool>,
}

/// Why there is no answer of an upstream.
enum Stop {
    Refused(Refusal),
    Denied(Denial),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Proxy {
    /// Assembles the proxy.
    ///
    /// # Errors
    /// [`StartError`] when the HTTP client of Plan cannot be made.
    pub fn new(settings: Settings, parts: Parts) -> Result<Self, StartError> {
        let deadlines = settings.deadlines;
        let http = http_client(deadlines.connect)?;
        Ok(Self {
            directory: Directory::new(parts.access, parts.server_secret, settings.keys),
            opener: parts.opener,
            plan: Plan::new(http, settings.plan_url.clone(), parts.plan_key, deadlines),
            bedrock: Bedrock::new(
                parts.aws_http,
                settings.bedrock_url.as_deref(),
                settings.dialect,
                deadlines,
            ),
            clock: parts.clock,
            settings,
        })
    }

    /// Serves one request under a key, from its arrival to its answer.
    pub(crate) async fn serve(&self, arrival: Arrival<'_>, mut record: Record) -> Response<Body> {
        let until = arrival.at + self.settings.deadlines.total;
        match self.exchange(arrival, &mut record).await {
            Ok(Answer::Plan(answer, ending)) => self.commit_plan(answer, ending, until, record),
            Ok(Answer::Bedrock(answer)) => answer.commit(until, &self.settings.deadlines, record),
            Err(Stop::Denied(denial)) => {
                record.note().denial = Some(denial);
                refuse(Refusal::unknown_key(self.settings.unknown_key), record)
            }
            Err(Stop::Refused(refusal)) => refuse(refusal, record),
        }
    }

    async fn exchange(&self, arrival: Arrival<'_>, record: &mut Record) -> Result<Answer, Stop> {
        let (resolved, grant) = self.admit(arrival.key).await?;
        record.note().key = Some(grant.record().clone());

        let peek: Peek = serde_json::from_slice(&arrival.body).unwrap_or_default();
        let is_stream = peek.stream == Some(true);
        record.note().is_stream = is_stream;
        record.note().model = peek.model.map(|model| model.chars().take(100).collect());

        let deadlines = &self.settings.deadlines;
        let request = PlanRequest {
            method: arrival.method.clone(),
            path_and_query: arrival.path_and_query,
            headers: arrival.headers,
            body: arrival.body.clone(),
            first_byte: if is_stream {
                deadlines.first_byte
            } else {
                deadlines.whole_answer
            },
        };
        let answer = self.plan.send(request).await.map_err(|failure| {
            record.note().plan_failure = Some(failure.as_str());
            plan_unreachable(failure)
        })?;
        record.note().plan_status = Some(answer.status.as_u16());
        record.note().plan_verdict = Some(answer.verdict);

        let (purpose, reason) = match (arrival.endpoint, answer.verdict.next()) {
            (Endpoint::Messages, Next::FallBack(reason)) => (Purpose::Answer, reason),
            (Endpoint::CountTokens, Next::FallBack(reason)) => (Purpose::Count, reason),
            (Endpoint::Messages, Next::Deliver) => {
                return Ok(Answer::Plan(answer, Ending::Message));
            }
            (Endpoint::CountTokens, Next::Deliver) | (Endpoint::PlanOnly, _) => {
                return Ok(Answer::Plan(answer, Ending::Any));
            }
        };
        record.note().fallback = Some(reason);
        let fallback = Fallback {
            grant: &grant,
            binding: resolved.binding.as_ref(),
            plan: answer,
            purpose,
            reason,
        };
        self.fall_back(&arrival, fallback, record).await
    }

    /// From the text in the URL to the witness that its key is served now.
    async fn admit(&self, key: &str) -> Result<(Arc<Resolved>, Grant), Stop> {
        let key = AccessKey::parse(key).map_err(|_| Stop::Denied(Denial::Malformed))?;
        let now = self.clock.now();
        let resolved = self.directory.resolve(&key, now).await.map_err(|error| {
            tracing::error!(%error, "access keys cannot be read");
            Refusal::out_of_order()
        })?;
        let resolved = resolved.ok_or(Stop::Denied(Denial::Unknown))?;
        let grant = resolved.record.clone().admit(now).map_err(Stop::Denied)?;
        Ok((resolved, grant))
    }
}

/// An answer that the client may have.
enum Answer {
    Plan(PlanAnswer, Ending),
    Bedrock(BedrockAnswer),
}

/// Plan's limit answer is here; the same request may go to Bedrock.
struct Fallback<'a> {
    grant: &'a Grant,
    binding: Option<&'a Binding>,
    plan: PlanAnswer,
    purpose: Purpose,
    reason: FallbackReason,
}

impl Proxy {
    async fn fall_back(
        &self,
        arrival: &Arrival<'_>,
        fallback: Fallback<'_>,
        record: &mut Record,
    ) -> Result<Answer, Stop> {
        let Fallback {
            grant,
            binding,
            plan,
            purpose,
            reason,
        } = fallback;
        let Some(binding) = binding else {
            record.note().error_class = Some(NO_BEDROCK_KEY);
            return Ok(Answer::Plan(
                without_bedrock_key(&plan, record),
                Ending::Any,
            ));
        };
        let owner = Owner {
            key: &grant.record().key_id,
            user: &grant.record().user_id,
        };
        let token = match self
            .opener
            .open(owner, &binding.sealed, self.clock.now())
            .await
        {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(%error, key.id = %owner.key, "the Bedrock key does not open");
                let class = match error {
                    VaultError::Refused => Class::AuthError,
                    VaultError::Unavailable { .. } | VaultError::NoEntropy => Class::Unavailable,
                };
                return Ok(bedrock_failed(plan, class.as_str(), record));
            }
        };
        let call = BedrockCall {
            purpose,
            request_id: record.request_id().clone(),
            settings: &grant.record().bedrock,
            owner,
            token: &token,
            reason,
            headers: arrival.headers,
            body: &arrival.body,
        };
        match self.bedrock.send(call, record).await {
            Ok(answer) => {
                self.count_losses(&answer, record);
                Ok(Answer::Bedrock(answer))
            }
            Err(Failed::Request(refusal)) => Err(refusal.into()),
            Err(Failed::Bedrock(class)) => Ok(bedrock_failed(plan, class, record)),
        }
    }

    fn count_losses(&self, answer: &BedrockAnswer, record: &mut Record) {
        let model = record.note().bedrock_model.as_deref().unwrap_or_default();
        self.settings
            .metrics
            .losses(model, answer.losses(), self.clock.now());
    }

    fn commit_plan(
        &self,
        answer: PlanAnswer,
        ending: Ending,
        until: Instant,
        mut record: Record,
    ) -> Response<Body> {
        record.note().upstream = Some("plan");
        record.note().status = Some(answer.status.as_u16());
        record.first_byte();
        let mut response = match answer.body {
            PlanBody::Whole(bytes) => {
                let outcome = match record.note().error_class {
                    Some(NO_BEDROCK_KEY) => Outcome::Refused,
                    _ => Outcome::Complete,
                };
                record.write(outcome);
                Response::new(whole(bytes))
            }
            PlanBody::Streaming { read, rest } => {
                let patience = Patience {
                    idle: self.settings.deadlines.idle,
                    until,
                };
                let ending = if answer.status == StatusCode::OK {
                    ending
                } else {
                    Ending::Any
                };
                Response::new(pass_through(read, rest, ending, patience, record))
            }
        };
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
            .headers_mut()
            .insert(UPSTREAM, HeaderValue::from_static("plan"));
        response
    }
}

/// The class in `x-spillway-error` when a fallback had no Bedrock key to use.
const NO_BEDROCK_KEY: &str = "no_bedrock_key";

/// Both legs failed: Plan's answer, with its headers, is the more useful one (requirement R1.11).
fn bedrock_failed(mut plan: PlanAnswer, class: &'static str, record: &mut Record) -> Answer {
    record.note().error_class = Some(class);
    plan.headers.insert(ERROR, HeaderValue::from_static(class));
    Answer::Plan(plan, Ending::Any)
}

/// There is nowhere to fall back to (requirement R1.9): 503 that says so, with all that Plan told of
/// the limit.
fn without_bedrock_key(plan: &PlanAnswer, record: &Record) -> PlanAnswer {
    let refusal = Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        error_type: "api_error",
        class: NO_BEDROCK_KEY,
        message:
            "Your Claude plan has reached its limit, and no Amazon Bedrock API key is registered \
                  for your access key. Ask whoever runs Spillway for your team to register one."
                .to_owned(),
        should_retry: Some(false),
    };
    let (parts, body) = refusal.into_parts(record.request_id());
    let mut headers = parts.headers;
    for (name, value) in &plan.headers {
        if *name == RETRY_AFTER || name.as_str().starts_with("anthropic-ratelimit-") {
            headers.append(name.clone(), value.clone());
        }
    }
    PlanAnswer {
        status: parts.status,
        headers,
        verdict: plan.verdict,
        body: PlanBody::Whole(body),
    }
}

fn plan_unreachable(failure: PlanFailure) -> Refusal {
    let (status, error_type) = match failure {
        PlanFailure::Connect | PlanFailure::Broken | PlanFailure::Redirect => {
            (StatusCode::BAD_GATEWAY, "api_error")
        }
        PlanFailure::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout_error"),
    };
    let message = match failure {
        PlanFailure::Connect => "Spillway cannot reach Anthropic's API.",
        PlanFailure::Broken => {
            "The connection to Anthropic's API broke before its answer was complete."
        }
        PlanFailure::Timeout => "Anthropic's API did not answer in time.",
        PlanFailure::Redirect => "Anthropic's API answered with a redirect, which is not followed.",
    };
    Refusal {
        status,
        error_type,
        class: "plan_unreachable",
        message: message.to_owned(),
        should_retry: None,
    }
}

fn refuse(refusal: Refusal, mut record: Record) -> Response<Body> {
    record.note().status = Some(refusal.status.as_u16());
    record.note().error_class = Some(refusal.class);
    record.first_byte();
    let (parts, body) = refusal.into_parts(record.request_id());
    record.write(Outcome::Refused);
    Response::from_parts(parts, whole(body))
}
