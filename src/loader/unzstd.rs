use std::io::{self, BufRead, Read};

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// Unpacks zstd of one frame or several. Zeros after a frame are padding, as tapes and block devices leave it; anything else
/// there is an error.
pub(super) struct Unzstd<R> {
    packed: R,
    decoder: Decoder<'static>,
    /// The next byte belongs to a frame that has begun.
    is_in_frame: bool,
    /// The decoder may have more for a reader without more bytes.
    has_output: bool,
    /// Once there was one, anything else is no frame at all.
    had_frame: bool,
}

impl<R: BufRead> Unzstd<R> {
    pub(super) fn new(packed: R) -> io::Result<Unzstd<R>> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(Unzstd { packed, decoder, is_in_frame: false, has_output: false, had_frame: false })
    }

    /// False at the end.
    fn find_frame(&mut self) -> io::Result<bool> {
        loop {
            let bytes = self.packed.fill_buf()?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            match bytes.get(zeros) {
                Some(&(MAGIC | SKIPPABLE_FIRST..=SKIPPABLE_LAST)) => {
                    self.packed.consume(zeros);
                    return Ok(true);
                }
                Some(_) if self.had_frame => {
                    let happened = "other bytes follow the end of the zstd data";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, happened));
                }
                Some(_) => return Ok(true),
                None if zeros == 0 => return Ok(false),
                None => self.packed.consume(zeros),
            }
        }
    }

    fn decode(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = if self.has_output { &[] } else { self.packed.fill_buf()? };
        let (is_at_end, was_flushing) = (bytes.is_empty(), self.has_output);
        let (mut input, mut output) = (InBuffer::around(bytes), OutBuffer::around(into));
        let left = self.decoder.run(&mut input, &mut output)?;
        let (read, written) = (input.pos(), output.pos());
        self.packed.consume(read);
        self.is_in_frame = left > 0;
        self.has_output = self.is_in_frame && written == into.len();
        self.had_frame |= !self.is_in_frame;
        if self.is_in_frame && is_at_end && !was_flushing && written == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected end of file"));
        }
        Ok(written)
    }
}

impl<R: BufRead> Read for Unzstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_in_frame && !self.find_frame()? {
                return Ok(0);
            }
            let written = self.decode(into)?;
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

/// The first byte of a frame with data, and of those to be skipped: RFC 8878, section 3.1.
const MAGIC: u8 = 0x28;
const SKIPPABLE_FIRST: u8 = 0x50;
const SKIPPABLE_LAST: u8 = 0x5f;

/// 128 MB of memory, which `zstd` itself takes without being asked to.
const WINDOW_LOG_MAX: u32 = 27;

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        zstd::encode_all(text.as_bytes(), 3).unwrap()
    }

    fn unpacked(parts: &[&[u8]]) -> (String, io::Result<usize>) {
        let (bytes, mut text) = (parts.concat(), Vec::new());
        // A small buffer, so that frames and padding end within it and at its edges.
        let end = Unzstd::new(BufReader::with_capacity(7, &bytes[..])).unwrap().read_to_end(&mut text);
        (String::from_utf8(text).unwrap(), end)
    }

    #[test]
    fn frames_follow_each_other_and_zeros_and_frames_to_be_skipped_hold_nothing() {
        let (a, b, nothing) = (packed("first\n"), packed("second\n"), packed(""));
        let skipped = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc";
        for (parts, text) in [
            (vec![&a[..]], "first\n"),
            (vec![&a, &b], "first\nsecond\n"),
            (vec![skipped, &a, skipped, skipped, &b, skipped], "first\nsecond\n"),
            (vec![&a, &[0; 512]], "first\n"),
            (vec![&a, &[0; 3], &nothing, &b, &[0; 20]], "first\nsecond\n"),
            (vec![&nothing], ""),
            (vec![skipped], ""),
        ] {
            let (read, end) = unpacked(&parts);
            assert_eq!((read.as_str(), end.unwrap()), (text, text.len()));
        }
    }

    #[test]
    fn other_bytes_after_the_end_are_an_error_and_so_is_an_early_end() {
        let a = packed("first\n");
        for (parts, said) in [
            (vec![&a[..], b"x"], "other bytes follow the end of the zstd data"),
            (vec![&a, &[0; 9], b"{}"], "other bytes follow the end of the zstd data"),
            (vec![&a, &a[..5]], "unexpected end of file"),
            (vec![&a, b"\x5a\x2a\x4d\x18\x03\x00\x00\x00a"], "unexpected end of file"),
        ] {
            let (read, end) = unpacked(&parts);
            assert_eq!((read.as_str(), end.unwrap_err().to_string().as_str()), ("first\n", said));
        }
        (1..a.len()).for_each(|end| assert!(unpacked(&[&a[..end]]).1.is_err(), "{end}"));
        assert!(unpacked(&[b"{\"ID\":1}"]).1.is_err());
    }

    #[test]
    fn long_texts_come_out_whole_whatever_the_buffers() {
        let text: String = (0..200_000).map(|n| format!("{{\"ID\":{n}}}\n")).collect();
        let bytes = packed(&text);
        for size in [1000, 131_072, 1_000_000] {
            let (mut unpacked, mut all) = (Unzstd::new(BufReader::new(&bytes[..])).unwrap(), Vec::new());
            let mut buffer = vec![0; size];
            loop {
                match unpacked.read(&mut buffer).unwrap() {
                    0 => break,
                    read => all.extend_from_slice(&buffer[..read]),
                }
            }
            assert!(all == text.as_bytes(), "{size}");
        }
    }

    #[test]
    fn a_frame_that_would_take_more_memory_than_the_limit_is_refused() {
        for (log, is_taken) in [(27, true), (28, false)] {
            let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            zstd.window_log(log).unwrap();
            zstd.write_all(b"first\n").unwrap();
            let bytes = zstd.finish().unwrap();
            let (text, end) = unpacked(&[&bytes]);
            assert_eq!((text.is_empty(), end.is_ok()), (!is_taken, is_taken), "{end:?}");
        }
    }
}
