use super::{Batch, Offsets, Piece};
use crate::error::{Error, ErrorKind};
use crate::rows::OffsetToken;

/// The body of one request, ready for the wire, and the figures that go with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payload {
    pub(crate) wire: Vec<u8>,
    pub(crate) rows: usize,
    pub(crate) plain_bytes: usize,
    pub(crate) first: Option<OffsetToken>,
    pub(crate) last: Option<OffsetToken>,
    /// Of each row, for the case that the request has to be halved.
    pub(crate) offsets: Offsets,
}

impl Payload {
    /// Limit of one request after compression: the service says four megabytes, and some of its own clients read that as
    /// 4,194,304. The smaller reading is safe.
    pub(crate) const MAX_WIRE_BYTES: usize = 4_000_000;

    /// A body and what is noted of its request take less than half of this, and a queue that has grown has twice the places that
    /// it needs.
    pub(crate) const PLACE: usize = 512;

    /// What the bytes are, for `Content-Encoding`.
    pub(crate) const ENCODING: Option<&'static str> = if cfg!(feature = "zstd") { Some("zstd") } else { None };

    /// The rows again, as they were before compression.
    pub(crate) fn to_batch(&self) -> Result<Batch, Error> {
        Ok(Batch { text: self.text()?, rows: self.rows, offsets: self.offsets.clone() })
    }

    /// The same rows in two requests; none of a single row.
    pub(crate) fn halves(&self, compressor: &mut Compressor) -> Result<Option<[Payload; 2]>, Error> {
        let batch = self.to_batch()?;
        let Some((first, second)) = batch.piece().cut(2) else { return Ok(None) };
        let mut halves = [Payload::default(), Payload::default()];
        for (piece, half) in [first, second].iter().zip(&mut halves) {
            if !compressor.fits(piece, half)? {
                return Ok(None);
            }
            // It may be kept until it is committed, and was compressed into room for a whole request.
            half.wire.shrink_to_fit();
        }
        Ok(Some(halves))
    }

    /// What keeping it takes, its place in a queue included.
    pub(crate) fn memory(&self) -> usize {
        // The request that is in flight with it and the list of committed offsets have the last token, too.
        let [first, last] = [&self.first, &self.last].map(|token| token.as_ref().map_or(0, OffsetToken::memory));
        Payload::PLACE + self.wire.len() + self.offsets.memory() + first + 3 * last
    }

    /// Gives back the room that was set aside for more.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.wire.shrink_to_fit();
        self.offsets.shrink_to_fit();
    }

    #[cfg(feature = "zstd")]
    fn text(&self) -> Result<Vec<u8>, Error> {
        let failed =
            |error| Error::new(ErrorKind::Config, "zstd could not read what it has written").with_source(error);
        zstd::bulk::decompress(&self.wire, self.plain_bytes).map_err(failed)
    }

    #[cfg(not(feature = "zstd"))]
    fn text(&self) -> Result<Vec<u8>, Error> {
        Ok(self.wire.clone())
    }
}

/// Cuts a batch into what requests can carry, in order.
pub(crate) struct Payloads<'b> {
    /// What is left, the next piece last.
    pieces: Vec<Piece<'b>>,
    /// The piece that was compressed last.
    last: Option<Piece<'b>>,
}

impl<'b> Payloads<'b> {
    pub(crate) fn of(batch: &'b Batch) -> Payloads<'b> {
        Payloads { pieces: vec![batch.piece()], last: None }
    }

    /// Compresses the next piece into `payload`; false at the end. After an error the rest of the batch is not cut.
    pub(crate) fn next(&mut self, compressor: &mut Compressor, payload: &mut Payload) -> Result<bool, Error> {
        while let Some(piece) = self.pieces.pop() {
            if piece.rows() == 0 {
                continue;
            }
            // Compressing what is far too long would only prove it.
            let parts = compressor.parts(piece.text().len());
            if (parts == 1 || piece.rows() == 1) && compressor.fits(&piece, payload)? {
                self.last = Some(piece);
                return Ok(true);
            }
            if let Some((first, second)) = piece.cut(parts.max(2)) {
                self.pieces.push(second);
                self.pieces.push(first);
            }
        }
        Ok(false)
    }

    /// Cuts the last piece in two, to be compressed next; false if it is a single row.
    pub(crate) fn halve(&mut self) -> bool {
        let Some((first, second)) = self.last.take().and_then(|last| last.cut(2)) else { return false };
        self.pieces.extend([second, first]);
        true
    }
}

/// The bodies of a whole batch, up to a row that no request can carry.
pub(crate) struct Compressed {
    pub(crate) bodies: Vec<Payload>,
    pub(crate) failure: Option<Error>,
}

impl Compressed {
    pub(crate) fn of(batch: &Batch, compressor: &mut Compressor) -> Compressed {
        let (mut payloads, mut bodies) = (Payloads::of(batch), Vec::new());
        loop {
            let mut body = Payload::default();
            match payloads.next(compressor, &mut body) {
                Ok(true) => bodies.push(body),
                Ok(false) => return Compressed { bodies, failure: None },
                Err(error) => return Compressed { bodies, failure: Some(error) },
            }
        }
    }
}

/// Turns pieces into payloads; keeps the memory that compression needs.
#[derive(Default)]
pub(crate) struct Compressor {
    #[cfg(feature = "zstd")]
    context: Option<zstd::bulk::Compressor<'static>>,
    /// Wire bytes per byte of text of the last piece, as an estimate for the next.
    density: f64,
}

impl Compressor {
    /// Estimates the number of requests for `bytes` of text.
    ///
    /// An attempt that fails costs as much as one that succeeds, so rows that hardly shrink are cut beforehand.
    fn parts(&self, bytes: usize) -> usize {
        let expected = self.density * bytes as f64 * (1.0 + MARGIN) / Payload::MAX_WIRE_BYTES as f64;
        (expected.ceil() as usize).max(bytes.div_ceil(2 * Batch::FULL_BYTES)).max(1)
    }

    /// Refuses a row that no request can carry, before others wait behind it.
    pub(crate) fn check_row(&mut self, row: &Piece<'_>) -> Result<(), Error> {
        if row.text().len() <= ALWAYS_FITS {
            return Ok(());
        }
        self.fits(row, &mut Payload::default()).map(drop)
    }

    /// The same of a row that is in no batch yet.
    pub(crate) fn check_line(&mut self, line: &[u8]) -> Result<(), Error> {
        if line.len() < ALWAYS_FITS {
            return Ok(());
        }
        let mut row = Batch::new();
        row.push_checked(line);
        self.check_row(&row.piece())
    }

    /// Fills `payload` and returns true; returns false when the piece is too long for one request and can be cut.
    pub(crate) fn fits(&mut self, piece: &Piece<'_>, payload: &mut Payload) -> Result<bool, Error> {
        let fits = self.compress(piece.text(), &mut payload.wire)?;
        let wire_bytes = if fits { payload.wire.len() } else { Payload::MAX_WIRE_BYTES };
        self.density = wire_bytes as f64 / piece.text().len().max(1) as f64;
        if fits {
            payload.rows = piece.rows();
            payload.plain_bytes = piece.text().len();
            payload.first = piece.first_token();
            payload.last = piece.last_token();
            payload.offsets = piece.offsets();
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
        let error = Error::new(ErrorKind::Row, happened).advise("shorten the row or leave it out");
        Err(match piece.last_token().and_then(|token| token.position()) {
            Some(position) => error.with_position(position),
            None => error,
        })
    }

    /// Whether the text fits; the attempt ends as soon as it does not.
    #[cfg(feature = "zstd")]
    fn compress(&mut self, text: &[u8], wire: &mut Vec<u8>) -> Result<bool, Error> {
        let failed = |error| Error::new(ErrorKind::Config, "zstd could not allocate its context").with_source(error);
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

/// Compression adds no more than a hundredth to what does not shrink.
const ALWAYS_FITS: usize = Payload::MAX_WIRE_BYTES / 100 * 99;

/// Rows differ: the next ones may need this part more.
const MARGIN: f64 = 0.05;

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
    fn halves_are_the_same_rows_with_their_own_offsets() {
        let mut batch = Batch::new();
        for n in 1..=9u64 {
            batch.push(&json!({ "N": n })).unwrap();
            batch.mark(format!("{n}-0000000{n}"));
        }
        let (piece, mut payload, mut compressor) = (batch.without_first(2), Payload::default(), Compressor::default());
        assert!(compressor.fits(&piece.piece(), &mut payload).unwrap());
        let mut rest = vec![payload];
        let mut rows = Vec::new();
        while let Some(payload) = rest.pop() {
            assert!(rest.iter().all(|half| half.wire.capacity() < 1000), "no room for a whole request is kept");
            match payload.halves(&mut compressor).unwrap() {
                Some([first, second]) => rest.extend([second, first]),
                None => rows.push(payload),
            }
        }
        let texts: String = rows.iter().map(|row| String::from_utf8(row.text().unwrap()).unwrap()).collect();
        assert_eq!(texts.as_bytes(), piece.piece().text());
        let ends: Vec<_> = rows.iter().map(|row| row.last.as_ref().unwrap().to_string()).collect();
        assert_eq!((ends.len(), &*ends[0], &*ends[6]), (7, "3-00000003", "9-00000009"));
        assert!(rows.iter().all(|row| row.first == row.last && row.rows == 1));
    }

    #[test]
    fn after_a_failed_attempt_the_same_kind_of_rows_is_cut_beforehand() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut rows = |text: fn(&mut fastrand::Rng) -> String| {
            let mut batch = Batch::new();
            while batch.bytes() < 9_000_000 {
                batch.push(&json!({ "A": text(&mut rng) })).unwrap();
                batch.mark(batch.rows() as u64);
            }
            batch
        };
        let noise = rows(|rng| (0..1000).map(|_| rng.alphanumeric()).collect());
        let blanks = rows(|_| " ".repeat(1000));
        let (mut compressor, mut payload) = (Compressor::default(), Payload::default());
        let mut sent = |batch: &Batch, compressor: &mut Compressor| {
            let mut ends = Vec::new();
            let mut payloads = Payloads::of(batch);
            while payloads.next(compressor, &mut payload).unwrap() {
                ends.push(payload.last.as_ref().and_then(|token| token.as_u64()).unwrap());
            }
            assert_eq!(ends.last().copied(), Some(batch.rows() as u64));
            ends.len()
        };
        assert_eq!(compressor.parts(noise.bytes()), 1, "nothing is known yet");
        assert!(sent(&noise, &mut compressor) > 1);
        let parts = compressor.parts(noise.bytes());
        assert!(parts > 1);
        assert_eq!(sent(&noise, &mut compressor), parts, "no more cuts than needed");
        sent(&blanks, &mut compressor);
        if cfg!(feature = "zstd") {
            assert_eq!(compressor.parts(noise.bytes()), 1, "the last rows shrank well");
        }
    }

    #[test]
    fn rows_that_hardly_shrink_are_to_be_cut_and_a_single_one_is_refused() {
        let mut rng = fastrand::Rng::with_seed(1);
        let noise: String = (0..9_000_000).map(|_| rng.alphanumeric()).collect();
        let (mut batch, mut payload, mut compressor) = (Batch::new(), Payload::default(), Compressor::default());
        batch.push(&json!({"A": &noise[..100]})).unwrap();
        batch.push(&json!({"A": noise})).unwrap();
        assert!(!compressor.fits(&batch.piece(), &mut payload).unwrap());
        let (small, large) = batch.piece().cut(2).unwrap();
        assert!(compressor.fits(&small, &mut payload).unwrap());
        let error = compressor.fits(&large, &mut payload).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Row);
        assert!(error.to_string().contains("more than 4000000 after compression"), "{error}");
    }
}
