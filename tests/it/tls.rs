//! What a client makes of certificates, and how it goes through a proxy: a credential goes only to a host that has proved
//! its name.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use snowpipe_emulator::Emulator;
use snowpipe_streaming::{CheckOutcome, CheckStep, Client, ClientBuilder, Credentials, Error, ErrorKind, PrivateKey};

use crate::support::{batch, builder_of, landed, rows};

/// A private authority.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { certificate: params.self_signed(&key).unwrap(), issuer: Issuer::new(params, key) }
    }

    fn pem(&self) -> String {
        pem::encode(&pem::Pem::new("CERTIFICATE", self.certificate.der().to_vec()))
    }

    /// A server for this name, whose certificate ends in this year.
    fn serve(&self, name: &str, last_year: i32) -> Server {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(last_year, 12, 31);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        Server::start(Arc::new(config))
    }
}

/// Speaks TLS, keeps the first line and the authorization of each request, and refuses it.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(config: Arc<ServerConfig>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, heard) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let keep = Arc::clone(&heard);
        // Ends with the test process.
        thread::spawn(move || {
            for connection in listener.incoming() {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                refuse(StreamOwned::new(session, connection.unwrap()), &keep);
            }
        });
        Server { port, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn refuse(stream: StreamOwned<ServerConnection, TcpStream>, heard: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Ok(1..) if line.trim().is_empty() => break,
            Ok(1..) => heard.lock().unwrap().push(line.trim().to_owned()),
            _ => return,
        }
    }
    let response =
        b"HTTP/1.1 403 X\r\nContent-Length: 31\r\nConnection: close\r\n\r\n{\"error\":\"insufficient_grants\"}";
    let _ = stream.get_mut().write_all(response);
}

fn builder(url: String) -> ClientBuilder {
    Client::builder("myorg-account1", Credentials::oauth_token("login-token")).url(url).retry_budget(Duration::ZERO)
}

fn refusal(builder: ClientBuilder) -> Error {
    let report = builder.build().unwrap().check();
    match report.outcome(CheckStep::AccountHost) {
        CheckOutcome::Failed(error) => error.clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_private_authority_is_trusted_when_it_is_given_and_only_then() {
    let service = Emulator::builder().tls().start().unwrap();
    let key = PrivateKey::from_pem(service.private_key_pem().unwrap()).unwrap();
    let credentials = Credentials::key_pair(service.user(), key);
    let trusting = Client::builder(service.account(), credentials.clone()).url(service.url());
    let report = trusting.extra_roots(service.ca_pem().unwrap()).build().unwrap().check();
    assert!(report.is_ok(), "{report}");
    let before = service.requests().len();

    let error = refusal(Client::builder(service.account(), credentials).url(service.url()));
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::Config, 1),
        "a certificate does not get better by waiting"
    );
    for said in ["UnknownIssuer", "extra_roots", "ca_file", "nothing was sent"] {
        assert!(error.to_string().contains(said), "{said} is missing in {error}");
    }
    assert_eq!(service.requests().len(), before, "no request reached the service");
}

#[test]
fn a_credential_goes_only_to_a_server_that_has_proved_its_name() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
    let good = authority.serve("localhost", 2099);
    let client = builder(format!("https://localhost:{}", good.port)).extra_roots(authority.pem()).build().unwrap();
    assert_eq!(client.token().unwrap_err().status(), Some(403));
    assert!(good.heard().contains(&"authorization: Bearer login-token".to_owned()), "{:?}", good.heard());

    for (server, said) in [
        (stranger.serve("localhost", 2099), "UnknownIssuer"),
        (authority.serve("other.example", 2099), "not valid for name"),
        (authority.serve("localhost", 2020), "expired"),
    ] {
        let error = refusal(builder(format!("https://localhost:{}", server.port)).extra_roots(authority.pem()));
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Config, 1), "{error}");
        assert!(error.to_string().contains(said) && error.to_string().contains("nothing was sent"), "{error}");
        assert!(server.heard().is_empty(), "{:?}", server.heard());
    }
}

/// Takes one CONNECT, keeps its head, and answers with the status; with 200 it tunnels to the port.
struct TunnelProxy {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl TunnelProxy {
    fn start(status: u16, to: u16) -> TunnelProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, heads) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let keep = Arc::clone(&heads);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut client = connection.unwrap();
                keep.lock().unwrap().push(head(&mut client));
                write!(client, "HTTP/1.1 {status} X\r\n\r\n").unwrap();
                if status == 200 {
                    tunnel(client, TcpStream::connect(("127.0.0.1", to)).unwrap());
                }
            }
        });
        TunnelProxy { port, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
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
    let proxy = TunnelProxy::start(200, server.port);
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
fn a_proxy_that_refuses_is_named_at_once_and_its_password_is_not() {
    let proxy = TunnelProxy::start(407, 0);
    let url = format!("http://joe:open%20sesame@127.0.0.1:{}", proxy.port);
    let patient = builder("https://nowhere.invalid".into()).retry_budget(Duration::from_secs(60));
    let error = refusal(patient.proxy(url));
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Config, 1));
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("407") && shown.contains("proxy") && !shown.contains("sesame"), "{shown}");
}

/// Passes connections on to an emulator; spoils what the server says once it is told to, one time.
fn spoiling_proxy(service: &Emulator, spoils: &Arc<AtomicBool>) -> u16 {
    let target: u16 = service.url().rsplit(':').next().unwrap().parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let spoils = spoils.clone();
    // Ends with the test process.
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", target)).unwrap());
            let (mut to_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut client, &mut to_server));
            let spoils = spoils.clone();
            thread::spawn(move || {
                let mut bytes = [0; 65536];
                while let Ok(length @ 1..) = server.read(&mut bytes) {
                    if spoils.swap(false, Ordering::SeqCst) {
                        bytes[..length].fill(b'x');
                    }
                    if to_client.write_all(&bytes[..length]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[test]
fn an_answer_that_was_damaged_on_the_way_is_no_proof_that_nothing_was_sent() {
    let service = Emulator::builder().tls().start().unwrap();
    let spoils = Arc::new(AtomicBool::new(false));
    let port = spoiling_proxy(&service, &spoils);
    let (host, _) = service.url().rsplit_once(':').unwrap();
    let client = builder_of(&service).url(format!("{host}:{port}")).build().unwrap();
    let mut channel = client.table("DEMO", "PUBLIC", "EVENTS").channel("c").open().unwrap();
    spoils.store(true, Ordering::SeqCst);
    channel.append(&batch(1..=3)).unwrap();
    assert!(!spoils.load(Ordering::SeqCst));
    channel.wait_for_commit(3, Duration::from_secs(20)).unwrap();
    assert_eq!(landed(&service), rows(1..=3));
}
