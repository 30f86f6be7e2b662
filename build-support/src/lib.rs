//! All that can be known of migrations from files alone.
pub mod checksum;
pub mod migration;
pub mod problem;
pub mod revision;
pub mod token;
