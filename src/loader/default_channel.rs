use std::io::Read;

use super::line_reader::Next;
use super::row_check::unfinished;
use super::row_error::{at_line, unreadable};
use super::row_reader::{Format, RowReader};
use super::source::{Input, Source, TextStream};
use super::unpacked::Unpacked;
use crate::error::{Error, ErrorKind};
use crate::rows::{check_json, trimmed};

impl Source<'_> {
    /// The channel that is named for this source: no other has it, and a rerun has the same. `None` if there are no rows.
    ///
    /// It is the file's name without folder and without endings of format and packing, a hyphen, and the CRC-32 of the
    /// first row in 8 hex digits: `flights-9ae16a3b`. Other characters than ASCII letters, digits, `.` and `_` become `_`. The
    /// row counts as it stands in the unpacked text, without the blanks around it; of a JSON array it is the first element's
    /// text. Of a reader the name that it was given counts.
    ///
    /// A pipe takes 2,000 channels, and forgets one that was idle for 30 days together with its offset: then the file would be
    /// loaded again from its start.
    ///
    /// # Blocking
    ///
    /// Until the first row is read; a load goes on from there.
    ///
    /// # Errors
    ///
    /// - [`Config`](ErrorKind::Config): the source is no text, or holds values, which have no name.
    /// - [`Row`](ErrorKind::Row): the first row is none. Corrected it would name another channel, which knows nothing of the rows
    ///   behind it, so it must be corrected before anything is sent.
    /// - [`Source`](ErrorKind::Source): reading failed.
    ///
    /// ```
    /// use snowpipe_streaming::Source;
    ///
    /// let mut source = Source::reader("data/flights.ndjson", "{\"ID\":1}\n".as_bytes());
    /// assert_eq!(source.default_channel()?.as_deref(), Some("flights-8230d2f7"));
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn default_channel(&mut self) -> Result<Option<String>, Error> {
        let name = &self.name;
        let crc = match &mut self.input {
            Input::File(file) => first_crc(&mut RowReader::of(Format::Lines), &mut file.clone(), name),
            Input::Stream(text) => text.first_crc(name),
            Input::Values(_) => {
                let error = Error::new(ErrorKind::Config, "values have no file for which a channel could be named");
                Err(error.advise("give the channel a name with Loader::new"))
            }
        }?;
        Ok(crc.map(|crc| format!("{}-{crc:08x}", stem(name))))
    }
}

impl TextStream<'_> {
    fn first_crc(&mut self, name: &str) -> Result<Option<u32>, Error> {
        let format = self.rows.format();
        match self.bytes.file() {
            // A load reads it from its start, up to where it ends by then.
            Some(file) => TextStream::new(Unpacked::of_file(file.clone(), format), format).first_crc_once(name),
            None => self.first_crc_once(name),
        }
    }

    fn first_crc_once(&mut self, name: &str) -> Result<Option<u32>, Error> {
        self.bytes.open().map_err(|error| error.attempting(format!("load {name}")))?;
        first_crc(&mut self.rows, &mut self.bytes, name)
    }
}

/// The CRC-32 of the first row, which stays unread.
fn first_crc(rows: &mut RowReader, bytes: &mut dyn Read, name: &str) -> Result<Option<u32>, Error> {
    let format = rows.format();
    loop {
        let number = rows.number() + 1;
        let read = rows.peek(bytes, || true).map(|_| ());
        read.map_err(|error| unreadable(name, format, number, error))?;
        let is_array = rows.is_array();
        let line = match rows.peek(bytes, || true) {
            Ok(Next::Line(line)) => line,
            Ok(Next::NotBuffered | Next::End) => return Ok(None),
            Err(error) => return Err(unreadable(name, format, number, error)),
        };
        let length = line.text.len();
        if !line.is_blank() {
            check_json(line.text).map_err(|error| {
                let error = if line.is_terminated { error } else { unfinished(error) };
                at_line(error.advise(FIRST), format, number, name)
            })?;
            let text = if is_array { line.text } else { line.as_it_stands() };
            return Ok(Some(crc32fast::hash(trimmed(text))));
        }
        rows.advance(length);
    }
}

/// The file's name without its folder and the endings that say how the rows are written and packed.
fn stem(file: &str) -> String {
    let name = if is_descriptor(file) { STDIN } else { file.rsplit(std::path::is_separator).next().unwrap_or(file) };
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

/// What a shell puts for `<(command)`, and numbers as it likes.
fn is_descriptor(file: &str) -> bool {
    ["/dev/fd/", "/proc/self/fd/"].iter().any(|folder| {
        file.strip_prefix(folder)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
    })
}

const PACKED: [&str; 2] = ["gz", "zst"];
const FORMATS: [&str; 5] = ["ndjson", "jsonl", "json", "csv", "tsv"];
const STDIN: &str = "stdin";
const FIRST: &str = "correct it, since the channel is named for it; nothing was sent";

#[cfg(test)]
mod tests {
    use super::*;

    fn named(mut source: Source<'_>) -> Option<String> {
        source.default_channel().unwrap()
    }

    #[test]
    fn a_channel_is_named_for_the_file_and_its_first_row() {
        // As `printf '{"ID":1}' | gzip | tail -c8 | od -An -tx4` prints it first.
        for (file, channel) in [
            ("flights.ndjson", "flights"),
            ("/data/2026-11-21/flights.v2.jsonl.gz", "flights.v2"),
            ("a b\u{e9}-c.json", "a_b__c"),
            ("rows.CSV.ZST", "rows"),
            ("rows.gz.json", "rows.gz"),
            (".ndjson", ".ndjson"),
            ("stdin", "stdin"),
            ("/dev/fd/63", "stdin"),
            ("/proc/self/fd/8", "stdin"),
            ("/dev/fd/", ""),
            ("two\nlines.ndjson", "two_lines"),
        ] {
            let text = &b"\xef\xbb\xbf\r\n \n\t{\"ID\":1} \r\n{\"ID\":2}"[..];
            assert_eq!(named(Source::reader(file, text)), Some(format!("{channel}-8230d2f7")));
        }
    }

    #[test]
    fn a_source_without_rows_names_no_channel() {
        for text in [&b""[..], b"\n\n", b" \t\r\n", b"\xef\xbb\xbf", b"\n   "] {
            assert_eq!(named(Source::reader("text", text)), None);
        }
        for text in ["", " ", "[]", "\u{feff}\n[ ]\n"] {
            assert_eq!(named(Source::json_reader("text", text.as_bytes())), None);
        }
    }

    #[test]
    fn of_an_array_the_text_of_the_first_element_counts_and_otherwise_the_row_as_it_stands() {
        let (compact, spread) = ("{\"ID\":1}", "{ \"ID\":\n1 }");
        let of_line = |row: &str| named(Source::reader("rows", row.as_bytes()));
        let of_json = |text: String| named(Source::json_reader("rows", std::io::Cursor::new(text)));
        assert_eq!(of_json(format!("[{spread},{compact}]")), of_line(compact));
        assert_eq!(of_json(format!("\n{compact}{spread}")), of_line(compact));
        assert_eq!(of_json(format!(" {} {compact}", "{ \"ID\": 1 }")), of_line("{ \"ID\": 1 }"));
        assert_eq!(
            of_json(format!("{spread}{compact}")),
            Some(format!("rows-{:08x}", crc32fast::hash(spread.as_bytes())))
        );
    }

    #[test]
    fn a_first_row_that_is_none_names_no_channel() {
        for (mut source, said) in [
            (Source::reader("text", &b"\n\n[]\n{}"[..]), "could not read line 3 of text: the row is not a JSON object"),
            (Source::reader("text", &b"\n\n{\"ID\""[..]), "could not read line 3 of text: the row is not one complete"),
            (
                Source::json_reader("text", &b"[1]"[..]),
                "could not read element 1 of text: the row is not a JSON object",
            ),
            (Source::json_reader("text", &b"[,1]"[..]), "could not read element 1 of text: , begins no element"),
        ] {
            let error = source.default_channel().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Row);
            assert!(error.to_string().starts_with(said), "{error}");
        }
        let error = Source::rows([1]).default_channel().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }

    #[test]
    fn a_first_line_without_end_does_not_fill_the_memory() {
        let error = Source::reader("text", std::io::repeat(b'x')).default_channel().unwrap_err();
        assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(1)));
    }
}
