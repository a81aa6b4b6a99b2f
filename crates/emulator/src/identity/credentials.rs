use parking_lot::Mutex;
use serde::Serialize;
use uuid::Uuid;

use crate::http::request::Request;
use crate::identity::access_tokens::AccessTokens;
use crate::identity::invalid_token::{self, InvalidToken};
use crate::identity::jwt::{InvalidJwt, JwtVerifier};
use crate::identity::oauth_client::OauthClient;
use crate::identity::scoped_tokens::ScopedTokens;
use crate::refusal::Refusal;

/// All that proves who a request comes from, and the logins that failed.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) jwt: JwtVerifier,
    pub(crate) scoped: ScopedTokens,
    pub(crate) access: AccessTokens,
    pub(crate) oauth_client: OauthClient,
    pub(crate) programmatic_access_token: Mutex<String>,
    pub(crate) failures: Mutex<Vec<LoginFailure>>,
}

/// An accepted account credential.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) method: Method,
    /// The role that the credential itself asks for.
    pub(crate) role: Option<String>,
}

/// The kinds of account credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    KeyPair,
    AccessToken,
    ProgrammaticAccessToken,
}

/// What an administrator may look up about a refused login.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LoginFailure {
    id: String,
    code: u32,
    reason: &'static str,
    at_ms: i64,
}

impl Credentials {
    pub(crate) fn user(&self) -> &str {
        self.jwt.user()
    }

    /// Checks the account credential that a request to the account host carries.
    pub(crate) fn login(&self, request: &Request, now_ms: i64) -> Result<Login, Refusal> {
        let token = request.bearer().ok_or_else(no_authorization)?;
        self.verify(self.method(request, token)?, token, now_ms)
    }

    /// Checks a credential of this kind, whether it came in a header or in a form.
    pub(crate) fn verify(&self, method: Method, token: &str, now_ms: i64) -> Result<Login, Refusal> {
        let role = match method {
            Method::KeyPair => self.jwt.verify(token, now_ms).map_err(|reason| self.refuse_login(reason, now_ms))?,
            Method::AccessToken => self.access.check(token, now_ms).map_err(InvalidToken::refusal)?,
            Method::ProgrammaticAccessToken => {
                self.check_programmatic(token)?;
                None
            }
        };
        Ok(Login { method, role })
    }

    /// Checks the scoped token that a request to the ingest host carries.
    pub(crate) fn check_scoped(&self, request: &Request, host: &str, now_ms: i64) -> Result<(), Refusal> {
        let token = request.bearer().ok_or_else(no_authorization)?;
        match token_type(request) {
            None | Some("OAUTH") => {}
            Some(other) => return Err(invalid_token::invalid(&format!("{other} where a scoped token belongs"))),
        }
        self.scoped.check(token, host, now_ms).map_err(InvalidToken::refusal)
    }

    pub(crate) fn failures(&self) -> Vec<LoginFailure> {
        self.failures.lock().clone()
    }

    /// The kind that the request names; without a name, the kind that the token looks like. Whatever is neither of the
    /// tokens issued here is taken for a JWT, as it is the only kind that is made elsewhere.
    fn method(&self, request: &Request, token: &str) -> Result<Method, Refusal> {
        match token_type(request) {
            Some("KEYPAIR_JWT") => Ok(Method::KeyPair),
            Some("OAUTH") => Ok(Method::AccessToken),
            Some("PROGRAMMATIC_ACCESS_TOKEN") => Ok(Method::ProgrammaticAccessToken),
            Some(other) => Err(unknown_type(other)),
            None if token == *self.programmatic_access_token.lock() => Ok(Method::ProgrammaticAccessToken),
            None if self.access.knows(token) => Ok(Method::AccessToken),
            None => Ok(Method::KeyPair),
        }
    }

    fn check_programmatic(&self, token: &str) -> Result<(), Refusal> {
        if token != *self.programmatic_access_token.lock() {
            return Err(Refusal::new(401, "394400", "Programmatic access token is invalid."));
        }
        Ok(())
    }

    /// The response has only an id; the reason is for administrators, as the service keeps it.
    fn refuse_login(&self, reason: InvalidJwt, at_ms: i64) -> Refusal {
        let id = Uuid::new_v4().to_string();
        let message = format!("JWT token is invalid. [{id}]");
        self.failures.lock().push(LoginFailure { id, code: reason.code, reason: reason.name, at_ms });
        Refusal::new(401, "390144", message).with_detail(format!("{} {}", reason.code, reason.name))
    }
}

fn token_type(request: &Request) -> Option<&str> {
    request.header("x-snowflake-authorization-token-type").map(str::trim)
}

fn no_authorization() -> Refusal {
    Refusal::new(401, "390101", "Authorization header not found in the request data.")
}

fn unknown_type(given: &str) -> Refusal {
    Refusal::new(401, "390146", "The type of the authorization token is not supported.")
        .with_detail(format!("token type {given}"))
}
