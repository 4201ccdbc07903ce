//! Metrics, as CloudWatch takes them out of a log: the embedded metric format
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//! No call and no agent: a line on standard output.

use std::io::Write as _;

use domain::policy::FallbackClass;
use domain::time::Timestamp;
use serde_json::json;

/// Where metrics go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metrics {
    /// Nowhere.
    #[default]
    Off,
    /// Into the log, for CloudWatch.
    EmbeddedInLog,
}

impl Metrics {
    /// Counts what a translated request, and then its response, lost on the way to and from a Bedrock
    /// model. The names are in the log only: a client can invent any number of them, and each would be a
    /// metric of its own.
    pub fn losses(self, model: &str, count: usize, now: Timestamp) {
        self.count("BedrockLosses", count, ("BedrockModel", model), now);
    }

    /// Counts the parts of requests that a Bedrock model has newly been found to refuse. Requests to
    /// the model leave them out for an hour.
    pub fn refusals_cached(self, model: &str, count: usize, now: Timestamp) {
        self.count("BedrockRefusalsCached", count, ("BedrockModel", model), now);
    }

    /// Counts a breaker that has been opened, by what opened it.
    pub fn breaker_opened(self, because: FallbackClass, now: Timestamp) {
        self.count("BreakerOpened", 1, ("Reason", because.as_str()), now);
    }

    /// Counts an operation on a breaker's state that failed. Traffic flows on, as if it were closed.
    pub fn breaker_unavailable(self, operation: &str, now: Timestamp) {
        self.count("BreakerUnavailable", 1, ("Operation", operation), now);
    }

    fn count(self, metric: &str, count: usize, dimension: (&str, &str), now: Timestamp) {
        match self {
            Self::Off => {}
            Self::EmbeddedInLog => {
                let line = embedded(metric, count, dimension, now);
                // A metric that cannot be written must not stop an answer.
                let _ = std::io::stdout().lock().write_all(line.as_bytes());
            }
        }
    }
}

fn embedded(
    metric: &str,
    count: usize,
    (dimension, value): (&str, &str),
    now: Timestamp,
) -> String {
    let line = json!({
        "_aws": {
            "Timestamp": now.as_millis(),
            "CloudWatchMetrics": [{
                "Namespace": "Spillway",
                "Dimensions": [[dimension]],
                "Metrics": [{"Name": metric, "Unit": "Count"}],
            }],
        },
        dimension: value,
        metric: count,
    });
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_one_line_in_cloudwatchs_format() {
        insta::assert_snapshot!(embedded("BedrockLosses", 3, ("BedrockModel", "us.anthropic.claude-opus-4-6-v1"), Timestamp::from_millis(7)), @r#"{"_aws":{"Timestamp":7,"CloudWatchMetrics":[{"Namespace":"Spillway","Dimensions":[["BedrockModel"]],"Metrics":[{"Name":"BedrockLosses","Unit":"Count"}]}]},"BedrockModel":"us.anthropic.claude-opus-4-6-v1","BedrockLosses":3}"#);
    }
}
