//! What the database holds: one struct for each table, one field for each column.

use migrate_runtime::Table;
use serde::Serialize;

/// Someone who has things to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Table)]
#[table(name = "users", index(name = "users_name", columns(name), unique))]
pub struct User {
    #[column(primary_key)]
    pub id: i64,
    /// No two users have the same one.
    pub name: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Table)]
#[table(name = "todos", index(user_id))]
pub struct Todo {
    #[column(primary_key)]
    pub id: i64,
    /// The [`User`] it belongs to; it goes when they go.
    #[column(references = User::id, on_delete = "cascade")]
    pub user_id: i64,
    pub title: String,
    #[column(default = false)]
    pub done: bool,
    /// From 0 to 9, the most urgent highest.
    #[column(default = 0)]
    pub priority: i64,
}
