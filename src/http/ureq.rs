//! The round trip. Only this file and those of its folder name ureq.

mod causes;
mod trust;

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, process};

use ::http::{HeaderValue, StatusCode, header};
use ::ureq::tls::TlsConfig;
use ::ureq::{Agent, AsSendBody, Body, ProxyProtocol, RequestExt, SendBody};
use parking_lot::Mutex;

use self::causes::{Reached, Upload, failure, unsendable};
use super::{Call, Failure, MAX_SHORT_BYTES, Origin, Proxy, Response, Route, Stage, Transport};
use crate::clock::{Clock, FOREVER, Moment};
use crate::error::{Error, ErrorKind as OurKind};

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
    /// The body of a response may take no longer than requests are retried, but has [`BODY_MINIMUM`].
    pub(crate) budget: Duration,
}

impl Timeouts {
    pub(crate) fn at_most(self, limit: Duration) -> Timeouts {
        let Timeouts { connect, response, stall, budget } = self;
        let (connect, response, stall) = (connect.min(limit), response.min(limit), stall.min(limit));
        Timeouts { connect, response, stall, budget }
    }

    /// For the whole body of a response: a server that sends a byte now and then must not hold a caller for ever.
    fn body(self) -> Duration {
        self.response.max(self.stall).min(self.budget.max(BODY_MINIMUM))
    }
}

/// Several times what a slow network and a busy service take, and short enough for a retry within the default budget.
impl Default for Timeouts {
    fn default() -> Timeouts {
        let [connect, response, stall] = [10, 60, 30].map(Duration::from_secs);
        Timeouts { connect, response, stall, budget: FOREVER }
    }
}

pub(crate) struct UreqTransport {
    /// With the id of the process that made their connections.
    agents: Mutex<(u32, Agents)>,
    proxy: Option<Proxy>,
    timeouts: Timeouts,
    clock: Arc<dyn Clock>,
}

/// Each with connections of its own.
#[derive(Clone)]
struct Agents {
    direct: Agent,
    tunnelling: Option<Agent>,
}

impl UreqTransport {
    /// `extra_roots` is PEM text with further authorities to trust. The environment is not read: no `proxy` means none.
    pub(crate) fn new(
        timeouts: Timeouts,
        extra_roots: Option<&str>,
        proxy: Option<Proxy>,
        clock: Arc<dyn Clock>,
    ) -> Result<UreqTransport, Error> {
        // ureq adds them to a clock, which overflows with the longest ones.
        let timeouts = timeouts.at_most(FOREVER);
        if log::log_enabled!(target: DUMP, log::Level::Trace) {
            log::warn!("at level trace, the log target {DUMP} writes whole requests, tokens included: set it to debug");
        }
        let roots = trust::roots(extra_roots)?;
        let agent = |proxy| {
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
                .proxy(proxy)
                .tls_config(TlsConfig::builder().root_certs(roots.clone()).build());
            Agent::from(config.build())
        };
        let tunnelling = proxy.as_ref().map(tunnel).transpose()?.map(|tunnel| agent(Some(tunnel)));
        let agents = Agents { direct: agent(None), tunnelling };
        Ok(UreqTransport { agents: Mutex::new((process::id(), agents)), proxy, timeouts, clock })
    }

    /// After a fork, both processes share the connections, and a write by one breaks them for the other. So the child makes
    /// its own.
    fn agents(&self) -> Agents {
        let mut held = self.agents.lock();
        let process = process::id();
        if held.0 != process {
            let anew = |agent: &Agent| Agent::from(agent.config().clone());
            let agents = Agents { direct: anew(&held.1.direct), tunnelling: held.1.tunnelling.as_ref().map(anew) };
            *held = (process, agents);
        }
        held.1.clone()
    }

    fn agent(&self, route: &Route) -> Agent {
        let agents = self.agents();
        match (&route.proxy, agents.tunnelling) {
            (Some(_), Some(tunnelling)) => tunnelling,
            _ => agents.direct,
        }
    }

    /// With a deadline, each step has at most what is left now: ureq has no limit on the whole that starts no thread.
    fn run<B: AsSendBody>(
        &self,
        request: ::http::Request<B>,
        call: &Call<'_>,
    ) -> Result<::http::Response<Body>, ::ureq::Error> {
        let agent = self.agent(call.route);
        let request = request.with_agent(&agent);
        let Some(deadline) = call.deadline else { return request.run() };
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

    /// Sends the request, and reads the head of the response.
    fn begin(&self, call: &Call<'_>) -> Result<::http::Response<Body>, Failure> {
        let mut request = ::http::Request::builder().method(call.method).uri(call.url);
        if let Some(headers) = request.headers_mut() {
            headers.extend(call.headers.clone());
            if let Some(body) = call.body {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            }
        }
        let proxy = self.proxy.as_ref().filter(|_| call.route.proxy.is_some());
        let Some(body) = call.body else {
            let response = self.run(request.body(()).map_err(unsendable)?, call);
            return response.map_err(|error| failure(error, Reached { upload: Upload::Bodiless, proxy }));
        };
        // Of an empty one nothing is ever taken.
        let upload = if body.is_empty() { Upload::Bodiless } else { Upload::Waiting };
        let mut upload = Uploading { left: body, upload };
        let response = self.run(request.body(SendBody::from_reader(&mut upload)).map_err(unsendable)?, call);
        response.map_err(|error| failure(error, Reached { upload: upload.upload, proxy }))
    }

    /// A body that is too long is left unread, and its connection is closed. All others are read to the end: a connection is
    /// reused only after its response has been read.
    fn read_whole(&self, body: Body, is_success: bool, call: &Call<'_>) -> Result<Vec<u8>, Failure> {
        let limit = if is_success { call.max_response } else { call.max_response.min(MAX_SHORT_BYTES) };
        let began = self.clock.now();
        let mut reader = body.into_reader();
        let (mut whole, mut piece) = (Vec::new(), vec![0; PIECE_BYTES]);
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(whole),
                Ok(read) => whole.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let reached = Reached { upload: Upload::Bodiless, proxy: None };
                    return Err(failure(::ureq::Error::from(error), reached).while_receiving());
                }
            }
            if whole.len() > limit {
                whole.truncate(limit);
                // The status of any other response says enough.
                let overlong = || Failure::new(Stage::Overlong, format!("is longer than {limit} bytes"));
                return if is_success { Err(overlong()) } else { Ok(whole) };
            }
            self.look_at_the_time(began, call)?;
        }
    }

    /// Between two reads of a body that began to arrive at this moment.
    fn look_at_the_time(&self, began: Moment, call: &Call<'_>) -> Result<(), Failure> {
        let now = self.clock.now();
        if call.deadline.is_some_and(|deadline| deadline.is_reached(now)) {
            return Err(Failure::out_of_time(Stage::Receiving));
        }
        let left = self.timeouts.body().saturating_sub(now.since(began));
        call.notice.reading(call.deadline.map_or(left, |deadline| deadline.left(now).min(left)), now);
        Ok(())
    }
}

/// The body of a request, which notes that a part of it was taken: only once there is a connection.
struct Uploading<'b> {
    left: &'b [u8],
    upload: Upload,
}

impl Read for Uploading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.upload = Upload::Begun;
        self.left.read(buffer)
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
        let (head, body) = self.begin(call)?.into_parts();
        let body = match self.read_whole(body, head.status.is_success(), call) {
            // It refuses the token, whatever the rest says.
            Err(_) if head.status == StatusCode::UNAUTHORIZED => Vec::new(),
            body => body?,
        };
        Ok(Response::new(head.status.as_u16(), head.headers, body))
    }

    fn route(&self, origin: &Origin) -> Route {
        let proxy = self.proxy.as_ref().filter(|proxy| proxy.is_for(origin));
        Route { proxy: proxy.map(Proxy::host_and_port), ..Route::direct(origin) }
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
    // The text of the error may contain the URL.
    builder.build().map_err(|_| {
        Error::new(OurKind::Config, "the proxy cannot be used").advise("write it like http://proxy.example:3128")
    })
}

/// ureq logs every byte to this target. Only the log level can prevent it.
const DUMP: &str = "ureq_proto::util";

const USER_AGENT: &str = concat!("snowpipe-streaming-rust/", env!("CARGO_PKG_VERSION"));

/// Enough for one connection per appending thread. With more threads, some connections are not kept for reuse.
const IDLE_CONNECTIONS: usize = 64;

/// With a short retry budget a response must still have time to arrive over a slow network.
const BODY_MINIMUM: Duration = Duration::from_secs(10);

/// Most responses fit in one piece.
const PIECE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use ::http::Method;

    use super::*;
    use crate::clock::{Deadline, SystemClock};
    use crate::http::{Notice, Persistence, Request};

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

    fn get(transport: &UreqTransport, url: &str, deadline: Option<Deadline>) -> Result<Response, Failure> {
        call(transport, &Request::new(Method::GET, "/", "try"), url, deadline)
    }

    fn call(
        transport: &UreqTransport,
        request: &Request<'_>,
        url: &str,
        deadline: Option<Deadline>,
    ) -> Result<Response, Failure> {
        let origin = Origin::parse(url, "test URL").unwrap();
        let (route, now) = (transport.route(&origin), SystemClock.now());
        transport.call(&Call {
            method: &request.method,
            url,
            headers: &request.headers,
            body: request.body,
            route: &route,
            max_response: request.max_response,
            notice: &Notice::new(request, &route, now),
            deadline,
        })
    }

    #[test]
    fn connections_are_kept_and_not_shared_after_a_fork() {
        let (url, connections) = server();
        let transport = transport(Timeouts::default());
        let call = || {
            assert_eq!(get(&transport, &url, None).unwrap().status, 200);
            connections.load(Ordering::SeqCst)
        };
        assert_eq!((call(), call()), (1, 1));
        transport.agents.lock().0 += 1;
        assert_eq!((call(), call()), (2, 2));
        assert_eq!(transport.agents.lock().0, process::id());
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
        let transport = transport(Timeouts { response, stall, ..Timeouts::default() });
        let deadline = deadline.map(|ms| SystemClock.now().deadline(Duration::from_millis(ms)));
        let began = SystemClock.now();
        let result = get(&transport, url, deadline);
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
    fn a_refused_token_is_known_by_its_status_although_the_body_is_cut_off() {
        let url = server_of(&[(0, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 1000\r\n\r\n{")]);
        let response = fetch(&url, [300, 300], None).unwrap();
        assert_eq!((response.status, response.body), (401, Vec::new()));
    }

    #[test]
    fn the_body_of_an_error_is_cut_and_that_of_a_success_is_not() {
        let respond = |line: &str, length: usize| -> String {
            format!("HTTP/1.1 {line}\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
        };
        for (line, length, read) in [
            ("403 X", 1_000_000, MAX_SHORT_BYTES),
            ("302 X", 1_000_000, MAX_SHORT_BYTES),
            ("503 X", 10, 10),
            ("200 X", 1_000_000, 1_000_000),
        ] {
            let response: &str = respond(line, length).leak();
            let response = fetch(&server_of(vec![(0, response)].leak()), [HOUR, HOUR], None).unwrap();
            assert_eq!(response.body.len(), read, "{line}");
        }
    }

    #[test]
    fn a_success_is_as_long_as_its_request_allows() {
        let request = Request::new(Method::GET, "/", "try").expect_short();
        let transport = transport(Timeouts::default());
        let answer = |length: usize| {
            let text = format!("HTTP/1.1 200 X\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length));
            call(&transport, &request, &server_of(vec![(0, &*text.leak())].leak()), None)
        };
        assert_eq!(answer(MAX_SHORT_BYTES).unwrap().body.len(), MAX_SHORT_BYTES);
        assert_eq!(
            answer(MAX_SHORT_BYTES + 1).unwrap_err(),
            Failure::new(Stage::Overlong, "is longer than 65536 bytes")
        );
    }

    #[test]
    fn what_ends_before_the_body_of_the_request_was_taken_leaves_no_doubt() {
        let post = |url: &str| {
            let body = vec![b'x'; 1_000_000];
            let request = Request::new(Method::POST, "/", "try").body("text/plain", &body);
            call(&transport(Timeouts::default()), &request, url, None).unwrap_err()
        };
        let failure = post(&closing_server(0).replace("http:", "https:"));
        assert_eq!(failure.stage, Stage::Connecting, "the handshake was cut: {failure:?}");
        let failure = post(&server_of(&[(0, "HTTP/1.1 400 X\r\n\r\n")]).replace("http:", "https:"));
        assert_eq!((failure.stage, failure.persistence), (Stage::Connecting, Persistence::FewAttempts), "{failure:?}");
        let failure = post(&closing_server(1000));
        assert!(matches!(failure.stage, Stage::Sending | Stage::Receiving), "a part was sent: {failure:?}");
    }

    #[test]
    fn a_request_with_an_empty_body_may_have_been_received_whole() {
        let request = Request::new(Method::POST, "/", "try").body("text/plain", b"");
        let failure = call(&transport(Timeouts::default()), &request, &closing_server(16), None).unwrap_err();
        assert_eq!(failure.stage, Stage::Receiving, "{failure:?}");
    }

    #[test]
    fn a_short_budget_shortens_the_time_for_a_body_but_not_below_ten_seconds() {
        let body = |response, budget| {
            let [response, budget] = [response, budget].map(Duration::from_secs);
            Timeouts { response, budget, ..Timeouts::default() }.body().as_secs()
        };
        assert_eq!((body(60, 120), body(60, 40), body(60, 1), body(60, 0)), (60, 40, 10, 10));
        assert_eq!((body(1, 120), body(300, 120), body(300, 3600)), (30, 120, 300));
    }

    /// Reads so many bytes of each connection, and closes it.
    fn closing_server(read: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            for connection in listener.incoming() {
                connection.unwrap().read_exact(&mut vec![0; read]).unwrap();
            }
        });
        url
    }

    #[test]
    fn a_response_may_begin_later_than_an_upload_may_stall() {
        let url = server_of(&[(500, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), (500, "ok")]);
        assert_eq!(fetch(&url, [HOUR, 100], None).unwrap().body, b"ok");
    }

    #[test]
    fn the_longest_timeouts_are_valid() {
        let (url, _) = server();
        let [connect, response, stall, budget] = [Duration::MAX; 4];
        let timeouts = Timeouts { connect, response, stall, budget };
        assert_eq!(get(&transport(timeouts), &url, None).unwrap().status, 200);
    }

    #[test]
    fn nothing_of_a_proxy_is_shown() {
        let proxy = Proxy::parse("http://joe:sesame@proxy.example", "the proxy").unwrap();
        let transport = UreqTransport::new(Timeouts::default(), None, Some(proxy), Arc::new(SystemClock)).unwrap();
        assert_eq!(format!("{transport:?}"), "UreqTransport(…)");
    }
}
