//! What the server needs from the service behind it. This trait is why nothing in `http` names the service.

use std::fmt;

use crate::clock::Clock;
use crate::http::request::Request;
use crate::http::response::Response;

/// Decides what happens to the requests that a server receives.
pub(crate) trait Handler: fmt::Debug + Send + Sync {
    /// How many bytes of the body to keep. Asked when the head is known, before the body is read.
    fn max_body(&self, request: &Request) -> u64;

    /// Carries the request out.
    fn handle(&self, request: Request) -> Action;

    /// The clock that `Date` headers are taken from.
    fn clock(&self) -> &Clock;

    /// Ends every wait inside [`handle`](Self::handle), because the server stops.
    fn stop(&self);
}

/// What happens on the connection once a request was handled.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send the response.
    Respond(Response),
    /// Send half of the response, then close the connection.
    RespondHalf(Response),
    /// Close the connection without a response.
    Close,
}

impl Action {
    /// The status that goes out, if one does.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Respond(response) | Self::RespondHalf(response) => Some(response.status),
            Self::Close => None,
        }
    }
}
