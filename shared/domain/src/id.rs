//! The types of identifiers. Functions with a source of randomness generate the values.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not an identifier of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a {kind}: it must be `{prefix}` followed by 1 to 64 letters, digits, `-` or `_`"
)]
pub struct MalformedId {
    kind: &'static str,
    prefix: &'static str,
    text: String,
}

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The prefix of every identifier of this kind.
            pub const PREFIX: &'static str = $prefix;

            /// The identifier as text, prefix included.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let well_formed = text.strip_prefix($prefix).is_some_and(|rest| {
                    (1..=64).contains(&rest.len())
                        && rest.bytes().all(|byte| {
                            byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
                        })
                });
                if well_formed {
                    Ok(Self(text.to_owned()))
                } else {
                    let text = text.chars().take(80).collect();
                    Err(MalformedId { kind: $kind, prefix: $prefix, text })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = MalformedId;

            fn try_from(text: String) -> Result<Self, MalformedId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    )*};
}

identifiers! {
    /// A user of this deployment.
    UserId = "usr_", "user id";
    /// An access key, without its secret.
    KeyId = "key_", "key id";
    /// One request through Spillway. Every response contains the id.
    RequestId = "req_", "request id";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifier_keeps_its_prefix_and_rejects_other_texts() {
        assert_eq!(
            "usr_0a-B_9".parse::<UserId>().map(String::from).as_deref(),
            Ok("usr_0a-B_9")
        );
        for wrong in [
            "",
            "usr_",
            "key_1",
            "usr_a b",
            "usr_#",
            &format!("usr_{}", "x".repeat(65)),
        ] {
            assert!(wrong.parse::<UserId>().is_err(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn malformed_id_error_names_the_form() {
        insta::assert_snapshot!(
            "bob".parse::<UserId>().unwrap_err(),
            @"`bob` is not a user id: it must be `usr_` followed by 1 to 64 letters, digits, `-` or `_`"
        );
    }
}
