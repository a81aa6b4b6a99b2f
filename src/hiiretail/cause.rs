use std::fmt;

use crate::auth::DISCOVERY_FAILED;
use crate::error::{Error, ErrorKind};

/// What an [`Error`] is about, in the eight words of Hii Retail's own tools, each with a code that never changes.
///
/// [`Error::kind`] says how to react; this says where to look, and serves programs that are used to those codes.
///
/// ```
/// use snowpipe_streaming::hiiretail::{Cause, Iam, Ocms};
///
/// let error = Iam::builder("my-tenant", Ocms::new("till-7", "short")).build().unwrap_err();
/// let cause = Cause::of(&error);
/// assert_eq!((cause, cause.code()), (Cause::Configuration, "invalid_request"));
/// println!("{error}\nhint: {}", cause.hint());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Nothing that this version knows.
    Unknown,
    /// The call or a setting: the request is wrong, or was not even sent.
    Configuration,
    /// The token endpoint of the issuer was not found.
    Discovery,
    /// The client: its secret, its state, its permissions.
    Credentials,
    /// No response arrived, or there was no connection: also where a certificate is not trusted or a proxy refuses.
    Network,
    /// The service failed.
    ServerError,
    /// Too many requests.
    RateLimit,
    /// The IAM refused a token, and the renewed one.
    TokenExpired,
}

impl Cause {
    /// That of an error of this client.
    pub fn of(error: &Error) -> Cause {
        use ErrorKind::{Clock, Config, Credentials, Protocol, Refused, Throttled, Timeout, Unavailable, Unconfirmed};
        match (error.kind(), error.status()) {
            _ if error.code() == Some(DISCOVERY_FAILED) => Cause::Discovery,
            (Config, _) => Cause::Configuration,
            (Throttled, _) | (_, Some(429)) => Cause::RateLimit,
            (Unavailable | Unconfirmed, Some(status)) if status >= 500 || status == 408 => Cause::ServerError,
            (Unavailable | Unconfirmed | Timeout, _) => Cause::Network,
            (Credentials, _) if is_about_token(error) => Cause::TokenExpired,
            (Credentials | Clock, _) | (Refused, Some(403)) => Cause::Credentials,
            // The certificate of the server is not trusted, or the proxy refuses: the service was not reached.
            (Refused, None) => Cause::Network,
            (Refused, _) => Cause::Configuration,
            (Protocol, _) => Cause::Unknown,
            _ => Cause::Unknown,
        }
    }

    /// The code, which never changes: `invalid_client`.
    pub fn code(self) -> &'static str {
        match self {
            Cause::Unknown => "unknown_error",
            Cause::Configuration => "invalid_request",
            Cause::Discovery => "discovery_failed",
            Cause::Credentials => "invalid_client",
            Cause::Network => "network_error",
            Cause::ServerError => "server_error",
            Cause::RateLimit => "rate_limited",
            Cause::TokenExpired => "token_expired",
        }
    }

    /// Where to begin, on one line.
    pub fn hint(self) -> &'static str {
        match self {
            Cause::Unknown => "report the error with its text",
            Cause::Configuration => "correct the setting or the argument that the error names",
            Cause::Discovery => "check the environment and the issuer, or give the token URL",
            Cause::Credentials => "check client id, secret and tenant, that the client is authorized, and its roles",
            Cause::Network => "check the network, the proxy, the certificates and the environment",
            Cause::ServerError => "try again later; if it goes on, report the time and the status",
            Cause::RateLimit => "wait as long as the service says, and send less",
            Cause::TokenExpired => "check the audience, the environment and this machine's clock",
        }
    }

    /// Whether causes of this sort pass: the network, the service, the rate and an expired token do. Of one error
    /// [`Error::is_retryable`] knows more: a certificate that is not trusted is of the network, and does not pass.
    pub fn is_transient(self) -> bool {
        matches!(self, Cause::Network | Cause::ServerError | Cause::RateLimit | Cause::TokenExpired)
    }
}

/// The IAM refuses tokens by codes such as `invalid_token` and `Unauthorized`, or without one.
fn is_about_token(error: &Error) -> bool {
    error.status() == Some(401) && !is_about_client(error)
}

/// Whether the code is one with which token endpoints refuse clients.
pub(super) fn is_about_client(error: &Error) -> bool {
    error.code().is_some_and(|code| CODES_OF_CLIENTS.contains(&code))
}

/// RFC 6749, section 5.2.
const CODES_OF_CLIENTS: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// The code.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_cause_and_code() {
        let of = |kind, status: Option<u16>, code: Option<&str>| {
            let error = Error::new(kind, "x").with_code(code.map(str::to_owned));
            Cause::of(&status.map_or(error.clone(), |status| error.with_status(status))).code()
        };
        for (kind, status, code, expected) in [
            (ErrorKind::Config, None, None, "invalid_request"),
            (ErrorKind::Refused, Some(400), Some("Bad Request"), "invalid_request"),
            (ErrorKind::Refused, Some(404), None, "invalid_request"),
            (ErrorKind::Refused, Some(403), None, "invalid_client"),
            (ErrorKind::Refused, None, None, "network_error"),
            (ErrorKind::Credentials, Some(401), Some("invalid_client"), "invalid_client"),
            (ErrorKind::Credentials, Some(400), Some("invalid_scope"), "invalid_client"),
            (ErrorKind::Credentials, Some(401), Some("invalid_token"), "token_expired"),
            (ErrorKind::Credentials, Some(401), None, "token_expired"),
            (ErrorKind::Credentials, Some(401), Some("Unauthorized"), "token_expired"),
            (ErrorKind::Credentials, Some(401), Some("unauthorized_client"), "invalid_client"),
            (ErrorKind::Refused, Some(404), Some("discovery_failed"), "discovery_failed"),
            (ErrorKind::Protocol, Some(200), Some("discovery_failed"), "discovery_failed"),
            (ErrorKind::Unavailable, None, None, "network_error"),
            (ErrorKind::Timeout, None, None, "network_error"),
            (ErrorKind::Unconfirmed, None, None, "network_error"),
            (ErrorKind::Unconfirmed, Some(500), None, "server_error"),
            (ErrorKind::Unavailable, Some(503), None, "server_error"),
            (ErrorKind::Unavailable, Some(408), None, "server_error"),
            (ErrorKind::Throttled, Some(429), None, "rate_limited"),
            (ErrorKind::Protocol, Some(200), None, "unknown_error"),
        ] {
            assert_eq!(of(kind, status, code), expected, "{kind} {status:?} {code:?}");
        }
    }

    #[test]
    fn a_hint_is_one_line_and_only_four_causes_may_pass() {
        use Cause::{Configuration, Credentials, Discovery, Network, RateLimit, ServerError, TokenExpired, Unknown};
        let all = [Unknown, Configuration, Discovery, Credentials, Network, ServerError, RateLimit, TokenExpired];
        for cause in all {
            assert!(!cause.hint().contains('\n') && cause.to_string() == cause.code());
            assert_eq!(cause.is_transient(), [Network, ServerError, RateLimit, TokenExpired].contains(&cause));
        }
    }
}
