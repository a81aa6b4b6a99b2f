use std::io::Read;

use serde::{Deserialize, Serialize};

/// How a body is compressed, and how to decompress it within a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Why a body cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The bytes are not what the header says.
    Corrupt,
    /// More than the bound would come out.
    TooLong,
}

impl Encoding {
    /// Reads a `Content-Encoding`; `None` for one that the service does not know.
    pub(crate) fn parse(header: Option<&str>) -> Option<Self> {
        match header.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Decompresses `wire` into `plain`, which is emptied first and keeps its capacity. `expected` is the length that
    /// the sender announced, if any; it saves work when it is right and does no harm when it is wrong.
    pub(crate) fn decode(
        self,
        wire: &[u8],
        limit: usize,
        expected: Option<usize>,
        plain: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        plain.clear();
        match self {
            Self::Identity if wire.len() > limit => Err(DecodeError::TooLong),
            Self::Identity => {
                plain.extend_from_slice(wire);
                Ok(())
            }
            Self::Gzip => decompress(flate2::bufread::MultiGzDecoder::new(wire), limit, plain),
            Self::Zstd => decompress_zstd(wire, limit, expected, plain),
        }
    }
}

/// Decompresses in one call when the length is known beforehand, which saves a copy of everything. When that fails,
/// because the announced length is wrong or more frames follow, the slower way has the last word.
fn decompress_zstd(wire: &[u8], limit: usize, expected: Option<usize>, plain: &mut Vec<u8>) -> Result<(), DecodeError> {
    let stated = zstd::zstd_safe::get_frame_content_size(wire)
        .ok()
        .flatten()
        .and_then(|len| usize::try_from(len).ok())
        .max(expected)
        .filter(|len| *len <= limit && *len <= trusted_len(wire.len()));
    if let Some(len) = stated {
        plain.reserve(len);
        let mut whole = zstd::bulk::Decompressor::new().map_err(|_| DecodeError::Corrupt)?;
        if whole.decompress_to_buffer(wire, plain).is_ok() {
            return Ok(());
        }
        plain.clear();
    }
    let stream = zstd::stream::read::Decoder::with_buffer(wire).map_err(|_| DecodeError::Corrupt)?;
    decompress(stream, limit, plain)
}

/// How much memory a body of this size gets because it announces that much. Rows shrink to a tenth or so; whatever
/// claims more than this is decompressed step by step, so that a few bytes cannot make the process allocate the whole
/// bound.
fn trusted_len(wire_len: usize) -> usize {
    wire_len.saturating_mul(64).max(1 << 20)
}

fn decompress(source: impl Read, limit: usize, plain: &mut Vec<u8>) -> Result<(), DecodeError> {
    // One byte more, to tell a body that just fits from one that is too long.
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    source.take(bound).read_to_end(plain).map_err(|_| DecodeError::Corrupt)?;
    if plain.len() > limit {
        return Err(DecodeError::TooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn decode(encoding: Encoding, wire: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        let mut plain = b"left over".to_vec();
        encoding.decode(wire, limit, None, &mut plain)?;
        Ok(plain)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn every_encoding_gives_back_what_went_in() {
        let text = b"{\"a\":1}\n".repeat(1000);
        let zstd = zstd::bulk::compress(&text, 1).unwrap();
        let mut streamed = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        streamed.write_all(&text).unwrap();
        let streamed = streamed.finish().unwrap();
        let two_frames = [zstd.as_slice(), zstd.as_slice()].concat();
        assert_eq!(decode(Encoding::Identity, &text, 8000).unwrap(), text);
        assert_eq!(decode(Encoding::Gzip, &gzip(&text), 8000).unwrap(), text);
        assert_eq!(decode(Encoding::Zstd, &zstd, 8000).unwrap(), text);
        assert_eq!(decode(Encoding::Zstd, &streamed, 8000).unwrap(), text);
        assert_eq!(decode(Encoding::Zstd, &two_frames, 16_000).unwrap(), text.repeat(2));
    }

    #[test]
    fn a_bomb_is_stopped_at_the_bound() {
        let zeros = vec![0; 10_000_000];
        for (encoding, wire) in [
            (Encoding::Zstd, zstd::bulk::compress(&zeros, 1).unwrap()),
            (Encoding::Gzip, gzip(&zeros)),
            (Encoding::Identity, zeros),
        ] {
            assert_eq!(decode(encoding, &wire, 9_999_999), Err(DecodeError::TooLong));
            assert_eq!(decode(encoding, &wire, 10_000_000).unwrap().len(), 10_000_000);
        }
    }

    #[test]
    fn what_is_cut_or_not_compressed_at_all_is_corrupt() {
        let zstd = zstd::bulk::compress(b"some text", 1).unwrap();
        for wire in [&zstd[..zstd.len() - 3], b"{\"a\":1}\n"] {
            assert_eq!(decode(Encoding::Zstd, wire, 100), Err(DecodeError::Corrupt));
            assert_eq!(decode(Encoding::Gzip, wire, 100), Err(DecodeError::Corrupt));
        }
        assert_eq!(Encoding::parse(Some("br")), None);
    }
}
