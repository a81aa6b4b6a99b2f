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

/// The secrets of the service itself. With a state folder they outlive the process, so that tokens stay valid and
/// clients keep trusting the certificate.
pub(crate) struct Secrets {
    values: Mutex<Values>,
    file: Option<PathBuf>,
}

/// As the file `secrets.json` has them.
#[derive(Clone, Serialize, Deserialize)]
struct Values {
    /// The key of the HMAC of scoped tokens.
    scoped: [u8; 32],
    /// The only access tokens that are accepted are those that name this generation. An older file has none; a fresh
    /// one is right then, because the tokens of that time named none either.
    #[serde(default = "generation")]
    access_generation: String,
    /// Absent until it is first needed, and in older files.
    signing_key: Option<SigningKey>,
    client_secret: [u8; 32],
    programmatic_access_token: [u8; 32],
    pipe_key: [u8; 32],
    /// The key of the TLS certificate authority (PKCS#8).
    authority: Vec<u8>,
}

impl Secrets {
    /// Secrets of this process only.
    pub(crate) fn generate() -> io::Result<Self> {
        Ok(Self { values: Mutex::new(Values::generate()?), file: None })
    }

    /// Reads them from the state folder; generates and writes them the first time.
    pub(crate) fn load_or_generate(dir: &Path) -> io::Result<Self> {
        let file = dir.join("secrets.json");
        let (values, is_new) = match fs::read(&file) {
            Ok(json) => (serde_json::from_slice(&json)?, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Values::generate()?, true),
            Err(error) => return Err(error),
        };
        let secrets = Self { values: Mutex::new(values), file: Some(file) };
        if is_new {
            secrets.write(&secrets.values.lock())?;
        }
        Ok(secrets)
    }

    /// The key that scoped tokens are authenticated with.
    pub(crate) fn scoped_key(&self) -> [u8; 32] {
        self.values.lock().scoped
    }

    /// Makes every scoped token issued so far invalid.
    pub(crate) fn renew_scoped_key(&self) -> io::Result<()> {
        let mut values = self.values.lock();
        values.scoped = random();
        self.write(&values)
    }

    /// The generation that access tokens have to name.
    pub(crate) fn access_generation(&self) -> String {
        self.values.lock().access_generation.clone()
    }

    /// Makes every access token issued so far invalid.
    pub(crate) fn renew_access_generation(&self) -> io::Result<()> {
        let mut values = self.values.lock();
        values.access_generation = generation();
        self.write(&values)
    }

    /// The key that access tokens are signed with. It is generated when it is first asked for, because few tests ever
    /// do.
    pub(crate) fn signing_key(&self) -> io::Result<SigningKey> {
        if let Some(key) = self.existing_signing_key() {
            return Ok(key);
        }
        // Not under the lock: it takes long, and other tokens have to be checked meanwhile.
        let generated = match self.file {
            Some(_) => SigningKey::generate()?,
            None => SigningKey::shared()?,
        };
        let mut values = self.values.lock();
        if let Some(key) = &values.signing_key {
            // Another thread was faster, and may have signed with its key already.
            return Ok(key.clone());
        }
        let next = Values { signing_key: Some(generated.clone()), ..values.clone() };
        self.write(&next)?;
        *values = next;
        Ok(generated)
    }

    /// The same key if it was generated before.
    pub(crate) fn existing_signing_key(&self) -> Option<SigningKey> {
        self.values.lock().signing_key.clone()
    }

    /// The programmatic access token of an emulator that was not given one.
    pub(crate) fn programmatic_access_token(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.values.lock().programmatic_access_token)
    }

    /// The OAuth client's secret in an emulator that was not given one.
    pub(crate) fn client_secret(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.values.lock().client_secret)
    }

    /// The key that uploaded files are encrypted with.
    pub(crate) fn pipe_key(&self) -> [u8; 32] {
        self.values.lock().pipe_key
    }

    /// The key of the TLS certificate authority (PKCS#8).
    pub(crate) fn authority(&self) -> Vec<u8> {
        self.values.lock().authority.clone()
    }

    /// Replaces the file in one step, so that a process that ends in between leaves the old file or the new one.
    fn write(&self, values: &Values) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let draft = file.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&draft)?.write_all(&serde_json::to_vec(values)?)?;
        fs::rename(draft, file)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Values {
    fn generate() -> io::Result<Self> {
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
