use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::http::Method;
use zeroize::Zeroizing;

use crate::auth::{Grant, JwtTimes, TokenSource};
use crate::error::{Error, ErrorKind};
use crate::http::{Limits, Origin, Request, Response, form_encoded};
use crate::secret::Secret;
use crate::session::{Dialect, Problem, Session};
use crate::snowflake::credentials::LoginContext;
use crate::snowflake::dialect::SnowflakeDialect;
use crate::snowflake::token_kind::TokenKind;

/// Exchanges login tokens for scoped tokens: asks for the ingest host, then for a token bound to it.
///
/// It asks for the host in every exchange, so that after a failover the next token comes with the new host.
#[derive(Debug)]
pub(crate) struct TokenExchange {
    /// Sends the login token.
    pub(crate) control: Arc<Session>,
    pub(crate) context: LoginContext,
    /// The user's default role if `None`.
    pub(crate) role: Option<String>,
    pub(crate) login: TokenKind,
}

impl TokenExchange {
    /// `limits` are those of the call that needs it.
    pub(crate) fn ingest_host(&self, limits: Limits) -> Result<Origin, Error> {
        let request =
            Request::new(Method::GET, "/v2/streaming/hostname", "find the ingest host").expect_short().within(limits);
        let response = self.control.send(&request)?;
        text_or_field(&response.body, &["hostname"])
            .map_err(|_| self.not_the_service(&response))
            .and_then(|host| validated(&host, &self.context.origin, &response))
            .and_then(|host| self.context.origin.at_host(&host))
            .map_err(|error| of_response(error, &response, &request))
    }

    /// What responds with success but without a host name is another server, such as the portal of a network.
    fn not_the_service(&self, response: &Response) -> Error {
        let reason = match Problem::of(response).shown_message(response) {
            Some(message) => format!("the response of {} does not look like the service's: {message}", response.route),
            None => format!("the response of {} has no hostname", response.route),
        };
        Error::new(ErrorKind::Refused, reason).advise(SnowflakeDialect::Control(self.login).stranger_advice())
    }

    fn scoped_token(&self, ingest: &Origin, limits: Limits) -> Result<Secret, Error> {
        let attempted = format!("get a token for the ingest host {}", ingest.host());
        let form = self.form(ingest);
        let request = Request::new(Method::POST, "/oauth/token", attempted)
            .expect_short()
            .body("application/x-www-form-urlencoded", form.as_bytes())
            .within(limits);
        let mut response = self.control.send(&request)?;
        let body = Zeroizing::new(mem::take(&mut response.body));
        let token = text_or_field(&body, &["token", "access_token"]).and_then(sendable);
        token
            .map(|mut token| Secret::new(mem::take(&mut *token)))
            .map_err(|error| of_response(error, &response, &request))
    }

    fn form(&self, ingest: &Origin) -> String {
        let mut scope = ingest.host().to_string();
        if let Some(role) = &self.role {
            scope.push_str(" session:role:");
            scope.push_str(role);
        }
        let (grant_type, subject) = match self.login {
            TokenKind::KeyPairJwt => ("jwt-bearer", None),
            TokenKind::ProgrammaticAccessToken => ("token-exchange", Some("programmatic_access_token")),
            TokenKind::OAuth => ("token-exchange", Some("urn:ietf:params:oauth:token-type:access_token")),
        };
        let grant_type = format!("urn:ietf:params:oauth:grant-type:{grant_type}");
        let mut form = format!("grant_type={}&scope={}", *form_encoded(&grant_type), *form_encoded(&scope));
        if let Some(subject) = subject {
            form.push_str("&subject_token_type=");
            form.push_str(&form_encoded(subject));
        }
        form
    }
}

impl TokenSource for Arc<TokenExchange> {
    fn fetch(&self, limits: Limits) -> Result<Grant, Error> {
        let ingest = self.ingest_host(limits.clone())?;
        let asked = self.context.clock.now();
        let token = self.scoped_token(&ingest, limits)?;
        let lifetime = lifetime(token.expose(), self.context.server_clock.at(asked));
        Ok(Grant { bearer: token, origin: ingest, lifetime, asked, reread_after: None })
    }

    fn asks_a_server(&self) -> bool {
        true
    }
}

/// The error of a response that was not understood, with what was sent.
fn of_response(error: Error, response: &Response, request: &Request<'_>) -> Error {
    error
        .with_status(response.status)
        .with_attempts(response.attempts)
        .with_request_id(request.request_id.to_string())
        .attempting(&*request.attempted)
}

/// Responses are bare text on the live service and objects in its documentation; some are quoted strings.
fn text_or_field(body: &[u8], names: &[&str]) -> Result<Zeroizing<String>, Error> {
    let unclear = || {
        let reason = format!("the response has no {}", names.join(" or "));
        Error::new(ErrorKind::Protocol, reason).advise("check the account URL")
    };
    let text = std::str::from_utf8(body).map_err(|_| unclear())?.trim();
    // The text may be a token: no copy of it is left unwiped.
    let value = Zeroizing::new(match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(mut fields)) => {
            let found = names.iter().find_map(|name| match fields.remove(*name)? {
                serde_json::Value::String(value) => Some(value),
                _ => None,
            });
            found.ok_or_else(unclear)?
        }
        Ok(serde_json::Value::String(value)) => value,
        _ => text.to_owned(),
    });
    let trimmed = value.trim();
    let is_markup = trimmed.starts_with(['<', '{', '[']);
    if trimmed.is_empty() || is_markup || trimmed.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(unclear());
    }
    Ok(if trimmed.len() == value.len() { value } else { Zeroizing::new(trimmed.to_owned()) })
}

/// A token is sent in a header.
fn sendable(token: Zeroizing<String>) -> Result<Zeroizing<String>, Error> {
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(token);
    }
    Err(Error::new(ErrorKind::Protocol, "the response has a token that a header cannot carry")
        .advise("check the account URL"))
}

/// The host that will receive tokens and rows: within the service's domains, or the account's own host.
fn validated(received: &str, account: &Origin, response: &Response) -> Result<String, Error> {
    let host = received.to_ascii_lowercase().replace('_', "-");
    let is_in_domain = ["snowflakecomputing.com", "snowflakecomputing.cn"]
        .iter()
        .any(|domain| host.strip_suffix(domain).is_some_and(is_subdomain_prefix));
    if is_in_domain || host == account.host() {
        return Ok(host);
    }
    let reason = format!("the ingest host {:?} lies outside the service's domain", response.shown(received));
    Err(Error::new(ErrorKind::Protocol, reason)
        .advise("no token was sent there; check the account URL and which server responds at it"))
}

/// `a.b.`: labels, each followed by a dot.
fn is_subdomain_prefix(prefix: &str) -> bool {
    let Some(labels) = prefix.strip_suffix('.') else { return false };
    labels.split('.').all(|label| {
        let is_word = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !label.is_empty() && is_word && !label.starts_with('-') && !label.ends_with('-')
    })
}

/// Until the `exp` of a token that has one, by the server's clock; otherwise an assumption.
fn lifetime(token: &str, server_now: SystemTime) -> Duration {
    match JwtTimes::of(token) {
        Some(times) => times.expiry().duration_since(server_now).unwrap_or(Duration::ZERO).min(MAX_LIFETIME),
        None => ASSUMED_LIFETIME,
    }
}

/// The service's tokens live for about an hour. An `exp` far beyond that is a mistake, and the host is asked for again in time.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The service documents no lifetime for an opaque token; its own clients assume 50 to 55 minutes.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(50 * 60);

#[cfg(test)]
mod whole_call;

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn host(response: &str) -> Result<String, Error> {
        let account = Origin::parse("https://myorg-acct.snowflakecomputing.com", "account URL").unwrap();
        let response = Response::new(200, HeaderMap::new(), response.into());
        text_or_field(&response.body, &["hostname"]).and_then(|host| validated(&host, &account, &response))
    }

    #[test]
    fn a_host_is_read_from_text_string_or_object() {
        for response in [
            "X1.ingest.iad.snowflakecomputing.com",
            "x1.ingest.iad.snowflakecomputing.com\n",
            "\"x1.ingest.iad.snowflakecomputing.com\"",
            r#"{"hostname":"x1.ingest.iad.snowflakecomputing.com"}"#,
        ] {
            assert_eq!(host(response).unwrap(), "x1.ingest.iad.snowflakecomputing.com", "{response}");
        }
        assert_eq!(host("my_org.ingest.snowflakecomputing.cn").unwrap(), "my-org.ingest.snowflakecomputing.cn");
        assert_eq!(host("myorg-acct.snowflakecomputing.com").unwrap(), "myorg-acct.snowflakecomputing.com");
    }

    #[test]
    fn a_host_outside_the_service_is_refused() {
        for response in [
            "evil.example",
            "snowflakecomputing.com",
            ".snowflakecomputing.com",
            "evilsnowflakecomputing.com",
            "x.snowflakecomputing.com.evil.example",
            "x..snowflakecomputing.com",
            "x.snowflakecomputing.com:443",
            "user@x.snowflakecomputing.com",
            "evil.example/x.snowflakecomputing.com",
            "evil.example#.snowflakecomputing.com",
            "-x.snowflakecomputing.com",
            "",
            "{}",
            "<html></html>",
        ] {
            assert_eq!(host(response).unwrap_err().kind(), ErrorKind::Protocol, "{response:?}");
        }
    }

    #[test]
    fn a_token_is_read_from_text_string_or_object_and_never_repeated() {
        for response in ["tok", " tok\n", "\"tok\"", r#"{"token":"tok"}"#, r#"{"access_token":"tok"}"#] {
            assert_eq!(
                text_or_field(response.as_bytes(), &["token", "access_token"]).unwrap().as_str(),
                "tok",
                "{response}"
            );
        }
        let error = text_or_field(b"{\"secret\":\"hunter2\"}", &["token"]).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn the_lifetime_of_a_token_is_its_own_or_assumed() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let token = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(lifetime(&token(r#"{"exp":1000600}"#), now), Duration::from_secs(600));
        for expired in [r#"{"exp":999999}"#, r#"{"exp":0}"#, r#"{"exp":-1}"#] {
            assert_eq!(lifetime(&token(expired), now), Duration::ZERO, "{expired}");
        }
        assert_eq!(
            lifetime(&token(r#"{"exp":1000000600000}"#), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)),
            Duration::from_secs(600)
        );
        for far in [r#"{"exp":1e300}"#, r#"{"exp":99999999999}"#, r#"{"exp":9999999}"#] {
            assert_eq!(lifetime(&token(far), now), MAX_LIFETIME, "{far}");
        }
        for other in ["opaque", &token("{}"), &token(r#"{"exp":"soon"}"#), "a.b.c", ""] {
            assert_eq!(lifetime(other, now), ASSUMED_LIFETIME, "{other}");
        }
    }
}
