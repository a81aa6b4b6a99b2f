use std::borrow::Cow;
use std::fmt;

use super::fingerprint::Fingerprint;

/// The position of a row in its source, in the caller's own terms: the service stores it and reports it back.
///
/// Any text will do, a number is written in decimal. Two tokens are equal when their texts are; the library never
/// assumes an order between tokens, only the order in which a channel sent them. Tokens of one channel should differ
/// from each other.
///
/// ```
/// use snowpipe_streaming::OffsetToken;
///
/// assert_eq!(OffsetToken::from(4711), OffsetToken::from("4711"));
/// assert_eq!(OffsetToken::from("partition-3:99").to_string(), "partition-3:99");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OffsetToken {
    text: Text,
}

/// Each text has one form only. The first three cost no allocation: there may be one for every row.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Text {
    Decimal(u64),
    Row(RowOffset),
    Pool(PoolOffset),
    Other(Box<str>),
}

/// The offset that a loader gives a row: `10000-9ae16a3b`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RowOffset {
    /// The row's place in its source, from 1; 0 before the first.
    pub(crate) position: u64,
    /// Of all rows of the channel up to this one.
    pub(crate) fingerprint: Fingerprint,
}

/// The offset that a writer pool gives a row: `pool-9f0c1d2e3a4b5c6d-17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolOffset {
    /// New in each run of a pool.
    pub(crate) pool: u64,
    /// The row's place among those of its channel in this run, from 1.
    pub(crate) number: u64,
}

/// Tokens that count up with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenSeries {
    Numbers,
    Source,
    Pool(u64),
}

impl OffsetToken {
    /// The text as it travels.
    pub fn as_str(&self) -> Cow<'_, str> {
        match &self.text {
            Text::Decimal(number) => Cow::Owned(number.to_string()),
            Text::Row(row) => Cow::Owned(row.to_string()),
            Text::Pool(offset) => Cow::Owned(offset.to_string()),
            Text::Other(text) => Cow::Borrowed(text),
        }
    }

    /// The number whose plain decimal form this is.
    pub fn as_u64(&self) -> Option<u64> {
        match self.text {
            Text::Decimal(number) => Some(number),
            Text::Row(_) | Text::Pool(_) | Text::Other(_) => None,
        }
    }

    /// The position of the row, of a token that a [`Loader`](crate::Loader) made: its line number, or its place in a
    /// sequence, from 1.
    pub fn position(&self) -> Option<u64> {
        self.as_row().map(|row| row.position)
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.text, Text::Other(text) if text.is_empty())
    }

    /// What its text takes on the heap.
    pub(super) fn memory(&self) -> usize {
        match &self.text {
            Text::Other(text) => text.len(),
            Text::Decimal(_) | Text::Row(_) | Text::Pool(_) => 0,
        }
    }

    /// Whether a writer pool made it.
    pub(crate) fn is_of_pool(&self) -> bool {
        matches!(self.text, Text::Pool(_))
    }

    /// Its number, and with which tokens it counts up.
    pub(super) fn counted(&self) -> Option<(TokenSeries, u64)> {
        match self.text {
            Text::Decimal(number) => Some((TokenSeries::Numbers, number)),
            Text::Row(row) => Some((TokenSeries::Source, row.position)),
            Text::Pool(offset) => Some((TokenSeries::Pool(offset.pool), offset.number)),
            Text::Other(_) => None,
        }
    }

    pub(crate) fn as_row(&self) -> Option<RowOffset> {
        match self.text {
            Text::Row(row) => Some(row),
            Text::Decimal(_) | Text::Pool(_) | Text::Other(_) => None,
        }
    }
}

impl From<u64> for OffsetToken {
    fn from(number: u64) -> OffsetToken {
        OffsetToken { text: Text::Decimal(number) }
    }
}

impl From<RowOffset> for OffsetToken {
    fn from(row: RowOffset) -> OffsetToken {
        OffsetToken { text: Text::Row(row) }
    }
}

impl From<PoolOffset> for OffsetToken {
    fn from(offset: PoolOffset) -> OffsetToken {
        OffsetToken { text: Text::Pool(offset) }
    }
}

impl From<&str> for OffsetToken {
    fn from(text: &str) -> OffsetToken {
        let number = || decimal(text).map(OffsetToken::from);
        let row = || RowOffset::parse(text).map(OffsetToken::from);
        let of_pool = || PoolOffset::parse(text).map(OffsetToken::from);
        number().or_else(row).or_else(of_pool).unwrap_or_else(|| OffsetToken { text: Text::Other(text.into()) })
    }
}

impl From<String> for OffsetToken {
    fn from(text: String) -> OffsetToken {
        text.as_str().into()
    }
}

impl From<&OffsetToken> for OffsetToken {
    fn from(token: &OffsetToken) -> OffsetToken {
        token.clone()
    }
}

impl fmt::Display for OffsetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str())
    }
}

impl fmt::Debug for OffsetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl RowOffset {
    fn parse(text: &str) -> Option<RowOffset> {
        let (position, fingerprint) = text.split_once('-')?;
        let position = decimal(position).filter(|position| *position > 0)?;
        Some(RowOffset { position, fingerprint: Fingerprint::parse(fingerprint)? })
    }
}

impl fmt::Display for RowOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.position, self.fingerprint)
    }
}

impl PoolOffset {
    fn parse(text: &str) -> Option<PoolOffset> {
        let (pool, number) = text.strip_prefix("pool-")?.split_once('-')?;
        let is_hex = pool.len() == 16 && pool.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let pool = u64::from_str_radix(pool, 16).ok().filter(|_| is_hex)?;
        Some(PoolOffset { pool, number: decimal(number).filter(|number| *number > 0)? })
    }
}

impl fmt::Display for PoolOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool-{:016x}-{}", self.pool, self.number)
    }
}

/// A number in its plain form. "007" and "+7" are texts of their own: sent as 7 they would not be recognised again.
fn decimal(text: &str) -> Option<u64> {
    let is_plain = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    if is_plain { text.parse().ok() } else { None }
}

/// For messages: "none" where there is no offset.
pub(crate) fn offset_or_none(offset: Option<&OffsetToken>) -> String {
    offset.map_or_else(|| "none".to_string(), OffsetToken::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_decimals_are_numbers() {
        for text in ["0", "1", "4711", "18446744073709551615"] {
            assert_eq!(OffsetToken::from(text).as_u64().map(|n| n.to_string()).as_deref(), Some(text));
        }
        for text in ["", "00", "007", "+7", "-7", " 7", "7 ", "1e3", "18446744073709551616", "a", "٣"] {
            assert_eq!(OffsetToken::from(text).as_u64(), None, "{text:?}");
            assert_eq!(OffsetToken::from(text).to_string(), text);
        }
    }

    #[test]
    fn a_position_and_a_fingerprint_are_a_row() {
        for text in ["1-00000000", "10000-9ae16a3b", "18446744073709551615-ffffffff"] {
            let token = OffsetToken::from(text);
            assert_eq!(token.position().map(|position| position.to_string()).as_deref(), text.split('-').next());
            assert_eq!((token.as_u64(), token.to_string().as_str()), (None, text));
        }
        for text in ["0-00000000", "01-00000000", "1-0000000", "1-0000000A", "1-000000000", "-1-00000000", "1-", "a-b"]
        {
            let token = OffsetToken::from(text);
            assert_eq!((token.position(), token.to_string().as_str()), (None, text));
        }
    }
    #[test]
    fn an_id_and_a_number_are_a_row_of_a_pool() {
        for text in ["pool-0000000000000000-1", "pool-9f0c1d2e3a4b5c6d-18446744073709551615"] {
            let token = OffsetToken::from(text);
            assert_eq!(
                (token.is_of_pool(), token.as_u64(), token.position(), token.to_string().as_str()),
                (true, None, None, text)
            );
        }
        for text in [
            "pool-9f0c1d2e3a4b5c6d-0",
            "pool-9f0c1d2e3a4b5c6d-01",
            "pool-9f0c1d2e3a4b5c6d-",
            "pool-9F0C1D2E3A4B5C6D-1",
            "pool-+f0c1d2e3a4b5c6d-1",
            "pool-9f0c1d2e-1",
            "9f0c1d2e3a4b5c6d-1",
        ] {
            let token = OffsetToken::from(text);
            assert_eq!((token.is_of_pool(), token.to_string().as_str()), (false, text));
        }
    }
}
