//! Control endpoints, below `/_emulator/`: what the Rust API can do, for tests in any language.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::access::TokenRefusal;
use super::ocms::clients::ClientState;
use super::ocms::discovery::DiscoveryForm;
use super::operation::Operation;
use super::platform::Platform;
use crate::control::fault::Fault;
use crate::http::request::Request;
use crate::http::response::Response;

pub(super) const PREFIX: &str = "/_emulator/";

/// Carries out a control request; `action` is what follows the prefix.
pub(super) fn carry_out(platform: &Platform, action: &str, request: &Request) -> Response {
    let body = &request.body;
    let outcome = match (request.method.as_str(), action) {
        ("GET", "health") => Ok(()),
        ("GET", "requests") => return Response::json(200, &json!(platform.log.all())),
        ("DELETE", "requests") => done(|| platform.log.clear()),
        ("POST", "faults") => Fault::from_json(body, Operation::ALL, Operation::name)
            .map(|fault| platform.faults.inject(fault))
            .map_err(|message| (400, message)),
        ("DELETE", "faults") => done(|| platform.faults.clear()),
        ("POST", "settings") => parsed(body).map(|settings: Settings| settings.apply(platform)),
        ("POST", "clients") => parsed(body).and_then(|client| set_state(platform, &client)),
        ("POST", "tokens") => parsed(body).map(|Tokens::Expire| platform.ocms.tokens.expire_all()),
        ("POST", "rate-limit") => parsed(body).map(|limit: RateLimit| limit.apply(platform)),
        (_, known) if KNOWN.contains(&known) => Err((405, "this method is not allowed".to_owned())),
        _ => Err((404, format!("control endpoints are {}", KNOWN.join(", ")))),
    };
    match outcome {
        Ok(()) => Response::json(200, &json!({})),
        Err((status, message)) => Response::json(status, &json!({"message": message})),
    }
}

type Outcome = Result<(), (u16, String)>;

/// What is absent stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    clock_offset_seconds: Option<i64>,
    token_lifetime_seconds: Option<u64>,
    refuse_tokens_as: Option<TokenRefusal>,
    discover_as: Option<DiscoveryForm>,
    settle_after_reads: Option<u32>,
    resources_per_page: Option<usize>,
    denied_permissions: Option<Vec<String>>,
}

impl Settings {
    fn apply(self, platform: &Platform) {
        if let Some(seconds) = self.clock_offset_seconds {
            platform.clock.set_offset(seconds);
        }
        if let Some(seconds) = self.token_lifetime_seconds {
            platform.ocms.tokens.set_lifetime(seconds);
        }
        if let Some(refusal) = self.refuse_tokens_as {
            platform.access.lock().refusal = refusal;
        }
        if let Some(form) = self.discover_as {
            *platform.ocms.discovery.lock() = form;
        }
        if let Some(reads) = self.settle_after_reads {
            platform.iam.lock().settle_after_reads = reads;
        }
        if let Some(count) = self.resources_per_page {
            platform.iam.lock().resources_per_page = count.max(1);
        }
        if let Some(permissions) = self.denied_permissions {
            platform.deny(permissions);
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    id: String,
    state: ClientState,
}

/// `"expire"`
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tokens {
    Expire,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimit {
    times: usize,
    retry_after: u64,
}

impl RateLimit {
    fn apply(self, platform: &Platform) {
        platform.ocms.rate_limit.lock().extend(std::iter::repeat_n(self.retry_after, self.times));
    }
}

fn set_state(platform: &Platform, wanted: &State) -> Outcome {
    let found = platform.ocms.clients.change(&wanted.id, |client| client.state = wanted.state);
    if found { Ok(()) } else { Err((404, format!("there is no client {:?}", wanted.id))) }
}

fn done(action: impl FnOnce()) -> Outcome {
    action();
    Ok(())
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

/// Every action, for the messages to requests that have none of them or the wrong method.
const KNOWN: [&str; 7] = ["health", "requests", "faults", "settings", "clients", "tokens", "rate-limit"];
