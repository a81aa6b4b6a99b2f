use std::collections::HashSet;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Error, ErrorKind};

/// The full name of a pipe, and of its table if it is the table's default pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PipeName {
    pub(crate) database: String,
    pub(crate) schema: String,
    pub(crate) pipe: String,
    pub(crate) table: Option<String>,
}

impl PipeName {
    /// A path of these names leads to this pipe and nowhere else.
    pub(super) fn check(&self) -> Result<(), Error> {
        let parts = [("database", &self.database), ("schema", &self.schema), ("pipe", &self.pipe)];
        let table = self.table.as_ref().map(|table| ("table", table));
        let is_name = |name: &str| is_segment(name) && !name.trim_matches('"').is_empty();
        match parts.into_iter().chain(table).find(|(_, name)| !is_name(name)) {
            None => Ok(()),
            Some((part, name)) => {
                Err(Error::new(ErrorKind::Config, format!("the {part} of {self} cannot be {name:?}"))
                    .advise("name database, schema and table"))
            }
        }
    }

    pub(super) fn check_channel(&self, channel: &str) -> Result<(), Error> {
        self.check()?;
        check_channel_name(channel)
    }

    pub(super) fn schema_path(&self) -> String {
        format!("/databases/{}/schemas/{}", encode(&self.database), encode(&self.schema))
    }

    pub(super) fn path(&self) -> String {
        format!("{}/pipes/{}", self.schema_path(), encode(&self.pipe))
    }

    pub(super) fn channel_path(&self, channel: &str) -> String {
        format!("{}/channels/{}", self.path(), encode(channel))
    }
}

impl fmt::Display for PipeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.database, self.schema, self.pipe)
    }
}

pub(crate) fn check_channel_name(channel: &str) -> Result<(), Error> {
    if is_segment(channel) && !channel.trim_matches('"').is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Config, format!("{channel:?} is not a valid channel name"))
        .advise("choose another channel name"))
}

/// The name in upper case, which the service takes for the same, unless it is quoted.
///
/// Only letters of ASCII change: an unquoted identifier of Snowflake has no others, so what case others are in may matter.
pub(crate) fn upper_case(name: &str) -> String {
    if is_quoted(name) { name.to_string() } else { name.to_ascii_uppercase() }
}

/// The names under which a list of statuses may have a channel, the likeliest first. A list goes by the spelling that the
/// service keeps: of a quoted name the text between the quotes, of any other one in some case.
pub(crate) fn listed_names(channel: &str) -> Vec<String> {
    let mut names = match quoted_text(channel) {
        Some(text) => vec![text, channel.to_string()],
        None => vec![channel.to_ascii_uppercase(), channel.to_string(), channel.to_ascii_lowercase()],
    };
    let mut earlier = HashSet::new();
    names.retain(|name| earlier.insert(name.clone()));
    names
}

/// Whether the service takes the name as it stands, case included.
pub(crate) fn is_quoted(name: &str) -> bool {
    quoted_text(name).is_some()
}

/// A quote in the text is doubled.
fn quoted_text(name: &str) -> Option<String> {
    let text = name.strip_prefix('"')?.strip_suffix('"')?;
    Some(text.replace("\"\"", "\""))
}

/// Proxies and servers remove `.` and `..` from a path, also when they are percent-encoded (RFC 3986, section 6.2.2.3): the
/// request would reach something else than it names.
fn is_segment(name: &str) -> bool {
    !name.trim().is_empty() && name != "." && name != ".."
}

pub(super) fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, RESERVED).to_string()
}

/// Everything except the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_segment_by_segment_and_kept_as_given() {
        let pipe = PipeName {
            database: "db".into(),
            schema: "\"My Schema\"".into(),
            pipe: "a/b;c-STREAMING".into(),
            table: None,
        };
        assert_eq!(pipe.path(), "/databases/db/schemas/%22My%20Schema%22/pipes/a%2Fb%3Bc-STREAMING");
        assert_eq!(encode("é..%"), "%C3%A9..%25");
    }

    #[test]
    fn a_name_that_a_path_cannot_hold_is_refused() {
        for name in ["", " ", "\t", ".", "..", "\"", "\"\""] {
            assert_eq!(check_channel_name(name).unwrap_err().kind(), ErrorKind::Config, "{name:?}");
        }
        for name in ["...", ".a", "%2e%2e", "a b", "é"] {
            check_channel_name(name).unwrap();
        }
    }

    #[test]
    fn case_counts_between_quotes_only() {
        assert_eq!((upper_case("Load é").as_str(), upper_case("\"Load\"").as_str()), ("LOAD é", "\"Load\""));
        assert_eq!(listed_names("Load"), ["LOAD", "Load", "load"]);
        assert_eq!(listed_names("LOAD-1"), ["LOAD-1", "load-1"]);
        assert_eq!(listed_names("\"My \"\"t\"\"\""), ["My \"t\"", "\"My \"\"t\"\"\""]);
    }
}
