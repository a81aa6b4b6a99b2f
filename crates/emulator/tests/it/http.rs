//! The server itself: framing, garbage, slow and many connections, stopping, TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use snowpipe_emulator::{Emulator, Endpoint, Fault};

use crate::support::client::{Client, elastic_request};
use crate::support::connection::Connection;
use crate::support::request::Request;
use crate::support::{TABLE, TABLE_ROWS, eventually, gzip, prompt, tls, zstd};

#[test]
fn requests_may_be_pipelined_chunked_and_announced() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let mut connection = Connection::open(&emulator);
    let plain = client.bytes(elastic_request(b"{\"n\":1}\n"));
    let head = format!(
        "POST {TABLE_ROWS} HTTP/1.1\r\nhost: x\r\nContent-Type: application/x-ndjson\r\nAccept: application/json\r\n\
         Authorization: Bearer {}\r\n",
        client.token()
    );
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n4;ext=1\r\n{{\"n\"\r\n4\r\n:2}}\n\r\n0\r\nTrailer: x\r\n\r\n");
    connection.write(&[plain.as_slice(), chunked.as_bytes()].concat());
    assert_eq!(connection.read_response().unwrap().status, 200);
    assert_eq!(connection.read_response().unwrap().status, 200);
    connection.write(format!("{head}Expect: 100-continue\r\nContent-Length: 8\r\n\r\n").as_bytes());
    assert_eq!(&connection.read_exact(), b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.write(b"{\"n\":3}\n");
    assert_eq!(connection.read_response().unwrap().status, 200);
    assert_eq!(emulator.rows(TABLE), b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
}

#[test]
fn garbage_is_refused_and_the_service_goes_on() {
    let emulator = prompt();
    let try_send = |bytes: &[u8]| {
        let mut connection = Connection::open(&emulator);
        connection.write(bytes);
        connection.read_response()
    };
    for (bytes, status) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\n\r\n\r\n"[..], 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"PATCH /oauth/token HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    ] {
        let response = try_send(bytes).unwrap();
        assert_eq!(response.status, status, "{}", String::from_utf8_lossy(bytes));
    }
    let mut long = b"GET / HTTP/1.1\r\nA: ".to_vec();
    long.resize(40_000, b'a');
    assert_eq!(try_send(&long).unwrap().status, 431);
    let whole = Client::scoped(&emulator).bytes(elastic_request(b"{}\n{}\n"));
    let mut cut = Connection::open(&emulator);
    cut.write(&whole[..whole.len() - 3]);
    cut.shutdown_write();
    assert!(cut.read_response().is_none());
    assert!(emulator.rows(TABLE).is_empty());
    assert_eq!(Client::with_jwt(&emulator).hostname().status, 200);
}

#[test]
fn slow_heads_do_not_hold_up_others_and_time_out() {
    let emulator = prompt();
    let mut slow: Vec<_> = (0..50).map(|_| Connection::open(&emulator)).collect();
    for connection in &mut slow {
        connection.write(b"GET /v2/streaming/hostname HTTP/1.1\r\nHost: x\r\nA: ");
    }
    assert_eq!(Client::with_jwt(&emulator).hostname().status, 200);
    // A byte now and then does not help: the timeout is for the whole head.
    let start = Instant::now();
    let mut trickling = slow.pop().unwrap();
    while trickling.try_write(b"a").is_ok() && start.elapsed() < Duration::from_secs(19) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(start.elapsed() < Duration::from_secs(19), "the head was still awaited");
    for connection in &mut slow {
        assert!(connection.read_response().is_none());
    }
    assert_eq!(emulator.requests().len(), 1);
}

#[test]
fn a_connection_goes_on_after_every_refusal() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let rows = b"{\"a\":\"some text, some text\"}\n".repeat(500);
    let (gzip_rows, zstd_rows) = (gzip(&rows), zstd(&rows));
    let bomb = gzip(&vec![b' '; 300 << 20]);
    let mut connection = Connection::open(&emulator);
    for (encoding, body, status) in [
        ("gzip", &rows[..], 400),
        ("gzip", &gzip_rows[..100], 400),
        ("gzip", &zstd_rows[..], 400),
        ("gzip", &bomb[..], 413),
        ("zstd", &zstd_rows[..zstd_rows.len() - 1], 400),
        ("zstd", b"", 400),
        ("", &vec![b' '; 30 << 20][..], 413),
        ("", &b"{}\n"[..], 200),
    ] {
        let request = elastic_request(body);
        let request = if encoding.is_empty() { request } else { request.header("Content-Encoding", encoding) };
        connection.write(&client.bytes(request));
        assert_eq!(connection.read_response().unwrap().status, status, "{encoding} {} bytes", body.len());
    }
    assert_eq!(emulator.rows(TABLE), b"{}\n");
}

#[test]
fn two_hundred_connections_are_served_at_once() {
    let emulator = prompt();
    let request = Client::scoped(&emulator).bytes(elastic_request(b"{}\n"));
    let mut connections: Vec<_> = (0..200).map(|_| Connection::open(&emulator)).collect();
    for connection in &mut connections {
        connection.write(&request);
    }
    for connection in &mut connections {
        assert_eq!(connection.read_response().unwrap().status, 200);
    }
    assert_eq!(emulator.rows(TABLE), b"{}\n".repeat(200));
}

#[test]
fn dropping_the_emulator_closes_its_connections_and_its_port() {
    let emulator = prompt();
    let address = emulator.url().strip_prefix("http://").unwrap().to_owned();
    emulator.inject(Fault::delay(Endpoint::Hostname, Duration::from_secs(3600)));
    let mut idle = Connection::open(&emulator);
    let mut waiting = Connection::open(&emulator);
    waiting.write(&Client::with_jwt(&emulator).bytes(Request::get("/v2/streaming/hostname")));
    eventually(|| emulator.requests().len() == 1);
    drop(emulator);
    assert!(idle.read_response().is_none());
    assert!(waiting.read_response().is_none());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn tls_is_spoken_with_a_certificate_by_the_given_authority() {
    let emulator = Emulator::builder().tls().start().unwrap();
    let address = emulator.url().strip_prefix("https://").unwrap();
    let hostname_as = |server: &'static str| {
        let request = Client::with_jwt(&emulator).bytes(Request::get("/v2/streaming/hostname"));
        tls::exchange(emulator.url(), emulator.ca_pem().unwrap(), server, &request)
    };
    assert_eq!(hostname_as("127.0.0.1").unwrap().text(), "127.0.0.1");
    assert_eq!(hostname_as("localhost").unwrap().status, 200);
    assert!(hostname_as("example.com").is_none());
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut response = Vec::new();
    let _ = plain.read_to_end(&mut response);
    assert!(!response.starts_with(b"HTTP/"));
}
