//! A row into both databases, or into none.

use rusqlite::types::Value;
use rusqlite::{Connection, Statement};

use crate::schema::table::Table;
use crate::schema::text::identifier;

/// A table of one of the databases, with its statement.
pub(super) struct Side<'c> {
    statement: Statement<'c>,
    /// Which of a row's values it takes, in the order of its parameters.
    takes: Vec<usize>,
    /// Whether the row's number comes behind them, as a rowid that no column shows.
    numbered: bool,
}

impl<'c> Side<'c> {
    /// A table with the names that a row's values have in it.
    pub(super) fn new<'n>(
        connection: &'c Connection,
        table: &Table,
        names: impl Iterator<Item = Option<&'n str>>,
    ) -> rusqlite::Result<Self> {
        let (takes, mut columns): (Vec<usize>, Vec<String>) =
            names.enumerate().filter_map(|(at, name)| Some((at, identifier(name?)))).unzip();
        let rowid = table.rowid_name().filter(|_| table.rowid_alias().is_none());
        let numbered = rowid.is_some();
        columns.extend(rowid);
        let name = identifier(&table.name);
        let sql = if columns.is_empty() {
            format!("INSERT INTO {name} DEFAULT VALUES")
        } else {
            let values = vec!["?"; columns.len()].join(", ");
            // What the constraints say about conflicts would replace other rows.
            format!("INSERT OR ABORT INTO {name} ({}) VALUES ({values})", columns.join(", "))
        };
        Ok(Self { statement: connection.prepare(&sql)?, takes, numbered })
    }

    /// Inserts a row, or says why not.
    pub(super) fn insert(&mut self, values: &[Value], number: i64) -> Result<(), String> {
        let number = Value::Integer(number);
        let taken = self.takes.iter().filter_map(|at| values.get(*at));
        let given: Vec<&Value> = taken.chain(self.numbered.then_some(&number)).collect();
        super::execute(&mut self.statement, &given).map(drop).map_err(|error| error.to_string())
    }

    /// Deletes the row that was inserted last.
    pub(super) fn delete_last(&self, connection: &Connection, table: &Table) -> rusqlite::Result<()> {
        let Some(rowid) = table.rowid_name() else { return Ok(()) };
        let rowid = if table.rowid_alias().is_some() { identifier(&rowid) } else { rowid };
        let sql = format!("DELETE FROM {} WHERE {rowid} = ?1", identifier(&table.name));
        connection.execute(&sql, [connection.last_insert_rowid()]).map(drop)
    }
}

/// A table as it is and as it is wanted.
pub(super) struct Sides<'c> {
    /// The database of the table as it is.
    pub(super) connection: &'c Connection,
    pub(super) base: Side<'c>,
    pub(super) trial: Option<Side<'c>>,
}

/// Why a row was refused, and by which side: 0 is the table as it is, 1 the one that is wanted.
pub(super) struct Refusal {
    pub(super) side: usize,
    pub(super) why: String,
}

impl Sides<'_> {
    /// Inserts a row into both, or into none.
    pub(super) fn insert(&mut self, values: &[Value], number: i64) -> rusqlite::Result<Result<(), Refusal>> {
        let control = |sql: &str| self.connection.execute_batch(sql);
        let Some(trial) = &mut self.trial else {
            return Ok(self.base.insert(values, number).map_err(|why| Refusal { side: 0, why }));
        };
        control("SAVEPOINT one")?;
        let done = match self.base.insert(values, number) {
            Err(why) => Err(Refusal { side: 0, why }),
            Ok(()) => trial.insert(values, number).map_err(|why| Refusal { side: 1, why }),
        };
        if done.is_err() {
            control("ROLLBACK TO one")?;
        }
        control("RELEASE one")?;
        Ok(done)
    }
}
