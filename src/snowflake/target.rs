use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, one_line};

/// The full name of a table, as configurations hold it: `DB.SCHEMA.TABLE`.
///
/// Names are as in SQL: the text is split at the dots outside double quotes, the quotes stay part of the name, and a quote
/// within quotes is doubled. [`Client::table_of`](crate::Client::table_of) makes the table's default pipe of it.
///
/// ```
/// use snowpipe_streaming::Target;
///
/// let target: Target = r#"DB."My.Schema".EVENTS"#.parse()?;
/// assert_eq!((target.schema(), target.table()), (r#""My.Schema""#, "EVENTS"));
/// assert_eq!(target.to_string(), r#"DB."My.Schema".EVENTS"#);
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    database: String,
    schema: String,
    table: String,
}

impl Target {
    /// The database, in quotes if it was given so.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The schema, in quotes if it was given so.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The table, in quotes if it was given so.
    pub fn table(&self) -> &str {
        &self.table
    }
}

impl FromStr for Target {
    type Err = Error;

    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config), which says what is wrong with the text.
    fn from_str(text: &str) -> Result<Target, Error> {
        let refuse = |happened: String| {
            Error::new(ErrorKind::Config, format!("{text:?} is not the full name of a table: {happened}"))
                .advise("write DB.SCHEMA.TABLE, with a name in double quotes where SQL needs them")
        };
        let names = names(text).map_err(refuse)?;
        let [database, schema, table] = names[..] else {
            return Err(refuse(format!("it has {} names, not three", names.len())));
        };
        for (part, name) in [("database", database), ("schema", schema), ("table", table)] {
            check(name).map_err(|happened| refuse(format!("the {part} {happened}")))?;
        }
        Ok(Target { database: database.into(), schema: schema.into(), table: table.into() })
    }
}

/// Gives the text back that it was parsed from.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.database, self.schema, self.table)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", one_line(&self.to_string()))
    }
}

/// Splits at the dots outside quotes. A doubled quote closes and opens again, so it needs no case of its own.
fn names(text: &str) -> Result<Vec<&str>, String> {
    let (mut names, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => {
                names.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if is_quoted {
        return Err("a double quote is not closed".into());
    }
    names.push(&text[start..]);
    Ok(names)
}

fn check(name: &str) -> Result<(), String> {
    let Some(rest) = name.strip_prefix('"') else { return check_unquoted(name) };
    let Some(inner) = rest.strip_suffix('"') else {
        return Err(format!("{name} goes on after its closing quote"));
    };
    if inner.is_empty() {
        return Err("is empty".into());
    }
    // What is left of a quote that is not doubled ended the name.
    match inner.replace("\"\"", "").contains('"') {
        true => Err(format!("{name} has a quote inside that is not doubled")),
        false => Ok(()),
    }
}

fn check_unquoted(name: &str) -> Result<(), String> {
    match name.chars().find(|character| character.is_whitespace() || character.is_control() || *character == '"') {
        _ if name.is_empty() => Err("is empty".into()),
        Some('"') => Err(format!("{name} has a quote that does not begin it")),
        Some(_) => Err(format!("{name:?} has a blank outside quotes")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_the_dots_outside_quotes_and_given_back_as_they_were() {
        for (text, names) in [
            ("DB.PUBLIC.EVENTS", ["DB", "PUBLIC", "EVENTS"]),
            ("db.s.t$1", ["db", "s", "t$1"]),
            (r#""a.b"."c d"."e""#, [r#""a.b""#, r#""c d""#, r#""e""#]),
            (r#"DB.S."say ""hi"".""#, ["DB", "S", r#""say ""hi"".""#]),
            (r#"DB.S."""a""""#, ["DB", "S", r#""""a""""#]),
            (r#"DB.S."""""#, ["DB", "S", r#""""""#]),
            (r#"DB." ".T"#, ["DB", r#"" ""#, "T"]),
            ("Größe.é.表", ["Größe", "é", "表"]),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!([target.database(), target.schema(), target.table()], names, "{text}");
            assert_eq!(target.to_string(), text);
            assert_eq!(format!("{target:?}"), format!("Target({text})"));
        }
    }

    #[test]
    fn what_is_wrong_with_a_text_is_said() {
        for (text, happened) in [
            ("", "it has 1 names, not three"),
            ("EVENTS", "it has 1 names, not three"),
            ("DB.EVENTS", "it has 2 names, not three"),
            ("A.B.C.D", "it has 4 names, not three"),
            ("DB..T", "the schema is empty"),
            (".S.T", "the database is empty"),
            ("DB.S.", "the table is empty"),
            (r#"DB.S."""#, "the table is empty"),
            (r#"DB.S."T"#, "a double quote is not closed"),
            (r#"DB."S.T"#, "a double quote is not closed"),
            (r#"DB.S."T"x"#, "goes on after its closing quote"),
            (r#"DB.S.x"T""#, "has a quote that does not begin it"),
            (r#"DB.S."a"b"c""#, "has a quote inside that is not doubled"),
            ("DB. S.T", "the schema \" S\" has a blank outside quotes"),
            ("DB.S.T\n", "the table \"T\\n\" has a blank outside quotes"),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(error.to_string().contains(happened), "{error}");
        }
    }
}
