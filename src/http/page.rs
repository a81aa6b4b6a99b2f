//! What a person reads in a body that is not JSON, as a proxy or a gateway sends one.

use std::borrow::Cow;

/// The words of a page; any other text as it is.
pub(crate) fn readable(body: &str) -> Cow<'_, str> {
    if is_page(body) { Cow::Owned(words(body)) } else { Cow::Borrowed(body) }
}

/// The title of a page, if it has one.
pub(crate) fn title(body: &str) -> Option<&str> {
    if !is_page(body) {
        return None;
    }
    let lower = body.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let from = tag + lower[tag..].find('>')? + 1;
    let to = from + lower[from..].find("</title")?;
    Some(body[from..to].trim()).filter(|title| !title.is_empty())
}

/// Whether a body is a page, and not a text in which a sign happens to occur.
pub(crate) fn is_page(text: &str) -> bool {
    let beginning = text.trim_start().trim_start_matches('\u{feff}').as_bytes();
    beginning.first() == Some(&b'<')
        && beginning.get(1).is_some_and(|second| second.is_ascii_alphabetic() || *second == b'!')
}

/// What a reader of the page sees: its title, then its text without tags, scripts and styles.
fn words(page: &str) -> String {
    let (mut words, mut rest) = (String::new(), page);
    while let Some(begin) = rest.find('<') {
        words.push_str(&rest[..begin]);
        words.push(' ');
        rest = after_tag(&rest[begin..]);
    }
    words.push_str(rest);
    without_repeated_title(words.split_whitespace().collect())
}

/// What follows the tag at the beginning, and what belongs to it if nothing of that is shown.
fn after_tag(page: &str) -> &str {
    for (begin, end) in [("<!--", "-->"), ("<script", "</script"), ("<style", "</style")] {
        if starts_with(page, begin) {
            let inside = &page[begin.len()..];
            let Some(at) =
                (0..inside.len()).find(|at| inside.is_char_boundary(*at) && starts_with(&inside[*at..], end))
            else {
                return "";
            };
            return end_of_tag(&inside[at..]);
        }
    }
    end_of_tag(page)
}

fn end_of_tag(page: &str) -> &str {
    page.find('>').map_or("", |end| &page[end + 1..])
}

fn starts_with(page: &str, tag: &str) -> bool {
    page.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag))
}

/// Most pages have their title as their heading too.
fn without_repeated_title(words: Vec<&str>) -> String {
    let half = (1..=words.len() / 2).rev().find(|half| words[..*half] == words[*half..2 * half]);
    words[half.unwrap_or(0)..].join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_page_are_what_a_reader_sees() {
        let nginx = "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n\
                     <hr><center>nginx/1.25</center>\r\n</body>\r\n</html>\r\n<!-- a padding to disable -->\r\n";
        assert_eq!(words(nginx), "403 Forbidden nginx/1.25");
        let styled =
            "<!DOCTYPE html><STYLE type=x>p { a > b }</style ><script>if (1 < 2) {}</SCRIPT><p>Access <b>denied</b>";
        assert_eq!(words(styled), "Access denied");
        assert_eq!(words("<p>é</p>ü<br"), "é ü");
        for nothing in ["", "<", "<!--", "<style>é", "<p>", "<script"] {
            assert_eq!(words(nothing), "", "{nothing}");
        }
    }

    #[test]
    fn a_page_is_read_by_its_words_and_any_other_text_as_it_is() {
        assert_eq!(readable("<p>Access <b>denied</b>"), "Access denied");
        assert_eq!(readable("1 < 2\n"), "1 < 2\n");
    }

    #[test]
    fn a_title_is_that_of_a_page() {
        assert_eq!(title("<html><HEAD><Title lang=en> 403 ü\n</TITLE></head>x"), Some("403 ü"));
        for none in ["", "<title>ü", "<title", "<title></title>x", "x<title>a</title>", "{\"a\":\"<title>a</title>\"}"]
        {
            assert_eq!(title(none), None, "{none}");
        }
    }

    #[test]
    fn a_page_begins_with_a_tag() {
        for page in ["<html>", "  <!DOCTYPE html>", "<h1>x", "\u{feff}<p>"] {
            assert!(is_page(page), "{page}");
        }
        for text in ["", "1 < 2", "<", "< 3", "Forbidden", "{\"a\":\"<p>\"}"] {
            assert!(!is_page(text), "{text}");
        }
    }
}
