//! Rows of a body: which are good, which are errors, and what lands.

use std::sync::Arc;

use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::http::encoding::Encoding;
use crate::state::json::is_object;
use crate::state::table::Block;

/// What became of the rows of one request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    #[serde(with = "kept")]
    pub(crate) block: Option<Arc<Block>>,
    pub(crate) good: u64,
    pub(crate) bad: u64,
    #[serde(skip)]
    pub(crate) last_error: Option<&'static str>,
}

/// A body before and after unpacking.
pub(crate) struct Body<'a> {
    pub(crate) wire: Vec<u8>,
    pub(crate) encoding: Encoding,
    pub(crate) plain: &'a [u8],
}

impl Batch {
    /// Looks at every row. `rejected` is a text whose rows count as errors.
    pub(crate) fn read(body: Body<'_>, rejected: Option<&[u8]>) -> Self {
        let sorted = Sorting::of(body.plain, rejected);
        let whole = (body.wire, body.encoding, body.plain.len());
        Self::from_sorted(sorted, whole)
    }

    /// The same for a body that was not compressed.
    pub(crate) fn read_plain(wire: Vec<u8>, rejected: Option<&[u8]>) -> Self {
        let sorted = Sorting::of(&wire, rejected);
        let len = wire.len();
        Self::from_sorted(sorted, (wire, Encoding::Identity, len))
    }

    fn from_sorted(sorted: Sorted, whole: (Vec<u8>, Encoding, usize)) -> Self {
        let block = match sorted.kept {
            Some(rows) => {
                let len = rows.len();
                Block::new(rows, Encoding::Identity, len)
            }
            None => Block::new(whole.0, whole.1, whole.2),
        };
        Self {
            block: (block.len() > 0).then(|| Arc::new(block)),
            good: sorted.good,
            bad: sorted.bad,
            last_error: sorted.last_error,
        }
    }

    pub(crate) fn parsed(&self) -> u64 {
        self.good + self.bad
    }
}

/// Only how rows are kept goes into a description; the rows themselves follow it.
mod kept {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Block;

    pub(crate) fn serialize<S: Serializer>(block: &Option<Arc<Block>>, to: S) -> Result<S::Ok, S::Error> {
        block.as_deref().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<Block>>, D::Error> {
        Ok(Option::<Block>::deserialize(from)?.map(Arc::new))
    }
}

struct Sorting<'a> {
    plain: &'a [u8],
    is_utf8: bool,
    rejected: Option<memmem::Finder<'a>>,
    sorted: Sorted,
}

#[derive(Default)]
struct Sorted {
    /// `None` as long as the body could land exactly as it is.
    kept: Option<Vec<u8>>,
    good: u64,
    bad: u64,
    last_error: Option<&'static str>,
}

impl<'a> Sorting<'a> {
    fn of(plain: &'a [u8], rejected: Option<&'a [u8]>) -> Sorted {
        // One search through the whole body is far cheaper than one for each row.
        let rejected = rejected.map(memmem::Finder::new).filter(|finder| finder.find(plain).is_some());
        let mut sorting =
            Self { plain, is_utf8: std::str::from_utf8(plain).is_ok(), rejected, sorted: Sorted::default() };
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', plain) {
            sorting.take(start, &plain[start..end], true);
            start = end + 1;
        }
        if start < plain.len() {
            sorting.take(start, &plain[start..], false);
        }
        sorting.sorted
    }

    fn take(&mut self, start: usize, row: &[u8], terminated: bool) {
        if row.iter().all(u8::is_ascii_whitespace) {
            return self.leave_out(start);
        }
        if let Some(error) = self.error_of(row) {
            self.sorted.bad += 1;
            self.sorted.last_error = Some(error);
            return self.leave_out(start);
        }
        self.sorted.good += 1;
        if !terminated {
            self.leave_out(start);
        }
        if let Some(kept) = &mut self.sorted.kept {
            kept.extend_from_slice(row);
            kept.push(b'\n');
        }
    }

    fn leave_out(&mut self, start: usize) {
        if self.sorted.kept.is_none() {
            let mut kept = Vec::with_capacity(self.plain.len() + 1);
            kept.extend_from_slice(&self.plain[..start]);
            self.sorted.kept = Some(kept);
        }
    }

    fn error_of(&self, row: &[u8]) -> Option<&'static str> {
        if !self.is_utf8 && std::str::from_utf8(row).is_err() {
            return Some("Invalid UTF8 detected in row");
        }
        if !is_object(row) {
            return Some("Error parsing JSON: row is not a JSON object");
        }
        let refused = self.rejected.as_ref()?.find(row).is_some();
        refused.then_some("Row rejected by the table")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn landed(body: &[u8], rejected: Option<&[u8]>) -> (Vec<u8>, u64, u64) {
        let batch = Batch::read(Body { wire: body.to_vec(), encoding: Encoding::Identity, plain: body }, rejected);
        let rows = batch.block.as_ref().map(|block| block.plain().unwrap());
        (rows.unwrap_or_default().into_owned(), batch.good, batch.bad)
    }

    #[test]
    fn good_rows_land_byte_for_byte_with_one_line_feed_each() {
        let body = b"{\"a\": 1.0}\n  {\"b\":\"\xc3\xa9\"}\r\n{\"c\":{}}";
        let want = b"{\"a\": 1.0}\n  {\"b\":\"\xc3\xa9\"}\r\n{\"c\":{}}\n";
        assert_eq!(landed(body, None), (want.to_vec(), 3, 0));
        assert_eq!(landed(want, None), (want.to_vec(), 3, 0));
    }

    #[test]
    fn blank_lines_are_no_rows() {
        let body = b"\n{\"a\":1}\n\r\n \t\n{\"a\":2}\n\n";
        assert_eq!(landed(body, None), (b"{\"a\":1}\n{\"a\":2}\n".to_vec(), 2, 0));
        assert_eq!(landed(b"", None), (Vec::new(), 0, 0));
        assert_eq!(landed(b"\n\n", None), (Vec::new(), 0, 0));
    }

    #[test]
    fn rows_that_are_no_objects_are_errors_and_the_others_land() {
        for bad in [
            &b"[1]"[..],
            b"1",
            b"{\"a\":1",
            b"{\"a\":1}{\"b\":2}",
            b"{\"a\":1} x",
            b"{'a':1}",
            b"{\"a\":01}",
            b"{\"a\":\"\xff\"}",
            b"\xef\xbb\xbf{}",
        ] {
            let body = [b"{\"x\":1}\n", bad, b"\n{\"y\":2}\n"].concat();
            let want = b"{\"x\":1}\n{\"y\":2}\n".to_vec();
            assert_eq!(landed(&body, None), (want, 2, 1), "{bad:?}");
        }
    }

    #[test]
    fn rows_that_hold_the_rejected_text_are_errors() {
        let body = b"{\"a\":\"good\"}\n{\"a\":\"poison\"}\n";
        assert_eq!(landed(body, Some(b"poison")), (b"{\"a\":\"good\"}\n".to_vec(), 1, 1));
        assert_eq!(landed(body, Some(b"absent")).1, 2);
    }
}
