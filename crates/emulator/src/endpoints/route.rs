use percent_encoding::percent_decode_str;

use crate::control::endpoint::Endpoint;
use crate::refusal::Refusal;
use crate::state::name::{ChannelName, PipeName, TableName};
use crate::state::stage::BUCKET;

/// What a request asks for, by its method and path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Hostname,
    Token,
    Telemetry,
    Discovery,
    Jwks,
    AccessToken,
    /// `spelling` is the channel's name in the path, in the case that it is written in.
    Open {
        name: ChannelName,
        spelling: String,
    },
    Drop(ChannelName),
    Status(PipeName),
    Append(ChannelName),
    Elastic(PipeName),
    PipeInfo(PipeName),
    Upload(String),
    Register(ChannelName),
}

/// The parts of the real service that one emulator plays. Each wants credentials of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Account,
    AuthorizationServer,
    Ingest,
    Storage,
}

impl Route {
    pub(crate) fn find(method: &str, path: &str) -> Result<Self, Refusal> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let choices = choices(&segments).map_err(|error| error.refusal(path))?;
        let methods: Vec<&str> = choices.iter().map(|(method, _)| *method).collect();
        choices
            .into_iter()
            .find(|(allowed, _)| *allowed == method)
            .map(|(_, route)| route)
            .ok_or_else(|| wrong_method(&methods))
    }

    pub(crate) fn side(&self) -> Side {
        match self {
            Self::Hostname | Self::Token | Self::Telemetry => Side::Account,
            Self::Discovery | Self::Jwks | Self::AccessToken => Side::AuthorizationServer,
            Self::Upload(_) => Side::Storage,
            Self::Open { .. }
            | Self::Drop(_)
            | Self::Status(_)
            | Self::Append(_)
            | Self::Elastic(_)
            | Self::PipeInfo(_)
            | Self::Register(_) => Side::Ingest,
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Hostname => Endpoint::Hostname,
            Self::Token => Endpoint::Token,
            Self::Telemetry => Endpoint::Telemetry,
            Self::Discovery => Endpoint::Discovery,
            Self::Jwks => Endpoint::Jwks,
            Self::AccessToken => Endpoint::AccessToken,
            Self::Open { .. } => Endpoint::Open,
            Self::Drop(_) => Endpoint::Drop,
            Self::Append(_) => Endpoint::Append,
            Self::Elastic(_) => Endpoint::Elastic,
            Self::Status(_) => Endpoint::Status,
            Self::PipeInfo(_) => Endpoint::PipeInfo,
            Self::Register(_) => Endpoint::Register,
            Self::Upload(_) => Endpoint::Upload,
        }
    }
}

/// The methods that a path allows, each with its route.
type Choices = Vec<(&'static str, Route)>;

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathError {
    Unknown,
    BadName,
}

impl PathError {
    fn refusal(self, path: &str) -> Refusal {
        match self {
            Self::Unknown => Refusal::new(404, "ERR_RESOURCE_NOT_FOUND", format!("Nothing is at {path}.")),
            Self::BadName => Refusal::malformed("A name in the path is empty or not UTF-8."),
        }
    }
}

fn choices(segments: &[&str]) -> Result<Choices, PathError> {
    match segments {
        ["v2", "streaming", "data", "databases", db, "schemas", schema, rest @ ..] => data(db, schema, rest),
        ["v2", "streaming", "databases", db, "schemas", schema, "pipes", rest @ ..] => control(db, schema, rest),
        // A file's path has slashes of its own, so it is decoded as a whole.
        [BUCKET, key @ ..] if !key.is_empty() => {
            let path = name(&segments.join("/"))?;
            Ok(vec![("PUT", Route::Upload(path))])
        }
        _ => account(segments),
    }
}

fn account(segments: &[&str]) -> Result<Choices, PathError> {
    let choice = match segments {
        ["v2", "streaming", "hostname"] => ("GET", Route::Hostname),
        ["oauth", "token"] => ("POST", Route::Token),
        ["telemetry", "send", "sessionless"] => ("POST", Route::Telemetry),
        ["oauth2", ".well-known", "openid-configuration"]
        | [".well-known", "oauth-authorization-server" | "openid-configuration", "oauth2"] => ("GET", Route::Discovery),
        ["oauth2", "jwks"] => ("GET", Route::Jwks),
        ["oauth2", "token"] => ("POST", Route::AccessToken),
        _ => return Err(PathError::Unknown),
    };
    Ok(vec![choice])
}

fn data(db: &str, schema: &str, rest: &[&str]) -> Result<Choices, PathError> {
    let route = match rest {
        ["tables", table, "rows"] => {
            let table = TableName::new(&name(db)?, &name(schema)?, &name(table)?);
            Route::Elastic(PipeName::default_of(&table))
        }
        ["pipes", pipe, "channels", channel, "filebuffer"] => {
            Route::Register(pipe_name(db, schema, pipe)?.channel(&name(channel)?))
        }
        ["pipes", pipe, "channels", channel, "rows"] => {
            let channel = pipe_name(db, schema, pipe)?.channel(&name(channel)?);
            if channel.is_elastic() { Route::Elastic(channel.pipe) } else { Route::Append(channel) }
        }
        _ => return Err(PathError::Unknown),
    };
    Ok(vec![("POST", route)])
}

fn control(db: &str, schema: &str, rest: &[&str]) -> Result<Choices, PathError> {
    let choices = match rest {
        [pipe, "channels", channel] => {
            let spelling = name(channel)?;
            let name = pipe_name(db, schema, pipe)?.channel(&spelling);
            let open = Route::Open { name: name.clone(), spelling };
            vec![("PUT", open), ("DELETE", Route::Drop(name))]
        }
        [last] => {
            // The last colon: a name may have colons of its own.
            let (pipe, action) = last.rsplit_once(':').ok_or(PathError::Unknown)?;
            let pipe = pipe_name(db, schema, pipe)?;
            match action {
                "bulk-channel-status" => vec![("POST", Route::Status(pipe))],
                "pipe-info" => vec![("POST", Route::PipeInfo(pipe))],
                _ => return Err(PathError::Unknown),
            }
        }
        _ => return Err(PathError::Unknown),
    };
    Ok(choices)
}

fn pipe_name(db: &str, schema: &str, pipe: &str) -> Result<PipeName, PathError> {
    Ok(PipeName::new(&name(db)?, &name(schema)?, &name(pipe)?))
}

fn name(segment: &str) -> Result<String, PathError> {
    let decoded = percent_decode_str(segment).decode_utf8();
    match decoded {
        Ok(name) if !name.is_empty() && name != "\"\"" => Ok(name.into_owned()),
        _ => Err(PathError::BadName),
    }
}

fn wrong_method(allowed: &[&str]) -> Refusal {
    Refusal::new(405, "ERR_METHOD_NOT_ALLOWED", format!("Allowed here: {}.", allowed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &str, path: &str) -> Result<Route, u16> {
        Route::find(method, path).map_err(|refusal| refusal.status)
    }

    #[test]
    fn paths_name_what_they_ask_for() {
        let pipe = PipeName::new("D", "S", "\"my t-STREAMING\"");
        assert_eq!(
            find("POST", "/v2/streaming/databases/d/schemas/s/pipes/%22my%20t-STREAMING%22:pipe-info"),
            Ok(Route::PipeInfo(pipe))
        );
        let plain = PipeName::new("D", "S", "T-STREAMING");
        assert_eq!(
            find("POST", "/v2/streaming/data/databases/d/schemas/s/tables/t/rows"),
            Ok(Route::Elastic(plain.clone()))
        );
        assert_eq!(
            find("POST", "/v2/streaming/data/databases/d/schemas/s/pipes/t-streaming/channels/a%2Fb/rows"),
            Ok(Route::Append(plain.channel("A/B")))
        );
        assert_eq!(
            find("POST", "/v2/streaming/data/databases/d/schemas/s/pipes/t-streaming/channels/ELASTIC/rows"),
            Ok(Route::Elastic(plain))
        );
    }

    #[test]
    fn unknown_paths_and_wrong_methods_have_different_statuses() {
        let channel = "/v2/streaming/databases/d/schemas/s/pipes/p/channels/c";
        assert_eq!(find("POST", channel), Err(405));
        assert_eq!(find("POST", &format!("{channel}/rows")), Err(404));
        assert_eq!(find("PUT", &format!("{channel}/")), Err(404));
        assert_eq!(find("POST", "/v2/streaming/hostname"), Err(405));
        assert_eq!(find("POST", "/v2/streaming/databases/d/schemas/s/pipes/p:what"), Err(404));
        assert_eq!(find("PUT", "/v2/streaming/databases//schemas/s/pipes/p/channels/c"), Err(400));
        assert_eq!(find("GET", "/"), Err(404));
    }
}
