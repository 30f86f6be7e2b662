//! The schema that is wanted: the models, and then the schema file.

use build_support::problem::{Code, Problem};
use rusqlite::Connection;

use crate::app::Opened;
use crate::failure::Result;
use crate::renames::Hints;
use crate::scratch;

use super::script;

/// Nothing says what the database is to look like.
pub const NO_MODELS: Code = Code("no-models");
/// A foreign key refers to something that is not there, or not unique.
pub const UNKNOWN_REFERENCE: Code = Code("unknown-reference");

/// Makes the wanted schema on a scratch database.
pub(super) fn build(opened: &Opened) -> Result<(Connection, Hints)> {
    let settings = opened.project.settings();
    let connection = scratch::empty()?;
    let hints = Hints::default();
    let Some(schema) = &settings.schema else {
        return Err(Problem::new(NO_MODELS, "nothing says what the database is to look like")
            .note("there is no struct with `#[derive(Table)]`, and no schema file is configured")
            .help("write the structs, or `schema = \"schema.sql\"` below `[package.metadata.migrate]`")
            .into());
    };
    let path = opened.project.root().join(schema);
    script::run(&connection, &path, &opened.project.show_path(&path))?;
    Ok((connection, hints))
}
