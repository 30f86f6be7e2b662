//! Plans and runs migrations.
pub mod history;
