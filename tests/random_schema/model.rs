//! A schema as values. What it is made of has numbers, by which the parts refer to each other whatever they are called.

use super::names::quote;

/// The number of a table, a view or a column; no two things in a schema have the same.
pub(super) type Id = u32;

/// A schema.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    pub(super) tables: Vec<Table>,
    /// Each is on tables and on views before it.
    pub(super) views: Vec<View>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) searches: Vec<Search>,
    pub(super) last: Id,
    /// What was done to get from the first schema to this one, for the message of a test that fails.
    pub changes: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) id: Id,
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    pub(super) key: Key,
    pub(super) strict: bool,
    pub(super) without_rowid: bool,
    pub(super) uniques: Vec<Unique>,
    pub(super) checks: Vec<Check>,
    pub(super) foreigns: Vec<Foreign>,
    pub(super) indexes: Vec<Index>,
    pub(super) comment: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) id: Id,
    pub(super) name: String,
    /// The declared type; empty where there is none.
    pub(super) kind: &'static str,
    /// With its conflict clause; empty where it may be NULL.
    pub(super) not_null: &'static str,
    pub(super) default: Option<&'static str>,
    pub(super) collate: Option<&'static str>,
    pub(super) generated: Option<Generated>,
}

#[derive(Clone, Debug)]
pub(super) struct Generated {
    pub(super) value: Expr,
    pub(super) stored: bool,
}

/// A template in which `%0`, `%1` stand for columns and `%t` for their table.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    pub(super) template: &'static str,
    pub(super) columns: Vec<Id>,
}

#[derive(Clone, Debug)]
pub(super) enum Key {
    None,
    /// Behind its column: what follows `PRIMARY KEY`.
    Column(Id, &'static str),
    /// In a line of its own, each column with its direction.
    Table(Vec<(Id, &'static str)>),
}

#[derive(Clone, Debug)]
pub(super) struct Unique {
    pub(super) columns: Vec<Id>,
    pub(super) conflict: &'static str,
    pub(super) name: Option<&'static str>,
    /// Whether it stands behind its column, where it has one.
    pub(super) at_column: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) name: Option<&'static str>,
    pub(super) holds: Expr,
    /// Whether it stands behind its first column.
    pub(super) at_column: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Foreign {
    pub(super) columns: Vec<Id>,
    pub(super) parent: Id,
    /// Without them the parent's primary key is meant.
    pub(super) to: Option<Vec<Id>>,
    pub(super) actions: &'static str,
    /// Whether it stands behind its column, where it has one.
    pub(super) at_column: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) unique: bool,
    pub(super) terms: Vec<Term>,
    pub(super) filter: Option<Expr>,
}

#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) value: Expr,
    /// Collation and direction.
    pub(super) order: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) id: Id,
    pub(super) name: String,
    pub(super) source: Id,
    pub(super) shape: Shape,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// `SELECT *`
    All,
    /// These columns of a table.
    Columns(Vec<Id>),
    /// The number of rows.
    Count,
    /// With another table.
    Join(Id),
}

#[derive(Clone, Debug)]
pub(super) struct Trigger {
    pub(super) name: String,
    /// A table or a view.
    pub(super) on: Id,
    /// `BEFORE` or `AFTER`; on a view it is `INSTEAD OF`.
    pub(super) timing: &'static str,
    pub(super) event: &'static str,
    /// The columns of `UPDATE OF`.
    pub(super) of: Vec<Id>,
    /// A condition for each row, in which `%r` stands for the first column of the row that there is.
    pub(super) when: Option<&'static str>,
    /// The same with `%o` and `%c` for another table and a column of it.
    pub(super) body: &'static str,
    pub(super) other: Id,
    pub(super) other_column: Id,
}

/// A full-text table.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) name: &'static str,
    pub(super) kind: SearchKind,
    pub(super) options: &'static str,
}

#[derive(Clone, Debug)]
pub(super) enum SearchKind {
    /// With its own content.
    Plain(Vec<&'static str>),
    /// Without content.
    Contentless(Vec<&'static str>),
    /// Over a table's columns, and kept up to date by triggers.
    External(Id, Vec<Id>),
}

impl Schema {
    pub(super) fn id(&mut self) -> Id {
        self.last += 1;
        self.last
    }

    pub(super) fn table(&self, id: Id) -> Option<&Table> {
        self.tables.iter().find(|table| table.id == id)
    }

    pub(super) fn view(&self, id: Id) -> Option<&View> {
        self.views.iter().find(|view| view.id == id)
    }

    /// The names in the one space that tables, views and indexes share.
    pub(super) fn relations(&self) -> Vec<String> {
        let tables = self.tables.iter().map(|table| &table.name);
        let indexes = self.tables.iter().flat_map(|table| table.indexes.iter().map(|index| &index.name));
        let views = self.views.iter().map(|view| &view.name);
        let searches = self.searches.iter().map(|search| search.name.to_owned());
        tables.chain(indexes).chain(views).cloned().chain(searches).collect()
    }

    /// The name of a table or a view.
    pub(super) fn name_of(&self, id: Id) -> Option<&str> {
        let table = self.table(id).map(|table| table.name.as_str());
        table.or_else(|| self.view(id).map(|view| view.name.as_str()))
    }

    /// The first column of a table or a view, as it stands in SQL.
    pub(super) fn first_column(&self, id: Id) -> Option<String> {
        if let Some(table) = self.table(id) {
            return table.columns.first().map(|column| quote(&column.name));
        }
        let view = self.view(id)?;
        match &view.shape {
            Shape::All => self.first_column(view.source),
            Shape::Columns(columns) => {
                self.table(view.source)?.column(*columns.first()?).map(|column| quote(&column.name))
            }
            Shape::Count => Some("n".to_owned()),
            Shape::Join(_) => Some("c1".to_owned()),
        }
    }
}

impl Unique {
    pub(super) fn beside(&self) -> Option<Id> {
        self.columns.first().copied().filter(|_| self.at_column && self.columns.len() == 1)
    }
}

impl Check {
    pub(super) fn beside(&self) -> Option<Id> {
        self.holds.columns.first().copied().filter(|_| self.at_column)
    }
}

impl Foreign {
    pub(super) fn beside(&self) -> Option<Id> {
        self.columns.first().copied().filter(|_| self.at_column && self.columns.len() == 1)
    }
}

impl Table {
    pub(super) fn column(&self, id: Id) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// The columns that can be written.
    pub(super) fn plain(&self) -> Vec<Id> {
        self.columns.iter().filter(|column| column.generated.is_none()).map(|column| column.id).collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    pub(super) fn key_columns(&self) -> Vec<Id> {
        match &self.key {
            Key::None => Vec::new(),
            Key::Column(column, _) => vec![*column],
            Key::Table(columns) => columns.iter().map(|(column, _)| *column).collect(),
        }
    }

    /// Whether the primary key compares as its columns do: another one is no key to a foreign key.
    pub(super) fn is_parent_key(&self) -> bool {
        !matches!(&self.key, Key::Table(columns) if columns.iter().any(|(_, order)| order.contains("COLLATE")))
    }

    /// The sets of columns that a foreign key may refer to; the first one is the primary key, where there is one.
    pub(super) fn keys(&self) -> Vec<Vec<Id>> {
        let primary = Some(self.key_columns()).filter(|columns| !columns.is_empty() && self.is_parent_key());
        primary.into_iter().chain(self.uniques.iter().map(|unique| unique.columns.clone())).collect()
    }
}
