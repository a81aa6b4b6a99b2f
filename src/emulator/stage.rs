//! The storage that a pipe offers for files, as far as its description goes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Where files would go, and the key that they would be encrypted with.
#[derive(Debug)]
pub(super) struct Stage {
    endpoint: String,
    pipe_key: [u8; 32],
}

impl Stage {
    pub(super) fn new(endpoint: String, pipe_key: [u8; 32]) -> Self {
        Self { endpoint, pipe_key }
    }

    /// What a client needs to know of a pipe before it sends anything.
    pub(super) fn describe(&self, now_ms: i64) -> Value {
        let location = json!({
            "expiry_time_ms": now_ms.saturating_add(LIFE_MS),
            "location_type": "S3",
            "use_s3_regional_url": false,
            "location": "emulator/stage/",
            "region": "us-west-2",
            "creds": {
                "AWS_KEY_ID": "EMULATOR",
                "AWS_SECRET_KEY": "EMULATOR",
                "AWS_TOKEN": "EMULATOR",
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
}

const LIFE_MS: i64 = 3_600_000;
