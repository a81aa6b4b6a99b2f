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

/// Each text has one form only. The first two cost no allocation: a source makes one for every row.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Text {
    Decimal(u64),
    Row(RowOffset),
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

impl OffsetToken {
    /// The text as it travels.
    pub fn as_str(&self) -> Cow<'_, str> {
        match &self.text {
            Text::Decimal(number) => Cow::Owned(number.to_string()),
            Text::Row(row) => Cow::Owned(row.to_string()),
            Text::Other(text) => Cow::Borrowed(text),
        }
    }

    /// The number whose plain decimal form this is.
    pub fn as_u64(&self) -> Option<u64> {
        match self.text {
            Text::Decimal(number) => Some(number),
            Text::Row(_) | Text::Other(_) => None,
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
            Text::Decimal(_) | Text::Row(_) => 0,
        }
    }

    pub(crate) fn as_row(&self) -> Option<RowOffset> {
        match self.text {
            Text::Row(row) => Some(row),
            Text::Decimal(_) | Text::Other(_) => None,
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

impl From<&str> for OffsetToken {
    fn from(text: &str) -> OffsetToken {
        if let Some(number) = decimal(text) {
            return number.into();
        }
        match RowOffset::parse(text) {
            Some(row) => row.into(),
            None => OffsetToken { text: Text::Other(text.into()) },
        }
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
    /// The offset of the row after this one.
    pub(crate) fn next(self, row: &[u8]) -> RowOffset {
        RowOffset { position: self.position + 1, fingerprint: self.fingerprint.with_row(row) }
    }

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
}
