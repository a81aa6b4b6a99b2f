//! Appends: of rows in order, to a Named Channel, and of rows without order (Elastic).

use serde_json::json;

use crate::http::encoding::{DecodeError, Encoding};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::state::batch::{Batch, CompressedBody};
use crate::state::channel::stale_token;
use crate::state::ledger::Append;
use crate::state::name::{ChannelName, PipeName};

pub(super) fn append(
    service: &Service,
    name: &ChannelName,
    request: Request,
    now_ms: i64,
) -> Result<Response, Refusal> {
    let parameters = request.parameters();
    let get = |name: &str| parameters.get(name).map(str::to_owned);
    let token = get("continuationToken").ok_or_else(stale_token)?;
    let append = Append {
        token,
        request_id: get("requestId"),
        offset_token: get("endOffsetToken").or_else(|| get("offsetToken")),
        batch: read_batch(service, request)?,
    };
    let next = service.ledger.lock().append(name, append, now_ms)?;
    Ok(Response::json(200, &json!({"next_continuation_token": next})))
}

pub(super) fn append_elastic(
    service: &Service,
    pipe: &PipeName,
    request: Request,
    now_ms: i64,
) -> Result<Response, Refusal> {
    let parameters = request.parameters();
    if let Some(name) = parameters.names().find(|name| NAMED_ONLY.contains(name)) {
        return Err(Refusal::malformed(format!("{name} does not go with an Elastic append.")));
    }
    let batch = read_batch(service, request)?;
    service.ledger.lock().append_elastic(pipe, batch, now_ms)?;
    let body = json!({"message": "OK", "next_continuation_token": ""});
    Ok(Response::json(200, &body))
}

/// Decompresses the body and checks every row. This is the long part of an append, so it comes before the ledger is
/// locked.
fn read_batch(service: &Service, request: Request) -> Result<Batch, Refusal> {
    if request.content_type().as_deref() != Some("application/x-ndjson") {
        return Err(Refusal::new(415, "ERR_UNSUPPORTED_MEDIA_TYPE", "Content-Type must be application/x-ndjson."));
    }
    let encoding = Encoding::parse(request.header("content-encoding")).ok_or_else(|| {
        Refusal::new(415, "ERR_UNSUPPORTED_CONTENT_ENCODING", "Content-Encoding must be gzip, zstd or identity.")
    })?;
    let stated = stated_len(&request)?;
    let rejected = service.rejected_text();
    let wire = request.body;
    if encoding == Encoding::Identity {
        check_len(stated, wire.len())?;
        return Ok(Batch::from_plain(wire, rejected.as_deref()));
    }
    let mut plain = service.buffers.take();
    let batch = encoding
        .decode(&wire, MAX_DECOMPRESSED, stated, &mut plain)
        .map_err(undecodable)
        .and_then(|()| check_len(stated, plain.len()))
        .map(|()| {
            let body = CompressedBody { wire, encoding, plain: &plain };
            Batch::from_compressed(body, rejected.as_deref())
        });
    // After a failure, too: this is why no `?` stands between.
    service.buffers.give_back(plain);
    batch
}

/// The length of the rows that the sender states, if it does.
fn stated_len(request: &Request) -> Result<Option<usize>, Refusal> {
    let Some(stated) = request.header("x-snowflake-uncompressed-content-length") else {
        return Ok(None);
    };
    let len = stated.trim().parse();
    len.map(Some).map_err(|_| Refusal::malformed("x-snowflake-uncompressed-content-length is not a number."))
}

fn check_len(stated: Option<usize>, len: usize) -> Result<(), Refusal> {
    match stated {
        Some(stated) if stated != len => Err(Refusal::malformed(format!(
            "x-snowflake-uncompressed-content-length says {stated}, the body has {len} bytes."
        ))),
        _ => Ok(()),
    }
}

fn undecodable(error: DecodeError) -> Refusal {
    match error {
        DecodeError::Corrupt => Refusal::malformed("The body is not compressed as stated."),
        DecodeError::TooLong => Refusal::new(
            413,
            "ERR_REQUEST_TOO_LARGE",
            format!("The body unpacks to more than {MAX_DECOMPRESSED} bytes."),
        ),
    }
}

/// Parameters that only appends to Named Channels have.
const NAMED_ONLY: [&str; 4] = ["offsetToken", "startOffsetToken", "endOffsetToken", "continuationToken"];
/// The emulator's own bound: 4 MiB can decompress to thousands of times as much.
const MAX_DECOMPRESSED: usize = 256 << 20;
