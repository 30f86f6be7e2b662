//! What a change loses of the rows that are there.

use super::virtual_table::{Content, columns, content};
use crate::diff::{Change, TableChange, loses_by_type};
use crate::schema::Kind;

/// The tables and columns, as `TABLE` and `TABLE.COLUMN`, whose values are not what they were afterwards.
#[must_use]
pub fn losses(changes: &[Change<'_>]) -> Vec<Loss> {
    let mut found = Vec::new();
    for change in changes {
        match change {
            Change::DropTable(table) => found.push(Loss { table: table.name.clone(), column: None }),
            Change::AlterTable(change) => {
                let TableChange { before, after, .. } = change;
                for column in before.columns.iter().filter(|column| column.generated.is_none()) {
                    let kept = after
                        .column(&column.name)
                        .filter(|other| other.generated.is_none() && !loses_by_type((before, column), (after, other)));
                    if kept.is_none() {
                        found.push(Loss { table: after.name.clone(), column: Some(column.name.clone()) });
                    }
                }
            }
            Change::Drop(object) if object.kind == Kind::VirtualTable => {
                if !matches!(content(&object.sql), Content::Elsewhere(_)) {
                    found.push(Loss { table: object.name.clone(), column: None });
                }
            }
            Change::Replace { before, after } if after.kind == Kind::VirtualTable => {
                match (content(&before.sql), content(&after.sql)) {
                    (Content::Own, Content::Own) => {
                        let left = columns(&after.sql);
                        let gone = columns(&before.sql)
                            .into_iter()
                            .filter(|column| !left.iter().any(|left| left.eq_ignore_ascii_case(column)));
                        found.extend(gone.map(|column| Loss { table: after.name.clone(), column: Some(column) }));
                    }
                    // The index is made again of the same texts.
                    (Content::Elsewhere(_), Content::Elsewhere(_)) => {}
                    _ => found.push(Loss { table: after.name.clone(), column: None }),
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
