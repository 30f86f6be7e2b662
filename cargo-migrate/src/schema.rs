//! A database's schema as a value: what its tables, indexes, views and triggers are, without a connection.

pub mod candidates;
pub mod create_table;
pub mod json;
pub mod mermaid;
pub mod table;
pub mod text;

use std::collections::BTreeMap;

use self::table::Table;
use self::text::fold;

/// What a database consists of, SQLite's own tables and the version table left out.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    tables: BTreeMap<String, Table>,
    objects: BTreeMap<(Kind, String), Object>,
}

/// What kind of thing an [`Object`] is; in the order in which they can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A virtual table.
    VirtualTable,
    /// An index that was made by its own statement.
    Index,
    /// A view.
    View,
    /// A trigger.
    Trigger,
}

impl Kind {
    /// As it stands in SQL after `DROP`.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Self::VirtualTable => "TABLE",
            Self::Index => "INDEX",
            Self::View => "VIEW",
            Self::Trigger => "TRIGGER",
        }
    }

    /// As people call it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::VirtualTable => "virtual table",
            Self::Index => "index",
            Self::View => "view",
            Self::Trigger => "trigger",
        }
    }
}

/// Something that is made and dropped as a whole.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The table or view that it belongs to; itself, where it stands alone.
    pub on: String,
    /// Its statement as the database keeps it.
    pub sql: String,
    /// How many were made before it: the triggers of a table run in an order that follows from this.
    pub place: usize,
    normal: String,
}

impl Object {
    /// An object with its statement.
    #[must_use]
    pub fn new(kind: Kind, name: String, on: String, sql: String) -> Self {
        // The names of a view's columns are those that are written; in the others the case of a name says nothing.
        let case = if kind == Kind::View { text::Case::Counts } else { text::Case::Folds };
        let mut normal = text::normal(&sql, case);
        if kind == Kind::Index {
            normal = normal.replace(" asc ", " ");
        }
        Self { kind, name, on, sql, place: 0, normal }
    }

    /// Whether both do the same.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.normal == other.normal
    }

    /// Whether it belongs to this table or view.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.on.eq_ignore_ascii_case(name)
    }

    /// Whether it is an index that no two rows may be the same in.
    #[must_use]
    pub fn is_unique_index(&self) -> bool {
        self.kind == Kind::Index && text::names(&self.sql).nth(1).is_some_and(|word| fold(&word) == "unique")
    }

    /// The columns, folded, of which no two rows of the table have the same values; `None` where an expression or a
    /// condition is in it, or it is no unique index at all.
    #[must_use]
    pub fn unique_columns(&self, table: &Table) -> Option<Vec<String>> {
        // SQLite keeps it as `CREATE UNIQUE INDEX name ON table (…`.
        let of_order = |word: &String| !["asc", "desc"].contains(&word.as_str());
        let words = text::names(&self.sql).skip(6).map(|name| fold(&name)).filter(of_order);
        let columns: Vec<String> = words.collect();
        let plain = self.is_unique_index() && !columns.is_empty();
        (plain && columns.iter().all(|name| table.column(name).is_some())).then_some(columns)
    }

    /// Whether its statement names this, or something that is called the same.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        text::mentions(&self.sql, name)
    }
}

impl Schema {
    /// A schema of these parts, the objects in the order in which they were made.
    #[must_use]
    pub fn new(tables: impl IntoIterator<Item = Table>, objects: impl IntoIterator<Item = Object>) -> Self {
        Self {
            tables: tables.into_iter().map(|table| (fold(&table.name), table)).collect(),
            objects: objects
                .into_iter()
                .enumerate()
                .map(|(place, object)| ((object.kind, fold(&object.name)), Object { place, ..object }))
                .collect(),
        }
    }

    /// The tables by name, virtual ones not among them.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// A table by its name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(&fold(name))
    }

    /// Everything else, by kind and name.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// An object by its name.
    #[must_use]
    pub fn object(&self, kind: Kind, name: &str) -> Option<&Object> {
        self.objects.get(&(kind, fold(name)))
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.objects.is_empty()
    }

    /// Whether something is called so, whatever it is.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        self.table(name).is_some() || self.objects().any(|object| object.name.eq_ignore_ascii_case(name))
    }

    /// The tables so that each comes after those that it refers to, as far as they do not refer to each other in a
    /// circle.
    #[must_use]
    pub fn tables_parents_first(&self) -> Vec<&Table> {
        let mut ordered: Vec<&Table> = Vec::with_capacity(self.tables.len());
        let mut state: BTreeMap<&str, bool> = BTreeMap::new();
        for start in self.tables.keys() {
            // A stack of its own instead of recursion: a chain of references may be as long as there are tables.
            let mut stack = vec![(start.as_str(), false)];
            while let Some((name, seen)) = stack.pop() {
                let Some(table) = self.tables.get(name) else { continue };
                if seen {
                    if state.insert(name, true) == Some(false) {
                        ordered.push(table);
                    }
                    continue;
                }
                if state.contains_key(name) {
                    continue;
                }
                state.insert(name, false);
                stack.push((name, true));
                for key in table.foreign_keys.iter().rev() {
                    if let Some((parent, _)) = self.tables.get_key_value(&fold(&key.parent)) {
                        stack.push((parent, false));
                    }
                }
            }
        }
        ordered
    }

    /// The keys of a table, each as its columns, folded: the primary one, UNIQUE constraints, and unique indexes.
    #[must_use]
    pub fn unique_keys(&self, table: &Table) -> Vec<Vec<String>> {
        let names = |columns: &[table::KeyColumn]| columns.iter().map(|column| fold(&column.name)).collect();
        let primary = table.primary_key.iter().map(|key| names(&key.columns));
        let uniques = table.uniques.iter().map(|unique| names(&unique.columns));
        let on = self.objects().filter(|object| object.is_on(&table.name));
        primary.chain(uniques).chain(on.filter_map(|index| index.unique_columns(table))).collect()
    }

    /// These tables and views alone, with what belongs to them.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Self {
        let wanted = |name: &str| names.iter().any(|it| it.eq_ignore_ascii_case(name));
        Self::new(
            self.tables().filter(|table| wanted(&table.name)).cloned(),
            self.objects().filter(|object| wanted(&object.name) || wanted(&object.on)).cloned(),
        )
    }

    /// The columns that a foreign key refers to where it does not say so itself: its parent's primary key.
    #[must_use]
    pub fn parent_key(&self, key: &table::ForeignKey) -> Option<Vec<String>> {
        let parent = self.table(&key.parent)?.primary_key.as_ref()?;
        Some(parent.columns.iter().map(|column| column.name.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_circles_do_not_matter() {
        let table = |sql: &str| create_table::read(sql).unwrap();
        let schema = Schema::new(
            [
                table("CREATE TABLE a (x REFERENCES c, y REFERENCES a)"),
                table("CREATE TABLE b (x REFERENCES a)"),
                table("CREATE TABLE c (x REFERENCES d)"),
                table("CREATE TABLE d (x REFERENCES c, y REFERENCES nowhere)"),
            ],
            [],
        );
        let names: Vec<&str> = schema.tables_parents_first().iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["d", "c", "a", "b"]);
    }

    #[test]
    fn an_index_is_the_same_however_it_is_written() {
        let index = |sql: &str| Object::new(Kind::Index, "i".into(), "t".into(), sql.into());
        assert!(index("CREATE INDEX i ON t(a ASC, b)").same(&index("CREATE INDEX \"i\" on T ( a , \"b\" )")));
        assert!(!index("CREATE INDEX i ON t(a)").same(&index("CREATE INDEX i ON t(a DESC)")));
    }
}
