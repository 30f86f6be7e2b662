//! The copy of a SQLite file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use build_support::problem::printable;
use migrate_runtime::database::Database;
use rusqlite::Connection;

use super::{Moment, Site, Told, counted};
use crate::app::{App, Opened};
use crate::diff;
use crate::failure::Result;
use crate::fingerprint::{Difference, Fingerprint};
use crate::introspect::{self, failed};
use crate::project::settings::ColumnOrder;
use crate::rehearsal::compared::{self, Held, HeldTable, Layout};
use crate::rehearsal::copy::FileCopy;
use crate::rehearsal::{Copy, Interrupts, Start, Verdict};
use crate::schema::Schema;
use crate::schema::table::Column;
use crate::schema::text::identifier;

/// A file with the connection to it.
pub(in crate::rehearsal) struct FileSite {
    // Closed before the copy's folder is removed.
    connection: Connection,
    version_table: String,
    /// How many rows of the version table were written.
    own: Arc<AtomicU64>,
    copy: FileCopy,
}

impl Layout for Schema {
    fn has_table(&self, table: &str) -> bool {
        self.table(table).is_some()
    }

    fn has_column(&self, table: &str, column: &str) -> bool {
        self.table(table).is_some_and(|table| table.column(column).is_some())
    }
}

impl Site for FileSite {
    type Schema = Schema;
    type Tally = u64;
    type Unchecked = ();

    fn make(_: App<'_>, opened: &Opened, start: Start<'_>, interrupts: &Interrupts) -> Result<Self> {
        let copy = FileCopy::make(opened, start, interrupts)?;
        let mut connection = copy.open()?;
        let version_table = opened.project.settings().version_table.clone();
        let own = Arc::new(AtomicU64::new(0));
        let (counter, name) = (Arc::clone(&own), version_table.clone());
        // The copy's connection is ours, and so is its hook. Where it cannot be set, the rows of the version table are
        // counted along.
        let _ = connection.update_hook(Some(move |_, _: &str, table: &str, _| {
            if table.eq_ignore_ascii_case(&name) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }));
        Ok(Self { connection, version_table, own, copy })
    }

    fn database(&mut self) -> &mut dyn Database {
        &mut self.connection
    }

    fn schema(&mut self) -> Result<Schema> {
        introspect::read(&self.connection, &self.version_table)
    }

    fn rows(&mut self, schema: &Schema, keys: &Schema) -> Result<Fingerprint> {
        Fingerprint::of(&self.connection, schema, keys).map_err(failed)
    }

    fn held(&mut self, schema: &Schema) -> Result<Held> {
        let counted = schema.tables().map(|table| {
            // What is generated is no value of its own.
            let value = |column: &Column| match column.generated {
                None => format!("count({})", identifier(&column.name)),
                Some(_) => "0".to_owned(),
            };
            let counts: Vec<String> = table.columns.iter().map(value).collect();
            let sql = format!("SELECT count(*), {} FROM main.{}", counts.join(", "), identifier(&table.name));
            let numbers = self.connection.query_row(&sql, [], |row| {
                (0..=counts.len()).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<i64>>>()
            });
            let numbers = numbers.map_err(failed)?;
            let columns = table.columns.iter().map(|column| column.name.clone()).zip(numbers[1..].iter().copied());
            Ok(HeldTable { name: table.name.clone(), rows: numbers[0], columns: columns.collect() })
        });
        Ok(Held(counted.collect::<Result<_>>()?))
    }

    fn not_restored(before: &Schema, back: &Schema) -> Vec<String> {
        let changes = diff::changes(before, back, ColumnOrder::Any);
        changes.iter().flat_map(compared::not_restored).collect()
    }

    fn second_time(first: &Schema, second: &Schema) -> Vec<String> {
        let changes = diff::changes(first, second, ColumnOrder::Any);
        changes.iter().map(|change| printable(&change.lines().join(" "))).collect()
    }

    fn lines(
        &mut self,
        was: &Moment<Schema>,
        back: &Moment<Schema>,
        differences: &[Difference],
        pristine: &mut dyn FnMut() -> Result<(Self, Moment<Schema>)>,
    ) -> Result<Told> {
        // How much is not as it was can only be told beside what was, which is made once more for it.
        match pristine() {
            Ok((pristine, same)) => {
                let Self { connection, copy, .. } = pristine;
                drop(connection);
                let lines = counted::lines(&self.connection, copy, (was, &same), &back.schema, differences)?;
                Ok(Told { lines, without_numbers: None })
            }
            Err(failure) => {
                let lines = differences.iter().map(compared::uncounted).collect();
                Ok(Told { lines, without_numbers: Some(failure) })
            }
        }
    }

    fn tally(&mut self) -> u64 {
        let all = self.connection.query_row("SELECT total_changes()", [], |row| row.get::<_, i64>(0)).unwrap_or(0);
        u64::try_from(all).unwrap_or(0).saturating_sub(self.own.load(Ordering::Relaxed))
    }

    fn changed(&mut self, since: &u64) -> Option<u64> {
        Some(self.tally().saturating_sub(*since))
    }

    /// SQLite's own check of the file; what it finds is a fault.
    fn integrity(&mut self, faults: &mut Vec<String>) -> Verdict {
        let found = self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
        match found.as_deref() {
            Ok("ok") => Verdict::Yes,
            Ok(what) => {
                faults.push(format!("SQLite finds the file damaged: {}", printable(what)));
                Verdict::No
            }
            Err(error) => {
                faults.push(format!("SQLite cannot check the file: {}", printable(&error.to_string())));
                Verdict::No
            }
        }
    }

    /// The runner looks after all of them.
    fn unchecked(&mut self) -> Result<()> {
        Ok(())
    }

    fn broken(&mut self, (): &()) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn home(&mut self) -> Option<String> {
        None
    }

    fn into_copy(self) -> Copy {
        Copy::File(self.copy)
    }
}
