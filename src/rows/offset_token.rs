//! Offset tokens, and which of those sent are committed. Pure.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

/// Where a row stands in its source, in the caller's own terms: the service keeps it and gives it back, no more.
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

/// The tokens that one channel sent, in order, and how far the service has committed them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    committed: Option<OffsetToken>,
    pending: VecDeque<OffsetToken>,
    /// The rows sent last have no token: no response tells whether they are committed.
    ends_without_token: bool,
    /// Lately committed, so that asking for one of them again is answered.
    settled: VecDeque<OffsetToken>,
}

impl Ledger {
    /// A channel as just opened.
    pub(crate) fn new(committed: Option<OffsetToken>) -> Ledger {
        Ledger { committed, ..Ledger::default() }
    }

    pub(crate) fn committed(&self) -> Option<&OffsetToken> {
        self.committed.as_ref()
    }

    /// The token sent last, whether or not it is committed.
    pub(crate) fn last_sent(&self) -> Option<&OffsetToken> {
        self.pending.back().or(self.committed.as_ref())
    }

    /// What was sent and is not known to be committed, in order.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &OffsetToken> {
        self.pending.iter()
    }

    /// Whether what was sent here, or was there before, can have brought the channel to that token.
    pub(crate) fn explains(&self, committed: Option<&OffsetToken>) -> bool {
        committed == self.committed.as_ref() || self.pending.iter().any(|token| Some(token) == committed)
    }

    /// Whether rows were sent after the last token that have none.
    pub(crate) fn ends_without_token(&self) -> bool {
        self.ends_without_token
    }

    /// Rows were sent whose last token is this; rows without one cannot be told apart.
    pub(crate) fn sent(&mut self, token: Option<OffsetToken>) {
        self.ends_without_token = token.is_none();
        self.pending.extend(token);
    }

    /// Takes note of what the service says is committed: everything sent before that token is committed too.
    pub(crate) fn observe(&mut self, committed: Option<OffsetToken>) {
        let Some(committed) = committed else { return };
        if let Some(index) = self.pending.iter().position(|token| *token == committed) {
            self.settled.extend(self.pending.drain(..=index));
            let surplus = self.settled.len().saturating_sub(SETTLED_KEPT);
            self.settled.drain(..surplus);
        }
        self.committed = Some(committed);
    }

    /// Whether the row of this token and all rows sent before it are committed, as far as is known.
    pub(crate) fn has_committed(&self, token: &OffsetToken) -> bool {
        !self.pending.contains(token) && (self.committed.as_ref() == Some(token) || self.settled.contains(token))
    }
}

const SETTLED_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(sent: &[&str]) -> Ledger {
        let mut ledger = Ledger::new(None);
        for token in sent {
            ledger.sent(Some((*token).into()));
        }
        ledger
    }

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
    fn a_committed_token_commits_all_that_were_sent_before_it() {
        let mut ledger = ledger(&["a", "b", "c"]);
        ledger.observe(Some("b".into()));
        assert!(ledger.has_committed(&"a".into()));
        assert!(ledger.has_committed(&"b".into()));
        assert!(!ledger.has_committed(&"c".into()));
        ledger.observe(Some("c".into()));
        assert!(ledger.has_committed(&"c".into()));
    }

    #[test]
    fn numbers_are_not_ordered_by_their_value() {
        let mut ledger = ledger(&["9", "3"]);
        ledger.observe(Some("9".into()));
        assert!(!ledger.has_committed(&"3".into()));
    }

    #[test]
    fn a_token_that_was_never_sent_is_committed_when_the_service_names_it() {
        let mut ledger = Ledger::new(Some("x".into()));
        assert!(ledger.has_committed(&"x".into()));
        assert!(!ledger.has_committed(&"y".into()));
        ledger.observe(None);
        assert!(ledger.has_committed(&"x".into()));
    }

    #[test]
    fn a_token_sent_again_is_pending_again() {
        let mut ledger = Ledger::new(Some("x".into()));
        ledger.sent(Some("x".into()));
        assert!(!ledger.has_committed(&"x".into()));
    }

    #[test]
    fn the_memory_of_settled_tokens_is_bounded() {
        let mut ledger = Ledger::new(None);
        for n in 0..5000u64 {
            ledger.sent(Some(n.into()));
            ledger.observe(Some(n.into()));
        }
        assert_eq!(ledger.settled.len(), SETTLED_KEPT);
        assert!(ledger.has_committed(&OffsetToken::from(4000)));
    }
}
