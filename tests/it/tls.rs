//! What a client makes of certificates: a credential goes only to a host that has proved its name.

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
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { certificate: params.self_signed(&key).unwrap(), issuer: Issuer::new(params, key) }
    }

    pub fn pem(&self) -> String {
        pem_of(&self.certificate)
    }

    /// A server for this name, whose certificate ends in this year.
    pub fn serve(&self, name: &str, last_year: i32) -> Server {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(last_year, 12, 31);
        Server::of(&params.signed_by(&key, &self.issuer).unwrap(), &key)
    }
}

fn pem_of(certificate: &Certificate) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", certificate.der().to_vec()))
}

/// Speaks TLS, keeps the first line and the authorization of each request, and refuses it.
pub struct Server {
    pub port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn of(leaf: &Certificate, key: &KeyPair) -> Server {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        Server::start(Arc::new(config))
    }

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

    pub fn heard(&self) -> Vec<String> {
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

pub fn builder(url: String) -> ClientBuilder {
    Client::builder("myorg-account1", Credentials::oauth_token("login-token")).url(url).retry_budget(Duration::ZERO)
}

pub fn refusal(builder: ClientBuilder) -> Error {
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
        (ErrorKind::Refused, 1),
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
        (stranger.serve("localhost", 2099), "is not from a trusted authority (UnknownIssuer)"),
        (authority.serve("other.example", 2099), "write a name of the certificate in the URL"),
        (authority.serve("localhost", 2020), "the server's certificate has expired ("),
        (authority.serve("localhost", 2020), "renew the certificate, or set this machine's clock right"),
    ] {
        let error = refusal(builder(format!("https://localhost:{}", server.port)).extra_roots(authority.pem()));
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Refused, 1), "{error}");
        assert!(error.to_string().contains(said) && error.to_string().contains("nothing was sent"), "{error}");
        assert!(error.to_string().contains(&format!("no connection to localhost:{}: ", server.port)), "{error}");
        assert!(server.heard().is_empty(), "{:?}", server.heard());
    }
}

#[test]
fn a_certificate_of_an_authority_is_refused_as_a_servers_own_and_the_cure_works() {
    for (is_ca, said) in [
        (IsCa::Ca(BasicConstraints::Unconstrained), Some("basicConstraints=critical,CA:FALSE")),
        (IsCa::ExplicitNoCa, None),
        (IsCa::NoCa, None),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let certificate = params.self_signed(&key).unwrap();
        let server = Server::of(&certificate, &key);
        let trusting = builder(format!("https://localhost:{}", server.port)).extra_roots(pem_of(&certificate));
        let error = trusting.build().unwrap().token().unwrap_err();
        match said {
            Some(said) => {
                assert_eq!(error.kind(), ErrorKind::Refused);
                assert!(error.to_string().contains(said) && error.to_string().contains("CA:TRUE"), "{error}");
            }
            None => assert_eq!(error.status(), Some(403), "{error}"),
        }
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_asked_a_few_times_and_the_cure_names_the_port() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    // Ends with the test process.
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let patient = builder(url).retry_budget(Duration::from_secs(60)).retry_pause(Duration::from_millis(10));
    let error = patient.build().unwrap().token().unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Unavailable, 4), "{error}");
    assert!(error.to_string().contains("check host and port: what responds there speaks no TLS"), "{error}");
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
