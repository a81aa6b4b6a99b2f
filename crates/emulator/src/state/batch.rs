use std::sync::Arc;

use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::http::encoding::Encoding;
use crate::state::json::is_object;
use crate::state::table::Block;

/// The rows of one request: those that land, and how many were errors.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// `None` when no row lands, or when rows are only counted.
    #[serde(with = "description")]
    pub(crate) block: Option<Arc<Block>>,
    pub(crate) good: u64,
    pub(crate) bad: u64,
    #[serde(skip)]
    pub(crate) last_error: Option<&'static str>,
}

/// A compressed body, and what it decompresses to.
pub(crate) struct CompressedBody<'a> {
    pub(crate) wire: Vec<u8>,
    pub(crate) encoding: Encoding,
    pub(crate) plain: &'a [u8],
}

impl Batch {
    /// Looks at every row. Rows that hold the text `rejected` count as errors.
    pub(crate) fn from_plain(body: Vec<u8>, rejected: Option<&[u8]>) -> Self {
        let sorted = RowSorter::sort(&body, rejected);
        let len = body.len();
        Self::new(sorted, Block::new(body, Encoding::Identity, len))
    }

    /// The same for a compressed body. It stays compressed if all of it lands.
    pub(crate) fn from_compressed(body: CompressedBody<'_>, rejected: Option<&[u8]>) -> Self {
        let sorted = RowSorter::sort(body.plain, rejected);
        Self::new(sorted, Block::new(body.wire, body.encoding, body.plain.len()))
    }

    fn new(sorted: SortedRows, whole: Block) -> Self {
        let block = match sorted.rewritten {
            Some(rows) => {
                let len = rows.len();
                Block::new(rows, Encoding::Identity, len)
            }
            None => whole,
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

/// The journal writes the rows themselves behind the description of the batch, which has only their length and
/// encoding.
mod description {
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

struct RowSorter<'a> {
    plain: &'a [u8],
    is_utf8: bool,
    rejected: Option<memmem::Finder<'a>>,
    sorted: SortedRows,
}

#[derive(Default)]
struct SortedRows {
    /// The rows that land, each with its line feed. `None` as long as they are exactly the body: most bodies are never
    /// copied.
    rewritten: Option<Vec<u8>>,
    good: u64,
    bad: u64,
    last_error: Option<&'static str>,
}

impl<'a> RowSorter<'a> {
    fn sort(plain: &'a [u8], rejected: Option<&'a [u8]>) -> SortedRows {
        // One search through the whole body is far cheaper than one for each row, and mostly finds nothing. So is one
        // check for UTF-8: rows are checked one by one only when the body as a whole is not.
        let rejected = rejected.map(memmem::Finder::new).filter(|finder| finder.find(plain).is_some());
        let is_utf8 = std::str::from_utf8(plain).is_ok();
        let mut sorter = Self { plain, is_utf8, rejected, sorted: SortedRows::default() };
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', plain) {
            sorter.take_line(start, &plain[start..end]);
            start = end + 1;
        }
        if start < plain.len() {
            // Every row that lands ends with a line feed, so a last one without cannot be kept as it is.
            sorter.rewrite(start);
            sorter.take_line(start, &plain[start..]);
        }
        sorter.sorted
    }

    fn take_line(&mut self, start: usize, row: &[u8]) {
        if row.iter().all(u8::is_ascii_whitespace) {
            return self.rewrite(start);
        }
        if let Some(error) = self.error_of(row) {
            self.sorted.bad += 1;
            self.sorted.last_error = Some(error);
            return self.rewrite(start);
        }
        self.sorted.good += 1;
        if let Some(rows) = &mut self.sorted.rewritten {
            rows.extend_from_slice(row);
            rows.push(b'\n');
        }
    }

    /// From here on the rows that land are copied, because the body is not kept as it is. All rows before `start` land.
    fn rewrite(&mut self, start: usize) {
        if self.sorted.rewritten.is_none() {
            let mut rows = Vec::with_capacity(self.plain.len() + 1);
            rows.extend_from_slice(&self.plain[..start]);
            self.sorted.rewritten = Some(rows);
        }
    }

    fn error_of(&self, row: &[u8]) -> Option<&'static str> {
        // First, because the check for JSON skips over the bytes of strings.
        if !self.is_utf8 && std::str::from_utf8(row).is_err() {
            return Some("Invalid UTF8 detected in row");
        }
        if !is_object(row) {
            return Some("Error parsing JSON: row is not a JSON object");
        }
        let is_rejected = self.rejected.as_ref()?.find(row).is_some();
        is_rejected.then_some("Row rejected by the table")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn landed(body: &[u8], rejected: Option<&[u8]>) -> (Vec<u8>, u64, u64) {
        let batch = Batch::from_compressed(
            CompressedBody { wire: body.to_vec(), encoding: Encoding::Identity, plain: body },
            rejected,
        );
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
