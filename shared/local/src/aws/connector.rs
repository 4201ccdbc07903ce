//! The HTTP client of the SDK clients, which never opens a socket.
//!
//! It reads service and operation from `x-amz-target`, as the AWS JSON protocols define, and ignores URLs,
//! signatures and regions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::dynamodb::DynamoDb;
use super::files::{FolderLock, lock};
use super::kms::Kms;
use super::protocol::{AwsError, AwsResponse};
use super::secrets_manager::SecretsManager;
use crate::faults::{FaultAction, Faults};

/// The services behind the connector. The folder stays locked while any client exists.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) dynamodb: DynamoDb,
    pub(super) kms: Kms,
    pub(super) secrets_manager: SecretsManager,
    pub(super) _lock: Option<FolderLock>,
}

#[derive(Clone, Debug)]
pub(super) struct Connector {
    services: Arc<Services>,
    faults: Faults,
    calls: Arc<Mutex<HashMap<String, u64>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    DynamoDb,
    Kms,
    SecretsManager,
}

impl Service {
    /// The service of an `x-amz-target` prefix.
    fn from_target(prefix: &str) -> Option<Self> {
        match prefix {
            "DynamoDB_20120810" | "DynamoDBStreams_20120810" => Some(Self::DynamoDb),
            "TrentService" => Some(Self::Kms),
            "secretsmanager" => Some(Self::SecretsManager),
            _ => None,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::DynamoDb => "application/x-amz-json-1.0",
            Self::Kms | Self::SecretsManager => "application/x-amz-json-1.1",
        }
    }
}

impl Connector {
    pub(super) fn new(services: Services) -> Self {
        Self {
            services: Arc::new(services),
            faults: Faults::default(),
            calls: Arc::default(),
        }
    }

    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    pub(super) fn services_arc(&self) -> Arc<Services> {
        Arc::clone(&self.services)
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(super) fn calls(&self, operation: &str) -> u64 {
        lock(&self.calls).get(operation).copied().unwrap_or(0)
    }

    async fn answer(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let (prefix, operation) = target.split_once('.').unwrap_or_default();
        let (service, operation) = (Service::from_target(prefix), operation.to_owned());
        let Some(service) = service else {
            return respond(AwsResponse::unknown_operation(), Service::DynamoDb);
        };
        *lock(&self.calls).entry(operation.clone()).or_default() += 1;

        let action = self.faults.next(&operation);
        match action {
            FaultAction::Respond(answer) => return respond(answer, service),
            FaultAction::Timeout => {
                return Err(ConnectorError::timeout("the connection timed out".into()));
            }
            FaultAction::Hang => std::future::pending().await,
            FaultAction::Normal | FaultAction::LoseResponse => {}
        }
        let Some(body) = request.body().bytes().map(<[u8]>::to_vec) else {
            let error = AwsError::new("SerializationException", "the body is a stream");
            return respond(error.into(), service);
        };
        let services = self.services_arc();
        // SQLite and the private files block. A call that the client abandons still runs to its end.
        let answer = tokio::task::spawn_blocking(move || match service {
            Service::DynamoDb => services.dynamodb.call(&operation, &body),
            Service::Kms => services.kms.call(&operation, &body),
            Service::SecretsManager => services.secrets_manager.call(&operation, &body),
        })
        .await
        .map_err(|stopped| ConnectorError::other(stopped.into(), None))?;
        if matches!(action, FaultAction::LoseResponse) {
            return Err(ConnectorError::io(
                "the connection broke before the answer".into(),
            ));
        }
        respond(answer, service)
    }
}

fn respond(answer: AwsResponse, service: Service) -> Result<HttpResponse, ConnectorError> {
    answer
        .into_http(service.content_type())
        .ok_or_else(|| ConnectorError::other("the answer has no HTTP status".into(), None))
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().answer(request))
    }
}

impl HttpClient for Connector {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
