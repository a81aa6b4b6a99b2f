use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::provided::{BY_OUR_CLOCK, end, left, tidy};
use crate::auth::{Grant, TokenKind, TokenSource};
use crate::clock::{Clock, ServerClock};
use crate::error::{Error, ErrorKind};
use crate::http::Origin;
use crate::secret::Secret;

/// A token in a file that somebody else renews; read again for every fetch.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    kind: TokenKind,
    origin: Origin,
    clock: Arc<dyn Clock>,
    server_clock: Arc<ServerClock>,
}

impl TokenFile {
    pub(crate) fn new(
        path: PathBuf,
        kind: TokenKind,
        origin: Origin,
        clock: Arc<dyn Clock>,
        server_clock: Arc<ServerClock>,
    ) -> TokenFile {
        TokenFile { path, kind, origin, clock, server_clock }
    }

    fn read(&self) -> Result<Secret, Error> {
        let file = File::open(&self.path).map_err(|error| self.unreadable(error))?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| self.unreadable(error))?;
        if bytes.len() > MAX_BYTES {
            let happened = format!("the token file {} is longer than {MAX_BYTES} bytes", self.path.display());
            return Err(Error::new(ErrorKind::Config, happened).advise("check that it is the token file"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Error::new(ErrorKind::Config, format!("the token file {} is not text", self.path.display()))
                .advise("check that it is the token file")
        })?;
        tidy(&Secret::new(text), self.kind).map_err(|error| error.attempting(self.attempted()))
    }

    fn attempted(&self) -> String {
        format!("use the token file {}", self.path.display())
    }

    fn unreadable(&self, error: std::io::Error) -> Error {
        let happened = format!("the token file {} cannot be read: {}", self.path.display(), error.kind());
        Error::new(ErrorKind::Config, happened)
            .advise("check the path, the permissions and whoever writes the file")
            .with_source(error)
    }
}

impl TokenSource for TokenFile {
    fn fetch(&self) -> Result<Grant, Error> {
        let asked = self.clock.now();
        let bearer = self.read()?;
        let end = end(&bearer, self.kind).map_err(|error| error.attempting(self.attempted()))?;
        let left = end.map_or(Ok(Duration::MAX), |end| left(end, self.server_clock.at(asked.wall)));
        let left = left.map_err(|ago| {
            let (kind, path, ago) = (self.kind, self.path.display(), ago.as_secs());
            Error::new(ErrorKind::Credentials, format!("the {kind} in {path} expired {ago} s ago{BY_OUR_CLOCK}"))
                .advise("see to whoever renews the file; check the clock")
        })?;
        let lifetime = left.min(READ_AGAIN);
        Ok(Grant { bearer, kind: self.kind, origin: self.origin.clone(), lifetime, asked })
    }

    fn replace(&self, refused: &Grant) -> Result<Grant, Error> {
        let grant = self.fetch()?;
        if grant.bearer == refused.bearer {
            let happened = format!("the service refused the {} that {} still holds", self.kind, self.path.display());
            return Err(Error::new(ErrorKind::Credentials, happened).advise("see to whoever renews the file"));
        }
        Ok(grant)
    }
}

/// So soon is a change of the file noticed, while the token it held is still good.
const READ_AGAIN: Duration = Duration::from_secs(60);
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::auth::TokenCache;
    use crate::clock::FakeClock;

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
            TokenFile::new(self.path.clone(), kind, origin, self.clock.clone(), Arc::default())
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
        let first = cache.get().unwrap();
        assert_eq!(first.grant.bearer.expose(), "first");
        setup.clock.pass(Duration::from_secs(60));
        assert_eq!(cache.get().unwrap().generation, first.generation, "read again and unchanged");
        fs::write(&setup.path, "second").unwrap();
        assert_eq!(cache.get().unwrap().grant.bearer.expose(), "first");
        setup.clock.pass(Duration::from_secs(60));
        assert_eq!(cache.get().unwrap().grant.bearer.expose(), "second");
    }

    #[test]
    fn after_a_refusal_the_file_is_read_at_once() {
        let setup = Setup::new("refused", "first");
        let cache = TokenCache::new(Box::new(setup.source(TokenKind::ProgrammaticAccessToken)), setup.clock.clone());
        let first = cache.get().unwrap();
        fs::write(&setup.path, "second").unwrap();
        let second = cache.renew_after(&first).unwrap();
        assert_eq!(second.grant.bearer.expose(), "second");
        let error = cache.renew_after(&second).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
        assert!(error.to_string().contains("still holds"), "{error}");
    }

    #[test]
    fn a_file_that_vanishes_costs_nothing_while_its_token_is_good() {
        let setup = Setup::new("vanished", "first");
        let cache = TokenCache::new(Box::new(setup.source(TokenKind::OAuth)), setup.clock.clone());
        cache.get().unwrap();
        fs::remove_file(&setup.path).unwrap();
        setup.clock.pass(Duration::from_secs(55));
        assert_eq!(cache.get().unwrap().grant.bearer.expose(), "first");
        setup.clock.pass(Duration::from_secs(5));
        let error = cache.get().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("token-vanished"), "{error}");
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_repeated() {
        for (content, kind) in
            [("", TokenKind::OAuth), ("open sesame", TokenKind::OAuth), ("open-sesame", TokenKind::KeyPairJwt)]
        {
            let setup = Setup::new("bad", content);
            let error = setup.source(kind).fetch().unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("token-bad") && !shown.contains("sesame"), "{shown}");
        }
    }
}
