use std::io::{self, BufRead, Read};

use flate2::Crc;
use snowpipe_streaming::Batch;

use super::line_error::{failed, no_first_row, too_long};
use crate::Result;

/// The first row of a source, read ahead for its name.
#[derive(Debug, PartialEq, Eq)]
pub struct FirstRow {
    /// Without the blanks around it.
    crc: u32,
    /// Lines before it that hold no row.
    blank_lines: u64,
    /// The row's line as it was read, its line break included.
    line: Vec<u8>,
}

impl FirstRow {
    /// Nothing if there is no row. `name` is for messages.
    pub fn read(input: &mut dyn BufRead, name: &str) -> Result<Option<FirstRow>> {
        let (mut line, mut blank_lines) = (Vec::new(), 0);
        loop {
            let number = blank_lines + 1;
            line.clear();
            (&mut *input)
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut line)
                .map_err(|error| failed(&error, number, name))?;
            if line.is_empty() {
                return Ok(None);
            }
            if line.len() as u64 == MAX_LINE_BYTES {
                return Err(too_long(number, name));
            }
            let row = trimmed(without_mark(&line, number));
            if !row.is_empty() {
                let mut crc = Crc::new();
                crc.update(row);
                return Ok(Some(FirstRow { crc: crc.sum(), blank_lines, line }));
            }
            blank_lines += 1;
        }
    }

    /// A line that is no row names no channel: corrected, it would name another one, which knows nothing of the rows that
    /// were loaded from behind it. `name` is for messages.
    pub fn check(&self, name: &str) -> Result<()> {
        let number = self.blank_lines + 1;
        let text = without_mark(self.line.strip_suffix(b"\n").unwrap_or(&self.line), number);
        Batch::new().push_json(text).map_err(|error| no_first_row(&error, number, name))
    }

    /// The channel of a source that is given none: no other file has it, and a rerun has the same.
    pub fn channel(&self, file: &str) -> String {
        format!("{}-{:08x}", stem(file), self.crc)
    }

    /// What was read ahead, to be read again: any blank line is as good as another.
    pub fn into_read(self) -> impl Read + Send {
        io::repeat(b'\n').take(self.blank_lines).chain(io::Cursor::new(self.line))
    }
}

/// A byte order mark is no part of the first line.
fn without_mark(line: &[u8], number: u64) -> &[u8] {
    if number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line }
}

/// The file's name without its folder and the endings that say how the rows are written and packed.
fn stem(file: &str) -> String {
    let name = file.rsplit(std::path::is_separator).next().unwrap_or(file);
    let name = without_ending(without_ending(name, &PACKED), &FORMATS);
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '_' }).collect()
}

/// A name that is nothing but an ending keeps it.
fn without_ending<'n>(name: &'n str, endings: &[&str]) -> &'n str {
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && endings.iter().any(|known| ending.eq_ignore_ascii_case(known)) => {
            stem
        }
        _ => name,
    }
}

/// Blanks as the loader sees them when it compares rows, and the line break.
fn trimmed(line: &[u8]) -> &[u8] {
    let is_row = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().position(is_row).unwrap_or(line.len());
    let end = line.iter().rposition(is_row).map_or(start, |last| last + 1);
    &line[start..end]
}

const PACKED: [&str; 2] = ["gz", "zst"];
const FORMATS: [&str; 5] = ["ndjson", "jsonl", "json", "csv", "tsv"];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// A row, and more blanks around it than anyone writes: so much of a source is kept in memory at most.
const MAX_LINE_BYTES: u64 = Batch::MAX_ROW_BYTES as u64 + 256 * 1024;

#[cfg(test)]
mod tests {
    use snowpipe_streaming::ErrorKind;

    use super::*;

    fn first(text: &[u8]) -> Option<FirstRow> {
        FirstRow::read(&mut &text[..], "a test").unwrap()
    }

    #[test]
    fn a_channel_is_named_for_the_file_and_its_first_row() {
        // CRC-32's check value, of the text 123456789.
        let row = first(b"\xef\xbb\xbf\r\n \n\t123456789 \r\nx").unwrap();
        for (file, stem) in [
            ("flights.ndjson", "flights"),
            ("/data/2026-11-21/flights.v2.jsonl.gz", "flights.v2"),
            ("a b\u{e9}-c.json", "a_b__c"),
            ("rows.CSV.GZ", "rows"),
            ("rows.gz.json", "rows.gz"),
            (".ndjson", ".ndjson"),
            ("stdin", "stdin"),
        ] {
            assert_eq!(row.channel(file), format!("{stem}-cbf43926"));
        }
    }

    #[test]
    fn nothing_is_lost_by_reading_ahead() {
        for (text, again) in [
            (&b"\xef\xbb\xbf{}\n2"[..], &b"\xef\xbb\xbf{}\n2"[..]),
            (b"\xef\xbb\xbf\n \n{} \n2\n", b"\n\n{} \n2\n"),
            (b"{}", b"{}"),
        ] {
            let (mut rest, mut all) = (text, Vec::new());
            let row = FirstRow::read(&mut rest, "a test").unwrap().unwrap();
            row.into_read().chain(rest).read_to_end(&mut all).unwrap();
            assert_eq!(all, again);
        }
    }

    #[test]
    fn a_source_without_rows_has_no_first_one() {
        for text in [&b""[..], b"\n\n", b" \t\r\n", b"\xef\xbb\xbf", b"\n   "] {
            assert_eq!(first(text), None);
        }
    }

    #[test]
    fn a_first_line_without_end_does_not_fill_the_memory() {
        let mut input = io::BufReader::new(io::repeat(b'x'));
        let error = FirstRow::read(&mut input, "a test").unwrap_err();
        assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(1)));
    }
}
