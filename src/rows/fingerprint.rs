use std::fmt;

/// The CRC-32 (as in gzip) of all rows that a channel carries up to some row: tells one source from another.
///
/// Each row counts without the blanks around it and followed by one line feed, so a file with CRLF, or one that a line feed
/// was added to, stays the same source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u32);

impl Fingerprint {
    /// The fingerprint one row later. A line feed at the end of `row` is none of it.
    pub(crate) fn with_row(self, row: &[u8]) -> Fingerprint {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(trimmed(row));
        hasher.update(b"\n");
        Fingerprint(hasher.finalize())
    }

    /// Eight lower-case hex digits and nothing else.
    pub(super) fn parse(text: &str) -> Option<Fingerprint> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != HEX_DIGITS || !text.bytes().all(is_digit) {
            return None;
        }
        u32::from_str_radix(text, 16).ok().map(Fingerprint)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Whether a byte around a row is none of it.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// Without the blanks around it and the line feed at its end.
pub(crate) fn trimmed(row: &[u8]) -> &[u8] {
    let mut row = row.strip_suffix(b"\n").unwrap_or(row);
    while let [first, rest @ ..] = row
        && is_blank(*first)
    {
        row = rest;
    }
    while let [rest @ .., last] = row
        && is_blank(*last)
    {
        row = rest;
    }
    row
}

/// Of 32 bits.
const HEX_DIGITS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(rows: &[&str]) -> String {
        let none = Fingerprint::default();
        rows.iter().fold(none, |fingerprint, row| fingerprint.with_row(row.as_bytes())).to_string()
    }

    #[test]
    fn it_is_the_crc_32_of_the_rows_with_their_line_feeds() {
        // As `printf '123456789\n' | gzip | tail -c8 | od -An -tx4` prints it first.
        assert_eq!(after(&[]), "00000000");
        assert_eq!(after(&["123456789"]), "e0117757");
        assert_eq!(after(&["{}", "{}"]), after(&["{}\n{}"]));
    }

    #[test]
    fn blanks_around_a_row_are_none_of_it_and_blanks_within_are() {
        for same in [" {\"A\": 1}", "{\"A\": 1}\r", "\t {\"A\": 1} \r\n"] {
            assert_eq!(after(&[same]), after(&["{\"A\": 1}"]), "{same:?}");
        }
        assert_ne!(after(&["{\"A\":1}"]), after(&["{\"A\": 1}"]));
        assert_eq!(after(&[" \r"]), after(&[""]), "all blank");
    }

    #[test]
    fn order_and_place_matter() {
        assert_ne!(after(&["a", "b"]), after(&["b", "a"]));
        assert_ne!(after(&["ab"]), after(&["a", "b"]));
    }

    #[test]
    fn it_is_read_back_in_its_own_form_only() {
        let found = Fingerprint::parse("00ab12ef").unwrap();
        assert_eq!(found.to_string(), "00ab12ef");
        for text in ["", "ab12ef", "00AB12EF", "00ab12eg", "+0ab12ef", "000ab12ef", "00ab12é"] {
            assert_eq!(Fingerprint::parse(text), None, "{text:?}");
        }
    }
}
