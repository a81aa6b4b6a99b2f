use std::io::Read;

use super::element_reader::ElementReader;
use super::line_reader::{LineError, LineReader, Next};

/// How a text is divided into rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One object a line.
    Lines,
    /// A JSON array of objects, or objects one after the other.
    Elements,
}

/// Reads the rows of a text of either format.
#[derive(Debug)]
pub(super) enum RowReader {
    Lines(LineReader),
    Elements(ElementReader),
}

impl Format {
    /// What the text has at a position.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Format::Lines => "line",
            Format::Elements => "element",
        }
    }
}

impl RowReader {
    pub(super) fn of(format: Format) -> RowReader {
        match format {
            Format::Lines => RowReader::Lines(LineReader::default()),
            Format::Elements => RowReader::Elements(ElementReader::default()),
        }
    }

    pub(super) fn format(&self) -> Format {
        match self {
            RowReader::Lines(_) => Format::Lines,
            RowReader::Elements(_) => Format::Elements,
        }
    }

    /// Whether the rows are the elements of an array, as what was peeked shows.
    pub(super) fn is_array(&self) -> bool {
        matches!(self, RowReader::Elements(elements) if elements.is_array())
    }

    /// Of the row read last; the first is 1.
    pub(super) fn number(&self) -> u64 {
        match self {
            RowReader::Lines(lines) => lines.number(),
            RowReader::Elements(elements) => elements.number(),
        }
    }

    /// What follows; [`advance`](RowReader::advance) goes past it. Reading may block, so `may_read` is asked first.
    pub(super) fn peek(&mut self, input: &mut dyn Read, may_read: impl Fn() -> bool) -> Result<Next<'_>, LineError> {
        match self {
            RowReader::Lines(lines) => lines.peek(input, may_read),
            RowReader::Elements(elements) => elements.peek(input, may_read),
        }
    }

    /// Goes past what was peeked, given the length of its text.
    pub(super) fn advance(&mut self, length: usize) {
        match self {
            RowReader::Lines(lines) => lines.advance(length),
            RowReader::Elements(elements) => elements.advance(),
        }
    }
}
