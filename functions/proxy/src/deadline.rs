//! The moments at which one request must have come to something.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Deadlines;

/// How long before the end of a Lambda invocation a request ends. What remains is for the last bytes of
/// the answer and for the log.
const BEFORE_THE_INVOCATION_ENDS: Duration = Duration::from_secs(5);

/// The end of the Lambda invocation that carries a request: an extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvocationEnd(pub(crate) Instant);

/// The deadlines of one request, counted from its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestDeadlines {
    /// The last byte of any answer.
    pub(crate) end: Instant,
    /// The whole of an answer that is not streamed, on both legs together.
    pub(crate) whole_answer: Instant,
    /// The first byte of a streamed answer, on both legs together.
    pub(crate) first_byte: Instant,
    /// The first byte of a streamed answer of Plan's. It is earlier than `first_byte`, so that Bedrock
    /// can answer in time when Plan has not.
    pub(crate) first_byte_of_plan: Instant,
}

impl RequestDeadlines {
    /// The deadlines of a request that arrived at `arrived`, in an invocation that ends at `invocation`.
    pub(crate) fn new(
        arrived: Instant,
        deadlines: &Deadlines,
        invocation: Option<InvocationEnd>,
    ) -> Self {
        let end = arrived + deadlines.total;
        let end = match invocation {
            Some(InvocationEnd(moment)) => {
                let before = moment.checked_sub(BEFORE_THE_INVOCATION_ENDS);
                end.min(before.unwrap_or(arrived))
            }
            None => end,
        };
        // A silent Bedrock gets a ping after `ping`; before that its key is opened.
        let for_bedrock = (deadlines.ping * 2).min(deadlines.first_byte / 2);
        let of_plan = deadlines.first_byte.saturating_sub(for_bedrock);
        Self {
            end,
            whole_answer: end.min(arrived + deadlines.whole_answer),
            first_byte: end.min(arrived + deadlines.first_byte),
            first_byte_of_plan: end.min(arrived + of_plan),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The deadlines in seconds after the arrival.
    fn seconds(deadlines: &Deadlines, invocation_s: Option<u64>) -> [u64; 4] {
        let arrived = Instant::now();
        let invocation = invocation_s.map(|s| InvocationEnd(arrived + Duration::from_secs(s)));
        let request = RequestDeadlines::new(arrived, deadlines, invocation);
        let RequestDeadlines {
            end,
            whole_answer,
            first_byte,
            first_byte_of_plan,
        } = request;
        [end, whole_answer, first_byte, first_byte_of_plan]
            .map(|moment| moment.saturating_duration_since(arrived).as_secs())
    }

    #[test]
    fn request_deadlines_are_those_of_the_settings_within_the_invocation() {
        let defaults = Deadlines::default();
        assert_eq!(seconds(&defaults, None), [890, 600, 290, 260]);
        assert_eq!(seconds(&defaults, Some(900)), [890, 600, 290, 260]);
        assert_eq!(seconds(&defaults, Some(605)), [600, 600, 290, 260]);
        assert_eq!(seconds(&defaults, Some(60)), [55, 55, 55, 55]);
        assert_eq!(seconds(&defaults, Some(3)), [0, 0, 0, 0]);
    }

    #[test]
    fn a_client_has_its_first_byte_before_it_leaves() {
        let leaves = Duration::from_mins(5);
        assert!(Deadlines::default().first_byte < leaves);
    }
}
