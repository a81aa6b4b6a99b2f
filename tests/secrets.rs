//! No secret, and no eight characters of one, appears in any text that the library makes: not in `Debug`, not in `Display`,
//! not in an error, not in a log line of level trace. One target of ureq dumps whole requests at that level; a client warns
//! of it when it is built.

use std::collections::HashSet;
use std::error::Error as _;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use httpmock::{HttpMockRequest, HttpMockResponse, MockServer};
use log::{LevelFilter, Log, Metadata, Record};
use snowpipe_streaming::{Client, ClientCredentials, Credentials, Error, PrivateKey, Profile, Secret};

/// Everything that was said.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Listener;

impl Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // The server of the test runs in this process and sees the requests as they are.
        let ours = ["snowpipe_streaming", "ureq", "rustls", "webpki"];
        if ours.iter().any(|name| record.target().starts_with(name)) && record.target() != "ureq_proto::util" {
            say(format!("{} {}", record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}

fn say(text: String) {
    SAID.lock().unwrap().push(text);
}

fn show(value: &impl Debug) {
    say(format!("{value:?} {value:#?}"));
}

fn complain(error: &Error) {
    show(error);
    say(error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        say(format!("{error} {error:?}"));
        cause = error.source();
    }
}

/// Account and authorization server in one: keeps every credential it sees, and repeats it in what it answers to errors.
fn service(seen: &Arc<Mutex<Vec<String>>>) -> MockServer {
    let server = MockServer::start();
    let (seen, issuer) = (Arc::clone(seen), server.base_url());
    server.mock(|when, then| {
        when.path_matches("^/");
        then.respond_with(move |request: &HttpMockRequest| response(request, &issuer, &seen));
    });
    server
}

fn response(request: &HttpMockRequest, issuer: &str, seen: &Mutex<Vec<String>>) -> HttpMockResponse {
    let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let authorization = authorization.unwrap_or_default();
    let mut seen = seen.lock().unwrap();
    seen.extend(authorization.split_once(' ').map(|(_, credential)| credential.to_owned()));
    let nth = seen.len();
    let (status, body) = match request.uri().path() {
        "/.well-known/openid-configuration" => {
            (200, format!(r#"{{"issuer":"{issuer}","token_endpoint":"{issuer}/oauth2/token"}}"#))
        }
        "/oauth2/token" => (200, format!(r#"{{"access_token":"login-by-oauth-{nth}","token_type":"Bearer"}}"#)),
        "/v2/streaming/hostname" => (200, "127.0.0.1".to_owned()),
        "/oauth/token" => (200, format!("scoped-token-number-{nth}")),
        _ => (401, r#"{"code":"390144","message":"JWT token is invalid. [1]"}"#.to_owned()),
    };
    HttpMockResponse::builder().status(status).body(body).build()
}

/// Whatever a client does, it says everything about it.
fn use_up(client: &Client) {
    show(client);
    show(&client.token());
    show(&client.refresh());
    let report = client.check();
    show(&report);
    say(report.to_string());
    let pipe = client.table("DB", "S", "T");
    show(&pipe);
    complain(&pipe.channel("c").open().unwrap_err());
    show(&client.counters());
}

/// A proxy that refuses; it is told its password all the same.
fn go_through_proxy(password: &str, pat: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let proxy = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let lines = BufReader::new(connection.try_clone().unwrap()).lines().map(Result::unwrap);
        let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        connection.write_all(b"HTTP/1.1 407 X\r\n\r\n").unwrap();
        head.join(" ")
    });
    let builder = Client::builder("myorg-account1", Credentials::programmatic_access_token(pat));
    let builder = builder
        .url("https://nowhere.invalid")
        .retry_budget(Duration::ZERO)
        .proxy(format!("http://joe:{password}@{place}"));
    show(&builder);
    let client = builder.build().unwrap();
    show(&client);
    complain(&client.token().unwrap_err());
    assert!(proxy.join().unwrap().contains("Proxy-Authorization: Basic "));
    for broken in ["socks5", "gopher", "http://x"] {
        let url = format!("{broken}://joe:{password}@{place}");
        complain(&Client::builder("a", Credentials::oauth_token(pat)).proxy(url).build().unwrap_err());
    }
}

#[test]
fn nothing_that_is_said_holds_eight_characters_of_a_secret() {
    log::set_logger(&Listener).unwrap();
    log::set_max_level(LevelFilter::Trace);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = service(&seen);
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");
    let proxy_password = "Tr0ub4dor-Tr0ub4dor-3";
    let (passphrase, client_secret, pat) = ("open sesame", "Hunter2-Hunter2-Hunter2", "pat-0123456789-abcdefghij");

    let key = PrivateKey::from_encrypted_file(format!("{keys}/scrypt.p8"), &Secret::new(passphrase)).unwrap();
    show(&key);
    let plain = std::fs::read_to_string(format!("{keys}/plain.p8")).unwrap();
    let sealed = std::fs::read_to_string(format!("{keys}/scrypt.p8")).unwrap();
    for text in [&plain[..200], &sealed, &plain.replace('A', "B")] {
        complain(&PrivateKey::from_pem(text).unwrap_err());
        complain(&PrivateKey::from_file(text).unwrap_err());
    }
    complain(&PrivateKey::from_encrypted_pem(&sealed, &Secret::new(client_secret)).unwrap_err());

    let oauth = ClientCredentials::of_issuer(server.base_url(), "loader", client_secret);
    show(&oauth);
    for credentials in [
        Credentials::key_pair("loader", key),
        Credentials::programmatic_access_token(pat),
        Credentials::oauth_token(pat),
        Credentials::client_credentials(oauth),
    ] {
        show(&credentials);
        let builder = Client::builder("myorg-account1", credentials).url(server.base_url());
        let builder = builder.retry_budget(Duration::from_secs(1));
        show(&builder);
        use_up(&builder.build().unwrap());
    }
    go_through_proxy(proxy_password, pat);
    complain(&Client::builder("a", Credentials::jwt(pat)).build().unwrap_err());
    for broken in [
        format!(r#"{{"account": "a", "personal_access_token": "{pat}""#),
        format!(r#"{{"account": ["{pat}"]}}"#),
        format!(r#"{{"account": "a", "authorization_type": "PAT", "token": "{pat}"}}"#),
        format!(r#"["{pat}"]"#),
    ] {
        complain(&Profile::from_json(&broken).unwrap_err());
    }

    let mut secrets = seen.lock().unwrap().clone();
    secrets.extend([passphrase, client_secret, pat, proxy_password].map(str::to_owned));
    secrets.push(STANDARD.encode(format!("joe:{proxy_password}")));
    secrets.extend(plain.lines().chain(sealed.lines()).filter(|line| !line.starts_with('-')).map(str::to_owned));
    let said = SAID.lock().unwrap().join("\n");
    assert!(secrets.len() > 60, "{}", secrets.len());
    assert!(said.contains("ureq") && said.contains("the service refused the token"), "the log was heard");
    assert!(
        said.contains("the log target ureq_proto::util writes whole requests"),
        "the one that says too much is named"
    );
    let heard: HashSet<&[u8]> = said.as_bytes().windows(8).collect();
    for secret in &secrets {
        if let Some(slice) = secret.as_bytes().windows(8).find(|slice| heard.contains(slice)) {
            let slice = std::str::from_utf8(slice).unwrap();
            panic!("{slice:?} of {secret:?} was said: {:?}", said.lines().find(|line| line.contains(slice)));
        }
    }
}
