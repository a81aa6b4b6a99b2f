use std::io::{self, Read};

use crate::rows::Batch;

/// The bytes of an input that were read and not used, in one reused buffer.
#[derive(Debug, Default)]
pub(super) struct ReadBuffer {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Byte offset of the first unread byte in the input.
    offset: u64,
    /// The input has ended, which is final: reading on might find what came later.
    has_ended: bool,
}

impl ReadBuffer {
    /// Follows a seek of the input.
    pub(super) fn moved_to(&mut self, offset: u64) {
        (self.start, self.end, self.offset, self.has_ended) = (0, 0, offset, false);
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Goes past unread bytes, at most all of them.
    pub(super) fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.end - self.start);
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Adds to the unread bytes; zero at the end of the input. Goes past a byte order mark at its start.
    pub(super) fn read_more(&mut self, input: &mut dyn Read) -> io::Result<usize> {
        if self.has_ended {
            return Ok(0);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() - self.end < CHUNK {
            self.buffer.resize(self.end + CHUNK.max(self.end), 0);
        }
        let read = loop {
            match input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.end += read;
        self.has_ended = read == 0;
        if self.offset == 0 && self.buffer[..self.end].starts_with(BYTE_ORDER_MARK) {
            (self.start, self.offset) = (BYTE_ORDER_MARK.len(), BYTE_ORDER_MARK.len() as u64);
        }
        Ok(read)
    }

    /// Whether the unread bytes may be the beginning of a byte order mark.
    pub(super) fn may_be_mark(&self) -> bool {
        self.offset == 0 && !self.has_ended && self.unread().len() < BYTE_ORDER_MARK.len() && {
            BYTE_ORDER_MARK.starts_with(self.unread())
        }
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.buffer.len()
    }
}

/// Large enough that system calls cost nothing beside parsing.
pub(super) const CHUNK: usize = 256 * 1024;

/// A row and the blanks around it: so much is kept of one.
pub(super) const MAX_KEPT_BYTES: usize = Batch::MAX_ROW_BYTES + CHUNK;

pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
