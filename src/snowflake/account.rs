use crate::error::{Error, ErrorKind, looks_secret, shown};
use crate::http::Origin;

/// An account identifier, and the two names that follow from it: the host name and the account name in a JWT.
///
/// Snowflake writes an account as `myorg-account123`, or as a locator with its region, `xy12345.us-east-2.aws`. A region,
/// `privatelink` and `global` belong in the host name only ("Account identifiers" and "Authenticating" in its
/// documentation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    identifier: String,
    jwt_name: String,
}

impl Account {
    /// Reads an identifier as the service shows it.
    ///
    /// The SQL form `myorg.account123` is refused: no host has that name, and its dot may separate organization and account
    /// or locator and region, which make different names in a JWT.
    pub(crate) fn parse(identifier: &str) -> Result<Account, Error> {
        let identifier = identifier.trim();
        if identifier.is_empty() {
            return Err(Error::new(ErrorKind::Config, "the account identifier is empty").advise(EXAMPLE));
        }
        if looks_secret(identifier) {
            return Err(refuse(identifier, "is not an account identifier").advise(EXAMPLE));
        }
        if let Some(Mistaken { what, advice }) = mistaken(identifier) {
            return Err(refuse(identifier, what).advise(advice));
        }
        if let Some(odd) = identifier.chars().find(|c| !is_allowed(*c)) {
            return Err(refuse(identifier, &format!("contains {odd:?}")).advise(EXAMPLE));
        }
        if identifier.split('.').any(|label| !is_label(label)) {
            let reason =
                "has a part that is empty or too long, or begins with a hyphen or an underscore, or ends with a hyphen";
            return Err(refuse(identifier, reason).advise(EXAMPLE));
        }
        if let Some((organization, account)) = dotted(identifier) {
            return Err(refuse(identifier, "has the dot of the SQL form, which no host name has")
                .advise(format!("write {organization}-{account}, or a locator with its whole region")));
        }
        Ok(Account { identifier: identifier.to_owned(), jwt_name: jwt_name(identifier) })
    }

    /// The same account with another name in its JWTs, for an account that does not follow the rule.
    pub(crate) fn with_jwt_name(self, name: &str) -> Result<Account, Error> {
        let name = name.trim();
        if name.is_empty() || !name.chars().all(|c| is_allowed(c) && c != '.') {
            let reason = format!("the JWT account name {} is not an account name", shown(name));
            return Err(Error::new(ErrorKind::Config, reason)
                .advise("give letters, digits, hyphens and underscores, without region: MYORG-ACCOUNT123"));
        }
        Ok(Account { jwt_name: name.to_ascii_uppercase(), ..self })
    }

    /// As it was given.
    pub(crate) fn identifier(&self) -> &str {
        &self.identifier
    }

    /// With hyphens for underscores, which no certificate covers. Regions of China have a domain of their own.
    pub(crate) fn host(&self) -> String {
        let labels = self.identifier.to_ascii_lowercase().replace('_', "-");
        let is_in_china = labels.split('.').skip(1).any(|label| label.starts_with(CHINESE_REGION));
        let domain = if is_in_china { CHINESE_DOMAIN } else { DOMAIN };
        format!("{labels}{domain}")
    }

    /// The account URL that follows from the identifier.
    pub(crate) fn url(&self) -> Result<String, Error> {
        let host = self.host();
        if host.split('.').any(|label| label.ends_with('-')) {
            let reason = "ends with an underscore, so no host name follows from it";
            return Err(refuse(&self.identifier, reason).advise("give the account URL"));
        }
        Ok(format!("https://{host}"))
    }

    /// The account in the claims `iss` and `sub`: in upper case, without region, with its underscores.
    pub(crate) fn jwt_name(&self) -> &str {
        &self.jwt_name
    }
}

/// The origin of an account URL.
pub(crate) fn account_origin(url: &str) -> Result<Origin, Error> {
    let example = "write it like https://myorg-account123.snowflakecomputing.com";
    if looks_secret(url) {
        return Err(
            Error::new(ErrorKind::Config, format!("the account URL {} is not a URL", shown(url))).advise(example)
        );
    }
    Origin::parse(url, "account URL").map_err(|error| error.or_advise(example))
}

/// An account of the form `NAME-EXTERNALID.global` is named by the part before its first hyphen, any other by its first
/// label.
fn jwt_name(identifier: &str) -> String {
    let mut labels = identifier.split('.');
    let first = labels.next().unwrap_or(identifier);
    let is_global = labels.any(|label| label.eq_ignore_ascii_case("global"));
    let name = if is_global { first.split('-').next().unwrap_or(first) } else { first };
    name.to_ascii_uppercase()
}

/// Organization and account of `myorg.account123`; `None` if the second part looks like a region.
fn dotted(identifier: &str) -> Option<(&str, &str)> {
    let (organization, account) = identifier.split_once('.')?;
    let is_region = account.contains(['-', '.']) || SUFFIXES.iter().any(|suffix| account.eq_ignore_ascii_case(suffix));
    (!is_region).then_some((organization, account))
}

/// Something else that was given as an identifier, and what to give.
struct Mistaken {
    what: &'static str,
    advice: String,
}

fn mistaken(text: &str) -> Option<Mistaken> {
    let lower = text.to_ascii_lowercase();
    let bare = lower.trim_start_matches("https://").trim_start_matches("http://");
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    if host == SNOWSIGHT {
        let advice = match path.split('/').collect::<Vec<_>>()[..] {
            [organization, account, ..] if is_label(organization) && is_label(account) => {
                format!("give {organization}-{account}")
            }
            _ => EXAMPLE.into(),
        };
        return Some(Mistaken { what: "is the address of the web interface", advice });
    }
    let what = if lower.contains("://") || lower.contains('/') { "is a URL" } else { "is a host name" };
    let host = host.split(':').next().unwrap_or(host);
    let identifier = DOMAINS.iter().find_map(|domain| host.strip_suffix(domain)).filter(|name| !name.is_empty());
    match identifier {
        Some(name) => Some(Mistaken { what, advice: instead_of(name, host) }),
        None if what == "is a URL" => Some(Mistaken { what, advice: EXAMPLE.into() }),
        None => None,
    }
}

/// What to give for a host name of the service.
fn instead_of(name: &str, host: &str) -> String {
    let follows = Account::parse(name).map_or_else(|_| host.to_owned(), |account| account.host());
    match host.ends_with(CHINESE_DOMAIN) && !follows.ends_with(CHINESE_DOMAIN) {
        // The identifier does not show that the account is in China.
        true => format!("give {name} as the account and https://{host} as the URL"),
        false => format!("give only the part before the service's domain, {name}"),
    }
}

fn refuse(identifier: &str, reason: &str) -> Error {
    // A URL may contain a password.
    let shown = if identifier.contains('@') { "given".into() } else { shown(identifier) };
    Error::new(ErrorKind::Config, format!("the account identifier {shown} {reason}"))
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn is_label(label: &str) -> bool {
    let is_framed = label.starts_with(['-', '_']) || label.ends_with('-');
    (1..=MAX_LABEL).contains(&label.len()) && !is_framed && label.chars().all(is_allowed)
}

const DOMAIN: &str = ".snowflakecomputing.com";
const CHINESE_DOMAIN: &str = ".snowflakecomputing.cn";
const DOMAINS: [&str; 2] = [DOMAIN, CHINESE_DOMAIN];
/// The regions `cn-north-1`, `cn-northwest-1`, …
const CHINESE_REGION: &str = "cn-";
/// Of a part of a host name (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;
const SNOWSIGHT: &str = "app.snowflake.com";

/// Second labels that are not an account, although they have no hyphen.
const SUFFIXES: [&str; 5] = ["privatelink", "global", "aws", "azure", "gcp"];

const EXAMPLE: &str = "write it like myorg-account123 or xy12345.us-east-2.aws (SELECT CURRENT_ORGANIZATION_NAME() || '-' || CURRENT_ACCOUNT_NAME())";

#[cfg(test)]
mod tests {
    use super::*;

    fn names(identifier: &str) -> (String, String) {
        let account = Account::parse(identifier).unwrap();
        (account.host(), account.jwt_name().to_owned())
    }

    #[test]
    fn host_and_jwt_name_follow_from_each_form_of_an_account() {
        for (identifier, host, jwt) in [
            ("myorg-account123", "myorg-account123", "MYORG-ACCOUNT123"),
            (" MyOrg-My_Account ", "myorg-my-account", "MYORG-MY_ACCOUNT"),
            ("xy12345", "xy12345", "XY12345"),
            ("xy12345.us-east-2.aws", "xy12345.us-east-2.aws", "XY12345"),
            ("xy12345.eu-central-1", "xy12345.eu-central-1", "XY12345"),
            ("xy12345.eu-central-1.privatelink", "xy12345.eu-central-1.privatelink", "XY12345"),
            ("myorg-account123.privatelink", "myorg-account123.privatelink", "MYORG-ACCOUNT123"),
            ("acme-ab12cd.global", "acme-ab12cd.global", "ACME"),
            ("acme.global", "acme.global", "ACME"),
            ("cn-north.us-east-2.aws", "cn-north.us-east-2.aws", "CN-NORTH"),
        ] {
            assert_eq!(names(identifier), (format!("{host}.snowflakecomputing.com"), jwt.into()), "{identifier}");
        }
    }

    #[test]
    fn an_account_in_china_has_the_host_of_its_region() {
        for identifier in
            ["abc.cn-northwest-1.aws", "abc.cn-north-1", "ABC.CN-Northwest-1.aws", "a.cn-north-1.privatelink"]
        {
            let host = format!("{}.snowflakecomputing.cn", identifier.to_lowercase());
            assert_eq!(Account::parse(identifier).unwrap().host(), host);
            assert_eq!(Account::parse(identifier).unwrap().url().unwrap(), format!("https://{host}"));
        }
    }

    #[test]
    fn the_advice_for_a_pasted_url_leads_to_the_same_host() {
        for (pasted, advice) in [
            ("https://abc.cn-northwest-1.aws.snowflakecomputing.cn", "domain, abc.cn-northwest-1.aws"),
            ("abc.cn-northwest-1.aws.snowflakecomputing.com", "domain, abc.cn-northwest-1.aws"),
            (
                "https://MyOrg-acct.snowflakecomputing.cn/console",
                "give myorg-acct as the account and https://myorg-acct.snowflakecomputing.cn as the URL",
            ),
        ] {
            let error = Account::parse(pasted).unwrap_err().to_string();
            assert!(error.ends_with(advice), "{error}");
        }
    }

    #[test]
    fn an_account_without_a_host_name_needs_a_url() {
        let account = Account::parse("myorg-acct_").unwrap();
        assert_eq!(account.jwt_name(), "MYORG-ACCT_");
        assert!(account.url().unwrap_err().to_string().ends_with("give the account URL"));
    }

    #[test]
    fn a_secret_given_for_an_account_or_a_url_is_not_repeated() {
        for given in [
            "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDB9.c2lnbmF0dXJl",
            "https://eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDB9.c2lnbmF0dXJl",
            "-----BEGIN PRIVATE KEY-----\neyJhbGciOiJSUzI1NiJ9",
        ] {
            let account = Account::parse(given).unwrap_err();
            let url = account_origin(given).unwrap_err();
            let name = Account::parse("a").unwrap().with_jwt_name(given).unwrap_err();
            let shown = format!("{account} {account:?} {url} {url:?} {name} {name:?}");
            assert!(!shown.contains("eyJhbGci") && !shown.contains("leHAiOj"), "{shown}");
        }
    }

    #[test]
    fn anything_but_an_identifier_is_refused_with_the_part_to_give() {
        for (given, advice) in [
            ("https://myorg-account123.snowflakecomputing.com", "myorg-account123"),
            ("https://myorg-account123.snowflakecomputing.com:443/x", "myorg-account123"),
            ("xy12345.us-east-2.aws.snowflakecomputing.com", "xy12345.us-east-2.aws"),
            ("abc.snowflakecomputing.cn", "https://abc.snowflakecomputing.cn"),
            ("_a-b", "myorg-account123"),
            ("org._a-b", "myorg-account123"),
            ("https://app.snowflake.com/myorg/account123/#/homepage", "myorg-account123"),
            ("https://example.com", "myorg-account123"),
            ("myorg.account123", "myorg-account123"),
            ("my org", "myorg-account123"),
            ("konto-ä", "myorg-account123"),
            (".a", "myorg-account123"),
            ("a..b-c", "myorg-account123"),
            ("-a", "myorg-account123"),
            ("  ", "myorg-account123"),
            (".snowflakecomputing.com", "myorg-account123"),
        ] {
            let error = Account::parse(given).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{given}");
            assert!(error.to_string().contains(advice), "{given}: {error}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let error = Account::parse("https://joe:hunter2@a.snowflakecomputing.com").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }

    #[test]
    fn the_name_in_a_jwt_can_be_given() {
        let account = Account::parse("xy12345.eu-central-1").unwrap();
        assert_eq!(account.clone().with_jwt_name("myorg-Acc_1").unwrap().jwt_name(), "MYORG-ACC_1");
        assert!(account.clone().with_jwt_name("a.b").is_err());
        assert!(account.with_jwt_name(" ").is_err());
    }
}
