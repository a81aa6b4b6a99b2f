mod builder;
mod check;
mod environment;
mod profile;
mod proxy;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use self::builder::ClientBuilder;
pub use self::check::{CheckOutcome, CheckReport, CheckStep};
pub use self::profile::Profile;
use crate::clock::{Clock, ClockOffset, ServerClock};
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::secret::Secret;
use crate::session::{Counters, Session};
use crate::snowflake::api::PipeName;
use crate::snowflake::credentials::Credentials;
use crate::snowflake::exchange::TokenExchange;

/// The way to one account: holds its tokens and connections.
///
/// # Threads, clones and processes
///
/// Clones are cheap and share everything; any number of threads may use one. No thread is started and nothing is global:
/// a client that is not called does nothing. Make clients after `fork`, not before: one that is used on both sides makes new
/// connections in the child, but a lock that another thread held at that moment stays locked there.
///
/// # Tokens
///
/// The login token is made or taken from the [`Credentials`], and exchanged for a scoped token that is bound to the
/// account's ingest host. Both are kept until near their end, with the server's clock in mind, and renewed by whichever
/// call needs them; when the service refuses a token early, it is renewed and that request sent once more.
///
/// # Blocking
///
/// Every call that needs the service waits for it. A request that meets a busy or unreachable service is repeated, with
/// growing pauses, until the retry budget ends: two minutes by default, [`ClientBuilder::retry_budget`] changes that. One
/// connection may take ten seconds and one response a minute to begin ([`ClientBuilder::connect_timeout`],
/// [`ClientBuilder::response_timeout`]); a request under way when the budget ends is seen to its end. Looking up a host
/// name takes as long as the system's resolver does.
///
/// # Errors
///
/// Every request may end in
/// [`Credentials`](crate::ErrorKind::Credentials) (the service refused key, user, token or role),
/// [`Clock`](crate::ErrorKind::Clock) (the clocks are too far apart),
/// [`Rejected`](crate::ErrorKind::Rejected) (the request is wrong, or names something that does not exist for this role),
/// [`Throttled`](crate::ErrorKind::Throttled) and [`Unavailable`](crate::ErrorKind::Unavailable) (the budget ended),
/// [`Config`](crate::ErrorKind::Config) (the server's certificate is not trusted) or
/// [`Protocol`](crate::ErrorKind::Protocol) (the response makes no sense, or points outside the service's domain).
///
/// ```no_run
/// use snowpipe_streaming::{Client, Credentials, PrivateKey};
///
/// let key = PrivateKey::from_file("rsa_key.p8")?;
/// let client = Client::builder("myorg-account123", Credentials::key_pair("LOADER", key)).role("INGEST").build()?;
/// let pipe = client.table("DB", "PUBLIC", "EVENTS");
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    /// As it was told to be.
    builder: Arc<ClientBuilder>,
    control: Arc<Session>,
    ingest: Arc<Session>,
    exchange: Arc<TokenExchange>,
    clock: Arc<dyn Clock>,
    server_clock: Arc<ServerClock>,
}

impl Client {
    /// Begins a client for an account, as in `myorg-account123`, and the credentials to log in with.
    pub fn builder(account: impl Into<String>, credentials: Credentials) -> ClientBuilder {
        ClientBuilder::new(account.into(), credentials)
    }

    /// Begins a client with the account, credentials, URL, role and trust roots of a profile.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when the profile's file of trust roots cannot be read.
    pub fn with_profile(profile: &Profile) -> Result<ClientBuilder, Error> {
        let mut builder = Client::builder(profile.account(), profile.credentials().clone());
        if let Some(url) = profile.url() {
            builder = builder.url(url);
        }
        if let Some(role) = profile.role() {
            builder = builder.role(role);
        }
        if let Some(path) = profile.ca_file() {
            builder = builder.extra_roots(read_roots(path)?);
        }
        Ok(builder)
    }

    /// The default pipe of a table, which the service makes when it is first used.
    ///
    /// Names are as in SQL: without quotes their case does not matter, with double quotes it does.
    pub fn table(&self, database: impl Into<String>, schema: impl Into<String>, table: impl Into<String>) -> Pipe {
        let table = table.into();
        let name = PipeName {
            database: database.into(),
            schema: schema.into(),
            pipe: default_pipe(&table),
            table: Some(table),
        };
        Pipe::new(self.ingest.clone(), self.clock.clone(), name)
    }

    /// A pipe of its own name, made beforehand with `CREATE PIPE`.
    pub fn pipe(&self, database: impl Into<String>, schema: impl Into<String>, pipe: impl Into<String>) -> Pipe {
        let name = PipeName { database: database.into(), schema: schema.into(), pipe: pipe.into(), table: None };
        Pipe::new(self.ingest.clone(), self.clock.clone(), name)
    }

    /// The scoped token now in use, fetched if there is none: for a caller that makes requests of its own.
    ///
    /// # Blocking
    ///
    /// Not at all while a usable token is kept; otherwise for the exchange, as [above](Client#blocking).
    ///
    /// # Errors
    ///
    /// Those of [every request](Client#errors).
    pub fn token(&self) -> Result<Secret, Error> {
        self.ingest.tokens().bearer()
    }

    /// Discards both tokens and fetches new ones, whatever their age: always reaches the network, and two calls in a row
    /// make two exchanges. Rarely needed, since tokens are renewed as they are used.
    ///
    /// # Blocking
    ///
    /// For the exchange, as [above](Client#blocking).
    ///
    /// # Errors
    ///
    /// Those of [every request](Client#errors).
    pub fn refresh(&self) -> Result<(), Error> {
        self.control.tokens().refresh()?;
        self.ingest.tokens().refresh()?;
        Ok(())
    }

    /// How far the server's clock is from this machine's, as its latest response told. Login tokens are made by the server's
    /// clock, so a difference does no harm here; it may elsewhere.
    pub fn clock_offset(&self) -> ClockOffset {
        self.server_clock.offset()
    }

    /// Logs in step by step and tells how far it got, for a person who has to find out why a login fails.
    ///
    /// It goes the way of every other call with a login of its own, which is given up afterwards: tokens and connections in
    /// use are neither looked at nor disturbed. The last step asks the ingest host for a channel that need not exist, which
    /// shows that the scoped token is taken there; whether the role may write to a table is shown only by opening a channel
    /// of it.
    ///
    /// # Blocking
    ///
    /// As [above](Client#blocking), but no request is repeated and no connection or response is waited for longer than
    /// [`TIMEOUT`](CheckReport::TIMEOUT), or than this client would if that is less. The first step that fails is the last.
    ///
    /// ```no_run
    /// # fn example(client: &snowpipe_streaming::Client) {
    /// let report = client.check();
    /// print!("{report}");
    /// assert!(report.is_ok());
    /// # }
    /// ```
    pub fn check(&self) -> CheckReport {
        match ClientBuilder::clone(&self.builder).capped_at(CheckReport::TIMEOUT).build() {
            Ok(login) => check::walk(&login.control, &login.ingest, &login.exchange, &login.server_clock),
            Err(error) => CheckReport::not_begun(error),
        }
    }

    /// What this client and its clones have done so far.
    pub fn counters(&self) -> Counters {
        self.ingest.counters().snapshot()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

fn read_roots(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| {
        let happened = format!("cannot read the trust roots {}: {error}", path.display());
        Error::new(ErrorKind::Config, happened).advise("correct ca_file in the profile").with_source(error)
    })
}

/// `<TABLE>-STREAMING`, inside the quotes of a quoted name.
fn default_pipe(table: &str) -> String {
    match table.strip_suffix('"') {
        Some(open) if open.starts_with('"') => format!("{open}-STREAMING\""),
        _ => format!("{table}-STREAMING"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_pipe_is_quoted_as_its_table_is() {
        assert_eq!(default_pipe("flights"), "flights-STREAMING");
        assert_eq!(default_pipe("\"My Flights\""), "\"My Flights-STREAMING\"");
        assert_eq!(default_pipe("\""), "\"-STREAMING");
    }

    #[test]
    fn a_client_is_shared_between_threads() {
        fn shared<T: Send + Sync + Clone>() {}
        shared::<Client>();
        shared::<Pipe>();
    }
}
