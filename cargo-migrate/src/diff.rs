//! What two schemas differ in, as values.
//!
//! Two are the same where SQLite cannot tell them apart: white space, comments, the case of names, the place of a
//! constraint and the order of constraints do not count, nor do the names of constraints but of a CHECK, which SQLite
//! shows. The order of columns counts where it is asked for.

mod words;

use std::collections::BTreeMap;

use crate::project::settings::ColumnOrder;
use crate::schema::table::{Check, Column, ForeignKey, PrimaryKey, Table, Unique};
use crate::schema::{Object, Schema};

pub use self::words::listed;
pub(crate) use self::words::loses_by_type;

/// One difference between two schemas, with what it was before and is after.
#[derive(Clone, Debug)]
pub enum Change<'s> {
    /// A table is new.
    CreateTable(&'s Table),
    /// A table is gone.
    DropTable(&'s Table),
    /// A table is another one.
    AlterTable(TableChange<'s>),
    /// An index, a view, a trigger or a virtual table is new.
    Create(&'s Object),
    /// One is gone.
    Drop(&'s Object),
    /// One is another one.
    Replace {
        /// As it was.
        before: &'s Object,
        /// As it is.
        after: &'s Object,
    },
}

/// What a table differs in.
#[derive(Clone, Debug)]
pub struct TableChange<'s> {
    /// The table as it was.
    pub before: &'s Table,
    /// The table as it is.
    pub after: &'s Table,
    /// What differs; never empty.
    pub details: Vec<Detail<'s>>,
}

/// One thing that a table differs in.
#[derive(Clone, Debug)]
pub enum Detail<'s> {
    /// A column is new.
    AddColumn(&'s Column),
    /// A column is gone.
    DropColumn(&'s Column),
    /// A column is another one.
    ChangeColumn {
        /// As it was.
        before: &'s Column,
        /// As it is.
        after: &'s Column,
    },
    /// The columns stand in another order.
    ReorderColumns,
    /// The primary key is another one.
    PrimaryKey {
        /// As it was.
        before: Option<&'s PrimaryKey>,
        /// As it is.
        after: Option<&'s PrimaryKey>,
    },
    /// A UNIQUE constraint is new.
    AddUnique(&'s Unique),
    /// A UNIQUE constraint is gone.
    DropUnique(&'s Unique),
    /// A CHECK constraint is new.
    AddCheck(&'s Check),
    /// A CHECK constraint is gone.
    DropCheck(&'s Check),
    /// A foreign key is new.
    AddForeignKey(&'s ForeignKey),
    /// A foreign key is gone.
    DropForeignKey(&'s ForeignKey),
    /// The table has become STRICT, or is no longer.
    Strict(bool),
    /// The table has lost its rowids, or has got them back.
    WithoutRowid(bool),
}

/// What leads from one schema to another; nothing where they are the same.
#[must_use]
pub fn changes<'s>(before: &'s Schema, after: &'s Schema, order: ColumnOrder) -> Vec<Change<'s>> {
    let mut changes = Vec::new();
    for table in before.tables() {
        match after.table(&table.name) {
            None => changes.push(Change::DropTable(table)),
            Some(other) => {
                let details = details(before, after, table, other, order);
                if !details.is_empty() {
                    changes.push(Change::AlterTable(TableChange { before: table, after: other, details }));
                }
            }
        }
    }
    changes.extend(after.tables().filter(|table| before.table(&table.name).is_none()).map(Change::CreateTable));
    for object in before.objects() {
        match after.object(object.kind, &object.name) {
            None => changes.push(Change::Drop(object)),
            Some(other) if !object.same(other) => changes.push(Change::Replace { before: object, after: other }),
            Some(_) => {}
        }
    }
    let new = |object: &&Object| before.object(object.kind, &object.name).is_none();
    changes.extend(after.objects().filter(new).map(Change::Create));
    changes
}

/// Whether two columns are the same, wherever they stand.
#[must_use]
pub fn same_column(a: &Column, b: &Column) -> bool {
    a.normal_type() == b.normal_type()
        && a.not_null == b.not_null
        && a.default == b.default
        && a.generated == b.generated
        && same_collation(a, b)
}

fn same_collation(a: &Column, b: &Column) -> bool {
    let name = |column: &Column| column.collation.as_deref().unwrap_or("BINARY").to_ascii_lowercase();
    name(a) == name(b)
}

fn details<'s>(from: &Schema, to: &Schema, before: &'s Table, after: &'s Table, order: ColumnOrder) -> Vec<Detail<'s>> {
    // Most tables are as they were, to the letter.
    if before.sql == after.sql && same_columns(before, after) {
        return Vec::new();
    }
    let mut details = Vec::new();
    for column in &before.columns {
        match after.column(&column.name) {
            None => details.push(Detail::DropColumn(column)),
            Some(other) if !same_column(column, other) => {
                details.push(Detail::ChangeColumn { before: column, after: other });
            }
            Some(_) => {}
        }
    }
    details.extend(after.columns.iter().filter(|column| before.column(&column.name).is_none()).map(Detail::AddColumn));
    if order == ColumnOrder::Exact && moved(before, after) {
        details.push(Detail::ReorderColumns);
    }
    let (old, new) = (before.primary_key.as_ref(), after.primary_key.as_ref());
    if old.map(PrimaryKey::signature) != new.map(PrimaryKey::signature) {
        details.push(Detail::PrimaryKey { before: old, after: new });
    }
    let (gone, new) = apart(&before.uniques, &after.uniques, Unique::signature, Unique::signature);
    details.extend(gone.into_iter().map(Detail::DropUnique));
    details.extend(new.into_iter().map(Detail::AddUnique));
    let (gone, new) = apart(&before.checks, &after.checks, Check::signature, Check::signature);
    details.extend(gone.into_iter().map(Detail::DropCheck));
    details.extend(new.into_iter().map(Detail::AddCheck));
    // `REFERENCES t` and `REFERENCES t (id)` are the same where `id` is the key: what one side leaves out is asked of
    // its own schema, and only where the other side says it.
    let spelled = |keys: &[ForeignKey]| keys.iter().any(|key| key.parent_columns.is_some());
    let (fill_old, fill_new) = (spelled(&after.foreign_keys), spelled(&before.foreign_keys));
    let old = |key: &ForeignKey| key.signature(from.parent_key(key).filter(|_| fill_old || fill_new).as_deref());
    let new = |key: &ForeignKey| key.signature(to.parent_key(key).filter(|_| fill_old || fill_new).as_deref());
    let (gone, new) = apart(&before.foreign_keys, &after.foreign_keys, old, new);
    details.extend(gone.into_iter().map(Detail::DropForeignKey));
    details.extend(new.into_iter().map(Detail::AddForeignKey));
    if before.strict != after.strict {
        details.push(Detail::Strict(after.strict));
    }
    if before.without_rowid != after.without_rowid {
        details.push(Detail::WithoutRowid(after.without_rowid));
    }
    details
}

/// What PRAGMAs add to a table's text is the same.
fn same_columns(before: &Table, after: &Table) -> bool {
    before.columns.len() == after.columns.len()
        && before.columns.iter().zip(&after.columns).all(|(a, b)| a.name == b.name && a.not_null == b.not_null)
}

/// Whether the columns that both have stand in another order, or new ones stand before old ones.
fn moved(before: &Table, after: &Table) -> bool {
    let kept = before.columns.iter().filter(|column| after.column(&column.name).is_some());
    let new = after.columns.iter().filter(|column| before.column(&column.name).is_none());
    let natural: Vec<&str> = kept.chain(new).map(|column| column.name.as_str()).collect();
    !natural.iter().zip(&after.columns).all(|(name, column)| column.name.eq_ignore_ascii_case(name))
}

/// What is in the first list alone, and what is in the second one alone; what is said twice counts once.
fn apart<'s, T>(
    before: &'s [T],
    after: &'s [T],
    old: impl Fn(&T) -> String,
    new: impl Fn(&T) -> String,
) -> (Vec<&'s T>, Vec<&'s T>) {
    let olds: BTreeMap<String, &T> = before.iter().map(|item| (old(item), item)).collect();
    let news: BTreeMap<String, &T> = after.iter().map(|item| (new(item), item)).collect();
    let gone = before.iter().filter(|item| {
        let signature = old(item);
        !news.contains_key(&signature) && std::ptr::eq(olds[&signature], *item)
    });
    let added = after.iter().filter(|item| {
        let signature = new(item);
        !olds.contains_key(&signature) && std::ptr::eq(news[&signature], *item)
    });
    (gone.collect(), added.collect())
}
