mod redaction;

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

pub(crate) use self::redaction::Redaction;

/// A text that is never printed, and wiped from memory when its last clone is dropped.
///
/// Copies that the HTTP and TLS layers make while sending it are not wiped.
///
/// ```
/// use snowpipe_streaming::Secret;
///
/// let secret = Secret::new("open sesame");
/// assert_eq!(format!("{secret:?}"), "Secret(…)");
/// assert_eq!(secret.expose(), "open sesame");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: Arc<Zeroizing<String>>,
}

impl Secret {
    /// Takes ownership of the text; a `String` is not copied.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret { text: Arc::new(Zeroizing::new(text.into())) }
    }

    /// The text itself: keep it out of logs and messages.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret::new(text)
    }
}
