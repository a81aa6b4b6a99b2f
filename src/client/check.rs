use std::fmt;
use std::time::Duration;

use crate::clock::{ClockOffset, Deadline, ServerClock};
use crate::error::{Error, ErrorKind, one_line, visible};
use crate::http::Limits;
use crate::session::Session;
use crate::snowflake::api::{self, PipeName};
use crate::snowflake::exchange::TokenExchange;

/// How far a login got: the result of [`Client::check`](crate::Client::check).
///
/// Its `Display` is for a person: a line for each step, with what was found, and what to do if the step failed. It contains
/// nothing secret.
///
/// ```no_run
/// use snowpipe_streaming::{CheckOutcome, CheckStep, ClientBuilder, Profile};
///
/// let client = ClientBuilder::from_profile(&Profile::from_environment()?)?.build()?;
/// let report = client.check();
/// print!("{report}");
/// if let CheckOutcome::Failed(error) = report.outcome(CheckStep::IngestHost) {
///     eprintln!("the account refused the login: {:?}", error.code());
/// }
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CheckReport {
    outcomes: [CheckOutcome; CheckStep::ALL.len()],
}

/// The steps of a login, in order.
///
/// ```
/// use snowpipe_streaming::CheckStep;
///
/// assert_eq!(CheckStep::ALL[0].to_string(), "login token");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckStep {
    /// There is a login token: minted with the key, read, or issued by an authorization server. Reports whom it claims to be.
    LoginToken,
    /// The service responds at the account URL, over a trusted TLS connection.
    AccountHost,
    /// The clocks agree well enough. A difference that the client corrects for is reported, but passes.
    Clock,
    /// The account accepts the login and names the ingest host, which lies within the service's domain.
    IngestHost,
    /// The login is exchanged for a scoped token.
    Exchange,
    /// The ingest host accepts the scoped token, with the role if one is set.
    Scope,
}

/// The result of a step.
///
/// ```
/// use snowpipe_streaming::CheckOutcome;
///
/// fn needs_help(outcome: &CheckOutcome) -> bool {
///     matches!(outcome, CheckOutcome::Failed(_))
/// }
/// assert!(!needs_help(&CheckOutcome::NotReached));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CheckOutcome {
    /// It succeeded; the text says what was found.
    Passed(String),
    /// It failed; the error says what was found and what to do.
    Failed(Error),
    /// An earlier step failed.
    NotReached,
}

impl CheckReport {
    /// How long all steps together may take, whatever the account's host, the ingest host and an authorization server do. A
    /// person is waiting for the report.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// The client could not be built.
    pub(super) fn not_started(error: Error) -> CheckReport {
        let mut report = CheckReport::of_no_step();
        report.failed(CheckStep::LoginToken, error);
        report
    }

    fn of_no_step() -> CheckReport {
        CheckReport { outcomes: [const { CheckOutcome::NotReached }; CheckStep::ALL.len()] }
    }

    /// Whether every step passed.
    pub fn is_ok(&self) -> bool {
        self.outcomes.iter().all(|outcome| matches!(outcome, CheckOutcome::Passed(_)))
    }

    /// The result of one step.
    pub fn outcome(&self, step: CheckStep) -> &CheckOutcome {
        &self.outcomes[step as usize]
    }

    fn passed(&mut self, step: CheckStep, found: impl Into<String>) {
        self.outcomes[step as usize] = CheckOutcome::Passed(found.into());
    }

    fn failed(&mut self, step: CheckStep, error: Error) {
        self.outcomes[step as usize] = CheckOutcome::Failed(error);
    }
}

impl CheckStep {
    /// All steps, in order.
    pub const ALL: [CheckStep; 6] = [
        CheckStep::LoginToken,
        CheckStep::AccountHost,
        CheckStep::Clock,
        CheckStep::IngestHost,
        CheckStep::Exchange,
        CheckStep::Scope,
    ];
}

/// In two columns.
impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in CheckStep::ALL {
            writeln!(f, "{:<13}{}", step.to_string(), self.outcome(step))?;
        }
        Ok(())
    }
}

impl fmt::Display for CheckStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CheckStep::LoginToken => "login token",
            CheckStep::AccountHost => "account host",
            CheckStep::Clock => "clock",
            CheckStep::IngestHost => "ingest host",
            CheckStep::Exchange => "exchange",
            CheckStep::Scope => "scope",
        })
    }
}

impl fmt::Display for CheckOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckOutcome::Passed(found) => write!(f, "passed: {}", one_line(found)),
            CheckOutcome::Failed(error) => write!(f, "FAILED: {error}"),
            CheckOutcome::NotReached => f.write_str("not reached"),
        }
    }
}

/// Makes the same calls as real requests. The sessions have no token yet.
pub(super) fn run(control: &Session, ingest: &Session, exchange: &TokenExchange, clock: &ServerClock) -> CheckReport {
    let mut report = CheckReport::of_no_step();
    let deadline = exchange.context.clock.now().deadline(CheckReport::TIMEOUT);
    let login = match control.tokens().get(Limits::until(deadline)) {
        Ok(token) => token,
        Err(error) => {
            report.failed(CheckStep::LoginToken, error);
            return report;
        }
    };
    report.passed(CheckStep::LoginToken, format!("{}: {}", exchange.login, control.identity()));
    let host = exchange.ingest_host(Limits::until(deadline));
    if let Err(error) = &host
        && !is_from_service(error)
    {
        report.failed(CheckStep::AccountHost, error.clone());
        return report;
    }
    report.passed(CheckStep::AccountHost, login.grant.origin.to_string());
    let now = exchange.context.clock.now();
    report.outcomes[CheckStep::Clock as usize] = judge_clock(clock.offset(now), host.as_ref().err());
    match host {
        Ok(host) => report.passed(CheckStep::IngestHost, host.host()),
        Err(error) => {
            report.failed(CheckStep::IngestHost, error);
            return report;
        }
    }
    run_with_scoped_token(report, ingest, exchange, deadline)
}

fn run_with_scoped_token(
    mut report: CheckReport,
    ingest: &Session,
    exchange: &TokenExchange,
    deadline: Deadline,
) -> CheckReport {
    if let Err(error) = ingest.tokens().get(Limits::until(deadline)) {
        report.failed(CheckStep::Exchange, error);
        return report;
    }
    report.passed(CheckStep::Exchange, "the login was exchanged for a scoped token");
    let role = match &exchange.role {
        Some(role) => format!("role {}", visible(role)),
        None => "the user's default role".to_owned(),
    };
    match try_token(ingest, deadline.left(exchange.context.clock.now())) {
        Ok(()) => report.passed(CheckStep::Scope, format!("the ingest host accepts the token, for {role}")),
        Err(error) => report.failed(CheckStep::Scope, error),
    }
    report
}

/// Whether an error shows that the service itself was reached. Another server responds with redirects or unknown paths.
fn is_from_service(error: &Error) -> bool {
    match error.status() {
        Some(300..=399 | 404 | 501 | 505 | 513) => false,
        // A success that names no host.
        Some(200..=299) => error.kind() != ErrorKind::Refused,
        // Before the service there may be a proxy, and at a wrong URL another server: these send no code.
        Some(403) => error.code().is_some(),
        Some(_) => true,
        // A response that was not understood is a response, and a login that cannot be renewed was refused by one.
        None => matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Credentials | ErrorKind::Clock),
    }
}

/// A difference is a failure only if it may be why the login was refused: a token minted elsewhere, by another clock.
fn judge_clock(offset: ClockOffset, refusal: Option<&Error>) -> CheckOutcome {
    let (difference, direction) = match offset {
        ClockOffset::NotDetected => (Duration::ZERO, ""),
        ClockOffset::ServerAhead(difference) => (difference, "ahead of"),
        ClockOffset::ServerBehind(difference) => (difference, "behind"),
    };
    let found = match difference {
        Duration::ZERO => "no difference from the server's clock was noticed".to_owned(),
        _ => format!("the server's clock is {} s {direction} this machine's", difference.as_secs()),
    };
    let kind = refusal.map(Error::kind);
    let is_failure = kind == Some(ErrorKind::Clock) || kind == Some(ErrorKind::Credentials) && difference > TOLERANCE;
    if is_failure {
        return CheckOutcome::Failed(Error::new(ErrorKind::Clock, found).advise("set this machine's clock by NTP"));
    }
    match difference {
        Duration::ZERO => CheckOutcome::Passed(found),
        _ => CheckOutcome::Passed(format!("{found}; login tokens are minted by the server's, so it does no harm here")),
    }
}

/// Asks for the status of a channel that need not exist: the service checks the token first.
fn try_token(ingest: &Session, timeout: Duration) -> Result<(), Error> {
    let pipe = PipeName {
        database: "SNOWPIPE_STREAMING_CHECK".into(),
        schema: "PUBLIC".into(),
        pipe: "CHECK-STREAMING".into(),
        table: None,
    };
    match api::channel_statuses(ingest, &pipe, &["check"], Some(timeout)) {
        Err(error) if is_about_the_name(&error) => Ok(()),
        result => result.map(drop),
    }
}

/// Only the service sends a code; a proxy that does not know the path sends none.
fn is_about_the_name(error: &Error) -> bool {
    error.code().is_some() && matches!(error.kind(), ErrorKind::Refused | ErrorKind::Channel)
}

/// No login is known to fail because of less.
const TOLERANCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::{ClientCredentials, TokenCache};
    use crate::clock::{Clock, FakeClock};
    use crate::http::{Origin, Script};
    use crate::session::Principal;
    use crate::snowflake::account::Account;
    use crate::snowflake::credentials::{Credentials, LoginContext};
    use crate::snowflake::dialect::SnowflakeDialect;

    /// Checks the login of an OAuth client, with all requests of the script, and says how long it took.
    fn check(script: &Script) -> (CheckReport, Duration) {
        let clock = Arc::new(FakeClock::new());
        let began = clock.now();
        let origin = Origin::parse("https://a.snowflakecomputing.com", "account URL").unwrap();
        let context = LoginContext { origin, clock: clock.clone(), server_clock: Arc::default() };
        let (script, its_clock) = (script.clone(), clock.clone());
        let sender = move || script.sender(&its_clock, Duration::from_secs(120));
        let client = ClientCredentials::of_issuer("https://auth.example", "loader", "open sesame");
        let credentials = Credentials::client_credentials(client);
        let (account, login) = (Account::parse("myorg-account1").unwrap(), credentials.kind());
        let other = sender.clone();
        let source = credentials.source(&account, context.clone(), Arc::new(move |_| Ok(other()))).unwrap();
        let session = |cache, dialect| {
            let principal = Principal { identity: "client loader".into(), advice: "check its roles" };
            Session::new(cache, Arc::new(sender()), Arc::default(), Box::new(dialect), principal)
        };
        let logins = TokenCache::new(source, clock.clone());
        let control = Arc::new(session(logins, SnowflakeDialect::Control(login)));
        let exchange = Arc::new(TokenExchange { control: control.clone(), context, role: None, login });
        let scoped = TokenCache::new(Box::new(exchange.clone()), clock.clone());
        let ingest = session(scoped, SnowflakeDialect::Ingest);
        let report = run(&control, &ingest, &exchange, &ServerClock::default());
        (report, clock.now().since(began))
    }

    /// The responses of a login, in order, and the step that fails when one does not come.
    const LOGIN: [(CheckStep, &str); 6] = [
        (CheckStep::LoginToken, r#"{"issuer":"https://auth.example","token_endpoint":"https://auth.example/token"}"#),
        (CheckStep::LoginToken, r#"{"access_token":"a","token_type":"Bearer","expires_in":3600}"#),
        (CheckStep::AccountHost, "x.snowflakecomputing.com"),
        (CheckStep::Exchange, "x.snowflakecomputing.com"),
        (CheckStep::Exchange, "scoped-token"),
        (CheckStep::Scope, r#"{"channel_statuses":{}}"#),
    ];

    #[test]
    fn all_steps_together_take_no_longer_than_promised_whichever_response_does_not_come() {
        for (missing, (step, _)) in LOGIN.iter().enumerate() {
            let script = Script::default();
            for (_, body) in &LOGIN[..missing] {
                script.respond(200, body);
            }
            let (report, took) = check(script.hang());
            assert_eq!(took, CheckReport::TIMEOUT, "{report}");
            let CheckOutcome::Failed(error) = report.outcome(*step) else { panic!("{step}: {report}") };
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        }
    }

    #[test]
    fn a_check_of_services_that_fail_all_the_while_takes_no_longer_than_promised() {
        for failing in 0..LOGIN.len() {
            let script = Script::default();
            for (_, body) in &LOGIN[..failing] {
                script.respond(503, "").respond(200, body);
            }
            for _ in 0..1000 {
                script.respond(503, "");
            }
            let (report, took) = check(&script);
            assert!(took <= CheckReport::TIMEOUT && !report.is_ok(), "{took:?}: {report}");
        }
    }
}
