//! What a database that nobody else looks after needs from time to time.

use std::sync::Arc;

use super::LocalError;
use super::connector::Services;

/// How long DynamoDB keeps a stream record
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>).
const STREAM_RETENTION_S: u64 = 24 * 60 * 60;

/// What one round of upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceStats {
    /// Stream records dropped because they were older than 24 hours.
    pub stream_records: usize,
    /// Items deleted because their time to live had ended.
    pub expired_items: usize,
    /// Whether `SQLite`'s log was folded into the database file. A reader at work puts it off.
    pub is_log_checkpointed: bool,
}

impl MaintenanceStats {
    /// Whether there was nothing to delete.
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
        // Trimming first: the deletions of the second step leave records of their own.
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
        .unwrap_or_else(|_| Err(LocalError::Database("the upkeep stopped".into())))
}
