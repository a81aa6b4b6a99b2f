use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::SystemTime;

use crate::stop::Stop;

/// A regular file up to where it ended when its load began, read from any place by any number of readers.
///
/// All of them read the one file that was opened, also when its name belongs to another by then; and what another program
/// appends to it meanwhile is for the next load.
#[derive(Clone, Debug)]
pub(super) struct FileRange {
    file: Arc<File>,
    /// Of the next byte to be read.
    offset: u64,
    end: u64,
    /// When the file was modified last before its end was fixed, where the system knows that.
    modified: Option<SystemTime>,
    stop: Stop,
}

impl FileRange {
    /// Up to where the file ends now.
    pub(super) fn new(file: Arc<File>) -> io::Result<FileRange> {
        let mut range = FileRange { file, offset: 0, end: 0, modified: None, stop: Stop::default() };
        range.end_now()?;
        Ok(range)
    }

    /// Moves the end to where the file ends now.
    pub(super) fn end_now(&mut self) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        (self.end, self.modified) = (metadata.len(), metadata.modified().ok());
        Ok(())
    }

    /// From now on a stop ends the reading.
    pub(super) fn end_at(&mut self, stop: &Stop) {
        self.stop = stop.clone();
    }

    /// Whether the file was written to since its end was fixed: it has grown, or what was read is no longer there.
    pub(super) fn is_modified(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.modified().ok() != self.modified)
    }

    pub(super) fn move_to(&mut self, offset: u64) {
        self.offset = offset;
    }
}

impl Read for FileRange {
    /// A stop is an error of ours inside that of the reading: a whole file may be read before anything is sent.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let size = left.min(into.len());
        if size == 0 {
            return Ok(0);
        }
        self.stop.check().map_err(io::Error::other)?;
        let read = read_at(&self.file, &mut into[..size], self.offset)?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file has become shorter since the load began",
            ));
        }
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(unix)]
fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, offset)
}

#[cfg(windows)]
fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, offset)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text(range: &mut FileRange) -> String {
        let mut text = String::new();
        range.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_file_ends_where_it_ended_when_the_range_was_made() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"one\ntwo\n").unwrap();
        let opened = Arc::new(File::open(file.path()).unwrap());
        let mut range = FileRange::new(Arc::clone(&opened)).unwrap();
        let mut other = range.clone();
        file.write_all(b"three\n").unwrap();
        assert_eq!(text(&mut range), "one\ntwo\n");
        range.move_to(4);
        assert_eq!((text(&mut range), text(&mut other)), ("two\n".into(), "one\ntwo\n".into()));
        assert_eq!(text(&mut FileRange::new(opened).unwrap()), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_file_that_becomes_shorter_has_not_ended() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"one\ntwo\n").unwrap();
        let mut range = FileRange::new(Arc::new(File::open(file.path()).unwrap())).unwrap();
        file.as_file().set_len(4).unwrap();
        assert_eq!(range.read(&mut [0; 10]).unwrap(), 4);
        assert_eq!(range.read(&mut [0; 10]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
