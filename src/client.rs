mod builder;
mod check;
pub(crate) mod environment;
mod profile;
pub(crate) mod proxy;

use std::fmt;
use std::sync::Arc;

pub use self::builder::ClientBuilder;
pub use self::check::{CheckOutcome, CheckReport, CheckStep};
pub use self::profile::Profile;
use crate::clock::{Clock, ClockOffset, ServerClock};
use crate::error::Error;
use crate::pipe::Pipe;
use crate::secret::Secret;
use crate::session::{Counters, Session};
use crate::snowflake::api::PipeName;
use crate::snowflake::credentials::Credentials;
use crate::snowflake::exchange::TokenExchange;
use crate::snowflake::target::Target;

/// A client for one Snowflake account: holds its tokens and connections.
///
/// # Threads, clones and processes
///
/// Clones are cheap and share everything; any number of threads may use one. The client starts no thread and has no global
/// state: it does nothing between calls. Make clients after `fork`, not before: a client that is used on both sides makes
/// new connections in the child, but a lock that another thread held at the time of the fork stays locked there.
///
/// # Tokens
///
/// The login token is minted, read or fetched, as the [`Credentials`] say, and exchanged for a scoped token that is bound to
/// the account's ingest host. Both are kept until shortly before they expire, by the server's clock, and renewed by the call
/// that needs them. If the service refuses a token earlier, it is renewed and the request is sent once more.
///
/// # Rotation
///
/// A key or a token that is named by the path of its file ([`PrivateKey::from_file`](crate::PrivateKey::from_file),
/// [`Credentials::jwt_file`] and so on) is replaced without a restart: when the service refuses what was read, the file is read
/// again, and the call goes on with the new content. Replace the file in one step: write another in the same folder and rename
/// it. Register the new key with the user first (`RSA_PUBLIC_KEY_2`), then replace the file, then remove the old key. A new key
/// is encrypted with the same passphrase, or not at all.
///
/// # Blocking
///
/// Every call that needs the service waits for it. While the service is busy or unreachable, a request is sent again, with
/// growing pauses, until the retry budget ends: two minutes by default ([`ClientBuilder::retry_budget`]), in which logging in
/// and renewing a token count too. By default a connection may take ten seconds ([`ClientBuilder::connect_timeout`]), and a
/// response may take one minute to begin ([`ClientBuilder::response_timeout`]) and as long again to arrive. A request in
/// progress when the budget ends is finished
/// first. Looking up a host name takes as long as the system's resolver takes.
///
/// A call with a timeout of its own, such as [`Channel::wait_for_commit`](crate::Channel::wait_for_commit), ends within about
/// a second of it: requests in progress are cut off, and so is the renewal of a token. All of this is measured by the
/// monotonic clock, so setting the time of the machine ends no wait.
///
/// # Errors
///
/// Every request may end in
/// [`Credentials`](crate::ErrorKind::Credentials) (the service refused key, user, token or role),
/// [`Clock`](crate::ErrorKind::Clock) (the clocks are too far apart),
/// [`Refused`](crate::ErrorKind::Refused) (the request is wrong, or names something that does not exist for this role; the
/// server's certificate is not accepted, a proxy refuses, or an OAuth issuer calls itself by another name),
/// [`Throttled`](crate::ErrorKind::Throttled) and [`Unavailable`](crate::ErrorKind::Unavailable) (the budget ended),
/// [`Timeout`](crate::ErrorKind::Timeout) (a call with a timeout of its own had no more time),
/// [`Stopped`](crate::ErrorKind::Stopped) (a handle of the [pipe](crate::Pipe::stopped_by) was used),
/// [`Config`](crate::ErrorKind::Config) (a setting shows to be wrong when it is used: the file of a token cannot be read any
/// more) or
/// [`Protocol`](crate::ErrorKind::Protocol) (the response was not understood, or names a host outside the service's domain).
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
    /// The configuration it was built from.
    builder: Arc<ClientBuilder>,
    control: Arc<Session>,
    ingest: Arc<Session>,
    exchange: Arc<TokenExchange>,
    clock: Arc<dyn Clock>,
    server_clock: Arc<ServerClock>,
}

impl Client {
    /// Starts to configure a client for an account, such as `myorg-account123`, and the credentials to log in with.
    ///
    /// [`ClientBuilder::from_profile`] takes both from a profile.
    pub fn builder(account: impl Into<String>, credentials: Credentials) -> ClientBuilder {
        ClientBuilder::new(account.into(), credentials)
    }

    /// The default pipe of a table, which the service creates when it is first used.
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

    /// The default pipe of a table whose full name was parsed.
    ///
    /// ```no_run
    /// # fn example(client: &snowpipe_streaming::Client) -> Result<(), snowpipe_streaming::Error> {
    /// let pipe = client.table_of(&"DB.PUBLIC.EVENTS".parse()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn table_of(&self, target: &Target) -> Pipe {
        self.table(target.database(), target.schema(), target.table())
    }

    /// A named pipe, created beforehand with `CREATE PIPE`.
    pub fn pipe(&self, database: impl Into<String>, schema: impl Into<String>, pipe: impl Into<String>) -> Pipe {
        let name = PipeName { database: database.into(), schema: schema.into(), pipe: pipe.into(), table: None };
        Pipe::new(self.ingest.clone(), self.clock.clone(), name)
    }

    /// The current scoped token, for requests that are not made through this library; fetched if there is none.
    ///
    /// # Blocking
    ///
    /// Not at all while there is a valid token; otherwise for the exchange, as [above](Client#blocking).
    ///
    /// # Errors
    ///
    /// Those of [every request](Client#errors).
    pub fn token(&self) -> Result<Secret, Error> {
        self.ingest.bearer()
    }

    /// Discards both tokens and fetches new ones, whatever their age. Always reaches the network: two calls in a row make
    /// two exchanges. Rarely needed, because tokens are renewed when they are used.
    ///
    /// # Blocking
    ///
    /// For the exchange, as [above](Client#blocking).
    ///
    /// # Errors
    ///
    /// Those of [every request](Client#errors).
    pub fn refresh(&self) -> Result<(), Error> {
        let limits = self.ingest.limits();
        self.control.tokens().refresh(limits.clone())?;
        self.ingest.tokens().refresh(limits)?;
        Ok(())
    }

    /// How far the server's clock is from this machine's, by its latest response. Login tokens are minted by the server's
    /// clock, so a difference does no harm here; it may elsewhere.
    pub fn clock_offset(&self) -> ClockOffset {
        self.server_clock.offset(self.clock.now())
    }

    /// Logs in step by step and reports how far it got, for a person who needs to know why a login fails.
    ///
    /// Each step is a call that other requests make too, with a login of its own that is dropped afterwards: it neither uses
    /// nor disturbs the current tokens and connections. The last step asks the ingest host for a channel that need not
    /// exist, which shows that it accepts the scoped token. Whether the role may write to a table is shown only by opening a
    /// channel of that table.
    ///
    /// # Blocking
    ///
    /// At most [`TIMEOUT`](CheckReport::TIMEOUT) for all steps together, whatever the service does; only the look-up of a
    /// host name is up to the system's resolver. The first step that fails is the last.
    ///
    /// ```no_run
    /// # fn example(client: &snowpipe_streaming::Client) {
    /// let report = client.check();
    /// print!("{report}");
    /// assert!(report.is_ok());
    /// # }
    /// ```
    pub fn check(&self) -> CheckReport {
        match ClientBuilder::clone(&self.builder).build() {
            Ok(login) => check::run(&login.control, &login.ingest, &login.exchange, &login.server_clock),
            Err(error) => CheckReport::not_started(error),
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

/// `<TABLE>-STREAMING`, inside the quotes if the name is quoted.
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
