//! What a struct says of its table, with the tokens that say it.

use syn::{Ident, Path};

use super::types::SqlType;

/// A struct as a table.
#[derive(Clone)]
pub struct Table {
    /// The struct's name.
    pub ident: Ident,
    /// The table's name, without quotes.
    pub name: String,
    /// The name that it had before.
    pub renamed_from: Option<String>,
    /// Where `migrate-runtime` is found, if the struct says so.
    pub runtime: Option<Path>,
    /// Whether SQLite checks the types of values.
    pub strict: bool,
    /// Whether SQLite keeps the rows by their primary key.
    pub without_rowid: bool,
    /// The columns, in the order of the fields.
    pub columns: Vec<Column>,
    /// The names of the columns of the primary key; empty where there is none.
    pub primary_key: Vec<String>,
    /// The constraints that stand behind the columns.
    pub constraints: Vec<Constraint>,
    /// The indexes.
    pub indexes: Vec<Index>,
}

/// A field as a column.
#[derive(Clone)]
pub struct Column {
    /// The field's name.
    pub field: Ident,
    /// The column's name, without quotes.
    pub name: String,
    /// The name that it had before.
    pub renamed_from: Option<String>,
    /// The column's type.
    pub sql_type: SqlType,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether a number is never given twice.
    pub autoincrement: bool,
    /// Whether no value may stand in it twice.
    pub unique: bool,
    /// What a row gets that does not name the column.
    pub default: Option<Default>,
    /// What must hold for a value.
    pub check: Option<String>,
    /// How texts are compared.
    pub collate: Option<String>,
    /// The expression that it is computed by.
    pub generated: Option<Generated>,
    /// What it points to.
    pub references: Option<References>,
}

/// A column's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Default {
    /// A number, as SQL writes it.
    Number(String),
    /// A truth value.
    Truth(bool),
    /// A text.
    Text(String),
    /// An expression of SQL.
    Expression(String),
}

/// A computed column's expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The expression.
    pub expression: String,
    /// Whether it is kept with the row rather than computed when it is read.
    pub stored: bool,
}

/// What a foreign key points to, and what happens when that goes.
#[derive(Clone)]
pub struct References {
    /// What it points to.
    pub parent: Parent,
    /// What happens when the parent's row is deleted, as SQL says it.
    pub on_delete: Option<&'static str>,
    /// What happens when the parent's key changes, as SQL says it.
    pub on_update: Option<&'static str>,
    /// Whether it is checked at the end of the transaction.
    pub deferred: bool,
}

/// What a foreign key points to.
#[derive(Clone)]
pub enum Parent {
    /// SQL, taken as it is: `users (id)`.
    Text(String),
    /// A field of a struct that is a table: `User::id`.
    Field(ParentField),
}

/// A field of another struct.
#[derive(Clone)]
pub struct ParentField {
    /// The struct.
    pub table: Path,
    /// The field.
    pub field: Ident,
}

/// A constraint of a table.
#[derive(Clone)]
pub enum Constraint {
    /// No two rows are the same in these columns.
    Unique(Vec<String>),
    /// What must hold for a row, with the constraint's name if it has one.
    Check(Option<String>, String),
    /// The columns that point to another table's.
    ForeignKey(Vec<String>, References),
}

/// An index.
#[derive(Clone, Debug)]
pub struct Index {
    /// Its name, without quotes.
    pub name: String,
    /// What it is sorted by: columns, quoted where they need it, or SQL.
    pub parts: Vec<String>,
    /// Whether no two rows are the same in it.
    pub unique: bool,
    /// Which rows it holds, as SQL.
    pub only: Option<String>,
}
