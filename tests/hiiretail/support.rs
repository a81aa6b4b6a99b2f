//! OCMS and the IAM on httpmock: it keeps every request as it was sent, and returns what a test tells it to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use httpmock::{HttpMockRequest, HttpMockResponse, MockServer};
use snowpipe_streaming::hiiretail::{Iam, IamBuilder, Ocms};

pub const TENANT: &str = "my-tenant";
pub const CLIENT_ID: &str = "till-7";
pub const CLIENT_SECRET: &str = "Hunter2-Hunter2-Hunter2";

pub struct Service {
    server: MockServer,
    state: Arc<Mutex<State>>,
}

/// A request as it was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Method, path and query, literally.
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

#[derive(Default)]
struct State {
    url: String,
    discovery: Vec<(u16, String)>,
    tokens: VecDeque<(u16, String)>,
    responses: VecDeque<(u16, String)>,
    sent: Vec<Sent>,
    issued: usize,
}

impl Sent {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Service {
    pub fn start() -> Service {
        let (server, state) = (MockServer::start(), Arc::new(Mutex::new(State::default())));
        let url = server.base_url();
        let document = format!(r#"{{"issuer":"{url}/","token_endpoint":"{url}/oauth2/token"}}"#);
        *state.lock().unwrap() = State { url, discovery: vec![(200, document)], ..State::default() };
        let its_state = Arc::clone(&state);
        server.mock(|when, then| {
            when.path_matches("^/");
            then.respond_with(move |request: &HttpMockRequest| its_state.lock().unwrap().respond(request));
        });
        Service { server, state }
    }

    pub fn url(&self) -> String {
        self.server.base_url()
    }

    /// The next response of the IAM; without one it is an empty array.
    pub fn respond(&self, status: u16, body: &str) -> &Service {
        self.state.lock().unwrap().responses.push_back((status, body.to_owned()));
        self
    }

    /// The next response of the token endpoint; without one it issues `token-1`, `token-2` and so on.
    pub fn respond_to_login(&self, status: u16, body: &str) -> &Service {
        self.state.lock().unwrap().tokens.push_back((status, body.to_owned()));
        self
    }

    pub fn discover(&self, status: u16, body: &str) -> &Service {
        self.state.lock().unwrap().discovery = vec![(status, body.to_owned())];
        self
    }

    pub fn client(&self) -> Ocms {
        Ocms::new(CLIENT_ID, CLIENT_SECRET).issuer(self.url())
    }

    pub fn builder(&self) -> IamBuilder {
        Iam::builder(TENANT, self.client()).api_url(self.url()).timeout(Duration::from_secs(20)).max_retries(0)
    }

    pub fn iam(&self) -> Iam {
        self.builder().build().unwrap()
    }

    /// All requests in order, discovery and token included.
    pub fn sent(&self) -> Vec<Sent> {
        self.state.lock().unwrap().sent.clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.sent().into_iter().map(|sent| sent.line).collect()
    }

    /// Those to the IAM alone.
    pub fn api_lines(&self) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains(" /api/")).collect()
    }
}

impl State {
    fn respond(&mut self, request: &HttpMockRequest) -> HttpMockResponse {
        let headers = request.headers();
        let headers =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let place = request.uri().path_and_query().unwrap().to_string();
        let line = format!("{} {place}", request.method());
        let body = String::from_utf8(request.body_ref().to_vec()).unwrap();
        self.sent.push(Sent { line, headers, body });
        let (status, body) = match request.uri().path() {
            "/.well-known/openid-configuration" => self.discovery[0].clone(),
            "/oauth2/token" => self.tokens.pop_front().unwrap_or_else(|| {
                self.issued += 1;
                let token = format!("token-{}", self.issued);
                (200, format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":3599,"scope":""}}"#))
            }),
            _ => self.responses.pop_front().unwrap_or((200, "[]".to_owned())),
        };
        assert!(!self.url.is_empty());
        HttpMockResponse::builder().status(status).header("content-type", "application/json").body(body).build()
    }
}
