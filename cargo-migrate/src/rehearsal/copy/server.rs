//! The copy of a database on a server: a database of its own beside it.
//!
//! Its name and its comment say whose it is, and a lock of the session that has made it says that the rehearsal is under
//! way. What has both the name and the comment and no lock was left by a process that was killed. `like` is what makes it
//! the same as the source besides its content.

mod like;

use build_support::problem::{Code, Problem};
use migrate_runtime::connection::DatabaseError;
use migrate_runtime::driver::postgres::{quoted, text};
use migrate_runtime::runner::database_problem;
use migrate_runtime::server::ServerUrl;
use postgres::Client;

use self::like::{Facts, facts, owners};
use super::Start;
use super::transfer::Transfer;
use crate::app::{App, Opened};
use crate::failure::{Failure, Result};
use crate::live::server::{self as live, REHEARSALS, rows, run};
use crate::pg_tools::{PgTools, Version};
use crate::project::Database;
use crate::rehearsal::interrupts::{Interrupts, Leftover};

/// A copy cannot be made on the server.
pub(crate) const NO_COPY: Code = Code("no-copy");

const COMMENT: &str = "the copy of a rehearsal of cargo migrate: dropped at its end, or by the next one";
const KEPT: &str = "the copy of a rehearsal of cargo migrate, kept by --keep";

/// The first half of the number of the lock that says that a rehearsal is under way; the second is the name's hash.
const LOCK: i32 = 0x6D69_6772;

/// A database that was made for a rehearsal, with the one through which it is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    through: ServerUrl,
    name: String,
}

impl Made {
    /// Drops it over a connection of its own. What cannot be dropped is left to the next rehearsal.
    pub(crate) fn drop_now(&self) {
        if let Ok(mut client) = live::open_again(&self.through) {
            let _ = dropped(&mut client, &self.name);
        }
    }
}

/// A database that is thrown away.
pub struct ServerCopy {
    made: Made,
    server: ServerUrl,
    /// The database that says what its sessions are set to.
    like: Database,
    /// The session that holds the lock, and drops the database.
    holder: Client,
    tools: PgTools,
    version: Version,
    keep: bool,
    interrupts: Interrupts,
}

impl std::fmt::Debug for ServerCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCopy").field("made", &self.made).field("keep", &self.keep).finish_non_exhaustive()
    }
}

impl ServerCopy {
    /// Makes the copy. What is there is read only.
    pub(in crate::rehearsal) fn make(
        app: App<'_>,
        opened: &Opened,
        start: Start<'_>,
        interrupts: &Interrupts,
    ) -> Result<Self> {
        let (Start::Of(like) | Start::Cloned(like) | Start::Beside(like)) = start else {
            return Err(Problem::new(Code("internal"), "a copy on a server was asked for without a server").into());
        };
        let Some(source) = like.server() else {
            return Err(Problem::new(Code("internal"), "a copy on a server was asked for of a file").into());
        };
        let blamed = |error: &DatabaseError| Failure::from(like.blamed(database_problem(error)));
        let (mut holder, through) = live::open_beside(source).map_err(|error| blamed(&error))?;
        let asked = facts(&mut holder, source).map_err(|error| blamed(&error))?;
        let tools = PgTools::find(app.context, Some(asked.version))?;
        sweep(&mut holder);
        let clone =
            asked.is_there && (matches!(start, Start::Cloned(_)) || matches!(start, Start::Of(_)) && like.scratch);
        let filled = asked.is_there && !matches!(start, Start::Beside(_));
        let made = Made { through, name: asked.name.clone() };
        let cloned = interrupts.guarding(|| {
            let cloned = create(&mut holder, like, source, &asked, start, clone)?;
            Ok::<_, Failure>((Leftover::Database(Box::new(made.clone())), cloned))
        })?;
        // From here on it is dropped whatever happens.
        let mut copy = Self {
            server: source.with_database(&made.name),
            made,
            like: like.clone(),
            holder,
            tools,
            version: asked.version,
            keep: false,
            interrupts: interrupts.clone(),
        };
        if asked.is_there {
            like::set_as(&mut copy.holder, &copy.made.name, source).map_err(|error| blamed(&error))?;
        }
        if filled && !cloned {
            copy.fill(opened, source)?;
        } else if !filled {
            let made = like::make_home(&mut copy.open()?);
            made.map_err(|error| blamed(&error))?;
        }
        Ok(copy)
    }

    /// Opens it for a run.
    pub(in crate::rehearsal) fn open(&self) -> Result<Client> {
        live::open_for_writing(&self.like, &self.server, false)
    }

    /// Where it is.
    pub(in crate::rehearsal) fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// The programs that fit its server.
    pub(in crate::rehearsal) fn tools(&self) -> &PgTools {
        &self.tools
    }

    /// The server's version.
    pub(in crate::rehearsal) fn version(&self) -> Version {
        self.version
    }

    /// The role that its sessions have, where it is not the user's own.
    pub(in crate::rehearsal) fn role(&self) -> Option<&str> {
        self.like.session.role.as_deref()
    }

    /// Leaves it where it is: no rehearsal takes it for its own any more.
    pub(in crate::rehearsal) fn keep(&mut self) -> Result<String> {
        commented(&mut self.holder, &self.made.name, KEPT)
            .map_err(|error| self.like.blamed(database_problem(&error)))?;
        self.keep = true;
        Ok(self.made.name.clone())
    }

    fn fill(&mut self, opened: &Opened, source: &ServerUrl) -> Result<()> {
        let blamed = |error: &DatabaseError| Failure::from(self.like.blamed(database_problem(error)));
        let asked =
            live::open_for_reading(&self.like, source)?.map(|mut client| rows(&mut client, &owners())).transpose();
        let asked = asked.map_err(|error| blamed(&error))?.unwrap_or_default();
        let says = |at: usize| asked.first().and_then(|row| row.get(at)).is_some_and(|it| it == "t");
        let (superuser, owners, no_public) = (says(0), says(1), says(2));
        if no_public {
            run(&mut self.open()?, "DROP SCHEMA public").map_err(|error| blamed(&error))?;
        }
        let transfer = Transfer {
            tools: &self.tools,
            role: self.role().filter(|_| !superuser),
            owners: superuser || owners,
            wait: opened.wait,
        };
        Ok(transfer.run(source, &self.server).map_err(|problem| self.like.blamed(problem))?)
    }
}

impl Drop for ServerCopy {
    fn drop(&mut self) {
        if !self.keep && dropped(&mut self.holder, &self.made.name).is_err() {
            // Its session may be lost.
            self.made.drop_now();
        }
        self.interrupts.forget(&Leftover::Database(Box::new(self.made.clone())));
    }
}

/// Makes the database, and writes down whose it is; gives whether it has all that the source has.
fn create(
    client: &mut Client,
    like: &Database,
    source: &ServerUrl,
    asked: &Facts,
    start: Start<'_>,
    clone: bool,
) -> Result<bool> {
    let name = quoted(&asked.name);
    let refused = |error: &DatabaseError| Failure::from(not_made(like, error));
    // Only who belongs to the role may hand it something.
    let owner = like.session.role.as_deref().filter(|_| !asked.options.contains(" OWNER "));
    let owner = owner.map(|role| format!(" OWNER {}", quoted(role))).unwrap_or_default();
    let mut cloned = false;
    if clone {
        let sql = format!("CREATE DATABASE {name} TEMPLATE {}{owner}", quoted(source.database()));
        match run(client, &sql) {
            Ok(()) => cloned = true,
            // Somebody uses it, or it is another's: unless it was asked for, it is copied in the other way.
            Err(_) if matches!(start, Start::Of(_)) => {}
            Err(error) => return Err(refused(&error)),
        }
    }
    if !cloned {
        run(client, &format!("CREATE DATABASE {name} TEMPLATE template0{}{owner}", asked.options))
            .map_err(|error| refused(&error))?;
    }
    // What others may not read where it comes from they cannot read here either.
    let said = commented(client, &asked.name, COMMENT)
        .and_then(|()| run(client, &format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")));
    said.map_err(|error| {
        let _ = dropped(client, &asked.name);
        refused(&error)
    })?;
    Ok(cloned)
}

fn not_made(like: &Database, error: &DatabaseError) -> Problem {
    match error.sqlstate() {
        "42501" => like
            .blamed(Problem::new(NO_COPY, format!("the copy cannot be made: {}", error.message)))
            .note("a rehearsal works on a database of its own, on the same server")
            .help("let the user make databases: `ALTER ROLE … CREATEDB`")
            .help("or rehearse with a user who may, by another URL: `-d URL`"),
        "55006" => like
            .blamed(Problem::new(NO_COPY, format!("the copy cannot be made: {}", error.message)))
            .help("leave `--template` out: then it may be in use"),
        _ => like.blamed(database_problem(error)),
    }
}

/// Drops what processes that have ended have left. A lock that is free stays free, so that the comment which is read after it
/// is the last one: within one statement the lock would be seen as it is now and the comment as it was when that began, and
/// a copy would be taken for a leftover that has been kept in between.
fn sweep(client: &mut Client) {
    let free = format!(
        "SELECT d.datname FROM pg_database AS d WHERE starts_with(d.datname, '{REHEARSALS}') \
         AND pg_has_role(d.datdba, 'MEMBER') \
         AND NOT EXISTS (SELECT FROM pg_locks AS l WHERE l.locktype = 'advisory' AND l.classid::bigint = {LOCK} \
         AND l.objsubid = 2 AND l.objid::bigint = (hashtext(d.datname)::bigint & 4294967295))"
    );
    for name in live::column(client, &free).unwrap_or_default() {
        let comment =
            format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = {}", text(&name));
        if live::value(client, &comment).is_ok_and(|comment| comment.as_deref() == Some(COMMENT)) {
            // What cannot be dropped is in nobody's way.
            let _ = dropped(client, &name);
        }
    }
}

/// Drops a database with whoever is connected to it.
fn dropped(client: &mut Client, name: &str) -> Result<(), DatabaseError> {
    if Version::of_server(client)?.major >= 13 {
        return run(client, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name)));
    }
    rows(client, &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}", text(name)))?;
    run(client, &format!("DROP DATABASE IF EXISTS {}", quoted(name)))
}

fn commented(client: &mut Client, name: &str, words: &str) -> Result<(), DatabaseError> {
    run(client, &format!("COMMENT ON DATABASE {} IS {}", quoted(name), text(words)))
}
