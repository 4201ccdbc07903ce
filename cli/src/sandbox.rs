//! Spillway and its two upstreams on loopback, for drills and tests: the simulators, the AWS of one
//! machine in memory, one or more proxies over it, a clock that is set, an HTTP client, and keys.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use admin::{Command, IssuedKey, NewUser, Outcome};
use anyhow::{Context as _, bail};
use domain::bedrock_key::BedrockKey;
use domain::id::UserId;
use domain::time::Timestamp;
use local::LocalAws;
use proxy::config::Settings;
use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use service::clock::Clock;
use simulators::Simulator;
use simulators::bedrock::BedrockOptions;
use simulators::plan::PlanOptions;
use store::table::AccessTable;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::local_stack::LocalStack;

/// The time-out of one request of the sandbox's HTTP client.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// The credential that requests of [`Sandbox::request`] carry for Plan.
pub const PLAN_CREDENTIAL: &str = "sk-ant-oat01-the-clients-own-credential";

/// How a sandbox differs from one proxy with unpaced simulators.
#[derive(Default)]
pub struct SandboxOptions {
    /// The time between two events of a simulator's stream, in either simulator.
    pub pace: Duration,
    /// The other options of the simulated Bedrock; its `pace` is replaced.
    pub bedrock: BedrockOptions,
    /// The access table; one in memory if absent.
    pub access: Option<AccessTable>,
    /// The proxies: one for each offset of its clock from the sandbox's, in milliseconds. Empty stands
    /// for one proxy without an offset.
    pub clock_offsets_ms: Vec<i64>,
    /// The time at the start; that of the system if absent.
    pub start: Option<Timestamp>,
    /// Called before each reading of a proxy's clock.
    pub before_clock_reading: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// A running sandbox. All that it serves ends when it is dropped.
#[derive(Debug)]
pub struct Sandbox {
    /// The simulated plan, without a limit on requests.
    pub plan: Simulator,
    /// The simulated Bedrock Runtime.
    pub bedrock: Simulator,
    /// The first proxy, with the administration and the AWS that all proxies share.
    pub stack: LocalStack,
    base_urls: Vec<String>,
    now_ms: Arc<AtomicI64>,
    http: reqwest::Client,
    _serving: JoinSet<()>,
}

impl Sandbox {
    /// Starts the simulators and the proxies. `change` may change the proxies' settings, which name the
    /// simulators' addresses by then.
    ///
    /// # Errors
    /// When a port or the embedded AWS is not available, or TLS cannot be set up.
    pub async fn start(
        options: SandboxOptions,
        change: impl FnOnce(&mut Settings),
    ) -> anyhow::Result<Self> {
        let mut serving = JoinSet::new();
        let plan_options = PlanOptions {
            requests: None,
            pace: options.pace,
            ..PlanOptions::default()
        };
        let (plan, serve) = simulators::plan::serve(loopback().await?, plan_options)?;
        serving.spawn(serve);
        let bedrock_options = BedrockOptions {
            pace: options.pace,
            ..options.bedrock
        };
        let (bedrock, serve) = simulators::bedrock::serve(loopback().await?, bedrock_options)?;
        serving.spawn(serve);

        let mut settings = Settings {
            plan_url: plan.url(),
            bedrock_url: Some(bedrock.url()),
            ..Settings::default()
        };
        change(&mut settings);
        let start = options.start.unwrap_or_else(|| Clock::system().now());
        let now_ms = Arc::new(AtomicI64::new(start.as_millis()));
        let offset_clock = |offset_ms| {
            let (now_ms, before) = (Arc::clone(&now_ms), options.before_clock_reading.clone());
            Clock::from_fn(move || {
                if let Some(before) = &before {
                    before();
                }
                Timestamp::from_millis(now_ms.load(Ordering::SeqCst) + offset_ms)
            })
        };
        let mut offsets = options.clock_offsets_ms.into_iter();
        let clock = offset_clock(offsets.next().unwrap_or(0));
        let (aws, aws_http) = (LocalAws::memory()?, service::aws::https_client()?);
        let first = settings.clone();
        let stack = match options.access {
            Some(access) => LocalStack::over_table(aws, access, first, aws_http, clock).await?,
            None => LocalStack::open(aws, first, aws_http, clock).await?,
        };
        let mut base_urls = vec![serve_router(&mut serving, stack.router()).await?];
        for offset_ms in offsets {
            let clock = offset_clock(offset_ms);
            let proxy = stack.add_proxy(settings.clone(), &clock).await?;
            base_urls.push(serve_router(&mut serving, proxy::router(proxy)).await?);
        }
        Ok(Self {
            plan,
            bedrock,
            stack,
            base_urls,
            now_ms,
            http: http_client()?,
            _serving: serving,
        })
    }

    /// The address of the proxy with this number, `http://127.0.0.1:PORT`.
    ///
    /// # Panics
    /// When the sandbox has fewer proxies.
    pub fn base_url(&self, proxy: usize) -> &str {
        #[expect(
            clippy::indexing_slicing,
            reason = "the caller has chosen how many there are"
        )]
        &self.base_urls[proxy]
    }

    /// An HTTP client that trusts no certificate and follows no redirect.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The sandbox's time, without the offset of any proxy.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.load(Ordering::SeqCst))
    }

    /// Sets the sandbox's time.
    pub fn set_time(&self, now: Timestamp) {
        self.now_ms.store(now.as_millis(), Ordering::SeqCst);
    }

    /// Moves the sandbox's time forward.
    pub fn advance(&self, duration: Duration) {
        self.set_time(self.now().plus(duration));
    }

    /// A request of the Messages API to the proxy with this number, with the headers of a client. `path`
    /// begins with a slash.
    ///
    /// # Panics
    /// When the sandbox has fewer proxies.
    pub fn request(
        &self,
        proxy: usize,
        access_key: &str,
        method: reqwest::Method,
        path: &str,
    ) -> RequestBuilder {
        let url = format!("{}/ak/{access_key}{path}", self.base_url(proxy));
        self.http
            .request(method, url)
            .bearer_auth(PLAN_CREDENTIAL)
            .header("anthropic-version", "2023-06-01")
            .header(CONTENT_TYPE, "application/json")
    }

    /// Runs an admin's command. The Bedrock API key belongs to [`Command::SetBedrockKey`].
    ///
    /// # Errors
    /// As [`admin::Admin::execute`], and when the text is no Bedrock API key.
    pub async fn command(
        &self,
        command: Command,
        bedrock_key: Option<&str>,
    ) -> anyhow::Result<Outcome> {
        let bedrock_key = bedrock_key.map(BedrockKey::parse).transpose()?;
        let (admin, now) = (self.stack.admin(), self.stack.clock().now());
        Ok(admin.execute(command, bedrock_key, now).await?)
    }

    /// Creates a user and issues a key to it; with a Bedrock API key, that is bound to the key.
    ///
    /// # Errors
    /// As [`Sandbox::command`].
    pub async fn issue_key(
        &self,
        user: NewUser,
        bedrock_key: Option<&str>,
    ) -> anyhow::Result<IssuedKey> {
        let Outcome::UserCreated(user) = self.command(Command::CreateUser(user), None).await?
        else {
            bail!("the user was not created");
        };
        let key = self.issue_another_key(user.user_id).await?;
        if let Some(bedrock_key) = bedrock_key {
            let set = Command::SetBedrockKey {
                key_id: key.key_id.clone(),
                region: None,
            };
            self.command(set, Some(bedrock_key)).await?;
        }
        Ok(key)
    }

    /// Issues a key to a user. The key has no Bedrock API key.
    ///
    /// # Errors
    /// As [`Sandbox::command`].
    pub async fn issue_another_key(&self, user_id: UserId) -> anyhow::Result<IssuedKey> {
        let issue = Command::IssueKey {
            user_id,
            settings: admin::Settings::default(),
        };
        let Outcome::KeyIssued(key) = self.command(issue, None).await? else {
            bail!("the key was not issued");
        };
        Ok(key)
    }
}

/// A listener on a free port of the loopback interface.
///
/// # Errors
/// When there is no free port.
pub async fn loopback() -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    listener.context("no port on the loopback interface")
}

/// Serves a router on a free port of the loopback interface until `serving` is dropped, and returns its
/// address, `http://127.0.0.1:PORT`.
///
/// # Errors
/// When there is no free port.
pub async fn serve_router(
    serving: &mut JoinSet<()>,
    router: axum::Router,
) -> anyhow::Result<String> {
    let listener = loopback().await?;
    let url = format!("http://{}", listener.local_addr()?);
    serving.spawn(async move {
        // It ends with the sandbox; an earlier end shows in the requests.
        let _ = axum::serve(listener, router).await;
    });
    Ok(url)
}

/// An HTTP client for loopback: it trusts no certificate, and follows no redirect.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http_client() -> anyhow::Result<reqwest::Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(REQUEST_TIMEOUT)
        .build();
    client.context("the HTTP client could not be made")
}
