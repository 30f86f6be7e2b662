//! The products: what can be ordered.

use migrate_runtime::{Migrations, Table};
use rusqlite::{Connection, OptionalExtension};

/// How the table of products came about.
pub static MIGRATIONS: Migrations = migrate_runtime::embed!("migrations");

/// Something that can be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Table)]
#[table(name = "products", index(name = "products_name", columns(name), unique))]
pub struct Product {
    #[column(primary_key)]
    pub id: i64,
    /// No two products have the same one.
    pub name: String,
    /// What one of them costs, in cents.
    #[column(check = "price >= 0")]
    pub price: i64,
}

/// Adds a product and returns its id.
pub fn add(connection: &Connection, name: &str, price: i64) -> rusqlite::Result<i64> {
    connection.execute("INSERT INTO products (name, price) VALUES (?1, ?2)", (name, price))?;
    Ok(connection.last_insert_rowid())
}

/// The id of the product of this name.
pub fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection.query_row("SELECT id FROM products WHERE name = ?1", [name], |row| row.get(0)).optional()
}
