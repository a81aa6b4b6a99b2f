use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use snowpipe_streaming::{Client, ClientBuilder, Credentials, Pipe};

/// A service that does to connections what no proper server does.
pub struct Raw {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

/// What to do with one request.
pub enum Reply {
    /// A whole response.
    Response(u16, String),
    /// No response: the connection is closed after the request was read.
    Cut,
    /// The head promises more than comes.
    Truncated(u16, String),
    /// The response comes before the body was read, and the connection is closed.
    Early(u16, String),
    /// No response, and the connection stays open until the client gives up.
    Silence,
    /// The head comes at once, the body byte by byte, ten a second and without end.
    Drip(u16),
}

impl Raw {
    /// `reply` is asked with the request line and the number of times this method and path came before.
    pub fn start(reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Raw {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (reply, noted) = (Arc::new(reply), seen.clone());
        // Both end with the test process.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (reply, noted) = (reply.clone(), noted.clone());
                std::thread::spawn(move || serve(connection.unwrap(), &*reply, &noted));
            }
        });
        Raw { url, seen }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn builder(&self) -> ClientBuilder {
        Client::builder("testorg-acct", Credentials::oauth_token("login-token"))
            .url(&self.url)
            .retry_budget(Duration::from_secs(3))
            .response_timeout(Duration::from_millis(300))
    }

    pub fn pipe(&self) -> Pipe {
        self.builder().build().unwrap().table("DB", "PUBLIC", "EVENTS")
    }

    /// The request lines so far whose path ends so.
    pub fn seen(&self, path_end: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|line| path_of(line).ends_with(path_end)).cloned().collect()
    }
}

fn serve(connection: TcpStream, reply: &dyn Fn(&str, usize) -> Reply, seen: &Mutex<Vec<String>>) {
    let mut writer = connection.try_clone().unwrap();
    let mut reader = BufReader::new(connection);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let header = header.trim().to_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let line = line.trim().to_string();
        let before = {
            let mut seen = seen.lock().unwrap();
            let before = seen.iter().filter(|earlier| path_of(earlier) == path_of(&line)).count();
            seen.push(line.clone());
            before
        };
        let reply = reply(&line, before);
        if let Reply::Early(status, body) = &reply {
            let _ = write!(writer, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            return;
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        match reply {
            Reply::Response(status, body) => {
                write!(writer, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            }
            Reply::Truncated(status, body) => {
                let _ = write!(writer, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len() + 10);
                return;
            }
            Reply::Silence => {
                // Ends when the client closes.
                let _ = reader.read(&mut [0]);
                return;
            }
            Reply::Drip(status) => return drip(writer, status),
            Reply::Cut | Reply::Early(..) => return,
        }
    }
}

/// Ends when the client closes.
fn drip(mut writer: TcpStream, status: u16) {
    let mut next = format!("HTTP/1.1 {status} X\r\nContent-Length: 1000000\r\n\r\n");
    while writer.write_all(next.as_bytes()).is_ok() {
        next = " ".into();
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn path_of(request_line: &str) -> &str {
    let target = request_line.split(' ').nth(1).unwrap_or_default();
    target.split('?').next().unwrap_or_default()
}
