//! Secrets of the service's own. With a folder they outlive the process, so that tokens and trust do too.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rcgen::KeyPair;
use rsa::rand_core::{OsRng, RngCore};
use serde::{Deserialize, Serialize};

/// What nobody outside may know.
pub(super) struct Secrets {
    all: Mutex<All>,
    file: Option<PathBuf>,
}

#[derive(Clone, Serialize, Deserialize)]
struct All {
    tokens: [u8; 32],
    pipe_key: [u8; 32],
    /// PKCS#8 of the authority behind the TLS certificate.
    authority: Vec<u8>,
}

impl Secrets {
    /// Secrets of this process only.
    pub(super) fn fresh() -> io::Result<Self> {
        Ok(Self { all: Mutex::new(All::fresh()?), file: None })
    }

    /// Those in the folder; fresh ones at the first time.
    pub(super) fn kept_in(dir: &Path) -> io::Result<Self> {
        let file = dir.join("secrets.json");
        let (all, is_new) = match fs::read(&file) {
            Ok(json) => (serde_json::from_slice(&json)?, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (All::fresh()?, true),
            Err(error) => return Err(error),
        };
        let secrets = Self { all: Mutex::new(all), file: Some(file) };
        if is_new {
            secrets.write(&secrets.all.lock())?;
        }
        Ok(secrets)
    }

    /// What scoped tokens are authenticated with.
    pub(super) fn tokens(&self) -> [u8; 32] {
        self.all.lock().tokens
    }

    /// Makes every token so far unknown.
    pub(super) fn renew_tokens(&self) -> io::Result<()> {
        let mut all = self.all.lock();
        all.tokens = random();
        self.write(&all)
    }

    /// What files are encrypted with.
    pub(super) fn pipe_key(&self) -> [u8; 32] {
        self.all.lock().pipe_key
    }

    pub(super) fn authority(&self) -> Vec<u8> {
        self.all.lock().authority.clone()
    }

    /// Replaces the file in one step: half a file would be none.
    fn write(&self, all: &All) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let draft = file.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&draft)?.write_all(&serde_json::to_vec(all)?)?;
        fs::rename(draft, file)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl All {
    fn fresh() -> io::Result<Self> {
        let authority = KeyPair::generate().map_err(io::Error::other)?;
        Ok(Self { tokens: random(), pipe_key: random(), authority: authority.serialize_der() })
    }
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    bytes
}
