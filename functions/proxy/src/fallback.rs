//! The fallback: the same request to Bedrock, with the developer's own Bedrock API key.

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use dialect::error::Class;
use domain::bedrock::{BedrockSettings, ModelPreset};
use domain::route::FallbackReason;
use http::StatusCode;
use service::clock::Clock;
use store::vault::{Opener, Owner, VaultError};

use crate::bedrock::{Bedrock, BedrockCall};
use crate::config::Settings;
use crate::error_response::{ErrorResponse, FINAL_ERROR_TYPE};
use crate::fallback_error::FallbackError;
use crate::request::AuthorizedRequest;
use crate::request_log::RequestLog;
use crate::response::HeldResponse;

/// Sends requests to Bedrock.
#[derive(Debug)]
pub(crate) struct Fallback {
    bedrock: Bedrock,
    opener: Opener,
    /// For users without a preset of their own.
    models: ModelPreset,
    clock: Clock,
}

impl Fallback {
    pub(crate) fn new(
        settings: &Settings,
        http: SharedHttpClient,
        opener: Opener,
        clock: Clock,
    ) -> Self {
        let bedrock = Bedrock::new(
            http,
            settings.bedrock_url.as_deref(),
            settings.dialect,
            settings.deadlines,
            settings.metrics,
        );
        Self {
            bedrock,
            opener,
            models: settings.models,
            clock,
        }
    }

    /// Sends the request to Bedrock, once.
    pub(crate) async fn send(
        &self,
        request: &AuthorizedRequest<'_>,
        reason: FallbackReason,
        log: &mut RequestLog,
    ) -> Result<HeldResponse, FallbackError> {
        log.fields_mut().fallback = Some(reason);
        let binding = request.key.binding.as_ref();
        let binding = binding.ok_or(FallbackError::NoBedrockKey)?;
        let key = request.grant.record();
        let owner = Owner {
            key: &key.key_id,
            user: &key.user.id,
        };
        let opening = self.opener.open(owner, &binding.sealed, self.clock.now());
        let token = opening.await.map_err(|error| {
            tracing::error!(%error, key.id = %owner.key, "the Bedrock key cannot be decrypted");
            FallbackError::Bedrock(vault_error_response(&error))
        })?;
        let settings = key.effective_bedrock(BedrockSettings {
            preset: Some(self.models),
            ..BedrockSettings::default()
        });
        let call = BedrockCall {
            request: &request.incoming,
            reason,
            now: self.clock.now(),
            settings: &settings,
            owner,
            token: &token,
        };
        self.bedrock.send(call, log).await
    }
}

/// The response when the Bedrock key could not be decrypted.
fn vault_error_response(error: &VaultError) -> ErrorResponse {
    match error {
        VaultError::CiphertextRejected => ErrorResponse::final_error(
            StatusCode::BAD_REQUEST,
            FINAL_ERROR_TYPE,
            Class::AuthError.as_str(),
            "Your Bedrock API key cannot be opened any more; your Spillway administrator can \
             register it anew.",
        ),
        VaultError::Unavailable { .. } | VaultError::NoEntropy => ErrorResponse::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "api_error",
            Class::Unavailable.as_str(),
            "Spillway cannot open your Bedrock API key at the moment; try again in a moment.",
        ),
    }
}
