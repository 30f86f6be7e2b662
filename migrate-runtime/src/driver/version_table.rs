//! The name of a version table, as settings write it.

/// A version table's name: `TABLE`, or on a server `SCHEMA.TABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionTable {
    /// The schema, where one is named; else the table is in the first one of the search path.
    pub schema: Option<String>,
    /// The table.
    pub name: String,
}

impl VersionTable {
    /// Reads a name: what stands before its first dot is the schema.
    #[must_use]
    pub fn of(configured: &str) -> Self {
        match configured.split_once('.') {
            Some((schema, name)) => Self { schema: Some(schema.to_owned()), name: name.to_owned() },
            None => Self { schema: None, name: configured.to_owned() },
        }
    }

    /// The parts of the name: the schema where it is named, and the table.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.schema.iter().chain([&self.name]).map(String::as_str)
    }
}
