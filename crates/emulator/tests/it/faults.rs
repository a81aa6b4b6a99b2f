//! Faults that are injected.

use std::time::Duration;

use snowpipe_emulator::{Endpoint, Fault};

use crate::support::client::{Client, elastic_request};
use crate::support::connection::Connection;
use crate::support::{TABLE, prompt};

#[test]
fn scripted_responses_come_as_often_as_asked_and_apply_nothing() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let fault = r#"{"endpoint":"elastic","times":2,"status":429,"body":"{\"code\":\"ReceiverSaturated\"}",
        "headers":{"Retry-After":"7"}}"#;
    assert_eq!(client.control("faults", fault).status, 200);
    for _ in 0..2 {
        let response = client.append_elastic(b"{}\n");
        response.assert_refused(429, "ReceiverSaturated");
        assert_eq!(response.header("retry-after"), Some("7"));
    }
    assert_eq!(client.append_elastic(b"{}\n").status, 200);
    assert_eq!(emulator.rows(TABLE), b"{}\n");
}

#[test]
fn connections_drop_before_and_break_after_the_request_is_applied() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    emulator.inject(Fault::drop_connection(Endpoint::Elastic));
    assert!(client.try_send(elastic_request(b"{}\n")).is_none());
    assert!(emulator.rows(TABLE).is_empty());
    emulator.inject(Fault::truncate(Endpoint::Elastic));
    let mut connection = Connection::open(&emulator);
    connection.write(&client.bytes(elastic_request(b"{}\n")));
    let text = String::from_utf8(connection.read_to_end()).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("\r\n\r\n{\"") && !text.ends_with('}'), "{text}");
    emulator.inject(Fault::delay(Endpoint::Elastic, Duration::from_millis(5)));
    assert_eq!(client.append_elastic(b"{}\n").status, 200);
    assert_eq!(emulator.rows(TABLE), b"{}\n{}\n");
}
