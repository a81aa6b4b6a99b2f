use std::borrow::Cow;
use std::collections::HashMap;

use percent_encoding::percent_decode_str;

/// A request as it came, body included.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Percent-encoded: a decoded slash in a name must not split the path.
    pub(crate) path: String,
    /// Without the question mark; empty when there is none.
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Cut off at the limit when the body was too long.
    pub(crate) body: Vec<u8>,
    pub(crate) size: BodySize,
}

/// How long the body was on the wire, and whether that was more than was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodySize {
    pub(crate) bytes: u64,
    pub(crate) too_long: bool,
}

impl Request {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(present, _)| present.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The media type without its parameters, in lower case.
    pub(crate) fn content_type(&self) -> Option<String> {
        let value = self.header("content-type")?;
        let essence = value.split(';').next().unwrap_or(value);
        Some(essence.trim().to_ascii_lowercase())
    }

    /// The token that follows `Bearer` in the `Authorization` header.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// The parameters of the query.
    pub(crate) fn parameters(&self) -> Parameters {
        Parameters::parse(&self.query)
    }
}

/// Parameters of a query or a form, decoded. An empty value counts as absent, as the official SDK sends
/// `continuationToken=` when it has none. Of a name that is given twice the first value counts.
#[derive(Debug, Default)]
pub(crate) struct Parameters(HashMap<String, String>);

impl Parameters {
    pub(crate) fn parse(encoded: &str) -> Self {
        let mut all = HashMap::new();
        for pair in encoded.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            all.entry(decoded(name)).or_insert_with(|| decoded(value));
        }
        Self(all)
    }

    /// Decodes one form-encoded text.
    pub(crate) fn decode(text: &str) -> String {
        decoded(text)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn decoded(text: &str) -> String {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_empty_ones_are_absent() {
        let all = Parameters::parse("a=1%262&b=&c=x+y%2B&a=later&d");
        assert_eq!(all.get("a"), Some("1&2"));
        assert_eq!(all.get("b"), None);
        assert_eq!(all.get("c"), Some("x y+"));
        assert_eq!(all.get("d"), None);
    }
}
