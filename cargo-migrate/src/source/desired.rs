//! The schema that is wanted: the models, and then the schema file.

use build_support::models::{Dialect, Model, UNKNOWN_REFERENCE, source};
use build_support::problem::{Code, Problem, printable};
use rusqlite::Connection;

use crate::app::Opened;
use crate::failure::{Failure, Result};
use crate::introspect;
use crate::project::models;
use crate::renames::Hints;
use crate::schema::Schema;
use crate::schema::table::{ForeignKey, Table};
use crate::schema::text::fold;

use super::script::{self, SCHEMA_ERROR, words};

/// Nothing says what the database is to look like.
pub const NO_MODELS: Code = Code("no-models");

/// Whether anything says what the schema is to be.
///
/// # Errors
/// Models that cannot be read.
pub fn is_said(opened: &Opened) -> Result<bool> {
    Ok(opened.project.settings().schema.is_some() || !read(opened)?.is_empty())
}

fn read(opened: &Opened) -> Result<Vec<Model>> {
    Ok(source::read(&models::files(&opened.project)?)?)
}

/// Makes the wanted schema on a scratch database that has what the package stands on.
pub(super) fn build(opened: &Opened, connection: Connection) -> Result<(Connection, Hints)> {
    let settings = opened.project.settings();
    let models = read(opened)?;
    if models.is_empty() && settings.schema.is_none() {
        // Nothing at all would otherwise mean that every table is to be dropped.
        return Err(Problem::new(NO_MODELS, "nothing says what the database is to look like")
            .note("there is no struct with `#[derive(Table)]`, and no schema file is configured")
            .help("write structs that derive `Table` (`migrate_runtime::Table`)")
            .help("or a file of `CREATE` statements: `schema = \"schema.sql\"` below `[package.metadata.migrate]`")
            .into());
    }
    for model in &models {
        make(&connection, model, model.create_table(Dialect::Sqlite))?;
    }
    for model in &models {
        for index in model.indexes(Dialect::Sqlite) {
            make(&connection, model, index)?;
        }
    }
    if let Some(schema) = &settings.schema {
        let path = opened.project.root().join(schema);
        script::run(&connection, &path, &opened.project.show_path(&path))?;
    }
    let schema = introspect::read(&connection, &settings.version_table)?;
    let problems = dangling(&schema, &models);
    if problems.is_empty() { Ok((connection, hints(&models))) } else { Err(problems.into()) }
}

fn make(connection: &Connection, model: &Model, sql: &str) -> Result<()> {
    connection.execute_batch(sql).map_err(|error| {
        Failure::from(
            Problem::new(SCHEMA_ERROR, format!("SQLite does not take this table: {}", printable(&words(&error))))
                .at(model.place().clone())
                .note(format!(
                    "what the struct says is `{}`",
                    printable(&sql.split_whitespace().collect::<Vec<_>>().join(" "))
                )),
        )
    })
}

/// What the models say about their former names.
fn hints(models: &[Model]) -> Hints {
    let mut hints = Hints::default();
    for model in models {
        if let Some(old) = model.renamed_from() {
            hints.tables.push((old.to_owned(), model.table().to_owned()));
        }
        for column in model.columns() {
            if let Some(old) = &column.renamed_from {
                hints.columns.push((model.table().to_owned(), old.to_owned(), column.name.clone()));
            }
        }
    }
    hints
}

/// Foreign keys that SQLite could never fulfil: it takes them, and fails when a row is written
/// (<https://www.sqlite.org/foreignkeys.html#fk_indexes>).
fn dangling(schema: &Schema, models: &[Model]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for table in schema.tables() {
        for key in &table.foreign_keys {
            if let Some(why) = unfulfilled(schema, key) {
                let columns: Vec<String> = key.columns.iter().map(|name| printable(name)).collect();
                let message = format!("`{}.{}` refers to {why}", printable(&table.name), columns.join(", "));
                let model = models.iter().find(|model| model.table().eq_ignore_ascii_case(&table.name));
                let problem = Problem::new(UNKNOWN_REFERENCE, message);
                let problem = match schema.table(&key.parent) {
                    None => problem.help("where another package makes it: `--depends-on PACKAGE/REVISION`"),
                    Some(_) => problem,
                };
                problems.push(match model {
                    Some(model) => problem.at(place(model, key)),
                    None => problem.help("correct it in the schema file"),
                });
            }
        }
    }
    problems
}

/// The field's place, where the model has one for the key's column.
fn place(model: &Model, key: &ForeignKey) -> build_support::problem::Place {
    let column =
        model.columns().iter().find(|column| key.columns.iter().any(|name| name.eq_ignore_ascii_case(&column.name)));
    column.map_or_else(|| model.place().clone(), |column| column.place.clone())
}

fn unfulfilled(schema: &Schema, key: &ForeignKey) -> Option<String> {
    let parent = printable(&key.parent);
    let Some(table) = schema.table(&key.parent) else {
        return Some(format!("the table `{parent}`, which is not there"));
    };
    let Some(columns) = key.parent_columns.clone().or_else(|| schema.parent_key(key)) else {
        return Some(format!("`{parent}`, which has no primary key"));
    };
    if let Some(missing) = columns.iter().find(|name| table.column(name).is_none()) {
        return Some(format!("`{parent}.{}`, which is not there", printable(missing)));
    }
    (!is_unique(schema, table, &columns)).then(|| {
        let columns: Vec<String> = columns.iter().map(|name| printable(name)).collect();
        format!("`{parent}.{}`, which is neither the primary key nor unique", columns.join(", "))
    })
}

/// Whether no two rows have the same values in these columns: by a key, or by a unique index of theirs alone.
fn is_unique(schema: &Schema, table: &Table, columns: &[String]) -> bool {
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let wanted = sorted(columns.iter().map(|name| fold(name)).collect());
    schema.unique_keys(table).into_iter().any(|key| sorted(key) == wanted)
}
