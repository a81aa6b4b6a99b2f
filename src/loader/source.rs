use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::detached_reader::{DetachedReader, Handover};
use super::file_range::FileRange;
use super::row_reader::{Format, RowReader};
use super::unpacked::{Unpacked, damage, is_packed};
use crate::error::{Error, ErrorKind};
use crate::rows::{Batch, UnfitValue, check_json, check_trusted_json};
use crate::stop::Stop;

/// Where a [`Loader`](crate::Loader) takes its rows from.
///
/// Rows have positions: the line number in a text, the place in a sequence otherwise, counted from 1. To resume, a source
/// must give the same rows in the same order in every run; what is committed is compared, and a source in which it differs is
/// refused. Any source goes through one channel or through [several](crate::Loader::channels).
///
/// Every source but a regular file is read on a thread of its own, so that what it has given goes out within a second, also
/// while it blocks. That thread ends before the load returns, so a source that blocks is waited for, after a
/// [stop](crate::Loader::stop_handle) or an error, too. Not waited for are standard input, pipes, terminals and other
/// [`detached`](Source::detached) readers. If a source panics, what it gave before is sent and the panic goes on.
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
    /// Of a regular file, which can be opened again.
    pub(super) path: Option<PathBuf>,
    /// Of a source that is read on a thread of its own.
    pub(super) detached: Option<Arc<Handover>>,
}

pub(super) type CheckLine = fn(&[u8]) -> Result<(), Error>;

pub(super) enum Input<'s> {
    /// Lines, which can be read again, and by several channels at once.
    File(FileRange),
    /// Lines or elements, read once.
    Stream(TextStream<'s>),
    /// Values, taken once.
    Values(NextRow<'s>),
}

/// A text that is read once. Its first row may have been looked at.
pub(super) struct TextStream<'s> {
    pub(super) rows: RowReader,
    pub(super) bytes: Unpacked<'s>,
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
    /// Its first bytes show what it is, not its name. A file that is packed with gzip (feature `gzip`) or zstd is unpacked while
    /// it is read, through to its last member or frame; zstd takes as much memory as its window, at most 128 MB. What is of
    /// another format, such as Parquet, zip or UTF-16, is refused here, packed or not.
    ///
    /// The file that is opened here is loaded, up to where it ends when [`Loader::load`](crate::Loader::load) is called: what
    /// is appended meanwhile is for the next load. A packed file is read once, like a [`reader`](Source::reader). A path that is
    /// no regular file, such as a named pipe or a terminal, is read like a [`detached`](Source::detached) reader.
    ///
    /// # Blocking
    ///
    /// Opening a path that is a pipe waits for its writer.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when the file cannot be opened, is no text in UTF-8 or a JSON array, or needs a feature that
    /// is off. A file that cannot be read or unpacked to its end shows during the load, as [`Source`](ErrorKind::Source).
    ///
    /// ```no_run
    /// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
    /// use snowpipe_streaming::{Loader, Source};
    ///
    /// Loader::new(pipe, "load-1").load(Source::file("flights.ndjson.zst")?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn file(path: impl AsRef<Path>) -> Result<Source<'s>, Error> {
        Source::open(path.as_ref(), Format::Lines)
    }

    /// A file with a JSON array of objects, or with objects one after the other, UTF-8, packed or not; a byte order mark is
    /// skipped. It is read once, like a [`reader`](Source::reader), and never held as a whole.
    ///
    /// The position of a row is its place in the array. Its text is the element without blanks and line breaks outside strings;
    /// numbers and escapes stay as they are. An element that is no object is a bad row. Where the array itself is broken (a
    /// missing comma or end, brackets that do not match) the load ends with [`Row`](ErrorKind::Row), as the next row cannot be
    /// found; the rows before it are committed.
    ///
    /// # Errors
    ///
    /// Those of [`file`](Source::file), which this treats alike otherwise.
    ///
    /// ```no_run
    /// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
    /// use snowpipe_streaming::{Loader, Source};
    ///
    /// Loader::new(pipe, "load-1").load(Source::json("flights.json")?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn json(path: impl AsRef<Path>) -> Result<Source<'s>, Error> {
        Source::open(path.as_ref(), Format::Elements)
    }

    /// NDJSON from anything that can be read once, packed like a [`file`](Source::file) or not; `name` is for messages, and for
    /// the [default channel](Source::default_channel).
    ///
    /// What was sent and is not yet committed is kept, compressed and in bounded memory, so that it can be sent again. The
    /// first end of the reader is final. A stop is noticed when a read returns; see [`detached`](Source::detached) for readers
    /// that may block.
    ///
    /// Nothing is read here. [`Loader::load`](crate::Loader::load) waits for the first bytes before it opens the channel, and
    /// refuses other formats then ([`Config`](ErrorKind::Config)): a `{` or a blank is enough to go on.
    pub fn reader(name: impl Into<String>, reader: impl Read + Send + 's) -> Source<'s> {
        Source::of_reader(name.into(), Box::new(reader), Format::Lines)
    }

    /// A JSON array of objects, or objects one after the other, from anything that can be read once: what
    /// [`json`](Source::json) is for files, and [`reader`](Source::reader) for lines.
    ///
    /// ```
    /// use snowpipe_streaming::Source;
    ///
    /// let source = Source::json_reader("a string", "[{\"ID\": 1}, {\"ID\": 2}]".as_bytes());
    /// ```
    pub fn json_reader(name: impl Into<String>, reader: impl Read + Send + 's) -> Source<'s> {
        Source::of_reader(name.into(), Box::new(reader), Format::Elements)
    }

    /// A [`reader`](Source::reader) that may block forever, such as a pipe or a socket. The load reads it on a thread of its own, and
    /// need not wait for it to end: a [stop](crate::Loader::stop_handle) or an error ends the load at once.
    ///
    /// The thread is left behind then. It ends with the read that it is blocked in; what it reads by then is lost, so another
    /// load should read its rows from their beginning.
    ///
    /// ```no_run
    /// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), Box<dyn std::error::Error>> {
    /// use snowpipe_streaming::{Loader, Source};
    ///
    /// let stream = std::net::TcpStream::connect("localhost:9000")?;
    /// Loader::new(pipe, "load-1").load(Source::detached("localhost:9000", stream))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn detached(name: impl Into<String>, reader: impl Read + Send + 'static) -> Source<'s> {
        Source::of_detached(name.into(), reader, Format::Lines)
    }

    /// Standard input, read like a [`detached`](Source::detached) reader. One load at a time can read it.
    ///
    /// ```no_run
    /// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
    /// use snowpipe_streaming::{Loader, Source};
    ///
    /// Loader::new(pipe, "load-1").load(Source::stdin())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn stdin() -> Source<'s> {
        Source::detached("stdin", io::stdin())
    }

    pub(super) fn open(path: &Path, format: Format) -> Result<Source<'s>, Error> {
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
        if !metadata.is_file() {
            return Ok(Source::of_detached(name, file, format));
        }
        if metadata.len() == 0 {
            return Ok(Source { path: Some(path.into()), ..Source::of_reader(name, Box::new(file), format) });
        }
        let range = FileRange::new(Arc::new(file)).map_err(refuse)?;
        let is_packed = is_packed(range.clone(), format).map_err(|error| not_loaded(error, &name))?;
        let input = match format {
            Format::Lines if !is_packed => Input::File(range),
            _ => Input::Stream(TextStream::new(Unpacked::of_file(range, format), format)),
        };
        Ok(Source { path: Some(path.into()), ..Source::of(name, input) })
    }

    fn of(name: String, input: Input<'s>) -> Source<'s> {
        Source { name, input, check_line: check_json, path: None, detached: None }
    }

    fn of_reader(name: String, reader: Box<dyn Read + Send + 's>, format: Format) -> Source<'s> {
        Source::of(name, Input::Stream(TextStream::new(Unpacked::of_reader(reader, format), format)))
    }

    fn of_detached(name: String, reader: impl Read + Send + 'static, format: Format) -> Source<'s> {
        let reader = DetachedReader::new(reader);
        let detached = Some(reader.handover());
        Source { detached, ..Source::of_reader(name, Box::new(reader), format) }
    }

    /// Values whose field names are column names.
    ///
    /// A value must have the same text in every run: the values up to the committed one are serialised to compare them. A
    /// `HashMap` has another order each time, and so is refused as another source; use a `BTreeMap` or a struct. An iterator is
    /// waited for: a stop is noticed when it has given its next value.
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
        Source::of("the rows".into(), Input::Values(next))
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

    /// A load begins: a file ends where it ends now, and the reading at a stop. What is read once shows what it is.
    pub(super) fn begin(&mut self, stop: &Stop) -> Result<(), Error> {
        self.detached.iter().for_each(|handover| handover.end_at(stop));
        let file = match &mut self.input {
            Input::File(file) => Some(file),
            Input::Stream(text) => text.bytes.file(),
            Input::Values(_) => None,
        };
        if let Some(file) = file {
            file.end_at(stop);
            file.end_now().map_err(|error| {
                Error::new(ErrorKind::Source, format!("cannot find the length of {}: {error}", self.name))
                    .with_source(error)
            })?;
        }
        match &mut self.input {
            Input::Stream(text) => text.bytes.open().map_err(|error| not_loaded(error, &self.name)),
            Input::File(_) | Input::Values(_) => Ok(()),
        }
    }

    /// The format of a text.
    pub(super) fn format(&self) -> Format {
        match &self.input {
            Input::Stream(text) => text.rows.format(),
            Input::File(_) | Input::Values(_) => Format::Lines,
        }
    }

    /// The file that is read once, to be looked through if a row of it turns out to be none.
    pub(super) fn packed(&mut self) -> Option<Packed> {
        let (format, name) = (self.format(), self.name.clone());
        match &mut self.input {
            Input::Stream(text) => text.bytes.file().map(|file| Packed { name, format, file: file.clone() }),
            Input::File(_) | Input::Values(_) => None,
        }
    }
}

/// A file that may be packed, and so damaged.
pub(super) struct Packed {
    name: String,
    format: Format,
    file: FileRange,
}

impl Packed {
    /// A bad row of a damaged archive is no row that anybody wrote. The archive's end shows it, which the load did not reach.
    pub(super) fn blame(self, error: Error) -> Error {
        let Some(number) = error.position().filter(|_| error.kind() == ErrorKind::Row) else { return error };
        match damage(self.file, self.format) {
            Some(damage) => {
                let attempted = format!("read {} {number} of {}", self.format.unit(), self.name);
                damage.attempting(attempted).with_position(number)
            }
            None => error,
        }
    }
}

impl<'s> TextStream<'s> {
    pub(super) fn new(bytes: Unpacked<'s>, format: Format) -> TextStream<'s> {
        TextStream { rows: RowReader::of(format), bytes }
    }
}

fn not_loaded(error: Error, name: &str) -> Error {
    error.attempting(format!("load {name}"))
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}
