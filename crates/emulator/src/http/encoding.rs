//! Content encodings, unpacked within a bound.

use std::io::Read;

use serde::{Deserialize, Serialize};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Why a body cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undecodable {
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

    /// Unpacks `wire` into `plain`, which is emptied first and keeps its room.
    pub(crate) fn decode(
        self,
        wire: &[u8],
        limit: usize,
        expected: Option<usize>,
        plain: &mut Vec<u8>,
    ) -> Result<(), Undecodable> {
        plain.clear();
        match self {
            Self::Identity if wire.len() > limit => Err(Undecodable::TooLong),
            Self::Identity => {
                plain.extend_from_slice(wire);
                Ok(())
            }
            Self::Gzip => unpack(flate2::bufread::MultiGzDecoder::new(wire), limit, plain),
            Self::Zstd => unpack_zstd(wire, limit, expected, plain),
        }
    }
}

/// Unpacks in one go when the length is known, which saves a copy of everything.
fn unpack_zstd(wire: &[u8], limit: usize, expected: Option<usize>, plain: &mut Vec<u8>) -> Result<(), Undecodable> {
    let stated = zstd::zstd_safe::get_frame_content_size(wire)
        .ok()
        .flatten()
        .and_then(|len| usize::try_from(len).ok())
        .max(expected)
        .filter(|len| *len <= limit && *len <= trusted_len(wire.len()));
    if let Some(len) = stated {
        plain.reserve(len);
        let mut whole = zstd::bulk::Decompressor::new().map_err(|_| Undecodable::Corrupt)?;
        if whole.decompress_to_buffer(wire, plain).is_ok() {
            return Ok(());
        }
        plain.clear();
    }
    let stream = zstd::stream::read::Decoder::with_buffer(wire).map_err(|_| Undecodable::Corrupt)?;
    unpack(stream, limit, plain)
}

/// How much room a body of this size gets on its own word; a greater claim is unpacked bit by bit.
fn trusted_len(wire_len: usize) -> usize {
    wire_len.saturating_mul(64).max(1 << 20)
}

fn unpack(source: impl Read, limit: usize, plain: &mut Vec<u8>) -> Result<(), Undecodable> {
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    source.take(bound).read_to_end(plain).map_err(|_| Undecodable::Corrupt)?;
    if plain.len() > limit {
        return Err(Undecodable::TooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn decode(encoding: Encoding, wire: &[u8], limit: usize) -> Result<Vec<u8>, Undecodable> {
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
            assert_eq!(decode(encoding, &wire, 9_999_999), Err(Undecodable::TooLong));
            assert_eq!(decode(encoding, &wire, 10_000_000).unwrap().len(), 10_000_000);
        }
    }

    #[test]
    fn what_is_cut_or_not_compressed_at_all_is_corrupt() {
        let zstd = zstd::bulk::compress(b"some text", 1).unwrap();
        for wire in [&zstd[..zstd.len() - 3], b"{\"a\":1}\n"] {
            assert_eq!(decode(Encoding::Zstd, wire, 100), Err(Undecodable::Corrupt));
            assert_eq!(decode(Encoding::Gzip, wire, 100), Err(Undecodable::Corrupt));
        }
        assert_eq!(Encoding::parse(Some("br")), None);
    }
}
