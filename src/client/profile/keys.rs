//! The keys that a profile may have.

/// Keys that this library reads.
pub(super) const KNOWN: &[&str] = &[
    "account",
    "authorization_type",
    "ca_file",
    "host",
    "oauth_access_token",
    "oauth_audience",
    "oauth_client_authentication",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_client_secret_file",
    "oauth_issuer",
    "oauth_refresh_token",
    "oauth_scope",
    "oauth_token_endpoint",
    "personal_access_token",
    "port",
    "private_key",
    "private_key_file",
    "private_key_passphrase",
    "role",
    "scheme",
    "spcs_token_path",
    "token",
    "token_file",
    "url",
    "user",
];

/// Further variables in common use, and the keys they mean.
pub(super) const VARIABLES: &[(&str, &str)] = &[
    ("SNOWFLAKE_PRIVATE_KEY_PATH", "private_key_file"),
    ("SNOWFLAKE_PRIVATE_KEY_FILE_PWD", "private_key_passphrase"),
    ("SNOWFLAKE_TOKEN_FILE_PATH", "token_file"),
    ("SNOWFLAKE_PAT", "personal_access_token"),
];

/// The key that this library reads under this name.
pub(super) fn known(name: &str) -> Option<&'static str> {
    KNOWN.iter().copied().find(|key| *key == name)
}

/// Whether a key tunes the official SDK, or says what is an argument of a call here.
pub(super) fn is_ignored(key: &str) -> bool {
    IGNORED.contains(&key) || IGNORED_FAMILIES.iter().any(|family| key.starts_with(family))
}

/// The known key that a misspelt key probably means.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    let key = key.trim().to_ascii_lowercase();
    let tolerated = (key.len() / 3).max(1);
    let distance = |known: &&str| match known.starts_with(&key) || key.starts_with(*known) {
        true => edits(&key, known).min(tolerated),
        false => edits(&key, known),
    };
    let near = KNOWN.iter().copied().min_by_key(distance)?;
    (distance(&near) <= tolerated).then_some(near)
}

/// How many characters must be changed, added or removed to turn one text into the other (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

const IGNORED: &[&str] = &[
    "application",
    "auth_refresh_buffer_duration_seconds",
    "channel_status_cache_refresh_interval_seconds",
    "connect_string",
    "data_header_overrides",
    "database",
    "encode_streaming_url_components",
    "force_file_mode_seconds",
    "http11_disable_connection_reuse",
    "ignore_switch_to_file_mode",
    "num_failure_before_forcing_file_mode",
    "oauth_include_scope",
    "pipe",
    "replace_underscore_with_dash_in_host",
    "schema",
    "spcs_service_token_path",
    "ssl",
    "table",
    "target_rowset_payload_size_mb",
    "treat_misclassified_404_as_500",
    "warehouse",
];

const IGNORED_FAMILIES: &[&str] = &[
    "data_http_",
    "data_retry_",
    "enable_",
    "file_upload_",
    "max_",
    "mem_throttle_",
    "mgmt_",
    "misclassified_404_retry_",
    "non_scoped_auth_failure_retry_",
    "open_channel_409_retry_",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_understood() {
        for (wrong, right) in [
            ("acount", "account"),
            ("privat_key", "private_key"),
            ("private_key_path", "private_key_file"),
            ("User", "user"),
            ("username", "user"),
            ("personal_acces_token", "personal_access_token"),
            ("authorisation_type", "authorization_type"),
        ] {
            assert_eq!(nearest(wrong), Some(right), "{wrong}");
        }
        assert_eq!(nearest("colour"), None);
    }

    #[test]
    fn no_key_is_both_known_and_ignored() {
        assert!(KNOWN.iter().all(|key| !is_ignored(key)));
        assert!(KNOWN.is_sorted());
    }

    #[test]
    fn the_tuning_of_the_official_sdk_is_ignored() {
        for key in [
            "max_buffered_kb_for_rowset_mode",
            "mem_throttle_anything",
            "mgmt_http_timeout_seconds",
            "data_retry_max_backoff_seconds",
            "open_channel_409_retry_total_backoff_seconds",
            "enable_rowset_compression",
            "ssl",
        ] {
            assert!(is_ignored(key), "{key}");
        }
    }
}
