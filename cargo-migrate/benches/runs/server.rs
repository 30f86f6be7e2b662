//! Embedded revisions brought to a PostgreSQL server that is started for it, beside `psql` with a script of the same
//! statements and version rows in one transaction.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use build_support::graph::RevisionGraph;
use build_support::migration::Migration;
use build_support::revision::RevisionId;
use migrate_runtime::driver::postgres::{PostgresDriver, create_table_sql, text as literal};
use migrate_runtime::runner::{self, Files, Options};
use migrate_runtime::{Migrations, plan};
use postgres::SimpleQueryMessage;

use crate::pairs::{Pairs, time};
use crate::private_server::{Database, Server, programs};
use crate::run::{COLUMNS, TABLE};

/// What the revisions of a measurement do.
const KINDS: [&str; 3] = ["one INSERT each", "one CREATE TABLE each", "tables, columns, indexes and rows"];

/// Measures each kind with so many revisions, on a new database each time.
pub fn measure(size: usize, rounds: usize) {
    let Some(programs) = programs() else {
        println!("server   {size:>6} revisions  not measured: no PostgreSQL server is installed here");
        return;
    };
    let server = Server::start(&programs);
    for kind in KINDS {
        let ups: Vec<String> = (0..size).map(|number| up(kind, number)).collect();
        let revisions = Revisions::new(&ups);
        let first = server.database();
        prepare(&first);
        let trips = revisions.upgrade(&first).1;
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script.sql");
        std::fs::write(&script, script_text(&ups, &first)).unwrap();
        let ours = || {
            let database = server.database();
            prepare(&database);
            revisions.upgrade(&database).0
        };
        let psql = || {
            let database = server.database();
            prepare(&database);
            let elapsed = psql(&database, &script);
            assert_eq!(content(&database), content(&first), "the two sides did not do the same");
            elapsed
        };
        let pairs = Pairs::measure(rounds, ours, psql);
        println!("server   {size:>6} revisions  {kind}: beside psql, {trips} round trips  {}", pairs.ratio());
    }
}

fn up(kind: &str, number: usize) -> String {
    if kind == KINDS[0] {
        return format!("INSERT INTO u VALUES ({number});\n");
    }
    // Four revisions of the last kind have a table between them.
    let table = number - number % 4;
    match number % 4 {
        _ if kind == KINDS[1] => format!("CREATE TABLE t{number} (id bigint PRIMARY KEY, name text NOT NULL);\n"),
        0 => format!("CREATE TABLE t{table} (id bigint PRIMARY KEY, name text NOT NULL);\n"),
        1 => format!("ALTER TABLE t{table} ADD more int;\nCREATE INDEX i{table} ON t{table} (name);\n"),
        2 => format!(
            "INSERT INTO t{table} SELECT g, 'n' || g FROM generate_series(1, 50) g;\nUPDATE t{table} SET more = 1;\n"
        ),
        _ => format!("ALTER TABLE t{table} DROP more;\n"),
    }
}

/// What stands in a program.
struct Revisions(&'static [(&'static str, &'static str)]);

impl Revisions {
    fn new(ups: &[String]) -> Self {
        let texts = ups.iter().enumerate().map(|(number, up)| {
            let text = format!("-- migrate:up\n{up}-- migrate:down\nSELECT 1;\n");
            (&*format!("r{number:05}").leak(), &*text.leak())
        });
        Self(texts.collect::<Vec<_>>().leak())
    }

    /// Connects and brings a database to head, as a program does that starts; gives the round trips as well.
    fn upgrade(&self, database: &Database<'_>) -> (Duration, u64) {
        let (elapsed, trips) = time(|| {
            let read = |(id, text): &(&str, &str)| {
                let id = RevisionId::new(id).unwrap();
                let path = Path::new("migrations").join(id.file_name());
                Migration::parse(id, &path, text).unwrap()
            };
            let graph = RevisionGraph::new("app", self.0.iter().map(read).collect()).unwrap();
            let carried = Migrations::embedded("app", "migrations", self.0, None);
            let mut client = database.connect();
            let mut driver = PostgresDriver::new(&mut client, TABLE);
            let files = [Files { package: "app", graph: &graph, directory: &carried }];
            let now = || "2025-01-01T00:00:00Z".to_owned();
            let options = Options::new(Duration::from_secs(30), &now, env!("CARGO_PKG_VERSION"));
            let planner = |history: &_| plan::upgrade("app", &graph, history, "head", "this database");
            runner::run(&mut driver, &files, &planner, &options, &mut |_| {}).unwrap();
            driver.round_trips()
        });
        (elapsed, trips)
    }
}

/// The table that is there before the first revision.
fn prepare(database: &Database<'_>) {
    database.connect().batch_execute("CREATE TABLE u (a int)").unwrap();
}

/// Each statement, and the row that the run has written behind it.
fn script_text(ups: &[String], done: &Database<'_>) -> String {
    let mut script = create_table_sql(TABLE) + ";\n";
    let rows = done.connect().simple_query(&format!("SELECT {COLUMNS} FROM {TABLE} ORDER BY sequence")).unwrap();
    let rows = rows.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    for (up, row) in ups.iter().zip(rows) {
        let values = (0..row.len()).map(|at| row.get(at).map_or("NULL".to_owned(), literal));
        let values = values.collect::<Vec<_>>().join(", ");
        let _ = writeln!(script, "{up}INSERT INTO {TABLE} ({COLUMNS}) VALUES ({values});");
    }
    script
}

fn psql(database: &Database<'_>, script: &Path) -> Duration {
    // Links to the server's programs may lie elsewhere than the client beside them.
    let initdb = database.server.programs.join("initdb").canonicalize().unwrap();
    let mut psql = Command::new(initdb.with_file_name("psql"));
    psql.args(["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", &database.name, "-h"]);
    psql.arg(database.server.socket()).arg("-f").arg(script);
    let (elapsed, output) = time(|| psql.output().unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    elapsed
}

/// What a database holds, for the comparison of both sides.
fn content(database: &Database<'_>) -> String {
    let counts = format!("(SELECT count(*) FROM u) || ' ' || (SELECT count(*) FROM {TABLE})");
    format!("{} {}", database.tables(), database.ask(&format!("SELECT {counts}")))
}
