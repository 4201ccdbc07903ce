//! Spillway on one machine: the functions over the AWS of the module `local`.
//!
//! A function does not differ from the same function in the cloud: here as there it gets clients and
//! settings.

use std::sync::Arc;

use admin::Admin;
use anyhow::Context as _;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use local::LocalAws;
use proxy::config::Settings;
use proxy::{Dependencies, Proxy};
use ring::rand::{SecureRandom as _, SystemRandom};
use service::clock::Clock;
use store::layout;
use store::secrets::{CachedServerSecret, ensure_server_secret};
use store::table::AccessTable;
use store::vault::{Opener, Sealer};

/// The name of the server secret in the Secrets Manager of one machine.
pub const SERVER_SECRET: &str = "spillway/server-secret";

/// A proxy and the administration over one AWS of one machine. It does not listen by itself.
#[derive(Clone, Debug)]
pub struct LocalStack {
    aws: LocalAws,
    access: AccessTable,
    bedrock_http: SharedHttpClient,
    admin: Arc<Admin>,
    proxy: Arc<Proxy>,
    clock: Clock,
}

impl LocalStack {
    /// Creates what this AWS lacks (tables, server secret), and sets the functions up.
    /// `bedrock_http` carries the calls to the Bedrock Runtime.
    ///
    /// # Errors
    /// When the embedded AWS fails, or TLS cannot be set up.
    pub async fn open(
        aws: LocalAws,
        settings: Settings,
        bedrock_http: SharedHttpClient,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let dynamodb = aws.dynamodb();
        for table in layout::TABLES {
            layout::create(&dynamodb, table, table.default_name)
                .await
                .context("the tables could not be created")?;
        }
        let access = AccessTable::new(dynamodb, layout::ACCESS.default_name);
        Self::over_table(aws, access, settings, bedrock_http, clock).await
    }

    /// Like [`LocalStack::open`], with an access table that exists, perhaps in another DynamoDB.
    ///
    /// # Errors
    /// As [`LocalStack::open`].
    pub async fn over_table(
        aws: LocalAws,
        access: AccessTable,
        settings: Settings,
        bedrock_http: SharedHttpClient,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let mut random = [0; 32];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| anyhow::anyhow!("no random bytes from the operating system"))?;
        let secrets = aws.secrets_manager();
        let admin = Admin {
            access: access.clone(),
            server_secret: ensure_server_secret(&secrets, SERVER_SECRET, &random).await?,
            sealer: Sealer::new(aws.kms(), aws.kms_key_id()),
        };
        let proxy = proxy(&aws, &access, settings, &bedrock_http, &clock).await?;
        Ok(Self {
            aws,
            access,
            bedrock_http,
            admin: Arc::new(admin),
            proxy: Arc::new(proxy),
            clock,
        })
    }

    /// Another proxy over the same AWS, as a second instance of the function would be: it shares the
    /// access table and nothing else. It has its own clock and settings.
    ///
    /// # Errors
    /// When the server secret cannot be read, or TLS cannot be set up.
    pub async fn add_proxy(&self, settings: Settings, clock: &Clock) -> anyhow::Result<Arc<Proxy>> {
        let (aws, access) = (&self.aws, &self.access);
        let proxy = proxy(aws, access, settings, &self.bedrock_http, clock).await?;
        Ok(Arc::new(proxy))
    }

    /// The routes of the proxy.
    pub fn router(&self) -> axum::Router {
        proxy::router(Arc::clone(&self.proxy))
    }

    /// The proxy.
    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    /// The administration.
    pub fn admin(&self) -> &Arc<Admin> {
        &self.admin
    }

    /// The access table.
    pub fn access(&self) -> &AccessTable {
        &self.access
    }

    /// The AWS.
    pub fn aws(&self) -> &LocalAws {
        &self.aws
    }

    /// The clock of the proxy.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

async fn proxy(
    aws: &LocalAws,
    access: &AccessTable,
    settings: Settings,
    bedrock_http: &SharedHttpClient,
    clock: &Clock,
) -> anyhow::Result<Proxy> {
    let secrets = aws.secrets_manager();
    let dependencies = Dependencies {
        access: access.clone(),
        server_secret: CachedServerSecret::read(secrets, SERVER_SECRET, clock.now()).await?,
        opener: Opener::new(aws.kms(), aws.kms_key_id()),
        plan_key: None,
        aws_http: bedrock_http.clone(),
        clock: clock.clone(),
    };
    Ok(Proxy::new(settings, dependencies)?)
}
