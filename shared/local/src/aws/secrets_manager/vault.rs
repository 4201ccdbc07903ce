//! The secrets, their versions and staging labels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::insert;
use crate::aws::protocol::{AwsError, Blob};
use crate::aws::{epoch_seconds, now_ms};

pub(super) const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// The maximum number of versions without a label; the oldest are removed first. The service keeps about as many.
const UNLABELLED_VERSIONS: usize = 100;

#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Vault {
    pub(super) secrets: BTreeMap<String, Secret>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Secret {
    pub(super) arn: String,
    pub(super) description: Option<String>,
    pub(super) created_ms: u64,
    pub(super) changed_ms: u64,
    /// In the order of creation.
    pub(super) versions: Vec<Version>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) created_ms: u64,
    #[serde(flatten)]
    pub(super) value: SecretValue,
    pub(super) stages: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SecretValue {
    #[serde(rename = "string")]
    Text(String),
    #[serde(rename = "binary")]
    Binary(Blob),
}

impl Vault {
    pub(super) fn find(&self, id: &str) -> Result<(&String, &Secret), AwsError> {
        self.secrets
            .iter()
            .find(|(name, secret)| secret.is_named(name, id))
            .ok_or_else(no_such_secret)
    }

    pub(super) fn find_mut(&mut self, id: &str) -> Result<(&String, &mut Secret), AwsError> {
        self.secrets
            .iter_mut()
            .find(|(name, secret)| secret.is_named(name, id))
            .ok_or_else(no_such_secret)
    }
}

fn no_such_secret() -> AwsError {
    AwsError::new(
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret.",
    )
}

impl Secret {
    /// Whether `id` is the secret's name, its ARN, or its ARN without the six random characters.
    fn is_named(&self, name: &str, id: &str) -> bool {
        id == name
            || id == self.arn
            || self
                .arn
                .strip_prefix(id)
                .is_some_and(|end| end.len() == 7 && end.starts_with('-'))
    }

    pub(super) fn version(&self, id: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// The version with the label.
    pub(super) fn holder(&self, stage: &str) -> Option<String> {
        self.versions
            .iter()
            .find(|version| version.stages.iter().any(|s| s == stage))
            .map(|version| version.id.clone())
    }

    pub(super) fn add(&mut self, id: &str, value: SecretValue, stages: &[String]) {
        let now = now_ms();
        self.changed_ms = now;
        self.versions.push(Version {
            id: id.to_owned(),
            created_ms: now,
            value,
            stages: Vec::new(),
        });
        for stage in stages {
            self.label(stage, id);
        }
        let mut unlabelled = self
            .versions
            .iter()
            .filter(|version| version.stages.is_empty())
            .count();
        self.versions.retain(|version| {
            let drop = version.stages.is_empty() && unlabelled > UNLABELLED_VERSIONS;
            unlabelled -= usize::from(drop);
            !drop
        });
    }

    /// Moves a label to one version. The version that loses
    /// `AWSCURRENT` becomes `AWSPREVIOUS`.
    pub(super) fn label(&mut self, stage: &str, id: &str) {
        let before = self.holder(stage);
        if before.as_deref() == Some(id) {
            return;
        }
        self.unlabel(stage);
        if let Some(version) = self.versions.iter_mut().find(|version| version.id == id) {
            version.stages.push(stage.to_owned());
        }
        if let (CURRENT, Some(before)) = (stage, before) {
            self.label(PREVIOUS, &before);
        }
    }

    pub(super) fn unlabel(&mut self, stage: &str) {
        for version in &mut self.versions {
            version.stages.retain(|s| s != stage);
        }
    }

    pub(super) fn labelled(&self) -> Value {
        self.versions
            .iter()
            .filter(|version| !version.stages.is_empty())
            .map(|version| (version.id.clone(), json!(version.stages)))
            .collect()
    }

    pub(super) fn summary(&self, name: &str) -> Value {
        let mut summary = json!({
            "ARN": self.arn,
            "CreatedDate": epoch_seconds(self.created_ms),
            "LastChangedDate": epoch_seconds(self.changed_ms),
            "Name": name,
        });
        insert(
            &mut summary,
            "Description",
            self.description.as_ref().map(|text| json!(text)),
        );
        summary
    }
}
