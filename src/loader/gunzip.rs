use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// Unpacks gzip of one member or several. Zeros after a member are padding, as tapes and block devices leave it; anything
/// else there is an error.
pub(super) struct Gunzip<R> {
    /// `None` at the end.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Gunzip<R> {
    pub(super) fn new(packed: R) -> Gunzip<R> {
        Gunzip { member: Some(GzDecoder::new(packed)) }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let read = member.read(into)?;
            if read > 0 {
                return Ok(read);
            }
            self.member = match self.member.take() {
                Some(member) => next_member(member.into_inner())?,
                None => None,
            };
        }
        Ok(0)
    }
}

fn next_member<R: BufRead>(mut packed: R) -> io::Result<Option<GzDecoder<R>>> {
    loop {
        let bytes = match packed.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        match bytes.get(zeros) {
            Some(&MAGIC) => {
                packed.consume(zeros);
                return Ok(Some(GzDecoder::new(packed)));
            }
            Some(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "other bytes follow the end of the gzip data"));
            }
            None if zeros == 0 => return Ok(None),
            None => packed.consume(zeros),
        }
    }
}

/// The first byte of a member: RFC 1952, section 2.3.1.
const MAGIC: u8 = 0x1f;

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    fn unpacked(parts: &[&[u8]]) -> (String, io::Result<usize>) {
        let (bytes, mut text) = (parts.concat(), Vec::new());
        // A small buffer, so that members and padding end within it and at its edges.
        let end = Gunzip::new(BufReader::with_capacity(7, &bytes[..])).read_to_end(&mut text);
        (String::from_utf8(text).unwrap(), end)
    }

    #[test]
    fn members_follow_each_other_and_zeros_are_padding() {
        let (a, b) = (packed("first\n"), packed("second\n"));
        for (parts, text) in [
            (vec![&a[..]], "first\n"),
            (vec![&a, &b], "first\nsecond\n"),
            (vec![&a, &[0; 512]], "first\n"),
            (vec![&a, &[0; 3], &b, &[0; 20]], "first\nsecond\n"),
        ] {
            let (read, end) = unpacked(&parts);
            assert_eq!((read.as_str(), end.unwrap()), (text, text.len()));
        }
    }

    #[test]
    fn other_bytes_after_the_end_are_an_error_and_so_is_an_early_end() {
        let a = packed("first\n");
        for (parts, said) in [
            (vec![&a[..], b"x"], "other bytes follow the end of the gzip data"),
            (vec![&a, &[0; 9], b"{}"], "other bytes follow the end of the gzip data"),
            (vec![&a, &a[..5]], "unexpected end of file"),
        ] {
            let (read, end) = unpacked(&parts);
            assert_eq!((read.as_str(), end.unwrap_err().to_string().as_str()), ("first\n", said));
        }
        assert!(unpacked(&[&a[..a.len() - 1]]).1.is_err());
        assert!(unpacked(&[b"{\"ID\":1}"]).1.is_err());
    }
}
