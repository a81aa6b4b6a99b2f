use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::file_range::FileRange;
use crate::error::{Error, ErrorKind};
use crate::rows::{Batch, UnfitValue, check_json, check_trusted_json};
use crate::stop::Stop;

/// Where a [`Loader`](crate::Loader) takes its rows from.
///
/// Rows have positions: the line number in a text, the place in a sequence otherwise, counted from 1. To resume, a source
/// must give the same rows in the same order in every run; what is committed is compared, and a source in which it differs is
/// refused. Any source goes through one channel or through [several](crate::Loader::channels).
///
/// ```
/// use serde_json::json;
/// use snowpipe_streaming::Source;
///
/// let from_values = Source::rows((1..=3).map(|id| json!({ "ID": id })));
/// let from_text = Source::reader("a string", "{\"ID\": 1}\n{\"ID\": 2}\n".as_bytes());
/// ```
pub struct Source<'s> {
    pub(super) name: String,
    pub(super) input: Input<'s>,
    /// Whether a line is a row.
    pub(super) check_line: CheckLine,
}

pub(super) type CheckLine = fn(&[u8]) -> Result<(), Error>;

pub(super) enum Input<'s> {
    /// Lines, which can be read again, and by several channels at once.
    File(FileRange),
    /// Lines, read once.
    Stream(Box<dyn Read + Send + 's>),
    /// Values, taken once.
    Values(NextRow<'s>),
}

/// Puts the next row into the batch; `None` at the end.
pub(super) type NextRow<'s> = Box<dyn FnMut(&mut Batch) -> Option<Result<(), NoRow>> + Send + 's>;

/// Why a sequence gave no row.
pub(super) enum NoRow {
    SourceFailed(Error),
    Unfit(UnfitValue),
}

impl<'s> Source<'s> {
    /// A file of NDJSON: one object a line, UTF-8; blank lines and a byte order mark are skipped.
    ///
    /// The file that is opened here is loaded, up to where it ends when [`Loader::load`](crate::Loader::load) is called: what
    /// is appended meanwhile is for the next load.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when the file cannot be opened.
    pub fn file(path: impl AsRef<Path>) -> Result<Source<'s>, Error> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let refuse = |error| {
            Error::new(ErrorKind::Config, format!("cannot open the file {name}: {error}"))
                .advise("check the path and the permissions")
                .with_source(error)
        };
        let file = File::open(path).map_err(refuse)?;
        let metadata = file.metadata().map_err(refuse)?;
        if metadata.is_dir() {
            return Err(Error::new(ErrorKind::Config, format!("{name} is a folder")).advise("name a file in it"));
        }
        // A pipe or a terminal has a path too, and what the system makes while it is read has no length.
        if !metadata.is_file() || metadata.len() == 0 {
            return Ok(Source::reader(name, file));
        }
        let input = Input::File(FileRange::new(Arc::new(file)).map_err(refuse)?);
        Ok(Source { name, input, check_line: check_json })
    }

    /// NDJSON from anything that can be read once; `name` is for messages.
    ///
    /// What was sent and is not yet committed is kept, compressed and in bounded memory, so that it can be sent again. The
    /// first end of the reader is final. A reader that blocks holds back the rows it has given before.
    pub fn reader(name: impl Into<String>, reader: impl Read + Send + 's) -> Source<'s> {
        Source { name: name.into(), input: Input::Stream(Box::new(reader)), check_line: check_json }
    }

    /// Values whose field names are column names.
    ///
    /// A value must have the same text in every run: the values up to the committed one are serialised to compare them. A
    /// `HashMap` has another order each time, and so is refused as another source; use a `BTreeMap` or a struct.
    pub fn rows<T: Serialize + 's>(rows: impl IntoIterator<Item = T, IntoIter: Send + 's>) -> Source<'s> {
        Source::try_rows(rows.into_iter().map(Ok::<T, std::convert::Infallible>))
    }

    /// Values that may fail to come, out of a database cursor or a parser: the rows before a failure are loaded, then it is
    /// returned as [`ErrorKind::Source`].
    pub fn try_rows<T, E>(rows: impl IntoIterator<Item = Result<T, E>, IntoIter: Send + 's>) -> Source<'s>
    where
        T: Serialize,
        E: std::error::Error + Send + Sync + 'static,
    {
        // Fused: what an iterator gives after its end is none of it.
        let mut rows = rows.into_iter().fuse();
        let next: NextRow<'s> = Box::new(move |batch| {
            let row = match rows.next()? {
                Ok(row) => row,
                Err(error) => {
                    let happened = format!("the source of the rows failed: {error}");
                    let error = Error::new(ErrorKind::Source, happened).with_source(error);
                    return Some(Err(NoRow::SourceFailed(error)));
                }
            };
            Some(batch.push_value(&row).map_err(NoRow::Unfit))
        });
        Source { name: "the rows".into(), input: Input::Values(next), check_line: check_json }
    }

    /// Does not parse the lines of a file or a reader, for sources whose writer can be trusted to write JSON; that saves a
    /// third of the work of a load. What is still checked is listed at
    /// [`Batch::push_trusted_json`](crate::Batch::push_trusted_json).
    ///
    /// A row that is not JSON after all is sent, rejected by the service, and reported when the load ends; without this the load
    /// ends before it is sent, and the error has the number of its line.
    pub fn trusted(mut self) -> Source<'s> {
        self.check_line = check_trusted_json;
        self
    }

    /// The same rows out of a file that is read by one more channel.
    pub(super) fn of_file(&self, file: FileRange) -> Source<'static> {
        Source { name: self.name.clone(), input: Input::File(file), check_line: self.check_line }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self.input, Input::File(_))
    }

    /// A load begins: a file ends where it ends now, and its reading at a stop.
    pub(super) fn begin(&mut self, stop: &Stop) -> Result<(), Error> {
        let Input::File(file) = &mut self.input else { return Ok(()) };
        file.end_at(stop);
        file.end_now().map_err(|error| {
            Error::new(ErrorKind::Source, format!("cannot find the length of {}: {error}", self.name))
                .with_source(error)
        })
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}
