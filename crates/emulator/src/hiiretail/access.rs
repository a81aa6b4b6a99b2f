//! Who may do what: the token, its audience, its tenant, its permissions.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::call::Call;
use super::ocms::Ocms;
use super::operation::Operation;
use super::rejection::Rejection;

/// How a token that is expired or unknown is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenRefusal {
    /// 403 without a body, the only refusal that the IAM documents: it looks like a missing permission.
    #[default]
    Forbidden,
    /// 401 with the error `invalid_token`.
    Unauthorized,
}

/// What a test changes about it.
#[derive(Debug, Default)]
pub(super) struct Access {
    pub(super) refusal: TokenRefusal,
    /// The permissions that no token has. It has all others.
    pub(super) denied: BTreeSet<String>,
}

impl Access {
    /// Checks all that is not about the operation itself.
    pub(super) fn check(&self, ocms: &Ocms, operation: Operation, call: &Call<'_>) -> Result<(), Rejection> {
        let permission = operation.permission();
        if permission.is_empty() {
            return Ok(());
        }
        let token = call.request.bearer().ok_or_else(|| self.refuse("there is no bearer token"))?;
        let claims = ocms.tokens.check(token, call.now_ms).map_err(|reason| self.refuse(reason))?;
        let client = ocms.clients.find(&claims.client_id).ok_or_else(|| self.refuse("the client is deleted"))?;
        if !claims.aud.iter().any(|audience| audience == AUDIENCE) {
            return Err(Rejection::Forbidden(format!("the audience of the token is not {AUDIENCE}")));
        }
        if call.tenant.as_ref().is_some_and(|tenant| *tenant != client.tenant) {
            return Err(Rejection::Forbidden("the token is of another tenant".to_owned()));
        }
        // A list of resources can be asked for under a further permission.
        let further = call.parameter("permission").filter(|_| operation == Operation::ListResources);
        self.need(permission).and_then(|()| further.map_or(Ok(()), |further| self.need(further)))
    }

    fn need(&self, permission: &str) -> Result<(), Rejection> {
        if self.denied.contains(permission) {
            return Err(Rejection::Forbidden(format!("the token has no permission {permission}")));
        }
        Ok(())
    }

    fn refuse(&self, reason: &str) -> Rejection {
        match self.refusal {
            TokenRefusal::Forbidden => Rejection::Forbidden(reason.to_owned()),
            TokenRefusal::Unauthorized => Rejection::InvalidToken(reason.to_owned()),
        }
    }
}

/// What a token must be for.
const AUDIENCE: &str = "https://hiiretail.com";
