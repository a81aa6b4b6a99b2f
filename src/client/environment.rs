use std::env;
use std::ffi::OsString;
use std::fmt;

use crate::error::{Error, ErrorKind};

/// The environment variables of the process, or of a test. No other code reads the environment.
#[derive(Clone, Copy)]
pub(crate) struct Variables<'e> {
    look_up: &'e dyn Fn(&str) -> Option<OsString>,
}

impl Variables<'static> {
    pub(crate) fn of_process() -> Variables<'static> {
        Variables { look_up: &|name| env::var_os(name) }
    }
}

impl<'e> Variables<'e> {
    /// The variables of a test.
    #[cfg(test)]
    pub(crate) fn new(look_up: &'e dyn Fn(&str) -> Option<OsString>) -> Variables<'e> {
        Variables { look_up }
    }

    /// An empty variable counts as unset: not every shell can unset one.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(value) = (self.look_up)(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        // The value may be secret, so it is not shown.
        value.into_string().map(Some).map_err(|_| {
            Error::new(ErrorKind::Config, format!("the variable {name} is not valid UTF-8")).advise("set it again")
        })
    }
}

impl fmt::Debug for Variables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let look_up = |name: &str| (name != "MISSING").then(|| if name == "EMPTY" { "".into() } else { "x".into() });
        let environment = Variables::new(&look_up);
        assert_eq!(environment.text("MISSING").unwrap(), None);
        assert_eq!(environment.text("EMPTY").unwrap(), None);
        assert_eq!(environment.text("FULL").unwrap().as_deref(), Some("x"));
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_text_is_named_and_not_shown() {
        use std::os::unix::ffi::OsStringExt;

        let look_up = |_: &str| Some(OsString::from_vec(b"sesame\xff".to_vec()));
        let error = Variables::new(&look_up).text("SNOWFLAKE_TOKEN").unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("SNOWFLAKE_TOKEN") && !shown.contains("sesame"), "{shown}");
    }

    #[test]
    fn the_process_has_variables() {
        assert!(Variables::of_process().text("PATH").unwrap().is_some());
    }
}
