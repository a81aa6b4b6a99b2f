use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::keys;
use crate::client::environment::Variables;
use crate::error::{Error, ErrorKind, is_secret_for_path, shown};
use crate::secret::Secret;

/// Texts by key; any of them may be secret.
#[derive(Debug, Default)]
pub(super) struct Properties {
    values: BTreeMap<&'static str, Given>,
    /// How keys are written where these come from.
    spelling: Spelling,
}

#[derive(Debug)]
struct Given {
    value: Secret,
    /// Of the key or the variable, as the user writes it.
    name: String,
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
        let Entries(entries) = serde_json::from_str(text).map_err(|error| {
            let reason = match error.classify() {
                serde_json::error::Category::Data => "is not a JSON object",
                _ => "is not JSON",
            };
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::new(ErrorKind::Config, format!("it {reason} ({place})")).advise(EXAMPLE)
        })?;
        let (mut values, mut seen) = (BTreeMap::new(), BTreeSet::new());
        for (name, value) in entries {
            if keys::is_ignored(&name) {
                log::debug!("the profile key {} tunes another client and is ignored", shown(&name));
                continue;
            }
            let key = keys::known(&name).ok_or_else(|| unknown(&name))?;
            if !seen.insert(key) {
                return Err(
                    Error::new(ErrorKind::Config, format!("its key {key} is given twice")).advise("leave one out")
                );
            }
            match value {
                Value::Text(value) if value.expose().is_empty() => {}
                Value::Text(value) => drop(values.insert(key, Given { value, name })),
                Value::Null => {}
                Value::Nested => {
                    return Err(Error::new(ErrorKind::Config, format!("the value of its key {key} is not a text"))
                        .advise("write it as a text in double quotes"));
                }
            }
        }
        Ok(Properties { values, spelling: Spelling::Profile })
    }

    /// `SNOWFLAKE_` and the key in upper case, and the other names in common use.
    pub(super) fn from_environment(environment: Variables<'_>) -> Result<Properties, Error> {
        let mut values = BTreeMap::<_, Given>::new();
        for key in keys::KNOWN {
            let mut names = vec![variable(key)];
            names.extend(keys::VARIABLES.iter().filter(|(_, meant)| meant == key).map(|(name, _)| (*name).to_owned()));
            for name in names {
                let Some(value) = environment.text(&name)?.map(Secret::new) else { continue };
                match values.get(key) {
                    Some(first) if first.value != value => return Err(contradictory(&first.name, &name)),
                    Some(_) => {}
                    None => drop(values.insert(*key, Given { value, name })),
                }
            }
        }
        Ok(Properties { values, spelling: Spelling::Environment })
    }

    pub(super) fn secret(&self, key: &str) -> Option<&Secret> {
        debug_assert!(keys::KNOWN.contains(&key), "{key}");
        self.values.get(key).map(|given| &given.value)
    }

    /// The path of a file, relative to the folder.
    pub(super) fn path(&self, key: &str, folder: &Path) -> Result<Option<PathBuf>, Error> {
        let Some(given) = self.text(key) else { return Ok(None) };
        let path = folder.join(given);
        if is_secret_for_path(Path::new(given)) && !path.exists() {
            let name = self.name(key);
            let reason =
                format!("the value of {name} is not the path of a file; it is not shown, as it looks like a secret");
            return Err(Error::new(ErrorKind::Config, reason).advise("give the path of the file that contains it"));
        }
        Ok(Some(path))
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
        match (self.values.get(key), self.spelling) {
            (Some(given), _) => given.name.clone(),
            (None, Spelling::Profile) => key.to_owned(),
            (None, Spelling::Environment) => variable(key),
        }
    }
}

fn variable(key: &str) -> String {
    format!("SNOWFLAKE_{}", key.to_ascii_uppercase())
}

fn contradictory(first: &str, second: &str) -> Error {
    let reason = format!("{first} and {second} mean the same and are given with different values");
    Error::new(ErrorKind::Config, reason).advise("leave one out")
}

fn unknown(key: &str) -> Error {
    let error = Error::new(ErrorKind::Config, format!("its key {} is not known", shown(key)));
    match keys::nearest(key) {
        Some(near) => error.advise(format!("{near} may be meant")),
        None => error.advise("leave it out, or see the documentation of Profile for the keys"),
    }
}

/// All of an object, in its order: of a map the last entry of a name would silently win.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
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
