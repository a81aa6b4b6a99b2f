use std::fmt;

/// What `X-Snowflake-Authorization-Token-Type` says about a token (SQL API documentation, "Authenticating").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    KeyPairJwt,
    OAuth,
    ProgrammaticAccessToken,
}

impl TokenKind {
    /// The value of the header.
    pub(crate) fn header(self) -> &'static str {
        match self {
            TokenKind::KeyPairJwt => "KEYPAIR_JWT",
            TokenKind::OAuth => "OAUTH",
            TokenKind::ProgrammaticAccessToken => "PROGRAMMATIC_ACCESS_TOKEN",
        }
    }
}

/// For messages.
impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenKind::KeyPairJwt => "key-pair JWT",
            TokenKind::OAuth => "OAuth access token",
            TokenKind::ProgrammaticAccessToken => "programmatic access token",
        })
    }
}
