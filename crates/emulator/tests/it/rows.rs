//! Rows on the wire: Elastic appends, encodings, limits, types.

use crate::support::client::{Client, elastic_request};
use crate::support::request::Request;
use crate::support::{PIPE, PIPE_DATA, TABLE, UUID, gzip, prompt, zstd};

#[test]
fn elastic_appends_take_no_offsets_and_land() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let response = client.append_elastic(b"{\"e\":1}\n");
    assert_eq!(response.json()["message"], "OK");
    let target = format!("{PIPE_DATA}/channels/elastic/rows?requestId={UUID}&retryCount=0");
    assert_eq!(client.send(Request::post(target).rows(b"{\"e\":2}\nbad\n")).status, 200);
    assert_eq!(emulator.rows(TABLE), b"{\"e\":1}\n{\"e\":2}\n");
    for name in ["offsetToken", "startOffsetToken", "endOffsetToken", "continuationToken"] {
        let target = format!("{PIPE_DATA}/channels/ELASTIC/rows?{name}=1");
        assert_eq!(client.send(Request::post(target).rows(b"{}\n")).refusal().0, 400, "{name}");
    }
    assert_eq!(client.try_open("ELASTIC", "{}").status, 400);
}

#[test]
fn compressed_bodies_land_as_what_they_hold() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let rows = b"{\"a\":\"some text, some text\"}\n".repeat(500);
    let zstd = zstd(&rows);
    let append_stated = |len: &str| {
        let request = elastic_request(&zstd).header("Content-Encoding", "zstd");
        client.send(request.header("x-snowflake-uncompressed-content-length", len)).status
    };
    assert_eq!(append_stated(&rows.len().to_string()), 200);
    assert_eq!(client.send(elastic_request(&gzip(&rows)).header("content-encoding", "gzip")).status, 200);
    assert_eq!(emulator.rows(TABLE), rows.repeat(2));
    for wrong in ["5", "99999", "x"] {
        assert_eq!(append_stated(wrong), 400);
    }
    assert_eq!(client.append_compressed("zstd", &rows).status, 400);
    assert_eq!(client.append_compressed("br", &rows).status, 415);
    assert_eq!(emulator.rows(TABLE).len(), rows.len() * 2);
}

#[test]
fn four_mebibytes_are_taken_and_one_byte_more_is_not() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let mut body = vec![b'x'; 4_194_304];
    body[..6].copy_from_slice(b"{\"a\":\"");
    body[4_194_301..].copy_from_slice(b"\"}\n");
    assert_eq!(client.append_elastic(&body).status, 200);
    body.insert(10, b'x');
    assert_eq!(client.append_elastic(&body).refusal().0, 413);
    assert_eq!(emulator.rows(TABLE).len(), 4_194_304);
    let bomb = zstd(&vec![b' '; 300 << 20]);
    assert_eq!(client.append_compressed("zstd", &bomb).refusal().0, 413);
}

#[test]
fn wrong_types_and_fields_are_refused() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let target = "/v2/streaming/data/databases/D/schemas/S/tables/T/rows";
    assert_eq!(client.send(Request::post(target).json("{}\n")).status, 415);
    let untyped = client.send(Request::put(format!("{PIPE}/channels/c")).body("{}"));
    assert_eq!(untyped.status, 415);
    assert_eq!(client.try_open("c", r#"{"fail_on_uncommited_rows":true}"#).status, 400);
    assert_eq!(client.try_open("c", "[").status, 400);
    assert_eq!(client.try_open("c?requestId=7", "{}").refusal().0, 400);
}
