//! The JSON form of a fault. It is read field by field instead of by serde, so that each mistake gets a message that
//! names the field and what belongs there: most of these are written by hand, in a shell.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Effect, Fault};

impl<E: Copy> Fault<E> {
    /// Reads a fault as `POST /_emulator/faults` takes it, at one of these endpoints. The error says what to write
    /// instead.
    pub(crate) fn from_json(json: &[u8], endpoints: &[E], name: fn(E) -> &'static str) -> Result<Self, String> {
        let fields: Map<String, Value> =
            serde_json::from_slice(json).map_err(|error| format!("not a JSON object: {error}"))?;
        let known = ["endpoint", "times", "status", "body", "headers", "action", "ms"];
        if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("unknown field {name:?}; known are {}", known.join(", ")));
        }
        let wanted = fields.get("endpoint").and_then(Value::as_str);
        let endpoint = endpoints.iter().find(|endpoint| Some(name(**endpoint)) == wanted).ok_or_else(|| {
            let names: Vec<_> = endpoints.iter().map(|endpoint| name(*endpoint)).collect();
            format!("\"endpoint\" must be one of {}", names.join(", "))
        })?;
        let fault = Self::new(*endpoint, effect(&fields)?).times(times(&fields)?);
        fault.check()?;
        Ok(fault)
    }
}

fn times(fields: &Map<String, Value>) -> Result<u32, String> {
    let Some(times) = fields.get("times") else {
        return Ok(1);
    };
    times
        .as_u64()
        .and_then(|times| u32::try_from(times).ok())
        .filter(|times| *times > 0)
        .ok_or_else(|| "\"times\" must be a positive integer".to_owned())
}

fn effect(fields: &Map<String, Value>) -> Result<Effect, String> {
    let alone = |allowed: &[&str]| {
        let stray = ["status", "body", "headers", "action", "ms"]
            .into_iter()
            .find(|name| fields.contains_key(*name) && !allowed.contains(name));
        stray.map_or(Ok(()), |name| Err(format!("{name:?} does not go with the other fields")))
    };
    let Some(action) = fields.get("action") else {
        alone(&["status", "body", "headers"])?;
        return status_effect(fields);
    };
    let action = action.as_str().unwrap_or_default();
    alone(if action == "delay" { &["action", "ms"] } else { &["action"] })?;
    match action {
        "drop_connection" => Ok(Effect::DropConnection),
        "lose_reply" => Ok(Effect::LoseReply),
        "truncate" => Ok(Effect::Truncate),
        "delay" => fields
            .get("ms")
            .and_then(Value::as_u64)
            .map(|ms| Effect::Delay(Duration::from_millis(ms)))
            .ok_or_else(|| "\"ms\" must be a number of milliseconds".to_owned()),
        _ => Err("\"action\" must be drop_connection, lose_reply, delay or truncate".to_owned()),
    }
}

fn status_effect(fields: &Map<String, Value>) -> Result<Effect, String> {
    let status = fields
        .get("status")
        .and_then(Value::as_u64)
        .and_then(|status| u16::try_from(status).ok())
        .ok_or("\"status\" (a number) or \"action\" is needed")?;
    let body = match fields.get("body") {
        None => String::new(),
        Some(Value::String(body)) => body.clone(),
        Some(_) => return Err("\"body\" must be a string".to_owned()),
    };
    let headers = match fields.get("headers") {
        None => Vec::new(),
        Some(Value::Object(headers)) => headers.iter().map(header).collect::<Result<_, _>>()?,
        Some(_) => return Err("\"headers\" must be an object".to_owned()),
    };
    Ok(Effect::Status { status, body, headers })
}

fn header((name, value): (&String, &Value)) -> Result<(String, String), String> {
    let value = value.as_str().ok_or_else(|| format!("header {name:?} must be a string"))?;
    Ok((name.clone(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::endpoint::Endpoint;

    fn read(json: &str) -> Result<Fault, String> {
        Fault::from_json(json.as_bytes(), &Endpoint::ALL, Endpoint::name)
    }

    #[test]
    fn a_malformed_fault_gets_a_message_that_names_the_mistake() {
        for (json, part) in [
            ("", "JSON"),
            ("[]", "JSON"),
            (r#"{"status":503}"#, "endpoint"),
            (r#"{"endpoint":"apend","status":503}"#, "append"),
            (r#"{"endpoint":"append"}"#, "status"),
            (r#"{"endpoint":"append","status":"503"}"#, "status"),
            (r#"{"endpoint":"append","status":99}"#, "99"),
            (r#"{"endpoint":"append","status":503,"times":0}"#, "times"),
            (r#"{"endpoint":"append","status":503,"time":1}"#, "time"),
            (r#"{"endpoint":"append","status":503,"action":"delay"}"#, "status"),
            (r#"{"endpoint":"append","action":"delay"}"#, "ms"),
            (r#"{"endpoint":"append","action":"lose_reply","ms":1}"#, "ms"),
            (r#"{"endpoint":"append","action":"explode"}"#, "action"),
            (r#"{"endpoint":"append","status":503,"headers":{"a b":"c"}}"#, "a b"),
            (r#"{"endpoint":"append","status":503,"headers":{"Content-Length":"1"}}"#, "Length"),
            (r#"{"endpoint":"append","status":503,"body":{}}"#, "body"),
        ] {
            let message = read(json).unwrap_err();
            assert!(message.contains(part), "{json}: {message}");
        }
        let good = r#"{"endpoint":"elastic","status":429,"times":3,"headers":{"Retry-After":"1"}}"#;
        assert_eq!(read(good).unwrap().times, 3);
    }
}
