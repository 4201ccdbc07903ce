//! The AWS of one machine.
//!
//! [`LocalAws`] answers the calls of the real AWS SDK clients inside the process: DynamoDB from
//! an `SQLite` file, KMS and Secrets Manager from two private files. Nothing listens on a port, so
//! that no web page and no other user of the machine can reach it. The rest of Spillway cannot
//! tell the difference: it is given SDK clients, and the SDK's serialiser, signer, retries and
//! error mapping all run.
//!
//! The crate knows nothing of Spillway: no table, no key format and no rule of its proxy.

pub mod aws;
mod clock;
pub mod faults;

pub use aws::{LocalAws, LocalError};
pub use faults::{Fault, Faults};
