//! What statements for a server touch, by their own words: nothing here can run them.
//!
//! No more is read than the names behind the first words, and the columns that `ALTER TABLE` names. What a function, a
//! trigger or a `DO` does is not known.

use std::ops::Range;

use build_support::token::Dialect;
use migrate_runtime::statement::split_as;

use super::{ColumnDeed, Deed, Footprint, Kind};
use crate::words::Words;

/// What a section's statements touch.
#[must_use]
pub fn of(text: &str, section: Range<usize>) -> Footprint {
    let mut footprint = Footprint::default();
    for statement in split_as(Dialect::Postgres, text, section) {
        Reading { words: Words::of(statement.text), at: 0 }.note(&mut footprint);
    }
    footprint
}

/// A statement that is read word by word.
struct Reading<'a> {
    words: Words<'a>,
    at: usize,
}

impl Reading<'_> {
    fn stands(&self, word: &str) -> bool {
        self.words.is(self.at, word)
    }

    /// Steps over these words where they stand here.
    fn are(&mut self, words: &[&str]) -> bool {
        let all = self.words.is_all(self.at, words);
        self.at = self.words.past(self.at, words);
        all
    }

    /// Steps over one of these words where it stands here.
    fn is(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.are(&[word]))
    }

    /// Steps over a name, with the schema's before it unless that is `public`.
    fn name(&mut self) -> Option<String> {
        let mut name = self.plain()?;
        while self.stands(".") {
            self.at += 1;
            let next = self.plain()?;
            name = if name == "public" { next } else { format!("{name}.{next}") };
        }
        Some(name)
    }

    fn plain(&mut self) -> Option<String> {
        let name = self.words.name(self.at)?;
        self.at += 1;
        Some(name)
    }

    /// Steps over all up to the next comma that stands in no parentheses; gives whether there is one.
    fn next_of_list(&mut self) -> bool {
        let next = self.words.next_part(self.at);
        self.at = next.unwrap_or(self.words.len());
        next.is_some()
    }

    /// Goes behind a word; gives whether it is there.
    fn find(&mut self, word: &str) -> bool {
        let found = (self.at..self.words.len()).find(|at| self.words.is(*at, word));
        self.at = found.map_or(self.words.len(), |at| at + 1);
        found.is_some()
    }

    fn note(mut self, found: &mut Footprint) {
        if self.is(&["CREATE"]) {
            self.created(found);
        } else if self.is(&["DROP"]) {
            self.is(&["MATERIALIZED", "FOREIGN"]);
            let Some(kind) = self.kind() else { return };
            self.is(&["CONCURRENTLY"]);
            self.are(&["IF", "EXISTS"]);
            loop {
                let Some(name) = self.name() else { return };
                found.touch(kind, &name, Deed::Drop);
                if kind == Kind::Trigger || !self.next_of_list() {
                    return;
                }
            }
        } else if self.are(&["ALTER", "TABLE"]) {
            self.altered(found);
        } else if self.are(&["INSERT", "INTO"]) || self.are(&["DELETE", "FROM"]) || self.is(&["UPDATE", "TRUNCATE"]) {
            self.is(&["TABLE"]);
            self.is(&["ONLY"]);
            if let Some(name) = self.name() {
                found.touch(Kind::Table, &name, Deed::Write);
            }
        }
    }

    fn kind(&mut self) -> Option<Kind> {
        let kinds = [("TABLE", Kind::Table), ("VIEW", Kind::View), ("INDEX", Kind::Index), ("TRIGGER", Kind::Trigger)];
        kinds.into_iter().find(|(word, _)| self.are(&[word])).map(|(_, kind)| kind)
    }

    fn created(&mut self, found: &mut Footprint) {
        self.are(&["OR", "REPLACE"]);
        if self.is(&["TEMP", "TEMPORARY"]) {
            return;
        }
        self.is(&["UNLOGGED", "FOREIGN", "MATERIALIZED", "UNIQUE", "CONSTRAINT"]);
        let Some(kind) = self.kind() else { return };
        self.is(&["CONCURRENTLY"]);
        self.are(&["IF", "NOT", "EXISTS"]);
        // An index may have no name of its own.
        if !self.stands("ON")
            && let Some(name) = self.name()
        {
            found.touch(kind, &name, Deed::Create);
        }
        if matches!(kind, Kind::Index | Kind::Trigger) && self.find("ON") {
            self.is(&["ONLY"]);
            if let Some(table) = self.name() {
                found.touch(Kind::Table, &table, Deed::Alter);
            }
        }
    }

    fn altered(&mut self, found: &mut Footprint) {
        self.are(&["IF", "EXISTS"]);
        self.is(&["ONLY"]);
        let Some(table) = self.name() else { return };
        found.touch(Kind::Table, &table, Deed::Alter);
        loop {
            if let Some((column, deed)) = self.column() {
                found.column(&table, &column, Deed::Alter, deed);
            }
            if !self.next_of_list() {
                return;
            }
        }
    }

    /// The column that an action of `ALTER TABLE` is about.
    fn column(&mut self) -> Option<(String, ColumnDeed)> {
        let deed = match () {
            () if self.is(&["ADD"]) => ColumnDeed::Add,
            () if self.is(&["DROP"]) => ColumnDeed::Drop,
            () if self.is(&["ALTER"]) => ColumnDeed::Update,
            () if self.is(&["RENAME"]) => ColumnDeed::Drop,
            () => return None,
        };
        let other = ["CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "EXCLUDE", "TO"];
        if !self.is(&["COLUMN"]) && self.words.is_any(self.at, &other) {
            return None;
        }
        if !self.are(&["IF", "NOT", "EXISTS"]) {
            self.are(&["IF", "EXISTS"]);
        }
        Some((self.plain()?, deed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let footprint = of(text, 0..text.len());
        let object = |(kind, name, touch): (Kind, &str, &super::super::Touch)| {
            let columns: Vec<String> =
                touch.columns.iter().map(|(column, deeds)| format!(" {column}:{deeds:?}")).collect();
            format!("{} {name} {:?}{}", kind.word(), touch.deeds, columns.concat())
        };
        footprint.touches().map(object).collect()
    }

    #[test]
    fn tables_and_columns_are_known_by_the_words_before_them() {
        for (text, wanted) in [
            ("CREATE UNLOGGED TABLE IF NOT EXISTS public.a (x int)", &["table a {Create}"][..]),
            ("CREATE TEMP TABLE a (x int); SELECT 1; DO $$ DROP TABLE a $$;", &[]),
            ("CREATE UNIQUE INDEX CONCURRENTLY i ON ONLY s.a (x)", &["table s.a {Alter}", "index i {Create}"]),
            ("DROP TABLE IF EXISTS a, b CASCADE", &["table a {Drop}", "table b {Drop}"]),
            (
                "ALTER TABLE a ADD COLUMN IF NOT EXISTS x numeric(10, 2), DROP \"Y\", ALTER z TYPE text, ADD CHECK (x > 0)",
                &["table a {Alter} x:{Add} y:{Drop} z:{Update}"],
            ),
            (
                "INSERT INTO a VALUES (1); UPDATE ONLY b SET x = 1; TRUNCATE TABLE c",
                &["table a {Write}", "table b {Write}", "table c {Write}"],
            ),
        ] {
            assert_eq!(told(text), wanted, "{text}");
        }
    }
}
