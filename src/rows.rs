//! Rows as newline-delimited JSON, checked as they come in and cut to what one request may carry. Pure.

mod check;
mod fingerprint;
mod json;
mod offset_token;
mod offsets;
mod payload;

use std::fmt;
use std::ops::Range;

use serde::Serialize;

pub(crate) use self::check::{check_json, check_trusted_json};
use self::check::{check_object_start, check_size, refuse};
pub(crate) use self::fingerprint::{Fingerprint, is_blank, trimmed};
pub use self::offset_token::OffsetToken;
pub(crate) use self::offset_token::{PoolOffset, RowOffset, offset_or_none};
use self::offsets::Offsets;
pub(crate) use self::payload::{Compressed, Compressor, Payload, Payloads};
use crate::error::Error;

/// Rows to be appended together, encoded one JSON object a line.
///
/// A batch grows row by row, from values or from ready lines. [`mark`](Batch::mark) gives the row pushed last its offset
/// token; the first token of a request travels as its start, the last as its end. A batch that does not fit into one
/// request is sent in several, each ending at a row: mark every row (or push no more than [`is_full`](Batch::is_full)
/// allows) and exactly-once holds across such a cut too.
///
/// ```
/// use serde_json::json;
/// use snowpipe_streaming::Batch;
///
/// let mut batch = Batch::new();
/// batch.push(&json!({"ID": 1, "NAME": "first"}))?;
/// batch.mark(1);
/// batch.push_json(br#"{"ID": 2, "NAME": "second"}"#)?;
/// batch.mark(2);
/// assert_eq!(batch.rows(), 2);
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Batch {
    text: Vec<u8>,
    rows: usize,
    offsets: Offsets,
}

impl Batch {
    /// The number of bytes, before compression, from which a batch counts as full.
    ///
    /// The service accepts four million bytes after compression, which is known only afterwards: rows of ordinary data
    /// shrink to less than a quarter, and a batch that does not is sent in pieces.
    pub const FULL_BYTES: usize = 16_000_000;

    /// The longest row, in bytes before compression.
    pub const MAX_ROW_BYTES: usize = 16_000_000;

    /// An empty batch, without memory of its own.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds a row: a struct or map whose field names are column names.
    ///
    /// [`columns`](crate::columns) lists what to send to a column of which type, and helps where a plain field would be
    /// stored wrongly.
    ///
    /// # Errors
    ///
    /// [`Row`](crate::ErrorKind::Row) when the value cannot be written as JSON, holds a number that is not finite, is
    /// not an object, or is longer than [`MAX_ROW_BYTES`](Batch::MAX_ROW_BYTES); the batch is as before.
    pub fn push(&mut self, row: &impl Serialize) -> Result<(), Error> {
        self.push_value(row).map_err(|unfit| unfit.error)
    }

    /// The same, which gives the text of a value that is no row.
    pub(crate) fn push_value(&mut self, row: &impl Serialize) -> Result<(), UnfitValue> {
        let mut unfinished = UnfinishedRow { start: self.text.len(), text: &mut self.text, is_row: false };
        unfinished.write(row).map_err(|error| UnfitValue { error, text: Vec::new() })?;
        join_lines(unfinished.written());
        unfinished.check().map_err(|error| UnfitValue { error, text: unfinished.written().to_vec() })?;
        unfinished.is_row = true;
        drop(unfinished);
        self.end_row();
        Ok(())
    }

    /// Adds a row that is JSON already, byte for byte: numbers are not reformatted. The line break is ours.
    ///
    /// # Errors
    ///
    /// [`Row`](crate::ErrorKind::Row) when the line is not UTF-8, not one complete JSON object, holds a line break, or
    /// is longer than [`MAX_ROW_BYTES`](Batch::MAX_ROW_BYTES); the batch is as before.
    pub fn push_json(&mut self, line: &[u8]) -> Result<(), Error> {
        check_json(line)?;
        self.push_checked(line);
        Ok(())
    }

    /// Adds a row that is JSON already and was written by something that can be trusted to write JSON: the line is not parsed.
    ///
    /// Checking costs about as much as compressing. Without it a line still has to be UTF-8, to begin with `{` and end with
    /// `}` (blanks aside), to be free of line breaks and no longer than [`MAX_ROW_BYTES`](Batch::MAX_ROW_BYTES); so a bad row
    /// cannot spoil its neighbours. What is not JSON in between reaches the service, which rejects that row and counts it.
    ///
    /// # Errors
    ///
    /// [`Row`](crate::ErrorKind::Row) when the line breaks one of these rules; the batch is as before.
    ///
    /// ```
    /// use snowpipe_streaming::Batch;
    ///
    /// let mut batch = Batch::new();
    /// batch.push_trusted_json(br#"{"ID": 1, "NAME": "first"}"#)?;
    /// assert!(batch.push_trusted_json(br#"{"ID": 2, "NAME":"#).is_err());
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn push_trusted_json(&mut self, line: &[u8]) -> Result<(), Error> {
        check_trusted_json(line)?;
        self.push_checked(line);
        Ok(())
    }

    /// Gives the row pushed last its offset token; a second call replaces the first. Without any row it does nothing, and
    /// neither does an empty token, which the service may report as none.
    pub fn mark(&mut self, token: impl Into<OffsetToken>) {
        let token = token.into();
        if let Some(last) = self.rows.checked_sub(1).filter(|_| !token.is_empty()) {
            self.offsets.set_last(last, token);
        }
    }

    /// Gives all rows the tokens that count up from this one.
    pub(crate) fn mark_from(&mut self, first: impl Into<OffsetToken>) {
        if self.rows > 0 {
            self.offsets = Offsets::counting(self.rows, first.into());
        }
    }

    /// The rows after the one with this token: what is left to send once that row is stored. All of them when the token
    /// is none of this batch.
    pub fn after(&self, token: Option<&OffsetToken>) -> Batch {
        self.without_first(token.and_then(|token| self.offsets.row_of(token)).map_or(0, |row| row + 1))
    }

    /// The batch without its first `rows` rows, which are stored already: what is left to append.
    ///
    /// ```
    /// use snowpipe_streaming::Batch;
    ///
    /// let mut batch = Batch::new();
    /// batch.push_json(br#"{"ID": 1}"#)?;
    /// batch.push_json(br#"{"ID": 2}"#)?;
    /// assert_eq!(batch.without_first(1).bytes(), batch.bytes() / 2);
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn without_first(&self, rows: usize) -> Batch {
        let Some(last) = rows.checked_sub(1) else { return self.clone() };
        let cut = memchr::memchr_iter(b'\n', &self.text).nth(last).map_or(self.text.len(), |end| end + 1);
        Batch {
            text: self.text[cut..].to_vec(),
            rows: self.rows.saturating_sub(rows),
            offsets: self.offsets.without(rows),
        }
    }

    /// Takes the first `rows` rows out and keeps the memory.
    pub(crate) fn drop_first(&mut self, rows: usize) {
        let Some(last) = rows.checked_sub(1) else { return };
        let cut = memchr::memchr_iter(b'\n', &self.text).nth(last).map_or(self.text.len(), |end| end + 1);
        self.text.drain(..cut);
        self.offsets = self.offsets.without(rows);
        self.rows = self.rows.saturating_sub(rows);
    }

    /// What the rows and their tokens take.
    pub(crate) fn memory(&self) -> usize {
        self.text.len() + self.offsets.memory()
    }

    /// Whether one of the rows has this token.
    pub(crate) fn has_offset(&self, token: &OffsetToken) -> bool {
        self.offsets.row_of(token).is_some()
    }

    /// The last token of the batch, be it of the last row or of one before it.
    pub(crate) fn last_offset(&self) -> Option<OffsetToken> {
        self.offsets.last_in(&(0..self.rows))
    }

    /// Takes all rows out and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.offsets.clear();
        self.rows = 0;
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of bytes before compression, line breaks included.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether it is time to append: the next row would better begin a new batch.
    pub fn is_full(&self) -> bool {
        self.text.len() >= Batch::FULL_BYTES
    }

    /// Adds a line that was checked before.
    pub(crate) fn push_checked(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
        self.end_row();
    }

    /// Adds the rows of another batch, without their offsets.
    pub(crate) fn push_all(&mut self, other: &Batch) {
        self.text.extend_from_slice(&other.text);
        self.rows += other.rows;
    }

    /// Adds the rows of another batch, with their offsets.
    pub(crate) fn join(&mut self, following: Batch) {
        self.offsets.extend(self.rows, following.offsets);
        self.text.extend_from_slice(&following.text);
        self.rows += following.rows;
    }

    /// Takes the last row out again, without its line break and its mark.
    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        let row = self.last_row().text.strip_suffix(b"\n")?.to_vec();
        self.text.truncate(self.text.len() - row.len() - 1);
        self.rows -= 1;
        self.offsets.truncate(self.rows);
        Some(row)
    }

    /// The row pushed last.
    pub(crate) fn last_row(&self) -> Piece<'_> {
        let body = &self.text[..self.text.len().saturating_sub(1)];
        let start = memchr::memrchr(b'\n', body).map_or(0, |before| before + 1);
        Piece { text: &self.text[start..], rows: self.rows.saturating_sub(1)..self.rows, offsets: &self.offsets }
    }

    /// All of it, to be cut and compressed.
    pub(crate) fn piece(&self) -> Piece<'_> {
        Piece { text: &self.text, rows: 0..self.rows, offsets: &self.offsets }
    }

    fn end_row(&mut self) {
        self.text.push(b'\n');
        self.rows += 1;
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("rows", &self.rows).field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

/// A value that is no row, and its JSON: nothing if it could not be encoded.
pub(crate) struct UnfitValue {
    pub(crate) error: Error,
    pub(crate) text: Vec<u8>,
}

/// A value of ready JSON may be spread over lines. Within a string JSON has no line break, so a blank is as good.
fn join_lines(text: &mut [u8]) {
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'\n', &text[from..]) {
        text[from + found] = b' ';
        from += found + 1;
    }
}

/// A row that is being written: cut off again unless it becomes one, also if serialising it panics.
struct UnfinishedRow<'b> {
    text: &'b mut Vec<u8>,
    start: usize,
    is_row: bool,
}

impl UnfinishedRow<'_> {
    fn write(&mut self, row: &impl Serialize) -> Result<(), Error> {
        json::write(self.text, row).map_err(|error| refuse(format!("cannot be written as JSON: {error}")))
    }

    fn check(&self) -> Result<(), Error> {
        check_size(self.text.len() - self.start)?;
        check_object_start(&self.text[self.start..])
    }

    fn written(&mut self) -> &mut [u8] {
        &mut self.text[self.start..]
    }
}

impl Drop for UnfinishedRow<'_> {
    fn drop(&mut self) {
        if !self.is_row {
            self.text.truncate(self.start);
        }
    }
}

/// A run of whole rows of a batch.
#[derive(Clone)]
pub(crate) struct Piece<'b> {
    text: &'b [u8],
    /// Which rows of the batch these are.
    rows: Range<usize>,
    offsets: &'b Offsets,
}

impl<'b> Piece<'b> {
    pub(crate) fn text(&self) -> &'b [u8] {
        self.text
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn first_token(&self) -> Option<OffsetToken> {
        self.offsets.first_in(&self.rows)
    }

    pub(crate) fn last_token(&self) -> Option<OffsetToken> {
        self.offsets.last_in(&self.rows)
    }

    /// A copy of the tokens of these rows alone.
    fn offsets(&self) -> Offsets {
        let mut offsets = self.offsets.without(self.rows.start);
        offsets.truncate(self.rows());
        offsets
    }

    /// A first piece of about one in `parts` of the whole, and the rest; none if there is only one row.
    pub(crate) fn cut(&self, parts: usize) -> Option<(Piece<'b>, Piece<'b>)> {
        if self.rows() < 2 {
            return None;
        }
        // The last byte is a line break, so a search from any place finds one; if it is that last one, the cut is before
        // the last row instead.
        let near = self.text.len() / parts.max(1);
        let body = &self.text[..self.text.len() - 1];
        let cut = match memchr::memchr(b'\n', &body[near.min(body.len())..]) {
            Some(after) => near + after + 1,
            None => memchr::memrchr(b'\n', body)? + 1,
        };
        let (left, right) = self.text.split_at(cut);
        let between = self.rows.start + memchr::memchr_iter(b'\n', left).count();
        Some((
            Piece { text: left, rows: self.rows.start..between, offsets: self.offsets },
            Piece { text: right, rows: between..self.rows.end, offsets: self.offsets },
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;

    fn numbered(rows: u64) -> Batch {
        let mut batch = Batch::new();
        for n in 1..=rows {
            batch.push(&json!({ "N": n })).unwrap();
            batch.mark(n);
        }
        batch
    }

    #[test]
    fn rows_are_lines_and_ready_rows_keep_every_byte() {
        let mut batch = Batch::new();
        batch.push(&json!({"A": 1})).unwrap();
        batch.push_json(b" {\"B\" : 1.10, \"C\":12345678901234567890123}\r").unwrap();
        assert_eq!(batch.piece().text(), b"{\"A\":1}\n {\"B\" : 1.10, \"C\":12345678901234567890123}\r\n");
        assert_eq!((batch.rows(), batch.bytes()), (2, batch.piece().text().len()));
    }

    #[test]
    fn whatever_is_not_one_object_is_refused_and_leaves_the_batch_as_it_was() {
        let mut batch = numbered(1);
        let before = batch.piece().text().to_vec();
        for line in ["", " ", "[1]", "1", "null", "\"a\"", "{", "{}{}", "{}x", "{\"a\":}", "{\"a\":1\n}", "{\"a\":NaN}"]
        {
            let error = batch.push_json(line.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Row, "{line:?}");
        }
        assert!(batch.push_json(b"{\"a\":\"\xff\"}").unwrap_err().to_string().contains("UTF-8 from byte 7"));
        for value in [json!([1]), json!(1), json!(null), json!("{")] {
            assert!(batch.push(&value).is_err(), "{value}");
        }
        let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = batch.push(&keys).unwrap_err();
        assert_eq!(error.to_string(), "the row cannot be written as JSON: key must be a string");
        let error = batch.push(&std::collections::BTreeMap::from([("A", 1.0), ("B", f64::NAN)])).unwrap_err();
        let happened = "the row cannot be written as JSON: B: NaN is not a finite number, and JSON has no others";
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Row, happened));
        assert_eq!(batch.piece().text(), before);
    }

    #[test]
    fn of_a_trusted_line_only_the_frame_is_checked() {
        let mut batch = Batch::new();
        for line in ["{}", " {\"A\":1} \r", "{\"A\":}", "{}{}"] {
            batch.push_trusted_json(line.as_bytes()).unwrap();
        }
        assert_eq!(batch.piece().text(), b"{}\n {\"A\":1} \r\n{\"A\":}\n{}{}\n");
        for line in [&b""[..], b" ", b"[1]", b"null", b"{", b"{\"A\":1", b"{\"A\":\n1}", b"}", b"{\"\xff\":1}"] {
            assert_eq!(batch.push_trusted_json(line).unwrap_err().kind(), ErrorKind::Row, "{line:?}");
        }
        let long = format!("{{\"A\":\"{}\"}}", "x".repeat(Batch::MAX_ROW_BYTES));
        assert!(batch.push_trusted_json(long.as_bytes()).unwrap_err().to_string().contains("16000008 bytes"));
        assert_eq!(batch.rows(), 4);
    }

    #[test]
    fn ready_json_within_a_value_stays_on_the_line_of_its_row() {
        let pretty = serde_json::value::RawValue::from_string("[1,\n \"a\\n\"\n]".into()).unwrap();
        let mut batch = Batch::new();
        batch.push(&json!({"A": 1})).unwrap();
        batch.push(&std::collections::BTreeMap::from([("A", pretty)])).unwrap();
        assert_eq!(batch.piece().text(), b"{\"A\":1}\n{\"A\":[1,  \"a\\n\" ]}\n");
    }

    #[test]
    fn a_deeply_nested_row_is_a_row() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        Batch::new().push_json(deep.as_bytes()).unwrap();
    }

    #[test]
    fn a_row_beyond_the_limit_is_refused() {
        let mut batch = Batch::new();
        let error = batch.push(&json!({"A": "x".repeat(Batch::MAX_ROW_BYTES)})).unwrap_err();
        assert!(error.to_string().contains("16000008 bytes"), "{error}");
        assert!(batch.is_empty());
    }

    #[test]
    fn a_piece_is_cut_between_rows_and_keeps_the_tokens_of_its_own_rows() {
        let batch = numbered(5);
        let (left, right) = batch.piece().cut(2).unwrap();
        let (left_text, right_text) = (left.text().to_vec(), right.text().to_vec());
        assert_eq!([left_text, right_text].concat(), batch.piece().text());
        assert_eq!((left.rows(), right.rows()), (3, 2));
        assert_eq!((left.first_token(), left.last_token()), (Some(1.into()), Some(3.into())));
        assert_eq!((right.first_token(), right.last_token()), (Some(4.into()), Some(5.into())));
        let (third, fourth) = right.cut(2).unwrap();
        assert_eq!((third.last_token(), fourth.first_token()), (Some(4.into()), Some(5.into())));
        assert!(fourth.cut(2).is_none());
    }

    #[test]
    fn a_piece_with_one_huge_row_is_cut_around_it() {
        for rows in [["{\"A\":\"xxxxxxxxxxxxxxxxxxxx\"}", "{}"], ["{}", "{\"A\":\"xxxxxxxxxxxxxxxxxxxxxx\"}"]] {
            let mut batch = Batch::new();
            rows.iter().for_each(|row| batch.push_json(row.as_bytes()).unwrap());
            let (left, right) = batch.piece().cut(2).unwrap();
            assert_eq!((left.rows(), right.rows()), (1, 1));
        }
    }

    #[test]
    fn a_token_of_the_whole_batch_belongs_to_its_last_piece() {
        let mut batch = Batch::new();
        (0..4).for_each(|_| batch.push(&json!({"A": 1})).unwrap());
        batch.mark("end");
        let (left, right) = batch.piece().cut(2).unwrap();
        assert_eq!((left.last_token(), right.last_token()), (None, Some("end".into())));
    }

    #[test]
    fn what_is_left_after_a_token_are_the_rows_behind_it() {
        let batch = numbered(4);
        let left = batch.after(Some(&2.into()));
        assert_eq!(left.piece().text(), b"{\"N\":3}\n{\"N\":4}\n");
        assert_eq!(
            (left.rows(), left.piece().first_token(), left.piece().last_token()),
            (2, Some(3.into()), Some(4.into()))
        );
        assert!(batch.after(Some(&4.into())).is_empty());
        assert_eq!(batch.after(Some(&9.into())).rows(), 4);
        assert_eq!(batch.after(None).rows(), 4);
    }

    #[test]
    fn the_last_row_can_be_taken_out_again() {
        let mut batch = numbered(2);
        assert_eq!(batch.pop().as_deref(), Some(&b"{\"N\":2}"[..]));
        assert_eq!((batch.rows(), batch.piece().last_token()), (1, Some(1.into())));
        assert_eq!(batch.pop().as_deref(), Some(&b"{\"N\":1}"[..]));
        assert_eq!((batch.pop(), batch.bytes(), batch.piece().last_token()), (None, 0, None));
    }

    #[test]
    fn a_row_has_one_token() {
        let mut batch = Batch::new();
        batch.mark("no row yet");
        batch.push(&json!({})).unwrap();
        batch.mark(1);
        batch.mark(2);
        assert_eq!((batch.piece().first_token(), batch.piece().last_token()), (Some(2.into()), Some(2.into())));
    }
}
