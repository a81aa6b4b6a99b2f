//! Landed rows, kept in the blocks they came in.

use std::borrow::Cow;
use std::io::{self, Write};

use super::encoding::Encoding;

/// Rows that landed together. A block whose every row was good is kept as it came over the wire.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Vec<u8>,
    encoding: Encoding,
    len: u64,
}

impl Block {
    pub(super) fn new(bytes: Vec<u8>, encoding: Encoding, len: usize) -> Self {
        Self { bytes, encoding, len: len as u64 }
    }

    /// The number of bytes of the rows themselves.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.plain()?)
    }

    pub(super) fn plain(&self) -> io::Result<Cow<'_, [u8]>> {
        if self.encoding == Encoding::Identity {
            return Ok(Cow::Borrowed(&self.bytes));
        }
        let mut plain = Vec::new();
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        self.encoding
            .decode(&self.bytes, len, Some(len), &mut plain)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Cow::Owned(plain))
    }
}
