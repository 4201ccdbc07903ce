//! The metrics of Spillway in CloudWatch's embedded metric format: CloudWatch extracts them from lines on
//! standard output
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).

use std::io::Write as _;

use domain::policy::FallbackClass;
use domain::time::Timestamp;
use serde_json::json;

/// The destination of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metrics {
    /// Metrics are discarded.
    #[default]
    Off,
    /// Metrics are lines of the log, for CloudWatch.
    EmbeddedInLog,
}

impl Metrics {
    /// Counts the losses of the translation to and from a Bedrock model, first of a request and then of its
    /// response. The names of the losses are in the log only: a client can make up any number of names, and each
    /// would create a metric.
    pub fn losses(self, model: &str, count: usize, now: Timestamp) {
        self.count("BedrockLosses", count, ("BedrockModel", model), now);
    }

    /// Counts the request parts that a Bedrock model was newly found to reject. Requests to the model omit them
    /// for an hour.
    pub fn refusals_cached(self, model: &str, count: usize, now: Timestamp) {
        self.count("BedrockRefusalsCached", count, ("BedrockModel", model), now);
    }

    /// Counts an opened breaker, by the reason.
    pub fn breaker_opened(self, reason: FallbackClass, now: Timestamp) {
        self.count("BreakerOpened", 1, ("Reason", reason.as_str()), now);
    }

    /// Counts a failed operation on a breaker's state. The breaker then counts as closed.
    pub fn breaker_unavailable(self, operation: &str, now: Timestamp) {
        self.count("BreakerUnavailable", 1, ("Operation", operation), now);
    }

    fn count(self, metric: &str, count: usize, dimension: (&str, &str), now: Timestamp) {
        match self {
            Self::Off => {}
            Self::EmbeddedInLog => {
                let line = embedded_metric(metric, count, dimension, now);
                // A failed write of a metric must not fail the response.
                let _ = std::io::stdout().lock().write_all(line.as_bytes());
            }
        }
    }
}

/// One line of the embedded metric format, with its line feed.
fn embedded_metric(
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
    fn count_is_one_line_of_the_embedded_metric_format() {
        insta::assert_snapshot!(embedded_metric("BedrockLosses", 3, ("BedrockModel", "us.anthropic.claude-opus-4-6-v1"), Timestamp::from_millis(7)), @r#"{"_aws":{"Timestamp":7,"CloudWatchMetrics":[{"Namespace":"Spillway","Dimensions":[["BedrockModel"]],"Metrics":[{"Name":"BedrockLosses","Unit":"Count"}]}]},"BedrockModel":"us.anthropic.claude-opus-4-6-v1","BedrockLosses":3}"#);
    }
}
