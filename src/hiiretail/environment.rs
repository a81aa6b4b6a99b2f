use crate::error::{Error, ErrorKind, shown};

/// Which installation of Hii Retail a client talks to. It is never guessed: ids of tenants say nothing about it.
///
/// ```
/// use snowpipe_streaming::hiiretail::Environment;
///
/// assert_eq!(Environment::default(), Environment::Production);
/// assert_eq!("test".parse::<Environment>()?, Environment::Test);
/// assert_eq!(Environment::Test.api_url(), "https://iam-api.retailsvc-test.com");
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Environment {
    /// `auth.retailsvc.com` and `iam-api.retailsvc.com`.
    #[default]
    Production,
    /// `auth.retailsvc-test.com` and `iam-api.retailsvc-test.com`.
    Test,
    /// `auth.retailsvc-staging.com` and `iam-api.retailsvc-staging.com`.
    Staging,
    /// `auth.retailsvc-dev.com` and `iam-api.retailsvc-dev.com`.
    Development,
}

impl Environment {
    /// The issuer of its tokens: OCMS.
    pub fn auth_url(self) -> &'static str {
        match self {
            Environment::Production => "https://auth.retailsvc.com",
            Environment::Test => "https://auth.retailsvc-test.com",
            Environment::Staging => "https://auth.retailsvc-staging.com",
            Environment::Development => "https://auth.retailsvc-dev.com",
        }
    }

    /// The IAM API.
    pub fn api_url(self) -> &'static str {
        match self {
            Environment::Production => "https://iam-api.retailsvc.com",
            Environment::Test => "https://iam-api.retailsvc-test.com",
            Environment::Staging => "https://iam-api.retailsvc-staging.com",
            Environment::Development => "https://iam-api.retailsvc-dev.com",
        }
    }
}

/// Its name in any case, or one of the short forms `prod`, `live`, `stage` and `dev`.
impl std::str::FromStr for Environment {
    type Err = Error;

    fn from_str(name: &str) -> Result<Environment, Error> {
        match name.trim().to_ascii_lowercase().as_str() {
            "production" | "prod" | "live" => Ok(Environment::Production),
            "test" => Ok(Environment::Test),
            "staging" | "stage" => Ok(Environment::Staging),
            "development" | "dev" => Ok(Environment::Development),
            _ => Err(Error::new(ErrorKind::Config, format!("there is no environment {}", shown(name)))
                .advise("give production, test, staging or development")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_environment_has_hosts_of_its_own() {
        use Environment::{Development, Production, Staging, Test};
        for (environment, domain) in [
            (Production, "retailsvc.com"),
            (Test, "retailsvc-test.com"),
            (Staging, "retailsvc-staging.com"),
            (Development, "retailsvc-dev.com"),
        ] {
            assert_eq!(environment.auth_url(), format!("https://auth.{domain}"));
            assert_eq!(environment.api_url(), format!("https://iam-api.{domain}"));
        }
    }

    #[test]
    fn an_environment_is_read_by_its_names_alone() {
        for name in ["production", "PROD", " live "] {
            assert_eq!(name.parse::<Environment>().unwrap(), Environment::Production);
        }
        for (name, environment) in [
            ("test", Environment::Test),
            ("staging", Environment::Staging),
            ("stage", Environment::Staging),
            ("development", Environment::Development),
            ("dev", Environment::Development),
        ] {
            assert_eq!(name.parse::<Environment>().unwrap(), environment);
        }
        for name in ["", "tests", "qa"] {
            let error = name.parse::<Environment>().unwrap_err();
            assert!(error.to_string().contains("give production, test, staging or development"), "{error}");
        }
    }
}
