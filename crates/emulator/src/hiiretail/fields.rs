//! The fields of a JSON body, read one after the other, with a text for every rule that one of them breaks.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::rejection::Rejection;
use crate::http::request::Request;

/// What is left of a body, and what was wrong with it so far.
pub(super) struct Fields {
    left: Map<String, Value>,
    mistakes: Vec<String>,
}

impl Fields {
    pub(super) fn of(request: &Request) -> Result<Self, Rejection> {
        let is_json = request.content_type().as_deref() == Some("application/json");
        match serde_json::from_slice(&request.body) {
            Ok(Value::Object(left)) if is_json => Ok(Self { left, mistakes: Vec::new() }),
            _ => Err(Rejection::invalid("the body must be a JSON object of type application/json")),
        }
    }

    /// Notes those of the names that are absent or null.
    pub(super) fn require(&mut self, names: &[&str]) {
        for name in names {
            if self.left.get(*name).is_none_or(Value::is_null) {
                self.mistake(format!("{name} should not be null or undefined"));
            }
        }
    }

    pub(super) fn mistake(&mut self, mistake: impl Into<String>) {
        self.mistakes.push(mistake.into());
    }

    /// A value of any kind, null included.
    pub(super) fn any(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name)
    }

    /// A text with so many characters.
    pub(super) fn text(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        let text = match self.present(name)? {
            Value::String(text) => text,
            _ => return self.wrong(format!("{name} must be a string")),
        };
        if !length.contains(&text.chars().count()) {
            let (least, most) = (length.start(), length.end());
            return self.wrong(format!("{name} must have {least} to {most} characters"));
        }
        Some(text)
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.present(name)? {
            Value::Bool(flag) => Some(flag),
            _ => self.wrong(format!("{name} must be a boolean value")),
        }
    }

    pub(super) fn array(&mut self, name: &str) -> Option<Vec<Value>> {
        match self.present(name)? {
            Value::Array(values) => Some(values),
            _ => self.wrong(format!("{name} must be an array")),
        }
    }

    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let texts = self.array(name)?.into_iter().map(|value| value.as_str().map(str::to_owned));
        match texts.collect() {
            Some(texts) => Some(texts),
            None => self.wrong(format!("each value in {name} must be a string")),
        }
    }

    /// Refuses the body if anything was wrong with it, or if nobody asked for one of its fields.
    pub(super) fn finish(mut self) -> Result<(), Rejection> {
        let strange = self.left.keys().map(|name| format!("property {name} should not exist"));
        self.mistakes.extend(strange);
        if self.mistakes.is_empty() { Ok(()) } else { Err(Rejection::Invalid(self.mistakes)) }
    }

    fn present(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn wrong<T>(&mut self, mistake: String) -> Option<T> {
        self.mistakes.push(mistake);
        None
    }
}

/// Of texts whose length is not limited.
pub(super) const ANY_LENGTH: RangeInclusive<usize> = 0..=usize::MAX;
