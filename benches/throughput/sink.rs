//! The least service that a client can load into: it reads rows, throws them away and calls them committed.
//!
//! It runs in a process of its own, so that neither its time nor its memory is counted with the client's. It unpacks nothing
//! and checks no credentials. The official SDK can load into it too, with rows in requests and with files on a stage.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// The argument that makes a program the service; after it the files of a certificate and its key, for TLS.
pub const ARGUMENT: &str = "--sink";

/// The service, until it is dropped.
pub struct Sink {
    process: Child,
    pub url: String,
}

impl Sink {
    /// The program that runs must call [`serve`] when it finds [`ARGUMENT`].
    pub fn start(tls: &[&str]) -> Sink {
        let program = std::env::current_exe().expect("our own path");
        let mut process = Command::new(program)
            .arg(ARGUMENT)
            .args(tls)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let mut url = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut url).expect("the service's address");
        Sink { process, url: url.trim().to_string() }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // It ends by itself at the end of its input; whoever waits leaves no zombie.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

struct Service {
    tls: Option<Arc<ServerConfig>>,
    port: u16,
    /// Committed offset tokens of the channels that were opened.
    committed: Mutex<HashMap<String, Option<String>>>,
}

/// Serves until its standard input ends, which it does with the process that started this one.
pub fn serve(arguments: &[String]) {
    let tls = match arguments {
        [certificate, key] => Some(Arc::new(tls(certificate, key))),
        _ => None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    println!("{}://127.0.0.1:{port}", if tls.is_some() { "https" } else { "http" });
    let service = Arc::new(Service { tls, port, committed: Mutex::default() });
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let service = service.clone();
            thread::spawn(move || service.accept(stream));
        }
    });
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

fn tls(certificate: &str, key: &str) -> ServerConfig {
    let chain =
        CertificateDer::pem_file_iter(certificate).expect("a certificate").map(|found| found.expect("a certificate"));
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows them")
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .expect("a key that fits")
}

impl Service {
    fn accept(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        match &self.tls {
            None => self.serve(stream),
            Some(config) => {
                let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
                self.serve(StreamOwned::new(connection, stream))
            }
        }
    }

    fn serve(&self, stream: impl Read + Write) -> io::Result<()> {
        let mut input = BufReader::with_capacity(256 * 1024, stream);
        while let Some(head) = read_head(&mut input)? {
            let (method, target) = method_and_target(&head);
            let length = content_length(&head);
            let is_bulk = target.contains("/rows?") || method == "PUT" && !target.contains("/channels/");
            let body = if is_bulk { discard(&mut input, length)? } else { read_body(&mut input, length)? };
            let response = self.response(method, target, &body);
            // The stage's response needs a tag; the others may have one.
            let head = format!("HTTP/1.1 200 OK\r\nETag: \"0\"\r\nContent-Length: {}\r\n\r\n", response.len());
            input.get_mut().write_all(&[head.as_bytes(), response.as_bytes()].concat())?;
            input.get_mut().flush()?;
        }
        Ok(())
    }

    fn response(&self, method: &str, target: &str, body: &[u8]) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let verb = path.rsplit(['/', ':']).next().unwrap_or_default();
        match (method, verb) {
            ("GET", "hostname") => "127.0.0.1".into(),
            ("POST", "token") => scoped_token(),
            ("POST", "sessionless") => json!({ "data": "Log Received", "success": true }).to_string(),
            ("POST", "pipe-info") => pipe_info(self.port).to_string(),
            ("POST", "bulk-channel-status") => self.statuses(body).to_string(),
            ("POST", "rows") => {
                let token = query.split('&').find_map(|pair| pair.strip_prefix("endOffsetToken="));
                self.commit(path, token.unwrap_or_default())
            }
            ("POST", "filebuffer") => {
                let files: Value = serde_json::from_slice(body).unwrap_or_default();
                let last = files.as_array().and_then(|files| files.last());
                self.commit(path, last.and_then(|file| file["fragment_end_offset_token"].as_str()).unwrap_or_default())
            }
            ("PUT", channel) if path.contains("/channels/") => {
                self.committed.lock().expect("no thread has failed").entry(channel.into()).or_default();
                json!({ "next_continuation_token": "first", "channel_status": self.status(channel) }).to_string()
            }
            _ => String::new(),
        }
    }

    fn commit(&self, path: &str, token: &str) -> String {
        let channel = path.rsplit('/').nth(1).unwrap_or_default();
        if !token.is_empty() {
            self.committed.lock().expect("no thread has failed").insert(channel.into(), Some(token.into()));
        }
        json!({ "next_continuation_token": "next" }).to_string()
    }

    fn statuses(&self, asked: &[u8]) -> Value {
        let asked: Value = serde_json::from_slice(asked).unwrap_or_default();
        let names = asked["channel_names"].as_array().cloned().unwrap_or_default();
        let opened = |name: &&str| self.committed.lock().expect("no thread has failed").contains_key(*name);
        let names = names.iter().filter_map(Value::as_str).filter(opened);
        let statuses: serde_json::Map<_, _> = names.map(|name| (name.to_string(), self.status(name))).collect();
        json!({ "channel_statuses": statuses })
    }

    fn status(&self, channel: &str) -> Value {
        let committed = self.committed.lock().expect("no thread has failed");
        json!({
            "database_name": "DB", "schema_name": "PUBLIC", "pipe_name": "EVENTS-STREAMING", "channel_name": channel,
            "channel_status_code": "SUCCESS", "created_on_ms": 1, "rows_inserted": 0, "rows_parsed": 0,
            "rows_error_count": 0, "last_committed_offset_token": committed.get(channel),
        })
    }
}

/// None at the end of the connection.
fn read_head(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if input.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn method_and_target(head: &str) -> (&str, &str) {
    let mut words = head.split(' ');
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

fn content_length(head: &str) -> usize {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

fn read_body(input: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok(body)
}

fn discard(input: &mut impl BufRead, mut length: usize) -> io::Result<Vec<u8>> {
    while length > 0 {
        let there = input.fill_buf()?.len().min(length);
        if there == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        input.consume(there);
        length -= there;
    }
    Ok(Vec::new())
}

/// The official SDK wants a JWT that ends in the future and differs from the one before.
fn scoped_token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = json!({ "exp": now.as_secs() + 3600, "jti": now.as_nanos().to_string() });
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmF0dXJl", part(json!({ "typ": "JWT", "alg": "RS256" })), part(claims))
}

/// Where the official SDK puts its files, and with which key it encrypts them.
fn pipe_info(port: u16) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let stage = json!({
        "expiry_time_ms": now.as_millis() as u64 + 3_600_000, "location_type": "S3", "use_s3_regional_url": false,
        "location": "bucket/prefix/", "region": "us-west-2", "storage_endpoint": format!("127.0.0.1:{port}"),
        "creds": { "AWS_KEY_ID": "AK", "AWS_SECRET_KEY": "SK", "AWS_TOKEN": "T" },
    });
    let key = BASE64_STANDARD.encode([7; 32]);
    json!({
        "rowset_stage_location": stage, "durable_stage_location": stage,
        "encryption_info": { "pipe_key": key, "pipe_key_id": "1", "diversifier": "1" },
    })
}
