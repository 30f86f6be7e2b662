//! A table as its `CREATE TABLE` describes it (<https://www.sqlite.org/lang_createtable.html>).

use super::text::{Expression, fold, identifier};

/// A table that SQLite keeps itself, not a virtual one.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its `CREATE TABLE` as the database keeps it.
    pub sql: String,
    /// Its columns in their order, generated ones too.
    pub columns: Vec<Column>,
    /// Its primary key.
    pub primary_key: Option<PrimaryKey>,
    /// Its other keys.
    pub uniques: Vec<Unique>,
    /// What its rows have to fulfil.
    pub checks: Vec<Check>,
    /// What its rows refer to.
    pub foreign_keys: Vec<ForeignKey>,
    /// Whether types are enforced.
    pub strict: bool,
    /// Whether its rows have no rowid.
    pub without_rowid: bool,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as declared; may be empty.
    pub declared_type: String,
    /// Whether NULL is refused, and what happens then.
    pub not_null: Option<Conflict>,
    /// What it is where nothing is said.
    pub default: Option<Expression>,
    /// How its texts are compared, where that is not byte by byte.
    pub collation: Option<String>,
    /// What it is computed from.
    pub generated: Option<Generated>,
}

/// How a column is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// From what.
    pub expression: Expression,
    /// Whether the value is kept in the row.
    pub stored: bool,
}

/// What happens to a statement that breaks a constraint (<https://www.sqlite.org/lang_conflict.html>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflict {
    /// It fails.
    #[default]
    Abort,
    /// It fails with its transaction.
    Rollback,
    /// It stops half-way.
    Fail,
    /// It passes over the row.
    Ignore,
    /// It puts the row in the place of the one that is there.
    Replace,
}

impl Conflict {
    /// As it stands behind a constraint; nothing for the usual way.
    #[must_use]
    pub fn clause(self) -> &'static str {
        match self {
            Self::Abort => "",
            Self::Rollback => " ON CONFLICT ROLLBACK",
            Self::Fail => " ON CONFLICT FAIL",
            Self::Ignore => " ON CONFLICT IGNORE",
            Self::Replace => " ON CONFLICT REPLACE",
        }
    }
}

/// A column of a key.
#[derive(Clone, Debug)]
pub struct KeyColumn {
    /// The column's name.
    pub name: String,
    /// How its texts are compared, where the key says so itself.
    pub collation: Option<String>,
    /// Whether its index runs downwards.
    pub descending: bool,
}

impl KeyColumn {
    fn signature(&self) -> String {
        format!("{:?} {:?} {}", fold(&self.name), self.collation.as_deref().map(fold), self.descending)
    }

    /// As it stands in SQL.
    #[must_use]
    pub fn sql(&self) -> String {
        let collation =
            self.collation.as_ref().map(|name| format!(" COLLATE {}", identifier(name))).unwrap_or_default();
        format!("{}{collation}{}", identifier(&self.name), if self.descending { " DESC" } else { "" })
    }
}

/// A primary key.
#[derive(Clone, Debug)]
pub struct PrimaryKey {
    /// Its columns.
    pub columns: Vec<KeyColumn>,
    /// Whether rowids are never used twice.
    pub autoincrement: bool,
    /// What happens where it is broken.
    pub conflict: Conflict,
    /// Whether it stands at its column. There `DESC` keeps an INTEGER from being the rowid, by an old mistake that SQLite
    /// keeps (<https://www.sqlite.org/lang_createtable.html#rowid>).
    pub at_column: bool,
}

/// A UNIQUE constraint.
#[derive(Clone, Debug)]
pub struct Unique {
    /// Its columns.
    pub columns: Vec<KeyColumn>,
    /// What happens where it is broken.
    pub conflict: Conflict,
    /// The column that it stands at.
    pub at_column: Option<String>,
}

/// A CHECK constraint.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name, which SQLite shows where it is broken.
    pub name: Option<String>,
    /// What has to be true.
    pub expression: Expression,
    /// The column that it stands at.
    pub at_column: Option<String>,
}

/// A foreign key.
#[derive(Clone, Debug)]
pub struct ForeignKey {
    /// Its columns.
    pub columns: Vec<String>,
    /// The table that it refers to.
    pub parent: String,
    /// The columns there; the primary key where nothing is said.
    pub parent_columns: Option<Vec<String>>,
    /// What happens to the row where its parent is deleted; nothing is the same as `NO ACTION`.
    pub on_delete: Option<Action>,
    /// What happens to the row where its parent's key changes.
    pub on_update: Option<Action>,
    /// Whether it is looked at when the transaction ends.
    pub deferred: bool,
    /// The column that it stands at.
    pub at_column: Option<String>,
}

/// What a foreign key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The row goes, or changes, too.
    Cascade,
    /// The parent may not be touched.
    Restrict,
    /// The columns become NULL.
    SetNull,
    /// The columns become what they are by default.
    SetDefault,
}

impl Action {
    /// As it stands in SQL.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Self::Cascade => "CASCADE",
            Self::Restrict => "RESTRICT",
            Self::SetNull => "SET NULL",
            Self::SetDefault => "SET DEFAULT",
        }
    }
}

/// Which values a column turns others into (<https://www.sqlite.org/datatype3.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// Whole numbers.
    Integer,
    /// Text.
    Text,
    /// Nothing is turned into anything.
    Blob,
    /// Numbers with a fraction.
    Real,
    /// Numbers.
    Numeric,
}

impl Column {
    /// A column's affinity, by the rules of SQLite's "Determination Of Column Affinity".
    #[must_use]
    pub fn affinity(&self) -> Affinity {
        let upper = self.declared_type.to_ascii_uppercase();
        let has = |part: &str| upper.contains(part);
        if has("INT") {
            Affinity::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Affinity::Text
        } else if has("BLOB") || upper.trim().is_empty() {
            Affinity::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Affinity::Real
        } else {
            Affinity::Numeric
        }
    }

    /// The type as SQLite compares it.
    #[must_use]
    pub fn normal_type(&self) -> String {
        super::text::normal(&self.declared_type, super::text::Case::Folds)
    }

    /// The column, without keys, checks and references, as it stands in `CREATE TABLE` and `ADD COLUMN`.
    #[must_use]
    pub fn sql(&self) -> String {
        let mut sql = identifier(&self.name);
        if !self.declared_type.is_empty() {
            sql.push_str(&format!(" {}", self.declared_type));
        }
        if let Some(conflict) = self.not_null {
            sql.push_str(&format!(" NOT NULL{}", conflict.clause()));
        }
        if let Some(default) = &self.default {
            sql.push_str(&format!(" DEFAULT {}", default.text));
        }
        if let Some(collation) = &self.collation {
            sql.push_str(&format!(" COLLATE {}", identifier(collation)));
        }
        if let Some(generated) = &self.generated {
            let kind = if generated.stored { "STORED" } else { "VIRTUAL" };
            sql.push_str(&format!(" GENERATED ALWAYS AS ({}) {kind}", generated.expression.text));
        }
        sql
    }
}

impl PrimaryKey {
    /// What tells it from another one.
    #[must_use]
    pub fn signature(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(KeyColumn::signature).collect();
        let inverted = self.at_column && self.columns.iter().any(|column| column.descending);
        format!("{columns:?} {} {:?} {inverted}", self.autoincrement, self.conflict)
    }
}

impl Unique {
    /// What tells it from another one.
    #[must_use]
    pub fn signature(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(KeyColumn::signature).collect();
        format!("{columns:?} {:?}", self.conflict)
    }

    /// As it stands in SQL.
    #[must_use]
    pub fn sql(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(KeyColumn::sql).collect();
        format!("UNIQUE ({}){}", columns.join(", "), self.conflict.clause())
    }
}

impl Check {
    /// What tells it from another one.
    #[must_use]
    pub fn signature(&self) -> String {
        format!("{:?} {}", self.name.as_deref().map(fold), self.expression.normal())
    }

    /// As it stands in SQL.
    #[must_use]
    pub fn sql(&self) -> String {
        let name = self.name.as_ref().map(|name| format!("CONSTRAINT {} ", identifier(name))).unwrap_or_default();
        format!("{name}CHECK ({})", self.expression.text)
    }
}

impl ForeignKey {
    /// What tells it from another one, given the columns that it refers to where it does not say so itself.
    #[must_use]
    pub fn signature(&self, parent_key: Option<&[String]>) -> String {
        let columns: Vec<String> = self.columns.iter().map(|name| fold(name)).collect();
        let named = self.parent_columns.as_deref().or(parent_key);
        let parents: Option<Vec<String>> = named.map(|names| names.iter().map(|name| fold(name)).collect());
        let actions = (self.on_delete, self.on_update, self.deferred);
        format!("{columns:?} {:?} {parents:?} {actions:?}", fold(&self.parent))
    }

    /// The part from REFERENCES on, as it stands in SQL.
    #[must_use]
    pub fn references_sql(&self) -> String {
        let mut sql = format!("REFERENCES {}", identifier(&self.parent));
        if let Some(columns) = &self.parent_columns {
            sql.push_str(&format!(" ({})", super::text::identifiers(columns.iter().map(String::as_str))));
        }
        if let Some(action) = self.on_delete {
            sql.push_str(&format!(" ON DELETE {}", action.sql()));
        }
        if let Some(action) = self.on_update {
            sql.push_str(&format!(" ON UPDATE {}", action.sql()));
        }
        if self.deferred {
            sql.push_str(" DEFERRABLE INITIALLY DEFERRED");
        }
        sql
    }
}

impl Table {
    /// A column by its name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// A column's affinity in this table: `ANY` turns nothing into anything where types are enforced, and is a number
    /// elsewhere (<https://www.sqlite.org/stricttables.html>).
    #[must_use]
    pub fn affinity(&self, column: &Column) -> Affinity {
        if self.strict && column.declared_type.eq_ignore_ascii_case("ANY") { Affinity::Blob } else { column.affinity() }
    }

    /// The column that is the rowid under another name (<https://www.sqlite.org/lang_createtable.html#rowid>).
    #[must_use]
    pub fn rowid_alias(&self) -> Option<&Column> {
        let key = self.primary_key.as_ref().filter(|_| !self.without_rowid)?;
        let [only] = key.columns.as_slice() else { return None };
        let column = self.column(&only.name)?;
        let integer = column.declared_type.trim().eq_ignore_ascii_case("INTEGER");
        (integer && !(key.at_column && only.descending)).then_some(column)
    }

    /// Whether NULL may stand in a column of this table.
    #[must_use]
    pub fn may_be_null(&self, column: &Column) -> bool {
        let rowid = self.rowid_alias().is_some_and(|alias| alias.name == column.name);
        column.not_null.is_none() && !rowid
    }

    /// The name under which SQL finds the rowid; `None` where there is none, or columns have all of its names.
    #[must_use]
    pub fn rowid_name(&self) -> Option<String> {
        if self.without_rowid {
            return None;
        }
        if let Some(alias) = self.rowid_alias() {
            return Some(alias.name.clone());
        }
        ["rowid", "_rowid_", "oid"].iter().find(|name| self.column(name).is_none()).map(|name| (*name).to_owned())
    }

    /// Whether this column is part of the primary key.
    #[must_use]
    pub fn in_primary_key(&self, name: &str) -> bool {
        self.primary_key.iter().flat_map(|key| &key.columns).any(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Whether this column is part of a key.
    #[must_use]
    pub fn in_key(&self, name: &str) -> bool {
        let mut columns = self.uniques.iter().flat_map(|unique| &unique.columns);
        self.in_primary_key(name) || columns.any(|column| column.name.eq_ignore_ascii_case(name))
    }
}
