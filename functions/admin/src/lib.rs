//! Administration: users, their access keys, and the Bedrock API keys bound to those.
//!
//! [`Admin::execute_as`] executes a [`Command`] and returns an [`Outcome`]. The command-line tool makes
//! commands on a data folder or through the running process; the REST API of the deployed function will
//! make the same ones. Every change is one transaction with its audit record.
//!
//! | module | contents |
//! |---|---|
//! | `command` | commands and outcomes |
//! | [`api`] | the values in them |
//! | `execute` | the execution, and its errors |
//! | `users`, `keys`, `breakers` | the commands of each kind |
//! | `settings` | the checks of settings |
//! | `audit` | callers and audit records |

pub mod api;
mod audit;
mod breakers;
mod command;
mod execute;
mod keys;
mod settings;
mod users;

pub use api::{BedrockKeyView, KeyView, Settings, UserView};
pub use audit::Invocation;
pub use breakers::BreakerView;
pub use command::{BreakersOf, Command, IssuedKey, NewUser, Outcome, UserChange};
pub use execute::{Admin, AdminError};
pub use settings::check_bedrock_key;
