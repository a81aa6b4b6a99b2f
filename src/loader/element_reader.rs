use std::io::Read;

use super::line_reader::{Line, LineError, Next};
use super::read_buffer::{MAX_KEPT_BYTES, ReadBuffer};
use crate::rows::Batch;

/// Reads the elements of a JSON array, or JSON values one after the other, through one reused buffer.
///
/// It finds where an element ends; whether it is a row is for others to say. What is between elements must be right, since
/// otherwise the next one cannot be found.
#[derive(Debug, Default)]
pub(super) struct ElementReader {
    buffer: ReadBuffer,
    place: Place,
    element: Element,
    /// Place of the element read last; the first is 1.
    number: u64,
}

/// Where the unread bytes begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    /// Among values that follow each other without an array around them.
    Sequence,
    ArrayStart,
    AfterElement,
    AfterComma,
    AfterArray,
}

/// What is known of the element with which the unread bytes begin.
#[derive(Debug, Default)]
struct Element {
    has_begun: bool,
    /// Bytes that were looked at.
    seen: usize,
    /// What closes the arrays and objects that are open there, outermost first.
    closers: Vec<u8>,
    is_in_string: bool,
    /// The element up to `copied`, without blanks and line breaks outside strings; used once there are some.
    text: Vec<u8>,
    copied: usize,
    has_blanks: bool,
    /// Known once its end is found.
    length: Option<usize>,
}

/// What stands in front of the next element.
enum Gap {
    Element,
    /// The bytes do not show it yet.
    Open,
}

impl ElementReader {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the elements are those of an array.
    pub(super) fn is_array(&self) -> bool {
        !matches!(self.place, Place::Start | Place::Sequence)
    }

    /// The next element; [`advance`](ElementReader::advance) goes past it. Reading may block, so `may_read` is asked first.
    pub(super) fn peek(&mut self, input: &mut dyn Read, may_read: impl Fn() -> bool) -> Result<Next<'_>, LineError> {
        loop {
            if !self.element.has_begun && matches!(self.pass_gap()?, Gap::Element) {
                self.element.has_begun = true;
            }
            if self.element.has_begun && self.element.find_end(self.buffer.unread())? {
                return Ok(Next::Line(self.element.line(self.buffer.unread())));
            }
            if !may_read() {
                return Ok(Next::NotBuffered);
            }
            if self.buffer.read_more(input).map_err(LineError::Io)? == 0 {
                return self.peek_at_end();
            }
        }
    }

    /// Goes past the peeked element.
    pub(super) fn advance(&mut self) {
        self.buffer.consume(self.element.length.unwrap_or(0));
        self.element.clear();
        self.number += 1;
        if self.is_array() {
            self.place = Place::AfterElement;
        }
    }

    fn peek_at_end(&mut self) -> Result<Next<'_>, LineError> {
        let unread = self.buffer.unread();
        if self.element.has_begun {
            self.element.end_with(unread)?;
            return Ok(Next::Line(self.element.line(unread)));
        }
        // Half a byte order mark.
        if !unread.is_empty() {
            return Err(begins_nothing(unread[0]));
        }
        match self.place {
            Place::Start | Place::Sequence | Place::AfterArray => Ok(Next::End),
            Place::ArrayStart | Place::AfterElement | Place::AfterComma => {
                Err(broken("the array has no end, so the text may not be complete"))
            }
        }
    }

    /// Goes past what stands between elements.
    fn pass_gap(&mut self) -> Result<Gap, LineError> {
        loop {
            let blanks = self.buffer.unread().iter().take_while(|byte| is_json_blank(**byte)).count();
            self.buffer.consume(blanks);
            let Some(next) = self.buffer.unread().first().copied() else { return Ok(Gap::Open) };
            if self.buffer.may_be_mark() {
                return Ok(Gap::Open);
            }
            self.place = match (self.place, next) {
                (Place::Start, b'[') => Place::ArrayStart,
                (Place::ArrayStart | Place::AfterElement, b']') => Place::AfterArray,
                (Place::AfterElement, b',') => Place::AfterComma,
                (Place::AfterElement, _) => return Err(broken("there is no comma after the element before it")),
                (Place::AfterComma, b']') => return Err(broken("no element follows a comma")),
                (Place::AfterArray, _) => return Err(broken("something follows the end of the array")),
                _ if !begins_element(next) => return Err(begins_nothing(next)),
                (Place::Start, _) => {
                    self.place = Place::Sequence;
                    return Ok(Gap::Element);
                }
                (Place::Sequence | Place::ArrayStart | Place::AfterComma, _) => return Ok(Gap::Element),
            };
            self.buffer.consume(1);
        }
    }
}

impl Element {
    fn clear(&mut self) {
        let (mut text, mut closers) = (std::mem::take(&mut self.text), std::mem::take(&mut self.closers));
        text.clear();
        closers.clear();
        *self = Element { text, closers, ..Element::default() };
    }

    fn line<'l>(&'l self, unread: &'l [u8]) -> Line<'l> {
        let raw = &unread[..self.length.unwrap_or(0)];
        match self.has_blanks {
            true => Line { text: &self.text, raw: Some(raw), is_terminated: true },
            false => Line { text: raw, raw: None, is_terminated: true },
        }
    }

    /// Whether the element ends within the unread bytes.
    fn find_end(&mut self, unread: &[u8]) -> Result<bool, LineError> {
        while self.length.is_none() && self.seen < unread.len() {
            let went_on = if self.is_in_string {
                self.pass_string(unread)
            } else if self.closers.is_empty() && !matches!(unread[0], b'{' | b'[' | b'"') {
                self.pass_scalar(unread)
            } else {
                self.pass_structure(unread)?
            };
            if !went_on {
                break;
            }
        }
        // The same however many bytes the input gives at a time.
        if self.length.unwrap_or(unread.len()) > MAX_KEPT_BYTES {
            let most = Batch::MAX_ROW_BYTES;
            return Err(LineError::Broken(format!("it is longer than {most} bytes, the most a row may have")));
        }
        Ok(self.length.is_some())
    }

    /// The input ends with these bytes: a number or a word does, too.
    fn end_with(&mut self, unread: &[u8]) -> Result<(), LineError> {
        if !self.is_in_string && self.closers.is_empty() {
            self.end_at(unread.len(), unread);
            return Ok(());
        }
        let open = if self.is_in_string { "a string" } else { "an object or an array" };
        Err(LineError::Broken(format!("{open} has no end, so the text may not be complete")))
    }

    /// False if more bytes are needed.
    fn pass_string(&mut self, unread: &[u8]) -> bool {
        let Some(found) = memchr::memchr2(b'"', b'\\', &unread[self.seen..]) else {
            self.seen = unread.len();
            return true;
        };
        let at = self.seen + found;
        if unread[at] == b'\\' {
            // With the byte after it, which may be a quote.
            self.seen = if at + 1 < unread.len() { at + 2 } else { at };
            return self.seen > at;
        }
        self.is_in_string = false;
        self.seen = at + 1;
        if self.closers.is_empty() {
            self.end_at(self.seen, unread);
        }
        true
    }

    fn pass_scalar(&mut self, unread: &[u8]) -> bool {
        let ends = |byte: &u8| is_json_blank(*byte) || matches!(byte, b',' | b':' | b'{' | b'}' | b'[' | b']' | b'"');
        match unread[self.seen..].iter().position(ends) {
            Some(found) => self.end_at(self.seen + found, unread),
            None => self.seen = unread.len(),
        }
        true
    }

    /// Up to the next string, or the end. False if more bytes are needed.
    fn pass_structure(&mut self, unread: &[u8]) -> Result<bool, LineError> {
        while let Some(byte) = unread.get(self.seen).copied() {
            match byte {
                b'{' => self.closers.push(b'}'),
                b'[' => self.closers.push(b']'),
                b'}' | b']' if self.closers.last() != Some(&byte) => {
                    return Err(LineError::Broken(format!("a {} closes what it did not open", char::from(byte))));
                }
                b'}' | b']' => {
                    self.closers.pop();
                }
                b'"' => self.is_in_string = true,
                blank if is_json_blank(blank) => match self.pass_blanks(unread) {
                    true => continue,
                    false => return Ok(false),
                },
                _ => {}
            }
            self.seen += 1;
            if self.is_in_string {
                return Ok(true);
            }
            if self.closers.is_empty() {
                self.end_at(self.seen, unread);
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Leaves blanks out, unless they are all that keeps two numbers or words apart, which are no JSON and must not become
    /// one number. False if more bytes are needed to tell.
    fn pass_blanks(&mut self, unread: &[u8]) -> bool {
        let blanks = unread[self.seen..].iter().take_while(|byte| is_json_blank(**byte)).count();
        let end = self.seen + blanks;
        let Some(next) = unread.get(end) else { return false };
        if !(is_of_scalar(unread[self.seen - 1]) && is_of_scalar(*next)) {
            self.text.extend_from_slice(&unread[self.copied..self.seen]);
            self.copied = end;
            self.has_blanks = true;
        }
        self.seen = end;
        true
    }

    fn end_at(&mut self, length: usize, unread: &[u8]) {
        if self.has_blanks {
            self.text.extend_from_slice(&unread[self.copied..length]);
        }
        self.length = Some(length);
    }
}

fn is_of_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

fn begins_element(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'{' | b'[' | b'"' | b'-')
}

fn begins_nothing(byte: u8) -> LineError {
    LineError::Broken(format!("{} begins no element", byte.escape_ascii()))
}

fn broken(happened: &str) -> LineError {
    LineError::Broken(happened.to_string())
}

fn is_json_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    /// Gives pieces of random length.
    struct Sips<'t> {
        text: &'t [u8],
        random: fastrand::Rng,
    }

    impl Read for Sips<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = if self.random.bool() { 3 } else { 100 };
            let size = self.random.usize(1..=most).min(into.len());
            self.text.read(&mut into[..size])
        }
    }

    /// Of an element the text, and the element as it stands.
    type Texts = (Vec<u8>, Vec<u8>);

    /// All elements, and how it ended.
    fn read(text: &[u8], seed: u64) -> (Vec<Texts>, Result<(), String>) {
        let (mut elements, mut found) = (ElementReader::default(), Vec::new());
        let mut input = Sips { text, random: fastrand::Rng::with_seed(seed) };
        loop {
            match elements.peek(&mut input, || true) {
                Ok(Next::Line(line)) => found.push((line.text.to_vec(), line.as_it_stands().to_vec())),
                Ok(Next::NotBuffered) => unreachable!("reading is allowed"),
                Ok(Next::End) => return (found, Ok(())),
                Err(LineError::Broken(happened)) => return (found, Err(happened)),
                Err(error) => panic!("{error:?}"),
            }
            let peeked = found.last().map(|(text, _)| text.clone());
            let again = elements.peek(&mut input, || false);
            assert!(matches!(again, Ok(Next::Line(line)) if Some(line.text) == peeked.as_deref()));
            elements.advance();
            assert_eq!(elements.number(), found.len() as u64);
        }
    }

    fn texts(text: &str) -> (Vec<String>, Result<(), String>) {
        let (found, end) = read(text.as_bytes(), 1);
        (found.into_iter().map(|(text, _)| String::from_utf8(text).unwrap()).collect(), end)
    }

    #[test]
    fn an_array_and_a_sequence_give_their_elements_without_the_blanks_between_tokens() {
        for text in [
            "[{\"A\": 1.10},\n {\"B\" :\t\"x y\\\" \\\\\"} , {}]",
            "\u{feff} [ {\"A\":\r\n1.10},{\"B\":\"x y\\\" \\\\\"},{ }\n]\n\n",
            "{\"A\": 1.10}{\"B\":\"x y\\\" \\\\\"} {}",
            "\u{feff}\n{\"A\":1.10}\n{\"B\": \"x y\\\" \\\\\"}\n\n{\n}\n",
        ] {
            let expected = ["{\"A\":1.10}", "{\"B\":\"x y\\\" \\\\\"}", "{}"];
            assert_eq!(texts(text), (expected.map(String::from).to_vec(), Ok(())), "{text}");
        }
        for text in ["", " \n", "\u{feff}", "[]", " [ ] ", "\u{feff}[\n]"] {
            assert_eq!(texts(text), (vec![], Ok(())), "{text:?}");
        }
    }

    #[test]
    fn an_element_that_is_no_object_has_its_place_and_the_next_one_is_found() {
        let (found, end) = texts("[1, -2.5e3,null, \"a,]\" ,[ {\"A\":1},\n2],tru,{\"A\":{\"B\":[]}}]");
        assert_eq!(found, ["1", "-2.5e3", "null", "\"a,]\"", "[{\"A\":1},2]", "tru", "{\"A\":{\"B\":[]}}"]);
        assert_eq!(end, Ok(()));
        assert_eq!(texts("{} 7 {}8").0, ["{}", "7", "{}", "8"]);
    }

    #[test]
    fn leaving_out_blanks_makes_no_row_of_what_is_none() {
        for (text, expected) in [
            ("{\"A\":1 2}", "{\"A\":1 2}"),
            ("{\"A\" : tr \n ue }", "{\"A\":tr \n ue}"),
            ("{ \"A\":- 1,\"B\":1 .5}", "{\"A\":- 1,\"B\":1 .5}"),
            ("{\"A\":\"a\" \"b\"}", "{\"A\":\"a\"\"b\"}"),
        ] {
            assert_eq!(texts(text), (vec![expected.to_string()], Ok(())));
            assert!(Batch::new().push_json(expected.as_bytes()).is_err());
        }
        let mut elements = ElementReader::default();
        let error = elements.peek(&mut (&b"[{\"A\":"[..]).chain(io::repeat(b' ')), || true).unwrap_err();
        assert!(matches!(error, LineError::Broken(_)));
        assert!(elements.buffer.memory() < 3 * MAX_KEPT_BYTES);
    }

    #[test]
    fn where_the_next_element_cannot_be_found_it_ends() {
        let no_end = "so the text may not be complete";
        for (text, before, said) in [
            ("[{\"A\":1} {\"A\":2}]", 1, "there is no comma after the element before it"),
            ("[{\"A\":1},]", 1, "no element follows a comma"),
            ("[{\"A\":1},,{}]", 1, ", begins no element"),
            ("[,{}]", 0, ", begins no element"),
            ("[{\"A\":1}", 1, no_end),
            ("[{\"A\":1},", 1, no_end),
            ("[", 0, no_end),
            ("[{\"A\":1},{\"A\":[1}]", 1, "a } closes what it did not open"),
            ("[{\"A\":1},{\"A\":\"x]", 1, "a string has no end, so the text may not be complete"),
            ("[{\"A\":1},{\"A\":\"x\\", 1, "a string has no end"),
            ("[{}]{}", 1, "something follows the end of the array"),
            ("[{}]]", 1, "something follows the end of the array"),
            ("{}{\"A\":1", 1, "an object or an array has no end"),
            ("{},{}", 1, ", begins no element"),
            ("{}]", 1, "] begins no element"),
            ("}", 0, "} begins no element"),
            ("\u{e9}", 0, "\\xc3 begins no element"),
        ] {
            let (found, end) = texts(text);
            let end = end.unwrap_err();
            assert_eq!((found.len(), end.contains(said)), (before, true), "{text}: {end}");
        }
        assert_eq!(read(b"\xef\xbb", 1).1, Err("\\xef begins no element".into()));
    }

    #[test]
    fn nesting_takes_no_stack_and_an_element_without_end_does_not_fill_the_memory() {
        let deep = format!("[{{\"A\":{}{}}},{{}}]", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(texts(&deep).0.len(), 2);
        let mut elements = ElementReader::default();
        let error = elements.peek(&mut (&b"[{\"A\":\""[..]).chain(io::repeat(b'x')), || true).unwrap_err();
        assert!(matches!(error, LineError::Broken(happened) if happened.contains("longer than 16000000 bytes")));
        assert!(elements.buffer.memory() < 3 * MAX_KEPT_BYTES);
        // Blanks between elements are not kept.
        let blanks = (&b"[{}"[..]).chain(io::repeat(b' ').take(100_000_000)).chain(&b"]"[..]);
        let (mut elements, mut input) = (ElementReader::default(), blanks);
        assert!(matches!(elements.peek(&mut input, || true), Ok(Next::Line(_))));
        elements.advance();
        assert!(matches!(elements.peek(&mut input, || true), Ok(Next::End)));
        assert!(elements.buffer.memory() < 1_000_000);
    }

    #[test]
    fn what_is_not_buffered_is_not_waited_for() {
        let (mut elements, mut input) = (ElementReader::default(), &b"[{\"A\":1},{\"A\""[..]);
        assert!(matches!(elements.peek(&mut input, || false), Ok(Next::NotBuffered)));
        assert!(matches!(elements.peek(&mut input, || true), Ok(Next::Line(_))));
        elements.advance();
        assert!(matches!(elements.peek(&mut input, || false), Ok(Next::NotBuffered)));
    }

    /// A value with blanks wherever they may be.
    fn random_value(random: &mut fastrand::Rng, depth: usize, text: &mut String) {
        let blank = |random: &mut fastrand::Rng| ["", "", "", " ", "\n", "\r\n\t"][random.usize(..6)];
        let kind = if depth > 4 { random.usize(2..5) } else { random.usize(..5) };
        let strings =
            ["\"\"", "\"a b\"", "\"\\\"\"", "\"\\\\\"", "\"\\u00e9 {[,]}\"", "\"\u{1d11e}\\n\"", "\"x\\\\\\\"]\""];
        match kind {
            0 | 1 => {
                let (open, close) = if kind == 0 { ('{', '}') } else { ('[', ']') };
                text.push(open);
                for index in 0..random.usize(..4) {
                    text.push_str(if index > 0 { "," } else { "" });
                    text.push_str(blank(random));
                    if kind == 0 {
                        text.push_str(strings[random.usize(..strings.len())]);
                        text.push_str(blank(random));
                        text.push(':');
                        text.push_str(blank(random));
                    }
                    random_value(random, depth + 1, text);
                    text.push_str(blank(random));
                }
                text.push_str(blank(random));
                text.push(close);
            }
            2 => text.push_str(strings[random.usize(..strings.len())]),
            3 => text.push_str(["0", "-1", "1.10", "1e5", "12345678901234567890123", "-0.0E-7"][random.usize(..6)]),
            _ => text.push_str(["true", "false", "null"][random.usize(..3)]),
        }
    }

    fn random_document(random: &mut fastrand::Rng) -> (String, bool) {
        let (is_array, mut text) = (random.bool(), String::new());
        // What begins with an array ends with it.
        text.push_str(if is_array { " [" } else { "\n{}" });
        for index in 0..random.usize(..6) {
            text.push_str(if is_array && index > 0 { " ,\n" } else { " " });
            random_value(random, 0, &mut text);
        }
        text.push_str(if is_array { "\n] " } else { "\n" });
        (text, is_array)
    }

    /// What serde_json makes of the document: each element as it stands.
    fn by_serde(text: &[u8], is_array: bool) -> Result<Vec<String>, serde_json::Error> {
        let raw: Vec<Box<RawValue>> = if is_array {
            serde_json::from_slice(text)?
        } else {
            serde_json::Deserializer::from_slice(text).into_iter().collect::<Result<_, _>>()?
        };
        Ok(raw.into_iter().map(|raw| raw.get().to_string()).collect())
    }

    #[test]
    fn random_documents_are_divided_as_serde_json_divides_them() {
        let mut random = fastrand::Rng::with_seed(20);
        for seed in 0..20_000 {
            let (text, is_array) = random_document(&mut random);
            let (found, end) = read(text.as_bytes(), seed);
            let expected = by_serde(text.as_bytes(), is_array).unwrap();
            assert_eq!(end, Ok(()), "{text}");
            let raw: Vec<_> = found.iter().map(|(_, raw)| String::from_utf8(raw.clone()).unwrap()).collect();
            assert_eq!(raw, expected, "{text}");
            for (text, raw) in &found {
                let [text, raw]: [Value; 2] = [text, raw].map(|text| serde_json::from_slice(text).unwrap());
                assert_eq!(text, raw);
            }
            for (text, _) in &found {
                let outside = String::from_utf8(text.clone()).unwrap().replace("\\\\", "").replace("\\\"", "");
                assert!(!outside.split('"').step_by(2).any(|part| part.contains([' ', '\t', '\r', '\n'])), "{outside}");
            }
        }
    }

    #[test]
    fn a_damaged_document_never_passes_for_a_sound_one() {
        let mut random = fastrand::Rng::with_seed(21);
        for seed in 0..20_000 {
            let (text, _) = random_document(&mut random);
            let mut bytes = text.into_bytes();
            for _ in 0..random.usize(1..3) {
                let at = random.usize(..bytes.len());
                match random.usize(..3) {
                    0 => drop(bytes.remove(at)),
                    1 => bytes[at] = b"{}[],:\" \\x1\n\x80"[random.usize(..13)],
                    _ => bytes.truncate(at.max(1)),
                }
                if bytes.is_empty() {
                    bytes.push(b' ');
                }
            }
            let is_array = bytes.trim_ascii_start().first() == Some(&b'[');
            let (found, end) = read(&bytes, seed);
            let are_rows = found.iter().all(|(text, _)| Batch::new().push_json(text).is_ok());
            let shown = bytes.escape_ascii();
            match by_serde(&bytes, is_array) {
                Ok(expected) => {
                    assert_eq!(end, Ok(()), "{shown}");
                    let raw: Vec<_> = found.into_iter().map(|(_, raw)| String::from_utf8(raw).unwrap()).collect();
                    assert_eq!(raw, expected, "{shown}");
                }
                Err(_) => assert!(end.is_err() || !are_rows, "{shown}"),
            }
        }
    }
}
