//! The circuits that breakers guard.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model_family::ModelFamily;

/// A service, or a part of one, that has a breaker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Circuit {
    /// The plan behind an access key.
    Key,
    /// One model family within that plan.
    Family(ModelFamily),
    /// Anthropic's API, for all keys of the deployment.
    Deployment,
}

/// A text that is not the name of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a circuit is `key`, `deployment` or a model family such as `opus`")]
pub struct UnknownCircuit;

impl fmt::Display for Circuit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Key => "key",
            Self::Deployment => "deployment",
            Self::Family(family) => family.as_str(),
        })
    }
}

impl FromStr for Circuit {
    type Err = UnknownCircuit;

    fn from_str(text: &str) -> Result<Self, UnknownCircuit> {
        match text {
            "key" => Ok(Self::Key),
            "deployment" => Ok(Self::Deployment),
            family => ModelFamily::try_from(family.to_owned())
                .map(Self::Family)
                .map_err(|_| UnknownCircuit),
        }
    }
}

impl TryFrom<String> for Circuit {
    type Error = UnknownCircuit;

    fn try_from(text: String) -> Result<Self, UnknownCircuit> {
        text.parse()
    }
}

impl From<Circuit> for String {
    fn from(circuit: Circuit) -> Self {
        circuit.to_string()
    }
}
