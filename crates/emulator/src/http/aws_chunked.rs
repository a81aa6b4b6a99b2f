//! `aws-chunked`, the framing that S3 clients put around a body: chunks, then trailers with a checksum.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Removes the framing; `None` when it is malformed or the checksum is wrong.
pub(crate) fn unframe(framed: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::with_capacity(framed.len());
    let mut rest = framed;
    loop {
        let (line, after) = split_line(rest)?;
        let size = line.split(|byte| *byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return check_trailers(after, &body).then_some(body);
        }
        body.extend_from_slice(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memmem::find(bytes, b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

/// Checks the CRC-32, the only checksum that the official SDK sends. Others are let through unread.
fn check_trailers(mut rest: &[u8], body: &[u8]) -> bool {
    while let Some((line, after)) = split_line(rest) {
        let line = String::from_utf8_lossy(line);
        if let Some((name, value)) = line.split_once(':') {
            let is_crc = name.trim().eq_ignore_ascii_case("x-amz-checksum-crc32");
            if is_crc && value.trim() != crc32(body) {
                return false;
            }
        }
        rest = after;
    }
    rest.is_empty()
}

fn crc32(body: &[u8]) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(body);
    STANDARD.encode(crc.sum().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_the_checksum_is_checked() {
        let plain = b"3\r\nabc\r\n2;chunk-signature=00\r\nde\r\n0\r\n\r\n";
        assert_eq!(unframe(plain).unwrap(), b"abcde");
        // CRC-32 of "abcde" is 0x8587d865.
        let good = b"5\r\nabcde\r\n0\r\nx-amz-checksum-crc32:hYfYZQ==\r\n\r\n";
        assert_eq!(unframe(good).unwrap(), b"abcde");
        let bad = b"5\r\nabcdf\r\n0\r\nx-amz-checksum-crc32:hYfYZQ==\r\n\r\n";
        assert_eq!(unframe(bad), None);
        for cut in ["", "5\r\nabc", "5\r\nabcdeX\r\n0\r\n\r\n", "x\r\n", "ffffffffffffffff\r\na"] {
            assert_eq!(unframe(cut.as_bytes()), None, "{cut:?}");
        }
    }
}
