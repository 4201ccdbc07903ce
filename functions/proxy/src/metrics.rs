//! Metrics, as CloudWatch takes them out of a log: the embedded metric format
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//! No call and no agent: a line on standard output.

use std::io::Write as _;

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
    /// Counts what a translated request lost on the way to a Bedrock model. The names are in the log
    /// only: a client can invent any number of them, and each would be a metric of its own.
    pub(crate) fn losses(self, model: &str, count: usize, now: Timestamp) {
        match self {
            Self::Off => {}
            Self::EmbeddedInLog => {
                let line = embedded(model, count, now);
                // A metric that cannot be written must not stop an answer.
                let _ = std::io::stdout().lock().write_all(line.as_bytes());
            }
        }
    }
}

fn embedded(model: &str, count: usize, now: Timestamp) -> String {
    let line = json!({
        "_aws": {
            "Timestamp": now.as_millis(),
            "CloudWatchMetrics": [{
                "Namespace": "Spillway",
                "Dimensions": [["BedrockModel"]],
                "Metrics": [{"Name": "BedrockLosses", "Unit": "Count"}],
            }],
        },
        "BedrockModel": model,
        "BedrockLosses": count,
    });
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_losses_is_one_line_in_cloudwatchs_format() {
        insta::assert_snapshot!(embedded("us.anthropic.claude-opus-4-6-v1", 3, Timestamp::from_millis(7)), @r#"{"_aws":{"Timestamp":7,"CloudWatchMetrics":[{"Namespace":"Spillway","Dimensions":[["BedrockModel"]],"Metrics":[{"Name":"BedrockLosses","Unit":"Count"}]}]},"BedrockModel":"us.anthropic.claude-opus-4-6-v1","BedrockLosses":3}"#);
    }
}
