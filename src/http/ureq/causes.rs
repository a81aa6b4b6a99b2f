//! What an error of ureq means: how far the request got, what happened in plain words, what to do.

use std::io::{self, ErrorKind};

use ::ureq::{Error, Timeout};

use crate::error::clean;
use crate::http::{Failure, Persistence, Proxy, Stage, certificate};

/// What a failed round trip had done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached<'p> {
    pub(super) upload: Upload,
    pub(super) proxy: Option<&'p Proxy>,
}

/// How far the body of the request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    /// There is none, so nothing shows whether a connection was made.
    Bodiless,
    /// No byte was read to be sent: at most the head was sent, with which no server acts.
    Waiting,
    Begun,
}

pub(super) fn unsendable(error: ::http::Error) -> Failure {
    Failure::new(Stage::Misconfigured, format!("the request cannot be sent: {error}"))
}

pub(super) fn failure(error: Error, reached: Reached<'_>) -> Failure {
    match error {
        Error::Timeout(timeout) => {
            Failure::new(reached.late_stage(timeout), format!("no progress in time ({timeout})"))
        }
        Error::HostNotFound => unknown_host(reached.proxy),
        Error::ConnectProxyFailed(reason) => proxy_failure(&reason, reached.proxy),
        Error::Io(error) => io_failure(&error, reached),
        // Both contain the whole URL.
        Error::BadUri(_) | Error::RequireHttpsOnly(_) => Failure::new(Stage::Misconfigured, "the URL was refused"),
        Error::Http(_) | Error::InvalidProxyUrl | Error::TlsRequired => {
            Failure::new(Stage::Misconfigured, clean(&error.to_string()))
        }
        Error::Tls(_) | Error::Rustls(_) => tls_failure(&error.to_string(), reached),
        Error::ConnectionFailed => Failure::new(Stage::Connecting, clean(&error.to_string())),
        other => Failure::new(reached.cut_stage(), clean(&other.to_string())),
    }
}

impl Reached<'_> {
    /// The stage at which a connection ended without a word.
    fn cut_stage(self) -> Stage {
        match self.upload {
            Upload::Bodiless | Upload::Begun => Stage::Receiving,
            Upload::Waiting => Stage::Connecting,
        }
    }

    fn late_stage(self, timeout: Timeout) -> Stage {
        match timeout {
            _ if self.upload == Upload::Waiting => Stage::Connecting,
            Timeout::Resolve | Timeout::Connect => Stage::Connecting,
            Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite => Stage::Sending,
            _ => Stage::Receiving,
        }
    }
}

fn io_failure(error: &io::Error, reached: Reached<'_>) -> Failure {
    let text = error.to_string();
    // A route can vanish under a connection too: what a system says of it then is no proof that there was none.
    let is_begun = reached.upload == Upload::Begun;
    match error.kind() {
        // The errors of the TLS library.
        ErrorKind::InvalidData if error.get_ref().is_some() => tls_failure(&text, reached),
        ErrorKind::ConnectionRefused if !is_begun => Failure::new(Stage::Connecting, "connection refused"),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable if !is_begun => {
            Failure::new(Stage::Connecting, plain(&text))
        }
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted if is_begun => {
            Failure::new(Stage::Sending, plain(&text))
        }
        // Windows does not say that it was a look-up.
        _ if text.starts_with(LOOKUP) || is_unknown_name(&text) => look_up_failure(&text, reached.proxy),
        _ => Failure::new(reached.cut_stage(), plain(&text)),
    }
}

/// A failed look-up of a name has no kind of its own in the standard library, and the system's reason is in words only.
fn look_up_failure(text: &str, proxy: Option<&Proxy>) -> Failure {
    let reason = plain(text.strip_prefix(LOOKUP).unwrap_or(text).trim_start_matches([':', ' ']));
    if is_unknown_name(&reason) {
        return unknown_host(proxy);
    }
    let whose = if proxy.is_some() { "the name of the proxy" } else { "the host name" };
    Failure::new(Stage::Connecting, format!("{whose} cannot be looked up: {reason}"))
}

fn is_unknown_name(text: &str) -> bool {
    let text = text.to_lowercase();
    UNKNOWN_NAME.iter().any(|words| text.contains(words))
}

/// With a proxy only its name is looked up here.
fn unknown_host(proxy: Option<&Proxy>) -> Failure {
    let whose = if proxy.is_some() { "there is no host of the proxy's name" } else { "there is no host of this name" };
    Failure::new(Stage::Connecting, whose).worth(Persistence::FewSeconds)
}

/// The proxy closed the connection, or its response to CONNECT has another status than 200. Nothing was sent.
fn proxy_failure(reason: &str, proxy: Option<&Proxy>) -> Failure {
    let status: Option<u16> = reason.rsplit_once('/').and_then(|(_, status)| status.parse().ok());
    let Some(status) = status else {
        return Failure::new(Stage::Connecting, "the proxy closed the connection");
    };
    let knows_user = proxy.is_some_and(|proxy| proxy.user.is_some());
    let (stage, what, advice) = match status {
        407 if knows_user => (
            Stage::Rejected,
            "the proxy refuses the user or the password",
            "correct them in the URL of the proxy; special characters are percent-encoded",
        ),
        407 => (
            Stage::Rejected,
            "the proxy demands a user and a password",
            "write them in the URL of the proxy, like http://user:password@proxy.example:3128",
        ),
        408 | 429 => (Stage::Connecting, "the proxy is busy", "check the proxy"),
        300..500 => (
            Stage::Rejected,
            "the proxy does not let this connection through",
            "ask for this host and port to be allowed at the proxy, or name the host in NO_PROXY",
        ),
        _ => (
            Stage::Connecting,
            "the proxy did not reach the host",
            "check the host name, and whether the proxy reaches it",
        ),
    };
    Failure::new(stage, format!("{what} (HTTP {status})")).advise(advice)
}

/// An error of the TLS library. One about a certificate is certain to belong to the handshake, as is any before the body; any
/// other may be a damaged response.
fn tls_failure(text: &str, reached: Reached<'_>) -> Failure {
    let of_proxy = reached.proxy.is_some_and(|proxy| proxy.speaks_tls);
    if let Some((problem, advice)) = certificate::problem(text) {
        let whose = if of_proxy { "the server's certificate, or the proxy's," } else { "the server's certificate" };
        return Failure::new(Stage::Rejected, format!("{whose} {problem}")).advise(advice);
    }
    if reached.upload == Upload::Begun {
        return Failure::new(Stage::Sending, plain(text));
    }
    let failure = Failure::new(reached.cut_stage(), plain(text)).worth(Persistence::FewAttempts);
    match text.contains("InvalidContentType") {
        true if of_proxy => failure.advise("if the proxy itself speaks no TLS, write http:// in its URL"),
        true => failure.advise("check host and port: what responds there speaks no TLS"),
        false => failure,
    }
}

/// In lower case at its beginning, without the system's number.
fn plain(text: &str) -> String {
    let text = clean(text.split(" (os error").next().unwrap_or(text));
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

const LOOKUP: &str = "failed to lookup address information";

/// What the systems say of a name that does not exist, in lower case. What is not listed may be an outage of the look-up.
const UNKNOWN_NAME: [&str; 6] = [
    "name or service not known",
    "no address associated with",
    "nodename nor servname provided",
    "name does not resolve",
    "name has no usable address",
    "no such host is known",
];

impl Failure {
    /// The same, when the head of the response has arrived and so everything has been sent.
    pub(super) fn while_receiving(self) -> Failure {
        Failure { stage: Stage::Receiving, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_exist_is_told_from_a_look_up_that_fails_on_every_system() {
        let look_up = |text: &str| look_up_failure(&format!("{LOOKUP}: {text}"), None);
        for text in [
            "Name or service not known",
            "No address associated with hostname",
            "nodename nor servname provided, or not known",
            "Name does not resolve",
            "No such host is known. (os error 11001)",
        ] {
            let failure = look_up(text);
            assert_eq!(failure.persistence, Persistence::FewSeconds, "{text}");
            assert_eq!(failure.reason, "there is no host of this name");
        }
        for text in ["Temporary failure in name resolution", "Try again", "System error"] {
            assert_eq!(look_up(text).persistence, Persistence::Budget, "{text}");
        }
        let windows = io::Error::other("No such host is known. (os error 11001)");
        let failure = io_failure(&windows, Reached { upload: Upload::Bodiless, proxy: None });
        assert_eq!(failure.persistence, Persistence::FewSeconds);
        let outage = look_up("Temporary failure in name resolution").reason;
        assert_eq!(outage, "the host name cannot be looked up: temporary failure in name resolution");
        let proxy = Proxy::parse("http://p.example", "x").unwrap();
        let failure = look_up_failure(&format!("{LOOKUP}: Name or service not known"), Some(&proxy));
        assert_eq!(failure.reason, "there is no host of the proxy's name");
    }

    #[test]
    fn a_connection_that_is_cut_leaves_doubt_only_once_the_body_was_begun() {
        for (upload, kind, stage) in [
            (Upload::Waiting, ErrorKind::ConnectionReset, Stage::Connecting),
            (Upload::Waiting, ErrorKind::UnexpectedEof, Stage::Connecting),
            (Upload::Begun, ErrorKind::ConnectionReset, Stage::Sending),
            (Upload::Begun, ErrorKind::UnexpectedEof, Stage::Receiving),
            (Upload::Bodiless, ErrorKind::ConnectionReset, Stage::Receiving),
            (Upload::Begun, ErrorKind::HostUnreachable, Stage::Receiving),
            (Upload::Begun, ErrorKind::NetworkUnreachable, Stage::Receiving),
            (Upload::Begun, ErrorKind::AddrNotAvailable, Stage::Receiving),
            (Upload::Begun, ErrorKind::ConnectionRefused, Stage::Receiving),
            (Upload::Waiting, ErrorKind::HostUnreachable, Stage::Connecting),
            (Upload::Bodiless, ErrorKind::ConnectionRefused, Stage::Connecting),
        ] {
            let reached = Reached { upload, proxy: None };
            assert_eq!(io_failure(&io::Error::from(kind), reached).stage, stage, "{upload:?} {kind}");
            let late = failure(Error::Timeout(Timeout::SendBody), reached).stage;
            assert_eq!(late == Stage::Connecting, upload == Upload::Waiting, "{upload:?}");
        }
    }
}
