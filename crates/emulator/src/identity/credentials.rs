//! Who a request comes from: account logins and scoped tokens.

use parking_lot::Mutex;
use serde::Serialize;
use uuid::Uuid;

use crate::http::request::Request;
use crate::identity::access_tokens::AccessTokens;
use crate::identity::jwt::{Identity, Invalid};
use crate::identity::oauth_client::OauthClient;
use crate::identity::scoped_tokens::ScopedTokens;
use crate::refusal::Refusal;

/// Everything that proves something, and what failed to.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) identity: Identity,
    pub(crate) scoped: ScopedTokens,
    pub(crate) access: AccessTokens,
    pub(crate) client: OauthClient,
    pub(crate) programmatic_access_token: String,
    pub(crate) failures: Mutex<Vec<LoginFailure>>,
}

/// An accepted account credential.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) method: Method,
    /// The role that the credential itself asks for.
    pub(crate) scope: Option<String>,
}

/// What was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    KeyPair,
    AccessToken,
    PersonalAccessToken,
}

/// Why a token that was issued here, or claims so, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    Unknown,
    Expired,
    OtherHost,
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
        self.identity.user()
    }

    /// Checks the account credential that a request to the account host bears.
    pub(crate) fn login(&self, request: &Request, now_ms: i64) -> Result<Login, Refusal> {
        let token = request.bearer().ok_or_else(no_authorization)?;
        self.verify(self.method(request, token)?, token, now_ms)
    }

    /// Checks a credential of this kind, wherever it stood.
    pub(crate) fn verify(&self, method: Method, token: &str, now_ms: i64) -> Result<Login, Refusal> {
        match method {
            Method::KeyPair => self.verify_jwt(token, now_ms),
            Method::AccessToken => self.verify_access_token(token, now_ms),
            Method::PersonalAccessToken => self.verify_personal(token),
        }
    }

    fn verify_jwt(&self, jwt: &str, now_ms: i64) -> Result<Login, Refusal> {
        let verdict = self.identity.verify(jwt, now_ms);
        let scope = verdict.map_err(|why| self.refuse_login(why, now_ms))?;
        Ok(Login { method: Method::KeyPair, scope })
    }

    fn verify_personal(&self, token: &str) -> Result<Login, Refusal> {
        if token != self.programmatic_access_token {
            let message = "Programmatic access token is invalid.";
            return Err(Refusal::new(401, "394400", message));
        }
        Ok(Login { method: Method::PersonalAccessToken, scope: None })
    }

    fn verify_access_token(&self, token: &str, now_ms: i64) -> Result<Login, Refusal> {
        let verdict = self.access.check(token, now_ms);
        let scope = verdict.map_err(refuse_token)?;
        Ok(Login { method: Method::AccessToken, scope })
    }

    /// What the request says it bears; without a word, what it looks like.
    fn method(&self, request: &Request, token: &str) -> Result<Method, Refusal> {
        match token_type(request) {
            Some("KEYPAIR_JWT") => Ok(Method::KeyPair),
            Some("OAUTH") => Ok(Method::AccessToken),
            Some("PROGRAMMATIC_ACCESS_TOKEN") => Ok(Method::PersonalAccessToken),
            Some(other) => Err(unknown_type(other)),
            None if token == self.programmatic_access_token => Ok(Method::PersonalAccessToken),
            None if self.access.knows(token) => Ok(Method::AccessToken),
            None => Ok(Method::KeyPair),
        }
    }

    /// Checks the scoped token that a request to the ingest host bears.
    pub(crate) fn check_scoped(&self, request: &Request, host: &str, now_ms: i64) -> Result<(), Refusal> {
        let token = request.bearer().ok_or_else(no_authorization)?;
        match token_type(request) {
            None | Some("OAUTH") => {}
            Some(other) => {
                let detail = format!("{other} where a scoped token belongs");
                return Err(oauth_refusal("390303", INVALID, &detail));
            }
        }
        let verdict = self.scoped.check(token, host, now_ms);
        verdict.map_err(refuse_token)
    }

    pub(crate) fn failures(&self) -> Vec<LoginFailure> {
        self.failures.lock().clone()
    }

    /// The caller learns an id only; the reason is for those who may look it up.
    fn refuse_login(&self, why: Invalid, at_ms: i64) -> Refusal {
        let id = Uuid::new_v4().to_string();
        let message = format!("JWT token is invalid. [{id}]");
        self.failures.lock().push(LoginFailure { id, code: why.code, reason: why.name, at_ms });
        Refusal::new(401, "390144", message).with_detail(format!("{} {}", why.code, why.name))
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

fn refuse_token(why: Unusable) -> Refusal {
    match why {
        Unusable::Expired => oauth_refusal("390318", "OAuth access token expired.", "expired"),
        Unusable::Unknown => oauth_refusal("390303", INVALID, "revoked or not issued here"),
        Unusable::OtherHost => oauth_refusal("390303", INVALID, "issued for another host"),
    }
}

fn oauth_refusal(code: &'static str, message: &str, detail: &str) -> Refusal {
    let message = format!("{message} [{}]", Uuid::new_v4());
    Refusal::new(401, code, message).with_detail(detail)
}

const INVALID: &str = "Invalid OAuth access token.";
