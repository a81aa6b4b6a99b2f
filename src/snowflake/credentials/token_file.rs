use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::LoginContext;
use super::provided::{TimeLeft, expiry, time_left, trimmed};
use crate::auth::{Grant, TokenSource};
use crate::error::{Error, ErrorKind, shown_path};
use crate::http::Limits;
use crate::secret::Secret;
use crate::snowflake::token_kind::TokenKind;

/// A token in a file that another process renews; read again for every fetch.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    kind: TokenKind,
    context: LoginContext,
}

impl TokenFile {
    pub(crate) fn new(path: PathBuf, kind: TokenKind, context: LoginContext) -> TokenFile {
        TokenFile { path, kind, context }
    }

    /// Whether the file contains a token of this kind, expired or not.
    pub(crate) fn check(path: &Path, kind: TokenKind) -> Result<(), Error> {
        read(path, kind).map(drop)
    }
}

/// The token, and when it expires, if it says so.
fn read(path: &Path, kind: TokenKind) -> Result<(Secret, Option<SystemTime>), Error> {
    let shown = shown_path(path);
    let attempted = format!("use the token file {shown}");
    let unreadable = |error: io::Error| {
        let reason = format!("the token file {shown} cannot be read: {}", error.kind());
        Error::new(ErrorKind::Config, reason)
            .advise("check the path, the permissions and the process that writes the file")
            .with_source(error)
    };
    let wrong = |reason: &str| {
        Error::new(ErrorKind::Config, format!("the token file {shown} {reason}"))
            .advise("check that it is the token file")
    };
    let kind_of_file = fs::metadata(path).map_err(unreadable)?.file_type();
    // Opening a pipe would wait for its writer.
    if !kind_of_file.is_file() && !kind_of_file.is_dir() {
        return Err(Error::new(ErrorKind::Config, format!("the token file {shown} is not a regular file"))
            .advise("give one: it is read again and again, and a pipe can be read once"));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_BYTES {
        return Err(wrong(&format!("is longer than {MAX_BYTES} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not text"))?;
    let bearer = trimmed(&Secret::new(text), kind).map_err(|error| error.attempting(&*attempted))?;
    let expiry = expiry(&bearer, kind).map_err(|error| error.attempting(attempted))?;
    Ok((bearer, expiry))
}

impl TokenSource for TokenFile {
    fn fetch(&self, _limits: Limits) -> Result<Grant, Error> {
        let asked = self.context.clock.now();
        let (bearer, expiry) = read(&self.path, self.kind)?;
        match time_left(expiry, asked, &self.context.server_clock) {
            TimeLeft::Left(lifetime) => {
                let (origin, reread_after) = (self.context.origin.clone(), Some(READ_AGAIN_AFTER));
                Ok(Grant { bearer, origin, lifetime, asked, reread_after })
            }
            TimeLeft::Expired(ago) => {
                let (kind, path, ago) = (self.kind, shown_path(&self.path), ago.as_secs());
                let reason = format!("the {kind} in {path} expired {ago} s ago by this machine's clock");
                Err(Error::new(ErrorKind::Credentials, reason)
                    .advise("check the process that renews the file; check the clock"))
            }
        }
    }

    /// Read again at once; `None` if it holds the same token.
    fn replace(&self, refused: &Grant, limits: Limits) -> Result<Option<Grant>, Error> {
        let grant = self.fetch(limits)?;
        Ok((grant.bearer != refused.bearer).then_some(grant))
    }
}

/// A change of the file is noticed within this time, even while the token that it held is still valid.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Well above the longest header that servers accept, so nothing that works is refused.
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::auth::TokenCache;
    use crate::clock::FakeClock;
    use crate::http::Origin;

    struct Setup {
        clock: Arc<FakeClock>,
        path: PathBuf,
    }

    impl Setup {
        fn new(name: &str, content: &str) -> Setup {
            let path = std::env::temp_dir().join(format!("token-{name}-{}", std::process::id()));
            fs::write(&path, content).unwrap();
            Setup { clock: Arc::new(FakeClock::new()), path }
        }

        fn source(&self, kind: TokenKind) -> TokenFile {
            let origin = Origin::parse("https://a.example", "test URL").unwrap();
            let context = LoginContext { origin, clock: self.clock.clone(), server_clock: Arc::default() };
            TokenFile::new(self.path.clone(), kind, context)
        }
    }

    impl Drop for Setup {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.path);
        }
    }

    #[test]
    fn a_changed_file_is_noticed_within_a_minute() {
        let setup = Setup::new("changed", "first\n");
        let cache = TokenCache::new(Box::new(setup.source(TokenKind::OAuth)), setup.clock.clone());
        let first = cache.get(Limits::unlimited()).unwrap();
        assert_eq!(first.grant.bearer.expose(), "first");
        setup.clock.pass(Duration::from_secs(60));
        assert_eq!(cache.get(Limits::unlimited()).unwrap().generation, first.generation, "read again and unchanged");
        fs::write(&setup.path, "second").unwrap();
        assert_eq!(cache.get(Limits::unlimited()).unwrap().grant.bearer.expose(), "first");
        setup.clock.pass(Duration::from_secs(60));
        assert_eq!(cache.get(Limits::unlimited()).unwrap().grant.bearer.expose(), "second");
    }

    #[test]
    fn after_a_refusal_the_file_is_read_at_once() {
        let setup = Setup::new("refused", "first");
        let cache = TokenCache::new(Box::new(setup.source(TokenKind::ProgrammaticAccessToken)), setup.clock.clone());
        let first = cache.get(Limits::unlimited()).unwrap();
        fs::write(&setup.path, "second").unwrap();
        let second = cache.renew_after(&first, Limits::unlimited()).unwrap().unwrap();
        assert_eq!(second.grant.bearer.expose(), "second");
        assert!(cache.renew_after(&second, Limits::unlimited()).unwrap().is_none(), "it still holds the same token");
    }

    #[test]
    fn a_file_that_vanishes_does_no_harm_while_its_token_is_valid() {
        let setup = Setup::new("vanished", "first");
        let cache = TokenCache::new(Box::new(setup.source(TokenKind::OAuth)), setup.clock.clone());
        cache.get(Limits::unlimited()).unwrap();
        fs::remove_file(&setup.path).unwrap();
        for _ in 0..24 {
            setup.clock.pass(Duration::from_secs(3600));
            assert_eq!(cache.get(Limits::unlimited()).unwrap().grant.bearer.expose(), "first");
        }
        let error = cache.refresh(Limits::unlimited()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("token-vanished"), "{error}");
        fs::write(&setup.path, "second").unwrap();
        setup.clock.pass(Duration::from_secs(60));
        assert_eq!(cache.get(Limits::unlimited()).unwrap().grant.bearer.expose(), "second");
    }

    #[test]
    fn an_invalid_token_is_refused_without_being_repeated() {
        for (content, kind) in
            [("", TokenKind::OAuth), ("open sesame", TokenKind::OAuth), ("open-sesame", TokenKind::KeyPairJwt)]
        {
            let setup = Setup::new("bad", content);
            let error = setup.source(kind).fetch(Limits::unlimited()).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("token-bad") && !shown.contains("sesame"), "{shown}");
        }
    }
}
