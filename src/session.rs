//! Where a request meets a token: it is sent with the token, and once more if the service refuses the token.

mod counters;
mod dialect;
mod problem;
mod refusal;
mod result;

use std::sync::Arc;

pub(crate) use self::counters::AtomicCounters;
pub use self::counters::Counters;
pub(crate) use self::dialect::{Dialect, bearer, by_status};
pub(crate) use self::problem::Problem;
use self::refusal::Refusal;
use crate::auth::{Token, TokenCache};
use crate::error::{Error, ErrorKind};
use crate::http::{AuthorizedRequest, Limits, Outcome, Replay, Request, Response, Sender};
use crate::secret::Secret;
use crate::stop::Stop;

/// Sends requests to one service with the tokens of one cache, from any number of threads.
///
/// A client has two: one with the login token for the account's host, one with the scoped token for the ingest host. The
/// token itself says which host it is for.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    tokens: Arc<TokenCache>,
    sender: Arc<Sender>,
    counters: Arc<AtomicCounters>,
    dialect: Arc<dyn Dialect>,
    principal: Arc<Principal>,
    /// Ends its calls early.
    stop: Stop,
}

/// Whose tokens a session sends, for the diagnosis of refused credentials.
#[derive(Debug)]
pub(crate) struct Principal {
    /// The identity that the tokens claim, unless their source knows better. Nothing secret.
    pub(crate) identity: String,
    /// What to check when it is refused.
    pub(crate) advice: &'static str,
}

impl Session {
    pub(crate) fn new(
        tokens: TokenCache,
        sender: Arc<Sender>,
        counters: Arc<AtomicCounters>,
        dialect: Box<dyn Dialect>,
        principal: Principal,
    ) -> Session {
        let (tokens, dialect, principal) = (Arc::new(tokens), Arc::from(dialect), Arc::new(principal));
        Session { tokens, sender, counters, dialect, principal, stop: Stop::default() }
    }

    /// The same session, with calls that this ends early, and that nothing else does.
    pub(crate) fn stopped_by(&self, stop: Stop) -> Session {
        Session { stop, ..self.clone() }
    }

    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    pub(crate) fn tokens(&self) -> &TokenCache {
        &self.tokens
    }

    pub(crate) fn counters(&self) -> &AtomicCounters {
        &self.counters
    }

    /// The identity that its tokens claim at present. Nothing secret.
    pub(crate) fn identity(&self) -> String {
        self.tokens.identity().unwrap_or_else(|| self.principal.identity.clone())
    }

    /// Those of a call that starts now and is no request.
    pub(crate) fn limits(&self) -> Limits {
        self.sender.call_limits().or_stopped_by(&self.stop)
    }

    /// The text of the current token, which is fetched if there is none.
    pub(crate) fn bearer(&self) -> Result<Secret, Error> {
        self.tokens.bearer(|| self.limits())
    }

    /// Returns a successful response, or an error with everything that is known.
    ///
    /// Its limits are computed once and bound all of it: waiting for a token, fetching one, the request itself and its
    /// repetition.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        let limits = self.sender.limits(request).or_stopped_by(&self.stop);
        let token = self.tokens.get(limits.clone()).map_err(|error| error.attempting(&*request.attempted))?;
        let first = self.send_with_token(&token, request, &limits, 0);
        let renewed = match refusal::refusal(&*self.dialect, &first) {
            None => {
                if first.result.as_ref().is_ok_and(|response| self.shows_acceptance(response)) {
                    self.tokens.end_trial(&token);
                }
                return self.result(request, first);
            }
            // Its connection broke while it was sent: it may have been applied.
            Some(_) if first.in_doubt && request.replay == Replay::Once => return self.result(request, first),
            Some(Refusal::Certain) => self.tokens.renew_after(&token, limits.clone()),
            Some(Refusal::Possible) => self.tokens.renew_after_denial(&token, limits.clone()),
        };
        match renewed {
            Ok(Some(renewed)) => self.send_again(&renewed, request, &limits, &first),
            // There is no other token, so the response is the result.
            Ok(None) => self.result(request, first).inspect_err(|error| self.tokens.note_refusal(&token, error)),
            Err(error) => Err(self.unrenewed(error, &first, request)),
        }
    }

    fn send_again(
        &self,
        renewed: &Token,
        request: &Request<'_>,
        limits: &Limits,
        first: &Outcome,
    ) -> Result<Response, Error> {
        log::info!("the service refused the token; it was renewed");
        self.counters.add_renewal();
        let mut outcome = self.send_with_token(renewed, request, limits, first.sent);
        if let (Ok(response), Ok(refusal)) = (&mut outcome.result, &first.result) {
            // A text may be about the refused token.
            response.secrets = refusal.secrets.and(&renewed.grant.bearer);
        }
        outcome.in_doubt |= first.in_doubt;
        if outcome.result.as_ref().is_ok_and(|response| self.shows_acceptance(response)) {
            self.tokens.note_accepted(renewed);
        }
        self.result(request, outcome)
    }

    /// Whether the service has gone on to the request itself. What it says of that, such as that something does not exist, says
    /// nothing against the token.
    fn shows_acceptance(&self, response: &Response) -> bool {
        match response.status {
            200..300 => true,
            400 | 404 | 409..=412 | 422 => self.dialect.is_own(response, &Problem::of(response)),
            _ => false,
        }
    }

    fn result(&self, request: &Request<'_>, outcome: Outcome) -> Result<Response, Error> {
        result::into_result(&*self.dialect, request, outcome).map_err(|error| match (error.kind(), error.status()) {
            (ErrorKind::Credentials, Some(_)) => self.diagnosed(error),
            (ErrorKind::Clock, Some(_)) => error.advise(format!("{}; {SET_CLOCK}", self.clock_difference())),
            _ => error,
        })
    }

    /// The error of a failed renewal, with what was sent: for the token, or else the request that was refused. If the request
    /// may have been applied before, that matters more.
    fn unrenewed(&self, error: Error, first: &Outcome, request: &Request<'_>) -> Error {
        let error = match &first.result {
            Ok(response) if error.attempts() == 0 => {
                let error = error.with_status(response.status).with_attempts(first.sent);
                match self.dialect.label(request.request_id, first.sent) {
                    Some(_) => error.with_request_id(request.request_id.to_string()),
                    None => error,
                }
            }
            _ => error,
        };
        let is_unconfirmed = first.in_doubt && request.replay != Replay::Safe;
        let error = if is_unconfirmed { error.into_unconfirmed() } else { error };
        error.attempting(&*request.attempted)
    }

    fn send_with_token(&self, token: &Token, request: &Request<'_>, limits: &Limits, sent: u32) -> Outcome {
        let authorization = match self.dialect.authorize(&token.grant.bearer) {
            Ok(headers) => headers,
            Err(failure) => return Outcome { result: Err(failure), sent, in_doubt: false, retry_after: None },
        };
        let mut outcome = self.sender.send(&AuthorizedRequest {
            request,
            origin: &token.grant.origin,
            authorization,
            label: &|sent| self.dialect.label(request.request_id, sent),
            is_final: &|response| self.dialect.is_final(response),
            sent,
            limits: limits.clone(),
        });
        if let Ok(response) = &mut outcome.result {
            response.secrets = token.redaction.clone();
        }
        self.counters.add_requests(outcome.sent - sent, outcome.sent.saturating_sub(sent.max(1)));
        outcome
    }

    /// What a person needs to find out why credentials were refused; the service does not say. Where it need not have been the
    /// service that refused them, there is advice already, and none for the credentials.
    fn diagnosed(&self, error: Error) -> Error {
        let (identity, advice) = (self.identity(), self.principal.advice);
        let has_cure = error.has_advice();
        let error = error.and_advise(&format!("{identity}; {}", self.clock_difference()));
        if has_cure { error } else { error.and_advise(advice) }
    }

    fn clock_difference(&self) -> String {
        match self.sender.clock_ahead_ms() {
            0 => "no clock difference found".to_string(),
            ahead => format!("the server's clock is {:+} s from this machine's", ahead / 1000),
        }
    }
}

const SET_CLOCK: &str = "set this machine's clock by NTP";

#[cfg(test)]
mod tests;
