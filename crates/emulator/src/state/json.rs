//! Checks that a line is one JSON object, which every row has to be.

use serde::de::IgnoredAny;

/// Whether the line is one complete JSON object, with nothing but white space around it. The caller has to check that
/// it is UTF-8: serde skips strings without looking at their bytes.
pub(crate) fn is_object(line: &[u8]) -> bool {
    is_flat_object(line).unwrap_or_else(|| {
        let first = line.iter().find(|byte| !byte.is_ascii_whitespace());
        first == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(line).is_ok()
    })
}

/// Rows are mostly flat objects without escapes, and this checks those twice as fast as serde. `None` means that serde
/// has to look, because the line is either wrong or not that simple.
fn is_flat_object(line: &[u8]) -> Option<bool> {
    let mut at = expect(line, after_space(line, 0), b'{')?;
    at = after_space(line, at);
    if line.get(at) != Some(&b'}') {
        loop {
            at = after_string(line, at)?;
            at = expect(line, after_space(line, at), b':')?;
            at = after_scalar(line, after_space(line, at))?;
            at = after_space(line, at);
            if line.get(at) != Some(&b',') {
                break;
            }
            at = after_space(line, at + 1);
        }
    }
    at = expect(line, at, b'}')?;
    (after_space(line, at) == line.len()).then_some(true)
}

fn expect(line: &[u8], at: usize, byte: u8) -> Option<usize> {
    (line.get(at) == Some(&byte)).then_some(at + 1)
}

fn after_space(line: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = line.get(at) {
        at += 1;
    }
    at
}

fn after_scalar(line: &[u8], at: usize) -> Option<usize> {
    let word = |word: &[u8]| line[at..].starts_with(word).then_some(at + word.len());
    match line.get(at)? {
        b'"' => after_string(line, at),
        b'-' | b'0'..=b'9' => after_number(line, at),
        b't' => word(b"true"),
        b'f' => word(b"false"),
        b'n' => word(b"null"),
        _ => None,
    }
}

fn after_string(line: &[u8], at: usize) -> Option<usize> {
    let mut at = expect(line, at, b'"')?;
    while let Some(eight) = line.get(at..).and_then(|rest| rest.first_chunk()) {
        let ends = ends_plain_text(u64::from_le_bytes(*eight));
        at += (ends.trailing_zeros() / 8) as usize;
        if ends != 0 {
            return expect(line, at, b'"');
        }
    }
    while !matches!(line.get(at)?, b'"' | b'\\' | 0..0x20) {
        at += 1;
    }
    expect(line, at, b'"')
}

/// Marks the bytes that are a quote, a backslash or a control character. Only the first mark is reliable: a subtraction
/// that borrows spoils bytes that come later, never earlier ones.
fn ends_plain_text(eight: u64) -> u64 {
    let below = |eight: u64, bound: u8| eight.wrapping_sub(EACH * u64::from(bound)) & !eight;
    let is = |byte: u8| below(eight ^ (EACH * u64::from(byte)), 1);
    (is(b'"') | is(b'\\') | below(eight, 0x20)) & (EACH << 7)
}

fn after_number(line: &[u8], at: usize) -> Option<usize> {
    let start = at + usize::from(line[at] == b'-');
    let mut end = after_digits(line, start)?;
    if line[start] == b'0' && end > start + 1 {
        return None;
    }
    if line.get(end) == Some(&b'.') {
        end = after_digits(line, end + 1)?;
    }
    if let Some(b'e' | b'E') = line.get(end) {
        let sign = matches!(line.get(end + 1), Some(b'+' | b'-'));
        end = after_digits(line, end + 1 + usize::from(sign))?;
    }
    Some(end)
}

fn after_digits(line: &[u8], at: usize) -> Option<usize> {
    let digits = line.get(at..)?;
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(at + count)
}

/// One in each byte.
const EACH: u64 = 0x0101_0101_0101_0101;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged_by_serde(line: &[u8]) -> bool {
        let text = line.trim_ascii();
        text.first() == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(line).is_ok()
    }

    const LINES: [&str; 12] = [
        r#"{}"#,
        r#"{"a":1}"#,
        r#" { "a" : -0.5e+10 , "b" : "text" , "c" : null }  "#,
        r#"{"a":true,"b":false,"c":[1,{"d":2}],"e":{"f":"g"}}"#,
        r#"{"a":"\"\\\n\u00e9"}"#,
        r#"{"a":"é"}"#,
        r#"{"a":01}"#,
        r#"{"a":1.}"#,
        r#"{"a":nul}"#,
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{a:1}"#,
    ];

    #[test]
    fn every_line_is_judged_as_serde_judges_it() {
        assert!(is_object(LINES[2].as_bytes()));
        assert!(!is_object(LINES[9].as_bytes()));
        for line in LINES {
            let whole = line.as_bytes();
            assert_eq!(is_object(whole), judged_by_serde(whole), "{line}");
            for at in 0..whole.len() {
                assert_eq!(is_object(&whole[..at]), judged_by_serde(&whole[..at]));
                for byte in *b"{}[]\",:\\ 01.-+eEtfna\t\x01\xff" {
                    let mut changed = whole.to_vec();
                    changed[at] = byte;
                    let text = String::from_utf8_lossy(&changed);
                    assert_eq!(is_object(&changed), judged_by_serde(&changed), "{text}");
                    changed[at] = whole[at];
                    changed.insert(at, byte);
                    let text = String::from_utf8_lossy(&changed);
                    assert_eq!(is_object(&changed), judged_by_serde(&changed), "{text}");
                }
            }
        }
    }
}
