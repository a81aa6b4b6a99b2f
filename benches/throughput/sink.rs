//! The least service that a client can load into: it reads rows, throws them away and calls them committed.
//!
//! It runs in a process of its own, so that neither its time nor its memory is counted with the client's.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// The argument that makes this program the service.
pub const ARGUMENT: &str = "--sink";

/// The service, until it is dropped.
pub struct Sink {
    process: Child,
    pub url: String,
}

impl Sink {
    pub fn start() -> Sink {
        let program = std::env::current_exe().expect("our own path");
        let mut process = Command::new(program)
            .arg(ARGUMENT)
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

/// Committed offset tokens by channel.
type Committed = Arc<Mutex<HashMap<String, String>>>;

/// Serves until its standard input ends, which it does with the process that started this one.
pub fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        let committed = Committed::default();
        for stream in listener.incoming().flatten() {
            let committed = committed.clone();
            thread::spawn(move || serve_connection(&stream, &committed));
        }
    });
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

fn serve_connection(stream: &TcpStream, committed: &Committed) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::with_capacity(256 * 1024, stream);
    loop {
        let Some(head) = read_head(&mut input)? else { return Ok(()) };
        let length = content_length(&head);
        let target = head.split(' ').nth(1).unwrap_or_default();
        let body = if target.contains("/rows?") {
            discard(&mut input, length)?;
            Vec::new()
        } else {
            let mut body = vec![0; length];
            input.read_exact(&mut body)?;
            body
        };
        let answer = answer(target, &body, committed);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
        (&mut &*stream).write_all(&[head.as_bytes(), answer.as_bytes()].concat())?;
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

fn content_length(head: &str) -> usize {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

fn discard(input: &mut impl BufRead, mut length: usize) -> io::Result<()> {
    while length > 0 {
        let there = input.fill_buf()?.len().min(length);
        if there == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        input.consume(there);
        length -= there;
    }
    Ok(())
}

fn answer(target: &str, body: &[u8], committed: &Committed) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut committed = committed.lock().expect("no thread has failed");
    if path.ends_with("/hostname") {
        return "127.0.0.1".into();
    }
    if path.ends_with("/oauth/token") {
        return "a-scoped-token".into();
    }
    if path.ends_with("/rows") {
        let channel = channel_in(path);
        if let Some(token) = query.split('&').find_map(|pair| pair.strip_prefix("endOffsetToken=")) {
            committed.insert(channel, token.into());
        }
        return json!({ "next_continuation_token": "next" }).to_string();
    }
    if path.ends_with(":bulk-channel-status") {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let names = asked["channel_names"].as_array().cloned().unwrap_or_default();
        let names = names.iter().filter_map(Value::as_str);
        let statuses: serde_json::Map<_, _> =
            names.map(|name| (name.to_string(), status(name, committed.get(name)))).collect();
        return json!({ "channel_statuses": statuses }).to_string();
    }
    let channel = channel_in(path);
    let status = status(&channel, committed.get(&channel));
    json!({ "next_continuation_token": "first", "channel_status": status }).to_string()
}

fn channel_in(path: &str) -> String {
    let (_, rest) = path.split_once("/channels/").unwrap_or_default();
    rest.trim_end_matches("/rows").to_string()
}

fn status(channel: &str, committed: Option<&String>) -> Value {
    json!({
        "database_name": "DB", "schema_name": "PUBLIC", "pipe_name": "EVENTS-STREAMING", "channel_name": channel,
        "channel_status_code": "SUCCESS", "created_on_ms": 1, "rows_inserted": 0, "rows_parsed": 0,
        "rows_error_count": 0, "last_committed_offset_token": committed,
    })
}
