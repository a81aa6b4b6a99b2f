use std::fmt;

use super::Origin;

/// Where a request goes, for errors and logs: `h.example:443 through the proxy p.example:3128`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Route {
    /// Host and port.
    pub(crate) server: String,
    /// Host and port of the proxy, without user and password. `None` without a proxy.
    pub(crate) proxy: Option<String>,
}

impl Route {
    pub(crate) fn direct(origin: &Origin) -> Route {
        Route { server: origin.host_and_port(), proxy: None }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server)?;
        match &self.proxy {
            Some(proxy) => write!(f, " through the proxy {proxy}"),
            None => Ok(()),
        }
    }
}
