//! Opening the AWS of one machine and handing out its SDK clients.
//!
//! One data folder belongs to one process at a time. All calls go through `connector`; this module has the
//! folder, the clients and the maintenance, and no operation of any service.

mod connector;
mod dynamodb;
pub(crate) mod files;
mod kms;
mod maintenance;
pub(crate) mod protocol;
mod secrets_manager;

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector};
use aws_smithy_types::retry::RetryConfig;

use crate::clock;
use crate::faults::Faults;
use connector::{Connector, Services};
use dynamodb::DynamoDb;
use files::{FolderLock, PrivateFile};
use kms::Kms;
use secrets_manager::SecretsManager;

pub use maintenance::MaintenanceStats;

/// The region the clients and the ARNs name. A valid host label, and no region of AWS.
pub const REGION: &str = "local-1";

/// The account id in the ARNs of this machine.
const ACCOUNT: &str = "000000000000";

/// The alias of the one KMS key.
const KEY_ALIAS: &str = "alias/spillway";

/// The databases, keys and secrets of one machine behind the AWS SDK's own clients.
///
/// Cloning is cheap and shares everything. The data folder stays locked until the last clone
/// and the last client made from it are gone.
#[derive(Clone, Debug)]
pub struct LocalAws {
    connector: Connector,
    folder: Option<PathBuf>,
}

/// An error while opening or maintaining the AWS of this machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// Another process has the data folder open.
    #[error(
        "the data folder {} is in use by another process{}; stop that process, or give this one \
         a folder of its own",
        folder.display(),
        pid.map(|pid| format!(" (process id {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The process that holds it, where its lock file names one.
        pid: Option<u32>,
    },
    /// The folder has a database, but its key or secrets file is missing. With a new file, the ciphertexts in the
    /// database could never be decrypted.
    #[error(
        "the data folder {} has a database but no {file}; restore {file} from a backup, or move \
         the folder away to start with a new one",
        folder.display()
    )]
    Incomplete {
        /// The data folder.
        folder: PathBuf,
        /// The name of the missing file.
        file: &'static str,
    },
    /// A file of the data folder has invalid contents.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The reason, without any of the contents.
        reason: &'static str,
    },
    /// The operating system cannot read or write.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be opened or maintained.
    #[error("the embedded database: {0}")]
    Database(String),
}

impl LocalError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

impl LocalAws {
    /// Opens the data folder `dir`, and creates it (mode 0700) if absent.
    ///
    /// The folder holds `dynamodb.sqlite`, `kms.json`, `secrets.json` and `lock`, each readable
    /// by its owner only. Blocks on the file system; a few milliseconds.
    ///
    /// # Errors
    ///
    /// [`LocalError::InUse`] when another process has the folder, [`LocalError::Incomplete`] and
    /// [`LocalError::Damaged`] when its files are not as this crate left them, and
    /// [`LocalError::Io`] or [`LocalError::Database`] when they cannot be read or written.
    pub fn open(dir: &Path) -> Result<Self, LocalError> {
        files::make_private_folder(dir)?;
        let lock = FolderLock::take(dir)?;
        let database = dir.join("dynamodb.sqlite");
        let existing = database.exists();
        let open_private = |name: &'static str| -> Result<PrivateFile, LocalError> {
            let file = PrivateFile::at(dir.join(name));
            if existing && !file.exists() {
                return Err(LocalError::Incomplete {
                    folder: dir.to_owned(),
                    file: name,
                });
            }
            Ok(file)
        };
        // The two files are written before the database exists: see `Incomplete`.
        let kms = Kms::open(&open_private("kms.json")?)?;
        let secrets_manager = SecretsManager::open(open_private("secrets.json")?)?;
        let dynamodb = DynamoDb::open(&database)?;
        let services = Services {
            dynamodb,
            kms,
            secrets_manager,
            _lock: Some(lock),
        };
        Ok(Self {
            connector: Connector::new(services),
            folder: Some(dir.to_owned()),
        })
    }

    /// A new AWS in memory, which is dropped with its last clone.
    ///
    /// # Errors
    ///
    /// [`LocalError::Database`] when `SQLite` refuses.
    pub fn memory() -> Result<Self, LocalError> {
        let services = Services {
            dynamodb: DynamoDb::memory()?,
            kms: Kms::open(&PrivateFile::in_memory())?,
            secrets_manager: SecretsManager::open(PrivateFile::in_memory())?,
            _lock: None,
        };
        Ok(Self {
            connector: Connector::new(services),
            folder: None,
        })
    }

    /// The data folder, unless this one lives in memory.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// A DynamoDB client.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::from_conf(
            aws_sdk_dynamodb::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(REGION))
                .credentials_provider(Self::credentials())
                .retry_config(Self::retries())
                .http_client(self.http_client())
                .build(),
        )
    }

    /// A KMS client.
    pub fn kms(&self) -> aws_sdk_kms::Client {
        aws_sdk_kms::Client::from_conf(
            aws_sdk_kms::Config::builder()
                .behavior_version(aws_sdk_kms::config::BehaviorVersion::latest())
                .region(aws_sdk_kms::config::Region::new(REGION))
                .credentials_provider(Self::credentials())
                .retry_config(Self::retries())
                .http_client(self.http_client())
                .build(),
        )
    }

    /// A Secrets Manager client.
    pub fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::from_conf(
            aws_sdk_secretsmanager::Config::builder()
                .behavior_version(aws_sdk_secretsmanager::config::BehaviorVersion::latest())
                .region(aws_sdk_secretsmanager::config::Region::new(REGION))
                .credentials_provider(Self::credentials())
                .retry_config(Self::retries())
                .http_client(self.http_client())
                .build(),
        )
    }

    /// The in-process HTTP client, for an SDK client with other settings.
    /// It serves DynamoDB, DynamoDB Streams, KMS and Secrets Manager.
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.connector.clone())
    }

    /// The connector behind [`http_client`](Self::http_client), for calls without an SDK client.
    pub fn http_connector(&self) -> SharedHttpConnector {
        SharedHttpConnector::new(self.connector.clone())
    }

    /// Credentials for an SDK client with other settings. They are valid nowhere; the SDK needs them to sign.
    pub fn credentials() -> Credentials {
        Credentials::new("LOCALMACHINE", "not-a-secret", None, None, "spillway-local")
    }

    /// The id of the one KMS key, which is created at the first open.
    pub fn kms_key_id(&self) -> &str {
        self.connector.services().kms.key_id()
    }

    /// The injected failures, for tests.
    pub fn faults(&self) -> &Faults {
        self.connector.faults()
    }

    /// The number of calls of an operation (`"Query"`, `"Decrypt"`, …) so far, with failed calls and the SDK's
    /// retries.
    pub fn calls(&self, operation: &str) -> u64 {
        self.connector.calls(operation)
    }

    /// Runs one round of maintenance: deletes stream records older than 24 hours (dynoxide deletes none itself)
    /// and items after their time to live, and copies `SQLite`'s log into its file.
    ///
    /// `now_ms` is milliseconds since the Unix epoch. Time to live goes by the machine's own
    /// clock, as dynoxide does not take another.
    ///
    /// # Errors
    ///
    /// [`LocalError::Database`] when `SQLite` refuses; the next round may succeed.
    pub async fn maintain(&self, now_ms: u64) -> Result<MaintenanceStats, LocalError> {
        maintenance::run_round(self.connector.services_arc(), now_ms).await
    }

    /// Runs [`maintain`](Self::maintain) now and after each interval `every`, without end. `now` returns
    /// milliseconds since the Unix epoch. A failed round is logged.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops it between two rounds; a running round ends on its own thread.
    pub async fn run_maintenance(&self, every: Duration, now: impl Fn() -> u64) {
        loop {
            match self.maintain(now()).await {
                Ok(stats) if stats.is_empty() => {}
                Ok(stats) => tracing::debug!(
                    stream_records = stats.stream_records,
                    expired_items = stats.expired_items,
                    "removed outdated rows from the embedded database"
                ),
                Err(error) => tracing::warn!(%error, "maintenance of the embedded database failed"),
            }
            tokio::time::sleep(every).await;
        }
    }

    /// The SDK's default number of attempts, without its delays.
    fn retries() -> RetryConfig {
        RetryConfig::standard()
            .with_initial_backoff(Duration::from_millis(1))
            .with_max_backoff(Duration::from_millis(1))
    }
}

/// An ARN of this machine; `resource` is the part after the account.
fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}")
}

/// Seconds since the Unix epoch with their milliseconds, as AWS JSON protocols write a time.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of this age are exact in an f64"
)]
fn epoch_seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn now_ms() -> u64 {
    clock::now_ms()
}

#[cfg(test)]
mod tests;
