use super::{Batch, Piece};
use crate::commit::OffsetToken;
use crate::error::{Error, ErrorKind};

/// The body of one request, ready for the wire, with what is told beside it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payload {
    pub(crate) wire: Vec<u8>,
    pub(crate) rows: usize,
    pub(crate) plain_bytes: usize,
    pub(crate) first: Option<OffsetToken>,
    pub(crate) last: Option<OffsetToken>,
}

impl Payload {
    /// The most bytes that one request may carry after compression: the service says four megabytes, and some of its own
    /// clients mean 4,194,304 by that. The smaller reading is safe.
    pub(crate) const MAX_WIRE_BYTES: usize = 4_000_000;

    /// What the bytes are, for `Content-Encoding`.
    pub(crate) const ENCODING: Option<&'static str> = if cfg!(feature = "zstd") { Some("zstd") } else { None };
}

/// Cuts a batch to what requests carry and hands each payload on, in order; the first error ends it.
pub(crate) fn for_each_payload(
    batch: &Batch,
    compressor: &mut Compressor,
    payload: &mut Payload,
    mut send: impl FnMut(&mut Payload) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut pieces = vec![batch.piece()];
    while let Some(piece) = pieces.pop() {
        if piece.rows() == 0 {
            continue;
        }
        // A batch may hold any number of rows; what is far too much need not be compressed to know it.
        let is_modest = piece.text().len() <= 2 * Batch::FULL_BYTES;
        if (is_modest || piece.rows() == 1) && compressor.fits(&piece, payload)? {
            send(payload)?;
            continue;
        }
        if let Some((first, second)) = piece.halves() {
            pieces.push(second);
            pieces.push(first);
        }
    }
    Ok(())
}

/// Turns pieces into payloads; keeps the memory that compression needs.
#[derive(Default)]
pub(crate) struct Compressor {
    #[cfg(feature = "zstd")]
    context: Option<zstd::bulk::Compressor<'static>>,
}

impl Compressor {
    /// Fills `payload` and tells true, or tells false when the piece is too much for one request and can be cut.
    pub(crate) fn fits(&mut self, piece: &Piece<'_>, payload: &mut Payload) -> Result<bool, Error> {
        if self.compress(piece.text(), &mut payload.wire)? {
            payload.rows = piece.rows();
            payload.plain_bytes = piece.text().len();
            payload.first = piece.first_token();
            payload.last = piece.last_token();
            return Ok(true);
        }
        if piece.rows() > 1 {
            return Ok(false);
        }
        let at = piece.last_token().map(|token| format!(" at offset {token}")).unwrap_or_default();
        let happened = format!(
            "the row{at} is too long for any request: {} bytes, more than {} after compression",
            piece.text().len(),
            Payload::MAX_WIRE_BYTES
        );
        Err(Error::new(ErrorKind::Rejected, happened).advise("shorten the row or leave it out"))
    }

    /// Whether the text fits; the attempt ends as soon as it does not.
    #[cfg(feature = "zstd")]
    fn compress(&mut self, text: &[u8], wire: &mut Vec<u8>) -> Result<bool, Error> {
        let failed = |error| Error::new(ErrorKind::Config, "zstd cannot get its memory").with_source(error);
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(zstd::bulk::Compressor::new(LEVEL).map_err(failed)?),
        };
        wire.clear();
        wire.reserve_exact(Payload::MAX_WIRE_BYTES);
        match context.compress_to_buffer(text, wire) {
            Ok(size) => Ok(size <= Payload::MAX_WIRE_BYTES),
            // zstd gives the lack of room no kind of its own, and there was room for the worst case of a short text.
            Err(_) if zstd::zstd_safe::compress_bound(text.len()) > Payload::MAX_WIRE_BYTES => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    #[cfg(not(feature = "zstd"))]
    fn compress(&mut self, text: &[u8], wire: &mut Vec<u8>) -> Result<bool, Error> {
        if text.len() > Payload::MAX_WIRE_BYTES {
            return Ok(false);
        }
        wire.clear();
        wire.extend_from_slice(text);
        Ok(true)
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

/// The fastest level that still shrinks rows to a quarter or less; higher ones cost more than they save.
#[cfg(feature = "zstd")]
const LEVEL: i32 = 1;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    #[cfg(feature = "zstd")]
    fn a_payload_is_one_zstd_frame_of_the_rows() {
        let mut batch = Batch::new();
        batch.push(&json!({"A": 1})).unwrap();
        batch.mark(7);
        let mut payload = Payload::default();
        assert!(Compressor::default().fits(&batch.piece(), &mut payload).unwrap());
        assert_eq!(zstd::decode_all(&payload.wire[..]).unwrap(), b"{\"A\":1}\n");
        assert_eq!((payload.rows, payload.plain_bytes, payload.last), (1, 8, Some(7.into())));
    }

    #[test]
    fn rows_that_hardly_shrink_are_to_be_cut_and_a_single_one_is_refused() {
        let mut rng = fastrand::Rng::with_seed(1);
        let noise: String = (0..9_000_000).map(|_| rng.alphanumeric()).collect();
        let (mut batch, mut payload, mut compressor) = (Batch::new(), Payload::default(), Compressor::default());
        batch.push(&json!({"A": &noise[..100]})).unwrap();
        batch.push(&json!({"A": noise})).unwrap();
        assert!(!compressor.fits(&batch.piece(), &mut payload).unwrap());
        let (small, large) = batch.piece().halves().unwrap();
        assert!(compressor.fits(&small, &mut payload).unwrap());
        let error = compressor.fits(&large, &mut payload).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(error.to_string().contains("more than 4000000 after compression"), "{error}");
    }
}
