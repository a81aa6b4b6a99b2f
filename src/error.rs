mod kind;
mod row_kept;
mod shown;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::kind::ErrorKind;
pub(crate) use self::shown::{is_secret_for_path, looks_secret, shown, shown_path, visible};

/// Any failure of this library: one word wide, cloneable, free of secrets.
///
/// Decide by [`kind()`](Error::kind), which says how to react. The text says on one line what was attempted, with which
/// name, what happened and what to try; it never repeats the text of [`source()`](StdError::source).
///
/// ```
/// use snowpipe_streaming::{Client, Credentials, ErrorKind};
///
/// let error = Client::builder("myorg-account123", Credentials::jwt("not a JWT")).build().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Config);
/// ```
#[derive(Clone)]
pub struct Error {
    details: Box<Details>,
}

impl Error {
    /// How the caller should react.
    pub fn kind(&self) -> ErrorKind {
        self.details.kind
    }

    /// Whether the same call may succeed later, unchanged and without the risk of duplicate rows.
    ///
    /// True of a stop, too: the same call with another handle goes on.
    ///
    /// False too where part of the call was done: an append of which some requests were accepted, a row that a
    /// [`Writer`](crate::Writer) has kept. The text says what to call instead. Of a row that a writer has not taken and can take
    /// later it is true, whatever the kind.
    pub fn is_retryable(&self) -> bool {
        self.details.is_retryable
    }

    /// How many rows the service took and could not store, for kind [`NotStored`](ErrorKind::NotStored); otherwise zero.
    pub fn rows_rejected(&self) -> u64 {
        self.details.rows_rejected
    }

    /// How many rows of the batch are stored, the first of it, for an error of [`Elastic::append`](crate::Elastic::append);
    /// otherwise zero.
    pub fn rows_stored(&self) -> u64 {
        self.details.rows_stored
    }

    /// The position of the row that this is about: its line number, or its place in a sequence, from 1.
    pub fn position(&self) -> Option<u64> {
        self.details.position
    }

    /// The committed offset token of the channel that this is about, as text, where it is known.
    pub fn committed_offset(&self) -> Option<&str> {
        self.details.committed_offset.as_deref()
    }

    /// HTTP status of the last response, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.details.status
    }

    /// The service's own code, such as `STALE_CONTINUATION_TOKEN_SEQUENCER` or `390144`; `discovery_failed` when the token
    /// endpoint of an issuer was not found.
    pub fn code(&self) -> Option<&str> {
        self.details.code.as_deref()
    }

    /// The `requestId` that was sent: quote it to the service's support.
    pub fn request_id(&self) -> Option<&str> {
        self.details.request_id.as_deref()
    }

    /// How often the request was sent; zero if it was not.
    pub fn attempts(&self) -> u32 {
        self.details.attempts
    }

    /// How long the service asked to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        self.details.retry_after
    }
}

/// Construction, public for mocks: a program can test how it reacts to each kind without provoking it.
///
/// ```
/// use snowpipe_streaming::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Conflict, "the channel holds another source").with_committed_offset("10-9ae16a3b");
/// assert_eq!(error.committed_offset(), Some("10-9ae16a3b"));
/// assert!(!error.is_retryable());
/// ```
impl Error {
    /// An error of this kind. `reason` starts in lower case and has no full stop.
    #[cold]
    pub fn new(kind: ErrorKind, reason: impl Into<String>) -> Error {
        let details = Details {
            kind,
            is_retryable: is_transient(kind),
            attempted: None,
            reason: reason.into(),
            advice: None,
            status: None,
            code: None,
            request_id: None,
            attempts: 0,
            retry_after: None,
            rows_rejected: 0,
            rows_stored: 0,
            is_row_kept: false,
            position: None,
            committed_offset: None,
            follows_doubt: false,
            source: None,
        };
        Error { details: Box::new(details) }
    }

    /// What [`status`](Error::status) returns.
    pub fn with_status(mut self, status: u16) -> Error {
        self.details.status = Some(status);
        self
    }

    /// What [`code`](Error::code) returns.
    pub fn with_code(mut self, code: impl Into<Option<String>>) -> Error {
        self.details.code = code.into();
        self
    }

    /// What [`request_id`](Error::request_id) returns.
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Error {
        self.details.request_id = Some(request_id.into());
        self
    }

    /// What [`attempts`](Error::attempts) returns.
    pub fn with_attempts(mut self, attempts: u32) -> Error {
        self.details.attempts = attempts;
        self
    }

    /// What [`retry_after`](Error::retry_after) returns.
    pub fn with_retry_after(mut self, delay: impl Into<Option<Duration>>) -> Error {
        self.details.retry_after = delay.into();
        self
    }

    /// What [`rows_rejected`](Error::rows_rejected) returns.
    pub fn with_rows_rejected(mut self, rows: u64) -> Error {
        self.details.rows_rejected = rows;
        self
    }

    /// What [`rows_stored`](Error::rows_stored) returns.
    pub fn with_rows_stored(mut self, rows: u64) -> Error {
        self.details.rows_stored = rows;
        self
    }

    /// What [`position`](Error::position) returns.
    pub fn with_position(mut self, position: u64) -> Error {
        self.details.position = Some(position);
        self
    }

    /// What [`committed_offset`](Error::committed_offset) returns.
    pub fn with_committed_offset(mut self, offset: impl Into<String>) -> Error {
        self.details.committed_offset = Some(offset.into());
        self
    }
}

/// The parts of the text, and what a call that did part of its work adds.
impl Error {
    /// Names the attempt: "open channel load-1". An error that already has a name keeps it.
    pub(crate) fn attempting(mut self, attempted: impl Into<String>) -> Error {
        if self.details.attempted.is_none() {
            self.details.attempted = Some(attempted.into());
        }
        self
    }

    /// What to try, in the imperative.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Error {
        self.details.advice = Some(advice.into());
        self
    }

    /// Adds to the advice.
    pub(crate) fn and_advise(mut self, advice: &str) -> Error {
        let details = &mut *self.details;
        details.advice = Some(match details.advice.take() {
            Some(first) => format!("{first}; {advice}"),
            None => advice.to_owned(),
        });
        self
    }

    /// The same failure, of a request that may have been applied. Keeps everything else, and adds to the advice.
    pub(crate) fn into_unconfirmed(self) -> Error {
        self.into_kind(ErrorKind::Unconfirmed, UNCONFIRMED).and_advise(FIND_OUT)
    }

    /// This error as the cause of what happened: with its text, its advice and the facts of its last response.
    pub(crate) fn into_kind(mut self, kind: ErrorKind, happened: &str) -> Error {
        let details = &mut *self.details;
        details.kind = kind;
        details.is_retryable = is_transient(kind);
        let attempted =
            details.attempted.take().map(|attempted| format!("could not {attempted}: ")).unwrap_or_default();
        details.reason = format!("{happened}: {attempted}{}", details.reason);
        self
    }

    pub(crate) fn has_advice(&self) -> bool {
        self.details.advice.is_some()
    }

    /// A code of ours for an error to which the service gave none.
    pub(crate) fn or_code(self, code: &str) -> Error {
        if self.details.code.is_some() { self } else { self.with_code(Some(code.to_owned())) }
    }

    /// Advice for an error that has none.
    pub(crate) fn or_advise(self, advice: &str) -> Error {
        if self.has_advice() { self } else { self.advise(advice) }
    }

    /// Whether an attempt before the last one may have been applied, so that what the last response says may be its effect.
    #[cfg_attr(
        not(feature = "hiiretail"),
        allow(dead_code, reason = "no other service reports its own effects as errors")
    )]
    pub(crate) fn follows_doubt(&self) -> bool {
        self.details.follows_doubt
    }

    /// What [`follows_doubt`](Error::follows_doubt) returns.
    pub(crate) fn with_doubt(mut self, follows_doubt: bool) -> Error {
        self.details.follows_doubt = follows_doubt;
        self
    }

    /// Repeating the call would double rows, or has to be another call.
    pub(crate) fn not_retryable(mut self) -> Error {
        self.details.is_retryable = false;
        self
    }

    /// Repeating the call is safe although the kind alone does not say so.
    pub(crate) fn retryable(mut self) -> Error {
        self.details.is_retryable = true;
        self
    }

    /// The cause, for programs. Its text is not part of this error's text.
    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.details.source = Some(Arc::new(source));
        self
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.details.source.as_ref().map(|source| source.as_ref() as _)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.details.to_string()))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.details.kind).field("message", &self.to_string());
        if let Some(source) = &self.details.source {
            out.field("source", source);
        }
        out.finish()
    }
}

fn is_transient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Throttled | ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Stopped)
}

/// The text with escapes for what ends a line, changes the colours of a terminal or turns the order of characters: names may
/// hold anything, and a log is read line by line.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    Cow::Owned(line)
}

/// Control characters, line and paragraph separators, and the invisible ones, of which some change the direction of writing.
fn is_unprintable(c: char) -> bool {
    let is_invisible = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    c.is_control()
        || is_invisible
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

/// A text of the server's, cleaned for a message: one line, no control characters, at most [`MAX_SERVER_TEXT`] characters.
pub(crate) fn clean(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || is_unprintable(c)).filter(|word| !word.is_empty());
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MAX_SERVER_TEXT {
            break;
        }
    }
    if let Some((cut, _)) = line.char_indices().nth(MAX_SERVER_TEXT) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

#[derive(Clone)]
struct Details {
    kind: ErrorKind,
    is_retryable: bool,
    attempted: Option<String>,
    reason: String,
    advice: Option<String>,
    status: Option<u16>,
    code: Option<String>,
    request_id: Option<String>,
    attempts: u32,
    retry_after: Option<Duration>,
    rows_rejected: u64,
    rows_stored: u64,
    is_row_kept: bool,
    position: Option<u64>,
    committed_offset: Option<String>,
    /// An attempt before the last one may have been applied.
    follows_doubt: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(attempted) = &self.attempted {
            write!(f, "could not {attempted}: ")?;
        }
        f.write_str(&self.reason)?;
        let mut facts = Vec::new();
        facts.extend(self.status.map(|status| format!("HTTP {status}")));
        facts.extend(self.code.clone());
        facts.extend((self.attempts > 1).then(|| format!("{} attempts", self.attempts)));
        facts.extend(self.retry_after.map(|delay| format!("retry after {} s", delay.as_secs_f32().ceil())));
        facts.extend(self.request_id.as_ref().map(|id| format!("request {id}")));
        if !facts.is_empty() {
            write!(f, " ({})", facts.join(", "))?;
        }
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

const UNCONFIRMED: &str = "the request was sent and may have been applied, but no response confirmed it";
const FIND_OUT: &str = "find out whether it was applied before sending it again";

/// Longer than every known message of the service, and short enough for one line of a log.
const MAX_SERVER_TEXT: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_was_attempted_what_happened_and_what_to_try() {
        let error = Error::new(ErrorKind::Channel, "another writer has opened it")
            .attempting("append to channel load-1")
            .attempting("load flights.ndjson")
            .with_status(400)
            .with_code(Some("STALE_CONTINUATION_TOKEN_SEQUENCER".into()))
            .with_request_id("r-1")
            .with_attempts(2)
            .advise("reopen it");
        assert_eq!(
            error.to_string(),
            "could not append to channel load-1: another writer has opened it \
             (HTTP 400, STALE_CONTINUATION_TOKEN_SEQUENCER, 2 attempts, request r-1); reopen it"
        );
    }

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn the_text_of_a_server_becomes_one_bounded_line() {
        assert_eq!(clean(" a\r\n\tb\u{1b}[31m  c "), "a b [31m c");
        assert_eq!(clean(&"é".repeat(1000)).chars().count(), MAX_SERVER_TEXT + 1);
    }

    #[test]
    fn what_a_name_holds_forges_no_line_and_turns_no_text() {
        let name = "load\n2026-01-01 ERROR forged\u{1b}[31m\u{202e}1-daol\u{2066}\u{200b}\u{2028}\u{85}é";
        let error = Error::new(ErrorKind::Channel, "it is lost").attempting(format!("append to {name}"));
        let shown = r"load\n2026-01-01 ERROR forged\u{1b}[31m\u{202e}1-daol\u{2066}\u{200b}\u{2028}\u{85}é";
        assert_eq!(error.to_string(), format!("could not append to {shown}: it is lost"));
        assert_eq!(one_line(name), shown);
        assert_eq!(clean("a\u{202e}b\u{2066}\u{feff}c"), "a b c");
    }

    #[test]
    fn the_cause_is_not_printed_twice() {
        let error =
            Error::new(ErrorKind::Unavailable, "no response").with_source(std::io::Error::other("reset by peer"));
        assert_eq!(error.to_string(), "no response");
        assert_eq!(StdError::source(&error).map(ToString::to_string).as_deref(), Some("reset by peer"));
    }
}
