//! Landed rows, kept in the blocks they came in.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::http::encoding::Encoding;

/// Rows that landed together. A block whose every row was good is kept as it came over the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Block {
    #[serde(skip)]
    place: Place,
    encoding: Encoding,
    len: u64,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    File { file: Arc<Mutex<File>>, start: u64, len: usize },
}

impl Default for Place {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

impl Block {
    pub(crate) fn new(bytes: Vec<u8>, encoding: Encoding, len: usize) -> Self {
        Self { place: Place::Memory(bytes), encoding, len: len as u64 }
    }

    /// The same rows, read from a file.
    pub(crate) fn moved_to(&self, file: &Arc<Mutex<File>>, start: u64, len: usize) -> Self {
        Self { place: Place::File { file: Arc::clone(file), start, len }, encoding: self.encoding, len: self.len }
    }

    /// The number of bytes of the rows themselves.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.plain()?)
    }

    pub(crate) fn plain(&self) -> io::Result<Cow<'_, [u8]>> {
        let wire = self.wire()?;
        if self.encoding == Encoding::Identity {
            return Ok(wire);
        }
        let mut plain = Vec::new();
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        self.encoding
            .decode(&wire, len, Some(len), &mut plain)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Cow::Owned(plain))
    }

    /// The rows as they are kept.
    pub(crate) fn wire(&self) -> io::Result<Cow<'_, [u8]>> {
        match &self.place {
            Place::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Place::File { file, start, len } => {
                let mut bytes = vec![0; *len];
                let mut file = file.lock();
                file.seek(SeekFrom::Start(*start))?;
                file.read_exact(&mut bytes)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

/// What landed in one table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) blocks: Vec<Arc<Block>>,
    pub(crate) rows: u64,
}
