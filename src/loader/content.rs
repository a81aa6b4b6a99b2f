use super::read_buffer::BYTE_ORDER_MARK;
use super::row_reader::Format;
use crate::error::{Error, ErrorKind};

/// What a source holds, as its first bytes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Lines of NDJSON, or whatever no magic number is known of.
    Text,
    /// A JSON array.
    Array,
    Gzip,
    Zstd,
    /// No format of ours, and what to do about it.
    Foreign {
        what: &'static str,
        cure: &'static str,
    },
}

/// Bytes that stand at a certain place of every file of one format.
struct Signature {
    at: usize,
    bytes: &'static [u8],
    /// Text may begin with the same letters: only bytes that are no text after them show the format.
    is_text: bool,
    content: Content,
}

/// How far the first bytes agree with a signature.
#[derive(PartialEq, Eq)]
enum Fit {
    Yes,
    No,
    /// More bytes will show.
    Open,
}

impl Content {
    /// `None` if more bytes may show something else; of all bytes there are (`Extent::All`) it always knows.
    pub(super) fn of(first: &[u8], extent: Extent) -> Option<Content> {
        let is_open = extent == Extent::Some && first.len() < MOST_BYTES;
        match first {
            [] if is_open => return None,
            [b'{' | b' ' | b'\t' | b'\r' | b'\n', ..] => return Some(Content::Text),
            [b'[', ..] => return Some(Content::Array),
            _ if first.starts_with(BYTE_ORDER_MARK) => return of_utf_8(&first[BYTE_ORDER_MARK.len()..], is_open),
            _ if is_open && BYTE_ORDER_MARK.starts_with(first) => return None,
            _ => {}
        }
        for signature in &SIGNATURES {
            match signature.fit(first) {
                Fit::Yes => return Some(signature.content),
                Fit::Open if is_open => return None,
                Fit::Open | Fit::No => {}
            }
        }
        Some(Content::Text)
    }

    /// An error if it cannot be read as this format. What is packed is unpacked before that.
    pub(super) fn check(self, format: Format) -> Result<(), Error> {
        match self {
            Content::Array if format == Format::Lines => {
                let error = Error::new(ErrorKind::Config, "it is a JSON array, not one object a line");
                Err(error.advise("load it with Source::json, or write one object a line"))
            }
            Content::Foreign { what, cure } => Err(Error::new(ErrorKind::Config, format!("it is {what}")).advise(cure)),
            Content::Text | Content::Array | Content::Gzip | Content::Zstd => Ok(()),
        }
    }
}

/// Which of a source's bytes are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Some,
    All,
}

fn of_utf_8(text: &[u8], is_open: bool) -> Option<Content> {
    match text {
        [] if is_open => None,
        [b'[', ..] => Some(Content::Array),
        _ => Some(Content::Text),
    }
}

impl Signature {
    fn fit(&self, first: &[u8]) -> Fit {
        // So far into a file, with a line end before it, it is a text.
        if self.at > 0 && first[..first.len().min(self.at)].contains(&b'\n') {
            return Fit::No;
        }
        let there = first.get(self.at..).unwrap_or_default();
        let compared = there.len().min(self.bytes.len());
        if there[..compared] != self.bytes[..compared] {
            return Fit::No;
        }
        if compared < self.bytes.len() {
            return Fit::Open;
        }
        if !self.is_text {
            return Fit::Yes;
        }
        let after = &there[compared..there.len().min(compared + BINARY_WITHIN)];
        match after.iter().any(|byte| is_never_text(*byte)) {
            true => Fit::Yes,
            false if after.len() == BINARY_WITHIN => Fit::No,
            false => Fit::Open,
        }
    }
}

/// Control characters, but not those that texts hold.
fn is_never_text(byte: u8) -> bool {
    byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')
}

/// So many bytes show any format: a tar archive is known by what follows its first file's name and attributes.
pub(super) const MOST_BYTES: usize = 512;

/// Binary formats whose magic number is made of letters have a number or a length soon after it.
const BINARY_WITHIN: usize = 16;

const fn signature(bytes: &'static [u8], content: Content) -> Signature {
    Signature { at: 0, bytes, is_text: false, content }
}

const fn letters(bytes: &'static [u8], what: &'static str) -> Signature {
    Signature { at: 0, bytes, is_text: true, content: Content::Foreign { what, cure: AS_NDJSON } }
}

const fn table(bytes: &'static [u8], what: &'static str) -> Signature {
    signature(bytes, Content::Foreign { what, cure: AS_NDJSON })
}

const fn packed(bytes: &'static [u8], what: &'static str) -> Signature {
    signature(bytes, Content::Foreign { what, cure: UNPACK })
}

const fn archive(bytes: &'static [u8], what: &'static str) -> Signature {
    signature(bytes, Content::Foreign { what, cure: TAKE_OUT })
}

const fn wide(bytes: &'static [u8], what: &'static str) -> Signature {
    signature(bytes, Content::Foreign { what, cure: TO_UTF_8 })
}

const AS_NDJSON: &str = "write its rows as NDJSON, one object a line, or load it with COPY INTO";
const UNPACK: &str = "unpack it first, or pack it with gzip or zstd";
const TAKE_OUT: &str = "take the files out of it and load each";
const TO_UTF_8: &str = "convert it to UTF-8, as iconv does";
/// After the name of the first file, its owner, size and time.
const TAR_AT: usize = 257;

/// Where one begins like another, the longer one comes first. The one that takes the most bytes comes last.
const SIGNATURES: [Signature; 39] = [
    signature(b"\x1f\x8b", Content::Gzip),
    signature(b"\x28\xb5\x2f\xfd", Content::Zstd),
    // Frames to be skipped, with which a stream of zstd may begin.
    signature(b"\x50\x2a\x4d\x18", Content::Zstd),
    signature(b"\x51\x2a\x4d\x18", Content::Zstd),
    signature(b"\x52\x2a\x4d\x18", Content::Zstd),
    signature(b"\x53\x2a\x4d\x18", Content::Zstd),
    signature(b"\x54\x2a\x4d\x18", Content::Zstd),
    signature(b"\x55\x2a\x4d\x18", Content::Zstd),
    signature(b"\x56\x2a\x4d\x18", Content::Zstd),
    signature(b"\x57\x2a\x4d\x18", Content::Zstd),
    signature(b"\x58\x2a\x4d\x18", Content::Zstd),
    signature(b"\x59\x2a\x4d\x18", Content::Zstd),
    signature(b"\x5a\x2a\x4d\x18", Content::Zstd),
    signature(b"\x5b\x2a\x4d\x18", Content::Zstd),
    signature(b"\x5c\x2a\x4d\x18", Content::Zstd),
    signature(b"\x5d\x2a\x4d\x18", Content::Zstd),
    signature(b"\x5e\x2a\x4d\x18", Content::Zstd),
    signature(b"\x5f\x2a\x4d\x18", Content::Zstd),
    wide(b"\xff\xfe\x00\x00", "text in UTF-32 (LE)"),
    wide(b"\x00\x00\xfe\xff", "text in UTF-32 (BE)"),
    wide(b"\xff\xfe", "text in UTF-16 (LE)"),
    wide(b"\xfe\xff", "text in UTF-16 (BE)"),
    letters(b"PAR1", "a Parquet file"),
    letters(b"PARE", "an encrypted Parquet file"),
    table(b"Obj\x01", "an Avro file"),
    letters(b"ORC", "an ORC file"),
    table(b"ARROW1\x00\x00", "an Arrow file"),
    table(b"\xff\xff\xff\xff", "an Arrow stream"),
    table(b"SQLite format 3\x00", "an SQLite database"),
    packed(b"BZh", "packed with bzip2"),
    packed(b"\xfd7zXZ\x00", "packed with xz"),
    packed(b"\x04\x22\x4d\x18", "packed with lz4"),
    packed(b"\x02\x21\x4c\x18", "packed with lz4"),
    packed(b"\xff\x06\x00\x00sNaPpY", "packed with snappy"),
    archive(b"PK\x03\x04", "a zip archive"),
    archive(b"PK\x05\x06", "a zip archive"),
    archive(b"PK\x07\x08", "a zip archive"),
    archive(b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    Signature { at: TAR_AT, ..archive(b"ustar", "a tar archive") },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn known(first: &[u8]) -> Content {
        Content::of(first, Extent::All).unwrap()
    }

    fn what(first: &[u8]) -> &'static str {
        match known(first) {
            Content::Foreign { what, .. } => what,
            other => panic!("{other:?}"),
        }
    }

    /// The first bytes of files that the formats' own tools have written.
    #[test]
    fn each_format_is_known_by_its_first_bytes() {
        let tar = [&b"rows.ndjson"[..], &[0; 246], b"ustar\x0000", &[0; 247]].concat();
        let old_tar = [&b"rows.ndjson"[..], &[0; 246], b"ustar  \x00", &[0; 247]].concat();
        for (first, expected) in [
            (&b"\xff\xfe{\x00\"\x00I\x00"[..], "text in UTF-16 (LE)"),
            (b"\xff\xfe", "text in UTF-16 (LE)"),
            (b"\xfe\xff\x00{\x00\"", "text in UTF-16 (BE)"),
            (b"\xff\xfe\x00\x00{\x00\x00\x00", "text in UTF-32 (LE)"),
            (b"\x00\x00\xfe\xff\x00\x00\x00{", "text in UTF-32 (BE)"),
            (b"PAR1\x15\x04\x15\x10\x15\x14L\x15\x02\x15\x04\x12\x00\x00\x08", "a Parquet file"),
            (b"PAREPK\x01\x00\x00\x00", "an encrypted Parquet file"),
            (b"Obj\x01\x04\x14avro.codec\x08null\x16avro.schema", "an Avro file"),
            (b"ORC\n\x0b\n\x03\x00\x00\x00\x12\x04\x08\x03P\x00", "an ORC file"),
            (b"ORC\x11\x00\x00\n\x06\x12\x04\x08\x0aP\x00", "an ORC file"),
            (b"ARROW1\x00\x00\xff\xff\xff\xff\xa8\x00\x00\x00", "an Arrow file"),
            (b"\xff\xff\xff\xff\xa8\x00\x00\x00\x10\x00\x00\x00", "an Arrow stream"),
            (b"BZh91AY&SY\xd8r\x01/", "packed with bzip2"),
            (b"BZh9\x17rE8P\x90\x00\x00\x00\x00", "packed with bzip2"),
            (b"\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4F", "packed with xz"),
            (b"\x04\"M\x18d@\xa7", "packed with lz4"),
            (b"\x02!L\x18", "packed with lz4"),
            (b"\xff\x06\x00\x00sNaPpY\x01\x08\x00\x00", "packed with snappy"),
            (b"PK\x03\x04\x14\x00\x00\x00\x08\x00", "a zip archive"),
            (b"PK\x05\x06\x00\x00\x00\x00\x00\x00", "a zip archive"),
            (b"7z\xbc\xaf'\x1c\x00\x04", "a 7z archive"),
            (&tar, "a tar archive"),
            (&old_tar, "a tar archive"),
            (b"SQLite format 3\x00\x10\x00\x01\x01\x00@  ", "an SQLite database"),
        ] {
            assert_eq!(what(first), expected);
        }
        assert_eq!(known(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"), Content::Gzip);
        assert_eq!(known(b"\x28\xb5\x2f\xfd\x04\x58\x41\x00\x00"), Content::Zstd);
        assert_eq!(known(b"\x5f\x2a\x4d\x18\x04\x00\x00\x00"), Content::Zstd);
        assert_eq!(known(b"[{\"ID\":1}]"), Content::Array);
        assert_eq!(known(b"\xef\xbb\xbf["), Content::Array);
    }

    #[test]
    fn what_begins_like_none_is_text_however_short_it_is() {
        let long = [&[b'x'; 300][..], b"ustar"].concat();
        for first in [
            &b""[..],
            b"{",
            b"{}",
            b" [",
            b"\n\n",
            b"\xef\xbb\xbf",
            b"\xef\xbb\xbf{}",
            b"\xef",
            b"1",
            b"P",
            b"PK",
            b"ORC",
            b"ORCID,NAME\n1,a\n",
            b"PAR1,PAR2,PAR3,PAR4",
            b"Obj",
            b"\x1f",
            b"\xff",
            b"\x28\xb5\x2f",
            b"SQLite format",
            &long,
        ] {
            assert_eq!(known(first), Content::Text, "{first:?}");
        }
    }

    #[test]
    fn no_more_bytes_are_asked_for_than_it_takes() {
        for (first, expected) in [
            (&b""[..], None),
            (b"{", Some(Content::Text)),
            (b" ", Some(Content::Text)),
            (b"\n", Some(Content::Text)),
            (b"[", Some(Content::Array)),
            (b"\x1f", None),
            (b"\x1f\x8b", Some(Content::Gzip)),
            (b"\x28\xb5\x2f", None),
            (b"\xef\xbb", None),
            (b"\xef\xbb\xbf", None),
            (b"\xef\xbb\xbf{", Some(Content::Text)),
            (b"\xff\xfe", None),
            (b"ORC", None),
            (b"# a comment", None),
            (b"# a comment\n", Some(Content::Text)),
            (&[b'x'; MOST_BYTES], Some(Content::Text)),
        ] {
            assert_eq!(Content::of(first, Extent::Some), expected, "{first:?}");
        }
    }
}
