use std::fmt;
use std::io::{self, Read};

use super::content::{Content, Extent, MOST_BYTES};
use super::file_range::FileRange;
#[cfg(feature = "gzip")]
use super::gunzip::Gunzip;
use super::row_reader::Format;
#[cfg(feature = "zstd")]
use super::unzstd::Unzstd;
use crate::error::{Error, ErrorKind};

/// The text of a source: what packs it is taken off, layer by layer, as the first bytes of each show.
///
/// Nothing is read before it is [opened](Unpacked::open), at the latest by the first read.
pub(super) struct Unpacked<'s> {
    /// How the text is divided into rows: an array is no text of lines.
    format: Format,
    state: Opening<'s>,
}

enum Opening<'s> {
    File(FileRange),
    Reader(Bytes<'s>),
    Open(Bytes<'s>),
    Refused(Error),
}

type Bytes<'s> = Box<dyn Read + Send + 's>;

impl<'s> Unpacked<'s> {
    pub(super) fn of_file(file: FileRange, format: Format) -> Unpacked<'s> {
        Unpacked { format, state: Opening::File(file) }
    }

    pub(super) fn of_reader(reader: Bytes<'s>, format: Format) -> Unpacked<'s> {
        Unpacked { format, state: Opening::Reader(reader) }
    }

    /// The regular file below it, as long as nothing was read.
    pub(super) fn file(&mut self) -> Option<&mut FileRange> {
        match &mut self.state {
            Opening::File(file) => Some(file),
            Opening::Reader(_) | Opening::Open(_) | Opening::Refused(_) => None,
        }
    }

    /// Reads as many bytes as show what they are, and no more. An error if that is no format of ours; the failure of the
    /// source itself is left for the first read.
    pub(super) fn open(&mut self) -> Result<(), Error> {
        let taken = Error::new(ErrorKind::Source, "reading it has failed");
        let bytes: Bytes<'s> = match std::mem::replace(&mut self.state, Opening::Refused(taken)) {
            Opening::File(file) => Box::new(Raw(file)),
            Opening::Reader(reader) => Box::new(Raw(reader)),
            Opening::Open(bytes) => {
                self.state = Opening::Open(bytes);
                return Ok(());
            }
            Opening::Refused(error) => {
                self.state = Opening::Refused(error.clone());
                return Err(error);
            }
        };
        match opened(bytes, self.format) {
            Ok((text, _)) => self.state = Opening::Open(text),
            Err(error) => {
                self.state = Opening::Refused(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.open().map_err(io::Error::other)?;
        match &mut self.state {
            Opening::Open(text) => text.read(into),
            Opening::File(_) | Opening::Reader(_) | Opening::Refused(_) => Ok(0),
        }
    }
}

impl fmt::Debug for Unpacked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacked").field("format", &self.format).finish_non_exhaustive()
    }
}

/// What is wrong with a packed file that is read as a whole: what comes out of a damaged one may be no row.
pub(super) fn damage(mut file: FileRange, format: Format) -> Option<Error> {
    file.end_now().ok()?;
    let mut text = Unpacked::of_file(file, format);
    let error = io::copy(&mut text, &mut io::sink()).err()?;
    error.get_ref()?.downcast_ref::<Error>().cloned()
}

/// Whether a file is packed. An error if it, or what is packed in it, is of no format of ours.
pub(super) fn is_packed(file: FileRange, format: Format) -> Result<bool, Error> {
    opened(Box::new(Raw(file)), format).map(|(_, layers)| layers > 0)
}

/// The text, and in how many layers it was packed.
fn opened(mut bytes: Bytes<'_>, format: Format) -> Result<(Bytes<'_>, usize), Error> {
    let mut outer = Vec::new();
    while outer.len() <= MOST_LAYERS {
        let (content, seen) = look(bytes);
        content.check(format).map_err(|error| within(error, &outer))?;
        bytes = match content {
            Content::Gzip => gunzip(seen)?,
            Content::Zstd => unzstd(seen)?,
            Content::Text | Content::Array | Content::Foreign { .. } => return Ok((seen, outer.len())),
        };
        outer.push(if content == Content::Gzip { "gzip" } else { "zstd" });
    }
    let happened = format!("it is packed more than {MOST_LAYERS} times");
    Err(Error::new(ErrorKind::Config, happened).advise("unpack it first"))
}

/// The same refusal, of what was packed.
fn within(error: Error, outer: &[&str]) -> Error {
    match outer.last() {
        Some(method) => error.into_kind(ErrorKind::Config, &format!("inside the {method}")),
        None => error,
    }
}

/// Reads the first bytes, and gives all of them back to be read.
fn look(mut bytes: Bytes<'_>) -> (Content, Bytes<'_>) {
    let (mut first, mut failure) = (Vec::new(), None);
    let content = loop {
        if let Some(content) = Content::of(&first, Extent::Some) {
            break Some(content);
        }
        let mut more = [0; MOST_BYTES];
        match bytes.read(&mut more[first.len()..]) {
            Ok(0) => break Content::of(&first, Extent::All),
            Ok(read) => first.extend_from_slice(&more[first.len()..][..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                failure = Some(error);
                break Content::of(&first, Extent::All);
            }
        }
    };
    (content.unwrap_or(Content::Text), Box::new(Seen { first, at: 0, failure, rest: bytes }))
}

/// Gives the bytes that were looked at once more, then the failure that came after them, if any, then the rest.
struct Seen<'s> {
    first: Vec<u8>,
    at: usize,
    failure: Option<io::Error>,
    rest: Bytes<'s>,
}

impl Read for Seen<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut left = &self.first[self.at..];
        if !left.is_empty() {
            let read = left.read(into)?;
            self.at += read;
            return Ok(read);
        }
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.rest.read(into),
        }
    }
}

/// Marks its own failures, so that they differ from those of what unpacks it.
struct Raw<R>(R);

impl<R: Read> Read for Raw<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            // A stop ends the reading, too.
            _ if is_ours(&error) => error,
            kind => io::Error::new(kind, read_failed(error)),
        })
    }
}

fn is_ours(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Error>())
}

/// The source itself failed.
pub(super) fn read_failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Source, format!("reading failed: {error}")).with_source(error)
}

/// Says of what unpacks that its input is damaged, unless the input itself has failed.
#[cfg(any(feature = "gzip", feature = "zstd"))]
struct Damaged<R>(R);

#[cfg(any(feature = "gzip", feature = "zstd"))]
impl<R: Read> Read for Damaged<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into).map_err(|error| {
            if is_ours(&error) || error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            io::Error::other(damaged(error))
        })
    }
}

#[cfg(any(feature = "gzip", feature = "zstd"))]
fn damaged(error: io::Error) -> Error {
    // The text of zstd for a window beyond the limit.
    if error.to_string().contains("too much memory") {
        let happened = "its window takes more than 128 MB of memory to unpack";
        return Error::new(ErrorKind::Source, happened).advise("pack it again without --long or --ultra");
    }
    let happened = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the archive is damaged: it is truncated".to_string(),
        _ => format!("the archive is damaged: {error}"),
    };
    Error::new(ErrorKind::Source, happened).advise("fetch or pack it again").with_source(error)
}

#[cfg(feature = "gzip")]
fn gunzip(packed: Bytes<'_>) -> Result<Bytes<'_>, Error> {
    Ok(Box::new(Damaged(Gunzip::new(io::BufReader::with_capacity(PACKED_BUFFER, packed)))))
}

#[cfg(not(feature = "gzip"))]
fn gunzip(_: Bytes<'_>) -> Result<Bytes<'_>, Error> {
    Err(lacks("gzip"))
}

#[cfg(feature = "zstd")]
fn unzstd(packed: Bytes<'_>) -> Result<Bytes<'_>, Error> {
    let unpacked = Unzstd::new(io::BufReader::with_capacity(PACKED_BUFFER, packed));
    Ok(Box::new(Damaged(unpacked.map_err(damaged)?)))
}

#[cfg(not(feature = "zstd"))]
fn unzstd(_: Bytes<'_>) -> Result<Bytes<'_>, Error> {
    Err(lacks("zstd"))
}

#[cfg(not(all(feature = "gzip", feature = "zstd")))]
fn lacks(feature: &str) -> Error {
    let happened = format!("it is packed with {feature}, and this program was built without the feature {feature}");
    Error::new(ErrorKind::Config, happened)
        .advise(format!("switch on the feature {feature} of snowpipe-streaming, or unpack it first"))
}

/// What tools make by mistake; a file may unpack to itself for ever.
const MOST_LAYERS: usize = 4;

/// As much as a system call gives at once from a pipe.
#[cfg(any(feature = "gzip", feature = "zstd"))]
const PACKED_BUFFER: usize = 64 * 1024;
