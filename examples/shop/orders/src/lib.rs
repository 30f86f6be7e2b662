//! The orders: who has ordered what. Their table refers to those of `accounts` and `catalog`.

use migrate_runtime::{Migrations, Table};
use rusqlite::Connection;

/// How the table of orders came about. Its migrations say which ones of the other two they need.
pub static MIGRATIONS: Migrations = migrate_runtime::embed!("migrations");

/// Some of one product for one customer. The table of another crate is named as SQL names it.
#[derive(Clone, Debug, PartialEq, Eq, Table)]
#[table(name = "orders", index(customer_id), index(product_id))]
pub struct Order {
    #[column(primary_key)]
    pub id: i64,
    #[column(references = "customers (id)")]
    pub customer_id: i64,
    #[column(references = "products (id)")]
    pub product_id: i64,
    #[column(default = 1, check = "quantity > 0")]
    pub quantity: i64,
}

/// An order as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub customer: String,
    pub product: String,
    pub quantity: i64,
    /// What all of it costs, in cents.
    pub total: i64,
}

/// Adds an order and returns its id.
pub fn add(connection: &Connection, customer_id: i64, product_id: i64, quantity: i64) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO orders (customer_id, product_id, quantity) VALUES (?1, ?2, ?3)";
    connection.execute(sql, (customer_id, product_id, quantity))?;
    Ok(connection.last_insert_rowid())
}

/// All orders, the oldest first.
pub fn list(connection: &Connection) -> rusqlite::Result<Vec<Line>> {
    let mut statement = connection.prepare(
        "SELECT customers.name, products.name, quantity, quantity * price FROM orders
         JOIN customers ON customers.id = customer_id
         JOIN products ON products.id = product_id
         ORDER BY orders.id",
    )?;
    let lines = statement.query_map([], |row| {
        Ok(Line { customer: row.get(0)?, product: row.get(1)?, quantity: row.get(2)?, total: row.get(3)? })
    })?;
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_costs_as_much_as_all_that_is_ordered() -> Result<(), Box<dyn std::error::Error>> {
        // The tables that orders stand on are there in tests as they are in the program.
        let mut connection = Connection::open_in_memory()?;
        Migrations::join([&accounts::MIGRATIONS, &catalog::MIGRATIONS, &MIGRATIONS]).upgrade(&mut connection)?;

        let ada = accounts::add(&connection, "Ada", None)?;
        let bread = catalog::add(&connection, "Bread", 320)?;
        add(&connection, ada, bread, 2)?;

        let line = Line { customer: "Ada".to_owned(), product: "Bread".to_owned(), quantity: 2, total: 640 };
        assert_eq!(list(&connection)?, [line]);
        Ok(())
    }
}
