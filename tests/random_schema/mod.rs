//! Random SQLite schemas, others near to them, and rows for both, for tests of properties that hold of all schemas.
//!
//! All of it follows from a seed, so that a failed case is repeated by its number. SQLite accepts whatever comes out:
//! a schema is a model whose parts refer to each other by number, [`tidy`](tidy::tidy) takes out what refers to
//! nothing, and only then is it written as SQL.
//!
//! - `rng`: numbers from a seed.
//! - `names`: names that are awkward, and how they are quoted.
//! - `model`: tables, indexes, views, triggers and full-text tables.
//! - `tidy`: what must hold of a model for SQLite to accept it.
//! - `make`, `parts`: a schema from a seed.
//! - `mutate`: a schema near to another one.
//! - `render`: a schema as statements.
//! - `rows`: statements that insert rows.

mod make;
mod model;
mod mutate;
mod names;
mod parts;
mod render;
mod rng;
mod rows;
mod tidy;

pub use self::make::make;
pub use self::model::Schema;
pub use self::mutate::mutate;
pub use self::rows::rows;
