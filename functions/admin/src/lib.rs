//! Administration: users, their access keys, and the Bedrock API keys bound to those.
//!
//! A [`Command`] says what is wanted, [`Admin::execute`] does it and returns an [`Outcome`]. The
//! command-line tool makes commands on a data folder or through the running process; the REST API of
//! the deployed function will make the same ones.

mod breakers;
mod command;
mod execute;
mod settings;

pub use command::{BreakerView, BreakersOf, Command, IssuedKey, NewUser, Outcome, Settings};
pub use execute::{Admin, AdminError};
pub use settings::check_bedrock_key;
