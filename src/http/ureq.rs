//! The only file that names ureq.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, process};

use ::ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ::ureq::{Agent, AsSendBody, Body, ProxyProtocol, RequestExt, Timeout};
use parking_lot::Mutex;

use super::{Call, Failure, Proxy, Response, Stage, Transport};
use crate::clock::{Clock, Deadline, FOREVER};
use crate::error::{Error, ErrorKind as OurKind, clean};

/// How long each step of a round trip may take; a call with a deadline has less.
///
/// There is no limit on the whole and on name resolution: ureq would start a thread for every call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// For TCP and TLS together, for each address of the host.
    pub(crate) connect: Duration,
    /// From the last byte sent to the head of the response.
    pub(crate) response: Duration,
    /// Without progress while sending. A body that is read has as long, or as long as the head if that is longer.
    pub(crate) stall: Duration,
}

impl Timeouts {
    pub(crate) fn at_most(self, limit: Duration) -> Timeouts {
        let Timeouts { connect, response, stall } = self;
        Timeouts { connect: connect.min(limit), response: response.min(limit), stall: stall.min(limit) }
    }

    /// For the whole body of a response: a server that sends a byte now and then must not hold a caller for ever.
    fn body(self) -> Duration {
        self.response.max(self.stall)
    }
}

/// Several times what a slow network and a busy service take, and short enough for a retry within the default budget.
impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: Duration::from_secs(10), response: Duration::from_secs(60), stall: Duration::from_secs(30) }
    }
}

pub(crate) struct UreqTransport {
    /// With the id of the process that made its connections.
    agent: Mutex<(u32, Agent)>,
    timeouts: Timeouts,
    clock: Arc<dyn Clock>,
}

impl UreqTransport {
    /// `extra_roots` is PEM text with further authorities to trust. The environment is not read: no `proxy` means none.
    pub(crate) fn new(
        timeouts: Timeouts,
        extra_roots: Option<&str>,
        proxy: Option<&Proxy>,
        clock: Arc<dyn Clock>,
    ) -> Result<UreqTransport, Error> {
        // ureq adds them to a clock, which overflows with the longest ones.
        let timeouts = timeouts.at_most(FOREVER);
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
            .timeout_recv_body(Some(timeouts.body()))
            .timeout_per_write(Some(timeouts.stall))
            .user_agent(USER_AGENT)
            .accept("application/json")
            .accept_encoding("identity")
            .proxy(proxy.map(tunnel).transpose()?)
            .tls_config(TlsConfig::builder().root_certs(roots(extra_roots)?).build());
        let agent = Mutex::new((process::id(), config.build().into()));
        Ok(UreqTransport { agent, timeouts, clock })
    }

    /// After a fork, both processes share the connections, and a write by one breaks them for the other. So the child makes
    /// its own.
    fn agent(&self) -> Agent {
        let mut held = self.agent.lock();
        let process = process::id();
        if held.0 != process {
            *held = (process, held.1.config().clone().into());
        }
        held.1.clone()
    }

    /// With a deadline, each step has at most what is left now: ureq has no limit on the whole that starts no thread.
    fn run<B: AsSendBody>(
        &self,
        request: ::http::Request<B>,
        deadline: Option<Deadline>,
    ) -> Result<::http::Response<Body>, ::ureq::Error> {
        let agent = self.agent();
        let request = request.with_agent(&agent);
        let Some(deadline) = deadline else { return request.run() };
        let left = deadline.left(self.clock.now());
        let timeouts = self.timeouts.at_most(left);
        let request = request
            .configure()
            .timeout_connect(Some(timeouts.connect))
            .timeout_send_request(Some(left))
            .timeout_send_body(Some(left))
            .timeout_recv_response(Some(timeouts.response))
            .timeout_recv_body(Some(timeouts.body()))
            .timeout_per_write(Some(timeouts.stall));
        request.build().run()
    }

    /// Always to the end: a connection is reused only after its response has been read.
    fn read_whole(&self, body: Body, deadline: Option<Deadline>) -> Result<Vec<u8>, Failure> {
        let mut reader = body.into_reader();
        let (mut whole, mut piece) = (Vec::new(), vec![0; PIECE_BYTES]);
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(whole),
                Ok(read) => whole.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failure(::ureq::Error::from(error), false).while_receiving()),
            }
            if whole.len() > MAX_RESPONSE_BYTES {
                let reason = format!("the response is longer than {MAX_RESPONSE_BYTES} bytes");
                return Err(Failure::new(Stage::Receiving, reason));
            }
            if deadline.is_some_and(|deadline| deadline.is_reached(self.clock.now())) {
                return Err(Failure::out_of_time(Stage::Receiving));
            }
        }
    }
}

/// Without the configuration, which may contain the password of a proxy.
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
        let response = match call.body {
            Some(body) => self.run(request.body(body).map_err(unsendable)?, call.deadline),
            None => self.run(request.body(()).map_err(unsendable)?, call.deadline),
        };
        let (head, body) = response.map_err(|error| failure(error, call.body.is_some()))?.into_parts();
        Ok(Response::new(head.status.as_u16(), head.headers, self.read_whole(body, call.deadline)?))
    }
}

fn unsendable(error: ::http::Error) -> Failure {
    Failure::new(Stage::Misconfigured, format!("the request cannot be sent: {error}"))
}

fn failure(error: ::ureq::Error, has_body: bool) -> Failure {
    let stage = stage(&error, has_body);
    let reason = match error {
        ::ureq::Error::Io(error) => io_reason(&error),
        ::ureq::Error::Timeout(timeout) => format!("no progress in time ({timeout})"),
        // Both contain the whole URL.
        ::ureq::Error::BadUri(_) | ::ureq::Error::RequireHttpsOnly(_) => "the URL was refused".into(),
        ::ureq::Error::HostNotFound => "the host name was not found".into(),
        other => clean(&other.to_string()),
    };
    Failure::new(stage, reason)
}

fn stage(error: &::ureq::Error, has_body: bool) -> Stage {
    use ::ureq::Error as E;
    match error {
        E::Timeout(Timeout::Resolve | Timeout::Connect) => Stage::Connecting,
        E::Timeout(Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite) => Stage::Sending,
        // The proxy itself refused (407, 403) and would again.
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
        // An error of rustls. Only one about a certificate is certain to belong to the handshake; any other may be a damaged
        // response after the body had arrived.
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

/// A failed name look-up has no kind of its own in the standard library.
fn is_lookup(error: &io::Error) -> bool {
    error.to_string().starts_with("failed to lookup address")
}

fn io_reason(error: &io::Error) -> String {
    if error.to_string().contains("UnknownIssuer") {
        return "the server's certificate is not from a trusted authority (UnknownIssuer): add that authority with \
                extra_roots, or ca_file in a profile"
            .into();
    }
    match error.get_ref().and_then(|inner| inner.source()) {
        Some(cause) => clean(&format!("{error}: {cause}")),
        None => clean(&error.to_string()),
    }
}

impl Failure {
    /// The same, when the head of the response has arrived and so everything has been sent.
    fn while_receiving(self) -> Failure {
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
    // The text of the error may contain the URL.
    builder.build().map_err(|_| {
        Error::new(OurKind::Config, "the proxy cannot be used").advise("write it like http://proxy.example:3128")
    })
}

fn roots(extra: Option<&str>) -> Result<RootCerts, Error> {
    match extra {
        None if cfg!(feature = "platform-verifier") => Ok(RootCerts::PlatformVerifier),
        None => Ok(RootCerts::WebPki),
        Some(_) if cfg!(feature = "platform-verifier") => {
            let reason = "extra roots cannot be combined with the roots of the operating system";
            Err(Error::new(OurKind::Config, reason)
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
    let refuse = |reason: &str| {
        Error::new(OurKind::Config, format!("the extra trust roots {reason}"))
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

/// ureq logs every byte to this target. Only the log level can prevent it.
const DUMP: &str = "ureq_proto::util";

const USER_AGENT: &str = concat!("snowpipe-streaming-rust/", env!("CARGO_PKG_VERSION"));

/// Enough for one connection per appending thread. With more threads, some connections are not kept for reuse.
const IDLE_CONNECTIONS: usize = 64;

/// The longest known response is the status of 2000 channels, less than 2 MB.
const MAX_RESPONSE_BYTES: usize = 16 * 1024 * 1024;

/// Most responses fit in one piece.
const PIECE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use ::http::{HeaderMap, Method};

    use super::*;
    use crate::clock::SystemClock;

    /// Responds to every request on every connection; counts the connections.
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

    fn transport(timeouts: Timeouts) -> UreqTransport {
        UreqTransport::new(timeouts, None, None, Arc::new(SystemClock)).unwrap()
    }

    #[test]
    fn connections_are_kept_and_not_shared_after_a_fork() {
        let (url, connections) = server();
        let transport = transport(Timeouts::default());
        let call = || {
            let call = Call { method: &Method::GET, url: &url, headers: &HeaderMap::new(), body: None, deadline: None };
            assert_eq!(transport.call(&call).unwrap().status, 200);
            connections.load(Ordering::SeqCst)
        };
        assert_eq!((call(), call()), (1, 1));
        transport.agent.lock().0 += 1;
        assert_eq!((call(), call()), (2, 2));
        assert_eq!(transport.agent.lock().0, process::id());
    }

    /// Sends these pieces to the first request on each connection, after these pauses in milliseconds, then nothing.
    fn server_of(pieces: &'static [(u64, &'static str)]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                thread::spawn(move || {
                    connection.read_exact(&mut [0; 16]).unwrap();
                    for (pause, piece) in pieces {
                        thread::sleep(Duration::from_millis(*pause));
                        // The client may have given up.
                        let _ = connection.write_all(piece.as_bytes());
                    }
                    // Ends when the client closes.
                    while connection.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
                });
            }
        });
        url
    }

    /// A round trip with steps of these milliseconds, and a deadline in so many.
    fn fetch(url: &str, [response, stall]: [u64; 2], deadline: Option<u64>) -> Result<Response, Failure> {
        let [response, stall] = [response, stall].map(Duration::from_millis);
        let transport = transport(Timeouts { connect: Duration::from_secs(10), response, stall });
        let deadline = deadline.map(|ms| SystemClock.now().deadline(Duration::from_millis(ms)));
        let began = SystemClock.now();
        let result =
            transport.call(&Call { method: &Method::GET, url, headers: &HeaderMap::new(), body: None, deadline });
        let elapsed = SystemClock.now().since(began);
        assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
        result
    }

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    /// Two seconds of a byte each tenth of a second.
    const DRIPPING: [(u64, &str); 21] = {
        let mut pieces = [(100, "x"); 21];
        pieces[0] = (0, HEAD);
        pieces
    };
    /// Longer than the tests wait.
    const HOUR: u64 = 3_600_000;

    #[test]
    fn a_response_that_drips_ends_with_the_time_for_its_body() {
        let failure = fetch(&server_of(&DRIPPING), [300, 200], None).unwrap_err();
        let expected = Failure::new(Stage::Receiving, "no progress in time (receive body)");
        assert_eq!(failure, expected);
    }

    #[test]
    fn a_response_that_drips_or_ceases_is_cut_off_at_the_deadline() {
        for pieces in [&DRIPPING[..], &[(0, HEAD)], &[(0, "HTTP/1.1 200")], &[(0, "")]] {
            let failure = fetch(&server_of(pieces), [HOUR, HOUR], Some(300)).unwrap_err();
            assert_eq!(failure.stage, Stage::Receiving, "{pieces:?}");
        }
    }

    #[test]
    fn a_response_may_begin_later_than_an_upload_may_stall() {
        let url = server_of(&[(500, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), (500, "ok")]);
        assert_eq!(fetch(&url, [HOUR, 100], None).unwrap().body, b"ok");
    }

    #[test]
    fn the_longest_timeouts_are_valid() {
        let (url, _) = server();
        let timeouts = Timeouts { connect: Duration::MAX, response: Duration::MAX, stall: Duration::MAX };
        let call = Call { method: &Method::GET, url: &url, headers: &HeaderMap::new(), body: None, deadline: None };
        assert_eq!(transport(timeouts).call(&call).unwrap().status, 200);
    }

    #[test]
    fn nothing_of_a_proxy_is_shown() {
        let proxy = Proxy::parse("http://joe:sesame@proxy.example", "the proxy").unwrap();
        let transport = UreqTransport::new(Timeouts::default(), None, Some(&proxy), Arc::new(SystemClock)).unwrap();
        assert_eq!(format!("{transport:?}"), "UreqTransport(…)");
    }
}
