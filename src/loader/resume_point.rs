use crate::error::{Error, ErrorKind};
use crate::rows::{Fingerprint, OffsetToken, RowOffset};

/// Where a load goes on: after the row that its channel has committed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResumePoint {
    /// Zero for a channel that has committed nothing; positions begin with one.
    position: u64,
    /// Not known of a plain number, which another client has written.
    fingerprint: Option<Fingerprint>,
}

impl ResumePoint {
    pub(super) const START: ResumePoint = ResumePoint { position: 0, fingerprint: None };

    /// After what is committed, if anything is. `None` for a token that no row of any source has.
    pub(super) fn after(committed: Option<&OffsetToken>) -> Option<ResumePoint> {
        committed.map_or(Some(ResumePoint::START), ResumePoint::of)
    }

    /// `None` for a token that no row of any source has.
    pub(super) fn of(token: &OffsetToken) -> Option<ResumePoint> {
        if let Some(RowOffset { position, fingerprint }) = token.as_row() {
            return Some(ResumePoint { position, fingerprint: Some(fingerprint) });
        }
        let position = token.as_u64().filter(|position| *position > 0)?;
        Some(ResumePoint { position, fingerprint: None })
    }

    pub(super) fn position(self) -> u64 {
        self.position
    }

    pub(super) fn is_start(self) -> bool {
        self.position == 0
    }

    /// Whether another client wrote it, so that nothing shows which source it counts.
    pub(super) fn is_plain(self) -> bool {
        !self.is_start() && self.fingerprint.is_none()
    }

    pub(super) fn is_at(self, row: RowOffset) -> bool {
        self.position == row.position && self.fingerprint.is_none_or(|fingerprint| fingerprint == row.fingerprint)
    }

    /// The source has another row at this place, or another before it.
    pub(super) fn other_source(self, found: RowOffset) -> Error {
        let happened =
            format!("the channel holds another source: it has committed up to {self}, and here that row is {found}");
        Error::new(ErrorKind::Conflict, happened).with_position(self.position).advise(OTHER_NAME)
    }

    /// The source has no row at this place.
    pub(super) fn no_row(self) -> Error {
        let happened = format!("committed offset {self} is not a row of this source");
        Error::new(ErrorKind::Conflict, happened).with_position(self.position).advise(OTHER_NAME)
    }
}

impl std::fmt::Display for ResumePoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.fingerprint {
            Some(fingerprint) => write!(f, "{}-{fingerprint}", self.position),
            None => write!(f, "{}", self.position),
        }
    }
}

/// The committed offset is none that a loader writes.
pub(super) fn not_an_offset(token: &OffsetToken) -> Error {
    Error::new(ErrorKind::Conflict, format!("committed offset {token} is not a row of this source")).advise(OTHER_NAME)
}

/// The committed offset is a plain number.
pub(super) fn plain_offset(point: ResumePoint) -> Error {
    let happened =
        format!("committed offset {point} is not a row of this source, but a plain number of another client");
    Error::new(ErrorKind::Conflict, happened).with_position(point.position).advise(
        "use another channel name; if it counts the lines of this very source, accept_plain_offsets resumes after it",
    )
}

const OTHER_NAME: &str = "give this source a channel name of its own; if it is the same source with a row changed, compare the table with it first, \
     since under another name all of it is loaded";

#[cfg(test)]
mod tests {
    use super::*;

    fn after(token: &str) -> Option<ResumePoint> {
        ResumePoint::after(Some(&token.into()))
    }

    #[test]
    fn a_token_is_a_row_a_plain_number_or_nothing_of_a_loader() {
        assert_eq!(ResumePoint::after(None), Some(ResumePoint::START));
        let row = after("10-9ae16a3b").unwrap();
        assert_eq!((row.position(), row.is_plain(), row.to_string().as_str()), (10, false, "10-9ae16a3b"));
        let plain = after("10").unwrap();
        assert_eq!((plain.position(), plain.is_plain(), plain.to_string().as_str()), (10, true, "10"));
        for token in ["0", "007", "x", "", "0-9ae16a3b", "10-9AE16A3B"] {
            assert_eq!(after(token), None, "{token}");
        }
    }

    #[test]
    fn the_fingerprint_tells_one_source_from_another() {
        let row = |text: &str| OffsetToken::from(text).as_row().unwrap();
        let point = after("10-9ae16a3b").unwrap();
        assert!(point.is_at(row("10-9ae16a3b")));
        assert!(!point.is_at(row("10-00000000")) && !point.is_at(row("11-9ae16a3b")));
        assert!(after("10").unwrap().is_at(row("10-00000000")), "a plain number knows positions only");
    }
}
