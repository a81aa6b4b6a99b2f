use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The members of a JSON object of an authorization server. A value is copied only when it is asked for, so that tokens are
/// not.
///
/// Servers differ in the types of what is optional: a member of an unexpected type counts as absent, like null.
pub(super) struct Fields<'t> {
    members: BTreeMap<String, &'t RawValue>,
}

impl<'t> Fields<'t> {
    /// `None` if the text is not a JSON object. A byte order mark before it does no harm.
    pub(super) fn of(text: &'t str) -> Option<Fields<'t>> {
        let members = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
        Some(Fields { members })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A text or a number; the texts of an array, joined by spaces. `None` for an empty text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        joined(self.value(name)?)
    }

    /// The texts of an array; a text counts as an array of its words. `None` if there is none.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        Some(self.text(name)?.split_whitespace().map(str::to_owned).collect())
    }

    /// A text, which is kept nowhere else.
    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        let text = Zeroizing::new(serde_json::from_str::<String>(self.members.get(name)?.get()).ok()?);
        (!text.is_empty()).then(|| Secret::new(text.as_str()))
    }

    /// A number, or a text with one.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.trim().parse().ok().filter(|number: &f64| !number.is_nan())
    }

    /// An object, or the first one of an array.
    pub(super) fn object(&self, name: &str) -> Option<Fields<'t>> {
        let raw = self.members.get(name)?.get();
        Fields::of(raw).or_else(|| {
            let objects: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
            Fields::of(objects.first()?.get())
        })
    }

    fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.members.get(name)?.get()).ok()
    }
}

fn joined(value: Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Array(values) => values.into_iter().filter_map(joined).collect::<Vec<_>>().join(" "),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_in_any_type_that_can_mean_it() {
        let fields = Fields::of("\u{feff}{\"a\":\"x\",\"b\":[\"x\",\"y z\",{}],\"c\":1.5,\"d\":null,\"e\":{\"a\":\"in\"},\"f\":[{\"a\":\"first\"}],\"g\":\" 7 \",\"h\":\"\",\"i\":true}").unwrap();
        let text = |name| fields.text(name);
        assert_eq!([text("a"), text("b"), text("c")].map(Option::unwrap), ["x", "x y z", "1.5"]);
        assert_eq!(["d", "e", "f", "h", "i", "none"].map(text), [const { None }; 6]);
        assert_eq!(fields.texts("b").unwrap(), ["x", "y", "z"]);
        assert_eq!((fields.number("c"), fields.number("g"), fields.number("a")), (Some(1.5), Some(7.0), None));
        assert_eq!(["e", "f"].map(|name| fields.object(name).unwrap().text("a").unwrap()), ["in", "first"]);
        assert_eq!(fields.secret("a").unwrap().expose(), "x");
        assert!(fields.secret("h").is_none() && fields.secret("c").is_none());
    }

    #[test]
    fn what_is_not_an_object_has_no_members() {
        for text in ["", "[]", "\"a\"", "{", "<html>", "{}x"] {
            assert!(Fields::of(text).is_none(), "{text}");
        }
    }
}
