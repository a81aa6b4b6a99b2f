use std::fmt;

use ::http::Uri;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::{Bypass, Origin};
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// A tunnelling proxy: it gets CONNECT requests and sees neither tokens nor rows.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) speaks_tls: bool,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<Secret>,
    pub(crate) password: Option<Secret>,
    /// What is reached directly; this machine always is.
    pub(crate) bypass: Bypass,
}

impl Proxy {
    /// Reads the URL of a proxy. `named` names it in errors: "the variable HTTPS_PROXY". The URL itself is not repeated, as
    /// it may contain a password.
    pub(crate) fn parse(url: &str, named: &str) -> Result<Proxy, Error> {
        let refuse = |reason: &str| Error::new(ErrorKind::Config, format!("{named} {reason}")).advise(EXAMPLE);
        let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
        let scheme = scheme.to_ascii_lowercase();
        let speaks_tls = match scheme.as_str() {
            "http" => false,
            "https" => true,
            _ if scheme.starts_with("socks") => return Err(refuse("is a SOCKS proxy, which is not supported")),
            _ => return Err(refuse("has a scheme other than http or https")),
        };
        let (userinfo, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        if userinfo.is_some_and(|userinfo| userinfo.contains(['/', '?', '#'])) {
            return Err(refuse("has a /, ? or # in user or password, which must be percent-encoded"));
        }
        let uri: Uri = format!("http://{place}").parse().map_err(|_| refuse("is not a URL"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| refuse("lacks a host"))?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(refuse("has a path"));
        }
        if uri.port_u16().is_none() && uri.authority().is_some_and(|authority| authority.as_str() != host) {
            return Err(refuse("has an invalid port"));
        }
        let (user, password) = userinfo.map_or((None, None), |userinfo| match userinfo.split_once(':') {
            Some((user, password)) => (Some(user), Some(password)),
            None => (Some(userinfo), None),
        });
        let decode = |text: Option<&str>| text.map(decoded).transpose().map_err(|()| refuse("is not a URL"));
        let (user, password) = (decode(user)?, decode(password)?);
        Ok(Proxy { speaks_tls, host: host.to_owned(), port: uri.port_u16(), user, password, bypass: Bypass::default() })
    }
}

impl Proxy {
    /// Whether requests to this origin go through the proxy.
    pub(crate) fn is_for(&self, origin: &Origin) -> bool {
        !origin.is_loopback() && !self.bypass.covers(origin.host(), origin.port())
    }

    /// With the port, also where the URL leaves it out; without user and password.
    pub(crate) fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port.unwrap_or(if self.speaks_tls { 443 } else { 80 }))
    }
}

/// Without user and password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

fn decoded(text: &str) -> Result<Secret, ()> {
    let bytes = Zeroizing::new(percent_decode_str(text).collect::<Vec<u8>>());
    std::str::from_utf8(&bytes).map(Secret::new).map_err(|_| ())
}

const EXAMPLE: &str = "write it like http://proxy.example:3128, or call proxy or no_proxy of the builder";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_with_scheme_port_and_credentials_or_without() {
        let proxy = Proxy::parse("https://joe:open%20s%40same@proxy.example:3128/", "x").unwrap();
        assert_eq!((proxy.speaks_tls, &*proxy.host, proxy.port), (true, "proxy.example", Some(3128)));
        assert_eq!(proxy.user.unwrap().expose(), "joe");
        assert_eq!(proxy.password.unwrap().expose(), "open s@same");
        let proxy = Proxy::parse(" proxy.example ", "x").unwrap();
        assert_eq!((proxy.speaks_tls, &*proxy.host, proxy.port), (false, "proxy.example", None));
        assert!(proxy.user.is_none() && proxy.password.is_none());
        assert_eq!(Proxy::parse("http://[::1]:8080", "x").unwrap().host, "[::1]");
        assert!(Proxy::parse("HTTP://joe@proxy.example:1", "x").unwrap().user.is_some());
    }

    #[test]
    fn a_proxy_is_for_all_hosts_but_this_machine_and_those_of_its_list() {
        let bypass = Bypass::parse("b.example");
        let proxy = Proxy { bypass, ..Proxy::parse("http://joe:sesame@proxy.example", "x").unwrap() };
        for (url, expected) in [
            ("https://a.example", true),
            ("https://x.b.example", false),
            ("https://localhost", false),
            ("http://127.0.0.1:1", false),
            ("http://[::1]:1", false),
        ] {
            assert_eq!(proxy.is_for(&Origin::parse(url, "test URL").unwrap()), expected, "{url}");
        }
        assert_eq!(proxy.host_and_port(), "proxy.example:80");
        assert_eq!(Proxy::parse("https://p.example", "x").unwrap().host_and_port(), "p.example:443");
        assert_eq!(Proxy::parse("http://[::1]:3128", "x").unwrap().host_and_port(), "[::1]:3128");
    }

    #[test]
    fn an_unusable_proxy_is_refused_by_name_and_never_repeated() {
        for (url, said) in [
            ("socks5://joe:sesame@proxy.example", "is a SOCKS proxy, which is not supported"),
            ("SOCKS4a://sesame.example", "is a SOCKS proxy, which is not supported"),
            ("ftp://joe:sesame@proxy.example", "has a scheme other than http or https"),
            ("http://joe:sesame@", "is not a URL"),
            ("http://joe:sesame@a b", "is not a URL"),
            ("http://joe:sesame%ff@proxy.example", "is not a URL"),
            ("http://joe:sesame@proxy.example/path", "has a path"),
            ("http://joe:ses/ame@proxy.example", "has a /, ? or # in user or password, which must be percent-encoded"),
            ("http://proxy.example:99999", "has an invalid port"),
            ("", "is not a URL"),
        ] {
            let error = Proxy::parse(url, "the variable ALL_PROXY").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            let shown = format!("{error} {error:?}");
            assert!(shown.starts_with(&format!("the variable ALL_PROXY {said}; write it like")), "{url}: {shown}");
            assert!(!shown.contains("sesame"), "{shown}");
        }
        let proxy = Proxy::parse("http://joe:sesame@proxy.example", "x").unwrap();
        assert_eq!(format!("{proxy:?}"), r#"Proxy { host: "proxy.example", port: None, .. }"#);
    }
}
