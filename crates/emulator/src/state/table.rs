//! Landed rows, in the blocks that they came in.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::http::encoding::Encoding;
use crate::http::response::StreamedBody;

/// The rows that landed in one table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) blocks: Vec<Arc<Block>>,
    /// Also counts rows of which no block is kept.
    pub(crate) rows: u64,
}

/// Rows that landed together. A body whose every row is good stays as it came over the wire, mostly compressed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Block {
    #[serde(skip)]
    storage: Storage,
    encoding: Encoding,
    len: u64,
}

#[derive(Debug)]
enum Storage {
    Memory(Vec<u8>),
    /// A part of the journal, which all blocks share one handle of.
    File {
        file: Arc<Mutex<File>>,
        start: u64,
        len: usize,
    },
}

impl Default for Storage {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

impl Block {
    /// `len` is the length of the rows when decompressed.
    pub(crate) fn new(bytes: Vec<u8>, encoding: Encoding, len: usize) -> Self {
        Self { storage: Storage::Memory(bytes), encoding, len: len as u64 }
    }

    /// The same rows, read from a file instead of kept in memory.
    pub(crate) fn moved_to(&self, file: &Arc<Mutex<File>>, start: u64, len: usize) -> Self {
        let storage = Storage::File { file: Arc::clone(file), start, len };
        Self { storage, encoding: self.encoding, len: self.len }
    }

    /// The number of bytes of the rows when decompressed.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The rows as NDJSON.
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

    /// The rows as they are stored.
    pub(crate) fn wire(&self) -> io::Result<Cow<'_, [u8]>> {
        match &self.storage {
            Storage::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Storage::File { file, start, len } => {
                let mut bytes = vec![0; *len];
                let mut file = file.lock();
                file.seek(SeekFrom::Start(*start))?;
                file.read_exact(&mut bytes)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

/// All rows of a table are written block by block: decompressed together they may not fit into memory.
impl StreamedBody for Vec<Arc<Block>> {
    fn len(&self) -> u64 {
        self.iter().map(|block| block.len()).sum()
    }

    fn write_to(&self, to: &mut dyn Write) -> io::Result<()> {
        self.iter().try_for_each(|block| to.write_all(&block.plain()?))
    }
}
