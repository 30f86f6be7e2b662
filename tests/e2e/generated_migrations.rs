//! Random schemas, others near to them, and rows: what is generated between the two leads there and back, and keeps
//! every row. What the generator proves for itself is not asked here; SQLite is.

use std::fmt::Write as _;

use cargo_migrate::autogenerate::{Outcome, propose};
use cargo_migrate::ddl::Fills;
use cargo_migrate::ddl::values::invented;
use cargo_migrate::diff;
use cargo_migrate::project::settings::{ColumnOrder, SqliteVersion};
use cargo_migrate::proof::{Proposal, State, Terms, section};
use cargo_migrate::renames::{Question, Said};
use cargo_migrate::scratch;
use rusqlite::Connection;

use crate::database_facts::{self as facts, counters, everything, is_about_rows, quoted, run};
use crate::harness::{Project, scale};
use crate::kept_rows::{Lost, kept, same, searches};
use crate::random_schema::{self, Schema, make, mutate};

const VERSION_TABLE: &str = "_cargo_migrate";

#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    nothing: usize,
    /// Of those that were tried, how many renamed something.
    renamed: usize,
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
        let Tally { passed, nothing, renamed, refused_up, refused_down, failed } = tally;
        let count = failed.len();
        writeln!(
            report,
            "{passed} passed, {renamed} with renames, {nothing} the same, {refused_up} upgrades and {refused_down} downgrades refused by the rows, \
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

    /// What somebody says of the renames: none are any, or, in every other case, all that may be some are.
    fn said(&self) -> Said {
        let mut said = Said { no_others: self.seed.is_multiple_of(2), ..Said::default() };
        while let Ok(Outcome::Undecided(questions)) = propose(&self.from, &self.to, &said, &Fills::new(), &self.terms())
        {
            // A renamed table may have renamed columns, which are asked for later.
            said.no_others = !questions.iter().any(|question| matches!(question, Question::Table { .. }));
            let known = said.tables.len();
            for question in questions {
                match question {
                    Question::Table { old, new } if said.tables.iter().all(|(_, other)| *other != new) => {
                        said.tables.push((old, new));
                    }
                    Question::Column { table, old, new }
                        if said.columns.iter().all(|(of, _, other)| *of != table || *other != new) =>
                    {
                        said.columns.push((table, old, new));
                    }
                    Question::Table { .. } | Question::Column { .. } => {}
                }
            }
            said.no_others |= said.tables.len() == known;
        }
        said
    }

    fn run(&self, tally: &mut Tally) {
        let said = self.said();
        let Some(renamed) = renamed(&self.from.connection, &said) else { return };
        let renamed = State::of(renamed, VERSION_TABLE).unwrap();
        let changes = diff::changes(&renamed.schema, &self.to.schema, self.order);
        let fills = invented(&changes, &self.to.schema, &self.to.connection);
        match propose(&self.from, &self.to, &said, &fills, &self.terms()) {
            Ok(Outcome::Proposal(proposal)) => match self.there_and_back(&proposal, &said, &fills, tally) {
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

    fn there_and_back(&self, proposal: &Proposal, said: &Said, fills: &Fills, tally: &mut Tally) -> Result<(), String> {
        tally.renamed += usize::from(!said.tables.is_empty() || !said.columns.is_empty());
        let database = self.filled();
        let named = |database: &Connection| renamed(database, said).ok_or("SQLite does not rename");
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
        kept("upgrade", &named(&before)?, &database, &lost, None)?;
        let between = scratch::copy(&database).unwrap();
        if let Err(error) = run(&database, &section(&proposal.down)) {
            if !is_about_rows(&error) {
                return Err(format!("the downgrade fails: {error}"));
            }
            tally.refused_down += 1;
            return same("after a refused downgrade", &everything(&between), &everything(&database));
        }
        self.lands(&database, &self.from)?;
        kept("downgrade", &named(&before)?, &named(&database)?, &lost, Some(&between))?;
        // As a file, by the built binary; it takes so long that only some cases are tried.
        let sound = [&before, &between, &database].into_iter().all(refers_to_rows);
        if self.seed.is_multiple_of(20) && sound && !section(&proposal.up).contains("CURRENT_") {
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

/// Whether all references lead to rows; a new foreign key that they break is refused by a run.
fn refers_to_rows(database: &Connection) -> bool {
    let found = database.prepare("PRAGMA foreign_key_check").and_then(|mut check| check.exists([]));
    found.is_ok_and(|found| !found)
}

/// A copy under the new names, by SQLite's own renames; views and triggers, which could hinder them, are left out.
fn renamed(database: &Connection, said: &Said) -> Option<Connection> {
    let copy = scratch::copy(database).unwrap();
    if said.tables.is_empty() && said.columns.is_empty() {
        return Some(copy);
    }
    for kind in ["trigger", "view"] {
        for name in facts::texts(&copy, &format!("SELECT name FROM sqlite_schema WHERE type = '{kind}'")) {
            let name = quoted(name.strip_prefix('\'').unwrap().strip_suffix('\'').unwrap());
            copy.execute_batch(&format!("DROP {kind} IF EXISTS {name}")).unwrap();
        }
    }
    let tables = said.tables.iter().map(|(old, new)| format!("ALTER TABLE {} RENAME TO {}", quoted(old), quoted(new)));
    let columns = said.columns.iter().map(|(table, old, new)| {
        format!("ALTER TABLE {} RENAME COLUMN {} TO {}", quoted(table), quoted(old), quoted(new))
    });
    tables.chain(columns).all(|sql| copy.execute_batch(&sql).is_ok()).then_some(copy)
}
