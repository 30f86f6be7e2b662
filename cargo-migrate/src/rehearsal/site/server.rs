//! The copy of a database on a PostgreSQL server.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use build_support::problem::{Problem, printable};
use migrate_runtime::connection::DatabaseError;
use migrate_runtime::database::Database;
use migrate_runtime::driver::VersionTable;
use migrate_runtime::driver::postgres::quoted;
use migrate_runtime::runner::database_problem;
use postgres::Client;

use super::objects::{self, Objects};
use super::tables::{self, Table, sql_name};
use super::{Moment, Site, Told, sums};
use crate::app::{App, Opened};
use crate::failure::{Failure, Result};
use crate::fingerprint::{Difference, Fingerprint};
use crate::live::server::{OWN_SCHEMAS, rows};
use crate::pg_tools::{PgTools, Program};
use crate::rehearsal::compared::{self, Held, Layout, Line};
use crate::rehearsal::copy::ServerCopy;
use crate::rehearsal::copy::server::NO_COPY;
use crate::rehearsal::{Copy, Interrupts, Start, Verdict};
use crate::report::many;

/// A database with the connection to it.
pub(in crate::rehearsal) struct ServerSite {
    // Closed before the copy is dropped.
    client: Client,
    version_table: VersionTable,
    wait: Duration,
    copy: ServerCopy,
}

/// What a database is made of.
pub(in crate::rehearsal) struct ServerSchema {
    objects: Objects,
    tables: Vec<Table>,
}

impl ServerSchema {
    fn table(&self, shown: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.shown() == shown)
    }

    fn with_rows(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|table| table.has_rows)
    }
}

impl Layout for ServerSchema {
    fn has_table(&self, table: &str) -> bool {
        self.table(table).is_some()
    }

    fn has_column(&self, table: &str, column: &str) -> bool {
        self.table(table).is_some_and(|table| table.has(column))
    }
}

/// The pattern by which `pg_dump` knows a version table.
fn pattern(VersionTable { schema, name }: &VersionTable) -> String {
    format!("{}.{}", schema.as_deref().map_or_else(|| "*".to_owned(), quoted), quoted(name))
}

impl ServerSite {
    /// Whether this is the version table; without a schema of its own it is so in any.
    fn is_version_table(&self, schema: &str, name: &str) -> bool {
        let own = &self.version_table;
        name == own.name && own.schema.as_deref().is_none_or(|own| own == schema)
    }

    fn asked(&mut self, sql: &str) -> Result<Vec<Vec<String>>> {
        rows(&mut self.client, sql).map_err(|error| refused(&error))
    }

    /// Asks in a transaction that can change nothing, with settings that make the answers comparable.
    fn reading<T>(&mut self, ask: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.asked(sums::BEGIN)?;
        let answer = ask(self);
        // What was asked counts more than how it ended.
        let ended = self.asked("ROLLBACK");
        let answer = answer?;
        ended.map(|_| answer)
    }

    fn answers(&mut self, queries: &[String]) -> Result<Vec<Vec<String>>> {
        queries.iter().map(|sql| Ok(self.asked(sql)?.pop().unwrap_or_default())).collect()
    }

    /// What `pg_dump` writes of the copy.
    fn dumped(&self) -> Result<String> {
        let mut dump = self.copy.tools().dump(self.copy.server(), self.copy.role(), self.wait);
        dump.arg("--schema-only").arg(format!("--exclude-table={}", pattern(&self.version_table)));
        dump.stdout(Stdio::piped());
        let unread = |why: &str| Problem::new(NO_COPY, format!("the copy's schema cannot be read: {why}"));
        let mut running = PgTools::start(Program::Dump, dump).map_err(|problem| unread(problem.message()))?;
        let mut written = Vec::new();
        let read = running.output().map(|mut from| from.read_to_end(&mut written)).transpose();
        let ended = running.ended();
        if !ended.is_success() {
            return Err(ended
                .noted(unread("`pg_dump` has failed"))
                .help("see what it says; a revision that takes rights away may have taken those on the copy")
                .into());
        }
        read.map_err(|error| unread(&error.to_string()))?;
        Ok(String::from_utf8_lossy(&written).into_owned())
    }

    fn written(&mut self) -> Option<BTreeMap<String, u64>> {
        // Older servers count elsewhere and later, and may lose some of it.
        if self.copy.version().major < 15 {
            return None;
        }
        rows(&mut self.client, "SELECT pg_catalog.pg_stat_force_next_flush()").ok()?;
        let counted = rows(
            &mut self.client,
            "SELECT relid, schemaname, relname, n_tup_ins + n_tup_upd + n_tup_del, \
             pg_catalog.current_setting('track_counts') FROM pg_catalog.pg_stat_user_tables",
        )
        .ok()?;
        let mut written = BTreeMap::new();
        for row in counted {
            let [table, schema, name, count, counts] = row.as_slice() else { return None };
            if counts != "on" {
                return None;
            }
            if !self.is_version_table(schema, name) {
                written.insert(table.clone(), count.parse().ok()?);
            }
        }
        Some(written)
    }
}

impl Site for ServerSite {
    type Schema = ServerSchema;
    type Tally = Option<BTreeMap<String, u64>>;
    type Unchecked = BTreeSet<[String; 3]>;

    fn make(app: App<'_>, opened: &Opened, start: Start<'_>, interrupts: &Interrupts) -> Result<Self> {
        let copy = ServerCopy::make(app, opened, start, interrupts)?;
        let version_table = VersionTable::of(&opened.project.settings().version_table);
        Ok(Self { client: copy.open()?, version_table, wait: opened.wait, copy })
    }

    fn database(&mut self) -> &mut dyn Database {
        &mut self.client
    }

    fn schema(&mut self) -> Result<ServerSchema> {
        let mut objects = objects::split(&self.dumped()?);
        // The runner makes it for its own table, whatever the revisions do.
        self.version_table.schema.iter().for_each(|schema| objects::leave_out_empty(&mut objects, schema));
        let mut all = Vec::new();
        for row in self.asked(&tables::query())? {
            let table: Table = serde_json::from_str(&row.concat()).map_err(|_| unheard("a table"))?;
            if !self.is_version_table(&table.schema, &table.name) {
                all.push(table);
            }
        }
        Ok(ServerSchema { objects, tables: all })
    }

    fn rows(&mut self, schema: &ServerSchema, keys: &ServerSchema) -> Result<Fingerprint> {
        self.reading(|site| {
            let mut found = BTreeMap::new();
            for table in schema.with_rows() {
                let key = keys.table(&table.shown()).map(|keyed| keyed.key.as_slice()).unwrap_or_default();
                let key: Vec<&str> = key.iter().map(String::as_str).collect();
                let key = if key.iter().all(|column| table.has(column)) { key } else { Vec::new() };
                let answers = site.answers(&sums::of_table(table, &key))?;
                found.insert(table.shown(), sums::rows(table, &answers).ok_or_else(|| unheard("a table's rows"))?);
            }
            let mut sequences = BTreeMap::new();
            for row in site.asked(&sums::sequences())? {
                let [schema, name, step] = row.as_slice() else { continue };
                let answer = site.answers(&[sums::of_sequence(schema, name)])?.concat();
                let next = sums::next(step, &answer).ok_or_else(|| unheard("a sequence"))?;
                sequences.insert(format!("{schema}.{name}"), next);
            }
            Ok(Fingerprint::summed(found, sequences))
        })
    }

    fn held(&mut self, schema: &ServerSchema) -> Result<Held> {
        self.reading(|site| {
            let mut held = Vec::new();
            for table in schema.with_rows() {
                let answers = site.answers(&sums::count_of(table))?;
                held.push(sums::held(table, &answers).ok_or_else(|| unheard("a table's rows"))?);
            }
            Ok(Held(held))
        })
    }

    fn not_restored(before: &ServerSchema, back: &ServerSchema) -> Vec<String> {
        let mut lines = Vec::new();
        for changed in objects::changes(&before.objects, &back.objects) {
            let table = changed.table().and_then(|name| Some((before.table(&name)?, back.table(&name)?)));
            let columns = table.map(|(was, is)| columns_of(was, is)).unwrap_or_default();
            if columns.is_empty() {
                lines.push(changed.not_restored());
            }
            lines.extend(columns);
        }
        lines
    }

    fn second_time(first: &ServerSchema, second: &ServerSchema) -> Vec<String> {
        objects::changes(&first.objects, &second.objects).iter().map(|changed| changed.what()).collect()
    }

    /// Two databases cannot be asked at once, so the sums alone tell; how many values a column had is counted along.
    fn lines(
        &mut self,
        was: &Moment<ServerSchema>,
        _: &Moment<ServerSchema>,
        differences: &[Difference],
        _: &mut dyn FnMut() -> Result<(Self, Moment<ServerSchema>)>,
    ) -> Result<Told> {
        let line = |difference: &Difference| {
            let Difference::NoColumn { table, column } = difference else {
                return Some(compared::uncounted(difference));
            };
            let values = was.rows.values(table, column);
            let named = format!("`{}.{}`", printable(table), printable(column));
            let text = format!("{named}: {} lost after up and down", many(values, "value"));
            (values > 0).then(|| Line { table: table.clone(), column: Some(column.clone()), text })
        };
        Ok(Told { lines: differences.iter().filter_map(line).collect(), without_numbers: None })
    }

    fn tally(&mut self) -> Self::Tally {
        self.written()
    }

    /// Tables that the upgrade has made start at nothing; one that it has dropped has no rows to speak of.
    fn changed(&mut self, since: &Self::Tally) -> Option<u64> {
        let (now, before) = (self.written()?, since.as_ref()?);
        Some(now.iter().map(|(table, count)| count.saturating_sub(before.get(table).copied().unwrap_or(0))).sum())
    }

    fn integrity(&mut self, _: &mut Vec<String>) -> Verdict {
        Verdict::Untried
    }

    fn unchecked(&mut self) -> Result<Self::Unchecked> {
        let found = self.asked(&format!(
            "SELECT n.nspname, r.relname, c.conname FROM pg_catalog.pg_constraint AS c \
             JOIN pg_catalog.pg_class AS r ON r.oid = c.conrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace \
             WHERE NOT c.convalidated AND c.contype IN ('f', 'c') AND {OWN_SCHEMAS}"
        ))?;
        Ok(found.into_iter().filter_map(|row| row.try_into().ok()).collect())
    }

    fn broken(&mut self, before: &Self::Unchecked) -> Result<Vec<String>> {
        let mut remarks = Vec::new();
        for [schema, table, name] in self.unchecked()?.difference(before) {
            let table_name = sql_name(schema, table);
            let sql = format!("BEGIN; ALTER TABLE {table_name} VALIDATE CONSTRAINT {}", quoted(name));
            let tried = rows(&mut self.client, &sql);
            self.asked("ROLLBACK")?;
            if tried.is_err_and(|error| error.sqlstate().starts_with("23")) {
                remarks.push(format!(
                    "the constraint `{}` of `{}.{}` is NOT VALID, and there are rows that do not keep to it",
                    printable(name),
                    printable(schema),
                    printable(table)
                ));
            }
        }
        Ok(remarks)
    }

    fn home(&mut self) -> Option<String> {
        let asked = self.asked("SELECT pg_catalog.current_schema()").ok()?;
        asked.concat().pop().filter(|schema| !schema.is_empty())
    }

    fn into_copy(self) -> Copy {
        Copy::Server(Box::new(self.copy))
    }
}

/// The columns that one of two tables lacks.
fn columns_of(was: &Table, is: &Table) -> Vec<String> {
    let named = |column: &str| format!("`{}.{}`", printable(&was.shown()), printable(column));
    let left = is.columns.iter().filter(|column| !was.has(&column.name));
    let gone = was.columns.iter().filter(|column| !is.has(&column.name));
    let left = left.map(|column| format!("the downgrade leaves the column {}", named(&column.name)));
    left.chain(gone.map(|column| format!("the downgrade does not bring back the column {}", named(&column.name))))
        .collect()
}

fn refused(error: &DatabaseError) -> Failure {
    database_problem(error).note("it is about the copy").into()
}

fn unheard(of: &str) -> Failure {
    Problem::new(NO_COPY, format!("the server has told of {of} in a form that is not understood")).into()
}
