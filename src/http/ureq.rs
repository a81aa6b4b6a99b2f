//! The only file that names ureq.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, process};

use ::ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ::ureq::{Agent, Body, ProxyProtocol, RequestExt, Timeout};
use parking_lot::Mutex;

use super::{Call, Failure, Proxy, Response, Stage, Transport};
use crate::error::{Error, ErrorKind as OurKind, clean};

/// How long one step of an exchange may take; the overall deadline is the sender's.
///
/// A limit on the whole or on name resolution would make ureq start a thread for every call, so there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// For one address: TCP and TLS together.
    pub(crate) connect: Duration,
    /// From the last byte sent to the head of the response.
    pub(crate) response: Duration,
    /// Without any progress, while sending or reading a body.
    pub(crate) stall: Duration,
}

impl Timeouts {
    pub(crate) fn at_most(self, limit: Duration) -> Timeouts {
        let Timeouts { connect, response, stall } = self;
        Timeouts { connect: connect.min(limit), response: response.min(limit), stall: stall.min(limit) }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: Duration::from_secs(10), response: Duration::from_secs(60), stall: Duration::from_secs(30) }
    }
}

pub(crate) struct UreqTransport {
    /// With the process that made its connections.
    agent: Mutex<(u32, Agent)>,
}

impl UreqTransport {
    /// `extra_roots` is PEM text of further authorities to trust. Without a proxy none is used, whatever the environment.
    pub(crate) fn new(
        timeouts: Timeouts,
        extra_roots: Option<&str>,
        proxy: Option<&Proxy>,
    ) -> Result<UreqTransport, Error> {
        if log::log_enabled!(target: DUMP, log::Level::Trace) {
            log::warn!("at level trace, the log target {DUMP} writes whole requests, tokens included: set it to debug");
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .timeout_connect(Some(timeouts.connect))
            .timeout_recv_response(Some(timeouts.response))
            .timeout_per_read(Some(timeouts.stall))
            .timeout_per_write(Some(timeouts.stall))
            .user_agent(USER_AGENT)
            .accept("application/json")
            .accept_encoding("identity")
            .proxy(proxy.map(tunnel).transpose()?)
            .tls_config(TlsConfig::builder().root_certs(roots(extra_roots)?).build());
        Ok(UreqTransport { agent: Mutex::new((process::id(), config.build().into())) })
    }

    /// After a fork the connections are the other process's too: whoever writes into one breaks it for both, so this
    /// process makes its own.
    fn agent(&self) -> Agent {
        let mut held = self.agent.lock();
        let process = process::id();
        if held.0 != process {
            *held = (process, held.1.config().clone().into());
        }
        held.1.clone()
    }
}

/// The configuration may hold the password of a proxy.
impl fmt::Debug for UreqTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UreqTransport(…)")
    }
}

impl Transport for UreqTransport {
    fn call(&self, call: &Call<'_>) -> Result<Response, Failure> {
        let mut request = ::http::Request::builder().method(call.method).uri(call.url);
        if let Some(headers) = request.headers_mut() {
            headers.extend(call.headers.clone());
        }
        let agent = self.agent();
        let response = match call.body {
            Some(body) => request.body(body).map_err(unsendable)?.with_agent(&agent).run(),
            None => request.body(()).map_err(unsendable)?.with_agent(&agent).run(),
        };
        let (head, body) = response.map_err(|error| failure(error, call.body.is_some()))?.into_parts();
        Ok(Response::new(head.status.as_u16(), head.headers, read_whole(body)?))
    }
}

/// To the end, always: a connection is used again only after its response has been read.
fn read_whole(body: Body) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    let mut limited = body.into_reader().take(MAX_RESPONSE_BYTES + 1);
    limited.read_to_end(&mut whole).map_err(|error| failure(::ureq::Error::from(error), false).received())?;
    if whole.len() as u64 > MAX_RESPONSE_BYTES {
        return Err(Failure {
            stage: Stage::Receiving,
            reason: format!("the response is longer than {MAX_RESPONSE_BYTES} bytes"),
        });
    }
    Ok(whole)
}

fn unsendable(error: ::http::Error) -> Failure {
    Failure { stage: Stage::Misconfigured, reason: format!("the request cannot be put on the wire: {error}") }
}

fn failure(error: ::ureq::Error, has_body: bool) -> Failure {
    let stage = stage(&error, has_body);
    let reason = match error {
        ::ureq::Error::Io(error) => words(&error),
        ::ureq::Error::Timeout(timeout) => format!("no progress in time ({timeout})"),
        // Both carry the whole URL.
        ::ureq::Error::BadUri(_) | ::ureq::Error::RequireHttpsOnly(_) => "the URL was refused".into(),
        ::ureq::Error::HostNotFound => "the host name was not found".into(),
        other => clean(&other.to_string()),
    };
    Failure { stage, reason }
}

fn stage(error: &::ureq::Error, has_body: bool) -> Stage {
    use ::ureq::Error as E;
    match error {
        E::Timeout(Timeout::Resolve | Timeout::Connect) => Stage::Connecting,
        E::Timeout(Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite) => Stage::Sending,
        // The proxy itself refuses (407, 403), and will again.
        E::ConnectProxyFailed(reason) if reason.contains("responded 4") => Stage::Misconfigured,
        E::HostNotFound | E::ConnectionFailed | E::ConnectProxyFailed(_) => Stage::Connecting,
        E::BadUri(_) | E::Http(_) | E::InvalidProxyUrl | E::Tls(_) | E::TlsRequired | E::Rustls(_) => {
            Stage::Misconfigured
        }
        E::Io(error) => io_stage(error, has_body),
        _ => Stage::Receiving,
    }
}

fn io_stage(error: &io::Error, has_body: bool) -> Stage {
    match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::AddrNotAvailable => Stage::Connecting,
        // rustls wraps its reasons so. Only a certificate surely belongs to the handshake; anything else may be a response
        // that was damaged after the body had arrived.
        ErrorKind::InvalidData if error.get_ref().is_some() => match has_body && !is_about_certificate(error) {
            true => Stage::Sending,
            false => Stage::Misconfigured,
        },
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted if has_body => Stage::Sending,
        _ if is_lookup(error) => Stage::Connecting,
        _ => Stage::Receiving,
    }
}

fn is_about_certificate(error: &io::Error) -> bool {
    error.to_string().contains("peer certificate")
}

/// The standard library gives a failed name look-up no kind of its own.
fn is_lookup(error: &io::Error) -> bool {
    error.to_string().starts_with("failed to lookup address")
}

fn words(error: &io::Error) -> String {
    if error.to_string().contains("UnknownIssuer") {
        return "the server's certificate is not by an authority that is trusted (UnknownIssuer): add that authority with \
                extra_roots, or ca_file in a profile"
            .into();
    }
    match error.get_ref().and_then(|inner| inner.source()) {
        Some(cause) => clean(&format!("{error}: {cause}")),
        None => clean(&error.to_string()),
    }
}

impl Failure {
    /// The head of the response was there, so everything had been sent.
    fn received(self) -> Failure {
        Failure { stage: Stage::Receiving, ..self }
    }
}

fn tunnel(proxy: &Proxy) -> Result<::ureq::Proxy, Error> {
    let protocol = if proxy.speaks_tls { ProxyProtocol::Https } else { ProxyProtocol::Http };
    let mut builder = ::ureq::Proxy::builder(protocol).host(&proxy.host);
    if let Some(port) = proxy.port {
        builder = builder.port(port);
    }
    if let Some(user) = &proxy.user {
        builder = builder.username(user.expose());
    }
    if let Some(password) = &proxy.password {
        builder = builder.password(password.expose());
    }
    let builder = proxy.bypass.iter().fold(builder, |builder, name| builder.no_proxy(name));
    // Its text may hold the URL.
    builder.build().map_err(|_| {
        Error::new(OurKind::Config, "the proxy cannot be used").advise("write it like http://proxy.example:3128")
    })
}

fn roots(extra: Option<&str>) -> Result<RootCerts, Error> {
    match extra {
        None if cfg!(feature = "platform-verifier") => Ok(RootCerts::PlatformVerifier),
        None => Ok(RootCerts::WebPki),
        Some(_) if cfg!(feature = "platform-verifier") => {
            let happened = "extra roots cannot be joined with the roots of the operating system";
            Err(Error::new(OurKind::Config, happened)
                .advise("add the certificate to the system's store, or build without the feature platform-verifier"))
        }
        Some(pem) => {
            let bundled = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
            let bundled = bundled.map(|der| Certificate::from_der(der.as_ref()).to_owned());
            Ok(RootCerts::Specific(Arc::new(bundled.chain(certificates(pem)?).collect())))
        }
    }
}

fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, Error> {
    let refuse = |happened: &str| {
        Error::new(OurKind::Config, format!("the extra trust roots {happened}"))
            .advise("give PEM text with -----BEGIN CERTIFICATE----- blocks")
    };
    let items: Result<Vec<_>, _> = parse_pem(pem.as_bytes()).collect();
    let items = items.map_err(|_| refuse("are damaged"))?;
    let certificates: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(refuse("hold no certificate"));
    }
    Ok(certificates)
}

/// ureq logs every byte here, which nothing but the log level can prevent.
const DUMP: &str = "ureq_proto::util";

const USER_AGENT: &str = concat!("snowpipe-streaming-rust/", env!("CARGO_PKG_VERSION"));

/// At least one for every thread that may append at once; beyond it connections are made anew, not refused.
const IDLE_CONNECTIONS: usize = 64;

/// The longest response known is the status of two thousand channels, below 2 MB.
const MAX_RESPONSE_BYTES: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use ::http::{HeaderMap, Method};

    use super::*;

    /// Answers every request on every connection; tells how many connections there were.
    fn server() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        thread::spawn(move || {
            for connection in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut writer = connection.unwrap();
                let reader = BufReader::new(writer.try_clone().unwrap());
                thread::spawn(move || {
                    for line in reader.lines() {
                        if line.unwrap().is_empty() {
                            writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
                        }
                    }
                });
            }
        });
        (url, count)
    }

    #[test]
    fn connections_are_kept_and_not_shared_with_the_process_that_was_forked_from() {
        let (url, connections) = server();
        let transport = UreqTransport::new(Timeouts::default(), None, None).unwrap();
        let call = || {
            let call = Call { method: &Method::GET, url: &url, headers: &HeaderMap::new(), body: None };
            assert_eq!(transport.call(&call).unwrap().status, 200);
            connections.load(Ordering::SeqCst)
        };
        assert_eq!((call(), call()), (1, 1));
        transport.agent.lock().0 += 1;
        assert_eq!((call(), call()), (2, 2));
        assert_eq!(transport.agent.lock().0, process::id());
    }

    #[test]
    fn nothing_of_a_proxy_is_shown() {
        let proxy = Proxy::parse("http://joe:sesame@proxy.example", "the proxy").unwrap();
        let transport = UreqTransport::new(Timeouts::default(), None, Some(&proxy)).unwrap();
        assert_eq!(format!("{transport:?}"), "UreqTransport(…)");
    }
}
