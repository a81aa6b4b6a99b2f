use std::borrow::Cow;
use std::fmt;

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

/// A number whose decimal form is the text costs no allocation: the loader makes one for every row.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Text {
    Decimal(u64),
    Other(Box<str>),
}

impl OffsetToken {
    /// The text as it travels.
    pub fn as_str(&self) -> Cow<'_, str> {
        match &self.text {
            Text::Decimal(number) => Cow::Owned(number.to_string()),
            Text::Other(text) => Cow::Borrowed(text),
        }
    }

    /// The number whose plain decimal form this is.
    pub fn as_u64(&self) -> Option<u64> {
        match self.text {
            Text::Decimal(number) => Some(number),
            Text::Other(_) => None,
        }
    }
}

impl From<u64> for OffsetToken {
    fn from(number: u64) -> OffsetToken {
        OffsetToken { text: Text::Decimal(number) }
    }
}

impl From<&str> for OffsetToken {
    fn from(text: &str) -> OffsetToken {
        match text.parse::<u64>() {
            // "007" and "+7" are texts of their own: sent as 7 they would not be recognised again.
            Ok(number) if text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9')) => number.into(),
            _ => OffsetToken { text: Text::Other(text.into()) },
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
}
