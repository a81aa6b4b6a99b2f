//! Removes what was sent to a server from the texts with which it answers.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::Secret;

/// The secrets that went out with a request. A server, or a proxy before it, may repeat them in any text of its response.
///
/// Every stretch of eight bytes of a secret is removed: as it is, percent-encoded, escaped for HTML or JSON (each of these also
/// twice), and in the base64 of a longer text, whatever its position and alphabet, also twice. A secret of four to seven bytes is removed
/// where it occurs as a whole; a shorter one is not, since ordinary words contain it.
///
/// Nothing is computed before the first text is redacted, and then once for all clones.
#[derive(Clone, Default)]
pub(crate) struct Redaction {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    secrets: Vec<Secret>,
    patterns: OnceLock<Vec<Pattern>>,
}

impl Redaction {
    pub(crate) fn of<'s>(secrets: impl IntoIterator<Item = &'s Secret>) -> Redaction {
        let secrets = secrets.into_iter().cloned().collect();
        Redaction { shared: Arc::new(Shared { secrets, patterns: OnceLock::new() }) }
    }

    /// This one, and another secret.
    pub(crate) fn and(&self, secret: &Secret) -> Redaction {
        Redaction::of(self.shared.secrets.iter().chain([secret]))
    }

    /// The text with a mark in place of each stretch of a secret. Call it before the text is shortened or otherwise changed: the
    /// rest of a stretch might not be recognised.
    ///
    /// What follows the first 16 KiB is left out; no text is shown at such a length.
    pub(crate) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let text = beginning(text);
        let is_hidden = self.hidden(text);
        if is_hidden.contains(&true) { Cow::Owned(marked(text, &is_hidden)) } else { Cow::Borrowed(text) }
    }

    /// Whether a name or a value is an echo, and not just has eight characters in common with a secret, as it may by chance.
    pub(crate) fn is_repeated_in(&self, value: &str) -> bool {
        let value = beginning(value);
        // Most are shorter.
        value.len() >= MIN_ECHO && self.hidden(value).split(|is_hidden| !is_hidden).any(|run| run.len() >= MIN_ECHO)
    }

    /// For each byte of the text, whether it belongs to a stretch.
    fn hidden(&self, text: &str) -> Vec<bool> {
        let mut is_hidden = vec![false; text.len()];
        let mut reading = Reading::of(text);
        for pass in 0..=MAX_ESCAPES {
            if pass > 0 {
                reading = reading.unescaped();
            }
            self.patterns().iter().for_each(|pattern| pattern.hide(&reading, &mut is_hidden));
        }
        is_hidden
    }

    /// One for each width.
    fn patterns(&self) -> &[Pattern] {
        self.shared.patterns.get_or_init(|| {
            let mut needles = Vec::new();
            for secret in &self.shared.secrets {
                let secret = secret.expose().trim();
                if secret.len() >= MIN_WIDTH {
                    add_forms(secret, &mut needles);
                }
            }
            let patterns = (MIN_WIDTH..=MAX_WIDTH).map(|width| Pattern::of(&needles, width));
            patterns.filter(|pattern| !pattern.stretches.is_empty()).collect()
        })
    }
}

/// How many secrets, and nothing of what is computed from them.
impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redaction").field(&self.shared.secrets).finish()
    }
}

/// The secret itself, and what of a base64 depends on it alone: of the secret as it is, and as it stands in a form; and the same
/// of that base64 once more, since a Basic credential is one.
fn add_forms(secret: &str, needles: &mut Vec<Zeroizing<Vec<u8>>>) {
    let form = Zeroizing::new(utf8_percent_encode(secret, FORM).to_string().replace("%20", "+"));
    let texts = if form.as_str() == secret { &[secret][..] } else { &[secret, &form] };
    for text in texts {
        for once in in_base64(text) {
            needles.extend(in_base64(&once).map(|twice| folded(twice.as_bytes())));
            needles.push(folded(once.as_bytes()));
        }
    }
    needles.push(folded(secret.as_bytes()));
}

/// Of longer texts, in which it begins after a multiple of three bytes, and one or two later.
fn in_base64(text: &str) -> [Zeroizing<String>; 3] {
    [0, 1, 2].map(|bytes_before| {
        let padded = Zeroizing::new([&[0; 2][..bytes_before], text.as_bytes()].concat());
        let encoded = Zeroizing::new(STANDARD_NO_PAD.encode(&padded));
        // Six bits a character; the first and the last of them may have bits of the neighbours too.
        let own = (bytes_before * 8).div_ceil(6)..padded.len() * 8 / 6;
        Zeroizing::new(encoded[own].to_owned())
    })
}

/// All stretches of one width that must not be shown, sorted.
struct Pattern {
    width: usize,
    stretches: Zeroizing<Vec<u64>>,
}

impl Pattern {
    fn of(needles: &[Zeroizing<Vec<u8>>], width: usize) -> Pattern {
        let needles = needles.iter().filter(|needle| needle.len().min(MAX_WIDTH) == width);
        let mut stretches: Vec<u64> = needles.flat_map(|needle| needle.windows(width)).map(packed).collect();
        stretches.sort_unstable();
        stretches.dedup();
        Pattern { width, stretches: Zeroizing::new(stretches) }
    }

    fn hide(&self, reading: &Reading, is_hidden: &mut [bool]) {
        for (at, stretch) in reading.bytes.windows(self.width).enumerate() {
            if self.stretches.binary_search(&packed(stretch)).is_ok() {
                let place = reading.places[at].start..reading.places[at + self.width - 1].end;
                is_hidden[place].fill(true);
            }
        }
    }
}

/// The bytes of a text, folded, each with the place in the text that stands for it.
struct Reading {
    bytes: Zeroizing<Vec<u8>>,
    places: Vec<Range<usize>>,
}

impl Reading {
    fn of(text: &str) -> Reading {
        let places = text.char_indices().flat_map(|(at, c)| {
            let place = at..at + c.len_utf8();
            std::iter::repeat_n(place, c.len_utf8())
        });
        Reading { bytes: folded(text.as_bytes()), places: places.collect() }
    }

    /// What escapes in this one stand for: `%2B`, `&#43;`, `&amp;`, `\u002b`, `\/`.
    fn unescaped(&self) -> Reading {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.bytes.len()));
        let mut places = Vec::with_capacity(self.bytes.len());
        let mut at = 0;
        while at < self.bytes.len() {
            let (character, length) = escape(&self.bytes[at..]).unwrap_or((Escaped::Byte(self.bytes[at]), 1));
            let place = self.places[at].start..self.places[at + length - 1].end;
            let mut encoded = [0; 4];
            let meant = match character {
                Escaped::Byte(byte) => {
                    encoded[0] = byte;
                    &encoded[..1]
                }
                Escaped::Char(c) => c.encode_utf8(&mut encoded).as_bytes(),
            };
            for byte in &*folded(meant) {
                bytes.push(*byte);
                places.push(place.clone());
            }
            at += length;
        }
        Reading { bytes, places }
    }
}

/// What an escape stands for.
enum Escaped {
    Byte(u8),
    Char(char),
}

/// What the escape at the beginning of these bytes stands for, and its length.
fn escape(bytes: &[u8]) -> Option<(Escaped, usize)> {
    let hex = |digits: Range<usize>| u32::from_str_radix(std::str::from_utf8(bytes.get(digits)?).ok()?, 16).ok();
    match bytes {
        [b'%', ..] | [b'\\', b'x', ..] => {
            let digits = if bytes[0] == b'%' { 1..3 } else { 2..4 };
            Some((Escaped::Byte(u8::try_from(hex(digits.clone())?).ok()?), digits.end))
        }
        [b'\\', b'u', ..] => Some((Escaped::Char(char::from_u32(hex(2..6)?)?), 6)),
        [b'\\', c @ (b'/' | b'"' | b'\'' | b'\\'), ..] => Some((Escaped::Byte(*c), 2)),
        [b'&', ..] => {
            let end = bytes.iter().take(MAX_ENTITY).position(|byte| *byte == b';')?;
            let name = std::str::from_utf8(&bytes[1..end]).ok()?;
            Some((Escaped::Char(entity(name)?), end + 1))
        }
        _ => None,
    }
}

fn entity(name: &str) -> Option<char> {
    match (name, name.strip_prefix('#')) {
        ("amp", _) => Some('&'),
        ("lt", _) => Some('<'),
        ("gt", _) => Some('>'),
        ("quot", _) => Some('"'),
        ("apos", _) => Some('\''),
        (_, Some(number)) => char::from_u32(match number.strip_prefix(['x', 'X']) {
            Some(number) => u32::from_str_radix(number, 16).ok()?,
            None => number.parse().ok()?,
        }),
        _ => None,
    }
}

/// The same for a space and a plus, which a form writes for it, and for the two alphabets of base64.
fn folded(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let fold = |byte: &u8| match byte {
        b' ' | b'-' => b'+',
        b'_' => b'/',
        byte => *byte,
    };
    Zeroizing::new(bytes.iter().map(fold).collect())
}

/// At most eight bytes as a number.
fn packed(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn marked(text: &str, is_hidden: &[bool]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut was_hidden = false;
    for (at, c) in text.char_indices() {
        if !is_hidden[at] {
            out.push(c);
        } else if !was_hidden {
            out.push_str(MARK);
        }
        was_hidden = is_hidden[at];
    }
    out
}

const MARK: &str = "[redacted]";

/// What a form leaves as it is.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// Far above the length of any text that is shown; bounds the work on a text that a server sends.
const MAX_TEXT: usize = 16 * 1024;

/// Fewer bytes are found in ordinary words: `key`.
const MIN_WIDTH: usize = 4;

/// No eight characters of a secret are shown; as many fit a `u64`.
const MAX_WIDTH: usize = 8;

/// More characters in a row than a value shares with a secret by chance, were it a date in both.
const MIN_ECHO: usize = 16;

/// JSON in a URL in a page: one inside another, and no service nests more.
const MAX_ESCAPES: usize = 2;

/// `&#x10FFFF;`
const MAX_ENTITY: usize = 10;

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    const TOKEN: &str = "eyJhbGciOiJ~SUzI1NiJ9.x?y>z+w/v=u&t.c2lnbmF0dXJl";

    fn redacted(secret: &str, text: &str) -> String {
        Redaction::of([&secret.into()]).redact(text).into_owned()
    }

    /// What of the base64 of a text shows part of the secret, at eight characters a piece.
    fn shows_base64_of(secret: &str, text: &str) -> bool {
        (0..3).any(|before| {
            let padded = [&b"??"[..before], secret.as_bytes()].concat();
            let own = (before * 8).div_ceil(6)..padded.len() * 8 / 6;
            [STANDARD.encode(&padded), URL_SAFE.encode(&padded)]
                .iter()
                .any(|encoded| encoded[own.clone()].as_bytes().windows(8).any(|stretch| holds(text, stretch)))
        })
    }

    fn holds(text: &str, stretch: &[u8]) -> bool {
        text.as_bytes().windows(stretch.len()).any(|window| window == stretch)
    }

    #[test]
    fn a_secret_is_removed_and_the_text_around_it_stays() {
        assert_eq!(
            redacted(TOKEN, &format!("bad header: Bearer {TOKEN}, sorry")),
            "bad header: Bearer [redacted], sorry"
        );
        assert_eq!(redacted(TOKEN, &format!("{TOKEN}{TOKEN} {TOKEN}")), "[redacted] [redacted]");
        assert_eq!(redacted(TOKEN, "JWT token is invalid."), "JWT token is invalid.");
        assert_eq!(redacted(TOKEN, ""), "");
    }

    #[test]
    fn eight_characters_of_a_secret_are_removed_and_seven_are_not() {
        for at in 0..TOKEN.len() - 8 {
            assert_eq!(redacted(TOKEN, &format!("|{}|", &TOKEN[at..at + 8])), "|[redacted]|");
        }
        assert_eq!(redacted(TOKEN, &format!("|{}|", &TOKEN[..7])), format!("|{}|", &TOKEN[..7]));
        assert_eq!(redacted("abcdefghijkl", "abcdefgh?efghijkl"), "[redacted]?[redacted]");
        assert_eq!(redacted("abcdefghijkl", "xabcdefghijkefghijklx"), "x[redacted]x", "stretches that overlap");
    }

    #[test]
    fn a_short_secret_is_removed_as_a_whole_and_a_tiny_one_is_kept() {
        assert_eq!(redacted("hunter2", "no hunter2, hunter"), "no [redacted], hunter");
        assert_eq!(redacted("1234", "x1234 123"), "x[redacted] 123");
        assert_eq!(redacted("key", "the key is wrong"), "the key is wrong");
        assert_eq!(redacted("", "nothing"), "nothing");
        let encoded = STANDARD.encode("loader:hunter2");
        assert_eq!(redacted("hunter2", &encoded), "bG9hZGVyOm[redacted]I=");
    }

    #[test]
    fn an_escaped_secret_is_removed() {
        let every_hex = |prefix: &str, suffix: &str| -> String {
            TOKEN.bytes().map(|byte| format!("{prefix}{byte:02x}{suffix}")).collect()
        };
        let percent = utf8_percent_encode(TOKEN, NON_ALPHANUMERIC).to_string();
        let html = TOKEN.replace('&', "&amp;").replace('>', "&gt;").replace('+', "&#43;").replace('=', "&#x3D;");
        for escaped in [
            percent.clone(),
            percent.replace("%3F", "%3f").replace("%2B", "%2b").replace("%2F", "%2f"),
            percent.replace('%', "%25"),
            every_hex("%", ""),
            every_hex("%", "").to_uppercase(),
            every_hex("\\u00", ""),
            every_hex("\\x", ""),
            every_hex("&#x", ";"),
            TOKEN.replace('/', "\\/"),
            html.clone(),
            html.replace('&', "&amp;"),
        ] {
            assert_eq!(redacted(TOKEN, &format!("|{escaped}|")), "|[redacted]|", "{escaped}");
        }
        assert_eq!(redacted("open sesame", "secret=open+sesame open%20sesame"), "secret=[redacted] [redacted]");
    }

    #[test]
    fn base64_of_a_text_with_the_secret_is_removed_in_every_position_and_alphabet() {
        for (secret, in_form) in
            [(TOKEN, utf8_percent_encode(TOKEN, FORM).to_string()), ("kö+nig sesam", "k%C3%B6%2Bnig+sesam".into())]
        {
            for text in [secret, &in_form] {
                for before in ["", "B", "Be", "Authorization: Bearer "] {
                    let whole = format!("{before}{text}\r\nHost: a.example\r\n");
                    for encoded in [STANDARD.encode(&whole), URL_SAFE.encode(&whole)] {
                        assert!(shows_base64_of(text, &encoded), "the test sees it: {encoded}");
                        for echoed in
                            [encoded.clone(), encoded.replace('/', "%2f").replace('+', "%2B"), encoded[5..].into()]
                        {
                            let out = redacted(secret, &echoed);
                            assert!(!shows_base64_of(text, &out), "{echoed} became {out}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_basic_credential_is_removed_from_the_base64_of_its_header() {
        let secret = "Hunter2/Hunter2+Hunter2";
        for pair in [format!("loader:{secret}"), "loader:Hunter2%2FHunter2%2BHunter2".to_owned()] {
            let credential = STANDARD.encode(pair);
            for before in ["Authorization: Basic ", "authorization:Basic ", "Basic "] {
                let out = redacted(secret, &STANDARD.encode(format!("{before}{credential}")));
                assert!(!shows_base64_of(&credential[10..28], &out), "{out}");
            }
        }
    }

    #[test]
    fn characters_of_several_bytes_stay_whole() {
        assert_eq!(redacted("grüße-aus-köln", "é grüße-aus-köln é"), "é [redacted] é");
        assert_eq!(redacted("grüße-aus-köln", "€gr%C3%BC%C3%9fe-aus-k&#246;ln€"), "€[redacted]€");
        assert_eq!(redacted("ßßßßßßß", "ßßßß"), "[redacted]", "eight bytes");
        let long = "é".repeat(MAX_TEXT);
        assert_eq!(redacted(TOKEN, &long).len(), MAX_TEXT);
        assert_eq!(redacted(TOKEN, &format!("x{long}")).len(), MAX_TEXT - 1);
    }

    #[test]
    fn anything_that_begins_like_an_escape_is_text() {
        for text in [
            "100%", "%", "%g0", "&", "&;", "&#;", "&#x;", "&#xD800;", "\\", "\\u12", "\\x", "&nbsp;", "%+1", "é%é",
            "\\ué", "&é;",
        ] {
            assert_eq!(redacted(TOKEN, text), text);
        }
    }

    #[test]
    fn a_value_is_an_echo_if_sixteen_characters_are() {
        let redaction = Redaction::of([&TOKEN.into()]);
        for echo in [TOKEN, &TOKEN[5..21], &format!("a{TOKEN}b"), &STANDARD.encode(TOKEN)] {
            assert!(redaction.is_repeated_in(echo), "{echo}");
        }
        for value in ["", "1-9ae16a3b", &TOKEN[5..20], "a value of its own, and a long one"] {
            assert!(!redaction.is_repeated_in(value), "{value}");
        }
    }

    #[test]
    fn several_secrets_are_removed_and_none_is_shown_by_debug() {
        let redaction = Redaction::of([&"first-secret".into()]).and(&"other-secret".into());
        assert_eq!(redaction.redact("first-secret, other-secret"), "[redacted], [redacted]");
        assert_eq!(format!("{redaction:?}"), "Redaction([Secret(…), Secret(…)])");
        assert_eq!(Redaction::default().redact("anything"), "anything");
    }
}
