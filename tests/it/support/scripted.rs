use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use httpmock::{HttpMockRequest, HttpMockResponse, MockServer};
use snowpipe_streaming::{Client, ClientBuilder, Credentials, Pipe};

/// A service that remembers every request and answers as told, in order, or as a healthy service would.
pub struct Scripted {
    server: MockServer,
    state: Arc<Mutex<State>>,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    script: HashMap<&'static str, VecDeque<Response>>,
    appends: u64,
}

struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Scripted {
    pub fn start() -> Scripted {
        let (server, state) = (MockServer::start(), Arc::new(Mutex::new(State::default())));
        let answering = state.clone();
        server.mock(|when, then| {
            when.any_request();
            then.respond_with(move |request| response(&answering, request));
        });
        Scripted { server, state }
    }

    pub fn url(&self) -> String {
        self.server.base_url()
    }

    /// A client that logs in with an access token, so that no key is needed.
    pub fn builder(&self) -> ClientBuilder {
        Client::builder("testorg-acct", Credentials::oauth_token("login-token"))
            .url(self.url())
            .retry_budget(Duration::from_secs(20))
    }

    pub fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    pub fn pipe(&self) -> Pipe {
        self.client().table("db", "\"My Schema\"", "events")
    }

    /// The next response of an endpoint: hostname, token, open, rows, status, drop.
    pub fn next(&self, endpoint: &'static str, status: u16, body: &str) {
        self.next_with(endpoint, status, body, &[]);
    }

    pub fn next_with(&self, endpoint: &'static str, status: u16, body: &str, headers: &[(&'static str, &str)]) {
        let headers = headers.iter().map(|(name, value)| (*name, value.to_string())).collect();
        let response = Response { status, headers, body: body.to_string() };
        self.state.lock().unwrap().script.entry(endpoint).or_default().push_back(response);
    }

    /// From now on the endpoint responds as a healthy service would.
    pub fn drop_script(&self, endpoint: &str) {
        self.state.lock().unwrap().script.remove(endpoint);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub fn seen_at(&self, endpoint: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| endpoint_of(&seen.method, &seen.path) == endpoint).collect()
    }
}

impl Seen {
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn text(&self) -> String {
        let plain = match self.header("content-encoding") {
            Some("zstd") => zstd::decode_all(&self.body[..]).unwrap(),
            _ => self.body.clone(),
        };
        String::from_utf8(plain).unwrap()
    }
}

pub const OPENED: &str = r#"{"next_continuation_token":"0_1","channel_status":{"database_name":"DB","schema_name":"My Schema","pipe_name":"EVENTS-STREAMING","channel_name":"LOAD-1","channel_status_code":"SUCCESS","created_on_ms":1,"rows_inserted":0,"rows_parsed":0,"rows_error_count":0,"last_committed_offset_token":null}}"#;

fn response(state: &Mutex<State>, request: &HttpMockRequest) -> HttpMockResponse {
    let uri = request.uri();
    let seen = Seen {
        method: request.method_str().to_string(),
        path: uri.path().to_string(),
        query: request.query_params(),
        headers: request.headers_vec().iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect(),
        body: request.body_vec(),
    };
    let endpoint = endpoint_of(&seen.method, &seen.path);
    let mut state = state.lock().unwrap();
    state.seen.push(seen);
    let scripted = state.script.get_mut(endpoint).and_then(VecDeque::pop_front);
    let response = scripted.unwrap_or_else(|| {
        let body = match endpoint {
            "hostname" => "127.0.0.1".to_string(),
            "token" => format!("scoped-token-{}", state.seen.len()),
            "open" => OPENED.to_string(),
            "rows" => {
                state.appends += 1;
                format!(r#"{{"next_continuation_token":"0_{}"}}"#, state.appends + 1)
            }
            "status" => r#"{"channel_statuses":{}}"#.to_string(),
            _ => "{}".to_string(),
        };
        Response { status: 200, headers: Vec::new(), body }
    });
    let mut mock = HttpMockResponse::builder().status(response.status).body(response.body);
    for (name, value) in response.headers {
        mock = mock.header(name, value);
    }
    mock.build()
}

fn endpoint_of(method: &str, path: &str) -> &'static str {
    match (method, path) {
        ("GET", "/v2/streaming/hostname") => "hostname",
        ("POST", "/oauth/token") => "token",
        ("PUT", _) => "open",
        ("DELETE", _) => "drop",
        ("POST", path) if path.ends_with("/rows") => "rows",
        ("POST", path) if path.ends_with(":bulk-channel-status") => "status",
        _ => "other",
    }
}
