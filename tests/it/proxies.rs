//! How a client goes through a proxy, and what it says when that fails: the proxy by name, no secret, no markup.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use snowpipe_streaming::{Error, ErrorKind};

use crate::tls::{Authority, builder, refusal};

/// Reads the head of one CONNECT on each connection, keeps it, and responds; a response of 200 is followed by a tunnel.
struct RawProxy {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl RawProxy {
    /// A tunnel to this port.
    fn to(port: u16) -> RawProxy {
        RawProxy::start("HTTP/1.1 200 X\r\n\r\n".into(), Some(port))
    }

    /// Sends this and closes.
    fn saying(response: impl Into<String>) -> RawProxy {
        RawProxy::start(response.into(), None)
    }

    fn start(response: String, to: Option<u16>) -> RawProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, heads) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let keep = Arc::clone(&heads);
        // Ends with the test process.
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut client = connection.unwrap();
                let Some(head) = head(&mut client) else { continue };
                let sent = response.replace("ECHO", &head);
                keep.lock().unwrap().push(head);
                let _ = client.write_all(sent.as_bytes());
                match to {
                    Some(to) => tunnel(client, TcpStream::connect(("127.0.0.1", to)).unwrap()),
                    None => drop(client.shutdown(Shutdown::Write)),
                }
            }
        });
        RawProxy { port, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// The error of a request through it to a host that does not exist.
    fn refusal(&self, url: &str) -> Error {
        refusal(builder("https://nowhere.invalid".into()).proxy(url.replace("PORT", &self.port.to_string())))
    }
}

/// `None` if the client says something else, or nothing.
fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
        if head.len() >= 7 && !head.starts_with(b"CONNECT") {
            let _ = stream.write_all(b"HTTP/1.1 400 X\r\n\r\n");
            return None;
        }
    }
    String::from_utf8(head).ok()
}

fn tunnel(client: TcpStream, server: TcpStream) {
    for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
        thread::spawn(move || std::io::copy(&mut from, &mut to));
    }
}

#[test]
fn a_proxy_is_asked_to_connect_and_sees_no_token() {
    let authority = Authority::new("ours");
    let server = authority.serve("nowhere.invalid", 2099);
    let proxy = RawProxy::to(server.port);
    let client = builder("https://nowhere.invalid".into())
        .extra_roots(authority.pem())
        .proxy(format!("http://joe:open%20sesame@127.0.0.1:{}", proxy.port));
    assert!(!format!("{client:?}").contains("sesame"));
    let error = client.build().unwrap().token().unwrap_err();
    assert_eq!(error.status(), Some(403), "{error}");
    assert!(server.heard().contains(&"authorization: Bearer login-token".to_owned()));
    let expected = concat!(
        "CONNECT nowhere.invalid:443 HTTP/1.1\r\nHost: nowhere.invalid:443\r\nUser-Agent: snowpipe-streaming-rust/",
        env!("CARGO_PKG_VERSION"),
        // joe:open sesame
        "\r\nProxy-Connection: Keep-Alive\r\nProxy-Authorization: Basic am9lOm9wZW4gc2VzYW1l\r\n\r\n"
    );
    assert_eq!(proxy.heads(), [expected]);
}

#[test]
fn a_dead_proxy_is_named_together_with_the_host_that_it_should_reach() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    drop(listener);
    let client = builder("https://nowhere.invalid".into()).proxy(format!("http://joe:sesame@{proxy}"));
    let error = client.retry_budget(Duration::from_millis(200)).build().unwrap().token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let shown = error.to_string();
    let expected = format!(
        "could not find the ingest host: no connection to nowhere.invalid:443 through the proxy {proxy}: connection refused ("
    );
    assert!(shown.starts_with(&expected) && shown.ends_with("; check the proxy"), "{shown}");
}

#[test]
fn what_a_proxy_responds_decides_and_its_page_is_not_shown() {
    for (user, status, kind, said) in [
        ("", 407, ErrorKind::Refused, "the proxy demands a user and a password (HTTP 407)"),
        (
            "",
            407,
            ErrorKind::Refused,
            "write them in the URL of the proxy, like http://user:password@proxy.example:3128",
        ),
        ("joe:sesame@", 407, ErrorKind::Refused, "the proxy refuses the user or the password (HTTP 407)"),
        ("joe:sesame@", 403, ErrorKind::Refused, "the proxy does not let this connection through (HTTP 403)"),
        ("", 302, ErrorKind::Refused, "the proxy does not let this connection through (HTTP 302)"),
        ("", 429, ErrorKind::Unavailable, "the proxy is busy (HTTP 429)"),
        ("joe:sesame@", 502, ErrorKind::Unavailable, "the proxy did not reach the host (HTTP 502)"),
        ("", 503, ErrorKind::Unavailable, "check the host name, and whether the proxy reaches it"),
    ] {
        let page = "<html><title>Denied</title>ECHO</html>";
        let proxy = RawProxy::saying(format!("HTTP/1.1 {status} X\r\nContent-Type: text/html\r\n\r\n{page}"));
        let error = proxy.refusal(&format!("http://{user}127.0.0.1:PORT"));
        assert_eq!((error.kind(), error.attempts()), (kind, 1), "{error}");
        let shown = format!("{error} {error:?}");
        let route =
            format!("no connection to nowhere.invalid:443 through the proxy 127.0.0.1:{}: the proxy", proxy.port);
        assert!(shown.contains(said) && shown.contains(&route), "{shown}");
        // joe:sesame
        for hidden in ["sesame", "am9lOnNlc2FtZQ", "<", "Denied"] {
            assert!(!shown.contains(hidden), "{hidden} is in {shown}");
        }
    }
}

#[test]
fn a_proxy_that_refuses_is_asked_once_and_one_that_cannot_reach_the_host_again() {
    for (status, asked_again) in [(407, false), (403, false), (502, true)] {
        let proxy = RawProxy::saying(format!("HTTP/1.1 {status} X\r\n\r\n"));
        let patient = builder("https://nowhere.invalid".into()).retry_budget(Duration::from_secs(3));
        let client = patient.retry_pause(Duration::from_millis(20)).proxy(format!("http://127.0.0.1:{}", proxy.port));
        client.build().unwrap().token().unwrap_err();
        assert_eq!(proxy.heads().len() > 1, asked_again, "{status}");
    }
}

#[test]
fn a_proxy_that_speaks_nonsense_or_says_nothing_is_named() {
    for response in ["", "SSH-2.0-OpenSSH_9.2\r\n", "\x15\x03\x01\0\x02\x02\x46", "HTTP/1.1 200"] {
        let proxy = RawProxy::saying(response);
        let error = proxy.refusal("http://joe:sesame@127.0.0.1:PORT");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{response:?}: {error}");
        let named = format!("nowhere.invalid:443 through the proxy 127.0.0.1:{}: ", proxy.port);
        assert!(error.to_string().contains(&named), "{response:?}: {error}");
    }
}

#[test]
fn a_silent_proxy_ends_with_the_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = builder("https://nowhere.invalid".into()).connect_timeout(Duration::from_millis(200)).proxy(url);
    let error = refusal(client);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("no progress in time (connect)"), "{error}");
    assert!(error.to_string().ends_with("; check the proxy"), "{error}");
}

#[test]
fn a_proxy_whose_own_tls_fails_is_named_with_the_cure() {
    let stranger = Authority::new("theirs").serve("127.0.0.1", 2099);
    let error = refusal(
        builder("https://nowhere.invalid".into()).proxy(format!("https://joe:sesame@127.0.0.1:{}", stranger.port)),
    );
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let said =
        format!("the proxy 127.0.0.1:{}: the server's certificate, or the proxy's, is not from a", stranger.port);
    assert!(error.to_string().contains(&said), "{error}");
    assert!(stranger.heard().is_empty(), "neither CONNECT nor password");

    let plain = RawProxy::saying("HTTP/1.1 400 X\r\n\r\n");
    let error = plain.refusal("https://joe:sesame@127.0.0.1:PORT");
    assert!(error.to_string().contains("if the proxy itself speaks no TLS, write http:// in its URL"), "{error}");
    assert!(plain.heads().is_empty());
}
