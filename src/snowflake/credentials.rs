mod key_pair;
mod provided;
mod token_file;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::key_pair::{KeyPair, MAX_LIFETIME};
use self::provided::Provided;
use self::token_file::TokenFile;
use crate::auth::{ClientCredentials, Connect, PrivateKey, TokenKind, TokenSource};
use crate::clock::{Clock, ServerClock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::http::Origin;
use crate::secret::Secret;
use crate::snowflake::account::Account;

/// Who logs in, and by what: one constructor for each way; cheap to clone, and never printed.
///
/// Nothing is checked here that could fail: a token that is none, or a lifetime that is too long, is an error when the client
/// is built, before anything is sent.
///
/// ```
/// use snowpipe_streaming::Credentials;
///
/// let credentials = Credentials::programmatic_access_token("open sesame");
/// assert!(!format!("{credentials:?}").contains("sesame"));
/// ```
#[derive(Clone)]
pub struct Credentials {
    login: Login,
    jwt_lifetime: Option<Duration>,
    jwt_account: Option<String>,
    jwt_audience: Option<String>,
}

#[derive(Clone)]
enum Login {
    KeyPair { user: String, key: PrivateKey },
    Provided { bearer: Secret, kind: TokenKind },
    File { path: PathBuf, kind: TokenKind },
    Client(ClientCredentials),
}

impl Credentials {
    /// A user with a key pair: the client makes its JWTs itself, on this machine, and renews them.
    ///
    /// `user` is the `LOGIN_NAME`; the public key must be registered with it (`ALTER USER … SET RSA_PUBLIC_KEY`).
    ///
    /// ```no_run
    /// use snowpipe_streaming::{Credentials, PrivateKey};
    ///
    /// let credentials = Credentials::key_pair("LOADER", PrivateKey::from_file("rsa_key.p8")?);
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn key_pair(user: impl Into<String>, key: PrivateKey) -> Credentials {
        Credentials::of(Login::KeyPair { user: user.into(), key })
    }

    /// A key-pair JWT made elsewhere: good until its `exp`, an hour from its `iat` at most, and never renewed.
    ///
    /// ```
    /// use snowpipe_streaming::Credentials;
    ///
    /// # let jwt = String::new();
    /// let credentials = Credentials::jwt(jwt);
    /// ```
    pub fn jwt(token: impl Into<Secret>) -> Credentials {
        Credentials::of(Login::Provided { bearer: token.into(), kind: TokenKind::KeyPairJwt })
    }

    /// A programmatic access token: good until its owner's policy ends it, days or months.
    ///
    /// ```
    /// use snowpipe_streaming::Credentials;
    ///
    /// # let token = String::new();
    /// let credentials = Credentials::programmatic_access_token(token);
    /// ```
    pub fn programmatic_access_token(token: impl Into<Secret>) -> Credentials {
        Credentials::of(Login::Provided { bearer: token.into(), kind: TokenKind::ProgrammaticAccessToken })
    }

    /// An OAuth access token made elsewhere, of Snowflake OAuth or External OAuth: never renewed.
    ///
    /// ```
    /// use snowpipe_streaming::Credentials;
    ///
    /// # let token = String::new();
    /// let credentials = Credentials::oauth_token(token);
    /// ```
    pub fn oauth_token(token: impl Into<Secret>) -> Credentials {
        Credentials::of(Login::Provided { bearer: token.into(), kind: TokenKind::OAuth })
    }

    /// A file in which somebody else keeps a fresh key-pair JWT: read again before its end, and when it is refused.
    ///
    /// ```
    /// use snowpipe_streaming::Credentials;
    ///
    /// let credentials = Credentials::jwt_file("/run/secrets/jwt");
    /// ```
    pub fn jwt_file(path: impl Into<PathBuf>) -> Credentials {
        Credentials::of(Login::File { path: path.into(), kind: TokenKind::KeyPairJwt })
    }

    /// A file with a programmatic access token: read again every minute, so that the token can be rotated.
    ///
    /// ```
    /// use snowpipe_streaming::Credentials;
    ///
    /// let credentials = Credentials::programmatic_access_token_file("/run/secrets/pat");
    /// ```
    pub fn programmatic_access_token_file(path: impl Into<PathBuf>) -> Credentials {
        Credentials::of(Login::File { path: path.into(), kind: TokenKind::ProgrammaticAccessToken })
    }

    /// A file in which somebody else keeps a fresh OAuth access token, as in Snowpark Container Services
    /// (`/snowflake/session/token`) or beside an agent of a workload identity: read again every minute.
    ///
    /// ```
    /// use snowpipe_streaming::Credentials;
    ///
    /// let credentials = Credentials::oauth_token_file("/snowflake/session/token");
    /// ```
    pub fn oauth_token_file(path: impl Into<PathBuf>) -> Credentials {
        Credentials::of(Login::File { path: path.into(), kind: TokenKind::OAuth })
    }

    /// An OAuth client that logs in as itself, for an account that trusts its issuer (External OAuth): tokens are fetched
    /// and renewed as needed.
    ///
    /// ```
    /// use snowpipe_streaming::{ClientCredentials, Credentials};
    ///
    /// let client = ClientCredentials::of_issuer("https://auth.example.com", "loader", "open sesame");
    /// let credentials = Credentials::client_credentials(client);
    /// ```
    pub fn client_credentials(client: ClientCredentials) -> Credentials {
        Credentials::of(Login::Client(client))
    }

    /// How long a JWT made from the key pair is good for; an hour, if not said, which is also the most the service honours.
    ///
    /// ```
    /// # use snowpipe_streaming::Credentials;
    /// # fn shorter(credentials: Credentials) -> Credentials {
    /// credentials.jwt_lifetime(std::time::Duration::from_secs(600))
    /// # }
    /// ```
    #[must_use]
    pub fn jwt_lifetime(mut self, lifetime: Duration) -> Credentials {
        self.jwt_lifetime = Some(lifetime);
        self
    }

    /// The account as the JWT shall name it, for the rare one whose name does not follow from the account identifier.
    ///
    /// The rule: what precedes the first dot, in upper case; what precedes the first hyphen if a later part is `global`.
    ///
    /// ```
    /// # use snowpipe_streaming::Credentials;
    /// # fn renamed(credentials: Credentials) -> Credentials {
    /// credentials.jwt_account("MYORG-ACCOUNT123")
    /// # }
    /// ```
    #[must_use]
    pub fn jwt_account(mut self, account: impl Into<String>) -> Credentials {
        self.jwt_account = Some(account.into());
        self
    }

    /// The claim `aud` of the JWT; the service asks for none.
    ///
    /// ```
    /// # use snowpipe_streaming::Credentials;
    /// # fn authorized(credentials: Credentials) -> Credentials {
    /// credentials.jwt_audience("https://proxy.example")
    /// # }
    /// ```
    #[must_use]
    pub fn jwt_audience(mut self, audience: impl Into<String>) -> Credentials {
        self.jwt_audience = Some(audience.into());
        self
    }

    /// A key-pair JWT for the account, for requests that are not made through this library; nothing is sent.
    ///
    /// Its times are those of this machine's clock. A client mints its own, by the server's clock.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when these credentials are no key pair, or something about them is wrong.
    ///
    /// ```no_run
    /// use snowpipe_streaming::{Credentials, PrivateKey};
    ///
    /// let credentials = Credentials::key_pair("LOADER", PrivateKey::from_file("rsa_key.p8")?);
    /// let jwt = credentials.mint_jwt("myorg-account123")?;
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn mint_jwt(&self, account: &str) -> Result<Secret, Error> {
        let Login::KeyPair { user, key } = &self.login else {
            return Err(
                Error::new(ErrorKind::Config, format!("a {} makes no JWT", self.kind())).advise("give a key pair")
            );
        };
        let account = Account::parse(account)?;
        let origin = Origin::parse(&format!("https://{}", account.host()), "account URL")?;
        let source = self.key_pair_source(user, key, &account, origin, Arc::new(SystemClock), Arc::default())?;
        Ok(source.fetch()?.bearer)
    }

    fn of(login: Login) -> Credentials {
        Credentials { login, jwt_lifetime: None, jwt_account: None, jwt_audience: None }
    }
}

impl Credentials {
    /// The source of login tokens for the account behind the origin; all that can be wrong is found here.
    ///
    /// `connect` is used by those that ask a server other than the service.
    pub(crate) fn source(
        &self,
        account: &Account,
        origin: &Origin,
        clock: &Arc<dyn Clock>,
        server_clock: &Arc<ServerClock>,
        connect: &Connect<'_>,
    ) -> Result<Box<dyn TokenSource>, Error> {
        let (origin, clock, server_clock) = (origin.clone(), Arc::clone(clock), Arc::clone(server_clock));
        match &self.login {
            Login::KeyPair { user, key } => {
                Ok(Box::new(self.key_pair_source(user, key, account, origin, clock, server_clock)?))
            }
            Login::Provided { bearer, kind } => {
                self.refuse_jwt_settings()?;
                Ok(Box::new(Provided::new(bearer, *kind, origin, clock, server_clock)?))
            }
            Login::File { path, kind } => {
                self.refuse_jwt_settings()?;
                Ok(Box::new(TokenFile::new(path.clone(), *kind, origin, clock, server_clock)))
            }
            Login::Client(client) => {
                self.refuse_jwt_settings()?;
                Ok(Box::new(client.source(origin, clock, connect)?))
            }
        }
    }

    /// What the tokens of the source are.
    pub(crate) fn kind(&self) -> TokenKind {
        match &self.login {
            Login::KeyPair { .. } => TokenKind::KeyPairJwt,
            Login::Provided { kind, .. } | Login::File { kind, .. } => *kind,
            Login::Client(_) => TokenKind::OAuth,
        }
    }

    /// What the service is told, for the diagnosis of a refusal; nothing secret.
    pub(crate) fn describe(&self, account: &Account) -> String {
        match &self.login {
            Login::KeyPair { user, key } => {
                let account = self.claimed(account).unwrap_or_else(|_| account.clone());
                let (account, user) = (account.jwt_name(), user.trim().to_uppercase());
                format!("account {account}, user {user}, public key {}", key.fingerprint())
            }
            Login::Provided { kind, .. } => {
                format!("account {}, the {kind} given by the caller, which is never renewed", account.identifier())
            }
            Login::File { path, kind } => {
                format!("account {}, the {kind} in the file {}", account.identifier(), path.display())
            }
            Login::Client(client) => format!("account {}, {}", account.identifier(), client.describe()),
        }
    }

    /// What to try after a refusal.
    pub(crate) fn cure(&self) -> &'static str {
        match &self.login {
            Login::KeyPair { .. } => {
                "compare the user's key and login name with DESC USER, and the account with the account URL"
            }
            Login::Provided { kind: TokenKind::ProgrammaticAccessToken, .. }
            | Login::File { kind: TokenKind::ProgrammaticAccessToken, .. } => {
                "see SHOW USER PROGRAMMATIC ACCESS TOKENS for its end, and whether its user has the network policy it needs"
            }
            Login::Provided { .. } => "obtain a new one and build a new client with it",
            Login::File { .. } => "see to whoever renews the file",
            Login::Client(_) => "check that the account trusts the issuer, and which user its tokens stand for",
        }
    }

    fn key_pair_source(
        &self,
        user: &str,
        key: &PrivateKey,
        account: &Account,
        origin: Origin,
        clock: Arc<dyn Clock>,
        server_clock: Arc<ServerClock>,
    ) -> Result<KeyPair, Error> {
        let lifetime = self.jwt_lifetime.unwrap_or(MAX_LIFETIME);
        let account = self.claimed(account)?;
        let source = KeyPair::new(&account, user, key.clone(), lifetime, origin, clock, server_clock)?;
        Ok(source.audience(self.jwt_audience.clone()))
    }

    fn claimed(&self, account: &Account) -> Result<Account, Error> {
        match &self.jwt_account {
            Some(name) => account.clone().with_jwt_name(name),
            None => Ok(account.clone()),
        }
    }

    /// A setting that can have no effect is a misunderstanding.
    fn refuse_jwt_settings(&self) -> Result<(), Error> {
        let setting = match (&self.jwt_lifetime, &self.jwt_account, &self.jwt_audience) {
            (Some(_), _, _) => "jwt_lifetime",
            (_, Some(_), _) => "jwt_account",
            (_, _, Some(_)) => "jwt_audience",
            (None, None, None) => return Ok(()),
        };
        let happened = format!("{setting} was set, but these credentials make no JWT: they are a {}", self.kind());
        Err(Error::new(ErrorKind::Config, happened).advise("leave it out, or give a key pair"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Credentials");
        match &self.login {
            Login::KeyPair { user, key } => out.field("user", user).field("key", key),
            Login::Provided { kind, .. } => out.field("kind", kind),
            Login::File { path, kind } => out.field("kind", kind).field("path", path),
            Login::Client(client) => out.field("client", client),
        };
        out.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FakeClock;

    fn key() -> PrivateKey {
        PrivateKey::from_file(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/plain.p8")).unwrap()
    }

    fn account() -> Account {
        Account::parse("myorg-account1").unwrap()
    }

    fn source(credentials: &Credentials) -> Result<Box<dyn TokenSource>, Error> {
        let origin = Origin::parse("https://a.example", "test URL").unwrap();
        let clock: Arc<dyn Clock> = Arc::new(FakeClock::new());
        let connect = |_: &Origin| Err(Error::new(ErrorKind::Unavailable, "not in this test"));
        credentials.source(&account(), &origin, &clock, &Arc::default(), &connect)
    }

    #[test]
    fn each_way_to_log_in_yields_tokens_of_its_kind() {
        for (credentials, kind) in [
            (Credentials::key_pair("u", key()), TokenKind::KeyPairJwt),
            (Credentials::programmatic_access_token("t"), TokenKind::ProgrammaticAccessToken),
            (Credentials::oauth_token("t"), TokenKind::OAuth),
        ] {
            let grant = source(&credentials).unwrap().fetch().unwrap();
            assert_eq!((grant.kind, credentials.kind()), (kind, kind));
            assert_eq!(grant.origin.to_string(), "https://a.example");
        }
    }

    #[test]
    fn what_is_wrong_with_credentials_is_found_before_anything_is_sent() {
        for credentials in [
            Credentials::jwt("not a JWT"),
            Credentials::programmatic_access_token(""),
            Credentials::key_pair("", key()),
            Credentials::key_pair("u", key()).jwt_lifetime(Duration::from_secs(3601)),
            Credentials::key_pair("u", key()).jwt_account("a.b"),
            Credentials::oauth_token("t").jwt_lifetime(Duration::from_secs(60)),
            Credentials::oauth_token("t").jwt_account("A"),
            Credentials::oauth_token("t").jwt_audience("A"),
        ] {
            assert_eq!(source(&credentials).unwrap_err().kind(), ErrorKind::Config, "{credentials:?}");
        }
    }

    #[test]
    fn a_key_pair_mints_a_jwt_for_others_and_nothing_else_does() {
        let credentials = Credentials::key_pair("loader", key());
        let jwt = credentials.mint_jwt("myorg-account1").unwrap();
        assert_eq!(jwt.expose().split('.').count(), 3);
        assert!(credentials.mint_jwt("https://a").is_err());
        let error = Credentials::oauth_token("open-sesame").mint_jwt("a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }

    #[test]
    fn a_description_tells_who_is_claimed_and_nothing_secret() {
        let credentials = Credentials::key_pair("loader", key()).jwt_account("other");
        assert_eq!(
            credentials.describe(&account()),
            format!("account OTHER, user LOADER, public key {}", key().fingerprint())
        );
        let credentials = Credentials::programmatic_access_token("open-sesame");
        assert_eq!(
            credentials.describe(&account()),
            "account myorg-account1, the programmatic access token given by the caller, which is never renewed"
        );
        assert_eq!(format!("{credentials:?}"), "Credentials { kind: ProgrammaticAccessToken, .. }");
    }
}
