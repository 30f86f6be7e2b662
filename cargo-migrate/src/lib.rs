//! The `cargo migrate` subcommand as a library, so that its parts can be tested without a process.
pub mod context;
pub mod exit;
pub mod failure;
pub mod project;
