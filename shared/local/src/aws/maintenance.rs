//! The periodic maintenance of the embedded database.

use std::sync::Arc;

use super::LocalError;
use super::connector::Services;

/// The time for which DynamoDB keeps a stream record
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>).
const STREAM_RETENTION_S: u64 = 24 * 60 * 60;

/// The result of one round of maintenance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceStats {
    /// The number of deleted stream records, which were older than 24 hours.
    pub stream_records: usize,
    /// The number of deleted items, whose time to live had ended.
    pub expired_items: usize,
    /// Whether `SQLite`'s log was copied into the database file. A concurrent reader prevents it.
    pub is_log_checkpointed: bool,
}

impl MaintenanceStats {
    /// Whether nothing was deleted.
    pub fn is_empty(&self) -> bool {
        self.stream_records == 0 && self.expired_items == 0
    }
}

pub(super) async fn run_round(
    services: Arc<Services>,
    now_ms: u64,
) -> Result<MaintenanceStats, LocalError> {
    let round = tokio::task::spawn_blocking(move || {
        let db = &services.dynamodb;
        // Streams first: the deletions of the second step add stream records.
        let stream_records = db.trim_streams((now_ms / 1000).saturating_sub(STREAM_RETENTION_S))?;
        let expired_items = db.sweep_ttl()?;
        let is_log_checkpointed = db.checkpoint()?;
        Ok(MaintenanceStats {
            stream_records,
            expired_items,
            is_log_checkpointed,
        })
    });
    round
        .await
        .unwrap_or_else(|_| Err(LocalError::Database("the maintenance stopped".into())))
}
