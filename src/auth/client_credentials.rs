use std::fmt;

use super::client_secret::ClientSecret;
use super::discovery::{EndpointHosts, Issuer};
use super::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};

/// An OAuth client that logs in as itself: the client-credentials grant (RFC 6749, section 4.4).
///
/// Its access token is accepted as a login by an account that trusts the issuer (External OAuth). The token endpoint is
/// found by OpenID Connect discovery, or given. Both are https, or http to this machine itself; redirects are not followed.
///
/// ```
/// use snowpipe_streaming::{ClientCredentials, Credentials};
///
/// let client = ClientCredentials::of_issuer("https://auth.example.com", "loader", "open sesame").scope("session:role:INGEST");
/// assert!(!format!("{client:?}").contains("sesame"));
/// let credentials = Credentials::client_credentials(client);
/// ```
#[derive(Clone)]
pub struct ClientCredentials {
    pub(super) id: String,
    pub(super) secret: ClientSecret,
    issuer: Option<String>,
    token_endpoint: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) authentication: ClientAuthentication,
    hosts: EndpointHosts,
}

/// How an OAuth client sends its id and secret (RFC 6749, section 2.3.1). No other way is tried after a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// In the `Authorization` header, with id and secret form-encoded first, as the RFC requires.
    #[default]
    Basic,
    /// In the `Authorization` header, with id and secret as they are, for servers that do not decode them.
    BasicUnencoded,
    /// In the body, with the other parameters.
    Body,
}

impl ClientCredentials {
    /// A client of the issuer, whose token endpoint is read from `<issuer>/.well-known/openid-configuration`.
    ///
    /// Give the issuer exactly as it calls itself in that document. The secret is a text, of which nothing is trimmed, or a
    /// file ([`ClientSecret::from_file`]).
    ///
    /// ```
    /// # use snowpipe_streaming::ClientCredentials;
    /// let client = ClientCredentials::of_issuer("https://auth.example.com", "loader", "open sesame");
    /// ```
    pub fn of_issuer(
        issuer: impl Into<String>,
        id: impl Into<String>,
        secret: impl Into<ClientSecret>,
    ) -> ClientCredentials {
        ClientCredentials { issuer: Some(issuer.into()), ..ClientCredentials::new(id.into(), secret.into()) }
    }

    /// A client that uses this token endpoint, without discovery.
    ///
    /// ```
    /// # use snowpipe_streaming::ClientCredentials;
    /// let client = ClientCredentials::at("https://auth.example.com/oauth2/token", "loader", "open sesame");
    /// ```
    pub fn at(
        token_endpoint: impl Into<String>,
        id: impl Into<String>,
        secret: impl Into<ClientSecret>,
    ) -> ClientCredentials {
        ClientCredentials::new(id.into(), secret.into()).fallback(token_endpoint)
    }

    /// The token endpoint to use when discovery fails.
    ///
    /// ```
    /// # use snowpipe_streaming::ClientCredentials;
    /// let client = ClientCredentials::of_issuer("https://auth.example.com", "loader", "open sesame")
    ///     .fallback("https://auth.example.com/oauth2/token");
    /// ```
    #[must_use]
    pub fn fallback(mut self, token_endpoint: impl Into<String>) -> ClientCredentials {
        self.token_endpoint = Some(token_endpoint.into());
        self
    }

    /// The scopes to request, separated by spaces. Default: none.
    ///
    /// ```
    /// # use snowpipe_streaming::ClientCredentials;
    /// # fn scoped(client: ClientCredentials) -> ClientCredentials {
    /// client.scope("session:role:INGEST")
    /// # }
    /// ```
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> ClientCredentials {
        self.scope = Some(scope.into());
        self
    }

    /// The parameter `audience`: the API that the token is for, which some servers require.
    ///
    /// ```
    /// # use snowpipe_streaming::ClientCredentials;
    /// # fn for_audience(client: ClientCredentials) -> ClientCredentials {
    /// client.audience("https://api.example.com")
    /// # }
    /// ```
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> ClientCredentials {
        self.audience = Some(audience.into());
        self
    }

    /// How id and secret are sent. Default: [`ClientAuthentication::Basic`].
    ///
    /// ```
    /// # use snowpipe_streaming::{ClientAuthentication, ClientCredentials};
    /// # fn in_body(client: ClientCredentials) -> ClientCredentials {
    /// client.authentication(ClientAuthentication::Body)
    /// # }
    /// ```
    #[must_use]
    pub fn authentication(mut self, authentication: ClientAuthentication) -> ClientCredentials {
        self.authentication = authentication;
        self
    }

    fn new(id: String, secret: ClientSecret) -> ClientCredentials {
        let authentication = ClientAuthentication::Basic;
        ClientCredentials {
            id,
            secret,
            issuer: None,
            token_endpoint: None,
            scope: None,
            audience: None,
            authentication,
            hosts: EndpointHosts::default(),
        }
    }
}

impl ClientCredentials {
    /// Believes no document that places the token endpoint at another host than the issuer's.
    #[cfg(feature = "hiiretail")]
    pub(crate) fn at_issuer_only(mut self) -> ClientCredentials {
        self.hosts = EndpointHosts::Issuer;
        self
    }

    /// Finds everything that is wrong with the client.
    ///
    /// # Blocking
    ///
    /// While it reads the file of the secret, if it has one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.places()?;
        self.secret.read().map(drop)
    }

    /// The issuer and the token endpoint, if everything but the secret is valid.
    pub(super) fn places(&self) -> Result<(Option<Issuer>, Option<Endpoint>), Error> {
        if self.id.trim().is_empty() {
            return Err(missing("the client id"));
        }
        let is_split = self.authentication == ClientAuthentication::BasicUnencoded && self.id.contains(':');
        if is_split || self.id.chars().any(char::is_control) {
            return Err(Error::new(
                ErrorKind::Config,
                "the client id contains a character that cannot be sent unencoded",
            )
            .advise("check it, or send it form-encoded (ClientAuthentication::Basic)"));
        }
        let endpoint = self.token_endpoint.as_deref().map(|url| Endpoint::parse(url, "token endpoint")).transpose()?;
        let issuer = self.issuer.as_deref().map(Issuer::parse).transpose()?;
        let issuer = issuer.map(|issuer| issuer.with_endpoint_at(self.hosts));
        if issuer.is_none() && endpoint.is_none() {
            return Err(missing("an issuer or a token endpoint"));
        }
        Ok((issuer, endpoint))
    }

    /// The client and its server, for the diagnosis of a refusal. Nothing secret.
    pub(crate) fn describe(&self) -> String {
        let place = self.issuer.as_deref().or(self.token_endpoint.as_deref()).unwrap_or_default();
        // Neither a user with a password before the host, nor a query.
        let place = place.split('?').next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
        format!("OAuth client {} of {place}", self.id)
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("id", &self.id)
            .field("scope", &self.scope)
            .field("audience", &self.audience)
            .field("authentication", &self.authentication)
            .finish_non_exhaustive()
    }
}

pub(super) fn missing(what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the OAuth client lacks {what}")).advise("add it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_described_without_password_and_query() {
        for url in
            ["https://a.example/t", "https://joe:sesame@a.example/t", "https://joe:sesame@a.example/t?key=sesame"]
        {
            let described = ClientCredentials::at(url, "loader", "x").describe();
            assert!(described.ends_with("a.example/t") && !described.contains("sesame"), "{described}");
        }
    }
}
