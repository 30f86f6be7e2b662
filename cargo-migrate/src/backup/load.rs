//! A backup in the place of what a server's database has: all of it in one transaction of `psql`'s.
//!
//! The script ends with its own COMMIT, which `pg_restore` writes after everything else. So whatever is killed, the
//! command, `pg_restore` or `psql`, the server has not been told to keep anything.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use build_support::problem::{Problem, printable};
use migrate_runtime::connection::{DatabaseError, ErrorKind};
use migrate_runtime::driver::postgres::{PostgresDriver, quoted, text};
use migrate_runtime::driver::{Driver as _, Enforcement};
use migrate_runtime::runner::database_problem;
use migrate_runtime::server::ServerUrl;
use postgres::Client;

use super::dump::{Content, names};
use super::emptied::Scope;
use super::restore::{NOT_RESTORED, Replaced};
use super::{Why, make};
use crate::app::{App, Opened};
use crate::failure::{Failure, Result};
use crate::live;
use crate::live::server::{column, patience, value};
use crate::pg_tools::{FAILED, PgTools, Program, Running, Version, is_lock_timeout};
use crate::project::Database;

/// What `psql` says when it holds what nobody may write meanwhile.
const READY: &str = "cargo-migrate: ready";
/// What is in the error by which the transaction ends where something else is there than was kept.
const MOVED: &str = "cargo-migrate: moved";
/// How often it is tried to drop a database that was made in vain, and how long is waited in between.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);
/// How many things of others a message lists.
const MOST_SHOWN: usize = 8;

/// Puts an archive in the place of what the database has.
pub(super) fn load(
    app: App<'_>,
    opened: &Opened,
    (database, server): (&Database, &ServerUrl),
    path: &Path,
    content: &Content,
    create: bool,
) -> Result<Replaced> {
    let (client, made) = live::server::open_or_make(database, server, create)?;
    let loaded = into(app, opened, (database, server), (client, made), (path, content));
    if made && loaded.is_err() {
        // Sessions that have ended here may take a moment to end there.
        let gone = (0..TRIES).any(|tried| {
            if tried > 0 {
                std::thread::sleep(PAUSE);
            }
            live::server::unmake(server).is_ok()
        });
        if !gone {
            app.shell.warning(format!("the database `{}` was made, and is left empty", printable(server.database())));
        }
    }
    loaded
}

fn into(
    app: App<'_>,
    opened: &Opened,
    (database, server): (&Database, &ServerUrl),
    (mut client, made): (Client, bool),
    (path, content): (&Path, &Content),
) -> Result<Replaced> {
    let blamed = |error: DatabaseError| Failure::from(database.blamed(database_problem(&error)));
    let table = &opened.project.settings().version_table;
    if PostgresDriver::new(&mut client, table).is_under_way().map_err(blamed)? {
        return Err(held(database, "a run is under way").into());
    }
    let tools = PgTools::find(app.context, Some(Version::of_server(&mut client).map_err(blamed)?))?;
    let tools = tools.with_psql(app.context)?;
    // The run's lock belongs to the session, and no transaction of it is in the way of what is dropped.
    let mut driver = PostgresDriver::new(&mut client, table);
    let mut waiting = || app.shell.status("Waiting", "for another process that holds the database");
    driver.begin(Enforcement::Immediate, opened.wait, &mut waiting).map_err(blamed)?;
    driver.rollback();
    let mut looking = live::server::open_for_writing(database, server, false)?;
    let scope = Scope { schema: server.schema().map(str::to_owned), extensions: extensions(content) };
    refuse_others(&scope, &mut looking, database)?;
    let list = list(app, &scope, &mut looking, content).map_err(blamed)?;
    let beginning = beginning(&scope, &mut looking, database, opened.wait).map_err(blamed)?;
    let mut failed = |problem: Problem| not_restored(&problem, database, &mut driver, made);
    let mut session = Session::start(&tools, server).map_err(&mut failed)?;
    if !session.holds(&beginning) {
        return Err(failed(session.stopped()));
    }
    // Writers wait from here on, and readers, as the backup is, go on.
    let has_any = scope.is_anything(&mut looking).map_err(blamed)?;
    drop(looking);
    let kept = if has_any { Some(make(app, opened, database, Why::Automatic, None)?) } else { None };
    session.say(&format!("{}{}\\gexec\n{}\\gexec\n", unmoved(&scope), scope.statements(), scope.default_privileges()));
    if !session.feed(&tools, path, &list).map_err(&mut failed)? {
        return Err(failed(session.stopped()));
    }
    session.finish().map_err(&mut failed)?;
    Ok(Replaced { kept, aside: Vec::new() })
}

/// Refuses where somebody else owns what would have to be dropped.
pub fn refuse_others(scope: &Scope, client: &mut Client, database: &Database) -> Result<()> {
    let others = scope.of_others(client).map_err(|error| Failure::from(database.blamed(database_problem(&error))))?;
    if others.is_empty() {
        return Ok(());
    }
    let message = format!("{database} has what this role does not own, and so may not drop");
    let mut problem = Problem::new(NOT_RESTORED, message);
    for other in others.iter().take(MOST_SHOWN) {
        problem = problem.note(printable(other));
    }
    if others.len() > MOST_SHOWN {
        problem = problem.note("and more");
    }
    Err(problem
        .help("connect as a role that owns all of it, or is a member of those that do, or a superuser: `-d URL`")
        .into())
}

/// That others hold what a restore needs.
fn held(database: &Database, why: &str) -> Problem {
    let error = DatabaseError { server: Some(Box::default()), ..DatabaseError::new(ErrorKind::Busy, why) };
    database.blamed(database_problem(&error))
}

fn not_restored(why: &Problem, database: &Database, driver: &mut PostgresDriver<'_>, made: bool) -> Failure {
    let was = if made { "the database that was made for it is dropped again" } else { "the database is as it was" };
    if is_lock_timeout(why.message()) {
        let problem = driver.in_the_way().into_iter().fold(held(database, why.message()), Problem::note);
        return problem.note(was).into();
    }
    if why.notes().iter().any(|line| line.contains(MOVED)) {
        let moved = format!("somebody has made or dropped something in {database} while it was kept");
        return database
            .blamed(Problem::new(NOT_RESTORED, moved))
            .note(was)
            .note("whatever is replaced is kept first, and this is not in what was kept")
            .help("stop the programs that do so, and run the command again")
            .into();
    }
    let message = format!("the backup cannot be put in the database's place: {}", why.message());
    let problem = database.blamed(Problem::new(NOT_RESTORED, message));
    let problem = why.notes().iter().fold(problem, |problem, note| problem.note(note));
    problem
        .note(was)
        .help("see what the server says; where it names a role or an extension, it has to be there first")
        .into()
}

/// The extensions that an archive has.
fn extensions(content: &Content) -> Vec<String> {
    let name = |line: &String| Some(line.split_once(" EXTENSION - ")?.1.trim_end().to_owned());
    content.listing.iter().filter(|line| !line.contains(" COMMENT - ")).filter_map(name).collect()
}

/// What of an archive is restored, as `pg_restore --use-list` takes it, and whether each thing gets its owner back.
struct List {
    lines: String,
    owners: bool,
}

/// Leaves out what stays where it is: schemas, and what is said of extensions, which their owner alone may say.
fn list(
    app: App<'_>,
    scope: &Scope,
    client: &mut Client,
    content: &Content,
) -> std::result::Result<List, DatabaseError> {
    let schemas = scope.staying(client)?.into_iter().map(|name| format!(" SCHEMA - {name} "));
    let extensions = scope.staying_extensions(client)?.into_iter().map(|name| format!(" COMMENT - EXTENSION {name} "));
    let left_out: Vec<String> = schemas.chain(extensions).collect();
    let is_made = |line: &&String| !left_out.iter().any(|thing| line.contains(thing.as_str()));
    let roles = column(client, "SELECT rolname FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER')")?;
    let ends: Vec<String> = roles.iter().map(|role| format!(" {role}")).collect();
    // What has no owner of its own ends with the space that would stand before it.
    let is_possible = |line: &&String| line.ends_with(' ') || ends.iter().any(|end| line.ends_with(end.as_str()));
    // Nobody else may say them, whoever is to own what is restored.
    let (unsaid, made): (Vec<&String>, Vec<&String>) = content
        .listing
        .iter()
        .filter(is_made)
        .partition(|line| default_privileges(line).is_some() && !is_possible(line));
    for line in unsaid {
        let Some((things, of)) = default_privileges(line) else { continue };
        let of = printable(of);
        app.shell.warning(format!(
            "left out, since this role is no member of `{of}`: {}; `GRANT {}` to it lets them be restored",
            printable(things),
            quoted(&of)
        ));
    }
    let impossible: Vec<String> = made
        .iter()
        .filter(|line| !is_possible(line))
        .filter_map(|line| line.rsplit(' ').next().map(str::to_owned))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    if !impossible.is_empty() {
        app.shell.warning(format!(
            "all that is restored belongs to this role now: it may not give anything to {}, as the backup has it",
            names(&impossible)
        ));
    }
    let lines = made.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    Ok(List { lines, owners: impossible.is_empty() })
}

/// What a line of an archive's list says of default privileges, and whose they are: `… DEFAULT ACL shop DEFAULT PRIVILEGES
/// FOR TABLES owner`.
fn default_privileges(line: &str) -> Option<(&str, &str)> {
    let (_, entry) = line.split_once(" DEFAULT ACL ")?;
    let at = entry.find("DEFAULT PRIVILEGES FOR ")?;
    // What they are for is words in capitals.
    let things = &entry[at..];
    let end = "DEFAULT PRIVILEGES FOR ".len();
    let kinds = ["TABLES", "SEQUENCES", "FUNCTIONS", "TYPES", "SCHEMAS", "LARGE OBJECTS"];
    let kind = kinds.into_iter().find(|kind| things[end..].starts_with(&format!("{kind} ")))?;
    Some((&things[..end + kind.len()], &things[end + kind.len() + 1..]))
}

/// The beginning of the transaction: its settings, and the locks that keep writers out.
fn beginning(
    scope: &Scope,
    client: &mut Client,
    database: &Database,
    wait: Duration,
) -> std::result::Result<String, DatabaseError> {
    let path = value(client, "SHOW search_path")?.unwrap_or_default();
    let path = text(&path);
    let role = database.session.role.as_deref();
    let role = role.map(|role| format!("SET LOCAL ROLE {};\n", quoted(role))).unwrap_or_default();
    // `pg_restore` begins a transaction, too, of which the server warns.
    Ok(format!(
        "SET client_min_messages = error;\nBEGIN;\n{role}SELECT set_config('search_path', {path}, true);\n\
         SET LOCAL standard_conforming_strings = on;\nSET LOCAL statement_timeout = 0;\n\
         SET LOCAL idle_in_transaction_session_timeout = 0;\nSET LOCAL lock_timeout = {wait};\n\
         {locks}\\gexec\n{there} AS there\\gset\n\\echo {ready}\n",
        locks = scope.locks(),
        there = format_args!("SELECT ({})", scope.what_is_there()),
        ready = READY,
        wait = patience(wait),
    ))
}

/// What ends the transaction, unless the same things are there as at its beginning: writers wait for the locks on what was
/// there, and nobody for those on what was not. Nothing but a value that is none ends one without a language for procedures.
fn unmoved(scope: &Scope) -> String {
    let moved = text(&format!("SELECT {}::pg_catalog.int4", text(MOVED)));
    format!("SELECT CASE WHEN ({}) = :'there' THEN 'SELECT' ELSE {moved} END\\gexec\n", scope.what_is_there())
}

/// A `psql` that does what it is told until its input ends. It is killed where it is not finished, and the server takes
/// back what it has done.
struct Session {
    running: Running,
    input: ChildStdin,
}

impl Session {
    fn start(tools: &PgTools, server: &ServerUrl) -> std::result::Result<Self, Problem> {
        let mut command = tools.command(Program::Psql, Some(server));
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = PgTools::start(Program::Psql, command)?;
        let input = running.input().ok_or_else(|| Problem::new(FAILED, "`psql` takes no input"))?;
        Ok(Self { running, input })
    }

    /// Why it has ended too early. What cannot be written to it is explained by what it has said.
    fn stopped(self) -> Problem {
        self.finish().err().unwrap_or_else(|| Problem::new(FAILED, "`psql` has ended before its time"))
    }

    fn say(&mut self, sql: &str) {
        let _ = self.input.write_all(sql.as_bytes()).and_then(|()| self.input.flush());
    }

    /// Begins the transaction; gives whether it holds its locks.
    fn holds(&mut self, beginning: &str) -> bool {
        self.say(beginning);
        let Some(output) = self.running.output() else { return false };
        let mut output = BufReader::new(output);
        let mut line = String::new();
        while output.read_line(&mut line).is_ok_and(|read| read > 0) {
            if line.trim_end() == READY {
                // What queries of the script give is read, so that nothing is held up.
                std::thread::spawn(move || io::copy(&mut output, &mut io::sink()));
                return true;
            }
            line.clear();
        }
        false
    }

    /// Hands over an archive as a script; gives whether all of it was taken.
    fn feed(&mut self, tools: &PgTools, path: &Path, list: &List) -> std::result::Result<bool, Problem> {
        let unwritten = |error: io::Error| Problem::new(FAILED, format!("no temporary file can be made: {error}"));
        let mut file = tempfile::NamedTempFile::new().map_err(unwritten)?;
        file.write_all(list.lines.as_bytes()).and_then(|()| file.flush()).map_err(unwritten)?;
        let mut command = tools.command(Program::Restore, None);
        // Without the first, large objects would be committed on their own.
        command.args(["--single-transaction", "--file=-", "--no-subscriptions"]);
        command.args((!list.owners).then_some("--no-owner")).arg("--use-list").arg(file.path()).arg(path);
        command.stdout(Stdio::piped());
        let mut script = PgTools::start(Program::Restore, command)?;
        let taken = script.output().is_some_and(|mut output| io::copy(&mut output, &mut self.input).is_ok());
        if taken { script.finish().map(|()| true) } else { Ok(false) }
    }

    fn finish(self) -> std::result::Result<(), Problem> {
        drop(self.input);
        self.running.finish()
    }
}
