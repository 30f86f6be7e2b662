//! All that can be known of migrations from files alone.
pub mod problem;
