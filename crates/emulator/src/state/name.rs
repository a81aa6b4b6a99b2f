//! Names of databases, schemas, pipes, tables and channels, with the service's case rule.

use serde::{Deserialize, Serialize};

/// A pipe, by canonical names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct PipeName {
    pub(crate) database: String,
    pub(crate) schema: String,
    pub(crate) pipe: String,
}

/// A table, by canonical names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct TableName {
    pub(crate) database: String,
    pub(crate) schema: String,
    pub(crate) table: String,
}

/// A channel of a pipe. Two spellings that differ in case only are one channel, unless quoted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ChannelName {
    pub(crate) pipe: PipeName,
    pub(crate) channel: String,
}

impl PipeName {
    pub(crate) fn new(database: &str, schema: &str, pipe: &str) -> Self {
        Self { database: canonical(database), schema: canonical(schema), pipe: canonical(pipe) }
    }

    /// The pipe that every table has by default.
    pub(crate) fn default_of(table: &TableName) -> Self {
        Self {
            database: table.database.clone(),
            schema: table.schema.clone(),
            pipe: format!("{}{DEFAULT_SUFFIX}", table.table),
        }
    }

    /// The table of a default pipe; `None` for a pipe that has to be declared.
    pub(crate) fn default_table(&self) -> Option<TableName> {
        let table = self.pipe.strip_suffix(DEFAULT_SUFFIX)?;
        (!table.is_empty()).then(|| self.table(table.to_owned()))
    }

    /// A table in the schema of this pipe.
    pub(crate) fn table(&self, table: String) -> TableName {
        TableName { database: self.database.clone(), schema: self.schema.clone(), table }
    }

    /// Reads `DB.SCHEMA.PIPE`.
    pub(crate) fn parse(dotted: &str) -> Option<Self> {
        let [database, schema, pipe] = three_parts(dotted)?;
        Some(Self::new(&database, &schema, &pipe))
    }

    pub(crate) fn channel(&self, channel: &str) -> ChannelName {
        ChannelName { pipe: self.clone(), channel: canonical(channel) }
    }
}

impl TableName {
    pub(crate) fn new(database: &str, schema: &str, table: &str) -> Self {
        Self { database: canonical(database), schema: canonical(schema), table: canonical(table) }
    }

    /// Reads `DB.SCHEMA.TABLE`, quoted or not.
    pub(crate) fn parse(dotted: &str) -> Option<Self> {
        let [database, schema, table] = three_parts(dotted)?;
        Some(Self::new(&database, &schema, &table))
    }

    /// Reads the same text as if each part stood in quotes, for callers that left them out.
    pub(crate) fn parse_as_quoted(dotted: &str) -> Option<Self> {
        let [database, schema, table] = three_parts(dotted)?;
        Some(Self { database: bare(&database), schema: bare(&schema), table: bare(&table) })
    }
}

impl ChannelName {
    pub(crate) fn is_elastic(&self) -> bool {
        self.channel == ELASTIC
    }
}

/// The name in upper case, or as it stands between double quotes.
pub(crate) fn canonical(name: &str) -> String {
    unquoted(name).unwrap_or_else(|| name.to_uppercase())
}

/// The name without its quotes, if it has any, in the case that it is written in.
pub(crate) fn bare(name: &str) -> String {
    unquoted(name).unwrap_or_else(|| name.to_owned())
}

fn unquoted(name: &str) -> Option<String> {
    let inner = name.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.replace("\"\"", "\""))
}

/// Splits at the dots that stand outside double quotes.
fn three_parts(dotted: &str) -> Option<[String; 3]> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for letter in dotted.chars() {
        quoted ^= letter == '"';
        match parts.last_mut() {
            Some(part) if quoted || letter != '.' => part.push(letter),
            _ => parts.push(String::new()),
        }
    }
    let parts: [String; 3] = parts.try_into().ok()?;
    let complete = !quoted && parts.iter().all(|part| !bare(part).is_empty());
    complete.then_some(parts)
}

/// The channel that every pipe has for rows without order. It cannot be opened or dropped.
pub(crate) const ELASTIC: &str = "ELASTIC";
/// What a table's name is followed by in the name of its default pipe.
const DEFAULT_SUFFIX: &str = "-STREAMING";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquoted_names_are_one_in_any_case_and_quoted_ones_are_kept() {
        assert_eq!(canonical("flights"), "FLIGHTS");
        assert_eq!(canonical("\"My \"\"T\"\"\""), "My \"T\"");
        assert_ne!(canonical("t"), canonical("\"t\""));
        assert_eq!(canonical("t"), canonical("\"T\""));
    }

    #[test]
    fn a_default_pipe_names_its_table() {
        let pipe = PipeName::new("db", "public", "flights-streaming");
        assert_eq!(pipe.default_table(), Some(TableName::new("DB", "PUBLIC", "FLIGHTS")));
        assert_eq!(
            PipeName::new("db", "s", "\"my t-STREAMING\"").default_table(),
            Some(TableName::new("DB", "S", "\"my t\""))
        );
        assert_eq!(PipeName::new("db", "s", "\"t-streaming\"").default_table(), None);
        assert_eq!(PipeName::new("db", "s", "-STREAMING").default_table(), None);
    }

    #[test]
    fn dots_inside_quotes_do_not_split() {
        assert_eq!(TableName::parse("db.\"a.b\".t"), Some(TableName::new("DB", "\"a.b\"", "T")));
        for wrong in ["", "t", "a.b", "a.b.c.d", "a..c", "a.\"b.c", "a.\"\".c"] {
            assert_eq!(TableName::parse(wrong), None, "{wrong}");
        }
    }
}
