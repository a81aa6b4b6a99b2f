use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::rows::OffsetToken;
use crate::secret::Redaction;

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
#[derive(Clone, Debug, Default)]
pub struct ChannelStatus {
    channel_name: Option<String>,
    code: Option<String>,
    committed_offset: Option<OffsetToken>,
    names_committed_offset: bool,
    created_on_ms: Option<u64>,
    rows_inserted: u64,
    rows_parsed: u64,
    rows_rejected: u64,
    last_error_offset: Option<OffsetToken>,
    last_error_message: Option<String>,
    average_latency: Duration,
}

impl ChannelStatus {
    /// The offset token up to which all rows are committed; `None` for a channel that has committed nothing.
    pub fn committed_offset(&self) -> Option<OffsetToken> {
        self.committed_offset.clone()
    }

    /// The service's code: `SUCCESS` when the channel is usable.
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or("SUCCESS")
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
        self.rows_rejected
    }

    /// Why a row was last rejected. The service leaves out the values.
    pub fn last_error_message(&self) -> Option<&str> {
        self.last_error_message.as_deref()
    }

    /// An offset token at or after the row that was last rejected.
    pub fn last_error_offset(&self) -> Option<OffsetToken> {
        self.last_error_offset.clone()
    }

    /// How long the service took on average from receiving a row to committing it.
    pub fn average_latency(&self) -> Duration {
        self.average_latency
    }

    /// In the service's spelling.
    pub(crate) fn channel_name(&self) -> Option<&str> {
        self.channel_name.as_deref()
    }

    /// When the channel was created, in milliseconds: differs if it was deleted and created again.
    pub(crate) fn created_on_ms(&self) -> Option<u64> {
        self.created_on_ms
    }

    /// Whether the service said how far it has committed, and be it that nothing is.
    pub(crate) fn names_committed_offset(&self) -> bool {
        self.names_committed_offset
    }

    /// Rows stored or read since the channel was created.
    pub(crate) fn rows_received(&self) -> u64 {
        self.rows_inserted.max(self.rows_parsed)
    }

    /// Without what the service repeats of the secrets that were sent with the question. An offset that does cannot be used.
    pub(crate) fn without(mut self, secrets: &Redaction) -> Result<ChannelStatus, Error> {
        let repeats = |offset: &OffsetToken| secrets.is_repeated_in(&offset.as_str());
        if self.committed_offset.as_ref().is_some_and(repeats) {
            return Err(Error::new(
                ErrorKind::Protocol,
                "the committed offset in the response is what was sent as a token",
            )
            .advise("look for a proxy or a gateway that responds in place of the service"));
        }
        let shown = |text: &mut String| *text = secrets.redact(text).into_owned();
        if !self.is_usable() {
            self.code.as_mut().map(shown);
        }
        self.last_error_message.as_mut().map(shown);
        self.last_error_offset = self.last_error_offset.filter(|offset| !repeats(offset));
        self.channel_name = self.channel_name.filter(|name| !secrets.is_repeated_in(name));
        Ok(self)
    }

    /// Whether rows came in that no offset token accounts for: those of a client that sends none.
    pub(crate) fn has_rows_without_offset(&self) -> bool {
        self.committed_offset.is_none() && self.rows_received() > 0
    }
}

/// Reads what it needs and ignores what it does not know. Only an offset token of an unknown form is an error: taken for none,
/// it would cause rows to be sent again.
impl<'de> Deserialize<'de> for ChannelStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ChannelStatus, D::Error> {
        let fields = Map::deserialize(deserializer)?;
        let text_of = |name: &str| fields.get(name).and_then(text);
        let offsets = COMMITTED_OFFSET.map(|name| fields.get(name));
        let offset = offsets.into_iter().flatten().find(|offset| !offset.is_null());
        Ok(ChannelStatus {
            channel_name: fields
                .get("channel_name")
                .and_then(Value::as_str)
                .filter(|name| !name.is_empty())
                .map(String::from),
            code: fields.get("channel_status_code").and_then(code),
            committed_offset: offset.map(offset_token::<D>).transpose()?,
            names_committed_offset: offsets.iter().any(Option::is_some),
            // A time before 1970 is none, and neither is zero.
            created_on_ms: Some(largest(&fields, &["created_on_ms"])).filter(|created| *created > 0),
            rows_inserted: largest(&fields, &["rows_inserted"]),
            rows_parsed: largest(&fields, &["rows_parsed"]),
            rows_rejected: largest(&fields, &ROWS_REJECTED),
            last_error_offset: text_of("last_error_offset_upper_bound").map(OffsetToken::from),
            last_error_message: text_of("last_error_message"),
            average_latency: Duration::from_millis(largest(&fields, &["snowflake_avg_processing_latency_ms"])),
        })
    }
}

/// Anything that is no text, number or null is not a code of ours, and so no usable channel.
fn code(value: &Value) -> Option<String> {
    if value.is_null() { None } else { text(value).or_else(|| Some(value.to_string())) }
}

/// A text, or a whole number as one: of any other number the exact text is not known.
fn offset_token<'de, D: Deserializer<'de>>(value: &Value) -> Result<OffsetToken, D::Error> {
    match value {
        Value::String(token) => Ok(token.as_str().into()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string().into()),
        _ => Err(D::Error::custom("the committed offset token is neither a text nor a whole number")),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The largest count under these names; 0 if none is one.
fn largest(fields: &Map<String, Value>, names: &[&str]) -> u64 {
    names.iter().filter_map(|name| count(fields.get(*name)?)).max().unwrap_or_default()
}

/// A number or a number in a text, without its fraction.
fn count(value: &Value) -> Option<u64> {
    let text = text(value)?;
    // The cast keeps to the range of u64, so a negative number counts as 0.
    text.parse().ok().or_else(|| text.parse::<f64>().ok().map(|number| number as u64))
}

/// The documentation spells it in both ways.
const COMMITTED_OFFSET: [&str; 2] = ["last_committed_offset_token", "last_commited_offset_token"];

/// Open and status responses and the documentation each have a name of their own for it.
const ROWS_REJECTED: [&str; 3] = ["rows_error_count", "rows_errors", "row_error_count"];

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
        assert_eq!(status(r#"{"rows_errors":2,"rows_error_count":3,"row_error_count":0}"#).rows_rejected(), 3);
    }

    #[test]
    fn a_count_of_an_unknown_form_is_no_count() {
        for (count, read) in [("-3", 0), ("2.5", 2), ("\"2.0\"", 2), ("{}", 0), ("\"many\"", 0), ("1e30", u64::MAX)] {
            assert_eq!(status(&format!("{{\"rows_inserted\":{count}}}")).rows_inserted(), read, "{count}");
        }
    }

    #[test]
    fn the_offset_token_is_a_text_or_a_number_in_either_spelling() {
        for (json, read) in [
            (r#"{"last_committed_offset_token":"7"}"#, Some("7")),
            (r#"{"last_committed_offset_token":7}"#, Some("7")),
            (r#"{"last_commited_offset_token":"a"}"#, Some("a")),
            (r#"{"last_committed_offset_token":"7","last_commited_offset_token":"7"}"#, Some("7")),
            (r#"{"last_committed_offset_token":null,"last_commited_offset_token":"7"}"#, Some("7")),
            (r#"{"last_committed_offset_token":null}"#, None),
        ] {
            let status = status(json);
            assert_eq!(status.committed_offset(), read.map(OffsetToken::from), "{json}");
            assert!(status.names_committed_offset(), "{json}");
        }
        assert!(!status("{}").names_committed_offset());
        for token in ["{}", "[7]", "true", "7.5", "18446744073709551616"] {
            let json = format!("{{\"last_committed_offset_token\":{token}}}");
            assert!(serde_json::from_str::<ChannelStatus>(&json).is_err(), "{token}");
        }
    }

    #[test]
    fn only_a_healthy_code_is_usable() {
        for code in [r#""SUCCESS""#, r#""ACTIVE""#, "0", "null"] {
            assert!(status(&format!("{{\"channel_status_code\":{code}}}")).is_usable(), "{code}");
        }
        for code in [r#""ERR_CHANNEL_MUST_BE_REOPENED""#, r#""""#, "7", r#"{"code":"SUCCESS"}"#, "[]", "false"] {
            assert!(!status(&format!("{{\"channel_status_code\":{code}}}")).is_usable(), "{code}");
        }
    }

    #[test]
    fn unknown_and_missing_fields_do_no_harm() {
        let status = status(
            r#"{"last_error_timestamp":"2026-01-01T00:00:00Z","new":{},"channel_name":7,"created_on_ms":"1",
                "last_error_message":{"text":"m"},"last_error_offset_upper_bound":3}"#,
        );
        assert_eq!((status.committed_offset(), status.last_error_message()), (None, None));
        assert_eq!((status.last_error_offset(), status.created_on_ms()), (Some(3.into()), Some(1)));
        assert!(status.is_usable() && status.channel_name().is_none());
    }

    #[test]
    fn what_repeats_a_token_is_neither_shown_nor_taken_for_an_offset_or_a_name() {
        let secrets = Redaction::of([&"aCcEsS-tOkEn/0123456789".into()]);
        let of = |json: &str| status(json).without(&secrets);
        let echo =
            of(r#"{"channel_status_code":"ERR aCcEsS-tOkEn/0123456789","channel_name":"aCcEsS-tOkEn/0123456789",
                          "last_error_message":"you sent aCcEsS-tOkEn%2F0123456789",
                          "last_error_offset_upper_bound":"aCcEsS-tOkEn/0123456789"}"#);
        let echo = echo.unwrap();
        assert_eq!((echo.code(), echo.last_error_message()), ("ERR [redacted]", Some("you sent [redacted]")));
        assert_eq!((echo.channel_name(), echo.last_error_offset()), (None, None));
        let error = of(r#"{"last_committed_offset_token":"aCcEsS-tOkEn/0123456789"}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(!format!("{error:?}").contains("tOkEn"), "{error:?}");
        let own = of(r#"{"last_committed_offset_token":"10-0123456789","channel_name":"C"}"#).unwrap();
        assert_eq!((own.committed_offset(), own.channel_name()), (Some("10-0123456789".into()), Some("C")));
    }

    #[test]
    fn rows_without_an_offset_are_those_of_a_client_that_sends_none() {
        assert!(status(r#"{"rows_parsed":1}"#).has_rows_without_offset());
        assert!(status(r#"{"rows_inserted":1,"last_committed_offset_token":null}"#).has_rows_without_offset());
        assert!(!status(r#"{"rows_inserted":1,"last_committed_offset_token":"1"}"#).has_rows_without_offset());
        assert!(!status("{}").has_rows_without_offset());
    }
}
