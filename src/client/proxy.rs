use crate::client::environment::Variables;
use crate::error::Error;
use crate::http::{Bypass, Origin, Proxy};
use crate::secret::Secret;

/// Which proxy to use, as configured by the caller.
#[derive(Clone, Debug, Default)]
pub(crate) enum ProxyChoice {
    /// The one in the environment variables of the process, if any.
    #[default]
    Environment,
    Given(Secret),
    Direct,
}

impl ProxyChoice {
    /// The proxy for connections to this origin. This machine is always reached directly.
    pub(crate) fn toward(&self, origin: &Origin, environment: Variables<'_>) -> Result<Option<Proxy>, Error> {
        let proxy = match self {
            ProxyChoice::Direct => None,
            ProxyChoice::Given(url) => Some(Proxy::parse(url.expose(), "the proxy that was given")?),
            // Tests against this machine must work even if the variables are unusable.
            ProxyChoice::Environment if origin.is_loopback() => None,
            ProxyChoice::Environment => of_environment(environment)?,
        };
        Ok(proxy.filter(|_| !origin.is_loopback()))
    }
}

/// The first variable that is set decides, and it is an error if it cannot be used: a direct connection would silently
/// bypass the configured proxy.
fn of_environment(environment: Variables<'_>) -> Result<Option<Proxy>, Error> {
    let bypass = bypass(environment)?;
    if bypass.is_for_all() {
        return Ok(None);
    }
    for name in VARIABLES {
        let Some(url) = environment.text(name)? else { continue };
        let url = Secret::new(url);
        let proxy = Proxy::parse(url.expose(), &format!("the variable {name}"))?;
        return Ok(Some(Proxy { bypass, ..proxy }));
    }
    Ok(None)
}

/// The variable in lower case goes first, as with curl.
fn bypass(environment: Variables<'_>) -> Result<Bypass, Error> {
    let list = match environment.text("no_proxy")? {
        Some(list) => list,
        None => environment.text("NO_PROXY")?.unwrap_or_default(),
    };
    Ok(Bypass::parse(&list))
}

/// Without HTTP_PROXY, which is for plain http: only this machine is reached over that.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn origin(url: &str) -> Origin {
        Origin::parse(url, "test URL").unwrap()
    }

    fn toward(choice: &ProxyChoice, url: &str, variables: &[(&str, &str)]) -> Result<Option<Proxy>, Error> {
        let look_up = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        choice.toward(&origin(url), Variables::new(&look_up))
    }

    fn host(variables: &[(&str, &str)]) -> Option<String> {
        toward(&ProxyChoice::Environment, "https://a.example", variables).unwrap().map(|proxy| proxy.host)
    }

    #[test]
    fn the_variables_decide_unless_the_caller_does() {
        let set = [("HTTPS_PROXY", "http://one.example"), ("ALL_PROXY", "http://two.example")];
        assert_eq!(host(&set).as_deref(), Some("one.example"));
        assert_eq!(host(&set[1..]).as_deref(), Some("two.example"));
        assert_eq!(host(&[("HTTP_PROXY", "http://plain.example")]), None);
        let given = ProxyChoice::Given(Secret::new("three.example:8080"));
        let proxy = toward(&given, "https://a.example", &set).unwrap().unwrap();
        assert_eq!((&*proxy.host, proxy.port), ("three.example", Some(8080)));
        assert!(toward(&ProxyChoice::Direct, "https://a.example", &set).unwrap().is_none());
    }

    #[test]
    fn an_unusable_variable_is_an_error_that_names_it() {
        for name in VARIABLES {
            for value in ["socks5://joe:sesame@proxy.example", "http://", "gopher://x"] {
                let error = toward(&ProxyChoice::Environment, "https://a.example", &[(name, value)]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Config);
                assert!(error.to_string().starts_with(&format!("the variable {name} ")), "{error}");
                assert!(!error.to_string().contains("sesame"), "{error}");
            }
        }
        let given = ProxyChoice::Given(Secret::new("socks5://proxy.example"));
        assert!(toward(&given, "http://127.0.0.1:1", &[]).is_err(), "wrong for any host");
    }

    #[test]
    fn this_machine_is_reached_directly() {
        let set = [("HTTPS_PROXY", "socks5://proxy.example")];
        let given = ProxyChoice::Given(Secret::new("http://proxy.example"));
        for url in ["http://127.0.0.1:1", "https://localhost", "http://[::1]:2"] {
            assert!(toward(&ProxyChoice::Environment, url, &set).unwrap().is_none(), "{url}");
            assert!(toward(&given, url, &[]).unwrap().is_none(), "{url}");
        }
    }

    #[test]
    fn the_hosts_of_no_proxy_are_reached_directly() {
        for name in ["no_proxy", "NO_PROXY"] {
            let set = [("HTTPS_PROXY", "http://proxy.example"), (name, "intra.example., 10.0.0.0/8")];
            let proxy = toward(&ProxyChoice::Environment, "https://a.example", &set).unwrap().unwrap();
            for (url, expected) in [
                ("https://a.example", true),
                ("https://x.intra.example", false),
                ("https://10.1.2.3", false),
                ("https://localhost", false),
            ] {
                assert_eq!(proxy.is_for(&origin(url)), expected, "{name} {url}");
            }
            assert_eq!(host(&[set[0], (name, "*")]), None);
        }
    }
}
