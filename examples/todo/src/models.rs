//! What the database holds: one struct for each table, one field for each column.

use serde::Serialize;

/// Someone who has things to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    pub id: i64,
    /// No two users have the same one.
    pub name: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Todo {
    pub id: i64,
    /// The [`User`] it belongs to; it goes when they go.
    pub user_id: i64,
    pub title: String,
    pub done: bool,
    /// From 0 to 9, the most urgent highest.
    pub priority: i64,
}
