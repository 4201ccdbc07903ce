//! The story of one request: admit the key, ask the breaker, ask Plan, tell the breaker, spill over to
//! Bedrock when the plan is exhausted, commit to one answer.
//!
//! The commit point is where a [`Response`] is returned: before it the upstream may be switched,
//! after it never.

use bytes::Bytes;
use domain::breaker::Admission;
use domain::grant::{Denial, Grant, KeyRecord};
use domain::id::RequestId;
use domain::key::AccessKey;
use domain::model_family::ModelFamily;
use domain::policy::{BreakerPolicy, FallbackReason, Next, Policy};
use domain::time::Timestamp;
use domain::verdict::Verdict;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;
use store::cache::{AccessCache, CachedKey};
use store::secrets::CachedServerSecret;
use store::sessions::BedrockSession;
use store::table::AccessTable;
use store::vault::Opener;
use tokio::time::{Instant, timeout};

use crate::StartError;
use crate::bedrock::{Bedrock, BedrockAnswer, Purpose};
use crate::breaker::{Breaker, Question};
use crate::clock::Clock;
use crate::config::Settings;
use crate::deadline::RequestDeadlines;
use crate::plan::{
    Plan, PlanAnswer, PlanBody, PlanFailure, PlanRequest, PlanUrl, RequestKind, is_event_stream,
};
use crate::record::{Outcome, Record};
use crate::reply::{Body, Refusal, UPSTREAM, header, incomplete_error, whole};
use crate::route::Endpoint;
use crate::spill::open_breaker_sentence;
use crate::streaming::{Ending, Patience, pass_through};

/// The proxy: what is the same for all requests of an instance.
#[derive(Debug)]
pub struct Proxy {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) opener: Opener,
    pub(crate) bedrock: Bedrock,
    directory: AccessCache,
    breaker: Breaker,
    plan: Plan,
}

/// What the proxy works with, made by whoever starts it.
#[derive(Debug)]
pub struct Parts {
    /// Users, keys and bindings.
    pub access: AccessTable,
    /// Hashes access keys.
    pub server_secret: CachedServerSecret,
    /// Opens Bedrock keys.
    pub opener: Opener,
    /// Sent to Plan for clients without a credential of their own (requirement R1.6), with messages,
    /// token counting and the list of models.
    pub plan_key: Option<SecretString>,
    /// The HTTP client of the Bedrock Runtime.
    pub aws_http: aws_smithy_runtime_api::client::http::SharedHttpClient,
    /// Tells the time.
    pub clock: Clock,
}

/// A request of the API whose key is served, with its body.
pub(crate) struct Arrival<'a> {
    pub(crate) deadlines: RequestDeadlines,
    pub(crate) method: Method,
    pub(crate) endpoint: Endpoint,
    /// Where Plan takes it.
    pub(crate) url: PlanUrl,
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
pub(crate) enum Stop {
    /// With more headers: which leg it is about, and what Plan told of a limit.
    Refused(Refusal, Box<HeaderMap>),
    Denied(Denial),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal, Box::default())
    }
}

/// An answer that the client may have.
pub(crate) enum Answer {
    Plan(PlanAnswer, Ending),
    Bedrock(BedrockAnswer),
}

/// A request that was admitted, with all that decides where it goes.
pub(crate) struct Request<'a> {
    pub(crate) id: RequestId,
    pub(crate) arrival: Arrival<'a>,
    pub(crate) known: CachedKey,
    pub(crate) grant: Grant,
    pub(crate) policy: Policy,
    /// Of the model that is asked for.
    pub(crate) family: Option<ModelFamily>,
    pub(crate) is_stream: bool,
}

impl Request<'_> {
    /// Whether a Bedrock key is registered whose recorded end, if any, is still to come.
    fn has_bedrock_key(&self, now: Timestamp) -> bool {
        self.known.binding.as_ref().is_some_and(|binding| {
            let end = binding.summary.bedrock_key_expires_at;
            end.is_none_or(|end| now < end)
        })
    }

    /// Of Claude Code's conversation.
    fn session_id(&self) -> Option<String> {
        session_id(self.arrival.headers)
    }
}

/// The conversation that a request belongs to, as Claude Code names it: a UUID.
pub(crate) fn session_id(headers: &HeaderMap) -> Option<String> {
    let session = headers.get("x-claude-code-session-id")?.to_str().ok()?;
    Some(session.chars().take(64).collect()).filter(|session: &String| !session.is_empty())
}

impl Proxy {
    /// Assembles the proxy.
    ///
    /// # Errors
    /// [`StartError`] when the HTTP client of Plan cannot be made, or Plan's URL is none.
    pub fn new(settings: Settings, parts: Parts) -> Result<Self, StartError> {
        let deadlines = settings.deadlines;
        let plan = Plan::new(&settings.plan_url, parts.plan_key, &deadlines)?;
        Ok(Self {
            directory: AccessCache::new(parts.access, parts.server_secret, settings.keys),
            opener: parts.opener,
            plan,
            bedrock: Bedrock::new(
                parts.aws_http,
                settings.bedrock_url.as_deref(),
                settings.dialect,
                deadlines,
            ),
            breaker: Breaker::new(parts.clock.clone(), settings.metrics, deadlines.store),
            clock: parts.clock,
            settings,
        })
    }

    /// Serves one request of an admitted key, to its answer.
    pub(crate) async fn serve(
        &self,
        arrival: Arrival<'_>,
        admitted: (CachedKey, Grant),
        mut record: Record,
    ) -> Response<Body> {
        let until = arrival.deadlines.end;
        match self.exchange(arrival, admitted, &mut record).await {
            Ok(Answer::Plan(answer, ending)) => self.commit_plan(answer, ending, until, record),
            Ok(Answer::Bedrock(answer)) => answer.commit(until, &self.settings.deadlines, record),
            Err(stop) => self.refuse(stop, record),
        }
    }

    /// Answers with an error of Spillway's own.
    pub(crate) fn refuse(&self, stop: Stop, mut record: Record) -> Response<Body> {
        match stop {
            Stop::Denied(denial) => {
                record.note().denial = Some(denial);
                refuse(Refusal::unknown_key(self.settings.unknown_key), record)
            }
            Stop::Refused(refusal, headers) => {
                let mut response = refuse(refusal, record);
                response.headers_mut().extend(*headers);
                response
            }
        }
    }

    async fn exchange(
        &self,
        arrival: Arrival<'_>,
        (known, grant): (CachedKey, Grant),
        record: &mut Record,
    ) -> Result<Answer, Stop> {
        let peek: Peek = serde_json::from_slice(&arrival.body).unwrap_or_default();
        let is_stream = peek.stream == Some(true);
        record.note().is_stream = is_stream;
        let family = peek.model.as_deref().and_then(ModelFamily::of);
        record.note().model = peek.model.map(|model| model.chars().take(100).collect());
        let request = Request {
            id: record.request_id().clone(),
            policy: grant.record().effective_policy(&self.settings.policy),
            family,
            is_stream,
            arrival,
            known,
            grant,
        };
        match request.arrival.endpoint {
            Endpoint::Messages => self.message(&request, record).await,
            Endpoint::CountTokens => self.count(&request, record).await,
            Endpoint::ModelList | Endpoint::PlanOnly => {
                let (answer, verdict) = self.ask_plan(&request, record).await;
                deliver(answer, Ending::Any, verdict.as_str())
            }
        }
    }

    /// A message: from Plan, unless the breaker or the conversation's prompt cache says otherwise.
    async fn message(&self, request: &Request<'_>, record: &mut Record) -> Result<Answer, Stop> {
        let policy = self.with_lease(request.policy.breaker, request);
        let deployment = self.with_lease(self.settings.policy.breaker, request);
        let question = Question {
            directory: &self.directory,
            known: &request.known,
            who: &request.id,
            family: request.family.as_ref(),
            policy: &policy,
            deployment: &deployment,
        };
        let mut spilled = None;
        if self.stays_on_bedrock(request) && !self.breaker.is_open(question) {
            let why = FallbackReason::Session.as_str();
            record.note().fallback = Some(FallbackReason::Session);
            match self.spill(request, Purpose::Answer, why, record).await {
                Ok(answer) => return Ok(Answer::Bedrock(answer)),
                // Plan is there; what Bedrock could not do it may.
                Err(unspilled) => spilled = Some(unspilled),
            }
            record.note().fallback = None;
        }

        let asked = self.breaker.ask(question).await;
        record.note().breaker = Some(asked.as_str());
        // An open breaker must not starve a key that has nowhere else to go (requirement R1.9).
        if let Admission::Deny { because, until } = asked.admission
            && request.has_bedrock_key(self.clock.now())
        {
            let why = format!("breaker_open; because={because}; until={until}");
            record.note().fallback = Some(FallbackReason::BreakerOpen);
            let outcome = match spilled.take() {
                Some(unspilled) => Err(unspilled),
                None => self.spill(request, Purpose::Answer, &why, record).await,
            };
            match outcome {
                Ok(answer) => {
                    self.note_session(request).await;
                    return Ok(Answer::Bedrock(answer));
                }
                // The Bedrock key does not work, so this key has nowhere else to go either.
                Err(unspilled)
                    if unspilled.is_auth_error() && !self.breaker.is_limited(&asked, question) =>
                {
                    spilled = Some(unspilled);
                    record.note().fallback = None;
                }
                Err(unspilled) => {
                    let plan = open_breaker_sentence(because, until);
                    return Err(unspilled.alone(&why, Some(&plan)));
                }
            }
        }

        let is_probe = asked.admission == Admission::Probe;
        let (answer, verdict) = self.ask_plan(request, record).await;
        let told = self.breaker.tell(asked, question, &verdict);
        let class = match (request.policy.next(&verdict), spilled) {
            (Next::FallBack(class), None) => class,
            // Nothing is sent to Bedrock twice.
            (Next::FallBack(_), Some(unspilled)) => {
                record.note().breaker_after = told.await;
                return unspilled.beside(answer, &verdict, record);
            }
            (Next::Deliver, _) => {
                record.note().breaker_after = told.await;
                let probe = if is_probe { "; probe" } else { "" };
                let why = format!("{}{probe}", verdict.as_str());
                return deliver(answer, Ending::Message, &why);
            }
        };
        record.note().fallback = Some(FallbackReason::Verdict(class));
        let spilling = self.spill(request, Purpose::Answer, class.as_str(), record);
        let (after, outcome) = tokio::join!(told, spilling);
        record.note().breaker_after = after;
        match outcome {
            Ok(spilled) => {
                self.note_session(request).await;
                Ok(Answer::Bedrock(spilled))
            }
            Err(unspilled) => unspilled.beside(answer, &verdict, record),
        }
    }

    /// The policy with a lease that is long enough for the probe that `request` may become. The verdict on
    /// an answer that is not streamed follows its last byte.
    fn with_lease(&self, policy: BreakerPolicy, request: &Request<'_>) -> BreakerPolicy {
        if request.is_stream {
            policy
        } else {
            policy.with_lease_for(self.settings.deadlines.whole_answer)
        }
    }

    /// How many tokens a request has. Token counting has limits of its own at Anthropic
    /// (<https://platform.claude.com/docs/en/build-with-claude/token-counting>), so it neither asks nor
    /// tells the breaker.
    async fn count(&self, request: &Request<'_>, record: &mut Record) -> Result<Answer, Stop> {
        let (answer, verdict) = self.ask_plan(request, record).await;
        let Next::FallBack(class) = request.policy.next(&verdict) else {
            return deliver(answer, Ending::Any, verdict.as_str());
        };
        record.note().fallback = Some(FallbackReason::Verdict(class));
        let spilled = self.spill(request, Purpose::Count, class.as_str(), record);
        match spilled.await {
            Ok(spilled) => Ok(Answer::Bedrock(spilled)),
            Err(unspilled) => unspilled.beside(answer, &verdict, record),
        }
    }

    /// Asks Plan, once, and reads what its answer means. No answer means something too.
    async fn ask_plan(
        &self,
        request: &Request<'_>,
        record: &mut Record,
    ) -> (Result<PlanAnswer, PlanFailure>, Verdict) {
        let arrival = &request.arrival;
        let kind = match arrival.endpoint {
            Endpoint::Messages if request.is_stream => RequestKind::StreamedMessage,
            Endpoint::Messages | Endpoint::CountTokens => RequestKind::Whole,
            Endpoint::ModelList | Endpoint::PlanOnly => RequestKind::Unknown,
        };
        let sent = PlanRequest {
            method: arrival.method.clone(),
            url: arrival.url.clone(),
            headers: arrival.headers,
            body: arrival.body.clone(),
            kind,
            default_key: arrival.endpoint.into(),
            deadlines: arrival.deadlines,
        };
        let answer = self.plan.send(sent).await;
        let now = self.clock.now();
        let verdict = match &answer {
            Ok(answer) => {
                record.note().plan_status = Some(answer.status.as_u16());
                let read = match arrival.endpoint {
                    Endpoint::Messages | Endpoint::CountTokens => Verdict::read,
                    Endpoint::ModelList | Endpoint::PlanOnly => Verdict::read_of_other_path,
                };
                read(answer.reply(), request.family.as_ref(), now)
            }
            Err(failure) => {
                record.note().plan_failure = Some(failure.as_str());
                Verdict::no_answer()
            }
        };
        record.note().plan_verdict = Some(verdict.clone());
        (answer, verdict)
    }

    /// Whether the conversation was on Bedrock so short a while ago that it stays there for its prompt
    /// cache.
    fn stays_on_bedrock(&self, request: &Request<'_>) -> bool {
        let now = self.clock.now();
        let until = request
            .session_id()
            .filter(|_| request.known.binding.is_some())
            .filter(|_| !request.policy.session_stickiness.is_zero())
            .and_then(|session_id| request.known.session(&session_id));
        until.is_some_and(|until| {
            now < until && until.since(now) <= request.policy.session_stickiness
        })
    }

    /// Notes that Bedrock had to answer a conversation, for those who let it stay there.
    async fn note_session(&self, request: &Request<'_>) {
        let stickiness = request.policy.session_stickiness;
        let Some(session_id) = request.session_id().filter(|_| !stickiness.is_zero()) else {
            return;
        };
        let now = self.clock.now();
        let until = now.plus(stickiness);
        let session = BedrockSession { session_id, until };
        let hash = &request.known.hash;
        let noting = self.directory.table().note_session(hash, &session);
        match timeout(self.settings.deadlines.store, noting).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a conversation on Bedrock was not noted"),
            Err(_) => tracing::warn!("a conversation on Bedrock was not noted in time"),
        }
        self.directory.update_cached_session(hash, session, now);
    }

    /// The URL of the request to Plan; `path_and_query` are the client's, from `/v1/` on.
    pub(crate) fn plan_url(&self, path_and_query: &str) -> Result<PlanUrl, Stop> {
        let url = self.plan.url(path_and_query);
        url.map_err(|unsendable| Refusal::from(unsendable).into())
    }

    /// From the text in the URL to the witness that its key is served now.
    pub(crate) async fn admit(&self, key: &str) -> Result<(CachedKey, Grant), Stop> {
        let key = AccessKey::parse(key).map_err(|_| Stop::Denied(Denial::Malformed))?;
        let now = self.clock.now();
        let resolving = self.directory.resolve(&key, now);
        let Ok(known) = timeout(self.settings.deadlines.key, resolving).await else {
            tracing::error!("access keys are not read in time");
            return Err(Refusal::out_of_order().into());
        };
        let known = known.map_err(|error| {
            tracing::error!(%error, "access keys cannot be read");
            Refusal::out_of_order()
        })?;
        let known = known.ok_or(Stop::Denied(Denial::Unknown))?;
        let grant = KeyRecord::clone(&known.record)
            .admit(now)
            .map_err(Stop::Denied)?;
        Ok((known, grant))
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
        let mut headers = answer.headers;
        let mut response = match answer.body {
            PlanBody::Whole(bytes) => {
                record.write(Outcome::Complete);
                Response::new(whole(bytes))
            }
            PlanBody::Part(_) => {
                let envelope = incomplete_error(answer.status, record.request_id());
                for ends_with_body in [CONTENT_LENGTH, CONTENT_ENCODING, ETAG] {
                    headers.remove(ends_with_body);
                }
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                record.write(Outcome::UpstreamFailed);
                Response::new(whole(envelope))
            }
            PlanBody::Streaming { held, rest, .. } => {
                let patience = Patience {
                    idle: self.settings.deadlines.idle,
                    until,
                };
                let ending = if answer.status == StatusCode::OK && is_event_stream(&headers) {
                    ending
                } else {
                    Ending::Any
                };
                Response::new(pass_through(held, rest, ending, patience, record))
            }
        };
        *response.status_mut() = answer.status;
        *response.headers_mut() = headers;
        response
    }
}

/// Plan's answer as it is; what is said instead of none.
pub(crate) fn deliver(
    answer: Result<PlanAnswer, PlanFailure>,
    ending: Ending,
    why: &str,
) -> Result<Answer, Stop> {
    let upstream = plan_because(why);
    match answer {
        Ok(mut answer) => {
            answer.headers.insert(UPSTREAM, upstream);
            Ok(Answer::Plan(answer, ending))
        }
        Err(failure) => {
            let headers = HeaderMap::from_iter([(UPSTREAM, upstream)]);
            Err(Stop::Refused(failure.into(), Box::new(headers)))
        }
    }
}

/// What `x-spillway-upstream` says when it is Plan that answers.
pub(crate) fn plan_because(why: &str) -> HeaderValue {
    header(&format!("plan; reason={why}"))
}

fn refuse(refusal: Refusal, mut record: Record) -> Response<Body> {
    record.note().status = Some(refusal.status.as_u16());
    record.note().error_class = Some(refusal.class);
    record.first_byte();
    let (parts, body) = refusal.into_parts(record.request_id());
    record.write(Outcome::Refused);
    Response::from_parts(parts, whole(body))
}
