//! Random schemas, others near to them, and rows: what is generated between the two leads there and back, and keeps
//! every row. What the generator proves for itself is not asked here; SQLite is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cargo_migrate::autogenerate::{Outcome, propose};
use cargo_migrate::ddl::Fills;
use cargo_migrate::ddl::values::invented;
use cargo_migrate::diff;
use cargo_migrate::project::settings::{ColumnOrder, SqliteVersion};
use cargo_migrate::proof::{Proposal, State, Terms, section};
use cargo_migrate::renames::Said;
use cargo_migrate::scratch;
use rusqlite::Connection;

use crate::database_facts::{self as facts, counters, everything, is_about_rows, kept_columns, quoted, rows, run};
use crate::harness::{Project, scale};
use crate::random_schema::{self, Schema, make, mutate};

const VERSION_TABLE: &str = "_cargo_migrate";

#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    nothing: usize,
    refused_up: usize,
    refused_down: usize,
    failed: Vec<String>,
}

#[test]
#[expect(clippy::disallowed_macros, reason = "a long run tells its figures")]
fn what_is_generated_leads_there_and_back_and_keeps_every_row() {
    let most = (1_200.0 * scale()).ceil() as u64;
    // A failed case is repeated by its number.
    let seeds = match std::env::var("MIGRATE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..most,
    };
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let runs: Vec<_> = [ColumnOrder::Any, ColumnOrder::Exact]
            .into_iter()
            .map(|order| {
                let seeds = seeds.clone();
                scope.spawn(move || {
                    let mut tally = Tally::default();
                    for seed in seeds {
                        Case::new(seed, order).run(&mut tally);
                    }
                    tally
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let mut report = String::new();
    for tally in &tallies {
        let Tally { passed, nothing, refused_up, refused_down, failed } = tally;
        let count = failed.len();
        writeln!(
            report,
            "{passed} passed, {nothing} the same, {refused_up} upgrades and {refused_down} downgrades refused by the rows, \
             {count} failed"
        )
        .unwrap();
        for failure in failed.iter().take(12) {
            writeln!(report, "\n{failure}").unwrap();
        }
    }
    assert!(tallies.iter().all(|tally| tally.failed.is_empty()), "{report}");
    let sum = |of: fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>();
    // Most cases have to go all the way, or nothing is shown.
    assert!(sum(|tally| tally.passed) * 10 >= sum(|tally| tally.refused_up + tally.refused_down), "{report}");
    println!("{report}");
}

/// Two schemas, and the migration between them.
struct Case {
    seed: u64,
    before: Schema,
    after: Schema,
    from: State,
    to: State,
    order: ColumnOrder,
}

fn state(schema: &Schema) -> State {
    let connection = scratch::empty().unwrap();
    for statement in schema.statements() {
        connection.execute_batch(&statement).unwrap();
    }
    State::of(connection, VERSION_TABLE).unwrap()
}

fn read(database: &Connection) -> State {
    State::of(scratch::copy(database).unwrap(), VERSION_TABLE).unwrap()
}

impl Case {
    fn new(seed: u64, order: ColumnOrder) -> Self {
        let before = make(seed);
        let after = mutate(&before, seed);
        let (from, to) = (state(&before), state(&after));
        Self { seed, before, after, from, to, order }
    }

    /// Where `ALTER TABLE` can do least, as usual, and most.
    fn terms(&self) -> Terms<'static> {
        let minimum = match self.seed % 4 {
            0 => SqliteVersion(3, 53, 0),
            1 => SqliteVersion(3, 34, 0),
            _ => SqliteVersion::default(),
        };
        Terms { order: self.order, minimum, version_table: VERSION_TABLE }
    }

    fn run(&self, tally: &mut Tally) {
        let said = Said { no_others: true, ..Said::default() };
        let changes = diff::changes(&self.from.schema, &self.to.schema, self.order);
        let fills = invented(&changes, &self.to.schema, &self.to.connection);
        match propose(&self.from, &self.to, &said, &fills, &self.terms()) {
            Ok(Outcome::Proposal(proposal)) => match self.there_and_back(&proposal, &fills, tally) {
                Ok(()) => {}
                Err(why) => {
                    let (up, down) = (section(&proposal.up), section(&proposal.down));
                    tally.failed.push(format!("{}{why}\n-- up\n{up}-- down\n{down}", self.told()));
                }
            },
            Ok(Outcome::Nothing) => tally.nothing += 1,
            Ok(Outcome::Undecided(questions)) => tally.failed.push(format!("{}{questions:?}", self.told())),
            Err(failure) => {
                let problem = &failure.problems()[0];
                tally.failed.push(format!("{}{} {:?}", self.told(), problem.message(), problem.notes()));
            }
        }
    }

    fn told(&self) -> String {
        format!(
            "seed {} with {:?} order after {:?}\n{};\n-- wanted\n{};\n",
            self.seed,
            self.order,
            self.after.changes,
            self.before.statements().join(";\n"),
            self.after.statements().join(";\n")
        )
    }

    /// The first schema with rows, and with full-text tables that know them.
    fn filled(&self) -> Connection {
        let database = scratch::copy(&self.from.connection).unwrap();
        scratch::set_triggers(&database, false).unwrap();
        for statement in random_schema::rows(&self.before, self.seed, 4) {
            // What a constraint does not take is passed over.
            let _ = database.execute_batch(&statement);
        }
        scratch::set_triggers(&database, true).unwrap();
        for search in searches(&database) {
            let _ = database.execute_batch(&format!("INSERT INTO {search} ({search}) VALUES ('rebuild')"));
        }
        // A counter that stands higher than the rows.
        if !counters(&database).is_empty() {
            database.execute_batch("UPDATE sqlite_sequence SET seq = seq + 100").unwrap();
        }
        database
    }

    fn there_and_back(&self, proposal: &Proposal, fills: &Fills, tally: &mut Tally) -> Result<(), String> {
        let database = self.filled();
        let before = scratch::copy(&database).unwrap();
        if let Err(error) = run(&database, &section(&proposal.up)) {
            if !is_about_rows(&error) {
                return Err(format!("the upgrade fails: {error}"));
            }
            tally.refused_up += 1;
            return same("after a refused upgrade", &everything(&before), &everything(&database));
        }
        self.lands(&database, &self.to)?;
        let lost = Lost::of(proposal, fills);
        kept("upgrade", &before, &database, &lost, None)?;
        let between = scratch::copy(&database).unwrap();
        if let Err(error) = run(&database, &section(&proposal.down)) {
            if !is_about_rows(&error) {
                return Err(format!("the downgrade fails: {error}"));
            }
            tally.refused_down += 1;
            return same("after a refused downgrade", &everything(&between), &everything(&database));
        }
        self.lands(&database, &self.from)?;
        kept("downgrade", &before, &database, &lost, Some(&between))?;
        // As a file, by the built binary; it takes so long that only some cases are tried.
        if self.seed.is_multiple_of(20) && !section(&proposal.up).contains("CURRENT_") {
            self.as_a_file(proposal, &before, &[&between, &database])?;
        }
        tally.passed += 1;
        Ok(())
    }

    /// The migration as a file, upgraded and downgraded by the command: each time the database is what it was here.
    fn as_a_file(&self, proposal: &Proposal, before: &Connection, wanted: &[&Connection; 2]) -> Result<(), String> {
        let project = Project::new();
        let (up, down) = (section(&proposal.up), section(&proposal.down));
        let made: String = self.before.statements().iter().map(|sql| format!("{sql};\n")).collect();
        project.migration("a1", &format!("-- migrate:parent base\n-- migrate:up\n{made}"));
        project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:up\n{up}\n-- migrate:down\n{down}"));
        before
            .backup("main", project.path("app.db"), None::<fn(rusqlite::backup::Progress)>)
            .map_err(|error| error.to_string())?;
        project.run(&["stamp", "a1"]).done();
        for (command, wanted) in [(&["upgrade"][..], wanted[0]), (&["downgrade", "-1"], wanted[1])] {
            project.run(command).done();
            let mut found = everything(&project.database());
            found.retain(|line| !line.contains("_cargo_migrate"));
            same(&format!("after {command:?} of the file"), &everything(wanted), &found)?;
        }
        Ok(())
    }

    fn lands(&self, database: &Connection, wanted: &State) -> Result<(), String> {
        let landed = read(database);
        if let Some(change) = diff::changes(&landed.schema, &wanted.schema, self.order).first() {
            return Err(format!("this was left: {}", change.lines().join(" ")));
        }
        let ordered = self.order == ColumnOrder::Exact;
        same("SQLite says", &facts::facts(&wanted.connection, ordered), &facts::facts(&landed.connection, ordered))?;
        let said = Said { no_others: true, ..Said::default() };
        match propose(&landed, wanted, &said, &Fills::new(), &self.terms()) {
            Ok(Outcome::Nothing) => Ok(()),
            other => Err(format!("there is something to do again: {other:?}")),
        }
    }
}

fn searches(database: &Connection) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%USING fts5%'";
    let names = facts::texts(database, sql);
    names.iter().map(|name| quoted(name.trim_matches('\''))).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, wanted: &T, found: &T) -> Result<(), String> {
    if wanted == found { Ok(()) } else { Err(format!("{what}\n{wanted:?}\nwas wanted, and this was found\n{found:?}")) }
}

/// What a migration says that it loses or makes up.
struct Lost {
    tables: Vec<String>,
    columns: Vec<(String, String)>,
}

impl Lost {
    fn of(proposal: &Proposal, fills: &Fills) -> Self {
        let mut lost = Self { tables: Vec::new(), columns: fills.keys().cloned().collect() };
        for loss in &proposal.losses {
            match &loss.column {
                None => lost.tables.push(loss.table.to_ascii_lowercase()),
                Some(column) => lost.columns.push((loss.table.to_ascii_lowercase(), column.to_ascii_lowercase())),
            }
        }
        lost
    }

    fn has(&self, table: &str, column: &str) -> bool {
        self.columns.contains(&(table.to_ascii_lowercase(), column.to_ascii_lowercase()))
    }
}

/// Every value that was not declared lost is what it was, and so are rowids and counters where all sides keep them.
fn kept(
    what: &str,
    before: &Connection,
    after: &Connection,
    lost: &Lost,
    between: Option<&Connection>,
) -> Result<(), String> {
    let old_counters = counters(before);
    let new_counters = counters(after);
    for table in facts::tables(before) {
        let of =
            |database: &Connection| facts::tables(database).into_iter().find(|name| name.eq_ignore_ascii_case(&table));
        let Some(other) = of(after) else { continue };
        if lost.tables.contains(&table.to_ascii_lowercase()) {
            continue;
        }
        let middle = between.map(|between| of(between).map(|name| (between, name)));
        if let Some(None) = middle {
            return Err(format!("`{table}` was not declared lost"));
        }
        let sides: Vec<(&Connection, String)> =
            [Some((before, table.clone())), middle.flatten(), Some((after, other.clone()))]
                .into_iter()
                .flatten()
                .collect();
        let types: Vec<BTreeMap<String, String>> = sides
            .iter()
            .map(|(database, name)| {
                let columns = kept_columns(database, name).into_iter();
                columns.map(|(name, kind)| (name.to_ascii_lowercase(), kind.to_ascii_lowercase())).collect()
            })
            .collect();
        let aliases: Vec<_> = sides.iter().map(|(database, name)| facts::rowid(database, name)).collect();
        let mut columns: Vec<(String, bool)> = Vec::new();
        for (name, kind) in &types[0] {
            let kinds: Vec<Option<&String>> = types.iter().map(|types| types.get(name)).collect();
            // Where the rowid gets the name of a column, rows without a value in it get a number.
            let numbered = || {
                aliases.iter().flatten().flatten().any(|alias| alias.eq_ignore_ascii_case(name))
                    && rows(before, &table, &[(quoted(name), false)]).iter().any(|row| row == "NULL")
            };
            if kinds.iter().any(Option::is_none) || lost.has(&table, name) || numbered() {
                continue;
            }
            columns.push((quoted(name), kinds.iter().any(|other| *other != Some(kind))));
        }
        let hidden = |at: usize| facts::hidden_rowid(sides[at].0, &sides[at].1);
        let hides = aliases.iter().all(|alias| *alias == Ok(None));
        let (mut old, mut new) = (columns.clone(), columns);
        if let (true, Some(first), Some(last)) = (hides, hidden(0), hidden(sides.len() - 1)) {
            old.push((first.to_owned(), false));
            new.push((last.to_owned(), false));
        }
        same(
            &format!("the rows of `{table}` after the {what}, in {old:?}"),
            &rows(before, &table, &old),
            &rows(after, &other, &new),
        )?;
        let counter = |of: &BTreeMap<String, i64>| of.get(&table.to_lowercase()).copied();
        let counted = |database: &Connection, name: &str| {
            let sql = format!(
                "SELECT 1 FROM sqlite_schema WHERE name = '{}' AND sql LIKE '%AUTOINCREMENT%'",
                name.replace('\'', "''")
            );
            !facts::texts(database, &sql).is_empty()
        };
        if sides.iter().all(|(database, name)| counted(database, name)) {
            same(
                &format!("the counter of `{table}` after the {what}"),
                &counter(&old_counters),
                &counter(&new_counters),
            )?;
        }
    }
    found_again(what, before, after, lost, between)
}

/// Full-text tables find what they found.
fn found_again(
    what: &str,
    before: &Connection,
    after: &Connection,
    lost: &Lost,
    between: Option<&Connection>,
) -> Result<(), String> {
    let definition = |database: &Connection, name: &str| {
        let name = name.replace('"', "").replace('\'', "''");
        facts::texts(database, &format!("SELECT sql FROM sqlite_schema WHERE name = '{name}' AND type = 'table'"))
    };
    for search in searches(before) {
        let same_everywhere = [Some(after), between]
            .into_iter()
            .flatten()
            .all(|database| definition(database, &search) == definition(before, &search));
        let name = search.replace('"', "");
        if !same_everywhere || lost.tables.contains(&name.to_ascii_lowercase()) {
            continue;
        }
        let sql =
            format!("SELECT rowid FROM {search} WHERE {search} MATCH 'row OR page OR two OR größe' ORDER BY rowid");
        same(
            &format!("what {search} finds after the {what}"),
            &facts::texts(before, &sql),
            &facts::texts(after, &sql),
        )?;
    }
    Ok(())
}
