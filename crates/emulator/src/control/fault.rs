//! Faults: what goes wrong on purpose, where, and how often.

mod json;

use std::time::Duration;

use parking_lot::Mutex;
use serde::de::IgnoredAny;

use crate::control::endpoint::Endpoint;
use crate::http::handler::Action;
use crate::http::response::Response;

/// Something that goes wrong at an [`Endpoint`], once unless [`times`](Self::times) sets another number.
///
/// Faults of one endpoint happen one after the other, in the order of injection. Those of the Hii Retail emulator
/// happen at an [`Operation`](crate::hiiretail::Operation) instead.
///
/// ```
/// use snowpipe_emulator::{Endpoint, Fault};
///
/// let busy = Fault::status(Endpoint::Append, 429)
///     .header("Retry-After", "1")
///     .body(r#"{"code":"ReceiverSaturated","message":"slow down"}"#)
///     .times(2);
/// let lost = Fault::lose_reply(Endpoint::Append);
/// # let _ = (busy, lost);
/// ```
#[derive(Clone, Debug)]
pub struct Fault<E = Endpoint> {
    endpoint: E,
    times: u32,
    effect: Effect,
}

/// What a fault does. The first two happen instead of the request, the others after it was carried out.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Status { status: u16, body: String, headers: Vec<(String, String)> },
    DropConnection,
    LoseReply,
    Truncate,
    Delay(Duration),
}

impl<E> Fault<E> {
    /// Responds with this status instead of carrying the request out.
    pub fn status(endpoint: E, status: u16) -> Self {
        let (body, headers) = (String::new(), Vec::new());
        Self::new(endpoint, Effect::Status { status, body, headers })
    }

    /// Closes the connection without carrying the request out.
    pub fn drop_connection(endpoint: E) -> Self {
        Self::new(endpoint, Effect::DropConnection)
    }

    /// Carries the request out, then closes the connection instead of sending the response.
    pub fn lose_reply(endpoint: E) -> Self {
        Self::new(endpoint, Effect::LoseReply)
    }

    /// Carries the request out, then cuts the connection in the middle of the response.
    pub fn truncate(endpoint: E) -> Self {
        Self::new(endpoint, Effect::Truncate)
    }

    /// Carries the request out and sends the response after a wait.
    pub fn delay(endpoint: E, wait: Duration) -> Self {
        Self::new(endpoint, Effect::Delay(wait))
    }

    /// The number of requests it happens to. With 0 it never happens.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// The body of the response. Only [`status`](Self::status) faults have one.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        if let Effect::Status { body, .. } = &mut self.effect {
            *body = text.into();
        }
        self
    }

    /// Adds a header to the response. Only [`status`](Self::status) faults have any.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Effect::Status { headers, .. } = &mut self.effect {
            headers.push((name.into(), value.into()));
        }
        self
    }

    fn new(endpoint: E, effect: Effect) -> Self {
        Self { endpoint, times: 1, effect }
    }

    /// Refuses what cannot be written as HTTP. A fault may set any header but those that frame the body: with a wrong
    /// length the client would fail for a reason that no fault names.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Effect::Status { status, body, headers } = &self.effect else {
            return Ok(());
        };
        if !(200..=599).contains(status) {
            return Err(format!("status {status} is not between 200 and 599"));
        }
        if matches!(status, 204 | 304) && !body.is_empty() {
            return Err(format!("a response {status} has no body"));
        }
        headers.iter().try_for_each(|(name, value)| {
            let framing = ["content-length", "transfer-encoding"];
            if framing.iter().any(|taken| name.eq_ignore_ascii_case(taken)) {
                return Err(format!("header {name} cannot be set"));
            }
            let sound =
                ::http::HeaderName::from_bytes(name.as_bytes()).is_ok() && ::http::HeaderValue::from_str(value).is_ok();
            sound.then_some(()).ok_or_else(|| format!("header {name:?} is malformed"))
        })
    }
}

impl Effect {
    /// What becomes of the request, and how long the response waits.
    pub(crate) fn happen(self, carry_out: impl FnOnce() -> Response) -> (Action, Option<Duration>) {
        let action = match self {
            Self::Status { status, body, headers } => Action::Respond(scripted(status, &body, &headers)),
            Self::DropConnection => Action::Close,
            Self::LoseReply => {
                carry_out();
                Action::Close
            }
            Self::Truncate => Action::RespondHalf(carry_out()),
            Self::Delay(wait) => return (Action::Respond(carry_out()), Some(wait)),
        };
        (action, None)
    }
}

/// The response that a fault prescribes.
fn scripted(status: u16, body: &str, headers: &[(String, String)]) -> Response {
    let is_json = serde_json::from_str::<IgnoredAny>(body).is_ok();
    let content_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
    let response = Response::bytes(status, content_type, body.as_bytes().to_vec());
    headers.iter().fold(response, |response, (name, value)| response.with_header(name, value))
}

/// The faults that are still to happen.
#[derive(Debug)]
pub(crate) struct Faults<E = Endpoint> {
    waiting: Mutex<Vec<Fault<E>>>,
}

impl<E> Default for Faults<E> {
    fn default() -> Self {
        Self { waiting: Mutex::default() }
    }
}

impl<E: PartialEq> Faults<E> {
    pub(crate) fn inject(&self, fault: Fault<E>) {
        if fault.times > 0 {
            self.waiting.lock().push(fault);
        }
    }

    /// What happens to the request at hand, if anything. Each call uses up one time of a fault.
    pub(crate) fn take(&self, endpoint: E) -> Option<Effect> {
        let mut waiting = self.waiting.lock();
        let index = waiting.iter().position(|fault| fault.endpoint == endpoint)?;
        let fault = &mut waiting[index];
        fault.times -= 1;
        let effect = fault.effect.clone();
        if fault.times == 0 {
            waiting.remove(index);
        }
        Some(effect)
    }

    pub(crate) fn clear(&self) {
        self.waiting.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_an_endpoint_happen_in_order_and_end() {
        let faults = Faults::default();
        faults.inject(Fault::status(Endpoint::Append, 503).times(2));
        faults.inject(Fault::lose_reply(Endpoint::Append));
        faults.inject(Fault::status(Endpoint::Open, 500).times(0));
        assert!(faults.take(Endpoint::Open).is_none());
        for _ in 0..2 {
            let effect = faults.take(Endpoint::Append);
            assert!(matches!(effect, Some(Effect::Status { status: 503, .. })));
        }
        assert!(matches!(faults.take(Endpoint::Append), Some(Effect::LoseReply)));
        assert!(faults.take(Endpoint::Append).is_none());
    }
}
