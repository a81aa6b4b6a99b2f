//! Hii Retail: a group, a role of the tenant's own, and the one assigned to the other for one store.
//!
//! ```text
//! cargo run --features emulator,hiiretail --example iam
//! ```
//!
//! With `HIIRETAIL_TENANT_ID`, `HIIRETAIL_CLIENT_ID` and `HIIRETAIL_CLIENT_SECRET` it uses the real service, in the environment that
//! `HIIRETAIL_ENVIRONMENT` names; with none of the variables an emulator of its own. It may be run again at any time, and leaves nothing behind.

use std::env;
use std::error::Error;
use std::time::Duration;

use snowpipe_streaming::emulator::HiiRetail;
use snowpipe_streaming::hiiretail::{Iam, ListOptions, NewCustomRole, NewGroup, Ocms, RoleAssignment};

const GROUP: &str = "example-staff";
const ROLE: &str = "custom.example-cashier";

fn main() -> Result<(), Box<dyn Error>> {
    let is_configured = env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("HIIRETAIL_"));
    let emulator = if is_configured { None } else { Some(HiiRetail::start()?) };
    let iam = match &emulator {
        Some(service) => {
            println!("service:   an emulator of its own, as no variable HIIRETAIL_… is set");
            let client = Ocms::new(service.client_id(), service.client_secret()).issuer(service.url());
            Iam::builder(service.tenant(), client).api_url(service.url()).build()?
        }
        None => Iam::from_environment()?,
    };
    // What a run that was interrupted has left behind.
    clean_up(&iam)?;

    let group = iam.groups().create(&NewGroup::new("Example staff").id(GROUP).description("Made by an example"))?;
    println!("group:     {} {:?}", group.id, group.name);
    let role = iam.custom_roles().create(&NewCustomRole::new(ROLE, ["pos.receipt.print"]).name("Example cashier"))?;
    println!("role:      {} with {} permission", role.id, role.permissions.len());
    iam.groups().assign_role(&group.id, &RoleAssignment::new(&role.id, ["bu:001"]))?;
    let assigned = iam.groups().wait_for_role(&group.id, &role.id, Duration::from_secs(10))?;
    println!("assigned:  {} on {}", assigned.role_id, assigned.bindings.join(", "));
    for group in iam.groups().list_with(&ListOptions::new().search("Example")) {
        println!("listed:    {}", group?.name);
    }
    clean_up(&iam)?;
    println!("deleted:   group and role");
    Ok(())
}

fn clean_up(iam: &Iam) -> Result<(), Box<dyn Error>> {
    for group in iam.groups().list_with(&ListOptions::new().search("Example staff")) {
        if group?.id == GROUP {
            iam.groups().unassign_role_if_assigned(GROUP, ROLE)?;
        }
    }
    iam.groups().delete_if_exists(GROUP)?;
    iam.custom_roles().delete_if_exists(ROLE)?;
    Ok(())
}
