use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::keys;
use crate::client::environment::Environment;
use crate::error::{Error, ErrorKind, one_line};
use crate::secret::Secret;

/// Texts by key; any of them may be secret.
#[derive(Debug, Default)]
pub(super) struct Properties {
    values: BTreeMap<String, Secret>,
    /// How keys are written where these come from.
    spelling: Spelling,
}

#[derive(Clone, Copy, Debug, Default)]
enum Spelling {
    #[default]
    Profile,
    Environment,
}

impl Properties {
    /// A JSON object of texts, numbers and booleans; null counts as absent.
    pub(super) fn from_json(text: &str) -> Result<Properties, Error> {
        // The parser's message may quote the text, so only the position is reported.
        let entries: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|error| {
            let reason = match error.classify() {
                serde_json::error::Category::Data => "is not a JSON object",
                _ => "is not JSON",
            };
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::new(ErrorKind::Config, format!("it {reason} ({place})")).advise(EXAMPLE)
        })?;
        let mut values = BTreeMap::new();
        for (key, value) in entries {
            if keys::is_ignored(&key) {
                log::debug!("the profile key {} tunes another client and is ignored", one_line(&key));
                continue;
            }
            if !keys::KNOWN.contains(&key.as_str()) {
                return Err(unknown(&key));
            }
            match value {
                Value::Text(text) if text.expose().is_empty() => {}
                Value::Text(text) => drop(values.insert(key, text)),
                Value::Null => {}
                Value::Nested => {
                    return Err(Error::new(ErrorKind::Config, format!("the value of its key {key} is not a text"))
                        .advise("write it as a text in double quotes"));
                }
            }
        }
        Ok(Properties { values, spelling: Spelling::Profile })
    }

    /// `SNOWFLAKE_` and the key in upper case.
    pub(super) fn from_environment(environment: Environment<'_>) -> Result<Properties, Error> {
        let mut values = BTreeMap::new();
        for key in keys::KNOWN {
            let mut names = vec![variable(key)];
            names.extend(keys::VARIABLES.iter().filter(|(_, meant)| meant == key).map(|(name, _)| (*name).to_owned()));
            for name in names {
                if let Some(text) = environment.text(&name)? {
                    values.entry((*key).to_owned()).or_insert_with(|| Secret::new(text));
                }
            }
        }
        Ok(Properties { values, spelling: Spelling::Environment })
    }

    pub(super) fn secret(&self, key: &str) -> Option<&Secret> {
        debug_assert!(keys::KNOWN.contains(&key), "{key}");
        self.values.get(key)
    }

    /// A value that is not secret.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.secret(key).map(|value| value.expose().trim())
    }

    pub(super) fn required(&self, key: &str, because: &str) -> Result<&Secret, Error> {
        self.secret(key).ok_or_else(|| self.missing(&[key], because))
    }

    /// `keys` are alternatives.
    pub(super) fn missing(&self, keys: &[&str], because: &str) -> Error {
        let names: Vec<_> = keys.iter().map(|key| self.name(key)).collect();
        Error::new(ErrorKind::Config, format!("{} is missing: {because}", names.join(" or "))).advise("add it")
    }

    pub(super) fn refuse_both(&self, first: &str, second: &str) -> Result<(), Error> {
        if self.secret(first).is_none() || self.secret(second).is_none() {
            return Ok(());
        }
        let (first, second) = (self.name(first), self.name(second));
        Err(Error::new(ErrorKind::Config, format!("both {first} and {second} are given")).advise("leave one out"))
    }

    /// The key as the user writes it.
    pub(super) fn name(&self, key: &str) -> String {
        match self.spelling {
            Spelling::Profile => key.to_owned(),
            Spelling::Environment => variable(key),
        }
    }
}

fn variable(key: &str) -> String {
    format!("SNOWFLAKE_{}", key.to_ascii_uppercase())
}

fn unknown(key: &str) -> Error {
    let shown = crate::error::clean(key);
    let error = Error::new(ErrorKind::Config, format!("its key {shown:?} is not known"));
    match keys::nearest(key) {
        Some(near) => error.advise(format!("{near} may be meant")),
        None => error.advise("leave it out, or see the documentation of Profile for the keys"),
    }
}

enum Value {
    Text(Secret),
    Null,
    Nested,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Text(value.to_string().into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string().into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string().into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string().into()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        while sequence.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Value::Nested)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
        Ok(Value::Nested)
    }
}

const EXAMPLE: &str =
    r#"write it like {"account": "myorg-account123", "user": "LOADER", "private_key_file": "rsa_key.p8"}"#;
