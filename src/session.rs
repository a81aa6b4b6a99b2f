//! The one place where a request meets a token: bearer, send, and a single visible second try after a refused token.

mod counters;
mod problem;
mod refusal;

use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, header};
use zeroize::Zeroizing;

pub(crate) use self::counters::AtomicCounters;
pub use self::counters::Counters;
use self::problem::settle;
use self::refusal::{Refusal, refusal};
use crate::auth::{Token, TokenCache};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::http::{AuthorizedRequest, Failure, Outcome, Replay, Request, Response, Sender, Stage};

/// Sends requests in one name; any number of threads at once.
///
/// A client has two: one bears the login token to the account's host, the other the scoped token to the ingest host. The
/// token itself says where it may go.
#[derive(Debug)]
pub(crate) struct Session {
    tokens: TokenCache,
    sender: Arc<Sender>,
    counters: Arc<AtomicCounters>,
    principal: Principal,
}

/// Whose token a session bears, for the diagnosis of a refusal.
#[derive(Debug)]
pub(crate) struct Principal {
    /// Who is claimed, without anything secret.
    pub(crate) identity: String,
    /// What to look at when it is refused.
    pub(crate) cure: &'static str,
}

impl Session {
    pub(crate) fn new(
        tokens: TokenCache,
        sender: Arc<Sender>,
        counters: Arc<AtomicCounters>,
        principal: Principal,
    ) -> Session {
        Session { tokens, sender, counters, principal }
    }

    pub(crate) fn tokens(&self) -> &TokenCache {
        &self.tokens
    }

    pub(crate) fn counters(&self) -> &AtomicCounters {
        &self.counters
    }

    /// Whose token it bears, without anything secret.
    pub(crate) fn identity(&self) -> &str {
        &self.principal.identity
    }

    /// Answers with a success, or an error that says what is known.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        self.settled(request, self.send_renewing(request)?)
    }

    fn send_renewing(&self, request: &Request<'_>) -> Result<Outcome, Error> {
        let deadline = self.sender.deadline(request);
        let token = self.tokens.get().map_err(|error| error.attempting(&*request.attempted))?;
        let first = self.send_bearing(&token, request, deadline, 0);
        let Some(refusal) = refusal(&first) else { return Ok(first) };
        let Some(renewed) = self.renew(&token, refusal) else { return Ok(first) };
        let token = match renewed {
            Ok(token) => token,
            // Nobody was asked for another token, so what the service said of this one tells the most.
            Err(error) if error.attempts() == 0 => return Ok(first),
            Err(error) => return Err(doubtful(error, &first, request).attempting(&*request.attempted)),
        };
        let second = self.send_bearing(&token, request, deadline, first.sent);
        let is_settled = second.result.as_ref().is_ok_and(Response::is_success);
        Ok(Outcome { in_doubt: second.in_doubt || first.in_doubt && !is_settled, ..second })
    }

    fn send_bearing(&self, token: &Token, request: &Request<'_>, deadline: Moment, sent: u32) -> Outcome {
        let authorization = match authorization(token) {
            Ok(headers) => headers,
            Err(failure) => return Outcome { result: Err(failure), sent, in_doubt: false, retry_after: None },
        };
        let authorized = AuthorizedRequest { request, origin: &token.grant.origin, authorization, sent, deadline };
        let outcome = self.sender.send(&authorized);
        self.counters.add_requests(outcome.sent - sent, sent > 0);
        outcome
    }

    fn renew(&self, token: &Token, refusal: Refusal) -> Option<Result<Token, Error>> {
        let renewed = match refusal {
            Refusal::Certain => Some(self.tokens.renew_after(token)),
            Refusal::Possible => self.tokens.renew_after_denial(token),
        };
        if let Some(Ok(renewed)) = &renewed
            && renewed.generation != token.generation
        {
            log::info!("the service refused the token; it was renewed");
            self.counters.add_renewal();
        }
        renewed
    }

    fn settled(&self, request: &Request<'_>, outcome: Outcome) -> Result<Response, Error> {
        settle(request, outcome).map_err(|error| match error.kind() {
            ErrorKind::Credentials if error.status().is_some() => error.advise(self.diagnosis()),
            _ => error,
        })
    }

    /// What a person needs to find out why a login was refused; the service tells nobody.
    fn diagnosis(&self) -> String {
        let ahead = self.sender.server_clock().ahead_ms();
        let clock = match ahead {
            0 => "no clock difference found".to_string(),
            _ => format!("the server's clock is {:+} s from this machine's", ahead / 1000),
        };
        format!("{}; {clock}; {}", self.principal.identity, self.principal.cure)
    }
}

/// A renewal that failed after a request of unknown outcome leaves that outcome unknown, where it matters.
fn doubtful(error: Error, first: &Outcome, request: &Request<'_>) -> Error {
    let matters = request.replay != Replay::Safe;
    if first.in_doubt && matters { problem::unconfirmed(error.to_string(), request) } else { error }
}

fn authorization(token: &Token) -> Result<HeaderMap, Failure> {
    let bearer = Zeroizing::new(format!("Bearer {}", token.grant.bearer.expose()));
    let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| Failure {
        stage: Stage::Refusing,
        happened: "the token holds characters that no header may carry".into(),
    })?;
    bearer.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, bearer);
    let kind = HeaderValue::from_static(token.grant.kind.header());
    headers.insert("x-snowflake-authorization-token-type", kind);
    Ok(headers)
}
