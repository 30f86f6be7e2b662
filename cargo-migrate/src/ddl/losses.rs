//! What a change loses of the rows that are there.

use super::virtual_table::{Content, content};
use crate::diff::{Change, Detail, loses_by_type};
use crate::schema::Kind;

/// The tables and columns, as `TABLE` and `TABLE.COLUMN`, whose values are not what they were afterwards.
#[must_use]
pub fn losses(changes: &[Change<'_>]) -> Vec<Loss> {
    let mut found = Vec::new();
    for change in changes {
        match change {
            Change::DropTable(table) => found.push(Loss { table: table.name.clone(), column: None }),
            Change::AlterTable(change) => {
                for detail in &change.details {
                    let column = match detail {
                        Detail::DropColumn(column) if column.generated.is_none() => column,
                        Detail::ChangeColumn { before, after }
                            if before.generated.is_none()
                                && (after.generated.is_some() || loses_by_type(before, after)) =>
                        {
                            after
                        }
                        _ => continue,
                    };
                    found.push(Loss { table: change.after.name.clone(), column: Some(column.name.clone()) });
                }
            }
            Change::Drop(object) | Change::Replace { before: object, .. } if object.kind == Kind::VirtualTable => {
                let replaced = matches!(change, Change::Replace { .. });
                match content(&object.sql) {
                    Content::Elsewhere => {}
                    Content::Own if replaced => {}
                    Content::Own | Content::Nowhere => {
                        found.push(Loss { table: object.name.clone(), column: None });
                    }
                }
            }
            Change::CreateTable(_) | Change::Create(_) | Change::Drop(_) | Change::Replace { .. } => {}
        }
    }
    found
}

/// A table, or a column of it, whose values are lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loss {
    /// The table.
    pub table: String,
    /// The column; without one all of the table.
    pub column: Option<String>,
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.table)?;
        if let Some(column) = &self.column {
            write!(f, ".{column}")?;
        }
        Ok(())
    }
}
