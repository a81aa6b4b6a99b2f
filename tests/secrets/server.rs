//! Account, ingest host and authorization server in one, which repeats its requests where it is told to.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::echo::{Echo, response};

pub struct Server {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    echo: Option<Echo>,
    /// How often it was sent.
    echoes: usize,
    tokens: u32,
    committed: Option<String>,
    /// Every credential in a header.
    credentials: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Endpoint {
    Discovery,
    AccessToken,
    Hostname,
    Exchange,
    Open,
    Append,
    Elastic,
    Status,
    Drop,
}

/// A request as it came in.
pub struct Received {
    /// The request line and the headers.
    pub head: Vec<String>,
    pub body: Vec<u8>,
    /// The channels that it asks for, as far as there are any.
    pub channels: Vec<String>,
    /// The offset that was sent last.
    pub committed: Option<String>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.iter().skip(1).filter_map(|line| line.split_once(": "));
        headers.into_iter().find(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn credentials(&self) -> impl Iterator<Item = String> {
        let headers = ["authorization", "proxy-authorization"].into_iter().filter_map(|name| self.header(name));
        headers.filter_map(|value| value.split_once(' ')).map(|(_, credential)| credential.to_owned())
    }

    fn endpoint(&self) -> Endpoint {
        let mut words = self.head[0].split([' ', '?']);
        match (words.next().unwrap(), words.next().unwrap()) {
            ("GET", "/.well-known/openid-configuration") => Endpoint::Discovery,
            ("GET", "/v2/streaming/hostname") => Endpoint::Hostname,
            ("POST", "/oauth2/token") => Endpoint::AccessToken,
            ("POST", "/oauth/token") => Endpoint::Exchange,
            ("PUT", _) => Endpoint::Open,
            ("DELETE", _) => Endpoint::Drop,
            (_, path) if path.ends_with(":bulk-channel-status") => Endpoint::Status,
            (_, path) if path.to_lowercase().contains("/channels/c/") => Endpoint::Append,
            (_, path) if path.ends_with("/rows") => Endpoint::Elastic,
            (method, path) => panic!("{method} {path}"),
        }
    }
}

impl Server {
    pub fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let (server, issuer) = (Server { url: url.clone(), state: state.clone() }, url);
        // Both end with the test process.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (state, issuer) = (state.clone(), issuer.clone());
                std::thread::spawn(move || serve(connection.unwrap(), &issuer, &state));
            }
        });
        server
    }

    /// From now on; `None` is a healthy service.
    pub fn echo(&self, echo: Option<Echo>) {
        let mut state = self.state.lock().unwrap();
        (state.echo, state.echoes) = (echo, 0);
    }

    /// How often the echo that is set was sent.
    pub fn echoes(&self) -> usize {
        self.state.lock().unwrap().echoes
    }

    pub fn credentials(&self) -> Vec<String> {
        self.state.lock().unwrap().credentials.clone()
    }
}

fn serve(connection: TcpStream, issuer: &str, state: &Mutex<State>) {
    let mut writer = connection.try_clone().unwrap();
    let mut reader = BufReader::new(connection);
    while let Some(received) = read(&mut reader) {
        let response = state.lock().unwrap().respond(received, issuer);
        if writer.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

/// `None` at the end of the connection.
pub fn read(reader: &mut impl BufRead) -> Option<Received> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let mut received = Received { head, body: Vec::new(), channels: Vec::new(), committed: None };
    let length = received.header("content-length").map_or(0, |length| length.parse().unwrap());
    received.body.resize(length, 0);
    reader.read_exact(&mut received.body).ok()?;
    Some(received)
}

impl State {
    fn respond(&mut self, mut received: Received, issuer: &str) -> String {
        self.credentials.extend(received.credentials());
        let sent = received.head[0].split_once("endOffsetToken=").map(|(_, rest)| rest);
        self.committed = sent.map(|rest| rest.split(['&', ' ']).next().unwrap().into()).or(self.committed.take());
        received.committed.clone_from(&self.committed);
        let endpoint = received.endpoint();
        if endpoint == Endpoint::Status {
            let body: Value = serde_json::from_slice(&received.body).unwrap();
            received.channels = serde_json::from_value(body["channel_names"].clone()).unwrap();
            // There is only one.
            received.channels.retain(|name| name.eq_ignore_ascii_case("c"));
        }
        if let Some(echo) = self.echo.filter(|echo| echo.endpoint == endpoint) {
            self.echoes += 1;
            return response(echo, &received);
        }
        let body = self.healthy(endpoint, &received, issuer);
        format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn healthy(&mut self, endpoint: Endpoint, received: &Received, issuer: &str) -> String {
        self.tokens += 1;
        let status = json!({"channel_status_code": "SUCCESS", "last_committed_offset_token": received.committed});
        match endpoint {
            Endpoint::Discovery => {
                json!({"issuer": issuer, "token_endpoint": format!("{issuer}/oauth2/token")}).to_string()
            }
            Endpoint::AccessToken => {
                json!({"access_token": format!("aCcEsS+{:08}/tOkEn", self.tokens), "token_type": "Bearer"}).to_string()
            }
            Endpoint::Hostname => "127.0.0.1".into(),
            Endpoint::Exchange => format!("sCoPeD/{:08}+tOkEn~xyzzy", self.tokens),
            Endpoint::Open => {
                self.committed = None;
                let status = json!({"channel_status_code": "SUCCESS", "last_committed_offset_token": null});
                json!({"next_continuation_token": "0_1", "channel_status": status}).to_string()
            }
            Endpoint::Append => json!({"next_continuation_token": "0_2"}).to_string(),
            Endpoint::Elastic | Endpoint::Drop => "{}".into(),
            Endpoint::Status => {
                let listed: serde_json::Map<_, _> =
                    received.channels.iter().map(|name| (name.clone(), status.clone())).collect();
                json!({ "channel_statuses": listed }).to_string()
            }
        }
    }
}
