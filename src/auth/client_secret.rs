use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::{fmt, str};

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, shown_path};
use crate::secret::Secret;

/// The secret of an OAuth client: a text, or a file that holds it, so that it can be changed while the client runs.
///
/// Nothing is trimmed from a text.
///
/// ```
/// use snowpipe_streaming::{ClientCredentials, ClientSecret};
///
/// let secret = ClientSecret::from_file("/run/secrets/oauth-client");
/// let client = ClientCredentials::of_issuer("https://auth.example.com", "loader", secret);
/// ```
#[derive(Clone)]
pub struct ClientSecret {
    source: SecretSource,
}

#[derive(Clone)]
enum SecretSource {
    Text(Secret),
    File(PathBuf),
}

impl ClientSecret {
    /// The content of a file, without one line end and a byte order mark, if it has them.
    ///
    /// The file is read when the client is built, and again when the authorization server refuses the client: if it then has
    /// another content, the login goes on with that. So it must be a regular file: a pipe can be read once.
    pub fn from_file(path: impl Into<PathBuf>) -> ClientSecret {
        let path = path.into();
        // A change of the working directory must not lead to another file.
        ClientSecret { source: SecretSource::File(std::path::absolute(&path).unwrap_or(path)) }
    }

    pub(crate) fn read(&self) -> Result<Secret, Error> {
        let secret = match &self.source {
            SecretSource::Text(secret) => secret.clone(),
            SecretSource::File(path) => read(path)?,
        };
        if !secret.expose().trim().is_empty() {
            return Ok(secret);
        }
        let reason = match &self.source {
            SecretSource::Text(_) => "the client secret is empty".to_owned(),
            SecretSource::File(path) => format!("the client secret file {} is empty", shown(path)),
        };
        Err(Error::new(ErrorKind::Config, reason).advise("give the secret that the authorization server issued"))
    }

    /// Another secret than the refused one, if the file holds one by now.
    pub(super) fn replacement(&self, refused: &Secret) -> Result<Option<Secret>, Error> {
        let SecretSource::File(path) = &self.source else { return Ok(None) };
        let secret = self.read()?;
        if secret == *refused {
            return Ok(None);
        }
        log::info!("the client secret in {} has changed; logging in with the new one", shown(path));
        Ok(Some(secret))
    }
}

impl From<Secret> for ClientSecret {
    fn from(secret: Secret) -> ClientSecret {
        ClientSecret { source: SecretSource::Text(secret) }
    }
}

impl From<&str> for ClientSecret {
    fn from(secret: &str) -> ClientSecret {
        Secret::from(secret).into()
    }
}

impl From<String> for ClientSecret {
    fn from(secret: String) -> ClientSecret {
        Secret::from(secret).into()
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            SecretSource::Text(_) => "ClientSecret(…)",
            SecretSource::File(_) => "ClientSecret(from a file)",
        })
    }
}

fn read(path: &Path) -> Result<Secret, Error> {
    let refuse = |reason: &str| {
        let reason = format!("the client secret file {} {reason}", shown(path));
        Error::new(ErrorKind::Config, reason).advise("check the path and the permissions of the file")
    };
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => refuse("does not exist").with_source(error),
        kind => refuse(&format!("cannot be read: {kind}")).with_source(error),
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    let kind_of_file = fs::metadata(path).map_err(unreadable)?.file_type();
    // Opening a pipe would wait for its writer, and it can be read once.
    if !kind_of_file.is_file() && !kind_of_file.is_dir() {
        return Err(refuse("is not a regular file"));
    }
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_BYTES {
        return Err(refuse(&format!("is longer than {MAX_BYTES} bytes")));
    }
    let text = str::from_utf8(&bytes).map_err(|_| refuse("is not UTF-8 text"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Secret::new(line))
}

/// The path, unless it looks like a secret. A client secret is what its server or its owner chose, so a name that is no file's is
/// judged more strictly than other paths.
fn shown(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_suspect = name.len() >= SECRET_LENGTH && name.contains(|c: char| c.is_ascii_digit()) && !path.is_file();
    match path.parent() {
        Some(folder) if is_suspect => {
            let shown = folder.join("…");
            format!("{} (its name is not shown: it may be the secret itself)", shown.display())
        }
        _ => shown_path(path),
    }
}

/// Longer than any secret that a server issues.
const MAX_BYTES: usize = 16 * 1024;
/// Generated secrets are longer, and have digits; few names of files are and have.
const SECRET_LENGTH: usize = 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn content(content: impl AsRef<[u8]>) -> Result<String, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        ClientSecret::from_file(file.path()).read().map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn exactly_one_line_end_is_taken_off_a_file_and_nothing_off_a_text() {
        for (text, secret) in [
            ("s3cr3t", "s3cr3t"),
            ("s3cr3t\n", "s3cr3t"),
            ("s3cr3t\r\n", "s3cr3t"),
            ("s3cr3t\n\n", "s3cr3t\n"),
            ("s3cr3t\r", "s3cr3t\r"),
            (" s3cr3t \n", " s3cr3t "),
            ("\u{feff}s3cr3t\n", "s3cr3t"),
        ] {
            assert_eq!(content(text).unwrap(), secret, "{text:?}");
            assert_eq!(ClientSecret::from(text).read().unwrap().expose(), text);
        }
    }

    #[test]
    fn a_file_without_a_secret_is_refused_with_its_name() {
        for (content, reason) in [
            (content(""), "is empty"),
            (content("\n"), "is empty"),
            (content(b"\xff\xfe"), "is not UTF-8 text"),
            (content([b'x'; MAX_BYTES + 1]), "is longer than 16384 bytes"),
            (ClientSecret::from_file("no/such/client-secret").read().map(|_| String::new()), "does not exist"),
            (ClientSecret::from_file(std::env::temp_dir()).read().map(|_| String::new()), "cannot be read"),
        ] {
            let error = content.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(
                error.to_string().starts_with("the client secret file ") && error.to_string().contains(reason),
                "{error}"
            );
        }
        let error = ClientSecret::from_file("no/such/client-secret").read().unwrap_err();
        assert!(error.to_string().contains("no/such/client-secret"), "{error}");
    }

    #[test]
    fn a_secret_in_the_place_of_a_path_is_not_shown() {
        let secret = "Q8x~hunter2-hunter2.aB3dE5";
        for path in [secret.to_owned(), format!("/etc/{secret}")] {
            let path = ClientSecret::from_file(path);
            let error = path.read().unwrap_err();
            let shown = format!("{error} {error:?} {path:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("it may be the secret itself"), "{shown}");
        }
    }

    #[test]
    fn a_path_forges_no_line_of_a_log_and_shows_no_token() {
        assert_eq!(shown(Path::new("/run/a\nb\u{1b}[1m")), "(not shown, as it looks like a secret)");
        assert_eq!(shown(Path::new("/run/a\u{1b}[1m")), "/run/a [1m");
        assert!(!shown(Path::new("/run/eyJhbGciOiJSUzI1NiJ9.e30.c2ln/x")).contains("eyJ"));
    }

    #[test]
    fn a_file_is_read_again_and_a_text_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "old\n").unwrap();
        let secret = ClientSecret::from_file(file.path());
        let old = secret.read().unwrap();
        assert_eq!(secret.replacement(&old).unwrap(), None);
        fs::write(file.path(), "new\n").unwrap();
        assert_eq!(secret.replacement(&old).unwrap(), Some("new".into()));
        fs::remove_file(file.path()).unwrap();
        assert_eq!(secret.replacement(&old).unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(ClientSecret::from("old").replacement(&old).unwrap(), None);
    }
}
