//! Migrations in PostgreSQL's own spelling, which SQLite would read otherwise.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use migrate_runtime::build_support::graph::RevisionGraph;
use migrate_runtime::build_support::migration::{Migration, UNCLOSED};
use migrate_runtime::build_support::problem::Problem;
use migrate_runtime::build_support::revision::RevisionId;
use migrate_runtime::build_support::token::Dialect;
use migrate_runtime::driver::postgres::PostgresDriver;
use migrate_runtime::history::History;
use migrate_runtime::migrations::Outcome;
use migrate_runtime::runner::{self, FORBIDDEN_STATEMENT, Files, Options};
use migrate_runtime::{Migrations, plan};

use crate::running::{self, Texts, names};
use crate::server::Server;

crate::tests![
    what_sqlite_would_read_otherwise_is_applied_and_taken_off,
    a_section_and_a_way_back_may_hold_quotes_in_nested_comments,
    what_a_run_cannot_hold_is_refused_where_the_server_would_see_it,
    a_file_is_read_once_where_its_lock_names_the_database_and_twice_where_not,
    without_a_word_in_the_lock_a_text_that_both_read_runs_all_the_same,
];

/// Nested comments, names in brackets and backquotes that are none, strings that go on.
const OWN: Texts = &[
    (
        "a1",
        "-- migrate:up\n/* The users. /* It's */ that's all; */\nCREATE TABLE users (\n  name text, -- the user's\r  tags text[]\n);\n\
         INSERT INTO users VALUES (E'it' -- goes on\n-- here\n '\\'s; [so]', ARRAY [ 'x]', 'y;' ]);\n\
         -- migrate:down\n/* /* Don't */ 'x */ DROP TABLE users;\n",
    ),
    (
        "a2",
        "-- migrate:up\nCREATE FUNCTION same(text, text) RETURNS bool LANGUAGE sql AS $$ SELECT $1 = $2 $$;\n\
         CREATE OPERATOR ` (FUNCTION = same, LEFTARG = text, RIGHTARG = text);\n\
         -- migrate:down\nDROP OPERATOR ` (text, text);\nDROP FUNCTION same;\n\
         -- migrate:verify\nSELECT tags [ 1 ] ` 'x]' AND name ` E'it\\'s; [so]' FROM users;\n",
    ),
];

fn graph(texts: Texts) -> RevisionGraph {
    let read = |(id, text): &(&str, &str)| {
        Migration::parse_as(Dialect::Postgres, RevisionId::new(id).unwrap(), Path::new("m.sql"), text).unwrap()
    };
    RevisionGraph::new("app", texts.iter().map(read).collect()).unwrap()
}

/// What `embed!` makes of these files where the lock says that they are PostgreSQL's.
fn embedded(texts: Texts) -> Migrations {
    let graph = graph(texts);
    let head = graph.seal(graph.lineage().heads()[0]).to_string();
    Migrations::embedded("app", "migrations", texts, Some(head.leak())).of_postgres()
}

fn what_sqlite_would_read_otherwise_is_applied_and_taken_off(server: &Server) {
    let database = server.database();
    let (mut client, migrations) = (database.connect(), embedded(OWN));
    assert_eq!(names(&migrations.upgrade(&mut client).unwrap().done), ["a1", "a2"]);
    assert_eq!(database.ask("SELECT concat_ws(' ', name, tags[1], tags[2]) FROM users"), "it's; [so] x] y;");
    // The hashes are those that the graph has: the next start finds nothing to do.
    assert_eq!(migrations.upgrade(&mut client).unwrap(), Outcome::default());
    migrations.verify(&mut client).unwrap();

    assert_eq!(names(&migrations.downgrade_to(&mut client, "base").unwrap().done), ["a2", "a1"]);
    assert_eq!(database.tables(), "");
}

fn a_section_and_a_way_back_may_hold_quotes_in_nested_comments(server: &Server) {
    const NESTED: Texts = &[(
        "a1",
        "-- migrate:up\nCREATE TABLE a (x int);\n/* /* one */ isn't\n-- migrate:down\n*/\nCREATE TABLE b (x int);\n\
         -- migrate:down\nDROP TABLE a, b;\n",
    )];
    let database = server.database();
    let mut client = database.connect();
    embedded(NESTED).upgrade(&mut client).unwrap();
    assert_eq!(database.tables(), "a b");
    embedded(NESTED).downgrade_to(&mut client, "base").unwrap();
    assert_eq!(database.tables(), "");
}

fn what_a_run_cannot_hold_is_refused_where_the_server_would_see_it(server: &Server) {
    let database = server.database();
    let mut client = database.connect();
    for text in [
        "-- migrate:up\nCREATE TABLE a (x int);\n/* /* isn't */ it */ COMMIT;\n",
        "-- migrate:up\nCREATE TABLE a (x int);\nSELECT ARRAY [ 'x]' ];\nABORT;\n",
        "-- migrate:up\nCREATE TABLE a (x int);\nSELECT 1 \\gexec\n",
        "-- migrate:up\nCREATE TABLE a (x int);\nSET standard_conforming_strings = off;\n",
        "-- migrate:up\nCREATE TABLE a (x int);\nCOPY a FROM STDIN;\n",
    ] {
        let texts: Texts = vec![("a1", text)].leak();
        let error = embedded(texts).upgrade(&mut client).unwrap_err();
        assert_eq!(error.code(), FORBIDDEN_STATEMENT, "{text}: {error}");
        assert_eq!(database.tables(), "", "{text}");
    }
    const COMMENTED: Texts = &[("a1", "-- migrate:up\n/* /* */ COMMIT; ABORT; */ CREATE TABLE a (x int);\n")];
    embedded(COMMENTED).upgrade(&mut client).unwrap();
    assert_eq!(database.tables(), "a");
}

/// Texts that count how often they are read.
#[derive(Debug)]
struct Counted<'a>(&'a dyn runner::Texts, Cell<usize>);

impl runner::Texts for Counted<'_> {
    fn text(&self, migration: &Migration) -> Result<String, Problem> {
        self.1.set(self.1.get() + 1);
        self.0.text(migration)
    }
}

/// Texts that both databases read alike.
const PLAIN: Texts = &[
    running::USERS,
    ("a2", "-- migrate:up\nCREATE TABLE orders (id bigint);\n"),
    ("a3", "-- migrate:up\nINSERT INTO orders VALUES (1);\n"),
];

fn a_file_is_read_once_where_its_lock_names_the_database_and_twice_where_not(server: &Server) {
    let reads = |graph: RevisionGraph| {
        let (database, embedded) = (server.database(), embedded(PLAIN));
        let mut client = database.connect();
        let mut driver = PostgresDriver::new(&mut client, "_cargo_migrate");
        let counted = Counted(&embedded, Cell::new(0));
        let planner = |history: &History| plan::upgrade("app", &graph, history, "head", "this database");
        let options = Options::new(Duration::from_secs(9), &String::new, "0");
        let files = [Files { package: "app", graph: &graph, directory: &counted }];
        let report = runner::run(&mut driver, &files, &planner, &options, &mut |_| {}).unwrap();
        assert_eq!(report.done.len(), PLAIN.len());
        counted.1.get()
    };
    assert_eq!(reads(graph(PLAIN)), PLAIN.len());
    assert_eq!(reads(running::graph("app", PLAIN)), 2 * PLAIN.len());
}

fn without_a_word_in_the_lock_a_text_that_both_read_runs_all_the_same(server: &Server) {
    let database = server.database();
    let mut client = database.connect();
    assert_eq!(running::embedded("app", PLAIN).upgrade(&mut client).unwrap().done.len(), PLAIN.len());
    // The line is written down later: what is applied is the same, and nothing is left to do.
    assert_eq!(embedded(PLAIN).upgrade(&mut client).unwrap(), Outcome::default());
    embedded(PLAIN).verify(&mut client).unwrap();

    // What SQLite does not read as a whole says what to do.
    let error = Migrations::embedded("app", "migrations", OWN, None).upgrade(&mut client).unwrap_err();
    assert_eq!(error.code(), UNCLOSED);
    assert!(error.to_string().contains("`cargo migrate lock --dialect postgres`"), "{error}");
}
