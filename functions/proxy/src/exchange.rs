//! One request, from its arrival to the response of one upstream.
//!
//! The commit point is where a [`HeldResponse`] becomes a [`Response`]: before it the upstream may be switched,
//! after it never. Who answers is decided by [`domain::route`]; this module makes the calls between the
//! decisions.

use std::sync::Arc;

use axum::body::Body as RequestBody;
use domain::breaker::Admission;
use domain::model_family::ModelFamily;
use domain::route::{AfterPlan, FallbackReason, FirstUpstream};
use http::{HeaderMap, Method, Response};
use secrecy::SecretString;
use service::clock::Clock;
use store::cache::AccessCache;
use store::secrets::CachedServerSecret;
use store::table::AccessTable;
use store::vault::Opener;

use crate::admission::{self, AdmissionError};
use crate::breaker::{Breakers, Check};
use crate::config::Settings;
use crate::deadline::RequestDeadlines;
use crate::error_response::ErrorResponse;
use crate::fallback::Fallback;
use crate::fallback_error::FallbackError;
use crate::plan::{Plan, StartError};
use crate::request::{AuthorizedRequest, BodyHead, IncomingRequest, session_id};
use crate::request_kind::RequestKind;
use crate::request_log::RequestLog;
use crate::response::HeldResponse;
use crate::response_body::Body;
use crate::tasks::Tasks;
use crate::{pinned_session, request_body};

/// The proxy: what all requests of an instance share.
#[derive(Debug)]
pub struct Proxy {
    settings: Settings,
    clock: Clock,
    directory: AccessCache,
    breakers: Breakers,
    plan: Plan,
    fallback: Fallback,
    tasks: Arc<Tasks>,
}

/// What the proxy depends on.
#[derive(Debug)]
pub struct Dependencies {
    /// Users, keys and their Bedrock keys.
    pub access: AccessTable,
    /// Hashes access keys.
    pub server_secret: CachedServerSecret,
    /// Decrypts Bedrock keys.
    pub opener: Opener,
    /// Sent to Plan for clients without a credential of their own (requirement R1.6), with messages,
    /// token counting and the list of models.
    pub plan_key: Option<SecretString>,
    /// The HTTP client of the Bedrock Runtime.
    pub aws_http: aws_smithy_runtime_api::client::http::SharedHttpClient,
    /// The clock.
    pub clock: Clock,
}

/// An API call as it arrived: nothing of it is checked, and its body is not read.
pub(crate) struct ApiCall<'a> {
    pub(crate) key: &'a str,
    pub(crate) kind: RequestKind,
    pub(crate) method: Method,
    /// Path and query, from `/v1/` on.
    pub(crate) path_and_query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a mut RequestBody,
    pub(crate) deadlines: RequestDeadlines,
}

impl Proxy {
    /// Assembles the proxy.
    ///
    /// # Errors
    /// [`StartError`] when the HTTP client of Plan cannot be made, or Plan's URL is none.
    pub fn new(settings: Settings, dependencies: Dependencies) -> Result<Self, StartError> {
        let Dependencies {
            access,
            server_secret,
            opener,
            plan_key,
            aws_http,
            clock,
        } = dependencies;
        let deadlines = settings.deadlines;
        Ok(Self {
            directory: AccessCache::new(access, server_secret, settings.keys),
            breakers: Breakers::new(clock.clone(), &settings),
            plan: Plan::new(&settings.plan_url, plan_key, deadlines, clock.clone())?,
            fallback: Fallback::new(&settings, aws_http, opener, clock.clone()),
            tasks: Arc::default(),
            clock,
            settings,
        })
    }

    /// Waits for the work that outlived its requests.
    pub async fn drain(&self) {
        self.tasks.drain().await;
    }

    /// The settings.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The clock.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The tasks that outlive their requests.
    pub(crate) fn tasks(&self) -> Arc<Tasks> {
        Arc::clone(&self.tasks)
    }

    /// Answers one API call.
    pub(crate) async fn respond(&self, call: ApiCall<'_>, mut log: RequestLog) -> Response<Body> {
        let held = match self.exchange(call, &mut log).await {
            Ok(held) => held,
            Err(error) => error.into_held(log.request_id()),
        };
        held.commit(log)
    }

    /// From the call to the response of one upstream, of which the client has received nothing.
    async fn exchange(
        &self,
        mut call: ApiCall<'_>,
        log: &mut RequestLog,
    ) -> Result<HeldResponse, ErrorResponse> {
        let request = match self.receive(&mut call, log).await {
            Ok(request) => request,
            Err(error) => {
                request_body::drain(call.body).await;
                return Err(error);
            }
        };
        match request.incoming.kind {
            RequestKind::StreamedMessage | RequestKind::Message => {
                self.message(&request, log).await
            }
            RequestKind::CountTokens => self.count_tokens(&request, log).await,
            RequestKind::ModelList | RequestKind::Other => {
                let family = request.family.as_ref();
                let plan = self.plan.send(&request.incoming, family, log).await;
                plan.into_held(false)
            }
        }
    }

    /// What must hold before any upstream receives anything: the key is served, the request can be sent to
    /// Plan byte for byte, and all of its body is there. The body is read last.
    async fn receive<'a>(
        &self,
        call: &mut ApiCall<'a>,
        log: &mut RequestLog,
    ) -> Result<AuthorizedRequest<'a>, ErrorResponse> {
        let fields = log.fields_mut();
        fields.session_id = session_id(call.headers);
        let deadlines = &self.settings.deadlines;
        let now = self.clock.now();
        let admitted = admission::admit(&self.directory, call.key, now, deadlines.key).await;
        let (key, grant) = admitted.map_err(|error| match error {
            AdmissionError::Denied(denial) => {
                fields.denial = Some(denial);
                ErrorResponse::unknown_key(self.settings.unknown_key)
            }
            AdmissionError::Unavailable => ErrorResponse::spillway_unavailable(),
        })?;
        fields.key = Some(Arc::clone(grant.record()));
        let url = self.plan.url(call.path_and_query)?;
        let first_byte_by = call.deadlines.first_byte;
        let body = request_body::read(call.body, deadlines.request_idle, first_byte_by).await?;
        fields.request_bytes = body.len();
        let head = BodyHead::read(&body);
        fields.is_stream = head.is_stream();
        let family = head.model.as_deref().and_then(ModelFamily::from_model);
        let kind = call.kind.with_stream(head.is_stream());
        fields.model = head.model.map(|model| model.chars().take(100).collect());
        Ok(AuthorizedRequest {
            incoming: IncomingRequest {
                id: fields.request_id.clone(),
                kind,
                method: call.method.clone(),
                url,
                headers: call.headers,
                body,
                deadlines: call.deadlines,
            },
            policy: grant.record().effective_policy(&self.settings.policy),
            key,
            grant,
            family,
        })
    }

    /// A message: from Plan, unless the breaker or the conversation's prompt cache decides otherwise.
    async fn message(
        &self,
        request: &AuthorizedRequest<'_>,
        log: &mut RequestLog,
    ) -> Result<HeldResponse, ErrorResponse> {
        let breakers = self.breakers.guarding(request, &self.directory);
        let now = self.clock.now();
        let mut is_pinned = pinned_session::is_pinned(request, now) && !breakers.is_open(now);
        // The check of a pinned conversation would take a lease that it does not need.
        let mut check = if is_pinned {
            Check::Skipped
        } else {
            breakers.check(log).await
        };
        let mut failed: Option<FallbackError> = None;
        loop {
            let bedrock_key = match &failed {
                Some(error) => error.key_state(),
                None => request.bedrock_key_state(now),
            };
            match FirstUpstream::choose(check.admission(), is_pinned, bedrock_key) {
                FirstUpstream::Plan => break,
                FirstUpstream::Bedrock(reason) => {
                    match self.fall_back(request, reason, log).await {
                        Ok(held) => return Ok(held),
                        Err(error) => failed = Some(error),
                    }
                }
                FirstUpstream::Neither(reason) => {
                    log.fields_mut().fallback = Some(reason);
                    let error = failed.unwrap_or(FallbackError::NoBedrockKey);
                    return Err(error.behind_open_breaker(reason));
                }
            }
            if is_pinned {
                is_pinned = false;
                check = breakers.check(log).await;
            }
        }

        log.fields_mut().fallback = None;
        let is_probe = check.admission() == Admission::Probe;
        let family = request.family.as_ref();
        let plan = self.plan.send(&request.incoming, family, log).await;
        let recording = breakers.record(check, &plan.verdict);
        match AfterPlan::choose(&plan.verdict, &request.policy, failed.is_some()) {
            AfterPlan::Return => {
                log.fields_mut().breaker_after = recording.await;
                plan.into_held(is_probe)
            }
            AfterPlan::ChooseWinner => {
                log.fields_mut().breaker_after = recording.await;
                let error = failed.unwrap_or(FallbackError::NoBedrockKey);
                error.or_plan(plan, log)
            }
            AfterPlan::FallBack(class) => {
                let falling_back = self.fall_back(request, class.into(), log);
                let (breaker_after, fallback) = tokio::join!(recording, falling_back);
                log.fields_mut().breaker_after = breaker_after;
                fallback.or_else(|error| error.or_plan(plan, log))
            }
        }
    }

    /// The number of tokens of a request. Token counting has limits of its own at Anthropic
    /// (<https://platform.claude.com/docs/en/build-with-claude/token-counting>), so no breaker guards it.
    async fn count_tokens(
        &self,
        request: &AuthorizedRequest<'_>,
        log: &mut RequestLog,
    ) -> Result<HeldResponse, ErrorResponse> {
        let family = request.family.as_ref();
        let plan = self.plan.send(&request.incoming, family, log).await;
        match AfterPlan::choose(&plan.verdict, &request.policy, false) {
            AfterPlan::Return | AfterPlan::ChooseWinner => plan.into_held(false),
            AfterPlan::FallBack(class) => {
                let fallback = self.fallback.send(request, class.into(), log).await;
                fallback.or_else(|error| error.or_plan(plan, log))
            }
        }
    }

    /// Sends a message to Bedrock. A conversation that Bedrock had to answer is pinned to it for a while.
    async fn fall_back(
        &self,
        request: &AuthorizedRequest<'_>,
        reason: FallbackReason,
        log: &mut RequestLog,
    ) -> Result<HeldResponse, FallbackError> {
        let held = self.fallback.send(request, reason, log).await?;
        if reason != FallbackReason::Session {
            let (now, deadline) = (self.clock.now(), self.settings.deadlines.store);
            pinned_session::pin(request, &self.directory, now, deadline).await;
        }
        Ok(held)
    }
}
