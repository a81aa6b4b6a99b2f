mod keys;
mod properties;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use self::properties::Properties;
use crate::auth::{ClientAuthentication, ClientCredentials, ClientSecret, PrivateKey};
use crate::client::environment::Variables;
use crate::error::{Error, ErrorKind, shown, shown_path, visible};
use crate::secret::Secret;
use crate::snowflake::account::{Account, account_origin};
use crate::snowflake::credentials::Credentials;

/// Where to connect and how to log in, from the official SDK's `profile.json` or from `SNOWFLAKE_…` variables.
///
/// | key | meaning |
/// |---|---|
/// | `account` | account identifier, such as `myorg-account123` |
/// | `user` | `LOGIN_NAME` of the user; needed for JWT |
/// | `url`, else `host` with `scheme` and `port` | account URL, if it does not follow from the account (a region `cn-…` means the domain `snowflakecomputing.cn`); https, or http to this machine |
/// | `role` | role of the session; default: the user's default role |
/// | `authorization_type` | `JWT` (default), `PAT`, `OAUTH`, `TOKEN` or `SPCS` |
/// | `private_key` or `private_key_file`, `private_key_passphrase` | for JWT: the key's text, or the path of its file |
/// | `personal_access_token` | for PAT |
/// | `oauth_access_token` | for OAUTH: a token obtained elsewhere |
/// | `oauth_client_id`, `oauth_client_secret` or `oauth_client_secret_file` | for OAUTH: a client that logs in as itself; the file is read again when the secret in it is refused |
/// | `oauth_client_authentication` | how that client sends its id and secret: `basic` (default), `basic_unencoded` or `post` |
/// | `oauth_issuer` or `oauth_token_endpoint` | where that client gets its token; with both, the endpoint is used when discovery fails |
/// | `oauth_scope`, `oauth_audience` | what that client requests, if the server requires it |
/// | `token` | for TOKEN: a key-pair JWT minted elsewhere |
/// | `token_file` | for PAT, OAUTH and TOKEN: a file with the token, read again when it changes |
/// | `spcs_token_path` | for SPCS: the file with the token; default: `/snowflake/session/token` |
/// | `ca_file` | PEM file with further authorities to trust |
///
/// Relative paths are relative to the profile. Keys that tune the official SDK are ignored; any other unknown key, and one
/// that is given twice, is an error that names it. Key files are read at once, and token files too, to find out what is
/// wrong with them.
#[derive(Clone)]
pub struct Profile {
    account: String,
    user: Option<String>,
    url: Option<String>,
    role: Option<String>,
    credentials: Credentials,
    ca_file: Option<PathBuf>,
}

impl Profile {
    /// Reads a profile file.
    ///
    /// # Blocking
    ///
    /// While it reads the profile and the key file.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when a file cannot be read, or a key is missing, unknown or wrong.
    ///
    /// ```no_run
    /// use snowpipe_streaming::Profile;
    ///
    /// let profile = Profile::from_file("profile.json")?;
    /// println!("{} as {:?}", profile.account(), profile.user());
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Profile, Error> {
        let path = path.as_ref();
        let attempted = format!("read the profile {}", shown_path(path));
        let text = fs::read_to_string(path).map(Zeroizing::new).map_err(|error| unreadable(error, &attempted))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Properties::from_json(text.trim_start_matches('\u{feff}'))
            .and_then(|properties| Profile::read(&properties, directory))
            .map_err(|error| error.attempting(attempted))
    }

    /// Reads a profile from its text; relative paths in it are relative to the working directory.
    ///
    /// # Blocking
    ///
    /// While it reads the key file.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when the text is not a profile, or a key is missing, unknown or wrong.
    ///
    /// ```
    /// use snowpipe_streaming::Profile;
    ///
    /// let error = Profile::from_json(r#"{"acount": "myorg-account123"}"#).unwrap_err();
    /// assert!(error.to_string().contains("account may be meant"));
    /// ```
    pub fn from_json(text: &str) -> Result<Profile, Error> {
        Properties::from_json(text.trim_start_matches('\u{feff}'))
            .and_then(|properties| Profile::read(&properties, Path::new("")))
            .map_err(|error| error.attempting("read the profile"))
    }

    /// Reads the variables `SNOWFLAKE_ACCOUNT`, `SNOWFLAKE_USER` and so on: one for each key, in upper case.
    ///
    /// `SNOWFLAKE_PRIVATE_KEY_PATH`, `SNOWFLAKE_PRIVATE_KEY_FILE_PWD`, `SNOWFLAKE_TOKEN_FILE_PATH` and `SNOWFLAKE_PAT`,
    /// which other tools use, are read too. Relative paths are relative to the working directory.
    ///
    /// # Blocking
    ///
    /// While it reads the key file.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when a variable is missing or wrong.
    ///
    /// ```no_run
    /// use snowpipe_streaming::Profile;
    ///
    /// let profile = Profile::from_environment()?;
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn from_environment() -> Result<Profile, Error> {
        Profile::from(Variables::of_process())
    }

    /// The account identifier, as given.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The user, as given.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The account URL, if given.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The role, if given.
    pub fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// The credentials to log in with.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The file with further authorities to trust, if given. A relative path has been resolved.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    fn from(environment: Variables<'_>) -> Result<Profile, Error> {
        Properties::from_environment(environment)
            .and_then(|properties| Profile::read(&properties, Path::new("")))
            .map_err(|error| error.attempting("read the connection from the environment"))
    }

    fn read(properties: &Properties, directory: &Path) -> Result<Profile, Error> {
        let account = properties.required("account", "it says which account to connect to")?.expose().trim();
        Account::parse(account)?;
        let owned = |key| properties.text(key).map(str::to_owned);
        Ok(Profile {
            account: account.to_owned(),
            user: owned("user"),
            url: url(properties)?,
            role: owned("role"),
            credentials: checked(credentials(properties, directory)?)?,
            ca_file: properties.path("ca_file", directory)?,
        })
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("account", &self.account)
            .field("user", &self.user.as_deref().map(visible))
            .field("url", &self.url)
            .field("role", &self.role.as_deref().map(visible))
            .field("credentials", &self.credentials)
            .field("ca_file", &self.ca_file.as_deref().map(shown_path))
            .finish()
    }
}

fn url(properties: &Properties) -> Result<Option<String>, Error> {
    // Profiles of the official SDK have both, with the same meaning.
    let url = match (properties.text("url"), properties.text("host")) {
        (Some(url), _) => url.to_owned(),
        (None, Some(host)) => {
            let scheme = properties.text("scheme").unwrap_or("https");
            match properties.text("port") {
                Some(port) => format!("{scheme}://{host}:{port}"),
                None => format!("{scheme}://{host}"),
            }
        }
        (None, None) => return Ok(None),
    };
    account_origin(&url)?;
    Ok(Some(url))
}

fn credentials(properties: &Properties, directory: &Path) -> Result<Credentials, Error> {
    let kind = properties.text("authorization_type").unwrap_or("JWT");
    match kind.to_ascii_uppercase().as_str() {
        "JWT" => key_pair(properties, directory),
        "PAT" => {
            let forms = (Credentials::programmatic_access_token as _, Credentials::programmatic_access_token_file as _);
            token(properties, directory, "personal_access_token", forms, "authorization_type is PAT")
        }
        "TOKEN" => {
            let forms = (Credentials::jwt as _, Credentials::jwt_file as _);
            token(properties, directory, "token", forms, "authorization_type is TOKEN")
        }
        "OAUTH" => oauth(properties, directory),
        "SPCS" => {
            let path = properties.path("spcs_token_path", directory)?;
            Ok(Credentials::oauth_token_file(path.unwrap_or_else(|| SPCS_TOKEN.into())))
        }
        _ => {
            let name = properties.name("authorization_type");
            let reason = format!("{name} is {}, which is not known", shown(kind));
            Err(Error::new(ErrorKind::Config, reason).advise("use JWT, PAT, OAUTH, TOKEN or SPCS"))
        }
    }
}

fn checked(credentials: Credentials) -> Result<Credentials, Error> {
    credentials.check_file()?;
    Ok(credentials)
}

fn key_pair(properties: &Properties, directory: &Path) -> Result<Credentials, Error> {
    properties.refuse_both("private_key", "private_key_file")?;
    let missing = |keys: &[&str]| {
        let error = properties.missing(keys, &format!("{} is JWT, which is the default", properties.name(TYPE)));
        other_type(properties).map_or(error.clone(), |advice| error.advise(advice))
    };
    let user = properties.secret("user").ok_or_else(|| missing(&["user"]))?.expose();
    let passphrase = properties.secret("private_key_passphrase");
    let path = properties.path("private_key_file", directory)?;
    let (key, named) = match (properties.secret("private_key"), path, passphrase) {
        (Some(text), _, None) => (PrivateKey::from_pem(text.expose()), "private_key"),
        (Some(text), _, Some(passphrase)) => (PrivateKey::from_encrypted_pem(text.expose(), passphrase), "private_key"),
        (None, Some(path), None) => (PrivateKey::from_file(path), "private_key_file"),
        (None, Some(path), Some(passphrase)) => (PrivateKey::from_encrypted_file(path, passphrase), "private_key_file"),
        (None, None, _) => return Err(missing(&["private_key_file", "private_key"])),
    };
    let key = key.map_err(|error| error.and_advise(&format!("it was given as {}", properties.name(named))))?;
    Ok(Credentials::key_pair(user, key))
}

/// What to do if the credential of another type is given, but not the type.
fn other_type(properties: &Properties) -> Option<String> {
    let types = [
        ("personal_access_token", "PAT"),
        ("oauth_access_token", "OAUTH"),
        ("oauth_client_id", "OAUTH"),
        ("token", "TOKEN"),
    ];
    let (key, kind) = types.into_iter().find(|(key, _)| properties.secret(key).is_some())?;
    Some(format!("add it, or set {} to {kind}, as {} is given", properties.name(TYPE), properties.name(key)))
}

/// Constructors from the text of a token and from the path of its file.
type Forms = (fn(Secret) -> Credentials, fn(PathBuf) -> Credentials);

fn token(
    properties: &Properties,
    directory: &Path,
    key: &str,
    (of_text, of_file): Forms,
    because: &str,
) -> Result<Credentials, Error> {
    properties.refuse_both(key, "token_file")?;
    match (properties.secret(key), properties.path("token_file", directory)?) {
        (Some(token), _) => Ok(of_text(token.clone())),
        (None, Some(path)) => Ok(of_file(path)),
        (None, None) => Err(properties.missing(&[key, "token_file"], because)),
    }
}

fn oauth(properties: &Properties, directory: &Path) -> Result<Credentials, Error> {
    if let Some(name) = properties.secret("oauth_refresh_token").map(|_| properties.name("oauth_refresh_token")) {
        return Err(Error::new(ErrorKind::Config, format!("{name} is given, but refresh tokens are not supported"))
            .advise("use a client that logs in as itself (oauth_client_id, oauth_client_secret), or a token_file"));
    }
    if properties.secret("oauth_client_id").is_some() {
        return client(properties, directory);
    }
    let forms = (Credentials::oauth_token as _, Credentials::oauth_token_file as _);
    token(
        properties,
        directory,
        "oauth_access_token",
        forms,
        "authorization_type is OAUTH and oauth_client_id is missing",
    )
}

fn client(properties: &Properties, directory: &Path) -> Result<Credentials, Error> {
    let because = "an OAuth client gets its token there";
    // Nothing is trimmed: white space may belong to it.
    let id = properties.required("oauth_client_id", because)?.expose();
    let secret = client_secret(properties, directory)?;
    let mut client = match (properties.text("oauth_issuer"), properties.text("oauth_token_endpoint")) {
        (Some(issuer), None) => ClientCredentials::of_issuer(issuer, id, secret),
        (Some(issuer), Some(endpoint)) => ClientCredentials::of_issuer(issuer, id, secret).fallback(endpoint),
        (None, Some(endpoint)) => ClientCredentials::at(endpoint, id, secret),
        (None, None) => return Err(properties.missing(&["oauth_issuer", "oauth_token_endpoint"], because)),
    };
    client = client.authentication(client_authentication(properties)?);
    if let Some(scope) = properties.text("oauth_scope") {
        client = client.scope(scope);
    }
    if let Some(audience) = properties.text("oauth_audience") {
        client = client.audience(audience);
    }
    client.check()?;
    Ok(Credentials::client_credentials(client))
}

fn client_secret(properties: &Properties, directory: &Path) -> Result<ClientSecret, Error> {
    let (text, file) = ("oauth_client_secret", "oauth_client_secret_file");
    properties.refuse_both(text, file)?;
    match (properties.secret(text), properties.path(file, directory)?) {
        (Some(secret), _) => Ok(secret.clone().into()),
        (None, Some(path)) => Ok(ClientSecret::from_file(path)),
        (None, None) => Err(properties.missing(&[text, file], "oauth_client_id is given")),
    }
}

fn client_authentication(properties: &Properties) -> Result<ClientAuthentication, Error> {
    let key = "oauth_client_authentication";
    match properties.text(key) {
        None | Some("basic") => Ok(ClientAuthentication::Basic),
        Some("basic_unencoded") => Ok(ClientAuthentication::BasicUnencoded),
        Some("post") => Ok(ClientAuthentication::Body),
        Some(other) => {
            let reason = format!("{} is {}, which is not known", properties.name(key), shown(other));
            Err(Error::new(ErrorKind::Config, reason).advise("use basic, basic_unencoded or post"))
        }
    }
}

fn unreadable(error: std::io::Error, attempted: &str) -> Error {
    let reason = match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        kind => kind.to_string(),
    };
    let advice = match error.kind() {
        std::io::ErrorKind::InvalidData => "save it as UTF-8; PowerShell and some editors write UTF-16",
        _ => "check the path and the permissions of the file",
    };
    Error::new(ErrorKind::Config, reason).attempting(attempted).advise(advice).with_source(error)
}

/// The key that says how to log in.
const TYPE: &str = "authorization_type";

/// Where Snowpark Container Services keeps the token of a service.
const SPCS_TOKEN: &str = "/snowflake/session/token";

#[cfg(test)]
mod tests;
