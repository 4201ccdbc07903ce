//! The HTTP client of Plan.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Deadlines;

/// The time for which a connection is silent before TCP probes whether Plan is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// The proxy cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls,
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made")]
    Http,
    /// The URL of Plan in the settings is none.
    #[error("the URL of Plan cannot be used")]
    PlanUrl,
}

/// One HTTP client for the life of the process. It follows no redirect, because a credential goes to
/// the configured host only, retries nothing, and reads no proxy settings from the environment.
pub(super) fn http_client(deadlines: &Deadlines) -> Result<reqwest::Client, StartError> {
    let roots: rustls::RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| StartError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .retry(reqwest::retry::never())
        .connect_timeout(deadlines.connect)
        .pool_idle_timeout(deadlines.pool_idle)
        .tcp_keepalive(TCP_KEEPALIVE)
        .tcp_nodelay(true)
        .build()
        .map_err(|_| StartError::Http)
}
