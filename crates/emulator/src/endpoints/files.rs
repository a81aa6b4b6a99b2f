//! File mode, which the official SDK uses for much data: it asks pipe-info for a place and a key, uploads encrypted
//! files there, and registers them to a channel.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::json_body;
use crate::http::aws_chunked;
use crate::http::encoding::Encoding;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::state::batch::Batch;
use crate::state::channel::stale_token;
use crate::state::ledger::Append;
use crate::state::name::{ChannelName, PipeName};

/// A part of a file that holds rows of one channel.
#[derive(Deserialize)]
struct Fragment {
    file_path: String,
    content_type: String,
    file_etag: String,
    fragment_start_byte_offset: usize,
    fragment_length_bytes: usize,
    fragment_end_offset_token: Option<String>,
    iv_base64: String,
    encryption_version: String,
}

pub(super) fn pipe_info(
    service: &Service,
    pipe: &PipeName,
    request: &Request,
    now_ms: i64,
) -> Result<Response, Refusal> {
    json_body::<Map<String, Value>>(request)?;
    service.ledger.lock().table_of(pipe)?;
    Ok(Response::json(200, &service.stage.pipe_info(now_ms)))
}

/// Responds as S3 does, errors included.
pub(super) fn upload(service: &Service, path: &str, request: Request) -> Response {
    let header = |name: &str| request.header(name).unwrap_or_default();
    if !service.stage.accepts(header("authorization"), header("x-amz-security-token")) {
        return storage_error(403, "InvalidAccessKeyId");
    }
    if request.size.too_long {
        return storage_error(400, "EntityTooLarge");
    }
    let framed =
        header("x-amz-content-sha256").starts_with("STREAMING-") || header("content-encoding").contains("aws-chunked");
    let stated = header("x-amz-decoded-content-length").parse::<usize>().ok();
    let bytes = if framed { aws_chunked::unframe(&request.body) } else { Some(request.body) };
    let Some(bytes) = bytes else {
        return storage_error(400, "BadDigest");
    };
    if framed && stated.is_some_and(|stated| stated != bytes.len()) {
        return storage_error(400, "IncompleteBody");
    }
    match service.stage.put(path, bytes) {
        Some(etag) => Response::text(200, "").with_header("ETag", &format!("\"{etag}\"")),
        None => storage_error(503, "SlowDown"),
    }
}

/// Registers the fragments of uploaded files to a channel. Their rows are taken as if they had been appended.
pub(super) fn register(
    service: &Service,
    name: &ChannelName,
    request: &Request,
    now_ms: i64,
) -> Result<Response, Refusal> {
    let next = if name.is_elastic() {
        let (fragments, batch) = read_fragments(service, request)?;
        service.ledger.lock().append_elastic(&name.pipe, batch, now_ms)?;
        free_files(service, &fragments);
        String::new()
    } else {
        register_in_order(service, name, request, now_ms)?
    };
    Ok(Response::json(200, &json!({"next_continuation_token": next})))
}

fn register_in_order(service: &Service, name: &ChannelName, request: &Request, now_ms: i64) -> Result<String, Refusal> {
    let parameters = request.parameters();
    let get = |name: &str| parameters.get(name).map(str::to_owned);
    let token = get("continuationToken").ok_or_else(stale_token)?;
    let request_id = get("requestId");
    // Before the fragments are read: a registration that is sent again has none of its files left.
    let replayed = service.ledger.lock().replayed(name, &token, request_id.as_deref());
    if let Some(next) = replayed {
        return Ok(next);
    }
    let (fragments, batch) = read_fragments(service, request)?;
    let last = fragments.last().and_then(|last| last.fragment_end_offset_token.clone());
    let append = Append { token, request_id, offset_token: last.filter(|token| !token.is_empty()), batch };
    let next = service.ledger.lock().append(name, append, now_ms)?;
    // Only now: a registration that was refused may be sent again with another token.
    free_files(service, &fragments);
    Ok(next)
}

fn read_fragments(service: &Service, request: &Request) -> Result<(Vec<Fragment>, Batch), Refusal> {
    let fragments: Vec<Fragment> = json_body(request)?;
    if fragments.is_empty() {
        return Err(Refusal::malformed("There is no fragment."));
    }
    let mut rows = Vec::new();
    for fragment in &fragments {
        let part = read_fragment(service, fragment, MAX_DECOMPRESSED - rows.len())?;
        if rows.is_empty() {
            // Mostly there is one fragment, and its rows need no copy.
            rows = part;
        } else {
            rows.extend_from_slice(&part);
        }
    }
    let rejected = service.rejected_text();
    Ok((fragments, Batch::from_plain(rows, rejected.as_deref())))
}

/// Decrypts and decompresses a fragment, up to `limit` bytes.
fn read_fragment(service: &Service, fragment: &Fragment, limit: usize) -> Result<Vec<u8>, Refusal> {
    if fragment.content_type != "application/x-ndjson" || fragment.encryption_version != ENCRYPTION {
        return Err(Refusal::malformed("The fragment is of an unknown type or encryption."));
    }
    let path = &fragment.file_path;
    let file = service
        .stage
        .get(path)
        .filter(|file| file.etag == fragment.file_etag.trim_matches('"'))
        .ok_or_else(|| Refusal::new(400, "ERR_FILE_NOT_FOUND", format!("No such file: {path}.")))?;
    let start = fragment.fragment_start_byte_offset;
    let end = start.saturating_add(fragment.fragment_length_bytes);
    let mut bytes =
        file.bytes.get(start..end).ok_or_else(|| Refusal::malformed("The fragment lies beyond its file."))?.to_vec();
    service.stage.decrypt(&mut bytes, &initial_counter(fragment)?);
    let mut rows = Vec::new();
    Encoding::Zstd
        .decode(&bytes, limit, None, &mut rows)
        .map_err(|_| Refusal::malformed("The fragment does not unpack: wrong key, or too long."))?;
    Ok(rows)
}

fn free_files(service: &Service, fragments: &[Fragment]) {
    for fragment in fragments {
        service.stage.mark_registered(&fragment.file_path, fragment.fragment_length_bytes);
    }
}

fn initial_counter(fragment: &Fragment) -> Result<[u8; 16], Refusal> {
    let iv = STANDARD.decode(&fragment.iv_base64).ok();
    iv.and_then(|iv| iv.try_into().ok()).ok_or_else(|| Refusal::malformed("iv_base64 is not 16 bytes in base64."))
}

fn storage_error(status: u16, code: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    );
    Response::bytes(status, "application/xml", body.into_bytes())
}

const ENCRYPTION: &str = "AES-CTR-128.1";
/// The emulator's own bound on the memory that one registration can take: fragments are compressed, and there can be
/// many.
const MAX_DECOMPRESSED: usize = 1 << 30;
