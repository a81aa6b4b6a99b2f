use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind};

/// A row that a load leaves out, as [`Loader::on_bad_row`](crate::Loader::on_bad_row) gets it.
#[derive(Clone, Copy)]
pub struct BadRow<'r> {
    position: u64,
    reason: &'r str,
    text: &'r [u8],
}

impl<'r> BadRow<'r> {
    pub(super) fn new(position: u64, reason: &'r str, text: &'r [u8]) -> BadRow<'r> {
        BadRow { position, reason, text }
    }

    /// Its line number, or its place in a sequence, from 1.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Why it is no row, on one line.
    pub fn reason(&self) -> &'r str {
        self.reason
    }

    /// The line as it stands, without its line break; it need not be UTF-8. Of a value its JSON, or nothing if it could not be
    /// written as JSON.
    pub fn text(&self) -> &'r [u8] {
        self.text
    }
}

/// Without the text, which is for the callback alone.
impl fmt::Debug for BadRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("BadRow");
        out.field("position", &self.position).field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// How many rows one load may leave out, through all its channels, and who gets them.
pub(super) struct Allowance<'l> {
    max_errors: u64,
    left_out: AtomicU64,
    /// `None` within while it is called, and ever after if it panics then.
    callback: Option<Mutex<Option<&'l mut HandOver<'l>>>>,
}

pub(super) type HandOver<'l> = dyn FnMut(&BadRow<'_>) -> io::Result<()> + Send + 'l;

impl<'l> Allowance<'l> {
    pub(super) fn new(max_errors: u64, callback: Option<&'l mut HandOver<'l>>) -> Allowance<'l> {
        let callback = callback.map(|callback| Mutex::new(Some(callback)));
        Allowance { max_errors, left_out: AtomicU64::new(0), callback }
    }

    /// Rows left out so far.
    pub(super) fn left_out(&self) -> &AtomicU64 {
        &self.left_out
    }

    /// Counts a row and hands it over, or returns its error, which ends the load.
    pub(super) fn leave_out(&self, row: &BadRow<'_>, error: Error) -> Result<(), Error> {
        let one_more = |count: u64| (count < self.max_errors).then_some(count + 1);
        if let Err(count) = self.left_out.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            return Err(exceeded(error, count));
        }
        self.hand_over(row).map_err(|failure| {
            self.left_out.fetch_sub(1, Ordering::Relaxed);
            not_handed_over(error, failure)
        })
    }

    fn hand_over(&self, row: &BadRow<'_>) -> io::Result<()> {
        let Some(callback) = &self.callback else { return Ok(()) };
        let mut callback = callback.lock();
        let hand_over = callback.take().ok_or_else(|| io::Error::other("the callback has panicked"))?;
        let handed_over = hand_over(row);
        *callback = Some(hand_over);
        handed_over
    }
}

fn exceeded(error: Error, left_out: u64) -> Error {
    match left_out {
        0 => error,
        1 => error.and_advise("1 bad row was left out before it, which is all that max_errors allows"),
        _ => error.and_advise(&format!("{left_out} bad rows were left out before it, as many as max_errors allows")),
    }
}

fn not_handed_over(error: Error, failure: io::Error) -> Error {
    let happened = format!("it is not left out, because handing it over failed ({failure})");
    error.into_kind(ErrorKind::Row, &happened).with_source(failure)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn bad() -> Error {
        Error::new(ErrorKind::Row, "the row is bad").advise("correct it")
    }

    #[test]
    fn so_many_are_left_out_and_the_next_is_an_error_that_says_how_many() {
        let row = BadRow::new(7, "bad", b"x");
        for (max_errors, said) in [
            (0, "the row is bad; correct it"),
            (1, "the row is bad; correct it; 1 bad row was left out before it, which is all that max_errors allows"),
            (3, "the row is bad; correct it; 3 bad rows were left out before it, as many as max_errors allows"),
        ] {
            let allowance = Allowance::new(max_errors, None);
            (0..max_errors).for_each(|_| allowance.leave_out(&row, bad()).unwrap());
            assert_eq!(allowance.leave_out(&row, bad()).unwrap_err().to_string(), said);
            assert_eq!(allowance.left_out.into_inner(), max_errors);
        }
    }

    #[test]
    fn a_row_that_cannot_be_handed_over_is_not_left_out() {
        let mut refuse = |row: &BadRow<'_>| match row.position() {
            7 => Err(io::Error::other("no room")),
            _ => Ok(()),
        };
        let allowance = Allowance::new(9, Some(&mut refuse));
        let error = allowance.leave_out(&BadRow::new(7, "bad", b""), bad()).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (
                ErrorKind::Row,
                "it is not left out, because handing it over failed (no room): the row is bad; correct it"
            )
        );
        allowance.leave_out(&BadRow::new(8, "bad", b""), bad()).unwrap();
        assert_eq!(allowance.left_out.into_inner(), 1);
    }

    #[test]
    fn a_callback_that_has_panicked_is_not_called_again() {
        let mut calls = 0;
        let mut panic = |_: &BadRow<'_>| -> io::Result<()> {
            calls += 1;
            panic!("as the test wants");
        };
        let allowance = Allowance::new(9, Some(&mut panic));
        let row = BadRow::new(7, "bad", b"");
        assert!(catch_unwind(AssertUnwindSafe(|| allowance.leave_out(&row, bad()))).is_err());
        let error = allowance.leave_out(&row, bad()).unwrap_err();
        assert!(error.to_string().contains("the callback has panicked"), "{error}");
        assert_eq!(calls, 1);
    }

    #[test]
    fn what_is_shown_of_a_row_has_no_text() {
        let shown = format!("{:?}", BadRow::new(7, "bad", b"content"));
        assert_eq!(shown, "BadRow { position: 7, reason: \"bad\", .. }");
    }
}
