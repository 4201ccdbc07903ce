//! DynamoDB and its streams: dynoxide on `SQLite`, called with the SDK's request bodies.
//!
//! dynoxide's own HTTP server is not used: it serves any web page and checks no signature.
//!
//! This module fills two gaps of dynoxide 3.2.0 through a second connection to the same database. The
//! lookup of a stream's next sequence number reads every record of the table: with the index of
//! [`ensure_stream_index`](DynamoDb::ensure_stream_index), 30 writes a second become 1600 at 100 000
//! records. And it never deletes a stream record, which [`trim_streams`](DynamoDb::trim_streams) does. A
//! test checks both against its table layout.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dynoxide::{Database, DynoxideError};
use rusqlite::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LocalError;
use super::files;
use super::protocol::{AwsError, AwsResponse};

/// The maximum time for which the second connection waits for a write of the first one.
const BUSY: Duration = Duration::from_secs(5);

pub(super) struct DynamoDb {
    database: Database,
    /// The address under which `SQLite` opens the same data.
    address: String,
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").finish_non_exhaustive()
    }
}

impl From<rusqlite::Error> for LocalError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<DynoxideError> for LocalError {
    fn from(error: DynoxideError) -> Self {
        Self::Database(error.to_string())
    }
}

impl DynamoDb {
    pub(super) fn open(path: &Path) -> Result<Self, LocalError> {
        // `SQLite` gives its log files the mode of the database file.
        files::make_private(path)?;
        let Some(address) = path.to_str() else {
            return Err(LocalError::Database(
                "the data folder's path is not UTF-8".into(),
            ));
        };
        Self::at(address.to_owned())
    }

    /// A database in memory, with a unique name in `SQLite`'s `memdb` file system
    /// (<https://www.sqlite.org/inmemorydb.html>), so that a second connection of this process can open it.
    pub(super) fn memory() -> Result<Self, LocalError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::at(format!("file:/spillway-{number}?vfs=memdb"))
    }

    fn at(address: String) -> Result<Self, LocalError> {
        let database = Database::new(&address)?;
        let this = Self { database, address };
        this.ensure_stream_index()?;
        Ok(this)
    }

    pub(super) fn connection(&self) -> Result<Connection, LocalError> {
        let connection = Connection::open(&self.address)?;
        connection.busy_timeout(BUSY)?;
        Ok(connection)
    }

    fn ensure_stream_index(&self) -> Result<(), LocalError> {
        self.connection()?.execute_batch(
            "CREATE INDEX IF NOT EXISTS spillway_stream_sequence
             ON _stream_records (table_name, CAST(sequence_number AS INTEGER))",
        )?;
        Ok(())
    }

    /// Drops stream records written before `before_s` (seconds since the Unix epoch).
    pub(super) fn trim_streams(&self, before_s: u64) -> Result<usize, LocalError> {
        let before_s = i64::try_from(before_s).unwrap_or(i64::MAX);
        let sql = "DELETE FROM _stream_records WHERE created_at < ?1";
        Ok(self.connection()?.execute(sql, [before_s])?)
    }

    pub(super) fn sweep_ttl(&self) -> Result<usize, LocalError> {
        Ok(self.database.sweep_ttl()?)
    }

    /// Copies the write-ahead log into the database file and empties it. Returns false while a reader prevents it.
    pub(super) fn checkpoint(&self) -> Result<bool, LocalError> {
        let busy: i64 =
            self.connection()?
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Ok(busy == 0)
    }

    /// Runs one operation to its end. Blocks: every operation takes the database's one lock.
    pub(super) fn call(&self, operation: &str, body: &[u8]) -> AwsResponse {
        let db = &self.database;
        match operation {
            "CreateTable" => run(body, |input| db.create_table(input)),
            "DeleteTable" => run(body, |input| db.delete_table(input)),
            "DescribeTable" => run(body, |input| db.describe_table(input)),
            "ListTables" => run(body, |input| db.list_tables(input)),
            "UpdateTable" => run(body, |input| db.update_table(input)),
            "PutItem" => run(body, |input| db.put_item(input)),
            "GetItem" => run(body, |input| db.get_item(input)),
            "DeleteItem" => run(body, |input| db.delete_item(input)),
            "UpdateItem" => run(body, |input| db.update_item(input)),
            "Query" => run(body, |input| db.query(input)),
            "Scan" => run(body, |input| db.scan(input)),
            "BatchGetItem" => run(body, |input| db.batch_get_item(input)),
            "BatchWriteItem" => run(body, |input| db.batch_write_item(input)),
            "TransactWriteItems" => run(body, |input| db.transact_write_items(input)),
            "TransactGetItems" => run(body, |input| db.transact_get_items(input)),
            "UpdateTimeToLive" => run(body, |input| db.update_time_to_live(input)),
            "DescribeTimeToLive" => run(body, |input| db.describe_time_to_live(input)),
            "TagResource" => run(body, |input| db.tag_resource(input)),
            "UntagResource" => run(body, |input| db.untag_resource(input)),
            "ListTagsOfResource" => run(body, |input| db.list_tags_of_resource(input)),
            "ListStreams" => run(body, |input| db.list_streams(input)),
            "DescribeStream" => run(body, |input| db.describe_stream(input)),
            "GetShardIterator" => run(body, |input| db.get_shard_iterator(input)),
            "GetRecords" => run(body, |input| db.get_records(input)),
            _ => AwsResponse::unknown_operation(),
        }
    }
}

fn run<I: DeserializeOwned, O: Serialize>(
    body: &[u8],
    operation: impl FnOnce(I) -> Result<O, DynoxideError>,
) -> AwsResponse {
    let input = match serde_json::from_slice(body) {
        Ok(input) => input,
        Err(error) => return unreadable(&error.to_string()).into(),
    };
    match operation(input) {
        Ok(output) => AwsResponse::ok(&output),
        Err(error) => AwsResponse {
            status: error.status_code(),
            error: error.error_type().rsplit('#').next().map(str::to_owned),
            body: error.to_json(),
        },
    }
}

/// dynoxide marks in the message which of DynamoDB's two errors applies.
fn unreadable(message: &str) -> AwsError {
    let (name, rest) = match message.split_once(':') {
        Some(("VALIDATION" | "VALIDATION_REQUEST" | "VALIDATION_AS_READ", rest)) => {
            ("ValidationException", rest)
        }
        Some(("SERIALIZATION" | "SERIALIZATION_AS_READ", rest)) => ("SerializationException", rest),
        _ if message.contains("missing field")
            || message.contains("unknown variant")
            || message.contains("Supplied AttributeValue") =>
        {
            ("ValidationException", message)
        }
        _ => ("SerializationException", message),
    };
    // serde_json adds the position in the body, which DynamoDB does not report.
    let message = rest
        .rfind(" at line ")
        .and_then(|at| rest.get(..at))
        .unwrap_or(rest);
    AwsError::new(name, message)
}
