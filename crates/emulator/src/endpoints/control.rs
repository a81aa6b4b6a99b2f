//! Control endpoints, below `/_emulator/`: what the Rust API can do, for tests in any language.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::control::endpoint::Endpoint;
use crate::control::fault::Fault;
use crate::control::forms::{ErrorForm, WordForm};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::service::Service;
use crate::state::ledger::Retention;
use crate::state::name::PipeName;
use crate::state::table::Table;

pub(crate) const PREFIX: &str = "/_emulator/";

/// Carries out a control request; `action` is what follows the prefix.
pub(crate) fn carry_out(service: &Service, action: &str, request: &Request) -> Response {
    let outcome = match (request.method.as_str(), action) {
        ("GET", "health") => done(|| {}),
        ("GET", "rows") => rows(service, request),
        ("GET", "counts") => counts(service, request),
        ("GET", "requests") => Ok(Response::json(200, &json!(service.log.all()))),
        ("DELETE", "requests") => done(|| service.log.clear()),
        ("GET", "login-failures") => Ok(Response::json(200, &json!(service.credentials.failures()))),
        ("DELETE", "faults") => done(|| service.faults.clear()),
        // Before any of them parses what is left of the body.
        ("POST", _) if request.size.too_long => Err((413, "the body is too long".to_owned())),
        ("POST", "commits") => commits(service, &request.body),
        ("POST", "faults") => faults(service, &request.body),
        ("POST", "tokens") => tokens(service, &request.body),
        ("POST", "rejections") => rejections(service, &request.body),
        ("POST", "channels") => channels(service, &request.body),
        ("POST", "answers") => answers(service, &request.body),
        ("POST", "clock") => clock(service, &request.body),
        (_, known) if KNOWN.contains(&known) => Err((405, "this method is not allowed".to_owned())),
        _ => Err((404, format!("control endpoints are {}", KNOWN.join(", ")))),
    };
    outcome.unwrap_or_else(|(status, message)| Response::json(status, &json!({"message": message})))
}

type Outcome = Result<Response, (u16, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commits {
    hold: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    revoke: Option<String>,
    lifetime_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rejections {
    containing: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Channels {
    action: String,
    pipe: String,
    channel: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answers {
    words: Option<WordForm>,
    errors: Option<ErrorForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockOffset {
    offset_seconds: i64,
}

fn rows(service: &Service, request: &Request) -> Outcome {
    if service.ledger.lock().retention() == Retention::CountsOnly {
        return Err((409, "rows are counted and discarded; see /_emulator/counts".to_owned()));
    }
    let blocks = read_table(service, request, |table| table.blocks.clone())?;
    Ok(Response::streamed("application/x-ndjson", Box::new(blocks)))
}

fn counts(service: &Service, request: &Request) -> Outcome {
    let rows = read_table(service, request, |table| table.rows)?;
    Ok(Response::json(200, &json!({"rows": rows})))
}

/// Reads from the table that the request names; one that no row landed in is empty.
fn read_table<T: Default>(
    service: &Service,
    request: &Request,
    read: impl Fn(&Table) -> T,
) -> Result<T, (u16, String)> {
    let parameters = request.parameters();
    let name = parameters.get("table").ok_or_else(|| (400, "?table=DB.SCHEMA.TABLE is missing".to_owned()))?;
    service.read_table(name, read).ok_or_else(|| (400, format!("{name:?} is not DB.SCHEMA.TABLE")))
}

fn commits(service: &Service, body: &[u8]) -> Outcome {
    let Commits { hold } = parsed(body)?;
    let now_ms = service.clock.unix_ms();
    done(|| service.ledger.lock().hold_commits(hold, now_ms))
}

fn faults(service: &Service, body: &[u8]) -> Outcome {
    let fault = Fault::from_json(body, &Endpoint::ALL, Endpoint::name).map_err(|message| (400, message))?;
    done(|| service.faults.inject(fault))
}

fn tokens(service: &Service, body: &[u8]) -> Outcome {
    let tokens: Tokens = parsed(body)?;
    let credentials = &service.credentials;
    let revoked = match (tokens.revoke.as_deref(), tokens.lifetime_seconds) {
        (Some("scoped"), None) => credentials.scoped.revoke_all(),
        (Some("access"), None) => credentials.access.revoke_all(),
        (None, Some(seconds)) => return done(|| credentials.scoped.set_lifetime(seconds)),
        _ => {
            let message = "either \"revoke\": \"scoped\" or \"access\", or \"lifetime_seconds\": n";
            return Err((400, message.to_owned()));
        }
    };
    revoked.map_err(|error| (500, error.to_string()))?;
    done(|| ())
}

fn rejections(service: &Service, body: &[u8]) -> Outcome {
    let Rejections { containing } = parsed(body)?;
    done(|| service.reject_rows_containing(containing.as_deref().unwrap_or_default()))
}

fn channels(service: &Service, body: &[u8]) -> Outcome {
    let wanted: Channels = parsed(body)?;
    let pipe =
        PipeName::parse(&wanted.pipe).ok_or_else(|| (400, format!("{:?} is not DB.SCHEMA.PIPE", wanted.pipe)))?;
    let name = pipe.channel(&wanted.channel);
    let now_ms = service.clock.unix_ms();
    let found = match wanted.action.as_str() {
        "steal" => service.ledger.lock().steal(&name, now_ms),
        "expire" => service.ledger.lock().expire(&name, now_ms),
        _ => return Err((400, "\"action\" must be steal or expire".to_owned())),
    };
    if !found {
        return Err((404, format!("there is no channel {:?}", wanted.channel)));
    }
    done(|| ())
}

fn answers(service: &Service, body: &[u8]) -> Outcome {
    let Answers { words, errors } = parsed(body)?;
    let mut forms = service.forms.lock();
    forms.words = words.unwrap_or(forms.words);
    forms.errors = errors.unwrap_or(forms.errors);
    done(|| ())
}

fn clock(service: &Service, body: &[u8]) -> Outcome {
    let ClockOffset { offset_seconds } = parsed(body)?;
    done(|| service.clock.set_offset(offset_seconds))
}

fn done(action: impl FnOnce()) -> Outcome {
    action();
    Ok(Response::json(200, &Value::Object(serde_json::Map::new())))
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

/// Every action, for the messages to requests that have none of them or the wrong method.
const KNOWN: [&str; 12] = [
    "health",
    "answers",
    "rows",
    "counts",
    "requests",
    "commits",
    "faults",
    "tokens",
    "rejections",
    "channels",
    "clock",
    "login-failures",
];
