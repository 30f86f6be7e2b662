//! Rows of one table that are asked which of them are alike, empty or against a check.

use std::ops::ControlFlow;

use super::changed::{Index, Table};
use super::shown::{Found, Offender, in_a_line, shortened};
use super::{Column, quoted};
use crate::connection::{Connection, Value};
use crate::statement::Words;

/// How many rows or values are named.
pub(super) const NAMED: usize = 5;
/// How many rows with the same value are named of each.
const ALIKE: usize = 3;
/// How many rows or values are counted.
pub(super) const COUNTED: usize = 1000;

/// What tells the rows of a table apart.
#[derive(Clone)]
pub(super) struct Key {
    /// Expressions in SQL.
    pub(super) parts: Vec<String>,
    /// Whether it is the row id.
    pub(super) rowid: bool,
}

impl Key {
    /// The row id under a name that no column has; without row ids the primary key.
    pub(super) fn of(connection: &mut dyn Connection, table: &Table, columns: &[Column]) -> Option<Self> {
        let taken = |name: &str| columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        if let Some(name) = ["rowid", "_rowid_", "oid"].into_iter().find(|name| !taken(name)) {
            let sql = format!("SELECT {name} FROM {} LIMIT 0", table.sql());
            if connection.query(&sql, &[], &mut |_| ControlFlow::Break(())).is_ok() {
                return Some(Self { parts: vec![name.to_owned()], rowid: true });
            }
        }
        let mut key: Vec<&Column> = columns.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        let parts: Vec<String> = key.iter().map(|column| quoted(&column.name)).collect();
        (!parts.is_empty()).then_some(Self { parts, rowid: false })
    }
}

/// Rows that are asked about.
pub(super) struct Asked<'c> {
    pub(super) connection: &'c mut dyn Connection,
    /// The table whose rows they are, as people call it.
    pub(super) table: String,
    /// What stands behind `FROM`.
    pub(super) from: String,
    pub(super) key: Key,
    /// The columns that an expression can name.
    pub(super) columns: Vec<String>,
}

impl<'c> Asked<'c> {
    /// The rows of a table as it stands.
    pub(super) fn of_table(connection: &'c mut dyn Connection, table: &Table) -> Option<Self> {
        let columns = table.columns(connection)?;
        let key = Key::of(connection, table, &columns)?;
        let columns = columns.into_iter().map(|column| column.name).collect();
        Some(Self { connection, table: table.name.clone(), from: table.sql(), key, columns })
    }

    /// The rows for which a check does not hold: NULL is no answer, and passes
    /// (<https://www.sqlite.org/lang_createtable.html#ckconst>).
    pub(super) fn against(&mut self, check: &str) -> Option<Vec<String>> {
        let columns = named([check], &self.columns);
        let mut lines = self.holding(&format!("NOT ({check})"), &columns)?;
        lines.insert(0, format!("`{}` does not hold in these rows", shortened(&in_a_line(check), 100)));
        Some(lines)
    }

    /// The rows in which a column is NULL.
    pub(super) fn empty(&mut self, column: &str) -> Option<Vec<String>> {
        self.holding(&format!("{} IS NULL", quoted(column)), &[column.to_owned()])
    }

    /// The rows for which a condition holds, with the values of these columns.
    pub(super) fn holding(&mut self, condition: &str, columns: &[String]) -> Option<Vec<String>> {
        let parts = self.key.parts.len();
        let what: Vec<String> = self.key.parts.iter().cloned().chain(columns.iter().map(|it| quoted(it))).collect();
        let sql = format!("SELECT {} FROM {} WHERE {condition}", what.join(", "), self.from);
        let (mut offenders, mut total) = (Vec::new(), 0);
        let each = &mut |row: &[Value]| {
            total += 1;
            if offenders.len() < NAMED
                && let Some((key, values)) = row.split_at_checked(parts)
            {
                offenders.push(Offender { keys: vec![key.to_vec()], more: 0, values: values.to_vec() });
            }
            if total > COUNTED { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.connection.query(&sql, &[], each).ok()?;
        self.found(columns.to_vec(), offenders, total, "row")
    }

    /// The rows that a unique index would hold twice.
    pub(super) fn alike(&mut self, index: &Index) -> Option<Vec<String>> {
        let terms = index.terms.join(", ");
        // In a unique index one NULL differs from another (<https://www.sqlite.org/lang_createindex.html#unique_indexes>).
        let mut within: Vec<String> = index.terms.iter().map(|term| format!("({term}) IS NOT NULL")).collect();
        within.extend(index.filter.iter().map(|filter| format!("({filter})")));
        let within = within.join(" AND ");
        let sql =
            format!("SELECT count(*), {terms} FROM {} WHERE {within} GROUP BY {terms} HAVING count(*) > 1", self.from);
        let (mut offenders, mut total) = (Vec::new(), 0);
        let each = &mut |row: &[Value]| {
            total += 1;
            if offenders.len() < NAMED
                && let Some((count, values)) = row.split_first()
            {
                let more = count.as_i64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
                offenders.push(Offender { keys: Vec::new(), more, values: values.to_vec() });
            }
            if total > COUNTED { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.connection.query(&sql, &[], each).ok()?;
        self.name_alike(&index.terms, &within, &mut offenders)?;
        let labels = index.terms.iter().map(|term| label(term)).collect();
        self.found(labels, offenders, total, "value")
    }

    /// Finds the first rows of each group, all of them in one scan.
    fn name_alike(&mut self, terms: &[String], within: &str, offenders: &mut [Offender]) -> Option<()> {
        let mut params = Vec::new();
        let mut groups = String::new();
        for (group, offender) in offenders.iter().enumerate() {
            let same: Vec<String> = terms
                .iter()
                .zip(&offender.values)
                .map(|(term, value)| {
                    params.push(value.clone());
                    format!("({term}) = ?{}", params.len())
                })
                .collect();
            groups.push_str(&format!(" WHEN {} THEN {group}", same.join(" AND ")));
        }
        if groups.is_empty() {
            return Some(());
        }
        let sql = format!(
            "SELECT * FROM (SELECT {}, CASE{groups} END AS \"offending group\" FROM {} WHERE {within}) \
             WHERE \"offending group\" IS NOT NULL",
            self.key.parts.join(", "),
            self.from
        );
        let each = &mut |row: &[Value]| {
            let Some((group, key)) = row.split_last() else { return ControlFlow::Break(()) };
            let group = group.as_i64().and_then(|group| usize::try_from(group).ok()).unwrap_or(usize::MAX);
            if let Some(offender) = offenders.get_mut(group)
                && offender.keys.len() < ALIKE
                && offender.more > 0
            {
                offender.keys.push(key.to_vec());
                offender.more -= 1;
            }
            let complete = offenders.iter().all(|offender| offender.keys.len() == ALIKE || offender.more == 0);
            if complete { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.connection.query(&sql, &params, each).ok()
    }

    fn found(
        &self,
        labels: Vec<String>,
        offenders: Vec<Offender>,
        total: usize,
        unit: &'static str,
    ) -> Option<Vec<String>> {
        // A value that has changed on its way through the library, as text that is not UTF-8 does, is not found again.
        let known = offenders.iter().all(|offender| !offender.keys.is_empty());
        (total > 0 && known)
            .then(|| Found { table: &self.table, rowid: self.key.rowid, labels, offenders, total, unit }.lines())
    }
}

/// The columns that expressions name, in the order in which they do.
pub(super) fn named<'t>(expressions: impl IntoIterator<Item = &'t str>, columns: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for expression in expressions {
        let words = Words::of_text(expression);
        for at in 0..words.len() {
            let name = words.bare(at);
            if let Some(column) = columns.iter().find(|column| column.eq_ignore_ascii_case(&name))
                && !words.text(at).starts_with('\'')
                && !found.contains(column)
            {
                found.push(column.clone());
            }
        }
    }
    found
}

/// What a term of an index is called: a column by its name, without its collation.
fn label(term: &str) -> String {
    let words = Words::of_text(term);
    let length = words.len();
    let end = if length > 2 && words.is(length - 2, "COLLATE") { length - 2 } else { length };
    if end == 1 { words.bare(0) } else { in_a_line(words.between(0, end)) }
}
