use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rsa::sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::invalid::{InvalidKey, MAX_BYTES};
use crate::error::shown_path;
use crate::secret::Secret;

type Content = Zeroizing<Vec<u8>>;

/// Where a key was read, and how its file is read again when the key has been replaced.
pub(super) struct KeyFile {
    /// Absolute, so that a change of the working directory does not matter.
    path: PathBuf,
    passphrase: Option<Secret>,
    /// Of the content: deriving the decryption key again would take long.
    digest: Vec<u8>,
}

impl KeyFile {
    /// The content of a file, and where to read it again; `None` for a pipe, which can be read once.
    pub(super) fn read(
        path: &Path,
        passphrase: Option<&Secret>,
    ) -> Result<(Content, Option<Arc<KeyFile>>), InvalidKey> {
        let bytes = contents(path)?;
        let path = std::path::absolute(path).ok().filter(|path| path.is_file());
        let digest = Sha256::digest(&*bytes).to_vec();
        let file = path.map(|path| Arc::new(KeyFile { path, passphrase: passphrase.cloned(), digest }));
        Ok((bytes, file))
    }

    /// `None` if the content is the same.
    pub(super) fn read_again(&self) -> Result<Option<(Content, Arc<KeyFile>)>, InvalidKey> {
        // Opening a pipe would wait for its writer.
        if fs::metadata(&self.path).map_err(InvalidKey::Unreadable)?.is_file() {
            let (bytes, file) = KeyFile::read(&self.path, self.passphrase.as_ref())?;
            let file = file.ok_or(InvalidKey::NotRegular)?;
            return Ok((file.digest != self.digest).then_some((bytes, file)));
        }
        Err(InvalidKey::NotRegular)
    }

    pub(super) fn passphrase(&self) -> Option<&Secret> {
        self.passphrase.as_ref()
    }

    /// "the private key file /etc/rsa_key.p8".
    pub(super) fn name(&self) -> String {
        format!("the private key file {}", shown_path(&self.path))
    }
}

/// Into memory that is wiped, and of a fixed size: growing it would leave copies behind.
fn contents(path: &Path) -> Result<Content, InvalidKey> {
    let file = File::open(path)
        .map_err(|error| if is_socket(path) { InvalidKey::Socket } else { InvalidKey::Unreadable(error) })?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(InvalidKey::Unreadable)?;
    if bytes.len() > MAX_BYTES {
        return Err(InvalidKey::TooLong);
    }
    Ok(bytes)
}

#[cfg(unix)]
fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;

    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[cfg(not(unix))]
fn is_socket(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::super::PrivateKey;
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name)
    }

    fn text(name: &str) -> String {
        fs::read_to_string(fixture(name)).unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn the_socket_of_an_agent_is_named_and_a_pipe_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.1");
        let _agent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = PrivateKey::from_file(&socket).unwrap_err().to_string();
        assert!(error.contains("is a socket, as of an ssh agent"), "{error}");
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::write(pipe, text("plain.p8")).unwrap()
        });
        let key = PrivateKey::from_file(&pipe).unwrap();
        writer.join().unwrap();
        assert!(key.read_again().unwrap().is_none(), "a pipe is not read again");
    }

    #[test]
    fn a_key_file_is_read_again_when_its_content_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rsa_key.p8");
        let passphrase = Secret::new("open sesame");
        let write = |name: &str| fs::copy(fixture(name), &path).unwrap();
        write("aes256-sha256.p8");
        let first = PrivateKey::from_encrypted_file(&path, &passphrase).unwrap();
        assert!(first.read_again().unwrap().is_none());
        write("scrypt.p8");
        assert!(first.read_again().unwrap().is_none(), "the same key, encrypted in another way");
        write("plain-3072.p8");
        let second = first.read_again().unwrap().unwrap();
        assert_eq!((first.bits(), second.bits()), (2048, 3072));
        assert!(second.read_again().unwrap().is_none());
        write("aes256-sha256.p8");
        assert_eq!(second.read_again().unwrap().unwrap().fingerprint(), first.fingerprint());
        for (broken, says) in [("", "is empty"), (&text("plain.p8")[..300], "cut off"), (&text("ec.p8"), "elliptic")] {
            fs::write(&path, broken).unwrap();
            let error = first.read_again().unwrap_err().to_string();
            assert!(error.contains("rsa_key.p8") && error.contains(says), "{error}");
        }
        fs::remove_file(&path).unwrap();
        assert!(first.read_again().unwrap_err().to_string().contains("no such file"));
        assert!(PrivateKey::from_pem(&text("plain.p8")).unwrap().read_again().unwrap().is_none());
    }
}
