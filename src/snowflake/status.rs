use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::rows::OffsetToken;

/// The status of a channel at one moment, as the service reports it.
///
/// ```no_run
/// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
/// for (name, status) in pipe.statuses(&["load-1", "load-2"])? {
///     println!("{name}: {:?}, {} rows rejected", status.committed_offset(), status.rows_rejected());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ChannelStatus {
    channel_name: Option<String>,
    #[serde(deserialize_with = "text")]
    channel_status_code: Option<String>,
    #[serde(alias = "last_commited_offset_token")]
    last_committed_offset_token: Option<String>,
    #[serde(deserialize_with = "count")]
    rows_inserted: u64,
    #[serde(deserialize_with = "count")]
    rows_parsed: u64,
    #[serde(alias = "rows_errors", alias = "row_error_count", deserialize_with = "count")]
    rows_error_count: u64,
    last_error_offset_upper_bound: Option<String>,
    last_error_message: Option<String>,
    #[serde(deserialize_with = "count")]
    snowflake_avg_processing_latency_ms: u64,
}

impl ChannelStatus {
    /// The offset token up to which all rows are committed; `None` for a channel that has committed nothing.
    pub fn committed_offset(&self) -> Option<OffsetToken> {
        self.last_committed_offset_token.as_deref().map(OffsetToken::from)
    }

    /// The service's code: `SUCCESS` when the channel is usable.
    pub fn code(&self) -> &str {
        self.channel_status_code.as_deref().unwrap_or("SUCCESS")
    }

    /// Whether the channel accepts rows; otherwise it must be reopened after the cause is fixed.
    pub fn is_usable(&self) -> bool {
        // The documentation has ACTIVE in an example, the live service sends SUCCESS, and an early version sent 0.
        matches!(self.code(), "SUCCESS" | "ACTIVE" | "0")
    }

    /// Rows stored since the channel was created.
    pub fn rows_inserted(&self) -> u64 {
        self.rows_inserted
    }

    /// Rows read since the channel was created, except those that the pipe's own filter dropped.
    pub fn rows_parsed(&self) -> u64 {
        self.rows_parsed
    }

    /// Rows that could not be stored since the channel was created; reopening does not reset the count.
    pub fn rows_rejected(&self) -> u64 {
        self.rows_error_count
    }

    /// Why a row was last rejected. The service leaves out the values.
    pub fn last_error_message(&self) -> Option<&str> {
        self.last_error_message.as_deref()
    }

    /// An offset token at or after the row that was last rejected.
    pub fn last_error_offset(&self) -> Option<OffsetToken> {
        self.last_error_offset_upper_bound.as_deref().map(OffsetToken::from)
    }

    /// How long the service took on average from receiving a row to committing it.
    pub fn average_latency(&self) -> Duration {
        Duration::from_millis(self.snowflake_avg_processing_latency_ms)
    }

    /// In the service's spelling.
    pub(crate) fn channel_name(&self) -> Option<&str> {
        self.channel_name.as_deref()
    }
}

/// A number, a number in a string, or 0 for anything else.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default())
}

/// A string, or a number as one.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: &str) -> ChannelStatus {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_spelling_of_the_error_count_is_read() {
        for name in ["rows_error_count", "rows_errors", "row_error_count"] {
            assert_eq!(status(&format!("{{\"{name}\":3}}")).rows_rejected(), 3, "{name}");
        }
        assert_eq!(status(r#"{"rows_error_count":"3"}"#).rows_rejected(), 3);
        assert_eq!(status(r#"{"rows_error_count":null}"#).rows_rejected(), 0);
    }

    #[test]
    fn only_a_healthy_code_is_usable() {
        for code in [r#""SUCCESS""#, r#""ACTIVE""#, "0", "null"] {
            assert!(status(&format!("{{\"channel_status_code\":{code}}}")).is_usable(), "{code}");
        }
        for code in [r#""ERR_CHANNEL_MUST_BE_REOPENED""#, r#""""#, "7"] {
            assert!(!status(&format!("{{\"channel_status_code\":{code}}}")).is_usable(), "{code}");
        }
    }

    #[test]
    fn unknown_and_missing_fields_do_no_harm() {
        let status = status(r#"{"last_error_timestamp":"2026-01-01T00:00:00Z","created_on_ms":1,"new":{}}"#);
        assert_eq!(status.committed_offset(), None);
        assert!(status.is_usable());
    }
}
