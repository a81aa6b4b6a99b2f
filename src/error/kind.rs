use std::fmt;

/// How the caller should react.
///
/// Names and numbers are stable: they may be written to logs, compared in scripts and passed to other languages.
///
/// ```
/// use snowpipe_streaming::ErrorKind;
///
/// assert_eq!((ErrorKind::NotStored.as_str(), ErrorKind::NotStored.number()), ("not_stored", 5));
/// assert_eq!(ErrorKind::NotStored.to_string(), "not_stored");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Correct the call, the file or the setting, which cannot work as it is. Nothing was applied. Mostly nothing was sent
    /// either; if a file is the cause, the service may have refused a request with what the file contained before.
    Config,
    /// Correct the key, the secret, the user or the role: the service refused the credentials.
    Credentials,
    /// Correct the clock of this machine (or of the server): the message says how far they are apart.
    Clock,
    /// Correct this row or leave it out: it cannot be a row, and was not sent. What came before it is unaffected.
    Row,
    /// Look at the rejected rows: everything is committed, but the service could not store so many of them
    /// ([`Error::rows_rejected`](crate::Error::rows_rejected)). Sending them again as they are will not help. A
    /// [`Writer`](crate::Writer) reports them before all is committed, and goes on.
    NotStored,
    /// Stop, and find out who else uses the channel: it has rows of another source, another writer, or of another
    /// number of channels. Nothing was appended after them.
    Conflict,
    /// Correct the set-up: the service refused the request because of a name, a grant or its content, its certificate is not
    /// accepted, or a proxy refuses.
    Refused,
    /// Reopen the channel, read its committed offset and resume after it: this handle can no longer append.
    Channel,
    /// Try later, not before [`Error::retry_after`](crate::Error::retry_after).
    Throttled,
    /// Try later: the service could not be reached, or kept failing, until the retry budget ended.
    Unavailable,
    /// Wait longer or ask again: the time allowed for waiting is over.
    Timeout,
    /// Find out what was applied before sending again: the request was sent and its response was lost.
    Unconfirmed,
    /// Report it: the response was not understood.
    Protocol,
    /// Run it again to go on: the caller asked for a stop.
    Stopped,
    /// Fix the source of the rows and run again: what was committed is kept, and the run resumes after it.
    Source,
}

impl ErrorKind {
    /// The stable name, in lower case: `"not_stored"`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Config => "config",
            ErrorKind::Credentials => "credentials",
            ErrorKind::Clock => "clock",
            ErrorKind::Row => "row",
            ErrorKind::NotStored => "not_stored",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Refused => "refused",
            ErrorKind::Channel => "channel",
            ErrorKind::Throttled => "throttled",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Unconfirmed => "unconfirmed",
            ErrorKind::Protocol => "protocol",
            ErrorKind::Stopped => "stopped",
            ErrorKind::Source => "source",
        }
    }

    /// The stable number, from 1.
    pub fn number(self) -> u32 {
        self as u32 + 1
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorKind::*;

    #[test]
    fn names_and_numbers_never_change() {
        let kinds = [
            Config,
            Credentials,
            Clock,
            Row,
            NotStored,
            Conflict,
            Refused,
            Channel,
            Throttled,
            Unavailable,
            Timeout,
            Unconfirmed,
            Protocol,
            Stopped,
            Source,
        ];
        let listed = kinds.map(|kind| format!("{} {kind}", kind.number())).join(", ");
        assert_eq!(
            listed,
            "1 config, 2 credentials, 3 clock, 4 row, 5 not_stored, 6 conflict, 7 refused, 8 channel, 9 throttled, \
             10 unavailable, 11 timeout, 12 unconfirmed, 13 protocol, 14 stopped, 15 source"
        );
    }
}
