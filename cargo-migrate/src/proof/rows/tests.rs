use super::*;
use crate::autogenerate::{Outcome, propose};
use crate::project::settings::{ColumnOrder, SqliteVersion};
use crate::proof::{Proposal, Terms};
use crate::renames::Said;

const VERSION_TABLE: &str = "_cargo_migrate";

#[test]
fn a_table_gets_rows_however_much_its_checks_ask_for() {
    for body in [
        "id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL",
        "low INT NOT NULL, high INT NOT NULL, CHECK (low < high), CHECK (high BETWEEN 100 AND 110)",
        "a TEXT NOT NULL, b TEXT NOT NULL, UNIQUE (a, b), CHECK (a < b)",
        "kind TEXT NOT NULL UNIQUE CHECK (kind IN ('in', 'out', 'both'))",
        "hash BLOB PRIMARY KEY NOT NULL CHECK (typeof(hash) = 'blob' AND length(hash) = 32)",
        "id TEXT PRIMARY KEY CHECK (length(id) = 26 AND id NOT GLOB '*[^0-9A-HJKMNP-TV-Z]*')",
        "day TEXT NOT NULL CHECK (day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]' AND date(day) = day)",
        "mail TEXT NOT NULL UNIQUE CHECK (mail LIKE '%_@_%.com')",
        "list TEXT NOT NULL CHECK (json_valid(list) AND json_type(list) = 'array')",
        "data TEXT NOT NULL, kind TEXT AS (json_extract(data, '$.kind')) STORED NOT NULL",
        "file TEXT, link TEXT, CHECK ((file IS NULL) <> (link IS NULL))",
        "state TEXT NOT NULL CHECK (state IN ('new', 'sent', 'failed')), sent_at TIMESTAMP, failed_at TIMESTAMP, \
         why TEXT, CHECK (state = 'new' AND sent_at IS NULL AND failed_at IS NULL AND why IS NULL \
         OR state = 'sent' AND sent_at > 0 AND failed_at IS NULL AND why IS NULL \
         OR state = 'failed' AND sent_at IS NULL AND failed_at > 0 AND length(trim(why)) > 3)",
    ] {
        let schema = format!("CREATE TABLE t ({body})");
        let (filled, without) = filled(&schema, &schema, "");
        assert_eq!(without.len(), 0, "{schema}");
        assert!(count(&filled, "t") > 0, "{schema}");
    }
}

#[test]
fn a_row_that_only_one_of_the_schemas_takes_is_in_none() {
    let sized = |size: u8| format!("CREATE TABLE t (key BLOB NOT NULL CHECK (length(key) = {size}))");
    for (before, after) in [
        ("CREATE TABLE t (a CHECK (a IS NULL AND a IS NOT NULL))".to_owned(), "CREATE TABLE t (a)".to_owned()),
        (sized(33), sized(32)),
        (
            "CREATE TABLE t (a INTEGER NOT NULL)".to_owned(),
            "CREATE TABLE t (a INTEGER NOT NULL REFERENCES new (id)); CREATE TABLE new (id INTEGER PRIMARY KEY)"
                .to_owned(),
        ),
    ] {
        let (filled, without) = filled(&before, &after, "");
        assert_eq!(without, BTreeSet::from(["t".to_owned()]), "{before} -> {after}");
        assert_eq!(count(&filled, "t"), 0);
    }
}

#[test]
fn rows_that_the_migrations_made_stay_as_they_are() {
    let schema = "CREATE TABLE t (name TEXT UNIQUE); CREATE TABLE u (id INTEGER PRIMARY KEY CHECK (id = 1), t TEXT)";
    let made = "INSERT INTO t (rowid, name) VALUES (7, 'text 7'), (19, 'it''s 19'); INSERT INTO u VALUES (1, NULL)";
    let (filled, without) = filled(schema, schema, made);
    assert_eq!(without.len(), 0);
    assert_eq!(asked(&filled, "SELECT group_concat(name) FROM t WHERE rowid IN (7, 19)"), "text 7,it's 19");
    assert!(count(&filled, "t") > 2);
    assert_eq!(asked(&filled, "SELECT count(*) || typeof(t) FROM u"), "1null");
}

#[test]
fn what_refers_to_a_table_that_comes_or_goes_refers_to_nothing() {
    let old = "CREATE TABLE old (id INTEGER PRIMARY KEY); CREATE TABLE t (a INTEGER REFERENCES old, b INTEGER)";
    let new = "CREATE TABLE new (id INTEGER PRIMARY KEY); CREATE TABLE t (a INTEGER, b INTEGER REFERENCES new)";
    let (filled, without) = filled(old, new, "");
    assert_eq!(without.len(), 0);
    assert_eq!(asked(&filled, "SELECT count(a) || count(b) || (count(*) > 0) FROM t"), "001");
}

#[test]
fn references_of_several_columns_lead_to_one_row() {
    let schema = "CREATE TABLE p (a TEXT, b INTEGER, PRIMARY KEY (a, b)); \
        CREATE TABLE t (b INTEGER, a TEXT UNIQUE, FOREIGN KEY (a, b) REFERENCES p)";
    let (filled, _) = filled(schema, schema, "");
    assert_eq!(asked(&filled, "SELECT count(*) > 1 FROM t JOIN p USING (a, b)"), "1");
    assert_eq!(asked(&filled, "SELECT count(*) FROM pragma_foreign_key_check"), "0");
}

#[test]
fn no_trigger_runs_and_a_counter_stands_higher_than_any_row() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a); CREATE TABLE log (a CHECK (0)); \
        CREATE TRIGGER noted AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a); END";
    let (filled, without) = filled(schema, schema, "");
    assert_eq!(without, BTreeSet::from(["log".to_owned()]));
    assert_eq!(asked(&filled, "SELECT seq > (SELECT max(id) FROM t) FROM sqlite_sequence WHERE name = 't'"), "1");
    assert!(filled.execute_batch("INSERT INTO t (a) VALUES (1)").is_err(), "the trigger is there again");
}

#[test]
fn what_is_renamed_has_to_fit_under_its_new_name() {
    let renames = Renames {
        tables: vec![("t".to_owned(), "u".to_owned())],
        columns: vec![("u".to_owned(), "a".to_owned(), "b".to_owned())],
    };
    let base = made("CREATE TABLE t (a TEXT NOT NULL)");
    let wanted = made("CREATE TABLE u (b TEXT NOT NULL CHECK (b LIKE 'sk-%'))");
    let without = fill(&base.connection, &base.schema, &wanted, &renames, &Fills::new()).unwrap();
    assert_eq!(without.len(), 0);
    assert_eq!(asked(&base.connection, "SELECT min(a LIKE 'sk-%') FROM t"), "1");
    assert_eq!(count(&wanted.connection, "u"), 0, "the wanted schema's database is as it was");
}

#[test]
fn a_column_that_told_rows_apart_tells_them_apart_again_after_the_downgrade() {
    for lost in ["code TEXT NOT NULL DEFAULT '' UNIQUE", "code TEXT NOT NULL", "code TEXT NOT NULL DEFAULT 'x'"] {
        let index = if lost.ends_with("UNIQUE") { "" } else { "CREATE UNIQUE INDEX by_code ON t (code);" };
        let before = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {lost}); {index}");
        let proposal = proposed(&before, "CREATE TABLE t (id INTEGER PRIMARY KEY)");
        assert_eq!(proposal.unproved.len(), 0, "{lost}");
        assert!(proposal.invented.values().all(|value| value.contains("row_number")), "{lost}");
    }
}

#[test]
fn a_reference_of_several_columns_is_found_again_by_those_that_are_left() {
    let before = "CREATE TABLE p (a INTEGER, b INTEGER, UNIQUE (a, b)); \
        CREATE TABLE t (a INTEGER NOT NULL, b INTEGER NOT NULL, FOREIGN KEY (a, b) REFERENCES p (a, b))";
    let after = "CREATE TABLE p (a INTEGER, b INTEGER, UNIQUE (a, b)); CREATE TABLE t (b INTEGER NOT NULL)";
    let proposal = proposed(before, after);
    assert_eq!(proposal.unproved.len(), 0);
}

fn proposed(before: &str, after: &str) -> Proposal {
    let said = Said { no_others: true, ..Said::default() };
    let terms = Terms { order: ColumnOrder::Any, minimum: SqliteVersion::default(), version_table: VERSION_TABLE };
    match propose(&made(before), &made(after), &said, &Fills::new(), &terms).unwrap() {
        Outcome::Proposal(proposal) => *proposal,
        other => panic!("{other:?}"),
    }
}

fn filled(before: &str, after: &str, rows: &str) -> (Connection, BTreeSet<String>) {
    let (base, wanted) = (made(before), made(after));
    base.connection.execute_batch(rows).unwrap();
    let without = fill(&base.connection, &base.schema, &wanted, &Renames::default(), &Fills::new()).unwrap();
    (base.connection, without)
}

fn made(sql: &str) -> State {
    let connection = scratch::empty().unwrap();
    connection.execute_batch(sql).unwrap();
    State::of(connection, VERSION_TABLE).unwrap()
}

fn count(connection: &Connection, table: &str) -> i64 {
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

fn asked(connection: &Connection, sql: &str) -> String {
    connection.query_row(&format!("SELECT CAST(({sql}) AS TEXT)"), [], |row| row.get(0)).unwrap()
}
