use std::io::{self, Read};

use super::read_buffer::{MAX_KEPT_BYTES, ReadBuffer};
use crate::rows::is_blank;

/// Reads lines through one reused buffer and knows the position and the byte offset of each.
#[derive(Debug, Default)]
pub(super) struct LineReader {
    buffer: ReadBuffer,
    /// Number of the line read last; the first is 1.
    number: u64,
}

/// What follows in the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'l> {
    Line(Line<'l>),
    /// No whole line is buffered, and the caller did not want to read.
    NotBuffered,
    End,
}

/// A line without its line break, or an element of a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'l> {
    /// What is sent and compared.
    pub(super) text: &'l [u8],
    /// What the source has there, if that is another text.
    pub(super) raw: Option<&'l [u8]>,
    /// False for a last line without line break: whoever writes it may not have finished.
    pub(super) is_terminated: bool,
}

/// Why no line could be read.
#[derive(Debug)]
pub(super) enum LineError {
    /// The line is longer than what is kept of one.
    TooLong,
    /// The text is broken there, so that the next row cannot be found.
    Broken(String),
    Io(io::Error),
}

impl LineReader {
    /// Follows a seek of the input to the line after this one.
    pub(super) fn moved_to(&mut self, offset: u64, number: u64) {
        self.buffer.moved_to(offset);
        self.number = number;
    }

    pub(super) fn offset(&self) -> u64 {
        self.buffer.offset()
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line; [`advance`](LineReader::advance) goes past it.
    ///
    /// A last line without line break is a line, an empty end is none. Reading may block, so `may_read` is asked first.
    pub(super) fn peek(&mut self, input: &mut dyn Read, may_read: impl Fn() -> bool) -> Result<Next<'_>, LineError> {
        let mut searched = 0;
        loop {
            let unread = self.buffer.unread();
            if let Some(found) = memchr::memchr(b'\n', &unread[searched..]) {
                // The same however many bytes the input gives at a time.
                if searched + found > MAX_KEPT_BYTES {
                    return Err(LineError::TooLong);
                }
                return Ok(self.line(searched + found, true));
            }
            searched = unread.len();
            if searched > MAX_KEPT_BYTES {
                return Err(LineError::TooLong);
            }
            if !may_read() {
                return Ok(Next::NotBuffered);
            }
            let before = self.offset();
            if self.buffer.read_more(input).map_err(LineError::Io)? == 0 {
                return Ok(if searched > 0 { self.line(searched, false) } else { Next::End });
            }
            if self.offset() != before {
                // A byte order mark that came in pieces is complete only now, and is no part of the line.
                searched = 0;
            }
        }
    }

    /// Goes past the peeked line, given its length.
    pub(super) fn advance(&mut self, length: usize) {
        self.buffer.consume(length + 1);
        self.number += 1;
    }

    /// Goes past a line of any length, without keeping it.
    pub(super) fn discard_line(&mut self, input: &mut dyn Read) -> io::Result<()> {
        loop {
            if let Some(length) = memchr::memchr(b'\n', self.buffer.unread()) {
                self.advance(length);
                return Ok(());
            }
            self.buffer.consume(usize::MAX);
            if self.buffer.read_more(input)? == 0 {
                self.number += 1;
                return Ok(());
            }
        }
    }

    fn line(&self, length: usize, is_terminated: bool) -> Next<'_> {
        Next::Line(Line { text: &self.buffer.unread()[..length], raw: None, is_terminated })
    }
}

impl<'l> Line<'l> {
    /// As the source has it: what is kept of a row that is left out.
    pub(super) fn as_it_stands(&self) -> &'l [u8] {
        self.raw.unwrap_or(self.text)
    }

    /// Whether there is no row on it.
    pub(super) fn is_blank(&self) -> bool {
        self.text.iter().all(|byte| is_blank(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_buffer::CHUNK;
    use super::*;

    /// Gives a few bytes at a time.
    struct Drip<'t>(&'t [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = into.len().min(3);
            self.0.read(&mut into[..size])
        }
    }

    fn whole(text: &[u8]) -> Next<'_> {
        Next::Line(Line { text, raw: None, is_terminated: true })
    }

    fn lines(text: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
        let (mut lines, mut input, mut read) = (LineReader::default(), Drip(text), Vec::new());
        while let Next::Line(line) = lines.peek(&mut input, || true).unwrap() {
            let line = line.text.to_vec();
            lines.advance(line.len());
            read.push((lines.number(), lines.offset(), line));
        }
        read
    }

    #[test]
    fn lines_have_numbers_and_places() {
        assert_eq!(
            lines(b"ab\n\ncdefgh\r\ni"),
            [(1, 3, b"ab".to_vec()), (2, 4, b"".to_vec()), (3, 12, b"cdefgh\r".to_vec()), (4, 13, b"i".to_vec())]
        );
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"\n").len(), 1);
    }

    #[test]
    fn what_is_there_needs_no_reading() {
        let (mut lines, mut input) = (LineReader::default(), &b"a\nb\nc"[..]);
        assert_eq!(lines.peek(&mut input, || false).unwrap(), Next::NotBuffered);
        assert_eq!(lines.peek(&mut input, || true).unwrap(), whole(b"a"));
        lines.advance(1);
        assert_eq!(lines.peek(&mut input, || false).unwrap(), whole(b"b"));
        lines.advance(1);
        assert_eq!(
            lines.peek(&mut input, || false).unwrap(),
            Next::NotBuffered,
            "whether it is the last line is not known yet"
        );
        assert_eq!(
            lines.peek(&mut input, || true).unwrap(),
            Next::Line(Line { text: b"c", raw: None, is_terminated: false })
        );
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_start_only() {
        assert_eq!(lines(b"\xef\xbb\xbfa\n\xef\xbb\xbfb"), [(1, 5, b"a".to_vec()), (2, 9, b"\xef\xbb\xbfb".to_vec())]);
        assert_eq!(lines(b"\xef\xbb\xbf"), []);
    }

    #[test]
    fn a_byte_order_mark_may_come_byte_by_byte() {
        struct Bytewise<'t>(&'t [u8]);

        impl Read for Bytewise<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.0.read(&mut into[..1])
            }
        }

        let (mut lines, mut input) = (LineReader::default(), Bytewise(b"\xef\xbb\xbf\na"));
        assert_eq!(lines.peek(&mut input, || true).unwrap(), whole(b""));
        lines.advance(0);
        assert_eq!(
            lines.peek(&mut input, || true).unwrap(),
            Next::Line(Line { text: b"a", raw: None, is_terminated: false })
        );
        assert_eq!(lines.offset(), 4);
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut lines = LineReader::default();
        let error = lines.peek(&mut io::repeat(b'x'), || true).unwrap_err();
        assert!(matches!(error, LineError::TooLong));
        assert!(lines.buffer.memory() < 3 * MAX_KEPT_BYTES);
    }

    #[test]
    fn a_line_is_too_long_however_many_bytes_the_input_gives_at_a_time() {
        struct Chunks<'t>(&'t [u8], usize);

        impl Read for Chunks<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let size = into.len().min(self.1);
                self.0.read(&mut into[..size])
            }
        }

        for (length, is_too_long) in [(MAX_KEPT_BYTES, false), (MAX_KEPT_BYTES + 1, true)] {
            let text = [b"x".repeat(length), b"\n".to_vec()].concat();
            for chunk in [64 * 1024, text.len()] {
                let mut lines = LineReader::default();
                let found = lines.peek(&mut Chunks(&text, chunk), || true);
                assert_eq!(matches!(found, Err(LineError::TooLong)), is_too_long, "{length} bytes by {chunk}");
            }
        }
    }

    #[test]
    fn a_line_of_any_length_can_be_passed_over() {
        let long = [b"x".repeat(3 * CHUNK), b"\nabc\n".to_vec(), b"y".repeat(2 * CHUNK)].concat();
        let (mut lines, mut input) = (LineReader::default(), &long[..]);
        lines.discard_line(&mut input).unwrap();
        assert_eq!((lines.number(), lines.offset()), (1, 3 * CHUNK as u64 + 1));
        assert_eq!(lines.peek(&mut input, || true).unwrap(), whole(b"abc"));
        lines.advance(3);
        lines.discard_line(&mut input).unwrap();
        assert_eq!((lines.number(), lines.offset()), (3, long.len() as u64));
        assert_eq!(lines.peek(&mut input, || true).unwrap(), Next::End);
    }

    #[test]
    fn the_end_of_the_input_is_final() {
        /// Ends, and then goes on.
        struct Growing(u32);

        impl Read for Growing {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                into[0] = b'a';
                Ok(usize::from(self.0 != 2))
            }
        }

        let (mut lines, mut input) = (LineReader::default(), Growing(0));
        assert_eq!(
            lines.peek(&mut input, || true).unwrap(),
            Next::Line(Line { text: b"a", raw: None, is_terminated: false })
        );
        lines.advance(1);
        assert_eq!(lines.peek(&mut input, || true).unwrap(), Next::End);
        assert_eq!(input.0, 2);
    }

    #[test]
    fn blanks_are_no_row() {
        for (text, is_blank) in [(&b""[..], true), (b" ", true), (b"\t\r", true), (b" {", false)] {
            assert_eq!(Line { text, raw: None, is_terminated: true }.is_blank(), is_blank);
        }
    }
}
