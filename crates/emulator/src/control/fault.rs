//! Faults: what goes wrong on purpose, where, and how often.

use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value};

/// A place where a [`Fault`] can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `GET /v2/streaming/hostname`
    Hostname,
    /// `POST /oauth/token`
    Token,
    /// `PUT …/channels/{channel}`
    Open,
    /// `POST …/channels/{channel}/rows` of a Named Channel
    Append,
    /// `POST …:bulk-channel-status`
    Status,
    /// `DELETE …/channels/{channel}`
    Drop,
    /// `POST …:pipe-info`
    PipeInfo,
    /// Both paths of an Elastic append
    Elastic,
    /// `POST /telemetry/send/sessionless`
    Telemetry,
    /// `GET /oauth2/.well-known/openid-configuration`
    Discovery,
    /// `GET /oauth2/jwks`
    Jwks,
    /// `POST /oauth2/token`
    AccessToken,
    /// `PUT` of a file into the storage of a pipe
    Upload,
    /// `POST …/channels/{channel}/filebuffer`
    Register,
}

impl Endpoint {
    /// The name that the control endpoint uses.
    ///
    /// ```
    /// use snowpipe_emulator::Endpoint;
    /// assert_eq!(Endpoint::PipeInfo.name(), "pipe-info");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Hostname => "hostname",
            Self::Token => "token",
            Self::Open => "open",
            Self::Append => "append",
            Self::Status => "status",
            Self::Drop => "drop",
            Self::PipeInfo => "pipe-info",
            Self::Elastic => "elastic",
            Self::Telemetry => "telemetry",
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
            Self::AccessToken => "access-token",
            Self::Upload => "upload",
            Self::Register => "filebuffer",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        ALL.into_iter().find(|endpoint| endpoint.name() == name)
    }
}

/// Something that goes wrong at an [`Endpoint`], once unless [`times`](Self::times) says otherwise.
///
/// Faults of one endpoint happen in the order they were injected in.
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
pub struct Fault {
    endpoint: Endpoint,
    times: u32,
    pub(crate) effect: Effect,
}

#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Status { status: u16, body: String, headers: Vec<(String, String)> },
    DropConnection,
    LoseReply,
    Truncate,
    Delay(Duration),
}

impl Fault {
    /// Answers with this status instead of carrying the request out.
    pub fn status(endpoint: Endpoint, status: u16) -> Self {
        let (body, headers) = (String::new(), Vec::new());
        Self::new(endpoint, Effect::Status { status, body, headers })
    }

    /// Closes the connection without carrying the request out.
    pub fn drop_connection(endpoint: Endpoint) -> Self {
        Self::new(endpoint, Effect::DropConnection)
    }

    /// Carries the request out, then closes the connection instead of answering.
    pub fn lose_reply(endpoint: Endpoint) -> Self {
        Self::new(endpoint, Effect::LoseReply)
    }

    /// Carries the request out, then cuts the connection in the middle of the response.
    pub fn truncate(endpoint: Endpoint) -> Self {
        Self::new(endpoint, Effect::Truncate)
    }

    /// Carries the request out and answers after a wait.
    pub fn delay(endpoint: Endpoint, wait: Duration) -> Self {
        Self::new(endpoint, Effect::Delay(wait))
    }

    /// How many requests it meets; 0 makes it void.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// The body to response with. Faults other than [`status`](Self::status) have none.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        if let Effect::Status { body, .. } = &mut self.effect {
            *body = text.into();
        }
        self
    }

    /// A header to response with. Faults other than [`status`](Self::status) have none.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Effect::Status { headers, .. } = &mut self.effect {
            headers.push((name.into(), value.into()));
        }
        self
    }

    fn new(endpoint: Endpoint, effect: Effect) -> Self {
        Self { endpoint, times: 1, effect }
    }

    /// Whether it can be written as HTTP at all.
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

    /// Reads the control endpoint's form.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, String> {
        let fields: Map<String, Value> =
            serde_json::from_slice(json).map_err(|error| format!("not a JSON object: {error}"))?;
        let known = ["endpoint", "times", "status", "body", "headers", "action", "ms"];
        if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("unknown field {name:?}; known are {}", known.join(", ")));
        }
        let endpoint = fields.get("endpoint").and_then(Value::as_str);
        let endpoint = endpoint.and_then(Endpoint::parse).ok_or_else(|| {
            let names = ALL.map(Endpoint::name).join(", ");
            format!("\"endpoint\" must be one of {names}")
        })?;
        let fault = Self::new(endpoint, effect(&fields)?).times(times(&fields)?);
        fault.check()?;
        Ok(fault)
    }
}

/// The faults that are still to happen.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    waiting: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) {
        if fault.times > 0 {
            self.waiting.lock().push(fault);
        }
    }

    /// Gives what befalls this request, and counts it.
    pub(crate) fn take(&self, endpoint: Endpoint) -> Option<Effect> {
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

fn times(fields: &Map<String, Value>) -> Result<u32, String> {
    let Some(times) = fields.get("times") else {
        return Ok(1);
    };
    times
        .as_u64()
        .and_then(|times| u32::try_from(times).ok())
        .filter(|times| *times > 0)
        .ok_or_else(|| "\"times\" must be a positive integer".to_owned())
}

fn effect(fields: &Map<String, Value>) -> Result<Effect, String> {
    let alone = |allowed: &[&str]| {
        let stray = ["status", "body", "headers", "action", "ms"]
            .into_iter()
            .find(|name| fields.contains_key(*name) && !allowed.contains(name));
        stray.map_or(Ok(()), |name| Err(format!("{name:?} does not go with the other fields")))
    };
    let Some(action) = fields.get("action") else {
        alone(&["status", "body", "headers"])?;
        return status_effect(fields);
    };
    let action = action.as_str().unwrap_or_default();
    alone(if action == "delay" { &["action", "ms"] } else { &["action"] })?;
    match action {
        "drop_connection" => Ok(Effect::DropConnection),
        "lose_reply" => Ok(Effect::LoseReply),
        "truncate" => Ok(Effect::Truncate),
        "delay" => fields
            .get("ms")
            .and_then(Value::as_u64)
            .map(|ms| Effect::Delay(Duration::from_millis(ms)))
            .ok_or_else(|| "\"ms\" must be a number of milliseconds".to_owned()),
        _ => Err("\"action\" must be drop_connection, lose_reply, delay or truncate".to_owned()),
    }
}

fn status_effect(fields: &Map<String, Value>) -> Result<Effect, String> {
    let status = fields
        .get("status")
        .and_then(Value::as_u64)
        .and_then(|status| u16::try_from(status).ok())
        .ok_or("\"status\" (a number) or \"action\" is needed")?;
    let body = match fields.get("body") {
        None => String::new(),
        Some(Value::String(body)) => body.clone(),
        Some(_) => return Err("\"body\" must be a string".to_owned()),
    };
    let headers = match fields.get("headers") {
        None => Vec::new(),
        Some(Value::Object(headers)) => headers.iter().map(header).collect::<Result<_, _>>()?,
        Some(_) => return Err("\"headers\" must be an object".to_owned()),
    };
    Ok(Effect::Status { status, body, headers })
}

fn header((name, value): (&String, &Value)) -> Result<(String, String), String> {
    let value = value.as_str().ok_or_else(|| format!("header {name:?} must be a string"))?;
    Ok((name.clone(), value.to_owned()))
}

const ALL: [Endpoint; 14] = [
    Endpoint::Hostname,
    Endpoint::Token,
    Endpoint::Open,
    Endpoint::Append,
    Endpoint::Status,
    Endpoint::Drop,
    Endpoint::PipeInfo,
    Endpoint::Elastic,
    Endpoint::Telemetry,
    Endpoint::Discovery,
    Endpoint::Jwks,
    Endpoint::AccessToken,
    Endpoint::Upload,
    Endpoint::Register,
];

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

    #[test]
    fn a_malformed_fault_is_told_what_is_wrong() {
        for (json, part) in [
            ("", "JSON"),
            ("[]", "JSON"),
            (r#"{"status":503}"#, "endpoint"),
            (r#"{"endpoint":"apend","status":503}"#, "append"),
            (r#"{"endpoint":"append"}"#, "status"),
            (r#"{"endpoint":"append","status":"503"}"#, "status"),
            (r#"{"endpoint":"append","status":99}"#, "99"),
            (r#"{"endpoint":"append","status":503,"times":0}"#, "times"),
            (r#"{"endpoint":"append","status":503,"time":1}"#, "time"),
            (r#"{"endpoint":"append","status":503,"action":"delay"}"#, "status"),
            (r#"{"endpoint":"append","action":"delay"}"#, "ms"),
            (r#"{"endpoint":"append","action":"lose_reply","ms":1}"#, "ms"),
            (r#"{"endpoint":"append","action":"explode"}"#, "action"),
            (r#"{"endpoint":"append","status":503,"headers":{"a b":"c"}}"#, "a b"),
            (r#"{"endpoint":"append","status":503,"headers":{"Content-Length":"1"}}"#, "Length"),
            (r#"{"endpoint":"append","status":503,"body":{}}"#, "body"),
        ] {
            let message = Fault::from_json(json.as_bytes()).unwrap_err();
            assert!(message.contains(part), "{json}: {message}");
        }
        let good = r#"{"endpoint":"elastic","status":429,"times":3,"headers":{"Retry-After":"1"}}"#;
        assert_eq!(Fault::from_json(good.as_bytes()).unwrap().times, 3);
    }
}
