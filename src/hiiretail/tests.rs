//! The client with a clock that tests move: expiries, retries, pauses, pages.

mod calls;
mod lifetimes;
mod lists;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use super::{Iam, IamBuilder, Ocms};
use crate::clock::{Clock, FakeClock, ServerClock};
use crate::http::{Origin, Script, Sender, Transport};

const TOKEN: &str = r#"{"access_token":"token-1","token_type":"Bearer","expires_in":3600}"#;
const ANOTHER: &str = r#"{"access_token":"token-2","token_type":"Bearer","expires_in":3600}"#;

/// A client whose every request goes to a transport of the test.
fn client_of(builder: IamBuilder, clock: &Arc<FakeClock>, transport: impl Transport + Clone + 'static) -> Iam {
    let (retries, its_clock) = (builder.retries(), clock.clone());
    let connector = move |_: &Origin, server_clock: Arc<ServerClock>| {
        Ok(Sender::new(Box::new(transport.clone()), retries, its_clock.clone(), server_clock))
    };
    builder.assemble(clock.clone(), Arc::new(connector)).unwrap()
}

fn builder() -> IamBuilder {
    Iam::builder("my-tenant", Ocms::new("till-7", "open-sesame").token_url("https://auth.example/oauth2/token"))
        .api_url("https://iam.example")
}

/// The responses of the script come in order, the token's included.
fn scripted(script: &Script, builder: IamBuilder) -> (Iam, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::new());
    // Tells the script which clock moves while it does not respond.
    script.sender(&clock, Duration::ZERO);
    (client_of(builder, &clock, script.clone()), clock)
}

fn seconds(passed: &FakeClock, since: crate::clock::Moment) -> u64 {
    passed.now().since(since).as_secs()
}
