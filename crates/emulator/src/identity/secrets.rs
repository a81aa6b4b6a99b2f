//! Secrets of the service's own. With a folder they outlive the process, so that tokens and trust do too.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rcgen::KeyPair;
use rsa::rand_core::{OsRng, RngCore};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::identity::signing_key::SigningKey;

/// What nobody outside may know.
pub(crate) struct Secrets {
    all: Mutex<All>,
    file: Option<PathBuf>,
}

#[derive(Clone, Serialize, Deserialize)]
struct All {
    scoped: [u8; 32],
    /// Which access tokens count: each names its own. An older file has none, and no token names one then.
    #[serde(default = "generation")]
    access_generation: String,
    /// Absent until it is needed.
    signing_key: Option<SigningKey>,
    client_secret: [u8; 32],
    programmatic_access_token: [u8; 32],
    pipe_key: [u8; 32],
    /// PKCS#8 of the authority behind the TLS certificate.
    authority: Vec<u8>,
}

impl Secrets {
    /// Secrets of this process only.
    pub(crate) fn fresh() -> io::Result<Self> {
        Ok(Self { all: Mutex::new(All::fresh()?), file: None })
    }

    /// Those in the folder; fresh ones at the first time.
    pub(crate) fn kept_in(dir: &Path) -> io::Result<Self> {
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
    pub(crate) fn scoped_key(&self) -> [u8; 32] {
        self.all.lock().scoped
    }

    /// Makes every scoped token so far unknown.
    pub(crate) fn renew_scoped_key(&self) -> io::Result<()> {
        let mut all = self.all.lock();
        all.scoped = random();
        self.write(&all)
    }

    /// What access tokens have to name.
    pub(crate) fn access_generation(&self) -> String {
        self.all.lock().access_generation.clone()
    }

    /// Makes every access token so far one of before.
    pub(crate) fn renew_access_generation(&self) -> io::Result<()> {
        let mut all = self.all.lock();
        all.access_generation = generation();
        self.write(&all)
    }

    /// What access tokens are signed with, made when it is first asked for: few users ever do.
    pub(crate) fn signing_key(&self) -> io::Result<SigningKey> {
        if let Some(key) = self.known_signing_key() {
            return Ok(key);
        }
        // Not under the lock: it takes long, and other tokens are to be checked meanwhile.
        let made = match self.file {
            Some(_) => SigningKey::generate()?,
            None => SigningKey::of_this_process()?,
        };
        let mut all = self.all.lock();
        if let Some(faster) = &all.signing_key {
            return Ok(faster.clone());
        }
        let next = All { signing_key: Some(made.clone()), ..all.clone() };
        self.write(&next)?;
        *all = next;
        Ok(made)
    }

    /// The same if it was needed before.
    pub(crate) fn known_signing_key(&self) -> Option<SigningKey> {
        self.all.lock().signing_key.clone()
    }

    /// A personal access token, unless one was set.
    pub(crate) fn programmatic_access_token(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.all.lock().programmatic_access_token)
    }

    /// The OAuth client's secret, unless one was set.
    pub(crate) fn client_secret(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.all.lock().client_secret)
    }

    /// What files are encrypted with.
    pub(crate) fn pipe_key(&self) -> [u8; 32] {
        self.all.lock().pipe_key
    }

    pub(crate) fn authority(&self) -> Vec<u8> {
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
        Ok(Self {
            scoped: random(),
            access_generation: generation(),
            signing_key: None,
            client_secret: random(),
            programmatic_access_token: random(),
            pipe_key: random(),
            authority: authority.serialize_der(),
        })
    }
}

fn generation() -> String {
    Uuid::new_v4().to_string()
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    bytes
}
