use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

/// A name or value in the encoding of HTML forms, where a space is a plus (RFC 6749, appendix B).
///
/// Wiped on drop, because it may be a client secret.
pub(crate) fn form_encoded(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 3));
    for piece in utf8_percent_encode(text, ENCODED) {
        out.push_str(if piece == "%20" { "+" } else { piece });
    }
    out
}

/// Everything except what the URL Standard leaves as it is in a form.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');
