//! The file that makes state outlive the process: a change is in it before the response acknowledges the change.
//!
//! Records follow each other: the length of the description, the length of the rows, the description as JSON, the rows.
//! A record that was cut off by the end of the process was never acknowledged, and is removed at the next start.

use std::borrow::BorrowMut;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::state::in_flight::InFlight;
use crate::state::name::ChannelName;

/// A change that has to outlive the process. The names are those in the file. A record that is read owns its rows, one
/// that is written ([`NewRecord`]) borrows them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Record<Rows = InFlight> {
    /// A channel was opened, by its owner or another client.
    Opened(Opened),
    /// A channel was dropped, or expired.
    Gone { channel: ChannelName },
    /// Rows of a Named Channel landed.
    Committed(Rows),
    /// Elastic rows were acknowledged. They are durable then, and land later.
    Accepted(Rows),
    /// The oldest acknowledged Elastic rows that had not landed did. Their order is the same in memory and in the file,
    /// so this needs no name.
    Landed,
}

pub(crate) type NewRecord<'a> = Record<&'a mut InFlight>;

/// A channel as an opening leaves it.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// A second handle, for reading rows: seeking in it does not move the place that records are written at.
    rows: Arc<Mutex<File>>,
}

impl Journal {
    /// Opens the file in `dir`, and passes every change in it to `replay`.
    pub(crate) fn open(dir: &Path, replay: impl FnMut(Record)) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = dir.join(FILE);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let rows = Arc::new(Mutex::new(File::open(&path)?));
        let len = read_all(&path, &rows, replay)?;
        // Cuts off what is left of a record that was cut off: the next one has to follow a complete one.
        file.set_len(len)?;
        Ok(Self { file, len, rows })
    }

    /// Writes a change. The rows that come with it are read from the file from then on, and no longer kept in memory.
    pub(crate) fn append(&mut self, mut record: NewRecord<'_>) -> io::Result<()> {
        let block = record.rows().and_then(|rows| rows.batch.block.clone());
        let wire = block.as_ref().map(|block| block.wire()).transpose()?;
        let wire = wire.as_deref().unwrap_or_default();
        let description = serde_json::to_vec(&record)?;
        let mut head = Vec::with_capacity(HEADER_LEN + description.len());
        head.extend_from_slice(&(description.len() as u64).to_le_bytes());
        head.extend_from_slice(&(wire.len() as u64).to_le_bytes());
        head.extend_from_slice(&description);
        let written = self.file.write_all(&head).and_then(|()| self.file.write_all(wire));
        if let Err(error) = written {
            // For the same reason. The lengths lead from one record to the next.
            self.file.set_len(self.len)?;
            return Err(error);
        }
        let start = self.len + head.len() as u64;
        self.len = start + wire.len() as u64;
        if let Some(rows) = record.rows() {
            rows.read_from(&self.rows, start, wire.len());
        }
        Ok(())
    }
}

impl<Rows: BorrowMut<InFlight>> Record<Rows> {
    fn rows(&mut self) -> Option<&mut InFlight> {
        match self {
            Self::Committed(rows) | Self::Accepted(rows) => Some(rows.borrow_mut()),
            Self::Opened(_) | Self::Gone { .. } | Self::Landed => None,
        }
    }
}

/// Returns the length of all complete records together.
fn read_all(path: &Path, rows: &Arc<Mutex<File>>, mut replay: impl FnMut(Record)) -> io::Result<u64> {
    let mut file = BufReader::new(File::open(path)?);
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut complete = 0;
    let mut lengths = [0; 8];
    while end - complete >= HEADER_LEN as u64 {
        file.read_exact(&mut lengths)?;
        let description_len = u64::from_le_bytes(lengths);
        file.read_exact(&mut lengths)?;
        let rows_len = u64::from_le_bytes(lengths);
        let start = (complete + HEADER_LEN as u64).saturating_add(description_len);
        let next = start.saturating_add(rows_len);
        if next > end {
            break;
        }
        let mut description = vec![0; usize::try_from(description_len).map_err(io::Error::other)?];
        file.read_exact(&mut description)?;
        let mut record: Record = serde_json::from_slice(&description)?;
        if let Some(in_flight) = record.rows() {
            in_flight.read_from(rows, start, usize::try_from(rows_len).map_err(io::Error::other)?);
        }
        file.seek_relative(i64::try_from(rows_len).map_err(io::Error::other)?)?;
        replay(record);
        complete = next;
    }
    Ok(complete)
}

const FILE: &str = "journal";
/// Two lengths of eight bytes.
const HEADER_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::name::PipeName;

    fn gone(name: &str) -> NewRecord<'static> {
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
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let mut journal = Journal::open(dir, |_| ()).unwrap();
        journal.append(gone("a")).unwrap();
        journal.append(gone("b")).unwrap();
        drop(journal);
        let path = dir.join(FILE);
        let len = fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(len - 1).unwrap();
        assert_eq!(names(dir), ["A"]);
        let mut journal = Journal::open(dir, |_| ()).unwrap();
        journal.append(gone("c")).unwrap();
        drop(journal);
        assert_eq!(names(dir), ["A", "C"]);
    }
}
