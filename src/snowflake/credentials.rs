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
use crate::auth::{ClientCredentials, Connect, PrivateKey, TokenEndpoint, TokenSource};
use crate::clock::{Clock, ServerClock, SystemClock};
use crate::error::{Error, ErrorKind, is_secret_for_path, shown_path, visible};
use crate::http::Origin;
use crate::secret::Secret;
use crate::session::Principal;
use crate::snowflake::account::{Account, account_origin};
use crate::snowflake::token_kind::TokenKind;

/// Who logs in, and how: one constructor for each way. Cheap to clone; secrets are never printed.
///
/// The constructors check nothing: an invalid token, or a lifetime that is too long, is an error when the client is built,
/// before anything is sent.
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
    jwt: JwtSettings,
}

#[derive(Clone)]
enum Login {
    KeyPair { user: String, key: PrivateKey },
    Provided { bearer: Secret, kind: TokenKind },
    File { path: PathBuf, kind: TokenKind },
    Client(ClientCredentials),
}

/// For the JWTs of a key pair; other credentials refuse them.
#[derive(Clone, Default)]
struct JwtSettings {
    lifetime: Option<Duration>,
    account: Option<String>,
    audience: Option<String>,
}

/// What every source of the account's tokens needs: its host, and the clocks for the lifetimes of tokens.
#[derive(Clone, Debug)]
pub(crate) struct LoginContext {
    /// The only place that login tokens are sent to.
    pub(crate) origin: Origin,
    pub(crate) clock: Arc<dyn Clock>,
    /// Of the account's host.
    pub(crate) server_clock: Arc<ServerClock>,
}

impl Credentials {
    /// A user with a key pair: the client mints its JWTs on this machine, and renews them.
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

    /// A key-pair JWT minted elsewhere: valid until its `exp`, at most an hour after its `iat`, and never renewed.
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

    /// A programmatic access token: valid for days or months, until the policy of its owner ends it.
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

    /// An OAuth access token of Snowflake OAuth or External OAuth, obtained elsewhere: never renewed.
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

    /// A file in which another process keeps a fresh key-pair JWT: read again every minute, and when the JWT is refused.
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

    /// A file in which another process keeps a fresh OAuth access token, as in Snowpark Container Services
    /// (`/snowflake/session/token`) or with the agent of a workload identity: read again every minute.
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

    /// How long a JWT minted from the key pair is valid. Default and maximum: an hour.
    ///
    /// ```
    /// # use snowpipe_streaming::Credentials;
    /// # fn shorter(credentials: Credentials) -> Credentials {
    /// credentials.jwt_lifetime(std::time::Duration::from_secs(600))
    /// # }
    /// ```
    #[must_use]
    pub fn jwt_lifetime(mut self, lifetime: Duration) -> Credentials {
        self.jwt.lifetime = Some(lifetime);
        self
    }

    /// The account name in the JWT, for the rare account whose name does not follow from its identifier.
    ///
    /// The rule: the part before the first dot, in upper case; if a later part is `global`, the part before the first
    /// hyphen.
    ///
    /// ```
    /// # use snowpipe_streaming::Credentials;
    /// # fn renamed(credentials: Credentials) -> Credentials {
    /// credentials.jwt_account("MYORG-ACCOUNT123")
    /// # }
    /// ```
    #[must_use]
    pub fn jwt_account(mut self, account: impl Into<String>) -> Credentials {
        self.jwt.account = Some(account.into());
        self
    }

    /// The claim `aud` of the JWT. The service does not need one; a proxy before it may.
    ///
    /// ```
    /// # use snowpipe_streaming::Credentials;
    /// # fn for_audience(credentials: Credentials) -> Credentials {
    /// credentials.jwt_audience("https://proxy.example")
    /// # }
    /// ```
    #[must_use]
    pub fn jwt_audience(mut self, audience: impl Into<String>) -> Credentials {
        self.jwt.audience = Some(audience.into());
        self
    }

    /// Mints a key-pair JWT for the account, for requests that are not made through this library. Sends nothing.
    ///
    /// Its times come from this machine's clock. A client mints its own, by the server's clock.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when these credentials are not a key pair, or something about them is wrong.
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
            let reason = format!("no JWT can be minted with a credential of the kind {}", self.kind());
            return Err(Error::new(ErrorKind::Config, reason).advise("use Credentials::key_pair"));
        };
        let account = Account::parse(account)?;
        let origin = account_origin(&account.url()?)?;
        let context = LoginContext { origin, clock: Arc::new(SystemClock), server_clock: Arc::default() };
        Ok(self.key_pair_source(user, key, &account, context)?.mint_now()?.bearer)
    }

    fn of(login: Login) -> Credentials {
        Credentials { login, jwt: JwtSettings::default() }
    }
}

impl Credentials {
    /// The source of login tokens for the account. Finds everything that is wrong with the credentials.
    ///
    /// `connect` is for sources that fetch their tokens from another server.
    pub(crate) fn source(
        &self,
        account: &Account,
        context: LoginContext,
        connect: Arc<Connect>,
    ) -> Result<Box<dyn TokenSource>, Error> {
        if !matches!(self.login, Login::KeyPair { .. }) {
            self.refuse_jwt_settings()?;
        }
        Ok(match &self.login {
            Login::KeyPair { user, key } => Box::new(self.key_pair_source(user, key, account, context)?),
            Login::Provided { bearer, kind } => Box::new(Provided::new(bearer, *kind, context)?),
            Login::File { path, kind } => {
                self.check_file()?;
                // A change of the working directory must not matter.
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                Box::new(TokenFile::new(path, *kind, context))
            }
            Login::Client(client) => {
                Box::new(TokenEndpoint::new(client.clone(), context.origin, context.clock, connect)?)
            }
        })
    }

    /// Finds what is wrong with the file of a token. Whether the token has expired is judged when it is needed.
    pub(crate) fn check_file(&self) -> Result<(), Error> {
        let Login::File { path, kind } = &self.login else { return Ok(()) };
        if is_secret_for_path(path) && !path.exists() {
            let reason = "the path of the token file is not that of a file, and not shown, as it looks like a secret";
            return Err(Error::new(ErrorKind::Config, reason)
                .advise("give the path of the file; a token itself goes to the constructor without _file"));
        }
        TokenFile::check(path, *kind)
    }

    /// The kind of the tokens of the source.
    pub(crate) fn kind(&self) -> TokenKind {
        match &self.login {
            Login::KeyPair { .. } => TokenKind::KeyPairJwt,
            Login::Provided { kind, .. } | Login::File { kind, .. } => *kind,
            Login::Client(_) => TokenKind::OAuth,
        }
    }

    /// Whom the tokens claim to be, for the diagnosis of a refusal.
    pub(crate) fn principal(&self, account: &Account) -> Principal {
        Principal { identity: self.identity(account), advice: self.advice() }
    }

    fn identity(&self, account: &Account) -> String {
        match &self.login {
            Login::KeyPair { user, key } => {
                let account = self.claimed(account).unwrap_or_else(|_| account.clone());
                key_pair::identity(account.jwt_name(), user, key.fingerprint())
            }
            Login::Provided { kind, .. } => {
                format!("account {}, the {kind} given by the caller, which is never renewed", account.identifier())
            }
            Login::File { path, kind } => {
                format!("account {}, the {kind} in the file {}", account.identifier(), shown_path(path))
            }
            Login::Client(client) => format!("account {}, {}", account.identifier(), client.describe()),
        }
    }

    fn advice(&self) -> &'static str {
        match &self.login {
            Login::KeyPair { .. } => {
                "compare the user's key and login name with DESC USER, and the account with the account URL"
            }
            Login::Provided { kind: TokenKind::ProgrammaticAccessToken, .. }
            | Login::File { kind: TokenKind::ProgrammaticAccessToken, .. } => {
                "see SHOW USER PROGRAMMATIC ACCESS TOKENS for its end, and whether its user has the network policy it needs"
            }
            Login::Provided { .. } => "obtain a new one and build a new client with it",
            Login::File { .. } => "check the process that renews the file",
            Login::Client(_) => "check that the account trusts the issuer, and which user its tokens stand for",
        }
    }

    fn key_pair_source(
        &self,
        user: &str,
        key: &PrivateKey,
        account: &Account,
        context: LoginContext,
    ) -> Result<KeyPair, Error> {
        // The file may have changed since it was read; if it cannot be read at the moment, the key is good until it is refused.
        let key = key.read_again().ok().flatten().unwrap_or_else(|| key.clone());
        let source = KeyPair::new(&self.claimed(account)?, user, key, context)?;
        source.audience(self.jwt.audience.clone()).lifetime(self.jwt.lifetime.unwrap_or(MAX_LIFETIME))
    }

    fn claimed(&self, account: &Account) -> Result<Account, Error> {
        match &self.jwt.account {
            Some(name) => account.clone().with_jwt_name(name),
            None => Ok(account.clone()),
        }
    }

    /// A setting without any effect is a misunderstanding.
    fn refuse_jwt_settings(&self) -> Result<(), Error> {
        let setting = match &self.jwt {
            JwtSettings { lifetime: Some(_), .. } => "jwt_lifetime",
            JwtSettings { account: Some(_), .. } => "jwt_account",
            JwtSettings { audience: Some(_), .. } => "jwt_audience",
            JwtSettings { lifetime: None, account: None, audience: None } => return Ok(()),
        };
        let reason = format!("{setting} is set, but no JWT is minted with a credential of the kind {}", self.kind());
        Err(Error::new(ErrorKind::Config, reason).advise("leave it out, or use a key pair"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Credentials");
        match &self.login {
            Login::KeyPair { user, key } => out.field("user", &visible(user)).field("key", key),
            Login::Provided { kind, .. } => out.field("kind", kind),
            Login::File { path, kind } => out.field("kind", kind).field("path", &shown_path(path)),
            Login::Client(client) => out.field("client", client),
        };
        out.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FakeClock;
    use crate::http::Limits;

    fn key() -> PrivateKey {
        PrivateKey::from_file(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/plain.p8")).unwrap()
    }

    fn account() -> Account {
        Account::parse("myorg-account1").unwrap()
    }

    fn source(credentials: &Credentials) -> Result<Box<dyn TokenSource>, Error> {
        let origin = Origin::parse("https://a.example", "test URL").unwrap();
        let context = LoginContext { origin, clock: Arc::new(FakeClock::new()), server_clock: Arc::default() };
        let connect = |_: &Origin| Err(Error::new(ErrorKind::Unavailable, "not in this test"));
        credentials.source(&account(), context, Arc::new(connect))
    }

    #[test]
    fn each_way_to_log_in_yields_tokens_for_the_account_of_its_kind() {
        for (credentials, kind) in [
            (Credentials::key_pair("u", key()), TokenKind::KeyPairJwt),
            (Credentials::programmatic_access_token("t"), TokenKind::ProgrammaticAccessToken),
            (Credentials::oauth_token("t"), TokenKind::OAuth),
        ] {
            let grant = source(&credentials).unwrap().fetch(Limits::unlimited()).unwrap();
            assert_eq!((credentials.kind(), grant.origin.to_string().as_str()), (kind, "https://a.example"));
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
    fn a_token_file_that_is_missing_or_holds_no_token_is_found_before_anything_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let refused = || source(&Credentials::jwt_file(&path)).unwrap_err();
        assert!(refused().to_string().contains("token cannot be read: "), "{}", refused());
        std::fs::write(&path, "not-a-jwt").unwrap();
        assert!(refused().to_string().contains("use the token file"), "{}", refused());
        // The process that renews it may do so before it is needed.
        std::fs::write(&path, "e30.eyJleHAiOjF9.c2ln").unwrap();
        assert!(source(&Credentials::jwt_file(&path)).is_ok());
    }

    #[test]
    fn a_token_given_for_a_path_or_a_name_is_not_repeated() {
        for token in ["eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDB9.c2lnbmF0dXJl", "pat-0123456789-abcdefghij"] {
            for credentials in [
                Credentials::jwt_file(token),
                Credentials::programmatic_access_token_file(token),
                Credentials::oauth_token_file(token),
            ] {
                let error = source(&credentials).unwrap_err();
                let shown = format!("{credentials:?} {error} {error:?} {}", credentials.identity(&account()));
                assert!(shown.contains("looks like a secret"), "{shown}");
                for part in token.as_bytes().windows(8).map(|part| str::from_utf8(part).unwrap()) {
                    assert!(!shown.contains(part), "{part} is in {shown}");
                }
            }
        }
        let user = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDB9.c2lnbmF0dXJl";
        let credentials = Credentials::key_pair(user, key());
        let identity = source(&credentials).unwrap().identity().unwrap();
        let shown = format!("{credentials:?} {identity} {}", credentials.identity(&account()));
        assert!(!shown.to_lowercase().contains("eyjhbgci"), "{shown}");
    }

    #[test]
    fn only_a_key_pair_mints_a_jwt_for_other_requests() {
        let credentials = Credentials::key_pair("loader", key());
        let jwt = credentials.mint_jwt("myorg-account1").unwrap();
        assert_eq!(jwt.expose().split('.').count(), 3);
        assert!(credentials.mint_jwt("https://a").is_err());
        let error = Credentials::oauth_token("open-sesame").mint_jwt("a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }

    #[test]
    fn an_identity_names_what_is_claimed_and_nothing_secret() {
        let credentials = Credentials::key_pair("loader", key()).jwt_account("other");
        assert_eq!(
            credentials.identity(&account()),
            format!("account OTHER, user LOADER, public key {}", key().fingerprint())
        );
        let credentials = Credentials::programmatic_access_token("open-sesame");
        assert_eq!(
            credentials.identity(&account()),
            "account myorg-account1, the programmatic access token given by the caller, which is never renewed"
        );
        assert_eq!(format!("{credentials:?}"), "Credentials { kind: ProgrammaticAccessToken, .. }");
    }
}
