//! Injected failures of AWS calls: throttling, transaction conflicts, internal errors, hanging calls, and
//! responses that are lost after the write.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::aws::files::lock;
use crate::aws::protocol::{AwsError, AwsResponse};

/// How a call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// `ThrottlingException` (400): the account is over its limit.
    Throttling,
    /// DynamoDB's `ProvisionedThroughputExceededException` (400): a partition is over its limit.
    ProvisionedThroughputExceeded,
    /// DynamoDB's `TransactionCanceledException` (400) whose first action lost against another
    /// transaction; `actions` is the number of its actions, one reason for each.
    TransactionConflict {
        /// The number of cancellation reasons in the response, at least one.
        actions: usize,
    },
    /// `InternalServerError` (500).
    InternalServerError,
    /// Any other error, by AWS's name for it.
    Error {
        /// The HTTP status.
        status: u16,
        /// The name, such as `AccessDeniedException`.
        name: &'static str,
        /// The message.
        message: String,
    },
    /// The connection times out at once, before the service runs the call.
    Timeout,
    /// The call never ends and the service does not run it. The caller's timeout must end it.
    Hang,
    /// The service runs the call, and the connection breaks before the response.
    ResponseLost,
}

/// What happens to a call.
pub(crate) enum FaultAction {
    /// The service runs it.
    Normal,
    /// It gets this response without the service.
    Respond(AwsResponse),
    /// It times out.
    Timeout,
    /// It never ends.
    Hang,
    /// The service runs it, and the response is lost.
    LoseResponse,
}

/// A handle to make later calls fail. All clones belong to the same [`LocalAws`](crate::LocalAws).
#[derive(Clone, Debug, Default)]
pub struct Faults {
    planned: Arc<Mutex<HashMap<String, VecDeque<Fault>>>>,
}

impl Faults {
    /// Makes the next `times` calls of `operation` fail, after those already planned for it. The
    /// SDK's own retries are calls too: a client makes up to three attempts by default.
    pub fn fail_next(&self, operation: &str, times: usize, fault: Fault) {
        let mut planned = lock(&self.planned);
        let queue = planned.entry(operation.to_owned()).or_default();
        queue.extend(std::iter::repeat_n(fault, times));
    }

    /// Removes all planned failures.
    pub fn clear(&self) {
        lock(&self.planned).clear();
    }

    /// The number of planned failures that are still to come.
    pub fn pending(&self) -> usize {
        lock(&self.planned).values().map(VecDeque::len).sum()
    }

    pub(crate) fn next(&self, operation: &str) -> FaultAction {
        let fault = lock(&self.planned)
            .get_mut(operation)
            .and_then(VecDeque::pop_front);
        let Some(fault) = fault else {
            return FaultAction::Normal;
        };
        let error = match fault {
            Fault::Throttling => AwsError::new("ThrottlingException", "Rate exceeded"),
            Fault::ProvisionedThroughputExceeded => AwsError::new(
                "ProvisionedThroughputExceededException",
                "The level of configured provisioned throughput for the table was exceeded.",
            ),
            Fault::TransactionConflict { actions } => {
                return FaultAction::Respond(transaction_conflict(actions));
            }
            Fault::InternalServerError => {
                AwsError::internal("InternalServerError", "Internal server error")
            }
            Fault::Error {
                status,
                name,
                message,
            } => AwsError {
                status,
                name,
                message,
            },
            Fault::Timeout => return FaultAction::Timeout,
            Fault::Hang => return FaultAction::Hang,
            Fault::ResponseLost => return FaultAction::LoseResponse,
        };
        FaultAction::Respond(error.into())
    }
}

/// DynamoDB's response
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>):
/// one reason per action, in the actions' order.
fn transaction_conflict(actions: usize) -> AwsResponse {
    let reasons: Vec<_> = (0..actions.max(1))
        .map(|action| match action {
            0 => json!({
                "Code": "TransactionConflict",
                "Message": "Transaction is ongoing for the item",
            }),
            _ => json!({ "Code": "None" }),
        })
        .collect();
    let codes: Vec<_> = (0..actions.max(1))
        .map(|action| {
            if action == 0 {
                "TransactionConflict"
            } else {
                "None"
            }
        })
        .collect();
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        ),
        "CancellationReasons": reasons,
    });
    AwsResponse {
        status: 400,
        error: Some("TransactionCanceledException".into()),
        body: body.to_string(),
    }
}
