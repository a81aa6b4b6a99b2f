//! The undocumented calls of the official SDK: telemetry, and file mode.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ctr::cipher::{KeyIvInit, StreamCipher};
use serde_json::{Value, json};
use snowpipe_emulator::{Emulator, Endpoint, Fault};

use crate::support::client::Client;
use crate::support::request::Request;
use crate::support::{PIPE_DATA, TABLE, UUID, prompt, zstd};

const IV: [u8; 16] = [7; 16];

#[test]
fn the_undocumented_calls_of_the_official_client_get_a_response() {
    let emulator = prompt();
    let body = r#"{"generate_new_token":true,"encryption_version":"AES-CTR-128.1"}"#;
    let info = Client::scoped(&emulator).pipe_info(body);
    assert_eq!(info["rowset_stage_location"]["location_type"], "S3");
    let key = info["encryption_info"]["pipe_key"].as_str().unwrap();
    assert_eq!(STANDARD.decode(key).unwrap().len(), 32);
    let request = Request::post("/telemetry/send/sessionless").json(r#"{"logs":[]}"#);
    let logged = Client::with_jwt(&emulator).send(request);
    assert_eq!(logged.json(), json!({"code": null, "data": "Log Received", "message": null, "success": true}));
}

#[test]
fn files_are_uploaded_decrypted_and_landed_in_order() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let info = client.pipe_info("{}");
    let stage = &info["durable_stage_location"];
    assert_eq!(emulator.url(), format!("http://{}", stage["storage_endpoint"].as_str().unwrap()));
    let path = format!("{}0.ndjson", stage["location"].as_str().unwrap());
    let rows = b"{\"a\":1}\n\n{\"a\":2}\n\n".repeat(3000);
    let file = encrypted(&rows, &info);
    let etag = upload(&emulator, &path, &file, &stage["creds"]);

    let first = client.open("c");
    let target = format!("{PIPE_DATA}/channels/c/filebuffer?continuationToken={first}&requestId={UUID}&retryCount=0");
    let list = |etag: &str| {
        json!([{
            "file_path": path, "content_type": "application/x-ndjson", "file_etag": etag,
            "file_length_bytes": file.len(), "fragment_length_bytes": file.len(),
            "fragment_length_uncompressed_bytes": rows.len(),
            "fragment_start_offset_token": "0", "fragment_end_offset_token": "5999",
            "fragment_row_count": 6000, "fragment_start_byte_offset": 0, "diversifier": "1",
            "master_key_id": "1", "iv_base64": STANDARD.encode(IV),
            "encryption_version": "AES-CTR-128.1", "min_append_timestamp_ms": 1,
        }])
        .to_string()
    };
    let try_register = |etag: &str| client.try_send(Request::post(&target).json(list(etag)));
    let register = |etag: &str| try_register(etag).unwrap();
    assert_eq!(register("other").refusal().0, 400);
    emulator.inject(Fault::lose_reply(Endpoint::Register));
    assert!(try_register(&etag).is_none());
    let second = register(&etag).next_token();
    assert_eq!(register(&etag).next_token(), second);
    assert_eq!(emulator.rows(TABLE), b"{\"a\":1}\n{\"a\":2}\n".repeat(3000));
    assert_eq!(client.committed_offset(), "5999");
    client.append(&format!("endOffsetToken=6000&continuationToken={second}"), b"{\"a\":3}\n").next_token();
    assert!(emulator.requests().iter().any(|r| r.path.ends_with("/0.ndjson") && r.status == Some(200)));
    assert!(!format!("{:?}", emulator.requests()).contains(stage["creds"]["AWS_TOKEN"].as_str().unwrap()));
}

/// Compresses and encrypts as the SDK does.
fn encrypted(rows: &[u8], info: &Value) -> Vec<u8> {
    let mut file = zstd(rows);
    let key = STANDARD.decode(info["encryption_info"]["pipe_key"].as_str().unwrap()).unwrap();
    let cipher = ctr::Ctr128BE::<aes::Aes256>::new_from_slices(&key, &IV);
    cipher.unwrap().apply_keystream(&mut file);
    file
}

/// Uploads a file, after two attempts that have to fail, and returns its ETag.
fn upload(emulator: &Emulator, path: &str, file: &[u8], creds: &Value) -> String {
    let framed = aws_chunked(file);
    let storage = Client::anonymous(emulator);
    let put = || Request::put(format!("/{path}?x-id=PutObject"));
    let authorized = || {
        let key_id = creds["AWS_KEY_ID"].as_str().unwrap();
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={key_id}/20261121/us-west-2/s3/aws4_request, SignedHeaders=host, Signature=00"
        );
        put()
            .header("Authorization", &authorization)
            .header("x-amz-security-token", creds["AWS_TOKEN"].as_str().unwrap())
            .header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", &file.len().to_string())
    };
    assert_eq!(storage.send(put().body(framed.clone())).status, 403);
    let broken = storage.send(authorized().body(&framed[..framed.len() - 9]));
    assert_eq!((broken.status, broken.text().contains("<Code>BadDigest</Code>")), (400, true));
    let uploaded = storage.send(authorized().body(framed));
    assert_eq!((uploaded.status, uploaded.body.len()), (200, 0));
    let etag = uploaded.header("etag").unwrap().trim_matches('"').to_owned();
    assert_eq!(uploaded.header("etag"), Some(format!("\"{etag}\"").as_str()));
    etag
}

/// Two chunks and a trailer with the checksum.
fn aws_chunked(file: &[u8]) -> Vec<u8> {
    let (half, rest) = file.split_at(file.len() / 2);
    let mut crc = flate2::Crc::new();
    crc.update(file);
    [
        format!("{:x}\r\n", half.len()).as_bytes(),
        half,
        format!("\r\n{:x}\r\n", rest.len()).as_bytes(),
        rest,
        format!("\r\n0\r\nx-amz-checksum-crc32:{}\r\n\r\n", STANDARD.encode(crc.sum().to_be_bytes())).as_bytes(),
    ]
    .concat()
}
