//! `CREATE TABLE` as text into a [`Table`].
//!
//! What a PRAGMA tells is asked of the database (names, types, NOT NULL); what none tells stands in this text alone:
//! CHECKs, collations, conflict clauses, AUTOINCREMENT, deferral, the names of constraints. The text has been accepted by
//! SQLite, so the reader follows SQLite's grammar and is lenient where that is; what it does not understand makes the
//! whole table unreadable instead of half-read.

use build_support::token::{Token, TokenKind, tokens};

use super::table::{Action, Check, Column, Conflict, ForeignKey, Generated, KeyColumn, PrimaryKey, Table, Unique};
use super::text::{Expression, unquoted};

/// Reads the text of a table that is not virtual; `None` where it is not understood.
#[must_use]
pub fn read(sql: &str) -> Option<Table> {
    let mut reader = Reader { text: sql, tokens: tokens(sql).filter(|token| token.kind.counts()).collect(), at: 0 };
    reader.table()
}

struct Reader<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
}

/// Constraints that belong to the table or to a column of it.
struct Place<'c> {
    table: &'c mut Table,
    /// The column, while one is read.
    column: Option<&'c mut Column>,
}

impl Reader<'_> {
    fn word(&self, ahead: usize) -> &str {
        match self.tokens.get(self.at + ahead) {
            Some(token) if token.kind == TokenKind::Word => &self.text[token.span.clone()],
            _ => "",
        }
    }

    fn mark(&self, mark: &str) -> bool {
        self.tokens
            .get(self.at)
            .is_some_and(|token| token.kind == TokenKind::Mark && self.text[token.span.clone()] == *mark)
    }

    fn is(&self, word: &str) -> bool {
        self.word(0).eq_ignore_ascii_case(word)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.is(word);
        self.at += usize::from(found);
        found
    }

    fn take_mark(&mut self, mark: &str) -> bool {
        let found = self.mark(mark);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, word: &str) -> Option<()> {
        self.take(word).then_some(())
    }

    fn need_mark(&mut self, mark: &str) -> Option<()> {
        self.take_mark(mark).then_some(())
    }

    fn name(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at)?;
        if !matches!(token.kind, TokenKind::Word | TokenKind::Quoted | TokenKind::Literal) {
            return None;
        }
        self.at += 1;
        Some(unquoted(&self.text[token.span.clone()]))
    }

    /// What stands in parentheses, from the opening one on; the text between them.
    fn parenthesised(&mut self) -> Option<&str> {
        self.need_mark("(")?;
        let start = self.at;
        let mut depth = 1_usize;
        while depth > 0 {
            let token = self.tokens.get(self.at)?;
            if token.kind == TokenKind::Mark {
                match &self.text[token.span.clone()] {
                    "(" => depth += 1,
                    ")" => depth -= 1,
                    _ => {}
                }
            }
            self.at += 1;
        }
        let from = self.tokens.get(start)?.span.start;
        let to = self.tokens.get(self.at - 1)?.span.start;
        Some(self.text.get(from..to).unwrap_or_default())
    }

    fn table(&mut self) -> Option<Table> {
        self.need("CREATE")?;
        let _ = self.take("TEMP") || self.take("TEMPORARY");
        self.need("TABLE")?;
        if self.take("IF") {
            self.need("NOT")?;
            self.need("EXISTS")?;
        }
        let mut name = self.name()?;
        if self.take_mark(".") {
            name = self.name()?;
        }
        let mut table = Table {
            name,
            sql: self.text.to_owned(),
            columns: Vec::new(),
            primary_key: None,
            uniques: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            strict: false,
            without_rowid: false,
        };
        self.need_mark("(")?;
        loop {
            if self.starts_table_constraint() {
                // The commas between table constraints are optional.
                while !self.mark(",") && !self.mark(")") {
                    let mut place = Place { table: &mut table, column: None };
                    self.constraint(&mut place)?;
                }
            } else {
                self.column(&mut table)?;
            }
            if !self.take_mark(",") {
                break;
            }
        }
        self.need_mark(")")?;
        while self.at < self.tokens.len() {
            if self.take("WITHOUT") {
                self.need("ROWID")?;
                table.without_rowid = true;
            } else if self.take("STRICT") {
                table.strict = true;
            } else {
                self.need_mark(",")?;
            }
        }
        Some(table)
    }

    fn starts_table_constraint(&self) -> bool {
        ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"].iter().any(|word| self.is(word))
    }

    fn column(&mut self, table: &mut Table) -> Option<()> {
        let name = self.name()?;
        let declared_type = self.declared_type()?;
        let mut column =
            Column { name, declared_type, not_null: None, default: None, collation: None, generated: None };
        while !self.mark(",") && !self.mark(")") {
            let mut place = Place { table, column: Some(&mut column) };
            self.constraint(&mut place)?;
        }
        table.columns.push(column);
        Some(())
    }

    fn declared_type(&mut self) -> Option<String> {
        let start = self.at;
        const ENDS: [&str; 12] = [
            "CONSTRAINT",
            "PRIMARY",
            "NOT",
            "NULL",
            "UNIQUE",
            "CHECK",
            "DEFAULT",
            "COLLATE",
            "REFERENCES",
            "AS",
            "DEFERRABLE",
            "GENERATED",
        ];
        loop {
            let token = self.tokens.get(self.at)?;
            // `VARCHAR[10]` is a word and a quoted one to SQLite.
            if self.at > start && self.mark("[") {
                while !self.take_mark("]") {
                    self.tokens.get(self.at)?;
                    self.at += 1;
                }
                continue;
            }
            let ends = token.kind == TokenKind::Word && ENDS.iter().any(|word| self.is(word));
            if ends || !matches!(token.kind, TokenKind::Word | TokenKind::Quoted | TokenKind::Literal) {
                break;
            }
            self.at += 1;
        }
        if self.at > start && self.mark("(") {
            self.parenthesised()?;
        }
        if self.at == start {
            return Some(String::new());
        }
        let span = self.tokens.get(start)?.span.start..self.tokens.get(self.at - 1)?.span.end;
        Some(self.text[span].to_owned())
    }

    /// One constraint, with the name before it.
    fn constraint(&mut self, place: &mut Place<'_>) -> Option<()> {
        let name = if self.take("CONSTRAINT") { Some(self.name()?) } else { None };
        let at_column = place.column.as_ref().map(|column| column.name.clone());
        if self.take("PRIMARY") {
            self.need("KEY")?;
            self.primary_key(place, at_column)
        } else if self.take("UNIQUE") {
            let columns = match &at_column {
                Some(name) => vec![KeyColumn { name: name.clone(), collation: None, descending: false }],
                None => self.key_columns()?.0,
            };
            let conflict = self.conflict()?;
            place.table.uniques.push(Unique { columns, conflict, at_column });
            Some(())
        } else if self.take("CHECK") {
            let expression = Expression::new(self.parenthesised()?);
            self.conflict()?;
            place.table.checks.push(Check { name, expression, at_column });
            Some(())
        } else if self.take("FOREIGN") {
            self.need("KEY")?;
            let columns = self.names()?;
            self.need("REFERENCES")?;
            self.references(place, columns, None)
        } else if self.is("DEFERRABLE") || self.is("NOT") && self.word(1).eq_ignore_ascii_case("DEFERRABLE") {
            self.deferral(place)
        } else if let Some(column) = place.column.as_deref_mut() {
            self.column_constraint(column, name.is_some()).unwrap_or_else(|| {
                self.need("REFERENCES")?;
                let columns = vec![at_column.clone()?];
                self.references(place, columns, at_column)
            })
        } else {
            // A name without a constraint is allowed.
            name.map(drop)
        }
    }

    /// What a column alone can have; `None` where it is none of that.
    fn column_constraint(&mut self, column: &mut Column, named: bool) -> Option<Option<()>> {
        Some(if self.take("NULL") {
            self.conflict().map(drop)
        } else if self.is("NOT") {
            self.at += 1;
            self.need("NULL").and_then(|()| self.conflict()).map(|conflict| column.not_null = Some(conflict))
        } else if self.take("DEFAULT") {
            self.default().map(|default| column.default = Some(default))
        } else if self.take("COLLATE") {
            self.name().map(|name| column.collation = Some(name).filter(|name| !name.eq_ignore_ascii_case("BINARY")))
        } else if self.is("GENERATED") || self.is("AS") {
            self.generated().map(|generated| column.generated = Some(generated))
        } else if self.is("REFERENCES") || !named {
            return None;
        } else {
            Some(())
        })
    }

    fn generated(&mut self) -> Option<Generated> {
        if self.take("GENERATED") {
            self.need("ALWAYS")?;
        }
        self.need("AS")?;
        let expression = Expression::new(self.parenthesised()?);
        let stored = self.take("STORED");
        if !stored {
            self.take("VIRTUAL");
        }
        Some(Generated { expression, stored })
    }

    fn default(&mut self) -> Option<Expression> {
        if self.mark("(") {
            let inner = self.parenthesised()?.to_owned();
            // Around a number or a text the parentheses say nothing.
            let counted = tokens(&inner).filter(|token| token.kind.counts()).collect::<Vec<_>>();
            let plain = match counted.as_slice() {
                [only] => matches!(only.kind, TokenKind::Number | TokenKind::Literal),
                [sign, number] => inner[sign.span.clone()] == *"-" && number.kind == TokenKind::Number,
                _ => false,
            };
            return Some(Expression::new(&if plain { inner } else { format!("({inner})") }));
        }
        let signed = self.mark("-") || self.mark("+");
        let start = self.tokens.get(self.at)?.span.start;
        let positive = self.mark("+");
        self.at += usize::from(signed);
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        let span = token.span.clone();
        let text = &self.text[if positive { span.start } else { start }..span.end];
        Some(match token.kind {
            // SQLite reads a bare or quoted name as a text, but for its own constants.
            TokenKind::Quoted => Expression::new(&super::text::literal(&unquoted(text))),
            TokenKind::Word if text.eq_ignore_ascii_case("true") => Expression::new("1"),
            TokenKind::Word if text.eq_ignore_ascii_case("false") => Expression::new("0"),
            TokenKind::Word if !CONSTANTS.iter().any(|word| text.eq_ignore_ascii_case(word)) => {
                Expression::new(&super::text::literal(text))
            }
            _ => Expression::new(text),
        })
    }

    fn primary_key(&mut self, place: &mut Place<'_>, at_column: Option<String>) -> Option<()> {
        let (columns, mut autoincrement) = match &at_column {
            Some(name) => {
                let descending = self.descending();
                (vec![KeyColumn { name: name.clone(), collation: None, descending }], false)
            }
            None => self.key_columns()?,
        };
        let conflict = self.conflict()?;
        autoincrement |= self.take("AUTOINCREMENT");
        place.table.primary_key = Some(PrimaryKey { columns, autoincrement, conflict, at_column: at_column.is_some() });
        Some(())
    }

    fn descending(&mut self) -> bool {
        !self.take("ASC") && self.take("DESC")
    }

    /// The columns of a key, and whether `AUTOINCREMENT` stands among them.
    fn key_columns(&mut self) -> Option<(Vec<KeyColumn>, bool)> {
        self.need_mark("(")?;
        let (mut columns, mut autoincrement) = (Vec::new(), false);
        loop {
            let name = self.name()?;
            let collation = if self.take("COLLATE") { Some(self.name()?) } else { None };
            let descending = self.descending();
            autoincrement |= self.take("AUTOINCREMENT");
            columns.push(KeyColumn { name, collation, descending });
            if !self.take_mark(",") {
                break;
            }
        }
        self.need_mark(")")?;
        Some((columns, autoincrement))
    }

    fn names(&mut self) -> Option<Vec<String>> {
        self.need_mark("(")?;
        let mut names = vec![self.name()?];
        while self.take_mark(",") {
            names.push(self.name()?);
        }
        self.need_mark(")")?;
        Some(names)
    }

    fn conflict(&mut self) -> Option<Conflict> {
        if !self.take("ON") {
            return Some(Conflict::Abort);
        }
        self.need("CONFLICT")?;
        let word = self.name()?;
        [
            ("ABORT", Conflict::Abort),
            ("ROLLBACK", Conflict::Rollback),
            ("FAIL", Conflict::Fail),
            ("IGNORE", Conflict::Ignore),
            ("REPLACE", Conflict::Replace),
        ]
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name))
        .map(|(_, conflict)| *conflict)
    }

    fn references(&mut self, place: &mut Place<'_>, columns: Vec<String>, at_column: Option<String>) -> Option<()> {
        let parent = self.name()?;
        let parent_columns = if self.mark("(") { Some(self.names()?) } else { None };
        let mut key = ForeignKey {
            columns,
            parent,
            parent_columns,
            on_delete: None,
            on_update: None,
            deferred: false,
            at_column,
        };
        loop {
            if self.take("ON") {
                let event = self.name()?;
                let action = self.action()?;
                if event.eq_ignore_ascii_case("DELETE") {
                    key.on_delete = action;
                } else if event.eq_ignore_ascii_case("UPDATE") {
                    key.on_update = action;
                }
            } else if self.take("MATCH") {
                // SQLite reads it and does nothing with it.
                self.name()?;
            } else {
                break;
            }
        }
        place.table.foreign_keys.push(key);
        if self.is("DEFERRABLE") || self.is("NOT") && self.word(1).eq_ignore_ascii_case("DEFERRABLE") {
            self.deferral(place)?;
        }
        Some(())
    }

    fn action(&mut self) -> Option<Option<Action>> {
        if self.take("NO") {
            self.need("ACTION")?;
            return Some(None);
        }
        if self.take("SET") {
            return if self.take("NULL") {
                Some(Some(Action::SetNull))
            } else {
                self.need("DEFAULT").map(|()| Some(Action::SetDefault))
            };
        }
        if self.take("CASCADE") {
            return Some(Some(Action::Cascade));
        }
        self.need("RESTRICT").map(|()| Some(Action::Restrict))
    }

    /// Belongs to the foreign key before it.
    fn deferral(&mut self, place: &mut Place<'_>) -> Option<()> {
        let not = self.take("NOT");
        self.need("DEFERRABLE")?;
        let mut deferred = false;
        if self.take("INITIALLY") {
            deferred = self.take("DEFERRED");
            if !deferred {
                self.need("IMMEDIATE")?;
            }
        }
        place.table.foreign_keys.last_mut()?.deferred = deferred && !not;
        Some(())
    }
}

/// The words that are values.
const CONSTANTS: [&str; 6] = ["null", "true", "false", "current_date", "current_time", "current_timestamp"];

#[cfg(test)]
mod tests {
    use super::*;

    fn table(items: &str) -> Table {
        read(&format!("CREATE TABLE t ({items})")).unwrap_or_else(|| panic!("{items}"))
    }

    #[test]
    fn a_constraint_is_the_same_at_its_column_and_at_the_table() {
        let at_column = table("a INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT UNIQUE REFERENCES p (x) ON DELETE CASCADE");
        let at_table = table(
            "a INTEGER, b TEXT, PRIMARY KEY (a AUTOINCREMENT) UNIQUE (\"b\") CONSTRAINT f FOREIGN KEY ([b]) REFERENCES p(x) \
             ON UPDATE NO ACTION ON DELETE CASCADE NOT DEFERRABLE",
        );
        let shown = |table: &Table| {
            let keys: Vec<String> = table.foreign_keys.iter().map(|key| key.signature(None)).collect();
            let uniques: Vec<String> = table.uniques.iter().map(Unique::signature).collect();
            (table.primary_key.as_ref().unwrap().signature(), uniques, keys)
        };
        assert_eq!(shown(&at_column), shown(&at_table));
        assert_eq!(at_column.rowid_alias().unwrap().name, "a");
    }

    #[test]
    fn odd_but_accepted_texts_are_read() {
        let odd = table(
            "'a b' VARCHAR ( 20 , 3 ) DEFAULT -1.5e-3 NOT NULL ON CONFLICT IGNORE, c, d UNSIGNED BIG INT CONSTRAINT x \
             CONSTRAINT y CHECK (d > (1 + ')')) COLLATE NoCase, e AS (c || ',') STORED, f DEFAULT active, \
             g DEFAULT (1), h INTEGER DEFAULT (datetime('now')) REFERENCES q DEFERRABLE INITIALLY DEFERRED",
        );
        let names: Vec<_> = odd.columns.iter().map(|c| (c.name.as_str(), c.declared_type.as_str())).collect();
        assert_eq!(
            names,
            [
                ("a b", "VARCHAR ( 20 , 3 )"),
                ("c", ""),
                ("d", "UNSIGNED BIG INT"),
                ("e", ""),
                ("f", ""),
                ("g", ""),
                ("h", "INTEGER")
            ]
        );
        assert_eq!(odd.columns[0].default.as_ref().unwrap().text, "-1.5e-3");
        assert_eq!(odd.columns[0].not_null, Some(Conflict::Ignore));
        assert_eq!(odd.columns[2].collation.as_deref(), Some("NoCase"));
        assert_eq!(
            (odd.checks[0].name.as_deref(), odd.checks[0].expression.text.as_str()),
            (Some("y"), "d > (1 + ')')")
        );
        assert!(odd.columns[3].generated.as_ref().unwrap().stored);
        let default = |at: usize| odd.columns[at].default.as_ref().unwrap().normal().to_owned();
        assert_eq!(
            (default(4), default(5), default(6)),
            ("'active'".into(), "1".into(), "( datetime ( 'now' ) )".into())
        );
        assert!(odd.foreign_keys[0].deferred && odd.foreign_keys[0].parent_columns.is_none());
    }

    #[test]
    fn the_options_behind_the_table_are_read() {
        let table = read("CREATE TABLE \"t\"(a PRIMARY KEY) /* c */ STRICT, WITHOUT ROWID -- d").unwrap();
        assert!(table.strict && table.without_rowid && table.rowid_name().is_none());
    }

    #[test]
    fn a_descending_integer_key_is_the_rowid_only_at_the_table() {
        assert!(table("a INTEGER PRIMARY KEY DESC").rowid_alias().is_none());
        assert!(table("a INTEGER, PRIMARY KEY (a DESC)").rowid_alias().is_some());
        assert!(table("a INT PRIMARY KEY").rowid_alias().is_none());
        assert_eq!(table("rowid, _rowid_ INT").rowid_name().as_deref(), Some("oid"));
    }

    #[test]
    fn what_is_not_understood_is_not_half_read() {
        for sql in
            ["CREATE TABLE t (a", "CREATE TABLE t (a CHECK (b", "CREATE VIEW t AS SELECT 1", "", "CREATE TABLE t (a) x"]
        {
            assert!(read(sql).is_none(), "{sql}");
        }
    }
}
