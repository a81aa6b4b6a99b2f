//! The `HIIRETAIL_…` variables, those of Hii Retail's own tools. A value that cannot be read is an error, never a default.

use std::fs;
use std::time::Duration;

use super::iam::IamBuilder;
use super::ocms::Ocms;
use super::rules;
use crate::auth::ClientSecret;
use crate::client::environment::Variables;
use crate::error::{Error, ErrorKind, looks_secret, shown, shown_path};
use crate::secret::Secret;

impl IamBuilder {
    /// What the `HIIRETAIL_…` variables say, [which the module lists](super#environment-variables); calls on the builder then win
    /// over them.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config): a variable is missing or wrong. The message names it.
    pub fn from_environment() -> Result<IamBuilder, Error> {
        builder(Variables::of_process())
    }
}

fn builder(variables: Variables<'_>) -> Result<IamBuilder, Error> {
    let tenant = required(variables, TENANT_ID)?;
    let mut client = Ocms::new(required(variables, CLIENT_ID)?, secret(variables)?);
    if let Some(url) = variables.text(AUTH_URL)? {
        client = client.issuer(url);
    }
    if let Some(url) = variables.text(TOKEN_URL)? {
        client = client.token_url(url);
    }
    if let Some(audience) = variables.text(AUDIENCE)? {
        rules::audience(&audience).map_err(|error| in_variable(error, AUDIENCE))?;
        client = client.audience(audience);
    }
    if let Some(scopes) = variables.text(SCOPES)? {
        client = client.scopes(scopes.split([',', ' ']).filter(|scope| !scope.is_empty()));
    }
    let mut builder = IamBuilder::new(tenant, client);
    if let Some(name) = variables.text(ENVIRONMENT)? {
        builder = builder.environment(name.parse().map_err(|error| in_variable(error, ENVIRONMENT))?);
    }
    if let Some((_, url)) = one_of(variables, [API_URL, BASE_URL])? {
        builder = builder.api_url(url);
    }
    if let Some((name, text)) = one_of(variables, [TIMEOUT_SECONDS, TIMEOUT])? {
        let timeout =
            duration(&text).ok_or_else(|| unreadable(name, &text, "a number of seconds, such as 30 or 30s"))?;
        rules::timeout(timeout).map_err(|error| in_variable(error, name))?;
        builder = builder.timeout(timeout);
    }
    if let Some(text) = variables.text(MAX_RETRIES)? {
        let retries = text.trim().parse().map_err(|_| unreadable(MAX_RETRIES, &text, "a whole number from 0 to 10"))?;
        rules::max_retries(retries).map_err(|error| in_variable(error, MAX_RETRIES))?;
        builder = builder.max_retries(retries);
    }
    if let Some(path) = variables.text(CA_FILE)? {
        builder = builder.extra_roots(authorities(&path)?);
    }
    Ok(builder)
}

fn authorities(path: &str) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| {
        let reason =
            format!("the variable {CA_FILE} names {}, which cannot be read: {error}", shown_path(path.as_ref()));
        Error::new(ErrorKind::Config, reason).advise("set it to a file with PEM certificates").with_source(error)
    })
}

fn secret(variables: Variables<'_>) -> Result<ClientSecret, Error> {
    match (variables.text(CLIENT_SECRET)?, variables.text(CLIENT_SECRET_FILE)?) {
        (Some(secret), None) => Ok(Secret::new(secret).into()),
        (None, Some(path)) => Ok(ClientSecret::from_file(path)),
        (None, None) => Err(missing(&format!("{CLIENT_SECRET} or {CLIENT_SECRET_FILE}"))),
        (Some(_), Some(_)) => Err(Error::new(
            ErrorKind::Config,
            format!("the variables {CLIENT_SECRET} and {CLIENT_SECRET_FILE} are both set"),
        )
        .advise("unset one of them")),
    }
}

fn required(variables: Variables<'_>, name: &str) -> Result<String, Error> {
    variables.text(name)?.ok_or_else(|| missing(name))
}

/// Two names of one setting: both may be set, but not to different values.
fn one_of(variables: Variables<'_>, names: [&'static str; 2]) -> Result<Option<(&'static str, String)>, Error> {
    let [first, second] = [variables.text(names[0])?, variables.text(names[1])?];
    if first.is_some() && second.is_some() && first != second {
        let reason = format!("the variables {} and {} are set to different values", names[0], names[1]);
        return Err(Error::new(ErrorKind::Config, reason).advise("unset one of them"));
    }
    Ok(first.map(|text| (names[0], text)).or(second.map(|text| (names[1], text))))
}

/// `30`, `30s`, `500ms`, `2m`.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u32 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "" | "s" => Some(Duration::from_secs(number.into())),
        "ms" => Some(Duration::from_millis(number.into())),
        "m" => Some(Duration::from_secs(u64::from(number) * 60)),
        _ => None,
    }
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the variable {name} is not set")).advise("set it, or use Iam::builder")
}

fn unreadable(name: &str, text: &str, demand: &str) -> Error {
    let text = match text.trim() {
        // It may have got the value of another.
        secret if looks_secret(secret) => shown(secret),
        text => format!("{:?}", text.chars().take(MAX_SHOWN).collect::<String>()),
    };
    Error::new(ErrorKind::Config, format!("the variable {name} is {text}")).advise(format!("set it to {demand}"))
}

fn in_variable(error: Error, name: &str) -> Error {
    error.into_kind(ErrorKind::Config, &format!("the variable {name} cannot be used"))
}

const TENANT_ID: &str = "HIIRETAIL_TENANT_ID";
const CLIENT_ID: &str = "HIIRETAIL_CLIENT_ID";
const CLIENT_SECRET: &str = "HIIRETAIL_CLIENT_SECRET";
const CLIENT_SECRET_FILE: &str = "HIIRETAIL_CLIENT_SECRET_FILE";
const ENVIRONMENT: &str = "HIIRETAIL_ENVIRONMENT";
const AUTH_URL: &str = "HIIRETAIL_AUTH_URL";
const TOKEN_URL: &str = "HIIRETAIL_TOKEN_URL";
const API_URL: &str = "HIIRETAIL_API_URL";
const BASE_URL: &str = "HIIRETAIL_BASE_URL";
const AUDIENCE: &str = "HIIRETAIL_AUDIENCE";
const CA_FILE: &str = "HIIRETAIL_CA_FILE";
const SCOPES: &str = "HIIRETAIL_SCOPES";
const TIMEOUT_SECONDS: &str = "HIIRETAIL_TIMEOUT_SECONDS";
const TIMEOUT: &str = "HIIRETAIL_TIMEOUT";
const MAX_RETRIES: &str = "HIIRETAIL_MAX_RETRIES";
/// Enough to recognise what was given.
const MAX_SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const TRIO: [(&str, &str); 3] = [
        ("HIIRETAIL_TENANT_ID", "my-tenant"),
        ("HIIRETAIL_CLIENT_ID", "till-7"),
        ("HIIRETAIL_CLIENT_SECRET", "open-sesame"),
    ];

    fn build(more: &[(&str, &str)]) -> Result<String, Error> {
        of(&[&TRIO, more].concat())
    }

    /// What the builder is, as text; and whether it can be built.
    fn of(set: &[(&str, &str)]) -> Result<String, Error> {
        let look_up = |name: &str| set.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        let builder = builder(Variables::new(&look_up))?;
        let shown = format!("{builder:?}");
        builder.no_proxy().build()?;
        Ok(shown)
    }

    #[test]
    fn three_variables_are_enough() {
        let shown = build(&[]).unwrap();
        for part in ["my-tenant", "till-7", "Production", "timeout: 30s", "max_retries: 3", "https://hiiretail.com"] {
            assert!(shown.contains(part), "{part} is missing in {shown}");
        }
        assert!(!shown.contains("sesame"), "{shown}");
    }

    #[test]
    fn each_missing_variable_is_named() {
        for index in 0..3 {
            let mut set = TRIO.to_vec();
            let (name, _) = set.remove(index);
            let error = of(&set).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(name) && !error.to_string().contains("sesame"), "{error}");
        }
    }

    #[test]
    fn every_setting_has_its_variable() {
        for (name, value, part) in [
            ("HIIRETAIL_ENVIRONMENT", "test", "environment: Test"),
            ("HIIRETAIL_SCOPES", "iam:read, iam:write", "Some(\"iam:read iam:write\")"),
            ("HIIRETAIL_AUDIENCE", "https://other.example", "https://other.example"),
            ("HIIRETAIL_API_URL", "https://iam.example", "https://iam.example"),
            ("HIIRETAIL_BASE_URL", "https://iam.example", "https://iam.example"),
            ("HIIRETAIL_TIMEOUT_SECONDS", "45", "timeout: 45s"),
            ("HIIRETAIL_TIMEOUT", "90s", "timeout: 90s"),
            ("HIIRETAIL_TIMEOUT", "1500ms", "timeout: 1.5s"),
            ("HIIRETAIL_TIMEOUT", "2m", "timeout: 120s"),
            ("HIIRETAIL_MAX_RETRIES", "0", "max_retries: 0"),
        ] {
            let shown = build(&[(name, value)]).unwrap();
            assert!(shown.contains(part), "{name}={value}: {shown}");
        }
        assert!(build(&[("HIIRETAIL_TOKEN_URL", "https://auth.example/t")]).is_ok());
        assert!(build(&[("HIIRETAIL_AUTH_URL", "https://auth.example")]).is_ok());
    }

    #[test]
    fn the_secret_may_be_in_a_file_and_calls_win_over_variables() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "open-sesame\n").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let look_up = |name: &str| match name {
            "HIIRETAIL_CLIENT_SECRET_FILE" => Some(path.clone().into()),
            // As good as unset.
            "HIIRETAIL_CLIENT_SECRET" | "HIIRETAIL_TOKEN_URL" => Some("".into()),
            "HIIRETAIL_TIMEOUT" => Some("45s".into()),
            _ => TRIO.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()),
        };
        let builder = builder(Variables::new(&look_up)).unwrap().timeout(Duration::from_secs(7));
        let shown = format!("{builder:?}");
        assert!(shown.contains("timeout: 7s") && !shown.contains("sesame"), "{shown}");
        builder.no_proxy().build().unwrap();
    }

    #[test]
    fn a_value_that_cannot_be_read_is_an_error_that_names_the_variable() {
        for (name, value) in [
            ("HIIRETAIL_TENANT_ID", "my tenant"),
            ("HIIRETAIL_CLIENT_ID", "till 7"),
            ("HIIRETAIL_CLIENT_SECRET", "sesame7"),
            ("HIIRETAIL_ENVIRONMENT", "tests"),
            ("HIIRETAIL_TIMEOUT_SECONDS", "soon"),
            ("HIIRETAIL_TIMEOUT_SECONDS", "0"),
            ("HIIRETAIL_TIMEOUT", "301s"),
            ("HIIRETAIL_TIMEOUT", "-1s"),
            ("HIIRETAIL_TIMEOUT", "99999999999999"),
            ("HIIRETAIL_MAX_RETRIES", "11"),
            ("HIIRETAIL_MAX_RETRIES", "three"),
            ("HIIRETAIL_API_URL", "http://iam.example"),
            ("HIIRETAIL_TOKEN_URL", "http://auth.example/oauth2/token"),
            ("HIIRETAIL_AUTH_URL", "http://auth.example"),
        ] {
            let error = build(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{name}");
            assert!(!error.to_string().contains("sesame"), "{error}");
            let is_of_reading = ["ENVIRONMENT", "TIMEOUT", "RETRIES"].iter().any(|part| name.contains(part));
            assert!(!is_of_reading || error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn authorities_to_trust_are_read_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let shown = path.to_str().unwrap();
        let error = build(&[("HIIRETAIL_CA_FILE", shown)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(text.contains("HIIRETAIL_CA_FILE") && text.contains(shown), "{text}");
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert;
        let base64 = STANDARD.encode(certificate.der());
        let certificate = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        fs::write(&path, certificate).unwrap();
        assert!(build(&[("HIIRETAIL_CA_FILE", shown)]).unwrap().contains("BEGIN CERTIFICATE"));
        fs::write(&path, "no certificate").unwrap();
        assert_eq!(build(&[("HIIRETAIL_CA_FILE", shown)]).unwrap_err().kind(), ErrorKind::Config);
    }

    #[test]
    fn an_audience_of_spaces_is_refused_and_names_its_variable() {
        let error = build(&[("HIIRETAIL_AUDIENCE", "  ")]).unwrap_err();
        assert!(error.to_string().contains("the variable HIIRETAIL_AUDIENCE cannot be used"), "{error}");
        for blank in ["", " \t"] {
            let client = Ocms::new("till-7", "open-sesame").audience(blank);
            let error = IamBuilder::new("my-tenant".into(), client).no_proxy().build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains("the audience"), "{error}");
        }
    }

    #[test]
    fn a_url_with_a_fragment_is_refused_with_an_example_of_its_own_sort() {
        for (name, value, example) in [
            ("HIIRETAIL_API_URL", "https://iam.example#x", "https://iam-api.example.com"),
            ("HIIRETAIL_API_URL", "https://iam.example/#x", "https://iam-api.example.com"),
            ("HIIRETAIL_AUTH_URL", "https://auth.example#x", "https://auth.example.com"),
            ("HIIRETAIL_AUTH_URL", "https://auth.example/a#x", "https://auth.example.com"),
            ("HIIRETAIL_TOKEN_URL", "https://auth.example/t#x", "https://auth.example.com/oauth2/token"),
        ] {
            let error = build(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            let text = error.to_string();
            assert!(text.contains("has a fragment (#)") && text.ends_with(&format!("like {example}")), "{text}");
        }
    }

    #[test]
    fn a_secret_with_a_line_break_in_it_is_refused_and_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for content in ["open\nsesame", "open-sesame\n\n", "open\r\nsesame\r\n"] {
            fs::write(file.path(), content).unwrap();
            let client = Ocms::new("till-7", ClientSecret::from_file(file.path()));
            let error = IamBuilder::new("my-tenant".into(), client).no_proxy().build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            let text = error.to_string();
            assert!(text.contains("white space") && !text.contains("sesame"), "{text}");
        }
    }

    #[test]
    fn a_secret_in_the_wrong_variable_is_not_shown() {
        let secret = "0123456789abcdef".repeat(4);
        for name in ["HIIRETAIL_ENVIRONMENT", "HIIRETAIL_TIMEOUT", "HIIRETAIL_TIMEOUT_SECONDS", "HIIRETAIL_MAX_RETRIES"]
        {
            let error = build(&[(name, &secret)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("looks like a secret"), "{error}");
            assert!(!error.contains("01234567"), "{error}");
        }
    }

    #[test]
    fn two_names_of_one_setting_must_agree() {
        let both = |first, second| build(&[("HIIRETAIL_API_URL", first), ("HIIRETAIL_BASE_URL", second)]);
        assert!(both("https://a.example", "https://a.example").is_ok());
        let error = both("https://a.example", "https://b.example").unwrap_err();
        assert!(error.to_string().contains("HIIRETAIL_API_URL and HIIRETAIL_BASE_URL"), "{error}");
        let error = build(&[("HIIRETAIL_CLIENT_SECRET_FILE", "/run/secret")]).unwrap_err();
        assert!(error.to_string().contains("are both set"), "{error}");
    }
}
