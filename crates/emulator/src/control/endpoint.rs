/// An endpoint of the service, where a [`Fault`](crate::Fault) can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `GET /v2/streaming/hostname`
    Hostname,
    /// `POST /oauth/token`
    Token,
    /// `PUT …/channels/{channel}`
    Open,
    /// `POST …/channels/{channel}/rows` of a Named Channel
    Append,
    /// `POST …:bulk-channel-status`
    Status,
    /// `DELETE …/channels/{channel}`
    Drop,
    /// `POST …:pipe-info`
    PipeInfo,
    /// Both paths of an Elastic append
    Elastic,
    /// `POST /telemetry/send/sessionless`
    Telemetry,
    /// `GET /oauth2/.well-known/openid-configuration`
    Discovery,
    /// `GET /oauth2/jwks`
    Jwks,
    /// `POST /oauth2/token`
    AccessToken,
    /// `PUT` of a file into the storage of a pipe
    Upload,
    /// `POST …/channels/{channel}/filebuffer`
    Register,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 14] = [
        Self::Hostname,
        Self::Token,
        Self::Open,
        Self::Append,
        Self::Status,
        Self::Drop,
        Self::PipeInfo,
        Self::Elastic,
        Self::Telemetry,
        Self::Discovery,
        Self::Jwks,
        Self::AccessToken,
        Self::Upload,
        Self::Register,
    ];

    /// The name that faults injected over HTTP use.
    ///
    /// ```
    /// use snowpipe_emulator::Endpoint;
    /// assert_eq!(Endpoint::PipeInfo.name(), "pipe-info");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Hostname => "hostname",
            Self::Token => "token",
            Self::Open => "open",
            Self::Append => "append",
            Self::Status => "status",
            Self::Drop => "drop",
            Self::PipeInfo => "pipe-info",
            Self::Elastic => "elastic",
            Self::Telemetry => "telemetry",
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
            Self::AccessToken => "access-token",
            Self::Upload => "upload",
            Self::Register => "filebuffer",
        }
    }
}
