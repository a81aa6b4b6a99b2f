use serde_json::{Value, json};
use snowpipe_emulator::Emulator;

use super::connection::Connection;
use super::keys::jwt;
use super::request::Request;
use super::response::Response;
use super::{PIPE, PIPE_DATA, TABLE_ROWS};

/// The exchange of a key-pair JWT for a scoped token.
pub const JWT_EXCHANGE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=127.0.0.1";
/// The exchange of an access token for a scoped token.
pub const ACCESS_EXCHANGE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&scope=127.0.0.1\
    &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token";

/// A client of one emulator. It puts its token into every request, and each request has a connection of its own.
pub struct Client {
    url: String,
    token: Option<String>,
}

impl Client {
    /// Without a token.
    pub fn anonymous(emulator: &Emulator) -> Self {
        Self::to(emulator.url())
    }

    /// Without a token, of whatever listens there.
    pub fn to(url: &str) -> Self {
        Self { url: url.to_owned(), token: None }
    }

    pub fn with_token(emulator: &Emulator, token: &str) -> Self {
        Self::at(emulator.url(), token)
    }

    pub fn at(url: &str, token: &str) -> Self {
        Self { url: url.to_owned(), token: Some(token.to_owned()) }
    }

    /// With a JWT of the user, for the account host.
    pub fn with_jwt(emulator: &Emulator) -> Self {
        Self::with_token(emulator, &jwt(emulator))
    }

    /// With a scoped token, for the ingest host.
    pub fn scoped(emulator: &Emulator) -> Self {
        Self::with_jwt(emulator).exchanged()
    }

    /// A client with the scoped token that this one's JWT is exchanged for.
    pub fn exchanged(&self) -> Self {
        Self::at(&self.url, self.exchange(JWT_EXCHANGE).ok().text())
    }

    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    /// The request with the client's token, as it goes over the wire.
    pub fn bytes(&self, request: Request) -> Vec<u8> {
        match &self.token {
            Some(token) => request.bearer(token).bytes(),
            None => request.bytes(),
        }
    }

    pub fn send(&self, request: Request) -> Response {
        self.try_send(request).unwrap()
    }

    /// `None` when the connection ends without a complete response.
    pub fn try_send(&self, request: Request) -> Option<Response> {
        let mut connection = Connection::to(&self.url);
        connection.write(&self.bytes(request));
        connection.read_response()
    }

    // The account host.

    pub fn hostname(&self) -> Response {
        self.send(Request::get("/v2/streaming/hostname"))
    }

    pub fn exchange(&self, form: &str) -> Response {
        self.send(Request::post("/oauth/token").form(form))
    }

    // Channels of the default pipe.

    pub fn try_open(&self, channel: &str, body: &str) -> Response {
        self.send(Request::put(format!("{PIPE}/channels/{channel}")).json(body))
    }

    /// Opens a channel and returns its continuation token.
    #[track_caller]
    pub fn open(&self, channel: &str) -> String {
        self.try_open(channel, "{}").next_token()
    }

    pub fn drop_channel(&self, channel: &str) -> Response {
        self.send(Request::delete(format!("{PIPE}/channels/{channel}")))
    }

    /// The statuses of the channels that exist.
    #[track_caller]
    pub fn statuses(&self, names: &[&str]) -> Value {
        let body = json!({ "channel_names": names }).to_string();
        let response = self.send(Request::post(format!("{PIPE}:bulk-channel-status")).json(body)).ok();
        response.json()["channel_statuses"].clone()
    }

    /// The status of channel `c`; null when there is none.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.statuses(&["c"])["c"].clone()
    }

    #[track_caller]
    pub fn committed_offset(&self) -> Value {
        self.status()["last_committed_offset_token"].clone()
    }

    /// Appends rows to channel `c`.
    pub fn append(&self, query: &str, rows: &[u8]) -> Response {
        self.send(append_request(query, rows))
    }

    /// Appends rows without order.
    pub fn append_elastic(&self, rows: &[u8]) -> Response {
        self.send(elastic_request(rows))
    }

    pub fn append_compressed(&self, encoding: &str, rows: &[u8]) -> Response {
        self.send(elastic_request(rows).header("Content-Encoding", encoding))
    }

    pub fn pipe_info(&self, body: &str) -> Value {
        self.send(Request::post(format!("{PIPE}:pipe-info")).json(body)).json()
    }

    // Control endpoints; they take no token.

    pub fn control(&self, action: &str, body: &str) -> Response {
        let mut connection = Connection::to(&self.url);
        connection.write(&Request::post(format!("/_emulator/{action}")).body(body).bytes());
        connection.read_response().unwrap()
    }

    /// Reads from a control endpoint.
    pub fn inspect(&self, action: &str) -> Response {
        let mut connection = Connection::to(&self.url);
        connection.write(&Request::get(format!("/_emulator/{action}")).bytes());
        connection.read_response().unwrap()
    }
}

/// An append to channel `c`.
pub fn append_request(query: &str, rows: &[u8]) -> Request {
    Request::post(format!("{PIPE_DATA}/channels/c/rows?{query}")).rows(rows)
}

pub fn elastic_request(rows: &[u8]) -> Request {
    Request::post(TABLE_ROWS).rows(rows)
}
