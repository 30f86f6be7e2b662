//! Structs as tables: what `#[derive(Table)]` and the command read in a struct.
//!
//! Both ask the same functions, so that a program's constants and the command cannot disagree:
//!
//! ```text
//! a struct's tokens -> attributes -> Table -> ddl -> pieces -> the derive: constants
//!                                                         +--> source: Model
//! ```
//!
//! In reading order: `names` quotes what is put into SQL; [`types`] has the table of Rust types; [`table`] is what a
//! struct says, with the tokens that say it; `words` reads what stands between an attribute's brackets, `column` the
//! attributes of a field, [`attributes`] those of a struct, `rules` what does not go together; [`ddl`] writes the
//! statements; [`source`] finds the structs in files and gives [`Model`]s.
//!
//! Nothing here reads a file, and nothing is guessed: where a type or a word is not known, it is an error that names
//! the way out.

pub mod attributes;
mod column;
pub mod ddl;
mod names;
mod rules;
pub mod source;
pub mod table;
pub mod types;
mod words;

use proc_macro2::TokenStream;
use quote::ToTokens;

use crate::problem::{Code, Place, Problem};

pub use self::names::ident;

/// A struct that derives `Table` cannot be one, or what its attributes say does not go together.
pub const INVALID_MODEL: Code = Code("invalid-model");
/// A `#[table(…)]` or `#[column(…)]` has a word that does not exist.
pub const UNKNOWN_ATTRIBUTE: Code = Code("unknown-attribute");
/// A field has a Rust type that no column type belongs to.
pub const UNKNOWN_TYPE: Code = Code("unknown-type");
/// A `references = Struct::field` leads to no struct or to several, or to no column of it.
pub const UNKNOWN_REFERENCE: Code = Code("unknown-reference");
/// Two structs are one table.
pub const DUPLICATE_TABLE: Code = Code("duplicate-table");
/// A source file with models is not Rust.
pub const NOT_RUST: Code = Code("not-rust");

/// The kinds of databases that statements are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// Something wrong in a struct and the tokens that it is wrong about.
///
/// The derive shows it at these tokens, the command turns them into a place in a file.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// What is wrong, without a place.
    pub problem: Problem,
    /// Where.
    pub at: TokenStream,
}

impl Mistake {
    /// A mistake of the commonest kind, [`INVALID_MODEL`].
    pub(crate) fn new(at: &impl ToTokens, message: impl Into<String>) -> Self {
        Self::with(INVALID_MODEL, at, message)
    }

    pub(crate) fn with(code: Code, at: &impl ToTokens, message: impl Into<String>) -> Self {
        Self { problem: Problem::new(code, message), at: at.to_token_stream() }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.problem = self.problem.help(help);
        self
    }
}

/// A struct of a source file as a table, its references resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    struct_name: String,
    table: String,
    renamed_from: Option<String>,
    columns: Vec<ModelColumn>,
    place: Place,
    create_table: Written<String>,
    indexes: Written<Vec<String>>,
}

/// A column of a [`Model`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelColumn {
    /// The column's name.
    pub name: String,
    /// The name that it had before, where the struct says so.
    pub renamed_from: Option<String>,
    /// The field.
    pub place: Place,
}

/// What is written for each dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Written<T> {
    sqlite: T,
    postgres: T,
}

impl<T> Written<T> {
    fn of(write: impl Fn(Dialect) -> T) -> Self {
        Self { sqlite: write(Dialect::Sqlite), postgres: write(Dialect::Postgres) }
    }

    fn get(&self, dialect: Dialect) -> &T {
        match dialect {
            Dialect::Sqlite => &self.sqlite,
            Dialect::Postgres => &self.postgres,
        }
    }
}

impl Model {
    /// The struct's name.
    #[must_use]
    pub fn struct_name(&self) -> &str {
        &self.struct_name
    }

    /// The table's name, as it is, without quotes.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The name that the table had before, where the struct says so.
    #[must_use]
    pub fn renamed_from(&self) -> Option<&str> {
        self.renamed_from.as_deref()
    }

    /// The columns, in the order of the fields.
    #[must_use]
    pub fn columns(&self) -> &[ModelColumn] {
        &self.columns
    }

    /// The struct's name in its file.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The `CREATE TABLE`, without a semicolon at its end.
    #[must_use]
    pub fn create_table(&self, dialect: Dialect) -> &str {
        self.create_table.get(dialect)
    }

    /// The `CREATE INDEX` statements, without semicolons at their ends.
    #[must_use]
    pub fn indexes(&self, dialect: Dialect) -> &[String] {
        self.indexes.get(dialect)
    }
}

#[cfg(test)]
mod tests;
