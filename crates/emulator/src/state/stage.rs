//! The storage for uploaded files: its credentials and key, which pipe-info returns, and the files themselves.

use std::collections::HashMap;
use std::sync::Arc;

use aes::Aes256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use parking_lot::Mutex;
use rsa::sha2::{Digest, Sha256};
use serde_json::{Value, json};
use uuid::Uuid;

/// Holds files between their upload and their registration, and the key that they are encrypted with.
#[derive(Debug)]
pub(crate) struct Stage {
    endpoint: String,
    pipe_key: [u8; 32],
    access_key: String,
    session_token: String,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    by_path: HashMap<String, StagedFile>,
    bytes: usize,
}

/// A file that was uploaded, still encrypted.
#[derive(Clone, Debug)]
pub(crate) struct StagedFile {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) etag: String,
    /// How many of its bytes are not registered yet.
    unregistered: usize,
}

impl Stage {
    pub(crate) fn new(endpoint: String, pipe_key: [u8; 32]) -> Self {
        Self {
            endpoint,
            // Derived from the key, so that clients go on with the credentials they have after a restart on the same
            // state.
            access_key: format!("EMULATOR{}", digest(&[b"access key", &pipe_key]).to_uppercase()),
            session_token: digest(&[b"session token", &pipe_key]),
            pipe_key,
            files: Mutex::default(),
        }
    }

    /// What a client needs to know before it uploads. Clients number their files from 0, so each gets a folder of its
    /// own.
    pub(crate) fn pipe_info(&self, now_ms: i64) -> Value {
        let location = json!({
            "expiry_time_ms": now_ms.saturating_add(CREDENTIAL_LIFETIME_MS),
            "location_type": "S3",
            "use_s3_regional_url": false,
            "location": format!("{BUCKET}/{}/", Uuid::new_v4()),
            "region": "us-west-2",
            "creds": {
                "AWS_KEY_ID": self.access_key,
                "AWS_SECRET_KEY": digest(&[b"secret key", &self.pipe_key]),
                "AWS_TOKEN": self.session_token,
            },
            "storage_endpoint": self.endpoint,
        });
        json!({
            "rowset_stage_location": location,
            "durable_stage_location": location,
            "encryption_info": {
                "pipe_key": STANDARD.encode(self.pipe_key),
                "pipe_key_id": "1",
                "diversifier": "1",
            },
            "parameter_overrides": {
                "binary_input_format": "BASE64",
            },
        })
    }

    /// Whether an upload names the access key and the session token of pipe-info. The signature is not verified.
    pub(crate) fn accepts(&self, authorization: &str, session: &str) -> bool {
        let credential = format!("Credential={}/", self.access_key);
        authorization.contains(&credential) && session == self.session_token
    }

    /// Keeps a file and returns its ETag; `None` when there is no room.
    pub(crate) fn put(&self, path: &str, bytes: Vec<u8>) -> Option<String> {
        let etag = digest(&[&bytes])[..32].to_owned();
        let file = StagedFile { unregistered: bytes.len(), bytes: bytes.into(), etag: etag.clone() };
        let mut files = self.files.lock();
        let replaced = files.by_path.get(path).map_or(0, |file| file.bytes.len());
        let total = files.bytes - replaced + file.bytes.len();
        if total > MAX_STAGED {
            return None;
        }
        files.bytes = total;
        files.by_path.insert(path.to_owned(), file);
        Some(etag)
    }

    pub(crate) fn get(&self, path: &str) -> Option<StagedFile> {
        self.files.lock().by_path.get(path).cloned()
    }

    /// Counts bytes of a file as registered, and frees the file when none are left: nothing reads it again.
    pub(crate) fn mark_registered(&self, path: &str, len: usize) {
        let mut files = self.files.lock();
        let Some(file) = files.by_path.get_mut(path) else {
            return;
        };
        file.unregistered = file.unregistered.saturating_sub(len);
        if file.unregistered == 0 {
            let freed = file.bytes.len();
            files.by_path.remove(path);
            files.bytes -= freed;
        }
    }

    pub(crate) fn decrypt(&self, bytes: &mut [u8], iv: &[u8; 16]) {
        Ctr128BE::<Aes256>::new(&self.pipe_key.into(), iv.into()).apply_keystream(bytes);
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first part of every path in this storage.
pub(crate) const BUCKET: &str = "emulator-stage";
/// An hour, after which clients ask for pipe-info again. It is only announced: older credentials are accepted, too.
const CREDENTIAL_LIFETIME_MS: i64 = 3_600_000;
/// Bounds the memory that uploads without a registration take. A client has a few files of some MB on their way at a
/// time.
const MAX_STAGED: usize = 1 << 30;
