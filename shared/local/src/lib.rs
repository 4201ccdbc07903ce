//! The AWS of one machine.
//!
//! [`LocalAws`] answers the calls of the real AWS SDK clients inside the process: DynamoDB from
//! an `SQLite` file, KMS and Secrets Manager from two private files. Nothing listens on a port, so
//! that web pages and other users of the machine cannot reach it. For the rest of Spillway it does not
//! differ from AWS: the SDK's serialiser, signer, retries and error mapping all run.
//!
//! The crate is independent of Spillway: it has no table, key format or rule of the proxy.

pub mod aws;
mod clock;
pub mod faults;

pub use aws::{LocalAws, LocalError};
pub use faults::{Fault, Faults};
