use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, ErrorKind};
use crate::rows::Batch;

/// Where a [`Loader`](crate::Loader) takes its rows from.
///
/// Rows have positions: the line number in a text, the place in a sequence otherwise, counted from 1. To resume, a source
/// must give the same rows in the same order in every run. Any source goes through one channel or through
/// [several](crate::Loader::channels).
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
    /// Of a regular file, which several channels can open each.
    pub(super) path: Option<PathBuf>,
    pub(super) input: Input<'s>,
    /// How a line becomes a row.
    pub(super) push_line: PushLine,
}

pub(super) type PushLine = fn(&mut Batch, &[u8]) -> Result<(), Error>;

pub(super) enum Input<'s> {
    /// Lines, which can be read again by seeking.
    File(File),
    /// Lines, read once.
    Stream(Box<dyn Read + Send + 's>),
    /// Values, taken once.
    Values(NextRow<'s>),
}

/// Puts the next row into the batch, or skips it if there is no batch; `None` at the end.
pub(super) type NextRow<'s> = Box<dyn FnMut(Option<&mut Batch>) -> Option<Result<(), Error>> + Send + 's>;

impl<'s> Source<'s> {
    /// A file of NDJSON: one object a line, UTF-8; blank lines and a byte order mark are skipped.
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
        let kind = file.metadata().map_err(refuse)?.file_type();
        if kind.is_dir() {
            return Err(Error::new(ErrorKind::Config, format!("{name} is a folder")).advise("name a file in it"));
        }
        // A pipe or a terminal has a path too.
        if !kind.is_file() {
            return Ok(Source::reader(name, file));
        }
        Ok(Source { name, path: Some(path.to_path_buf()), input: Input::File(file), push_line: Batch::push_json })
    }

    /// NDJSON from anything that can be read once; `name` is for messages.
    ///
    /// What was sent and is not yet committed is kept, compressed and in bounded memory, so that it can be sent again.
    pub fn reader(name: impl Into<String>, reader: impl Read + Send + 's) -> Source<'s> {
        Source { name: name.into(), path: None, input: Input::Stream(Box::new(reader)), push_line: Batch::push_json }
    }

    /// Values whose field names are column names.
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
        let mut rows = rows.into_iter();
        let next: NextRow<'s> = Box::new(move |batch| {
            let row = match rows.next()? {
                Ok(row) => row,
                Err(error) => {
                    let happened = format!("the source of the rows failed: {error}");
                    return Some(Err(Error::new(ErrorKind::Source, happened).with_source(error)));
                }
            };
            Some(batch.map_or(Ok(()), |batch| batch.push(&row)))
        });
        Source { name: "the rows".into(), path: None, input: Input::Values(next), push_line: Batch::push_json }
    }

    /// Does not parse the lines of a file or a reader, for sources whose writer can be trusted to write JSON; that saves a
    /// third of the work of a load. What is still checked is listed at
    /// [`Batch::push_trusted_json`](crate::Batch::push_trusted_json).
    ///
    /// A row that is not JSON after all is sent, rejected by the service, and reported when the load ends; without this the load
    /// ends before it is sent, and the error has the number of its line.
    pub fn trusted(mut self) -> Source<'s> {
        self.push_line = Batch::push_trusted_json;
        self
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}
