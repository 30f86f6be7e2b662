//! A personal to-do list behind an HTTP API, kept in a SQLite database.
//!
//! Read [`models`] first (what is stored), then [`store`] (how), then [`api`] (what a client can ask for).
//! The program itself is `main.rs`. None of it makes a table: that is the work of `migrations/`.

pub mod api;
pub mod models;
pub mod store;
