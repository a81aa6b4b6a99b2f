use std::path::Path;

use super::clean;

/// A value that the caller gave, as a message shows it: in quotes, on one line, unless it looks like a secret.
///
/// Secrets end up in the wrong setting: a token where the path of its file belongs, a key in a variable for a name.
pub(crate) fn shown(value: &str) -> String {
    if looks_secret(value) { HIDDEN.to_owned() } else { format!("{:?}", clean(value)) }
}

/// The same without quotes.
pub(crate) fn visible(value: &str) -> String {
    if looks_secret(value) { HIDDEN.to_owned() } else { clean(value) }
}

/// The same for a path, without quotes.
pub(crate) fn shown_path(path: &Path) -> String {
    if is_secret_for_path(path) { HIDDEN.to_owned() } else { clean(&path.to_string_lossy()) }
}

/// Whether this rather is what the file should contain.
pub(crate) fn is_secret_for_path(path: &Path) -> bool {
    let text = path.to_string_lossy();
    looks_secret(&text) || is_one_long_word(&text)
}

/// Whether the text has the form of a key, of a token, or of random characters. A passphrase of words has none.
pub(crate) fn looks_secret(text: &str) -> bool {
    let is_armoured = text.contains("-----BEGIN") || text.contains("PRIVATE KEY") || text.contains('\n');
    let is_snowflake_token = text.contains("-hint:");
    is_armoured
        || is_snowflake_token
        || is_entra_secret(text)
        || words(text).any(|word| is_token(word) || is_random(word))
}

/// Of characters that tokens and keys consist of.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '+' | '='))
}

/// A part of a JWT begins with the base64 of `{"`, a key with that of its DER.
fn is_token(word: &str) -> bool {
    word.len() >= MIN_TOKEN && (word.starts_with("eyJ") || word.starts_with("MII"))
}

/// Secrets of Entra ID have a digit and `Q~` as their fourth to sixth character; dots and tildes may divide the rest.
fn is_entra_secret(text: &str) -> bool {
    let has_mark = text.as_bytes().windows(3).any(|bytes| bytes[0].is_ascii_digit() && bytes[1..] == *b"Q~");
    has_mark && text.len() >= MIN_TOKEN
}

/// Names of people change between capitals, small letters and digits now and then, random characters mostly.
fn is_random(word: &str) -> bool {
    let is_long_run = word.split(['-', '_', '+', '=']).any(|run| run.len() >= MIN_RUN && mixes(run));
    let class = |c: u8| (c.is_ascii_uppercase(), c.is_ascii_lowercase(), c.is_ascii_digit());
    let changes = word.as_bytes().windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
    is_long_run || word.len() >= MIN_RANDOM && is_of_all_classes(word) && changes * 5 >= word.len() * 2
}

fn mixes(run: &str) -> bool {
    run.contains(|c: char| c.is_ascii_digit()) && run.contains(|c: char| c.is_ascii_alphabetic())
}

fn is_of_all_classes(word: &str) -> bool {
    mixes(word) && word.contains(|c: char| c.is_ascii_uppercase()) && word.contains(|c: char| c.is_ascii_lowercase())
}

/// A path of this length has a folder or an ending; a token that was given for a path need not.
fn is_one_long_word(path: &str) -> bool {
    path.len() >= MIN_TOKEN && !path.contains(['/', '\\', '.'])
}

const HIDDEN: &str = "(not shown, as it looks like a secret)";
/// Shorter than any token, and longer than most names.
const MIN_TOKEN: usize = 20;
/// Too short for this to be chance.
const MIN_RANDOM: usize = 24;
/// An MD5 sum, the shortest secret in hexadecimal in common use; names are divided into words.
const MIN_RUN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        for secret in [
            "-----BEGIN PRIVATE KEY-----\nMIIEvQ",
            "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl",
            "/home/loader/eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl",
            "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw",
            "ver:1-hint:1234-ETMsDgAAAX",
            "d41d8cd98f00b204e9800998ecf8427e",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "kQ3x-9sPz_Wm2RtY7uVb4NcA",
            "Abc8Q~1kd93jd8Wk2m.xY7zLp0QwErTyUiOpAsDf",
        ] {
            assert_eq!(shown(secret), HIDDEN, "{secret}");
            assert_eq!(shown_path(Path::new(secret)), HIDDEN, "{secret}");
        }
        assert_eq!(shown_path(Path::new("pat-0123456789-abcdefghij")), HIDDEN);
    }

    #[test]
    fn names_and_paths_are_shown_on_one_line() {
        for name in [
            "LOADER",
            "INGEST_ROLE_FOR_THE_STREAMING_OF_EVENTS_PRODUCTION_2024",
            "myorg-account123",
            "xy12345.us-east-2.aws",
            "joe.doe@example.com",
            "550e8400-e29b-41d4-a716-446655440000",
            "SvcStreamingLoaderProduction01",
        ] {
            assert_eq!(shown(name), format!("{name:?}"));
        }
        for path in [
            "/run/secrets/snowflake/rsa_key.p8",
            "keys/production-rsa-key-2024-06.p8",
            "/var/run/secrets/tokens/..2024_01_01_12_00_00.123456789/token",
            "C:\\keys\\rsa_key.p8",
            "rsa_key",
        ] {
            assert_eq!(shown_path(Path::new(path)), path);
        }
        assert_eq!(shown("a\tb\u{1b}[1m"), "\"a b [1m\"");
    }
}
