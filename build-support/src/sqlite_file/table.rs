//! A table by its name: where it starts and which columns it has, from the schema table and the `CREATE TABLE`
//! statement that stands there (<https://www.sqlite.org/fileformat2.html>, sections 2.3, 2.4 and 2.6).

use std::ops::ControlFlow;

use crate::token::{TokenKind, tokens, unquoted};

use super::btree::{Tree, walk};
use super::record::Value;
use super::snapshot::Pages;
use super::unreadable::Unreadable;

/// How many columns a table, or a key, may have: what SQLite allows unless it is built otherwise.
const MOST_COLUMNS: usize = 2000;

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    root: u32,
    tree: Tree,
    /// The names of the columns in the order in which a row holds them.
    columns: Vec<String>,
    /// The place of the `INTEGER PRIMARY KEY`, which a row holds as NULL: its value is the row id (section 2.3).
    alias: Option<usize>,
}

impl Table {
    /// Looks for a table in the schema; case counts as little as it does for SQLite.
    pub(super) fn find(pages: &mut Pages<'_>, name: &str) -> Result<Option<Self>, Unreadable> {
        let mut found = None;
        // Section 2.6: type, name, tbl_name, rootpage, sql.
        walk(pages, 1, Tree::Table, &mut |mut row| {
            // SQLite writes the type in small letters, and the command asks for it so; a name has any case.
            let kind = row.record.value(0)?;
            let named = row.record.value(1)?;
            let is_named = matches!(named, Some(Value::Text(text)) if text.eq_ignore_ascii_case(name));
            if !matches!(kind, Some(Value::Text(kind)) if kind == "table") || !is_named {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some((row.record.value(3)?, row.record.value(4)?));
            Ok(ControlFlow::Break(()))
        })?;
        let Some((root, sql)) = found else { return Ok(None) };
        let root = match root {
            Some(Value::Integer(root)) => u32::try_from(root).unwrap_or(u32::MAX),
            _ => 0,
        };
        if root == 0 {
            return Err(Unreadable::Unsupported(format!("`{name}` is a virtual table")));
        }
        if root > pages.count() {
            return Err(Unreadable::damaged(format_args!("`{name}` starts on a page that is not there")));
        }
        let Some(Value::Text(sql)) = sql else {
            return Err(Unreadable::damaged(format_args!("the schema has no text for `{name}`")));
        };
        let definition = Definition::read(&sql);
        definition
            .and_then(|definition| definition.table(root))
            .map(Some)
            .map_err(|what| Unreadable::Unsupported(format!("`{name}` {what}")))
    }

    /// The place of a column in a row.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))
    }

    /// Shows the given columns, named by their places, of each row, in no promised order. A value is `None` where the
    /// row was written before its column was added to the table. With `only`, rows that hold another value in that
    /// column are passed over, and of what they hold after it nothing is read.
    pub(super) fn rows(
        &self,
        pages: &mut Pages<'_>,
        columns: &[usize],
        only: Option<(usize, &Value)>,
        visit: &mut dyn FnMut(Vec<Option<Value>>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let mut stored: Vec<(usize, usize)> = columns.iter().copied().enumerate().collect();
        stored.sort_by_key(|(_, column)| *column);
        walk(pages, self.root, self.tree, &mut |mut row| {
            let mut values = vec![None; columns.len()];
            for (index, column) in &stored {
                let mut value = row.record.value(*column)?;
                if self.alias == Some(*column) && value == Some(Value::Null) {
                    value = row.rowid.map(Value::Integer);
                }
                if only.is_some_and(|(wanted, only)| wanted == *column && value.as_ref() != Some(only)) {
                    return Ok(ControlFlow::Continue(()));
                }
                if let Some(place) = values.get_mut(*index) {
                    *place = value;
                }
            }
            visit(values).map(ControlFlow::Continue)
        })
    }

    #[cfg(test)]
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }
}

/// A token that means something, with its text.
type Piece<'s> = (TokenKind, &'s str);

/// What a `CREATE TABLE` statement says; only as much is understood as the order of the columns in a row takes.
#[derive(Default)]
struct Definition {
    columns: Vec<String>,
    /// The columns of the primary key.
    key: Vec<String>,
    /// Whether the key can be the row id: one column, declared as `INTEGER`.
    is_rowid: bool,
    without_rowid: bool,
}

impl Definition {
    fn read(sql: &str) -> Result<Self, &'static str> {
        let mut pieces = Vec::new();
        for token in tokens(sql).filter(|token| token.kind.counts()) {
            let text = sql.get(token.span).filter(|_| !token.open).ok_or("has a definition that does not end")?;
            pieces.push((token.kind, text));
        }
        let open = pieces.iter().position(|piece| is(piece, "(")).ok_or("has no list of columns")?;
        let (list, rest) = enclosed(pieces.get(open..).unwrap_or_default()).ok_or("has a list that does not end")?;
        let without_rowid = rest.windows(2).any(|pair| matches!(pair, [a, b] if is(a, "without") && is(b, "rowid")));
        let mut definition = Self { without_rowid, ..Self::default() };
        let mut integers = Vec::new();
        for item in split(list) {
            definition.item(item, &mut integers)?;
            if definition.columns.len().max(definition.key.len()) > MOST_COLUMNS {
                return Err("has too many columns");
            }
        }
        definition.is_rowid &= definition.key.len() == 1
            && definition.key.iter().all(|key| integers.iter().any(|column: &String| column.eq_ignore_ascii_case(key)));
        Ok(definition)
    }

    /// Reads a column or a constraint of the table.
    fn item(&mut self, item: &[Piece<'_>], integers: &mut Vec<String>) -> Result<(), &'static str> {
        let first = item.first().ok_or("has an empty column")?;
        // None of these words can name a column without quotes.
        let constraint = ["constraint", "primary", "unique", "check", "foreign"].iter().any(|word| is(first, word));
        let mut name = String::new();
        if !constraint {
            name = name_of(first).ok_or("has a column without a name")?;
            // The declared type is all that stands before the column's constraints (sections 2.3 and, for what is a
            // row id, https://www.sqlite.org/lang_createtable.html, section 5).
            let ends = [
                "constraint",
                "primary",
                "not",
                "null",
                "unique",
                "check",
                "default",
                "collate",
                "references",
                "generated",
                "as",
            ];
            let declared = item.get(1..).unwrap_or_default();
            let length = declared.iter().position(|piece| ends.iter().any(|word| is(piece, word)));
            if let [piece] = declared.get(..length.unwrap_or(declared.len())).unwrap_or_default()
                && is(piece, "integer")
            {
                integers.push(name.clone());
            }
            self.columns.push(name.clone());
        }
        let mut rest = item.get(usize::from(!constraint)..).unwrap_or_default();
        while let Some((first, after)) = rest.split_first() {
            if is(first, "(") {
                rest = enclosed(rest).ok_or("has a list that does not end")?.1;
                continue;
            }
            if !constraint && (is(first, "generated") || is(first, "as")) {
                return Err("has a generated column");
            }
            if is(first, "primary") && after.first().is_some_and(|piece| is(piece, "key")) {
                let after = after.get(1..).unwrap_or_default();
                // `x INTEGER PRIMARY KEY DESC` is no row id, unlike `PRIMARY KEY (x DESC)`, by an old mistake that
                // SQLite keeps.
                self.is_rowid = constraint || !after.first().is_some_and(|piece| is(piece, "desc"));
                self.key = if constraint { key(after)? } else { vec![name.clone()] };
            }
            rest = after;
        }
        Ok(())
    }

    fn table(self, root: u32) -> Result<Table, &'static str> {
        let Self { mut columns, key, is_rowid, without_rowid } = self;
        let place = |columns: &[String], name: &str| columns.iter().position(|c| c.eq_ignore_ascii_case(name));
        if !without_rowid {
            let alias = if is_rowid { key.first().and_then(|key| place(&columns, key)) } else { None };
            return Ok(Table { root, tree: Tree::Table, columns, alias });
        }
        // Section 2.4: the key's columns come first, in the key's order.
        if key.is_empty() {
            return Err("has neither row ids nor a key");
        }
        let mut ordered = Vec::new();
        for name in &key {
            let at = place(&columns, name).ok_or("has a key of columns that it lacks, or that are named twice")?;
            ordered.push(columns.remove(at));
        }
        ordered.append(&mut columns);
        Ok(Table { root, tree: Tree::Index, columns: ordered, alias: None })
    }
}

/// The names in a key's list.
fn key(rest: &[Piece<'_>]) -> Result<Vec<String>, &'static str> {
    let (list, _) = enclosed(rest).ok_or("has a key without columns")?;
    split(list).map(|item| item.first().and_then(name_of).ok_or("has a key without columns")).collect()
}

/// Cuts what starts with a parenthesis into its inside and what follows.
fn enclosed<'p, 's>(pieces: &'p [Piece<'s>]) -> Option<(&'p [Piece<'s>], &'p [Piece<'s>])> {
    let mut depth = 0_usize;
    for (index, piece) in pieces.iter().enumerate() {
        if is(piece, "(") {
            depth += 1;
        } else if is(piece, ")") {
            depth = depth.checked_sub(1)?;
        }
        if depth == 0 {
            return Some((pieces.get(1..index)?, pieces.get(index + 1..)?));
        }
    }
    None
}

/// Cuts at the commas that stand in no parentheses.
fn split<'p, 's>(pieces: &'p [Piece<'s>]) -> impl Iterator<Item = &'p [Piece<'s>]> {
    let mut depth = 0_usize;
    pieces.split(move |piece| {
        if is(piece, "(") {
            depth += 1;
        } else if is(piece, ")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && is(piece, ",")
    })
}

/// Whether a piece is this word or mark, without quotes.
fn is((kind, text): &Piece<'_>, wanted: &str) -> bool {
    matches!(kind, TokenKind::Word | TokenKind::Mark) && text.eq_ignore_ascii_case(wanted)
}

/// A name without its quotes.
fn name_of((kind, text): &Piece<'_>) -> Option<String> {
    matches!(kind, TokenKind::Word | TokenKind::Quoted | TokenKind::Literal).then(|| unquoted(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Result<Table, &'static str> {
        Definition::read(sql).and_then(|definition| definition.table(2))
    }

    #[test]
    fn columns_are_found_whatever_their_definitions_hold() {
        let sql = "CREATE TABLE \"t (x\" (a, \"b \"\"q\" TEXT DEFAULT ('),(' || \"z\"), [c,d] INT /* e, */ NOT NULL,\n\
            `f` NUMERIC(10, 2) CHECK (f IN (1, 2)), -- g,\n'h' x REFERENCES o(a, b) ON DELETE CASCADE, größe,\n\
            CONSTRAINT k UNIQUE (a, f) CHECK (a <> ',') FOREIGN KEY (a) REFERENCES o)";
        assert_eq!(read(sql).unwrap().columns, ["a", "b \"q", "c,d", "f", "h", "größe"]);
        assert_eq!(read(sql).unwrap().column("GRöSSE"), None);
        assert_eq!(read(sql).unwrap().column("A"), Some(0));
    }

    #[test]
    fn the_row_id_has_a_name_only_where_sqlite_gives_it_one() {
        for (columns, alias) in [
            ("a, i INTEGER PRIMARY KEY", Some(1)),
            ("i integer CONSTRAINT k PRIMARY KEY AUTOINCREMENT, a", Some(0)),
            ("a, i INTEGER NOT NULL, PRIMARY KEY (I DESC)", Some(1)),
            ("i INTEGER PRIMARY KEY DESC", None),
            ("i INT PRIMARY KEY", None),
            ("i INTEGER(8) PRIMARY KEY", None),
            ("i BIG INTEGER PRIMARY KEY", None),
            ("i INTEGER, j INTEGER, PRIMARY KEY (i, j)", None),
            ("i INTEGER UNIQUE, j", None),
        ] {
            let table = read(&format!("CREATE TABLE t({columns}) STRICT")).unwrap();
            assert_eq!(table.alias, alias, "{columns}");
            assert_eq!(table.tree, Tree::Table);
        }
    }

    #[test]
    fn without_row_ids_the_key_comes_first() {
        let table =
            read("CREATE TABLE t(a, b, c, d, PRIMARY KEY (d COLLATE nocase, B)) STRICT, WITHOUT ROWID").unwrap();
        assert_eq!((table.columns, table.tree), (["d", "b", "a", "c"].map(str::to_owned).to_vec(), Tree::Index));
        assert_eq!(read("CREATE TABLE t(a, b PRIMARY KEY) without rowid").unwrap().columns, ["b", "a"]);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (sql, what) in [
            ("CREATE TABLE t(a, b AS (a + 1))", "a generated column"),
            ("CREATE TABLE t(a, b INT GENERATED ALWAYS AS (a) STORED)", "a generated column"),
            ("CREATE TABLE t(a, PRIMARY KEY (a, a)) WITHOUT ROWID", "named twice"),
            ("CREATE TABLE t(a) WITHOUT ROWID", "nor a key"),
            ("CREATE TABLE t(a, (b)", "does not end"),
            ("CREATE TABLE t(a, 'b)", "does not end"),
            ("CREATE TABLE t(a,,b)", "an empty column"),
            ("CREATE TABLE t(a, 1)", "without a name"),
            ("CREATE TABLE t", "no list"),
            ("", "no list"),
        ] {
            let Err(said) = read(sql) else { panic!("{sql}") };
            assert!(said.contains(what), "{sql}: {said}");
        }
        let many = vec!["a"; 100_000].join(", ");
        for sql in [format!("CREATE TABLE t({many})"), format!("CREATE TABLE t(a, PRIMARY KEY ({many})) WITHOUT ROWID")]
        {
            assert_eq!(read(&sql).err(), Some("has too many columns"));
        }
        let signs = "+".repeat(100_000);
        assert!(read(&format!("CREATE TABLE t(a DEFAULT {signs}1)")).is_ok());
        assert!(read(&format!("CREATE TABLE t(a DEFAULT ++1) /* {} */", "-".repeat(80))).is_ok());
    }
}
