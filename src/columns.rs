//! What to put into a column of which type, and help where a plain field would be stored wrongly.
//!
//! A row is a JSON object whose names are columns. Upper-case names are safe for columns that were created without quotes.
//! A column that is left out gets its default; null is SQL `NULL`, except inside a VARIANT, OBJECT or ARRAY, where it stays
//! a JSON null. Rows are UTF-8.
//!
//! | column | send | from a plain field | help |
//! |---|---|---|---|
//! | VARCHAR | a string; numbers and booleans are cast | `String`, `&str` | |
//! | NUMBER | an integer, written out in full, or a string | every integer type, `u64` and `i128` included; a decimal type that writes strings. Not `f64`, which holds 53 bits | [`text`] |
//! | FLOAT | a number or a string | `f64`, `f32`; NaN and the infinities are refused | [`finite_or_null`] |
//! | BOOLEAN | true or false | `bool` | |
//! | DATE | `YYYY-MM-DD` | a date type that writes ISO 8601 | [`text`] |
//! | TIME | `HH:MM:SS[.fff]`, **without an offset**: the service drops rows whose time has one | a time type that writes ISO 8601 | [`text`] |
//! | TIMESTAMP_NTZ, _LTZ, _TZ | `YYYY-MM-DDTHH:MM:SS[.fffffffff]` and `Z` or an offset; without one UTC is meant; years 1 to 9999. Not a number: its unit would be guessed from its size | a time type that writes ISO 8601. Not `SystemTime`, which writes an object | [`timestamp`], [`Timestamp`] |
//! | BINARY | base64 on a default pipe; on a pipe of your own what the account's `BINARY_INPUT_FORMAT` says | not `Vec<u8>` or `[u8]`, which write an array of numbers | [`binary`], [`Binary`] |
//! | VARIANT, OBJECT, ARRAY | nested JSON; a string that holds JSON is stored as that string | a struct, map or sequence, `serde_json::Value` | [`json`] |
//! | GEOGRAPHY, GEOMETRY | the documentation does not say in which form | | |
//!
//! Integers have no limit in JSON: serde_json writes all their digits and this library never reads them back, so none is
//! rounded on the way. Whoever wants a proxy or a log between here and there to keep them exact too sends strings.
//!
//! The functions are for `#[serde(serialize_with = "…")]`, the types for fields that are optional or nested and for
//! `serde_json::json!`.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//!
//! use serde::Serialize;
//! use snowpipe_streaming::Batch;
//! use snowpipe_streaming::columns::{self, Timestamp};
//!
//! #[derive(Serialize)]
//! #[serde(rename_all = "UPPERCASE")]
//! struct Reading {
//!     id: u64,
//!     #[serde(serialize_with = "columns::timestamp")]
//!     taken: SystemTime,
//!     checked: Option<Timestamp>,
//!     #[serde(serialize_with = "columns::binary")]
//!     digest: [u8; 4],
//! }
//!
//! let taken = SystemTime::UNIX_EPOCH + Duration::from_millis(1_357_034_400_500);
//! let row = Reading { id: u64::MAX, taken, checked: Some(Timestamp(taken)), digest: [0xfb, 0xff, 0, 1] };
//! assert_eq!(
//!     serde_json::to_string(&row)?,
//!     r#"{"ID":18446744073709551615,"TAKEN":"2013-01-01T10:00:00.500000000Z","CHECKED":"2013-01-01T10:00:00.500000000Z","DIGEST":"+/8AAQ=="}"#
//! );
//! Batch::new().push(&row)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sources: Snowflake's pages on [supported types], [pipes] (base64 on default pipes; the page on types still says
//! hexadecimal) and [best practices] (nested JSON); its Kafka connector for the years, for times with an offset and for how
//! the unit of a number is guessed.
//!
//! [supported types]: https://docs.snowflake.com/en/user-guide/snowpipe-streaming/snowpipe-streaming-table-support
//! [pipes]: https://docs.snowflake.com/en/user-guide/snowpipe-streaming/snowpipe-streaming-pipe-object
//! [best practices]: https://docs.snowflake.com/en/user-guide/snowpipe-streaming/snowpipe-streaming-high-performance-best-practices

use std::fmt::{self, Display};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde::ser::{Error, Serializer};
use serde_json::value::RawValue;

/// Bytes for a BINARY column of a default pipe: base64, standard alphabet, padded.
///
/// ```
/// use snowpipe_streaming::columns::Binary;
///
/// assert_eq!(serde_json::json!({ "DIGEST": Binary([1, 2]) }).to_string(), r#"{"DIGEST":"AQI="}"#);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Binary<B>(pub B);

impl<B: AsRef<[u8]>> Serialize for Binary<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        binary(&self.0, serializer)
    }
}

/// A moment for a TIMESTAMP column: ISO 8601 in UTC, to the nanosecond.
///
/// Serialising fails outside the years 1 to 9999, which are all that the column takes.
///
/// ```
/// use std::time::SystemTime;
/// use snowpipe_streaming::columns::Timestamp;
///
/// let row = serde_json::json!({ "AT": Timestamp(SystemTime::UNIX_EPOCH) });
/// assert_eq!(row.to_string(), r#"{"AT":"1970-01-01T00:00:00.000000000Z"}"#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub SystemTime);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        timestamp(&self.0, serializer)
    }
}

/// Writes bytes as [`Binary`] does.
///
/// # Errors
///
/// Only those of the serializer.
pub fn binary<B: AsRef<[u8]> + ?Sized, S: Serializer>(bytes: &B, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(bytes.as_ref(), &BASE64_STANDARD))
}

/// Writes a moment as [`Timestamp`] does.
///
/// # Errors
///
/// Outside the years 1 to 9999.
pub fn timestamp<S: Serializer>(moment: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let (seconds, nanoseconds) = since_epoch(moment);
    if !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
        return Err(S::Error::custom("the moment lies outside the years 1 to 9999, which are all that a column takes"));
    }
    serializer.collect_str(&Iso { seconds, nanoseconds })
}

/// Writes a value as the text that it displays: a decimal number without loss, a date, a time of day.
///
/// ```
/// #[derive(serde::Serialize)]
/// struct Row {
///     #[serde(serialize_with = "snowpipe_streaming::columns::text")]
///     amount: u128,
/// }
///
/// let row = Row { amount: u128::MAX };
/// assert_eq!(serde_json::to_string(&row)?, r#"{"amount":"340282366920938463463374607431768211455"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
///
/// Only those of the serializer.
pub fn text<T: Display + ?Sized, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Writes a float, and null instead of NaN and the infinities, where losing them is meant.
///
/// ```
/// #[derive(serde::Serialize)]
/// struct Row {
///     #[serde(serialize_with = "snowpipe_streaming::columns::finite_or_null")]
///     level: f64,
/// }
///
/// assert_eq!(serde_json::to_string(&Row { level: f64::NAN })?, r#"{"level":null}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
///
/// Only those of the serializer.
pub fn finite_or_null<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() { serializer.serialize_f64(*value) } else { serializer.serialize_none() }
}

/// Writes a text that is JSON as the value it stands for, byte for byte, for a VARIANT, OBJECT or ARRAY.
///
/// Only for serde_json, which [`Batch::push`](crate::Batch::push) uses.
///
/// ```
/// #[derive(serde::Serialize)]
/// struct Row {
///     #[serde(serialize_with = "snowpipe_streaming::columns::json")]
///     details: String,
/// }
///
/// let row = Row { details: r#"{"price": 1.10}"#.into() };
/// assert_eq!(serde_json::to_string(&row)?, r#"{"details":{"price": 1.10}}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
///
/// When the text is not one JSON value.
pub fn json<T: AsRef<str> + ?Sized, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let value: &RawValue = serde_json::from_str(value.as_ref())
        .map_err(|error| S::Error::custom(format_args!("the text is not JSON: {error}")))?;
    value.serialize(serializer)
}

/// A moment as it is written; leap seconds do not exist in `SystemTime`.
struct Iso {
    seconds: i64,
    nanoseconds: u32,
}

impl Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.seconds.div_euclid(DAY));
        let second = self.seconds.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", self.nanoseconds)
    }
}

/// Whole seconds since 1970, rounded down, and the rest. Beyond what 64 bits hold, some moment far beyond all years.
fn since_epoch(moment: &SystemTime) -> (i64, u32) {
    match moment.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanoseconds => (seconds.saturating_sub(1), 1_000_000_000 - nanoseconds),
            }
        }
    }
}

/// Year, month and day of the Gregorian calendar, from days since 1970: Howard Hinnant's `civil_from_days`.
///
/// Years begin in March there, so that the leap day is the last one, and come in eras of 400, which are equally long.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

const DAY: i64 = 86_400;

/// 0001-01-01T00:00:00Z.
const FIRST_SECOND: i64 = -62_135_596_800;

/// 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn at(seconds: i64, nanoseconds: u32) -> Result<String, String> {
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let moment = if seconds < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
        let value = serde_json::to_value(Timestamp(moment + Duration::new(0, nanoseconds)));
        value.map(|value| value.as_str().unwrap().to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_moment_is_written_in_utc_to_the_nanosecond() {
        for (seconds, nanoseconds, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (0, 1, "1970-01-01T00:00:00.000000001Z"),
            (951_782_399, 999_999_999, "2000-02-28T23:59:59.999999999Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000000000Z"),
            (951_868_800, 0, "2000-03-01T00:00:00.000000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z"),
            (1_357_034_400, 120_000_000, "2013-01-01T10:00:00.120000000Z"),
        ] {
            assert_eq!(at(seconds, nanoseconds).unwrap(), expected);
        }
    }

    #[test]
    fn a_moment_before_the_epoch_counts_forward_too() {
        assert_eq!(at(-1, 0).unwrap(), "1969-12-31T23:59:59.000000000Z");
        assert_eq!(at(-1, 250_000_000).unwrap(), "1969-12-31T23:59:59.250000000Z");
        assert_eq!(at(-2_203_891_200, 0).unwrap(), "1900-03-01T00:00:00.000000000Z");
        assert_eq!(at(-11_644_473_600, 100).unwrap(), "1601-01-01T00:00:00.000000100Z");
    }

    #[test]
    fn only_the_years_that_a_column_takes_are_written() {
        assert_eq!(at(FIRST_SECOND, 0).unwrap(), "0001-01-01T00:00:00.000000000Z");
        assert_eq!(at(LAST_SECOND, 999_999_999).unwrap(), "9999-12-31T23:59:59.999999999Z");
        for seconds in [FIRST_SECOND - 1, LAST_SECOND + 1] {
            assert!(at(seconds, 0).unwrap_err().contains("years 1 to 9999"), "{seconds}");
        }
        assert!(at(FIRST_SECOND - 1, 999_999_999).is_err());
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let length = |year: i64, month: i64| match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut expected = (1, 1, 1);
        for days in FIRST_SECOND / DAY..=LAST_SECOND / DAY {
            assert_eq!(date(days), expected);
            let (year, month, day) = expected;
            expected = match (month, day == length(year, month)) {
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
                (_, false) => (year, month, day + 1),
            };
        }
        assert_eq!(expected, (10_000, 1, 1));
    }

    #[test]
    fn bytes_become_padded_base64_of_the_standard_alphabet() {
        for (bytes, expected) in
            [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"\xfb\xff\xbf", "+/+/")]
        {
            assert_eq!(serde_json::to_value(Binary(bytes)).unwrap(), json!(expected));
        }
    }

    #[test]
    fn integers_beyond_the_precision_of_a_float_keep_every_digit() {
        let row = [i128::from(u64::MAX), i128::from(i64::MIN), (1 << 53) + 1, i128::MAX];
        let expected = "[18446744073709551615,-9223372036854775808,9007199254740993,\
                        170141183460469231731687303715884105727]";
        assert_eq!(serde_json::to_string(&row).unwrap(), expected);
    }

    #[test]
    fn a_text_becomes_nested_json_only_if_it_is_json() {
        #[derive(Serialize)]
        struct Row(#[serde(serialize_with = "json")] &'static str);
        assert_eq!(serde_json::to_string(&Row(" {\"a\": 1.10} ")).unwrap(), "{\"a\": 1.10}");
        for text in ["", "{", "{} {}", "NaN", "plain"] {
            assert!(serde_json::to_string(&Row(text)).unwrap_err().to_string().contains("not JSON"), "{text:?}");
        }
    }

    #[test]
    fn a_float_that_is_not_finite_becomes_null_where_asked_for() {
        #[derive(Serialize)]
        struct Row {
            #[serde(serialize_with = "finite_or_null")]
            level: f64,
        }
        let mut batch = crate::rows::Batch::new();
        for level in [0.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            batch.push(&Row { level }).unwrap();
        }
        let expected = "{\"level\":0.5}\n{\"level\":null}\n{\"level\":null}\n{\"level\":null}\n";
        assert_eq!(batch.piece().text(), expected.as_bytes());
    }
}
