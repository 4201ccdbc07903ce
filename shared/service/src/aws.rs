//! The AWS clients of a function: region, role and endpoint from its environment, one shared HTTP client, ring
//! and compiled-in web roots.
//!
//! They are made without `aws-config`, which reads the environment itself and whose native roots take most of an
//! SDK's start-up time.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::environment::{ConfigError, Environment};

/// The time-outs of one call, which usually takes milliseconds: a call that hangs is tried again while there
/// is time.
const CONNECT: Duration = Duration::from_secs(2);
const ATTEMPT: Duration = Duration::from_secs(3);
const OPERATION: Duration = Duration::from_secs(8);
/// The lifetime of an idle connection. Services close idle connections, and a request that is sent at that
/// moment fails.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// The region, role and endpoint of AWS calls.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// `AWS_REGION`, which Lambda sets.
    pub region: String,
    /// The function's role: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, which Lambda
    /// sets.
    pub credentials: Credentials,
    /// `AWS_ENDPOINT_URL`, which replaces AWS's own endpoints; used in tests.
    pub endpoint_url: Option<String>,
}

impl AwsSettings {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// [`ConfigError`] when a variable is missing, or the endpoint is not a base URL.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let credentials = Credentials::new(
            environment.required("AWS_ACCESS_KEY_ID")?,
            environment.required("AWS_SECRET_ACCESS_KEY")?,
            environment.get("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        Ok(Self {
            region: environment.required("AWS_REGION")?,
            credentials,
            endpoint_url: environment.base_url("AWS_ENDPOINT_URL")?,
        })
    }
}

/// The AWS clients with the same settings and HTTP client.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
    http: SharedHttpClient,
}

/// The HTTP client of the AWS SDKs cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TLS for the AWS clients could not be set up")]
pub struct TlsError;

impl Aws {
    /// The clients with these settings.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(settings: AwsSettings) -> Result<Self, TlsError> {
        let http = https_client()?;
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(settings.region))
            .credentials_provider(SharedCredentialsProvider::new(settings.credentials))
            .http_client(http.clone())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .operation_attempt_timeout(ATTEMPT)
                    .operation_timeout(OPERATION)
                    .build(),
            );
        config.set_endpoint_url(settings.endpoint_url);
        Ok(Self {
            config: config.build(),
            http,
        })
    }

    /// The HTTP client that all AWS clients share.
    pub fn http(&self) -> SharedHttpClient {
        self.http.clone()
    }

    /// A client of DynamoDB.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    /// A client of KMS.
    pub fn kms(&self) -> aws_sdk_kms::Client {
        aws_sdk_kms::Client::new(&self.config)
    }

    /// A client of Secrets Manager.
    pub fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.config)
    }
}

/// An HTTPS client for the AWS SDKs that trusts the web's public roots, as compiled in.
///
/// # Errors
/// [`TlsError`].
pub fn https_client() -> Result<SharedHttpClient, TlsError> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .fold(TrustStore::empty(), |roots, root| {
            roots.with_pem_certificate(pem(root))
        });
    let context = TlsContext::builder()
        .with_trust_store(roots)
        .build()
        .map_err(|_| TlsError)?;
    Ok(Builder::new()
        .pool_idle_timeout(POOL_IDLE)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}

fn pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in encoded.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).unwrap_or_default());
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
