//! The file that makes state outlive the process: what was acknowledged is in it before the response.
//!
//! Records follow each other: the length of the description, the length of the rows, the description as
//! JSON, the rows. A record that was cut by the end of the process was acknowledged to nobody, and is
//! removed at the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::state::in_flight::InFlight;
use crate::state::name::ChannelName;
use crate::state::table::Block;

/// A change that has to survive.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Record {
    /// A channel was opened, or stolen.
    Opened(Opened),
    /// A channel is no more.
    Gone { channel: ChannelName },
    /// Rows of a Named Channel landed.
    Committed(InFlight),
    /// Rows without order were acknowledged.
    Accepted(InFlight),
    /// The eldest rows without order that had not landed did.
    Landed,
}

/// A channel as an opening leaves it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) channel: ChannelName,
    pub(crate) spelling: String,
    pub(crate) created_on_ms: i64,
    pub(crate) client_sequencer: u64,
    pub(crate) offset_token: Option<String>,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    len: u64,
    rows: Arc<Mutex<File>>,
}

impl Journal {
    /// Opens the file below `dir`, and gives every change that it holds to `replay`.
    pub(crate) fn open(dir: &Path, replay: impl FnMut(Record)) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = dir.join(FILE);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let rows = Arc::new(Mutex::new(File::open(&path)?));
        let len = read_all(&path, &rows, replay)?;
        file.set_len(len)?;
        Ok(Self { file, len, rows })
    }

    /// Writes a change down. Rows that come with it are kept in the file from then on.
    pub(crate) fn append(&mut self, record: &mut Record) -> io::Result<()> {
        let block = record.block().cloned();
        let wire = block.as_ref().map(|block| block.wire()).transpose()?;
        let wire = wire.as_deref().unwrap_or_default();
        let description = serde_json::to_vec(record)?;
        let mut head = Vec::with_capacity(HEAD + description.len());
        head.extend_from_slice(&(description.len() as u64).to_le_bytes());
        head.extend_from_slice(&(wire.len() as u64).to_le_bytes());
        head.extend_from_slice(&description);
        let written = self.file.write_all(&head).and_then(|()| self.file.write_all(wire));
        if let Err(error) = written {
            // What follows must not stand behind half a record.
            self.file.set_len(self.len)?;
            return Err(error);
        }
        let start = self.len + head.len() as u64;
        self.len = start + wire.len() as u64;
        if let Some(block) = &block {
            record.set_block(block.moved_to(&self.rows, start, wire.len()));
        }
        Ok(())
    }
}

impl Record {
    fn block(&self) -> Option<&Arc<Block>> {
        match self {
            Self::Committed(rows) | Self::Accepted(rows) => rows.batch.block.as_ref(),
            _ => None,
        }
    }

    fn set_block(&mut self, block: Block) {
        if let Self::Committed(rows) | Self::Accepted(rows) = self {
            rows.batch.block = Some(Arc::new(block));
        }
    }
}

/// Gives the length of the whole records.
fn read_all(path: &Path, rows: &Arc<Mutex<File>>, mut replay: impl FnMut(Record)) -> io::Result<u64> {
    let mut file = BufReader::new(File::open(path)?);
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut whole = 0;
    let mut lengths = [0; 8];
    while end - whole >= HEAD as u64 {
        file.read_exact(&mut lengths)?;
        let description_len = u64::from_le_bytes(lengths);
        file.read_exact(&mut lengths)?;
        let rows_len = u64::from_le_bytes(lengths);
        let start = (whole + HEAD as u64).saturating_add(description_len);
        let next = start.saturating_add(rows_len);
        if next > end {
            break;
        }
        let mut description = vec![0; usize::try_from(description_len).map_err(io::Error::other)?];
        file.read_exact(&mut description)?;
        let mut record: Record = serde_json::from_slice(&description)?;
        if let Some(block) = record.block() {
            let len = usize::try_from(rows_len).map_err(io::Error::other)?;
            let block = block.moved_to(rows, start, len);
            record.set_block(block);
        }
        file.seek_relative(i64::try_from(rows_len).map_err(io::Error::other)?)?;
        replay(record);
        whole = next;
    }
    Ok(whole)
}

const FILE: &str = "journal";
const HEAD: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::name::PipeName;

    fn gone(name: &str) -> Record {
        Record::Gone { channel: PipeName::new("d", "s", "p").channel(name) }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names = Vec::new();
        let journal = Journal::open(dir, |record| {
            if let Record::Gone { channel } = record {
                names.push(channel.channel);
            }
        });
        drop(journal.unwrap());
        names
    }

    #[test]
    fn a_record_that_was_cut_is_removed_and_the_rest_is_kept() {
        let dir = std::env::temp_dir().join(format!("journal-{}", uuid::Uuid::new_v4()));
        let mut journal = Journal::open(&dir, |_| ()).unwrap();
        journal.append(&mut gone("a")).unwrap();
        journal.append(&mut gone("b")).unwrap();
        drop(journal);
        let path = dir.join(FILE);
        let len = fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(len - 1).unwrap();
        assert_eq!(names(&dir), ["A"]);
        let mut journal = Journal::open(&dir, |_| ()).unwrap();
        journal.append(&mut gone("c")).unwrap();
        drop(journal);
        assert_eq!(names(&dir), ["A", "C"]);
        fs::remove_dir_all(dir).unwrap();
    }
}
