//! `schema`: a schema as SQL, as a document, or as a diagram.

use build_support::problem::{Code, Problem, nearest, printable};
use build_support::token::{TokenKind, tokens};
use serde_json::json;

use crate::app::App;
use crate::args::{Format, SchemaArgs};
use crate::failure::Result;
use crate::schema::{Schema, json as document, mermaid};
use crate::source::Source;

/// `cargo migrate schema`: without the version table and without the tables that virtual tables make for themselves.
pub(super) fn schema(app: App<'_>, args: &SchemaArgs) -> Result<()> {
    let opened = app.open_with_needs(&[])?;
    let source = match &args.of {
        Some(word) => Source::parse(app, &opened, word)?,
        None => Source::Database(Box::new(app.database(&opened)?)),
    };
    let all = source.schema(app, &opened)?;
    let shown = if args.tables.is_empty() { all.clone() } else { chosen(&all, &args.tables)? };
    match app.global.format {
        Format::Text | Format::Junit => statements(&shown).iter().for_each(|(.., sql)| app.shell.out(terminated(sql))),
        Format::Mermaid => app.shell.out(mermaid::diagram(&shown, &all)),
        Format::Json => {
            let objects: Vec<_> = statements(&shown)
                .iter()
                .map(|(name, table, sql)| json!({ "name": name, "table": table, "sql": sql }))
                .collect();
            let mut answer = json!({ "command": "schema", "objects": objects });
            if let (Some(answer), Some(parts)) = (answer.as_object_mut(), document::document(&shown).as_object_mut()) {
                answer.append(parts);
            }
            app.shell.json(&answer);
        }
    }
    Ok(())
}

/// What the tables and views that somebody names consist of.
fn chosen(all: &Schema, names: &[String]) -> Result<Schema> {
    for wanted in names {
        if !all.has_name(wanted) {
            let problem =
                Problem::new(Code("unknown-table"), format!("there is no table or view `{}`", printable(wanted)));
            let near = nearest(wanted, statements(all).into_iter().map(|(name, ..)| name));
            return Err(match near {
                Some(near) => problem.help(format!("did you mean `{}`?", printable(near))),
                None => problem,
            }
            .into());
        }
    }
    Ok(all.only(names))
}

/// What everything is called, what it belongs to, and how it is made, in an order in which it can be made: a full-text
/// table may ask for the table that it indexes, and a trigger for its view.
fn statements(schema: &Schema) -> Vec<(&str, &str, &str)> {
    let tables = schema.tables().map(|table| (table.name.as_str(), table.name.as_str(), table.sql.as_str()));
    let others = schema.objects().map(|object| (object.name.as_str(), object.on.as_str(), object.sql.as_str()));
    tables.chain(others).collect()
}

/// A statement with its semicolon, where that is no part of a comment.
fn terminated(sql: &str) -> String {
    // A carriage return drives a terminal, and says nothing to SQLite.
    let sql = sql.replace("\r\n", "\n");
    let comment = tokens(&sql).last().is_some_and(|token| token.kind == TokenKind::LineComment);
    format!("{sql}{};", if comment { "\n" } else { "" })
}
