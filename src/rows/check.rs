use super::Batch;
use crate::error::{Error, ErrorKind};

/// Whether a line is one complete JSON object of one row's length. Checks, and nothing else: it is not parsed into values.
pub(crate) fn check_json(line: &[u8]) -> Result<(), Error> {
    let text = check_frame(line)?;
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(refuse(format!("is not one complete JSON object: {error}"))),
    }
}

/// Whether a line begins and ends as a row does, and cannot spoil its neighbours.
pub(crate) fn check_trusted_json(line: &[u8]) -> Result<(), Error> {
    match check_frame(line)?.trim_end_matches(JSON_BLANKS).ends_with('}') {
        true => Ok(()),
        false => Err(refuse("does not end as a JSON object does".into())),
    }
}

pub(super) fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes <= Batch::MAX_ROW_BYTES {
        return Ok(());
    }
    Err(refuse(format!("is {bytes} bytes long; the longest allowed is {}", Batch::MAX_ROW_BYTES)))
}

/// A serialised value is one complete text, so its first byte shows what it is.
pub(super) fn check_object_start(text: &[u8]) -> Result<(), Error> {
    match text.first() {
        Some(b'{') => Ok(()),
        _ => Err(refuse("is not a JSON object, whose names are the columns".into())),
    }
}

/// What a line must be for the lines around it to stay rows of their own.
fn check_frame(line: &[u8]) -> Result<&str, Error> {
    check_size(line.len())?;
    // serde_json does not look into the strings that it skips.
    let text = std::str::from_utf8(line)
        .map_err(|error| refuse(format!("is not UTF-8 from byte {} on", error.valid_up_to() + 1)))?;
    check_object_start(text.trim_start_matches(JSON_BLANKS).as_bytes())?;
    if memchr::memchr(b'\n', line).is_some() {
        return Err(refuse("holds a line break".into()));
    }
    Ok(text)
}

pub(super) fn refuse(happened: String) -> Error {
    Error::new(ErrorKind::Row, format!("the row {happened}"))
}

const JSON_BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
