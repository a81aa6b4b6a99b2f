//! The only file that names ureq.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

use ::ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ::ureq::{Agent, Body, RequestExt, Timeout};

use super::{Answer, Call, Failure, Stage, Transport};
use crate::error::{Error, ErrorKind as OurKind, clean};

/// How long one step of an exchange may take; the overall deadline is the sender's.
///
/// A limit on the whole or on name resolution would make ureq start a thread for every call, so there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// For one address: TCP and TLS together.
    pub(crate) connect: Duration,
    /// From the last byte sent to the head of the answer.
    pub(crate) response: Duration,
    /// Without any progress, while sending or reading a body.
    pub(crate) stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: Duration::from_secs(10), response: Duration::from_secs(60), stall: Duration::from_secs(30) }
    }
}

#[derive(Debug)]
pub(crate) struct UreqTransport {
    agent: Agent,
}

impl UreqTransport {
    /// `extra_roots` is PEM text of further authorities to trust; `direct` forbids any proxy.
    pub(crate) fn new(timeouts: Timeouts, extra_roots: Option<&str>, direct: bool) -> Result<UreqTransport, Error> {
        if log::log_enabled!(target: DUMP, log::Level::Trace) {
            log::warn!("at level trace, the log target {DUMP} writes whole requests, tokens included: set it to debug");
        }
        let mut config = Agent::config_builder()
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
            .tls_config(TlsConfig::builder().root_certs(roots(extra_roots)?).build());
        if direct {
            config = config.proxy(None);
        }
        Ok(UreqTransport { agent: config.build().into() })
    }
}

impl Transport for UreqTransport {
    fn call(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let mut request = ::http::Request::builder().method(call.method).uri(call.url);
        if let Some(headers) = request.headers_mut() {
            headers.extend(call.headers.clone());
        }
        let response = match call.body {
            Some(body) => request.body(body).map_err(unsendable)?.with_agent(&self.agent).run(),
            None => request.body(()).map_err(unsendable)?.with_agent(&self.agent).run(),
        };
        let (head, body) = response.map_err(|error| failure(error, call.body.is_some()))?.into_parts();
        Ok(Answer::new(head.status.as_u16(), head.headers, read_whole(body)?))
    }
}

/// To the end, always: a connection is used again only after its answer has been read.
fn read_whole(body: Body) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    let mut limited = body.into_reader().take(MAX_ANSWER + 1);
    limited.read_to_end(&mut whole).map_err(|error| failure(::ureq::Error::from(error), false).received())?;
    if whole.len() as u64 > MAX_ANSWER {
        return Err(Failure {
            stage: Stage::Receiving,
            happened: format!("the answer is longer than {MAX_ANSWER} bytes"),
        });
    }
    Ok(whole)
}

fn unsendable(error: ::http::Error) -> Failure {
    Failure { stage: Stage::Refusing, happened: format!("the request cannot be put on the wire: {error}") }
}

fn failure(error: ::ureq::Error, has_body: bool) -> Failure {
    let stage = stage(&error, has_body);
    let happened = match error {
        ::ureq::Error::Io(error) => words(&error),
        ::ureq::Error::Timeout(timeout) => format!("no progress in time ({timeout})"),
        // Both carry the whole URL.
        ::ureq::Error::BadUri(_) | ::ureq::Error::RequireHttpsOnly(_) => "the URL was refused".into(),
        ::ureq::Error::HostNotFound => "the host name was not found".into(),
        other => clean(&other.to_string()),
    };
    Failure { stage, happened }
}

fn stage(error: &::ureq::Error, has_body: bool) -> Stage {
    use ::ureq::Error as E;
    match error {
        E::Timeout(Timeout::Resolve | Timeout::Connect) => Stage::Connecting,
        E::Timeout(Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite) => Stage::Sending,
        E::HostNotFound | E::ConnectionFailed | E::ConnectProxyFailed(_) => Stage::Connecting,
        E::BadUri(_) | E::Http(_) | E::InvalidProxyUrl | E::Tls(_) | E::TlsRequired | E::Rustls(_) => Stage::Refusing,
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
        // The handshake failed over what the peer presented: rustls wraps its reason so.
        ErrorKind::InvalidData if error.get_ref().is_some() => Stage::Refusing,
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted if has_body => Stage::Sending,
        _ if is_lookup(error) => Stage::Connecting,
        _ => Stage::Receiving,
    }
}

/// The standard library gives a failed name look-up no kind of its own.
fn is_lookup(error: &io::Error) -> bool {
    error.to_string().starts_with("failed to lookup address")
}

fn words(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.source()) {
        Some(cause) => clean(&format!("{error}: {cause}")),
        None => clean(&error.to_string()),
    }
}

impl Failure {
    /// The head of the answer was there, so everything had been sent.
    fn received(self) -> Failure {
        Failure { stage: Stage::Receiving, ..self }
    }
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

/// The longest answer known is the status of two thousand channels, below 2 MB.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;
