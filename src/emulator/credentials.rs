//! Who a request comes from: account logins and scoped tokens.

use parking_lot::Mutex;
use serde::Serialize;
use uuid::Uuid;

use super::jwt::{Identity, Invalid, Login};
use super::refusal::Refusal;
use super::request::Request;
use super::scoped_token::{ScopedTokens, Unusable};

/// Everything that proves something, and what failed to.
#[derive(Debug)]
pub(super) struct Credentials {
    identity: Identity,
    pub(super) scoped: ScopedTokens,
    failures: Mutex<Vec<LoginFailure>>,
}

/// What an administrator may look up about a refused login.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LoginFailure {
    id: String,
    code: u32,
    reason: &'static str,
    at_ms: i64,
}

impl Credentials {
    pub(super) fn new(identity: Identity, scoped: ScopedTokens) -> Self {
        Self { identity, scoped, failures: Mutex::new(Vec::new()) }
    }

    pub(super) fn user(&self) -> &str {
        self.identity.user()
    }

    /// Checks the account credential that a request to the account host bears.
    pub(super) fn login(&self, request: &Request, now_ms: i64) -> Result<Login, Refusal> {
        let token = request.bearer().ok_or_else(no_authorization)?;
        match token_type(request) {
            None | Some("KEYPAIR_JWT") => self.verify_jwt(token, now_ms),
            Some("OAUTH") => Err(oauth_refusal("390303", "Invalid OAuth access token.", "not an access token")),
            Some(other) => Err(unknown_type(other)),
        }
    }

    pub(super) fn verify_jwt(&self, jwt: &str, now_ms: i64) -> Result<Login, Refusal> {
        let verdict = self.identity.verify(jwt, now_ms);
        verdict.map_err(|why| self.refuse_login(why, now_ms))
    }

    /// Checks the scoped token that a request to the ingest host bears.
    pub(super) fn check_scoped(&self, request: &Request, host: &str, now_ms: i64) -> Result<(), Refusal> {
        let token = request.bearer().ok_or_else(no_authorization)?;
        let invalid = "Invalid OAuth access token.";
        match token_type(request) {
            None | Some("OAUTH") => {}
            Some("KEYPAIR_JWT") => {
                return Err(oauth_refusal("390303", invalid, "a login where a scoped token belongs"));
            }
            Some(other) => return Err(unknown_type(other)),
        }
        self.scoped.check(token, host, now_ms).map_err(|why| match why {
            Unusable::Expired => oauth_refusal("390318", "OAuth access token expired.", "expired"),
            Unusable::Unknown => oauth_refusal("390303", invalid, "revoked or not issued here"),
            Unusable::OtherHost => oauth_refusal("390303", invalid, "issued for another host"),
        })
    }

    pub(super) fn failures(&self) -> Vec<LoginFailure> {
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

fn oauth_refusal(code: &'static str, message: &str, detail: &str) -> Refusal {
    let message = format!("{message} [{}]", Uuid::new_v4());
    Refusal::new(401, code, message).with_detail(detail)
}
