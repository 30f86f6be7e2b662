//! Changes that SQLite makes in place (<https://www.sqlite.org/lang_altertable.html>).

use std::collections::BTreeSet;

use build_support::token::{TokenKind, tokens};

use super::{Statement, Way};
use crate::diff::{Detail, TableChange};
use crate::project::settings::{ColumnOrder, SqliteVersion};
use crate::schema::table::{Check, Column, ForeignKey, Table};
use crate::schema::text::{fold, identifier};

/// `DROP COLUMN`.
const DROP_COLUMN: SqliteVersion = SqliteVersion(3, 35, 0);
/// `ADD CONSTRAINT … CHECK`, `DROP CONSTRAINT`, `ALTER COLUMN … SET NOT NULL`.
const CONSTRAINTS: SqliteVersion = SqliteVersion(3, 53, 0);

/// The statements, or why there are none.
pub(super) fn in_place(change: &TableChange<'_>, way: &Way<'_>) -> Result<Vec<Statement>, String> {
    let table = identifier(&change.before.name);
    let mut parts = Parts::default();
    for detail in &change.details {
        parts.sort(detail, way.minimum)?;
    }
    for key in &parts.new_keys {
        if !matches!(key.columns.as_slice(), [only] if parts.adds(only)) {
            return Err("SQLite cannot add a foreign key in place".to_owned());
        }
    }
    let newer = way.minimum >= CONSTRAINTS;
    let (with_column, alone): (Vec<&Check>, Vec<&Check>) = parts
        .new_checks
        .iter()
        .copied()
        .partition(|check| parts.added.iter().any(|column| check.expression.mentions(&column.name)));
    if !alone.is_empty() && !newer {
        return Err("SQLite cannot add a CHECK in place before 3.53".to_owned());
    }
    drops_alone(&parts, change.before)?;
    if way.order == ColumnOrder::Exact && !in_natural_order(change) {
        return Err("SQLite adds columns at the end".to_owned());
    }
    let filled = |name: &str| way.fills.contains_key(&(fold(&change.after.name), fold(name)));
    let mut valued = parts.added.iter().map(|column| column.name.as_str()).chain(parts.null.iter().map(|it| it.0));
    if let Some(name) = valued.find(|name| filled(name)) {
        return Err(format!("the rows that are there get values of their own in the column `{name}`"));
    }
    let mut statements = Vec::new();
    for check in &parts.old_checks {
        let Some(name) = &check.name else {
            return Err("a CHECK without a name cannot be dropped in place".to_owned());
        };
        statements.push(Statement::new(format!("ALTER TABLE {table} DROP CONSTRAINT {}", identifier(name))));
    }
    for column in &parts.added {
        addable(column, change.after)?;
        let mut sql = format!("ALTER TABLE {table} ADD COLUMN {}", column.sql());
        for key in parts.new_keys.iter().filter(|key| key.columns[0].eq_ignore_ascii_case(&column.name)) {
            sql.push_str(&format!(" {}", key.references_sql()));
        }
        // A CHECK may name columns that come later: it goes with the last of them.
        let last = |check: &&&Check| {
            parts
                .added
                .iter()
                .rfind(|column| check.expression.mentions(&column.name))
                .is_some_and(|it| it.name == column.name)
        };
        for check in with_column.iter().filter(last) {
            sql.push_str(&format!(" {}", check.sql()));
        }
        statements.push(Statement::new(sql));
    }
    for (column, refuses) in &parts.null {
        let change = if *refuses { "SET" } else { "DROP" };
        statements
            .push(Statement::new(format!("ALTER TABLE {table} ALTER COLUMN {} {change} NOT NULL", identifier(column))));
    }
    for check in alone {
        statements.push(Statement::new(format!("ALTER TABLE {table} ADD {}", check.sql())));
    }
    // A generated column goes before what it is computed from.
    let (generated, plain): (Vec<&Column>, Vec<&Column>) =
        parts.dropped.iter().copied().partition(|column| column.generated.is_some());
    for column in generated.into_iter().rev().chain(plain) {
        statements.push(Statement::new(format!("ALTER TABLE {table} DROP COLUMN {}", identifier(&column.name))));
    }
    Ok(statements)
}

/// What a change consists of, by what is done about it.
#[derive(Default)]
struct Parts<'s> {
    added: Vec<&'s Column>,
    dropped: Vec<&'s Column>,
    new_checks: Vec<&'s Check>,
    old_checks: Vec<&'s Check>,
    new_keys: Vec<&'s ForeignKey>,
    /// Columns that refuse NULL from now on, or no longer.
    null: Vec<(&'s str, bool)>,
    /// Columns of which constraints go that stand at them.
    released: BTreeSet<String>,
}

impl<'s> Parts<'s> {
    fn adds(&self, name: &str) -> bool {
        self.added.iter().any(|column| column.name.eq_ignore_ascii_case(name))
    }

    fn sort(&mut self, detail: &Detail<'s>, minimum: SqliteVersion) -> Result<(), String> {
        let cannot = |what: &str| Err(format!("SQLite cannot {what} in place"));
        match detail {
            Detail::AddColumn(column) => self.added.push(column),
            Detail::DropColumn(_) if minimum < DROP_COLUMN => {
                return Err("SQLite cannot drop a column before 3.35".to_owned());
            }
            Detail::DropColumn(column) => self.dropped.push(column),
            Detail::AddCheck(check) => self.new_checks.push(check),
            Detail::DropCheck(check) => match &check.at_column {
                // It goes with the column that it stands at, where that goes.
                Some(column) => {
                    self.released.insert(fold(column));
                }
                None if minimum >= CONSTRAINTS && check.name.is_some() => self.old_checks.push(check),
                None => return cannot("drop a CHECK"),
            },
            Detail::AddForeignKey(key) => self.new_keys.push(key),
            Detail::DropForeignKey(key) => match &key.at_column {
                Some(column) => {
                    self.released.insert(fold(column));
                }
                None => return cannot("drop a foreign key"),
            },
            Detail::ChangeColumn { before, after } => {
                let mut like_after = (*before).clone();
                like_after.not_null = after.not_null;
                let plain = |column: &Column| column.not_null.is_none_or(|conflict| conflict.clause().is_empty());
                if minimum < CONSTRAINTS
                    || !crate::diff::same_column(&like_after, after)
                    || !plain(before)
                    || !plain(after)
                {
                    return cannot(&format!("change the column `{}`", after.name));
                }
                self.null.push((&after.name, after.not_null.is_some()));
            }
            Detail::ReorderColumns => {}
            Detail::PrimaryKey { .. } => return cannot("change a primary key"),
            Detail::AddUnique(_) | Detail::DropUnique(_) => return cannot("change a UNIQUE constraint"),
            Detail::Strict(_) | Detail::WithoutRowid(_) => return cannot("change the options of a table"),
        }
        Ok(())
    }
}

/// Whether every column that goes is used by nothing that stays, and takes along all that goes with it.
fn drops_alone(parts: &Parts<'_>, table: &Table) -> Result<(), String> {
    let dropped = |name: &str| parts.dropped.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    if let Some(column) = parts.released.iter().find(|column| !dropped(column)) {
        return Err(format!("SQLite cannot drop a constraint of the column `{column}` in place"));
    }
    for column in &parts.dropped {
        let used = |what: &str| Err(format!("the column `{}` is used by {what}", column.name));
        if table.in_key(&column.name) {
            return used("a key");
        }
        let at_itself = |at: &Option<String>| at.as_ref().is_some_and(|at| at.eq_ignore_ascii_case(&column.name));
        if table.checks.iter().any(|check| !at_itself(&check.at_column) && check.expression.mentions(&column.name)) {
            return used("a CHECK");
        }
        let in_key = |key: &ForeignKey| key.columns.iter().any(|name| name.eq_ignore_ascii_case(&column.name));
        if table.foreign_keys.iter().any(|key| !at_itself(&key.at_column) && in_key(key)) {
            return used("a foreign key");
        }
        let computed = |other: &&Column| {
            other.generated.as_ref().is_some_and(|generated| generated.expression.mentions(&column.name))
        };
        if table.columns.iter().filter(computed).any(|other| !dropped(&other.name)) {
            return used("a generated column");
        }
    }
    Ok(())
}

/// Whether `ADD COLUMN` takes it.
fn addable(column: &Column, table: &Table) -> Result<(), String> {
    if table.in_key(&column.name) {
        return Err(format!("SQLite cannot add the column `{}`, which belongs to a key, in place", column.name));
    }
    if column.generated.as_ref().is_some_and(|generated| generated.stored) {
        return Err(format!("SQLite cannot add the stored column `{}` in place", column.name));
    }
    if column.generated.is_some() {
        return Ok(());
    }
    match &column.default {
        Some(default) if !is_constant(&default.text) => {
            Err(format!("SQLite cannot add the column `{}`, whose default is computed, in place", column.name))
        }
        default if column.not_null.is_some() && default.as_ref().is_none_or(|it| it.normal() == "null") => Err(
            format!("SQLite cannot add the column `{}`, which refuses NULL and has no default, in place", column.name),
        ),
        _ => Ok(()),
    }
}

/// Whether a default is the same for every row: a number, a text or a blob.
fn is_constant(text: &str) -> bool {
    let counted: Vec<_> = tokens(text).filter(|token| token.kind.counts()).collect();
    let value = |kind: TokenKind, part: &str| {
        matches!(kind, TokenKind::Number | TokenKind::Literal) || part.eq_ignore_ascii_case("null")
    };
    match counted.as_slice() {
        [only] => value(only.kind, &text[only.span.clone()]),
        [sign, number] => text[sign.span.clone()] == *"-" && number.kind == TokenKind::Number,
        _ => false,
    }
}

/// Whether what is left of the old columns and then the new ones is the order that is wanted.
fn in_natural_order(change: &TableChange<'_>) -> bool {
    !change.details.iter().any(|detail| matches!(detail, Detail::ReorderColumns))
}
