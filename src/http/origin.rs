use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ::http::Uri;

use crate::error::{Error, ErrorKind, clean, shown};

/// Scheme, host and port: what a credential is bound to.
///
/// Only https, and http to this machine itself: no secret is sent unencrypted over a network.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    scheme: &'static str,
    host: Arc<str>,
    port: Option<u16>,
}

impl Origin {
    /// Reads a URL without path and query. `role` names it in errors: "account URL". Where only an example can help, the
    /// error has no advice: the caller knows one.
    pub(crate) fn parse(url: &str, role: &str) -> Result<Origin, Error> {
        // A query may hold anything, and no origin has one.
        let beginning = url.split_once('?').map_or(url, |(beginning, _)| beginning);
        let refuse = |reason: &str| Error::new(ErrorKind::Config, format!("the {role} {} {reason}", shown(beginning)));
        if url.contains('@') {
            // The text itself may contain a password.
            let reason = format!("the {role} contains a user or a password");
            return Err(Error::new(ErrorKind::Config, reason).advise("leave out everything up to the @"));
        }
        if url.contains('#') {
            // Parsers drop it without a word.
            return Err(Error::new(ErrorKind::Config, format!("the {role} has a fragment (#)")));
        }
        let uri: Uri = url.trim().parse().map_err(|_| refuse("is not a URL"))?;
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(refuse("lacks https:// or a host"));
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(refuse("has a path").advise("give only scheme, host and port"));
        }
        let is_no_number =
            uri.port_u16().is_none() && uri.authority().is_some_and(|authority| authority.as_str() != host);
        if is_no_number || uri.port_u16() == Some(0) {
            return Err(refuse("has an invalid port").advise("give one from 1 to 65535, or leave it out"));
        }
        let host = host.to_ascii_lowercase();
        let scheme = match scheme {
            "https" => "https",
            "http" if is_loopback(&host) => "http",
            "http" => {
                return Err(
                    refuse("is not encrypted").advise("use https://; http is accepted for loopback addresses only")
                );
            }
            _ => return Err(refuse("has a scheme other than https")),
        };
        // Written or left out, it is the same origin (RFC 6454, section 4).
        let port = uri.port_u16().filter(|port| *port != default_port(scheme));
        Ok(Origin { scheme, host: host.into(), port })
    }

    /// The same scheme and port at another host; the caller has validated the host. Unencrypted, there is no other host: its
    /// name might lead to another machine.
    pub(crate) fn at_host(&self, host: &str) -> Result<Origin, Error> {
        if !self.is_encrypted() && *host != *self.host {
            let reason = format!("the connection to the host {:?} would not be encrypted", clean(host));
            return Err(Error::new(ErrorKind::Protocol, reason).advise(
                "no token was sent there; use https:// in the account URL, or check which server responds at it",
            ));
        }
        Ok(Origin { scheme: self.scheme, host: host.into(), port: self.port })
    }

    /// Whether the host is this machine itself.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.scheme == "https"
    }

    /// With the port, also where the URL leaves it out.
    pub(crate) fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(default_port(self.scheme))
    }

    /// Lower case, without the port.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// The beginning of a URL: `https://host:port`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where the URL names none (RFC 9110, sections 4.2.1 and 4.2.2).
fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// A name other than localhost is looked up, and the result may be another machine.
fn is_loopback(host: &str) -> bool {
    if host == "localhost" {
        return true;
    }
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse() {
        Ok(IpAddr::V4(address)) => Ipv4Addr::is_loopback(&address),
        Ok(IpAddr::V6(address)) => Ipv6Addr::is_loopback(&address),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_is_accepted_anywhere_and_http_on_loopback_only() {
        for good in [
            "https://a.snowflakecomputing.com",
            "https://a:8443/",
            "http://127.0.0.1:1",
            "http://[::1]:2",
            "http://LocalHost",
        ] {
            assert!(Origin::parse(good, "account URL").is_ok(), "{good}");
        }
        for bad in [
            "http://a.snowflakecomputing.com",
            "http://127.0.0.1.evil.example",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "127.0.0.1:8080",
            "https://a/path",
            "https://a/?q",
            "https://a:99999",
            "https://a:0",
            "http://127.0.0.1:0/",
            "https://a:",
            "",
        ] {
            let error = Origin::parse(bad, "account URL").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
            assert!(error.to_string().contains("account URL"), "{error}");
        }
    }

    #[test]
    fn what_looks_like_a_secret_in_a_url_is_not_repeated() {
        for url in [
            "https://h.example/?token=correct-horse",
            "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2ln",
            "9f86d081884c7d659a2feaa0c55ad015",
            "https://h.example:9f86d081884c7d659a2feaa0c55ad015",
        ] {
            let error = Origin::parse(url, "issuer").unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("the issuer ") && !shown.contains("horse"), "{shown}");
            assert!(!shown.contains("eyJhbGci") && !shown.contains("9f86d081"), "{shown}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_without_being_repeated() {
        let error = Origin::parse("https://joe:hunter2@a.example", "account URL").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn another_host_keeps_scheme_and_port_and_is_encrypted() {
        let at = |url, host| Origin::parse(url, "account URL").unwrap().at_host(host);
        assert_eq!(at("https://a.example:8443", "b.example").unwrap().to_string(), "https://b.example:8443");
        assert_eq!(at("http://127.0.0.1:8080", "127.0.0.1").unwrap().to_string(), "http://127.0.0.1:8080");
        for host in ["x.snowflakecomputing.com", "localhost", "127.0.0.2"] {
            let error = at("http://127.0.0.1:8080", host).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol);
            assert!(error.to_string().contains(host) && error.to_string().contains("not be encrypted"), "{error}");
        }
    }

    #[test]
    fn the_default_port_is_the_same_origin_written_or_left_out() {
        let origin = |url| Origin::parse(url, "account URL").unwrap();
        assert_eq!(origin("https://a:443"), origin("https://A"));
        assert_eq!(origin("http://[::1]:80").to_string(), "http://[::1]");
        assert_ne!(origin("https://a:80"), origin("https://a"));
    }

    #[test]
    fn a_place_has_a_port() {
        for (url, place) in [
            ("https://A.example", "a.example:443"),
            ("https://a:443/", "a:443"),
            ("http://[::1]", "[::1]:80"),
            ("https://a:8443", "a:8443"),
        ] {
            assert_eq!(Origin::parse(url, "account URL").unwrap().host_and_port(), place);
        }
    }
}
