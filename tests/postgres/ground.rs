//! The ground of pages that are run on a server: each project has databases of its own there, which are emptied with it.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use build_support::checksum::Digest;
use postgres::{Client, NoTls, SimpleQueryMessage};

use crate::pages::ground::{Databases, Ground, Kind, Session, fed};
use crate::server::{self, Server};

/// A server as a ground.
#[derive(Clone)]
pub struct OnServer {
    socket: PathBuf,
    programs: PathBuf,
}

impl OnServer {
    pub fn of(server: &Server) -> Self {
        Self { socket: server.socket().to_owned(), programs: server.programs.clone() }
    }

    /// A session in a database of the server.
    pub fn session(&self, name: &str) -> Client {
        server::config(&self.socket, name).connect(NoTls).unwrap()
    }

    /// The URL of a database of the server, whether it is there or not.
    pub fn url_of(&self, name: &str) -> String {
        format!("postgres://postgres@{}/{name}", self.socket.display().to_string().replace('/', "%2F"))
    }
}

/// Databases that were emptied, by the socket of their server: to make one takes hundreds of files, to empty it a few.
static EMPTIED: Mutex<BTreeMap<PathBuf, Vec<String>>> = Mutex::new(BTreeMap::new());

impl OnServer {
    /// The name of a database with nothing in it.
    fn empty_database(&self) -> String {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let emptied = EMPTIED.lock().unwrap().get_mut(&self.socket).and_then(Vec::pop);
        emptied.unwrap_or_else(|| {
            let name = format!("p{}", MADE.fetch_add(1, Ordering::Relaxed));
            self.session("postgres").batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
            self.mark(&name);
            name
        })
    }

    /// One of a given name.
    fn empty_database_called(&self, name: &str) {
        let emptied = EMPTIED.lock().unwrap().get_mut(&self.socket).and_then(Vec::pop);
        let made = match emptied {
            Some(other) => format!("ALTER DATABASE {other} RENAME TO {name}"),
            None => format!("CREATE DATABASE {name}"),
        };
        self.session("postgres").batch_execute(&made).unwrap();
    }

    /// Writes a database's name where the copies that rehearsals make of it have it too: a copy is set as its source is.
    fn mark(&self, name: &str) {
        let mark = format!("ALTER DATABASE {name} SET application_name = 'from {name}'");
        self.session("postgres").batch_execute(&mark).unwrap();
    }

    /// Empties a database for the next project. What its test may have done to it beyond its schemas, it has to undo.
    fn give_back(&self, name: String) -> Result<(), postgres::Error> {
        server::config(&self.socket, &name).connect(NoTls)?.batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid();
             SET client_min_messages = warning;
             DO $$ DECLARE it name; BEGIN
                 FOR it IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
                 LOOP EXECUTE format('DROP SCHEMA %I CASCADE', it); END LOOP;
             END $$;
             CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC;
             COMMENT ON SCHEMA public IS 'standard public schema';
             DO $$ BEGIN ALTER SCHEMA public OWNER TO pg_database_owner;
             EXCEPTION WHEN undefined_object THEN GRANT CREATE ON SCHEMA public TO PUBLIC; END $$;",
        )?;
        EMPTIED.lock().unwrap().entry(self.socket.clone()).or_default().push(name);
        Ok(())
    }
}

impl Ground for OnServer {
    fn databases(&self, _: &Path) -> Box<dyn Databases> {
        static PROJECTS: AtomicUsize = AtomicUsize::new(0);
        let many = format!("many{}", PROJECTS.fetch_add(1, Ordering::Relaxed));
        Box::new(OfServer { server: self.clone(), names: Mutex::default(), many })
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Database, Kind::Schema]
    }
}

/// The databases of one project.
struct OfServer {
    server: OnServer,
    names: Mutex<BTreeMap<String, String>>,
    /// What the names of many databases of one kind begin with, and no other project's.
    many: String,
}

/// What stands between a database and a schema of it, in a URL and in the name that a page has for the schema.
const SCHEMA: &str = "?schema=";

/// A database, and the schema of it that is meant.
fn place(database: &str) -> (&str, Option<&str>) {
    database.split_once(SCHEMA).map_or((database, None), |(database, schema)| (database, Some(schema)))
}

impl OfServer {
    /// The name on the server of what the configuration knows by another one. It is taken when it is first asked for.
    fn name(&self, database: &str) -> String {
        let mut names = self.names.lock().unwrap();
        names.entry(database.to_owned()).or_insert_with(|| self.server.empty_database()).clone()
    }

    fn open(&self, database: &str) -> Client {
        let (database, schema) = place(database);
        let mut client = self.server.session(&self.name(database));
        if let Some(schema) = schema {
            client.batch_execute(&format!("SET search_path = {schema}")).unwrap();
        }
        client
    }

    /// All rows as lines.
    fn lines(client: &mut Client, query: &str) -> Result<Vec<Vec<String>>, postgres::Error> {
        let told = client.simple_query(query)?.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL").to_owned()).collect())
            }
            _ => None,
        });
        Ok(told.collect())
    }

    /// The first value of each row.
    fn first_values(client: &mut Client, query: &str) -> Result<Vec<String>, String> {
        let rows = Self::lines(client, query).map_err(|error| format!("{error:?}"))?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next()).collect())
    }
}

impl Drop for OfServer {
    fn drop(&mut self) {
        // One that cannot be emptied, on a server that a test has stopped, is left to end with its server.
        for name in
            std::mem::take(self.names.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)).into_values()
        {
            let _ = self.server.give_back(name);
        }
    }
}

const OWN: &str = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";

impl Databases for OfServer {
    fn url(&self, database: &str) -> String {
        let (database, schema) = place(database);
        let url = self.server.url_of(&self.name(database));
        schema.map_or(url.clone(), |schema| format!("{url}{SCHEMA}{schema}"))
    }

    fn own(&self, database: &str) -> String {
        format!("{{ url = \"{}\", shared = false }}", self.url(database))
    }

    fn absolute(&self, database: &str) -> String {
        self.url(database)
    }

    fn shown(&self, database: &str) -> String {
        self.url(database)
    }

    fn list(&self, database: &str, query: &str) -> Result<Vec<String>, String> {
        Self::first_values(&mut self.open(database), query)
    }

    fn execute(&self, database: &str, statements: &str) -> Result<(), String> {
        self.open(database).batch_execute(statements).map_err(|error| format!("{error:?}"))
    }

    fn tables(&self, database: &str) -> Vec<String> {
        let tables = format!(
            "SELECT relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace \
             WHERE relkind = 'r' AND {OWN} AND relname <> '_cargo_migrate' ORDER BY relname COLLATE \"C\""
        );
        self.list(database, &tables).unwrap()
    }

    fn columns(&self, database: &str, table: &str) -> Vec<String> {
        let columns = format!(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('{table}') AND attnum > 0 AND NOT attisdropped \
             ORDER BY attnum"
        );
        self.list(database, &columns).unwrap()
    }

    fn is_untouched(&self, database: &str) -> bool {
        let things =
            format!("SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace WHERE {OWN}");
        self.list(database, &things).unwrap() == ["0"]
    }

    fn is_empty(&self, database: &str) -> bool {
        self.is_untouched(database)
    }

    fn state(&self, database: &str) -> String {
        let mut client = self.open(database);
        let columns = format!(
            "SELECT n.nspname, relname, relkind, attname, format_type(atttypid, atttypmod), attnotnull \
             FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace LEFT JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 \
             WHERE {OWN} ORDER BY 1, 2, attnum"
        );
        let constraints =
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid <> 0 ORDER BY 1, 2";
        let mut state = Self::lines(&mut client, &columns).unwrap();
        state.extend(Self::lines(&mut client, constraints).unwrap());
        let mut tables: Vec<(String, String)> = state
            .iter()
            .filter(|row| row[2..].first().is_some_and(|kind| kind == "r"))
            .map(|row| (row[0].clone(), row[1].clone()))
            .collect();
        tables.dedup();
        for (schema, table) in tables {
            let rows = format!("SELECT t::text FROM \"{schema}\".\"{table}\" AS t ORDER BY 1");
            state.extend(Self::lines(&mut client, &rows).unwrap());
        }
        state.iter().map(|row| row.join("|")).collect::<Vec<_>>().join("\n")
    }

    fn all(&self) -> Vec<String> {
        let known: Vec<String> = self.names.lock().unwrap().keys().cloned().collect();
        known.iter().map(|database| self.state(database)).collect()
    }

    fn schema(&self, database: &str) -> String {
        // Not everybody keeps it beside the server.
        let beside = self.server.programs.join("pg_dump");
        let mut dump = Command::new(if beside.is_file() { beside } else { "pg_dump".into() });
        dump.arg("--schema-only").arg("--exclude-table=_cargo_migrate").arg("-h").arg(&self.server.socket);
        let output = dump.args(["-U", "postgres", &self.name(database)]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        // Newer versions put a word of chance around what they print.
        text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
    }

    fn occupied(&self, database: &str) -> Box<dyn Any> {
        let mut digest = Digest::new("cargo-migrate lock 1");
        let (of, schema) = place(database);
        for part in [self.name(of).as_str(), schema.unwrap_or("public"), "_cargo_migrate"] {
            digest.part(part.as_bytes());
        }
        let key = u64::from_str_radix(&digest.finish()[..16], 16).unwrap().cast_signed();
        let mut other = self.open(database);
        let taken = Self::lines(&mut other, &format!("SELECT pg_try_advisory_lock({key})")).unwrap();
        assert_eq!(taken, [["t"]]);
        Box::new(other)
    }

    fn as_a_living_run(&self, database: &str) -> Box<dyn Any> {
        self.occupied(database)
    }

    fn under_way(&self) -> &'static str {
        "`the tests`) migrates this database"
    }

    fn dialect(&self) -> &'static str {
        "postgres"
    }

    fn has_schema_reader(&self) -> bool {
        false
    }

    fn no(&self) -> &'static str {
        "false"
    }

    fn named(&self, name: &str) -> String {
        format!("public.{name}")
    }

    fn compares_rows(&self) -> bool {
        false
    }

    fn counted(&self, line: &str) -> String {
        let (place, what) = line.split_once(": ").unwrap();
        let (_, after) = what.split_once(" after ").unwrap();
        format!("{place}: the values are not what they were after {after}")
    }

    fn is_sound(&self, _: &str) -> bool {
        // The files are the server's to look after.
        true
    }

    fn by_shell(&self, database: &str, script: &str) -> (bool, String) {
        let beside = self.server.programs.join("psql");
        let mut shell = Command::new(if beside.is_file() { beside } else { "psql".into() });
        shell.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-f", "-", "-h"]).arg(&self.server.socket);
        shell.args(["-d", &self.name(database)]);
        fed(shell, script)
    }

    fn tenant(&self, kind: Kind, number: usize) -> String {
        if kind == Kind::Schema {
            self.execute("tenants", &format!("CREATE SCHEMA tenant_{number:04}")).unwrap();
            return format!("tenants{SCHEMA}tenant_{number:04}");
        }
        let name = format!("{}_{number:04}", self.many);
        self.server.empty_database_called(&name);
        self.names.lock().unwrap().insert(name.clone(), name.clone());
        name
    }

    fn tenants(&self, kind: Kind, numbers: &str) -> String {
        match kind {
            Kind::Schema => format!("{}{SCHEMA}tenant_{numbers}", self.url("tenants")),
            _ => self.server.url_of(&format!("{}_{numbers}", self.many)),
        }
    }

    fn after_a_kill(&self, database: &str) {
        // The server takes back what it had not heard the end of as soon as it sees that nobody is there.
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND application_name = 'cargo-migrate'";
        let start = Instant::now();
        while self.list(database, sessions).unwrap() != ["0"] {
            assert!(start.elapsed() < Duration::from_secs(120), "the session of a killed run lives");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn size(&self, database: &str) -> u64 {
        self.list(database, "SELECT pg_database_size(current_database())").unwrap()[0].parse().unwrap()
    }

    fn kill(&self, database: &str, run: &mut Child) -> bool {
        const SESSIONS: &str = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let mut beside = self.open(database);
        let mut count = |which: &str| Self::lines(&mut beside, &format!("SELECT count(*) {SESSIONS} {which}")).unwrap();
        // Who has a number of its own has changed something.
        let wrote = count("AND backend_xid IS NOT NULL") != [["0"]];
        run.kill().unwrap();
        run.wait().unwrap();
        // The server notices when it has something to say to the one who is dead.
        let start = Instant::now();
        while count("") != [["0"]] {
            assert!(start.elapsed() < Duration::from_secs(100), "the session of a killed run stays");
            std::thread::sleep(Duration::from_millis(5));
        }
        wrote
    }

    fn at_home(&self) -> Vec<(&'static str, PathBuf)> {
        vec![("PGHOST", self.server.socket.clone()), ("PGUSER", "postgres".into())]
    }

    fn session(&self, database: &str) -> Session {
        let mut client = self.open(database);
        Box::new(move |statement| Self::first_values(&mut client, statement))
    }

    fn is_half_written(&self, database: &str) -> bool {
        let writing =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL";
        self.list(database, writing).unwrap() != ["0"]
    }

    fn dangling(&self) -> [&'static str; 2] {
        ["error[sql-error]", "violates foreign key constraint"]
    }

    fn copies(&self) -> Vec<String> {
        let marks: Vec<String> =
            self.names.lock().unwrap().values().map(|name| format!("'application_name=from {name}'")).collect();
        let copies = format!(
            "SELECT datname FROM pg_database AS d JOIN pg_db_role_setting ON setdatabase = d.oid AND setrole = 0 \
             WHERE datname LIKE 'cargo\\_migrate\\_rehearsal\\_%' AND setconfig && ARRAY[{}]::text[] ORDER BY datname",
            marks.join(", ")
        );
        let rows = Self::lines(&mut self.server.session("postgres"), &copies).unwrap();
        rows.into_iter().flatten().collect()
    }

    fn is_at(&self, copy: &str, statement: &str) -> bool {
        let at = format!(
            "SELECT FROM pg_stat_activity WHERE datname = '{copy}' AND state = 'active' AND strpos(query, $${statement}$$) > 0"
        );
        !Self::lines(&mut self.server.session("postgres"), &at).unwrap().is_empty()
    }

    fn is_living(&self, copy: &str) -> bool {
        let lock = format!(
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = (hashtext('{copy}')::bigint & 4294967295)"
        );
        !Self::lines(&mut self.server.session("postgres"), &lock).unwrap().is_empty()
    }

    fn take_copy(&self, place: &str, database: &str) {
        let copy = place.strip_prefix("the database `").unwrap().split_once('`').unwrap().0;
        let name = self.name(database);
        let mut server = self.server.session("postgres");
        server.batch_execute(&format!("DROP DATABASE {name}")).unwrap();
        server.batch_execute(&format!("ALTER DATABASE {copy} RENAME TO {name}")).unwrap();
        self.server.mark(&name);
    }
}
