//! `snowpipe emulator --hiiretail`: the other service, beside the first one.

use std::path::Path;
use std::{fs, io};

use snowpipe_streaming::emulator::HiiRetail;

use crate::{Result, misuse, print_error};

/// With the client of an earlier run in the folder: programs that have it should be able to go on after a restart.
pub(super) fn start(dir: &Path, port: u16, tls: bool) -> Result<HiiRetail> {
    let mut builder = HiiRetail::builder().port(port);
    if let Some([tenant, id, secret]) = earlier_client(&dir.join(VARIABLES))? {
        builder = builder.tenant(tenant).client(id, secret);
    }
    let builder = if tls { builder.tls() } else { builder };
    builder.start().map_err(|error| misuse(super::not_started("Hii Retail", port, "--hiiretail-port", &error)))
}

/// Tenant, id and secret; `None` if there is no file, or not all of them in it.
fn earlier_client(file: &Path) -> Result<Option<[String; 3]>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if super::missing(&error) => return Ok(None),
        Err(error) => return Err(super::unreadable(file, &error)),
    };
    let value = |name: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.next().filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let [tenant, id, secret] = CLIENT.map(value);
    Ok(tenant.zip(id).zip(secret).map(|((tenant, id), secret)| [tenant, id, secret]))
}

/// Writes the variables that its clients read, and says where it listens. Standard output is for the first service.
pub(super) fn write_variables(dir: &Path, service: &HiiRetail) -> io::Result<()> {
    let [tenant_name, id_name, secret_name] = CLIENT;
    let (tenant, id, secret, url) = (service.tenant(), service.client_id(), service.client_secret(), service.url());
    let mut variables = format!(
        "{tenant_name}={tenant}\n{id_name}={id}\n{secret_name}={secret}\nHIIRETAIL_AUTH_URL={url}\nHIIRETAIL_API_URL={url}\n"
    );
    if let Some(pem) = service.ca_pem() {
        let file = dir.join("hiiretail-ca.pem");
        fs::write(&file, pem)?;
        variables.push_str(&format!("HIIRETAIL_CA_FILE={}\n", file.display()));
    }
    super::write_secret(&dir.join(VARIABLES), &variables)?;
    print_error(format_args!("Hii Retail is listening on {url}\n"));
    Ok(())
}

const VARIABLES: &str = "hiiretail.env";
const CLIENT: [&str; 3] = ["HIIRETAIL_TENANT_ID", "HIIRETAIL_CLIENT_ID", "HIIRETAIL_CLIENT_SECRET"];
