//! The customers: who may order something.

use migrate_runtime::{Migrations, Table};
use rusqlite::{Connection, OptionalExtension};

/// How the table of customers came about.
pub static MIGRATIONS: Migrations = migrate_runtime::embed!("migrations");

/// Someone who may order something.
#[derive(Clone, Debug, PartialEq, Eq, Table)]
#[table(name = "customers", index(name = "customers_name", columns(name), unique))]
pub struct Customer {
    #[column(primary_key)]
    pub id: i64,
    /// No two customers have the same one.
    pub name: String,
    pub email: Option<String>,
}

/// Adds a customer and returns their id.
pub fn add(connection: &Connection, name: &str, email: Option<&str>) -> rusqlite::Result<i64> {
    connection.execute("INSERT INTO customers (name, email) VALUES (?1, ?2)", (name, email))?;
    Ok(connection.last_insert_rowid())
}

/// The id of the customer of this name.
pub fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection.query_row("SELECT id FROM customers WHERE name = ?1", [name], |row| row.get(0)).optional()
}
