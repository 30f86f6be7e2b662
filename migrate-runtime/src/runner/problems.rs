//! What a database answers, and what a run would leave behind, as problems with a way out.

use build_support::problem::{Place, Problem, printable};
use build_support::token::tokens_of;

use super::section::Section;
use super::{BUSY, DATABASE, FORBIDDEN_STATEMENT, FOREIGN_KEYS, HISTORY_MOVED, SQL_ERROR};
use crate::connection::{DatabaseError, ErrorKind};
use crate::driver::Driver;
use crate::plan::Step;
use crate::sqlite::StoreError;
use crate::statement::Statement;

pub(super) fn broken_keys(broken: &[String], unit: &[Step]) -> Problem {
    const SHOWN: usize = 20;
    let mut problem = Problem::new(
        FOREIGN_KEYS,
        format!(
            "the run would leave {} that point{} to nothing",
            counted(broken.len(), "reference"),
            if broken.len() == 1 { "s" } else { "" }
        ),
    );
    for line in broken.iter().take(SHOWN) {
        problem = problem.note(line.clone());
    }
    if broken.len() > SHOWN {
        problem = problem.note(format!("and {} more", broken.len() - SHOWN));
    }
    let ids: Vec<&str> = unit.iter().take(5).map(|step| step.id.as_str()).collect();
    problem
        .note(format!("everything was rolled back ({}{})", ids.join(", "), if unit.len() > 5 { ", …" } else { "" }))
        .help("delete or mend these rows in the migration, before the rows that they point to go")
        .help("where its deletes are to cascade, say `-- migrate:foreign-keys on` in the migration's header")
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("{count} {what}") } else { format!("{count} {what}s") }
}

pub(super) fn statement_problem(error: &DatabaseError, section: &Section, statement: &Statement<'_>) -> Problem {
    if matches!(
        error.kind,
        ErrorKind::Busy
            | ErrorKind::Locked
            | ErrorKind::Full
            | ErrorKind::Io
            | ErrorKind::ReadOnly
            | ErrorKind::Corrupt
            | ErrorKind::NotADatabase
            | ErrorKind::Disconnected
    ) {
        return database_problem(error).at(section.place(statement.span.clone()));
    }
    if let Some(problem) = cancelled(error) {
        return problem.at(section.place(statement.span.clone()));
    }
    let span = match error.offset.or_else(|| place_of_word(&error.message, statement.text)) {
        Some(offset) => {
            let start = statement.span.start + offset;
            let word =
                tokens_of(statement.dialect, section.text.get(start..statement.span.end).unwrap_or_default()).next();
            start..start + word.map_or(1, |token| token.span.len())
        }
        None => statement.span.start..statement.span.end,
    };
    let problem = with_server(Problem::new(SQL_ERROR, printable(&error.message)).at(section.place(span)), error);
    if error.sqlstate() != RIGHT {
        return problem;
    }
    problem
        .help("the statement may be right, and the role lacks a right: let the owner of what is named GRANT it")
        .help("or run as the owner, whom this role has to be a member of: `role = \"OWNER\"` of the database")
}

/// What is wrong once all statements of a section have run.
pub(super) fn end_problem(error: &DatabaseError, section: &Section) -> Problem {
    if error.kind != ErrorKind::Constraint {
        return database_problem(error).at(Place::file(&section.path));
    }
    let problem = Problem::new(SQL_ERROR, printable(&error.message)).at(Place::file(&section.path));
    with_server(problem, error).note("a deferred constraint is checked at the end of the revision that breaks it")
}

/// The SQLSTATE of what a role may not do.
const RIGHT: &str = "42501";

/// The SQLSTATE of what cannot be dropped, since something else depends on it.
const DEPENDED_ON: &str = "2BP01";

/// Whether a statement was refused for what depends on the thing that it drops.
pub(super) fn is_depended_on(problem: &Problem) -> bool {
    problem.notes().iter().any(|note| note.strip_prefix("SQLSTATE ") == Some(DEPENDED_ON))
}

/// Whether a statement was refused for a right of the role's, so that there may be nothing to mend in it.
pub(super) fn lacks_right(problem: &Problem) -> bool {
    problem.notes().iter().any(|note| note.strip_prefix("SQLSTATE ") == Some(RIGHT))
}

/// Adds what a server says besides, and what helps with the errors that one transaction cannot avoid.
fn with_server(mut problem: Problem, error: &DatabaseError) -> Problem {
    let Some(server) = &error.server else { return problem };
    if !error.sqlstate().is_empty() {
        problem = problem.note(sqlstate(error.sqlstate()));
    }
    for said in [&server.detail, &server.context].into_iter().flatten() {
        problem = problem.note(printable(said));
    }
    if let Some(hint) = &server.hint {
        // What it says of CASCADE takes along what somebody else needs: nobody is advised to do that.
        problem = match error.sqlstate() {
            DEPENDED_ON => problem.note(format!("the server's own HINT: {}", printable(hint))),
            _ => problem.help(printable(hint)),
        };
    }
    match error.sqlstate() {
        "55P04" => problem
            .help("let the revision that adds the value say `-- migrate:no-transaction`: it is committed before the next one")
            .help("or put the use into a revision of its own, and commit between the two: with `--per-revision`, or by two runs"),
        "55006" => problem
            .help("check the rows that wait before this statement: `SET CONSTRAINTS ALL IMMEDIATE;`")
            .help("or put the statement into the next revision: a revision's rows are checked at its end")
            .help("or commit between the rows and the statement: two revisions with `--per-revision`, or `-- migrate:no-transaction`"),
        "25001" => problem.help("let the revision say `-- migrate:no-transaction` in its header"),
        _ => problem,
    }
}

fn sqlstate(state: &str) -> String {
    format!("SQLSTATE {}", printable(state))
}

/// Whether it was refused because rows would refer to none: found at the end of what was run, or told by a server of a
/// statement.
#[must_use]
pub fn breaks_references(problem: &Problem) -> bool {
    // A violation of a foreign key, and of one with RESTRICT since PostgreSQL 18.
    problem.code() == FOREIGN_KEYS || ["23503", "23001"].iter().any(|state| problem.notes().contains(&sqlstate(state)))
}

/// Names the rows that stand in a statement's way, where they are known.
pub(super) fn with_rows(problem: Problem, rows: Vec<String>) -> Problem {
    if rows.is_empty() {
        return problem;
    }
    rows.into_iter()
        .fold(problem, Problem::note)
        .help("mend these rows first, or put an UPDATE or a DELETE that does it before this statement")
}

/// Names what interrupted statements have left behind, where the database can still be asked.
#[must_use]
pub fn with_left_behind(driver: &mut dyn Driver, problem: Problem) -> Problem {
    let left = driver.left_behind().unwrap_or_default();
    let told = |problem: Problem, removes: &String| {
        problem
            .note("an index that was not made to its end is here, of no use to any query, and is kept up by each write")
            .help(format!("remove it before it is made again: `{}`", printable(removes)))
    };
    left.iter().fold(problem, told)
}

/// Where the word is that a syntax error names, for libraries that do not tell SQLite's own answer. A word that stands
/// there twice tells nothing.
fn place_of_word(message: &str, statement: &str) -> Option<usize> {
    let word = message.strip_prefix("near \"")?.strip_suffix("\": syntax error")?;
    let at = statement.find(word)?;
    (statement.rfind(word) == Some(at)).then_some(at)
}

/// The same of a query of a verify section, which the driver lets write nothing.
pub(super) fn query_problem(error: &DatabaseError, section: &Section, query: &Statement<'_>) -> Problem {
    if error.kind != ErrorKind::ReadOnly {
        return statement_problem(error, section, query);
    }
    Problem::new(FORBIDDEN_STATEMENT, "a verify section only asks, and this writes")
        .at(section.place(query.span.clone()))
        .note(printable(&error.message))
        .help("write in the up section, and ask here without the function that does it")
}

/// That a server was told to give a statement up, which is not the statement's fault. Of a server that speaks another
/// language it is not known by whom.
fn cancelled(error: &DatabaseError) -> Option<Problem> {
    if error.sqlstate() != "57014" {
        return None;
    }
    let message = match &error.message {
        said if said.contains("statement timeout") => "the statement took longer than `statement_timeout` lets it",
        said if said.contains("user request") => "somebody has cancelled the statement on the server",
        _ => "the server was told to cancel the statement",
    };
    let problem = Problem::new(DATABASE, message).note(printable(&error.message));
    let problem = with_server(problem, error).note("what was not committed is rolled back");
    Some(if error.message.contains("user request") {
        problem.help("ask who has cancelled it (`pg_cancel_backend`) and why, then run it again")
    } else {
        problem
            .help("give it more time: `statement-timeout = SECONDS` of the database in the configuration")
            .help("or for this revision alone: `SET LOCAL statement_timeout = 'TIME';` before the statement")
    })
}

/// A database's own error as a problem with a way out.
#[must_use]
pub fn database_problem(error: &DatabaseError) -> Problem {
    let message = printable(&error.message);
    if let Some(problem) = cancelled(error) {
        return problem;
    }
    if error.server.is_some() {
        return with_server(server_problem(error.kind, message), error);
    }
    match error.kind {
        ErrorKind::Busy => busy("another process holds the database locked").note(message),
        ErrorKind::Locked => Problem::new(DATABASE, "a statement that is still open holds a table of the database")
            .note(message)
            .help("let go of this connection's open statements and rows before the migrations run")
            .help("or give the migrations a connection of their own"),
        ErrorKind::ReadOnly => Problem::new(DATABASE, "the database can only be read")
            .note(message)
            .help("see who may write the file and its folder"),
        ErrorKind::Full => Problem::new(DATABASE, "there is no room left for the database")
            .note(message)
            .help("make room (or raise `max_page_count`) and run the command again; nothing was changed"),
        ErrorKind::Io => Problem::new(DATABASE, "the disk refused to read or write the database")
            .note(message)
            .note("what was not committed is rolled back, at the latest when the database is opened again")
            .help("see that the disk is sound and has no quota or limit of file sizes in the way, then run it again")
            .help("a network's file system often cannot lock: keep the database on a local disk"),
        ErrorKind::NotADatabase => Problem::new(DATABASE, "this file is no SQLite database")
            .note(message)
            .help("see that the database's URL names the right file"),
        ErrorKind::Corrupt => Problem::new(DATABASE, "the database is damaged")
            .note(message)
            .help("restore a backup; `PRAGMA integrity_check` says what is damaged"),
        ErrorKind::CannotOpen => Problem::new(DATABASE, "the database cannot be opened")
            .note(message)
            .help("see that its folder exists and may be written"),
        ErrorKind::Disconnected => disconnected(message),
        ErrorKind::MissingTable | ErrorKind::Constraint | ErrorKind::Other => Problem::new(DATABASE, message),
    }
}

/// The same of a server, whose files and disk are not this program's.
fn server_problem(kind: ErrorKind, message: String) -> Problem {
    match kind {
        ErrorKind::Busy => busy("another session holds what this run needs").note(message),
        ErrorKind::ReadOnly => Problem::new(DATABASE, "this session can only read")
            .note(message)
            .help("connect to the primary server, and see that `default_transaction_read_only` is off"),
        ErrorKind::Full => Problem::new(DATABASE, "the server has no room left")
            .note(message)
            .help("make room on the server and run it again; what was not committed is rolled back"),
        ErrorKind::Disconnected => disconnected(message),
        _ => Problem::new(DATABASE, message),
    }
}

/// That somebody else is in the way, who will be done.
pub(super) fn busy(message: impl Into<String>) -> Problem {
    Problem::new(BUSY, message).help("wait for it and run the command again, or wait longer with `--wait SECONDS`")
}

/// How ways out end that lead to the same command.
const AGAIN: &str = ", and run it again";

/// A way out without its end, for what is not run again before a person has settled what it has left.
pub(super) fn without_again(help: &str) -> String {
    let ends = [AGAIN, ", then run it again", " and run it again", " and run the command again"];
    let end = ends.iter().filter_map(|end| help.find(end)).min();
    help[..end.unwrap_or(help.len())].to_owned()
}

fn disconnected(message: String) -> Problem {
    Problem::new(DATABASE, "the connection to the database is lost")
        .note(message)
        .note("the server rolls back what was not committed")
        .help(format!("see that the server runs and can be reached{AGAIN}: it goes on from where the database is"))
}

/// Whether a statement names a column that a table has not, in SQLite's words or by a server's code.
fn lacks_column(error: &DatabaseError) -> bool {
    error.sqlstate() == "42703" || error.message.starts_with("no such column")
}

/// Whether an error of the version table says that the table, or the row that it is about, is not there.
pub(super) fn is_gone(error: &StoreError) -> bool {
    match error {
        StoreError::Database(error) => error.kind == ErrorKind::MissingTable,
        StoreError::Gone(_) => true,
        StoreError::Damaged(_) => false,
    }
}

/// An error of the version table as a problem.
#[must_use]
pub fn store_problem(error: &StoreError) -> Problem {
    match error {
        StoreError::Database(error) if lacks_column(error) => {
            Problem::new(DATABASE, "the version table was not made by this tool: it has other columns")
                .note(printable(&error.message))
                .help("name another one: `version-table = \"NAME\"` in `[package.metadata.migrate]`")
        }
        StoreError::Database(error) if error.sqlstate() == "42501" => database_problem(error).help(
            "or name a place where this role may work, `version-table = \"SCHEMA.TABLE\"`, or the role that may, \
                 `role = \"ROLE\"` of the database",
        ),
        StoreError::Database(error) => database_problem(error),
        StoreError::Gone(what) => Problem::new(HISTORY_MOVED, printable(what))
            .note("somebody has changed the version table meanwhile")
            .help("see what `cargo migrate status` says, and run the command again"),
        StoreError::Damaged(what) => {
            Problem::new(DATABASE, format!("the version table is damaged: {}", printable(what)))
                .help("restore a backup, or mend the row by hand")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::ServerWords;

    #[test]
    fn what_is_not_the_statements_fault_has_a_way_out_and_the_place_where_it_happened() {
        let text = "CREATE TABLE a (b);\nDROP TABLE b;\n".to_owned();
        let section = Section { path: "migrations/a1.sql".into(), span: 0..text.len(), text };
        let statements = crate::statement::split(&section.text, section.span.clone());
        for (code, words) in [(6, "still open"), (10, "disk"), (13, "room"), (5, "wait")] {
            let error = DatabaseError::of_sqlite(Some(code), "what SQLite says");
            let lines = statement_problem(&error, &section, &statements[1]).plain_lines().join("\n");
            for word in [words, "--> migrations/a1.sql:2:1", "note: what SQLite says", "help: "] {
                assert!(lines.contains(word), "{word} is not in\n{lines}");
            }
        }
    }

    #[test]
    fn a_reference_that_is_refused_is_known_whoever_refuses_it() {
        let section = Section { path: "migrations/a1.sql".into(), span: 0..9, text: "SELECT 1;".to_owned() };
        let statements = crate::statement::split(&section.text, section.span.clone());
        for (state, known) in [("23503", true), ("23505", false), ("42703", false)] {
            let words = ServerWords { sqlstate: state.to_owned(), ..ServerWords::default() };
            let error = DatabaseError { server: Some(Box::new(words)), ..DatabaseError::of_sqlite(None, "refused") };
            assert_eq!(breaks_references(&statement_problem(&error, &section, &statements[0])), known, "{state}");
        }
        assert!(breaks_references(&Problem::new(FOREIGN_KEYS, "a row points to nothing")));
    }

    #[test]
    fn without_an_offset_a_syntax_error_is_at_the_word_that_it_names_if_there_is_one_such() {
        let message = |word: &str| format!("near \"{word}\": syntax error");
        let statement = "SELECT a FORM b -- a";
        for (message, place) in [
            (message("FORM"), Some(9)),
            (message("a"), None),
            (message("c"), None),
            ("no such column: b".to_owned(), None),
        ] {
            assert_eq!(place_of_word(&message, statement), place, "{message}");
        }
    }
}
