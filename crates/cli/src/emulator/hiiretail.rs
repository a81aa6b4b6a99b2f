//! `snowpipe emulator --hiiretail`: the other service, beside the first one.

use std::io;
use std::path::Path;

use snowpipe_streaming::emulator::HiiRetail;

use crate::{Result, misuse, print_error};

pub(super) fn start(port: u16, tls: bool) -> Result<HiiRetail> {
    let builder = HiiRetail::builder().port(port);
    let builder = if tls { builder.tls() } else { builder };
    builder.start().map_err(|error| misuse(super::not_started("Hii Retail", port, "--hiiretail-port", &error)))
}

/// Writes the variables that its clients read, and says where it listens. Standard output is for the first service.
pub(super) fn write_variables(dir: &Path, service: &HiiRetail) -> io::Result<()> {
    if let Some(pem) = service.ca_pem() {
        std::fs::write(dir.join("hiiretail-ca.pem"), pem)?;
    }
    let (tenant, id, secret, url) = (service.tenant(), service.client_id(), service.client_secret(), service.url());
    let variables = format!(
        "HIIRETAIL_TENANT_ID={tenant}\nHIIRETAIL_CLIENT_ID={id}\nHIIRETAIL_CLIENT_SECRET={secret}\n\
         HIIRETAIL_AUTH_URL={url}\nHIIRETAIL_API_URL={url}\n"
    );
    super::write_secret(&dir.join("hiiretail.env"), &variables)?;
    print_error(format_args!("Hii Retail is listening on {url}\n"));
    Ok(())
}
