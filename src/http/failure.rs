use super::Route;
use crate::error::{Error, ErrorKind};

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    /// For people; holds no URL and no header.
    pub(crate) reason: String,
    /// The cure, where the cause is known.
    pub(crate) advice: Option<&'static str>,
    pub(crate) persistence: Persistence,
    /// The caller's time was over: another caller may get a response.
    pub(crate) timed_out: bool,
    /// An attempt before this one may have been applied.
    pub(crate) follows_doubt: bool,
}

/// How far a failed round trip got, which decides whether it may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No connection; nothing was sent. Trying again may help.
    Connecting,
    /// No connection, and trying again will not help: the certificate is not accepted, or the proxy refuses. Nothing was
    /// sent.
    Rejected,
    /// The request itself cannot be sent: its URL or its token. Trying again will not help.
    Misconfigured,
    /// The connection broke while the body was being sent. It also looks like this when a server refuses a request before
    /// it has read the body.
    Sending,
    /// Everything was sent, but no complete response arrived.
    Receiving,
    /// A success arrived that is longer than any the request can have. It would be again.
    Overlong,
    /// The caller asked for a stop, so nothing was sent, or not again.
    Stopped,
}

/// How long it is worth trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// While the retry budget lasts.
    Budget,
    /// A few times: the cause is mostly not one that passes.
    FewAttempts,
    /// For a few seconds, unless the server has ever responded: the name of the host does not exist.
    FewSeconds,
}

impl Failure {
    pub(crate) fn new(stage: Stage, reason: impl Into<String>) -> Failure {
        let persistence = Persistence::Budget;
        Failure { stage, reason: reason.into(), advice: None, persistence, timed_out: false, follows_doubt: false }
    }

    pub(crate) fn advise(self, advice: &'static str) -> Failure {
        Failure { advice: Some(advice), ..self }
    }

    pub(crate) fn worth(self, persistence: Persistence) -> Failure {
        Failure { persistence, ..self }
    }

    /// The caller's time was over.
    pub(crate) fn out_of_time(stage: Stage) -> Failure {
        let reason = "the time allowed for waiting ended before a response had arrived";
        Failure { timed_out: true, ..Failure::new(stage, reason) }
    }

    /// The caller asked for a stop, before the first attempt or after one that ended like this.
    pub(crate) fn stopped(last: Option<&str>) -> Failure {
        let reason = match last {
            None => "it was stopped before it was sent".to_owned(),
            Some(last) => format!("it was stopped before it was sent again; the last attempt ended with: {last}"),
        };
        Failure::new(Stage::Stopped, reason)
    }

    /// The same, with the server and the proxy named.
    pub(crate) fn on(mut self, route: &Route) -> Failure {
        self.reason = match self.stage {
            _ if self.timed_out => format!("{} from {route}", self.reason),
            Stage::Misconfigured | Stage::Stopped => self.reason,
            Stage::Connecting | Stage::Rejected => format!("no connection to {route}: {}", self.reason),
            Stage::Sending => format!("the connection to {route} ended while the request was sent: {}", self.reason),
            Stage::Receiving => format!("no response from {route}: {}", self.reason),
            Stage::Overlong => format!("the response from {route} {}", self.reason),
        };
        if self.stage == Stage::Connecting && route.proxy.is_some() {
            self.advice.get_or_insert("check the proxy");
        }
        self
    }

    /// The error for a request whose last attempt got no response. `advice` is for an unreachable server.
    pub(crate) fn into_error(self, advice: &str) -> Error {
        let (kind, general) = match self.stage {
            Stage::Misconfigured => (ErrorKind::Config, "check the URL and the credentials"),
            Stage::Rejected => (ErrorKind::Refused, "check the certificate and the proxy"),
            Stage::Overlong => (ErrorKind::Protocol, "check which server responds at this URL"),
            Stage::Stopped => (ErrorKind::Stopped, "run it again to go on"),
            _ if self.timed_out => (ErrorKind::Timeout, "wait longer, or try again"),
            _ => (ErrorKind::Unavailable, advice),
        };
        let error = Error::new(kind, self.reason).advise(self.advice.unwrap_or(general));
        match self.stage {
            Stage::Rejected | Stage::Misconfigured if !self.follows_doubt => error.and_advise("nothing was sent"),
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Origin;

    fn routes() -> [Route; 2] {
        let direct = Route::direct(&Origin::parse("https://h.example", "test URL").unwrap());
        [direct.clone(), Route { proxy: Some("p.example:3128".into()), ..direct }]
    }

    #[test]
    fn every_failure_names_the_server_and_the_proxy() {
        for (stage, said) in [
            (Stage::Connecting, "no connection to ROUTE: cut off; ADVICE"),
            (Stage::Rejected, "no connection to ROUTE: cut off; check the certificate and the proxy; nothing was sent"),
            (Stage::Sending, "the connection to ROUTE ended while the request was sent: cut off; check it"),
            (Stage::Receiving, "no response from ROUTE: cut off; check it"),
            (Stage::Overlong, "the response from ROUTE cut off; check which server responds at this URL"),
        ] {
            for (route, named, advice) in [
                (&routes()[0], "h.example:443", "check it"),
                (&routes()[1], "h.example:443 through the proxy p.example:3128", "check the proxy"),
            ] {
                let error = Failure::new(stage, "cut off").on(route).into_error("check it");
                assert_eq!(error.to_string(), said.replace("ROUTE", named).replace("ADVICE", advice));
            }
        }
        let stopped = Failure::stopped(None).on(&routes()[0]).into_error("check it");
        assert_eq!(stopped.to_string(), "it was stopped before it was sent; run it again to go on");
        assert_eq!((stopped.kind(), stopped.is_retryable()), (ErrorKind::Stopped, true));
        let late = Failure::out_of_time(Stage::Receiving).on(&routes()[1]).reason;
        assert!(late.ends_with("had arrived from h.example:443 through the proxy p.example:3128"), "{late}");
    }

    #[test]
    fn what_is_not_trusted_or_let_through_is_refused_and_its_own_cure_comes_first() {
        let error = Failure::new(Stage::Rejected, "no").advise("do this").on(&routes()[0]).into_error("check it");
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().ends_with("; do this; nothing was sent"), "{error}");
        assert!(!error.is_retryable());
    }
}
