use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::cause::is_about_client;
use super::environment::Environment;
use super::rules;
use crate::auth::{ClientAuthentication, ClientCredentials, ClientSecret, Connect, Grant, TokenEndpoint, TokenSource};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::http::{Limits, Origin};

/// A client of OCMS, the authorization server of Hii Retail.
///
/// The rest follows from the environment: issuer and token endpoint, found by discovery. Nothing but id and secret is needed;
/// whatever OCMS expects by default can be changed.
///
/// ```
/// use snowpipe_streaming::hiiretail::Ocms;
///
/// let client = Ocms::new("my-client-id", "my-client-secret");
/// assert!(!format!("{client:?}").contains("my-client-secret"));
/// ```
#[derive(Clone)]
pub struct Ocms {
    client_id: String,
    client_secret: ClientSecret,
    issuer: Option<String>,
    token_url: Option<String>,
    audience: String,
    scope: Option<String>,
    authentication: ClientAuthentication,
    missing_document: MissingDocument,
}

/// What to do when the issuer cannot be asked for its token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MissingDocument {
    /// Take `/oauth2/token` at the issuer's own host.
    UseDefault,
    Fail,
}

impl Ocms {
    /// A client by the id and secret that its registration returned; the secret may also be
    /// [in a file](ClientSecret::from_file).
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<ClientSecret>) -> Ocms {
        Ocms {
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            issuer: None,
            token_url: None,
            audience: AUDIENCE.to_owned(),
            scope: None,
            authentication: ClientAuthentication::Basic,
            missing_document: MissingDocument::UseDefault,
        }
    }

    /// The issuer, such as `https://auth.example.com`, if it is not the [environment's](Environment::auth_url).
    #[must_use]
    pub fn issuer(mut self, url: impl Into<String>) -> Ocms {
        self.issuer = Some(url.into());
        self
    }

    /// The token endpoint to use, without discovery.
    #[must_use]
    pub fn token_url(mut self, url: impl Into<String>) -> Ocms {
        self.token_url = Some(url.into());
        self
    }

    /// Fails when discovery fails. Default: `/oauth2/token` at the issuer's own host is used then, with a warning in the log.
    #[must_use]
    pub fn require_discovery(mut self) -> Ocms {
        self.missing_document = MissingDocument::Fail;
        self
    }

    /// The API that the tokens are for. Default: `https://hiiretail.com`, without which the IAM refuses every token.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Ocms {
        self.audience = audience.into();
        self
    }

    /// Scopes to request. Default: none, because roles that are bound to the client say what it may do.
    #[must_use]
    pub fn scopes<S: AsRef<str>>(mut self, scopes: impl IntoIterator<Item = S>) -> Ocms {
        let scopes: Vec<_> = scopes.into_iter().map(|scope| scope.as_ref().trim().to_owned()).collect();
        self.scope = Some(scopes.join(" ").trim().to_owned()).filter(|scope| !scope.is_empty());
        self
    }

    /// How id and secret are sent. Default: [`ClientAuthentication::Basic`]; no other way is tried after a failure.
    #[must_use]
    pub fn authentication(mut self, authentication: ClientAuthentication) -> Ocms {
        self.authentication = authentication;
        self
    }

    /// Where it gets its tokens from; nothing is sent yet. They are sent to `origin` only.
    pub(super) fn source(
        &self,
        environment: Environment,
        (tenant, origin): (&str, Origin),
        clock: Arc<dyn Clock>,
        connect: Arc<Connect>,
    ) -> Result<OcmsTokens, Error> {
        let secret = self.client_secret.read()?;
        if tenant_in(secret.expose()).is_some() {
            // Otherwise the secret would be shown wherever the id is.
            return Err(Error::new(ErrorKind::Config, "the client secret is an id of a client of OCMS")
                .advise("give the id as the client id, and the secret as the secret; nothing was sent"));
        }
        rules::client_id(&self.client_id)?;
        rules::client_secret(secret.expose())?;
        rules::audience(&self.audience)?;
        let endpoint = TokenEndpoint::new(self.client(environment)?, origin, clock, connect)?;
        Ok(OcmsTokens { endpoint, client_id: self.client_id.clone(), tenant: tenant.to_owned() })
    }

    fn client(&self, environment: Environment) -> Result<ClientCredentials, Error> {
        let (id, secret) = (self.client_id.as_str(), self.client_secret.clone());
        let issuer = self.issuer.as_deref().unwrap_or(environment.auth_url()).trim();
        let client = match &self.token_url {
            Some(url) => ClientCredentials::at(url, id, secret),
            None => {
                let client = ClientCredentials::of_issuer(issuer, id, secret).at_issuer_only();
                match self.missing_document {
                    MissingDocument::UseDefault => client.fallback(default_endpoint(issuer)?),
                    MissingDocument::Fail => client,
                }
            }
        };
        let client = client.audience(&self.audience).authentication(self.authentication);
        Ok(match &self.scope {
            Some(scope) => client.scope(scope),
            None => client,
        })
    }

    /// The client and its server, for the diagnosis of a refusal. Nothing secret.
    pub(super) fn describe(&self, environment: Environment) -> String {
        let server = self.token_url.as_deref().or(self.issuer.as_deref()).unwrap_or(environment.auth_url());
        // Neither a user with a password before the host, nor a query.
        let server = server.split('?').next().unwrap_or_default().rsplit('@').next().unwrap_or_default().trim();
        format!("OCMS client {} of {server}", self.client_id)
    }

    /// The audience, if it is not the one that the IAM wants.
    pub(super) fn other_audience(&self) -> Option<String> {
        let audience = self.audience.trim();
        (audience != AUDIENCE).then(|| audience.to_owned())
    }

    /// The tenant that the client id names. OCMS writes it there, but promises nothing, so it is a hint only.
    pub(super) fn tenant_in_id(&self) -> Option<String> {
        tenant_in(&self.client_id)
    }
}

fn tenant_in(client_id: &str) -> Option<String> {
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(client_id).ok()?).ok()?;
    claims.lines().find_map(|line| line.strip_prefix("tid=")).map(str::to_owned)
}

impl fmt::Debug for Ocms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ocms")
            .field("client_id", &self.client_id)
            .field("audience", &self.audience)
            .field("scope", &self.scope)
            .field("authentication", &self.authentication)
            .finish_non_exhaustive()
    }
}

/// At the issuer's own host, whatever path the issuer has.
fn default_endpoint(issuer: &str) -> Result<String, Error> {
    let authority = issuer.find("://").map_or(0, |at| at + 3);
    let end = issuer[authority..].find(['/', '?', '#']).map_or(issuer.len(), |at| authority + at);
    let origin = Origin::parse(&issuer[..end], "issuer")
        .map_err(|error| error.or_advise("write it like https://auth.example.com"))?;
    Ok(format!("{origin}{TOKEN_PATH}"))
}

/// The tokens of a client of OCMS, which answers a wrong secret and a client that is not authorized alike.
#[derive(Debug)]
pub(super) struct OcmsTokens {
    endpoint: TokenEndpoint,
    client_id: String,
    tenant: String,
}

impl OcmsTokens {
    /// What a refusal may be due to.
    fn explain(&self, refusal: Error) -> Error {
        let OcmsTokens { client_id, tenant, .. } = self;
        refusal.and_advise(&format!("{NOT_AUTHORIZED} the client {client_id} of the tenant {tenant}"))
    }
}

impl TokenSource for OcmsTokens {
    fn fetch(&self, limits: Limits) -> Result<Grant, Error> {
        self.endpoint.fetch(limits).map_err(|error| match (error.kind(), error.status()) {
            (ErrorKind::Credentials, Some(401)) if is_about_client(&error) => self.explain(error),
            (ErrorKind::Credentials, Some(401)) => self.explain(error.with_code(Some(INVALID_CLIENT.to_owned()))),
            _ => error,
        })
    }

    fn asks_a_server(&self) -> bool {
        true
    }
}

pub(super) const AUDIENCE: &str = "https://hiiretail.com";
const TOKEN_PATH: &str = "/oauth2/token";
const INVALID_CLIENT: &str = "invalid_client";
const NOT_AUTHORIZED: &str = "OCMS answers alike for a wrong secret and for a client that is Pending or Revoked: check whether \
                              an administrator has authorized";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_endpoint_is_at_the_issuers_own_host() {
        for (issuer, expected) in [
            ("https://auth.retailsvc.com", "https://auth.retailsvc.com/oauth2/token"),
            ("https://auth.example:8443/a/b", "https://auth.example:8443/oauth2/token"),
            ("http://127.0.0.1:7/", "http://127.0.0.1:7/oauth2/token"),
        ] {
            assert_eq!(default_endpoint(issuer).unwrap(), expected);
        }
        for wrong in ["auth.example", "http://auth.example", "https://joe:sesame@auth.example", ""] {
            let error = default_endpoint(wrong).unwrap_err();
            assert!(error.to_string().contains("the issuer") && !error.to_string().contains("sesame"), "{error}");
            assert!(error.has_advice(), "{error}");
        }
    }

    #[test]
    fn a_client_id_may_name_its_tenant() {
        let named = URL_SAFE_NO_PAD.encode("bu=001\nsfw=till@1.0.0@my-tenant\ntid=my-tenant");
        assert_eq!(Ocms::new(named, "x").tenant_in_id().as_deref(), Some("my-tenant"));
        for id in ["till-7", "dGlk", ""] {
            assert_eq!(Ocms::new(id, "x").tenant_in_id(), None);
        }
    }

    #[test]
    fn an_id_in_the_place_of_the_secret_is_refused_without_showing_either() {
        let (id, secret) =
            (URL_SAFE_NO_PAD.encode("sfw=till@1.0.0@my-tenant\ntid=my-tenant"), "0123456789abcdef".repeat(4));
        let error = crate::hiiretail::Iam::builder("my-tenant", Ocms::new(secret, id)).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = format!("{error} {error:?}");
        assert!(text.contains("the client secret is an id of a client of OCMS"), "{text}");
        assert!(!text.contains("01234567") && !text.contains("c2Z3PX"), "{text}");
    }

    #[test]
    fn the_description_names_client_and_server_and_no_password() {
        let client = Ocms::new("till-7", "open-sesame");
        assert_eq!(client.describe(Environment::Test), "OCMS client till-7 of https://auth.retailsvc-test.com");
        let client = client.token_url("https://a.example/t?key=open-sesame");
        assert_eq!(client.describe(Environment::Test), "OCMS client till-7 of https://a.example/t");
    }

    #[test]
    fn scopes_are_one_text() {
        let scope = |scopes: &[&str]| Ocms::new("a", "b").scopes(scopes).scope;
        assert_eq!(scope(&["iam:read", " iam:write "]).as_deref(), Some("iam:read iam:write"));
        assert_eq!(scope(&[]), None);
        assert_eq!(scope(&["", " "]), None);
    }
}
