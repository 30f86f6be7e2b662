//! Whether two databases hold the same rows, as far as a migration between them does not say that it loses some.

use std::collections::BTreeMap;

use cargo_migrate::ddl::Fills;
use cargo_migrate::proof::Proposal;
use rusqlite::Connection;

use crate::database_facts::{self as facts, counters, kept_columns, quoted, rows};

/// The full-text tables, as they stand in SQL.
pub fn searches(database: &Connection) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%USING fts5%'";
    let names = facts::texts(database, sql);
    names.iter().map(|name| quoted(name.trim_matches('\''))).collect()
}

/// Nothing where both are the same, else what was wanted and what was found.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, wanted: &T, found: &T) -> Result<(), String> {
    if wanted == found { Ok(()) } else { Err(format!("{what}\n{wanted:?}\nwas wanted, and this was found\n{found:?}")) }
}

/// What a migration says that it loses or makes up.
pub struct Lost {
    tables: Vec<String>,
    columns: Vec<(String, String)>,
}

impl Lost {
    pub fn of(proposal: &Proposal, fills: &Fills) -> Self {
        let mut lost = Self { tables: Vec::new(), columns: fills.keys().cloned().collect() };
        for loss in &proposal.losses {
            match &loss.column {
                None => lost.tables.push(loss.table.to_ascii_lowercase()),
                Some(column) => lost.columns.push((loss.table.to_ascii_lowercase(), column.to_ascii_lowercase())),
            }
        }
        lost
    }

    fn has(&self, table: &str, column: &str) -> bool {
        self.columns.contains(&(table.to_ascii_lowercase(), column.to_ascii_lowercase()))
    }
}

/// Every value that was not declared lost is what it was, and so are rowids and counters where all sides keep them.
pub fn kept(
    what: &str,
    before: &Connection,
    after: &Connection,
    lost: &Lost,
    between: Option<&Connection>,
) -> Result<(), String> {
    let old_counters = counters(before);
    let new_counters = counters(after);
    for table in facts::tables(before) {
        let of =
            |database: &Connection| facts::tables(database).into_iter().find(|name| name.eq_ignore_ascii_case(&table));
        let Some(other) = of(after) else { continue };
        if lost.tables.contains(&table.to_ascii_lowercase()) {
            continue;
        }
        let middle = between.map(|between| of(between).map(|name| (between, name)));
        if let Some(None) = middle {
            return Err(format!("`{table}` was not declared lost"));
        }
        let sides: Vec<(&Connection, String)> =
            [Some((before, table.clone())), middle.flatten(), Some((after, other.clone()))]
                .into_iter()
                .flatten()
                .collect();
        let types: Vec<BTreeMap<String, String>> = sides
            .iter()
            .map(|(database, name)| {
                let columns = kept_columns(database, name).into_iter();
                columns.map(|(name, kind)| (name.to_ascii_lowercase(), kind.to_ascii_lowercase())).collect()
            })
            .collect();
        let aliases: Vec<_> = sides.iter().map(|(database, name)| facts::rowid(database, name)).collect();
        let mut columns: Vec<(String, bool)> = Vec::new();
        for (name, kind) in &types[0] {
            let kinds: Vec<Option<&String>> = types.iter().map(|types| types.get(name)).collect();
            // Where the rowid gets the name of a column, rows without a value in it get a number.
            let numbered = || {
                aliases.iter().flatten().flatten().any(|alias| alias.eq_ignore_ascii_case(name))
                    && rows(before, &table, &[(quoted(name), false)]).iter().any(|row| row == "NULL")
            };
            if kinds.iter().any(Option::is_none) || lost.has(&table, name) || numbered() {
                continue;
            }
            columns.push((quoted(name), kinds.iter().any(|other| *other != Some(kind))));
        }
        let hidden = |at: usize| facts::hidden_rowid(sides[at].0, &sides[at].1);
        let hides = aliases.iter().all(|alias| *alias == Ok(None));
        let (mut old, mut new) = (columns.clone(), columns);
        if let (true, Some(first), Some(last)) = (hides, hidden(0), hidden(sides.len() - 1)) {
            old.push((first.to_owned(), false));
            new.push((last.to_owned(), false));
        }
        same(
            &format!("the rows of `{table}` after the {what}, in {old:?}"),
            &rows(before, &table, &old),
            &rows(after, &other, &new),
        )?;
        let counter = |of: &BTreeMap<String, i64>| of.get(&table.to_lowercase()).copied();
        let counted = |database: &Connection, name: &str| {
            let sql = format!(
                "SELECT 1 FROM sqlite_schema WHERE name = '{}' AND sql LIKE '%AUTOINCREMENT%'",
                name.replace('\'', "''")
            );
            !facts::texts(database, &sql).is_empty()
        };
        if sides.iter().all(|(database, name)| counted(database, name)) {
            same(
                &format!("the counter of `{table}` after the {what}"),
                &counter(&old_counters),
                &counter(&new_counters),
            )?;
        }
    }
    found_again(what, before, after, lost, between)
}

/// Full-text tables find what they found.
fn found_again(
    what: &str,
    before: &Connection,
    after: &Connection,
    lost: &Lost,
    between: Option<&Connection>,
) -> Result<(), String> {
    let definition = |database: &Connection, name: &str| {
        let name = name.replace('"', "").replace('\'', "''");
        facts::texts(database, &format!("SELECT sql FROM sqlite_schema WHERE name = '{name}' AND type = 'table'"))
    };
    for search in searches(before) {
        let same_everywhere = [Some(after), between]
            .into_iter()
            .flatten()
            .all(|database| definition(database, &search) == definition(before, &search));
        let name = search.replace('"', "");
        if !same_everywhere || lost.tables.contains(&name.to_ascii_lowercase()) {
            continue;
        }
        let sql =
            format!("SELECT rowid FROM {search} WHERE {search} MATCH 'row OR page OR two OR größe' ORDER BY rowid");
        same(
            &format!("what {search} finds after the {what}"),
            &facts::texts(before, &sql),
            &facts::texts(after, &sql),
        )?;
    }
    Ok(())
}
