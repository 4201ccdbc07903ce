//! The tables, defined once: local mode and tests create them from here, and the deployment
//! template must say the same.
//!
//! Table `access`, whose partition key `pk` and sort key `sk` are strings:
//!
//! | item | `pk` | `sk` | listed in the index under |
//! |---|---|---|---|
//! | user | `user#<user id>` | `user` | `users` / `<user id>` |
//! | key | `key#<key hash>` | `key` | `user#<user id>` / `<key id>` |
//! | sealed Bedrock key | `key#<key hash>` | `bedrock_key` | – |
//! | breaker | `key#<key hash>` | `breaker`, `breaker#<model family>` | `breakers` / `<key id>#<circuit>` |
//! | breaker of the deployment | `deployment` | `breaker` | `breakers` / `#deployment` |
//! | conversation on Bedrock | `key#<key hash>` | `session#<session id>` | – |
//! | pointer | `key_id#<key id>` | `pointer` | – |
//! | key of a user | `user#<user id>` | `key#<key id>` | – |
//! | audit record | `audit#<day>` | `<milliseconds>#<audit id>` | `audit#<target>` / `<milliseconds>#<audit id>` |
//!
//! Every item has `schema`, the version of its form.
//! An item with `expires_s` (Unix seconds) may be removed from then on. A reader compares the time itself,
//! because DynamoDB may be days late.
//!
//! Everything the proxy needs of a key shares the key's partition, so one Query resolves it. The
//! pointer finds that partition by the key's id and is never changed; it lets an admin revoke a key
//! with a consistent read where the index would lag. For the same reason a user's partition has the keys of
//! the user: a change of the user must reach all of them.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
};
use domain::id::{KeyId, UserId};
use domain::key::KeyHash;

use crate::{StoreError, code, unavailable};

pub(crate) const PK: &str = "pk";
pub(crate) const SK: &str = "sk";
pub(crate) const LISTED_IN: &str = "listed_in";
pub(crate) const LISTED_AS: &str = "listed_as";
pub(crate) const SCHEMA: &str = "schema";
pub(crate) const LISTING: &str = "listing";

pub(crate) const SK_USER: &str = "user";
pub(crate) const SK_KEY: &str = "key";
pub(crate) const SK_BEDROCK_KEY: &str = "bedrock_key";
pub(crate) const SK_POINTER: &str = "pointer";
pub(crate) const SK_BREAKER: &str = "breaker";
pub(crate) const SK_SESSION: &str = "session";
pub(crate) const SK_USER_KEY: &str = "key";
pub(crate) const PK_AUDIT: &str = "audit";
pub(crate) const IN_AUDIT: &str = "audit";
pub(crate) const PK_DEPLOYMENT: &str = "deployment";
pub(crate) const IN_USERS: &str = "users";
pub(crate) const IN_BREAKERS: &str = "breakers";
pub(crate) const EXPIRES_S: &str = "expires_s";

pub(crate) fn user_pk(user: &UserId) -> String {
    format!("user#{user}")
}

pub(crate) fn key_pk(hash: &KeyHash) -> String {
    format!("key#{hash}")
}

/// The partition of the key whose hash is `hash` as text.
pub(crate) fn key_pk_of_text(hash: &str) -> String {
    format!("key#{hash}")
}

/// The sort key of a key in its user's partition.
pub(crate) fn sk_of_user_key(key: &KeyId) -> String {
    format!("{SK_USER_KEY}#{key}")
}

pub(crate) fn pointer_pk(key: &KeyId) -> String {
    format!("key_id#{key}")
}

/// A table as it is created. All key attributes are strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// What it is called when a deployment does not say otherwise.
    pub default_name: &'static str,
    /// The partition key's attribute name.
    pub partition_key: &'static str,
    /// The sort key's attribute name.
    pub sort_key: &'static str,
    /// Global secondary indexes; each projects all attributes.
    pub indexes: &'static [Index],
    /// The attribute that says from when on an item may be removed, in Unix seconds (DynamoDB's time to
    /// live).
    pub time_to_live: Option<&'static str>,
}

/// A global secondary index that projects all attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// The partition key's attribute name.
    pub partition_key: &'static str,
    /// The sort key's attribute name.
    pub sort_key: &'static str,
}

/// Users, keys and sealed Bedrock keys, breakers, conversations on Bedrock, and audit records.
pub const ACCESS: Table = Table {
    default_name: "spillway-access",
    partition_key: PK,
    sort_key: SK,
    indexes: &[Index {
        name: LISTING,
        partition_key: LISTED_IN,
        sort_key: LISTED_AS,
    }],
    time_to_live: Some(EXPIRES_S),
};

/// Every table of a deployment.
pub const TABLES: &[Table] = &[ACCESS];

/// Creates `table` under `name` with on-demand capacity, unless it exists.
///
/// # Errors
/// [`StoreError::Unavailable`] when DynamoDB refuses or cannot be reached.
pub async fn create(client: &Client, table: &Table, name: &str) -> Result<(), StoreError> {
    let request = schema(client, table, name).map_err(|error| StoreError::Damaged {
        item: "table definition",
        reason: error.to_string(),
    })?;
    match request.send().await {
        Ok(_) => {}
        Err(error) => match error.as_service_error() {
            Some(CreateTableError::ResourceInUseException(_)) => {}
            _ if code(&error) == "ResourceInUseException" => {}
            _ => return Err(unavailable("CreateTable", &error)),
        },
    }
    let Some(attribute) = table.time_to_live else {
        return Ok(());
    };
    let specification = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name(attribute)
        .build()
        .map_err(|error| StoreError::Damaged {
            item: "table definition",
            reason: error.to_string(),
        })?;
    let enable = client
        .update_time_to_live()
        .table_name(name)
        .time_to_live_specification(specification);
    match enable.send().await {
        Ok(_) => Ok(()),
        // It is enabled already.
        Err(error) if code(&error) == "ValidationException" => Ok(()),
        Err(error) => Err(unavailable("UpdateTimeToLive", &error)),
    }
}

fn schema(
    client: &Client,
    table: &Table,
    name: &str,
) -> Result<aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder, BuildError>
{
    let mut attributes = vec![table.partition_key, table.sort_key];
    let mut request = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(key_schema(table.partition_key, table.sort_key)?));
    for index in table.indexes {
        attributes.extend([index.partition_key, index.sort_key]);
        request = request.global_secondary_indexes(
            GlobalSecondaryIndex::builder()
                .index_name(index.name)
                .set_key_schema(Some(key_schema(index.partition_key, index.sort_key)?))
                .projection(
                    Projection::builder()
                        .projection_type(ProjectionType::All)
                        .build(),
                )
                .build()?,
        );
    }
    for attribute in attributes {
        request = request.attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name(attribute)
                .attribute_type(ScalarAttributeType::S)
                .build()?,
        );
    }
    Ok(request)
}

fn key_schema(partition: &str, sort: &str) -> Result<Vec<KeySchemaElement>, BuildError> {
    [(partition, KeyType::Hash), (sort, KeyType::Range)]
        .into_iter()
        .map(|(name, kind)| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
        })
        .collect()
}
