//! Backups of a server's database: made while it is in use, put back exactly or not at all, and made by themselves before
//! what can lose something.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Project, Ran};
use crate::server::{Database, Server, programs};

tests![
    a_backup_is_made_while_others_write_and_brings_everything_back,
    what_is_replaced_is_kept_and_restoring_can_be_taken_back,
    a_restore_that_fails_in_the_middle_leaves_everything_as_it_was,
    a_restore_that_is_killed_leaves_everything_as_it_was,
    writers_wait_while_a_backup_takes_the_place_of_what_they_write_to,
    what_belongs_to_others_is_not_dropped,
    a_run_under_way_keeps_a_restore_out,
    the_wrong_kind_of_backup_is_refused,
    a_database_that_is_not_there_is_made,
    one_schema_is_kept_and_put_back_by_itself,
    before_what_loses_rows_a_backup_is_made_and_before_nothing_else,
    the_newest_of_those_that_were_made_by_themselves_stay,
    programs_that_are_older_than_the_server_are_passed_over,
    no_program_is_told_of_a_password_where_others_can_read_it,
    of_two_that_hold_the_same_one_stays,
    a_full_disk_leaves_nothing_behind,
    a_protected_database_is_asked_for,
    a_scratch_database_is_emptied_and_begun_anew,
];

/// A table whose rows a number is counted by, as migrations make it.
const TODOS: &str = "-- migrate:parent base\n-- migrate:up\nCREATE TABLE todos (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title TEXT NOT NULL, \
    priority BIGINT NOT NULL DEFAULT 0);\n-- migrate:down\nDROP TABLE todos;\n";

/// What else a schema may have, each thing with a value or a text of its own.
const EVERYTHING: &str = "\
    CREATE SCHEMA shop; CREATE TYPE shop.mood AS ENUM ('sad', 'glad'); CREATE DOMAIN shop.positive AS int CHECK (VALUE > 0);\n\
    CREATE TYPE shop.pair AS (a int, b text); CREATE SEQUENCE shop.numbers START 40;\n\
    CREATE TABLE shop.items (id serial PRIMARY KEY, mood shop.mood, price shop.positive, tags text[], data jsonb, raw bytea);\n\
    CREATE TABLE shop.orders (id int, day date, item int REFERENCES shop.items) PARTITION BY RANGE (day);\n\
    CREATE TABLE shop.orders_new PARTITION OF shop.orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');\n\
    CREATE INDEX items_mood ON shop.items (mood) WHERE price > 3;\n\
    CREATE VIEW shop.glad AS SELECT * FROM shop.items WHERE mood = 'glad';\n\
    CREATE MATERIALIZED VIEW shop.counted AS SELECT mood, count(*) FROM shop.items GROUP BY mood;\n\
    CREATE FUNCTION shop.twice(x int) RETURNS int LANGUAGE sql AS 'SELECT 2 * x';\n\
    CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.price := NEW.price + 1; RETURN NEW; END $$;\n\
    CREATE TRIGGER touched BEFORE UPDATE ON shop.items FOR EACH ROW EXECUTE FUNCTION shop.touch();\n\
    CREATE AGGREGATE shop.total (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');\n\
    CREATE PROCEDURE shop.noop() LANGUAGE sql AS ''; COMMENT ON TABLE shop.items IS 'it''s ours';\n\
    CREATE OPERATOR shop.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);\n\
    CREATE COLLATION shop.plain FROM \"C\"; CREATE STATISTICS shop.both ON mood, price FROM shop.items;\n\
    CREATE TABLE public.\"odd name\" (\"a \"\"b\"\"\" text); INSERT INTO public.\"odd name\" VALUES (E'tab\\there'), (NULL), (E'\\\\.');\n\
    INSERT INTO shop.items (mood, price, tags, data, raw) VALUES ('glad', 5, '{a,\"b c\"}', '{\"x\": 1}', '\\x00ff'), ('sad', 1, NULL, NULL, NULL);\n\
    INSERT INTO shop.orders VALUES (1, '2026-03-04', 1); REFRESH MATERIALIZED VIEW shop.counted; SELECT nextval('shop.numbers');\n\
    SELECT lo_from_bytea(4711, 'a large object'); CREATE PUBLICATION news FOR TABLE shop.items; ALTER TABLE shop.items ENABLE ROW LEVEL SECURITY;\n\
    CREATE POLICY everybody ON shop.items USING (true); CREATE EXTENSION IF NOT EXISTS plpgsql";

/// A project whose database is on the server.
struct World<'s> {
    project: Project,
    database: Database<'s>,
}

impl<'s> World<'s> {
    fn new(server: &'s Server) -> Self {
        Self::of(server, "")
    }

    /// With more of the database's settings.
    fn of(server: &'s Server, settings: &str) -> Self {
        let world = Self { project: Project::new(), database: server.database() };
        let url = world.url(&world.database.name);
        let manifest = world.project.read("Cargo.toml");
        let dev = format!("dev = {{ url = \"{url}\"{settings} }}");
        world.project.write("Cargo.toml", &manifest.replace("dev = \"sqlite:app.db\"", &dev));
        world.project.migration("a1", TODOS);
        world
    }

    fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@/{database}?host={}", self.database.server.socket().display())
    }

    /// With its first revision and a few rows.
    fn filled(server: &'s Server) -> Self {
        let world = Self::new(server);
        world.fill();
        world
    }

    fn fill(&self) {
        self.run(&["upgrade", "--yes"]).done();
        self.does("INSERT INTO todos (title) VALUES ('milk'), ('bread')");
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.project.run_bounded(arguments)
    }

    fn does(&self, sql: &str) {
        self.database.connect().batch_execute(sql).unwrap();
    }

    /// The database as `pg_dump` writes it, without what changes from one run of it to the next.
    fn dump(&self) -> String {
        dump(self.database.server, &self.database.name)
    }

    /// The backups, in the order of their names.
    fn backups(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.project.path(".migrate/backups")) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.file_name().is_some_and(|name| name != ".lock"));
        files.sort();
        files
    }

    /// A program of the test's own.
    fn script(&self, name: &str, text: &str) {
        let name = format!("scripts/{name}");
        self.project.write(&name, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(self.project.path(&name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The search path in which these come first.
    fn scripts_first(&self) -> String {
        format!("{}:{}", self.project.path("scripts").display(), std::env::var("PATH").unwrap())
    }

    fn sessions(&self) -> String {
        let ask =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.database.ask(ask)
    }
}

/// One of the programs that come with the server, or those of its clients alone.
fn client(program: &str) -> PathBuf {
    let beside = programs().unwrap().join(program);
    if beside.is_file() { beside } else { PathBuf::from(program) }
}

fn dump(server: &Server, database: &str) -> String {
    let output = Command::new(client("pg_dump"))
        .args(["-h", server.socket().to_str().unwrap(), "-U", "postgres", database])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What two dumps differ in is shown, and not all that they have.
#[track_caller]
fn same(one: &str, other: &str) {
    let differ = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert_eq!(differ, None);
    assert_eq!(one.len(), other.len());
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} never came to be");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn a_backup_is_made_while_others_write_and_brings_everything_back(server: &Server) {
    let world = World::filled(server);
    world.does(EVERYTHING);
    // Given a program that has written and not committed yet.
    let mut writer = world.database.connect();
    writer.batch_execute("BEGIN; INSERT INTO todos (title) VALUES ('not yet')").unwrap();
    let ran = world.run(&["backup"]).done();
    writer.batch_execute("ROLLBACK").unwrap();
    drop(writer);
    let before = world.dump();
    let [backup] = &world.backups()[..] else { panic!("{:?}", world.backups()) };
    let name = backup.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("dev-") && name.ends_with("Z-a1.dump"), "{name}");
    assert!(ran.out.contains(name));
    assert_eq!(fs::metadata(backup).unwrap().permissions().mode() & 0o777, 0o600);
    world.run(&["backups"]).done().says("by hand").says("a1");
    // When everything is changed, or gone.
    world.does(
        "DROP SCHEMA shop CASCADE; DELETE FROM todos; ALTER TABLE todos DROP COLUMN priority; SELECT lo_unlink(4711);\n\
         CREATE TABLE later (x int); CREATE VIEW seen AS SELECT * FROM later; CREATE SCHEMA newer; CREATE TABLE newer.t (x int);\n\
         CREATE TYPE public.colour AS ENUM ('red'); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    );
    world.run(&["restore", "--yes"]).done().says("a1");
    // Then it is as it was, to the last word.
    same(&world.dump(), &before);
    assert_eq!(world.database.ask("SELECT nextval('shop.numbers')"), "41");
    assert_eq!(world.database.ask("SELECT convert_from(lo_get(4711), 'UTF8')"), "a large object");
    until("the end of all sessions", || world.sessions() == "0");
    world.run(&["status"]).done().says("a1");
}

pub fn what_is_replaced_is_kept_and_restoring_can_be_taken_back(server: &Server) {
    let world = World::filled(server);
    world.run(&["backup"]).done();
    world.does("DELETE FROM todos; CREATE TABLE other (x int); INSERT INTO other VALUES (1)");
    let replaced = world.dump();
    let ran = world.run(&["restore", "--yes", "--format", "json"]).done().json();
    let kept = ran["kept"].as_str().unwrap();
    assert!(kept.ends_with("-auto.dump"), "{kept}");
    assert_eq!(world.database.ask("SELECT count(*) FROM todos"), "2");
    world.run(&["restore", kept, "--yes"]).done();
    assert_eq!(world.dump(), replaced);
}

pub fn a_restore_that_fails_in_the_middle_leaves_everything_as_it_was(server: &Server) {
    let world = World::filled(server);
    // Given a backup that cannot be put back any more: what a row is checked by is not what it was.
    world.does(
        "CREATE FUNCTION fine(x int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN current_setting('app.fine', true) IS NOT NULL; END $$;\n\
         SET app.fine = 'yes'; CREATE TABLE picky (x int CHECK (fine(x))); INSERT INTO picky VALUES (1)",
    );
    world.run(&["backup"]).done();
    world.does("INSERT INTO todos (title) VALUES ('since')");
    let before = world.dump();
    world.run(&["restore", "--yes"]).refused(&["not-restored", "picky", "the database is as it was"]).is_printable();
    assert_eq!(world.dump(), before);
    until("the end of all sessions", || world.sessions() == "0");
    assert_eq!(world.database.advisory_locks(), "0");
}

pub fn a_restore_that_is_killed_leaves_everything_as_it_was(server: &Server) {
    let world = World::filled(server);
    world.does(
        "CREATE FUNCTION slow(x int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN IF current_setting('application_name') <> 'the tests' \
         THEN PERFORM pg_sleep(30); END IF; RETURN true; END $$;\n\
         CREATE TABLE held (x int CHECK (slow(x))); INSERT INTO held VALUES (1)",
    );
    world.run(&["backup"]).done();
    world.does("INSERT INTO todos (title) VALUES ('since')");
    let before = world.dump();
    for victim in ["cargo-migrate", "psql"] {
        let mut child = world.project.command(&["restore", "--yes"]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let sleeping = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        until("the middle", || !world.database.ask(sleeping).is_empty());
        if victim == "psql" {
            let child_of = Command::new("pgrep").args(["-P", &child.id().to_string(), "psql"]).output().unwrap();
            let process = String::from_utf8(child_of.stdout).unwrap();
            assert!(Command::new("kill").args(["-9", process.trim()]).status().unwrap().success());
        } else {
            child.kill().unwrap();
        }
        assert!(!child.wait().unwrap().success());
        // The server notices at the end of what it is doing, and is helped along.
        world.database.ask(&format!("SELECT pg_terminate_backend(pid) FROM ({sleeping}) AS s"));
        until("the end", || world.sessions() == "0");
        assert_eq!(world.dump(), before, "{victim}");
    }
}

pub fn writers_wait_while_a_backup_takes_the_place_of_what_they_write_to(server: &Server) {
    let world = World::filled(server);
    world.run(&["backup"]).done();
    let config = world.database.config();
    let stop = std::sync::atomic::AtomicBool::new(false);
    // Whatever was committed before the restore is in what is kept, and whatever came later in what is there.
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut client = config.connect(postgres::NoTls).unwrap();
            let mut written = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let insert = format!("INSERT INTO todos (title) VALUES ('w{written}')");
                written += i32::from(client.batch_execute(&insert).is_ok());
            }
            written
        });
        until("writing", || world.database.ask("SELECT count(*) > 20 FROM todos") == "t");
        world.run(&["restore", "--yes"]).done();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap()
    });
    let after: i32 = world.database.ask("SELECT count(*) FROM todos WHERE title LIKE 'w%'").parse().unwrap();
    let kept = world.backups().into_iter().find(|path| path.to_str().unwrap().ends_with("-auto.dump")).unwrap();
    let rows = rows_of(&kept, "todos");
    let kept = rows.lines().filter(|line| line.contains("\tw")).count() as i32;
    assert_eq!(kept + after, written, "kept {kept}, there {after}");
}

fn rows_of(archive: &Path, table: &str) -> String {
    let mut command = Command::new(client("pg_restore"));
    let output = command.args(["--data-only", "--table", table, "-f", "-"]).arg(archive).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

pub fn what_belongs_to_others_is_not_dropped(server: &Server) {
    let world = World::filled(server);
    let name = &world.database.name;
    world.run(&["backup"]).done();
    world.does(&format!(
        "CREATE ROLE r_{name} LOGIN; ALTER DATABASE {name} OWNER TO r_{name}; ALTER TABLE _cargo_migrate OWNER TO r_{name}; \
         GRANT ALL ON SCHEMA public TO r_{name}; GRANT ALL ON ALL TABLES IN SCHEMA public TO r_{name}"
    ));
    let before = world.dump();
    let manifest = world.project.read("Cargo.toml");
    world.project.write("Cargo.toml", &manifest.replace("//postgres@", &format!("//r_{name}@")));
    let file = world.backups()[0].to_str().unwrap().to_owned();
    let ran = world.run(&["restore", &file, "--yes"]);
    ran.refused(&["not-restored", "table public.todos, which is owned by postgres"]).is_printable();
    assert_eq!(world.dump(), before);
    // Where it owns all, what was others' becomes its own, which is said.
    world.does(&format!("ALTER TABLE todos OWNER TO r_{name}"));
    world.run(&["restore", &file, "--yes"]).done().says("may not give anything to `postgres`");
    assert_eq!(world.database.ask("SELECT tableowner FROM pg_tables WHERE tablename = 'todos'"), format!("r_{name}"));
    assert_eq!(world.database.ask("SELECT count(*) FROM todos"), "2");
}

pub fn a_run_under_way_keeps_a_restore_out(server: &Server) {
    let world = World::filled(server);
    world.run(&["backup"]).done();
    let before = world.dump();
    world
        .project
        .migration("a2", "-- migrate:parent a1\n-- migrate:up\nSELECT pg_sleep(30);\n-- migrate:down\nSELECT 1;\n");
    let mut child = world.project.command(&["upgrade"]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the run", || world.database.advisory_locks() == "1");
    world.run(&["restore", "--yes", "--wait", "0"]).refused(&["busy"]);
    child.kill().unwrap();
    child.wait().unwrap();
    world.does("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    until("the end", || world.sessions() == "0");
    assert_eq!(world.dump(), before);
}

pub fn the_wrong_kind_of_backup_is_refused(server: &Server) {
    let world = World::filled(server);
    let before = world.dump();
    world.run(&["backup", "--to", "server.backup"]).done();
    world.run(&["-d", "sqlite:app.db", "upgrade", "--create", "base"]);
    rusqlite::Connection::open(world.project.path("app.db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    world.run(&["-d", "sqlite:app.db", "backup", "--to", "file.backup"]).done();
    world.run(&["restore", "file.backup", "--yes"]).refused(&[
        "backup-of-another-kind",
        "a SQLite database",
        "pg_dump",
    ]);
    world.run(&["-d", "sqlite:app.db", "restore", "server.backup", "--yes"]).refused(&[
        "backup-of-another-kind",
        "PostgreSQL",
        "SQLite file",
    ]);
    // One that is cut off, and one that is none.
    let whole = world.project.bytes("server.backup");
    fs::write(world.project.path("cut.dump"), &whole[..whole.len() - 200]).unwrap();
    world.project.write("none.dump", "nothing of the kind");
    for file in ["cut.dump", "none.dump"] {
        world.run(&["restore", file, "--yes"]).refused(&["backup-damaged", "the database is as it was"]).is_printable();
    }
    assert_eq!(world.dump(), before);
    world.run(&["backup", "--to", "server.backup"]).refused(&["backup-exists"]);
}

pub fn a_database_that_is_not_there_is_made(server: &Server) {
    let world = World::filled(server);
    world.run(&["backup", "--to", "b.dump"]).done();
    let name = format!("{}_new", world.database.name);
    let url = world.url(&name);
    world.run(&["-d", &url, "backup"]).refused(&["missing-database"]);
    world.run(&["-d", &url, "restore", "b.dump", "--yes"]).done();
    assert_eq!(dump(server, &name), world.dump());
    assert!(world.backups().is_empty(), "there was nothing to keep");
}

pub fn one_schema_is_kept_and_put_back_by_itself(server: &Server) {
    let world = World::new(server);
    world.does("CREATE SCHEMA one; CREATE SCHEMA two; CREATE TABLE two.t (x int)");
    let url = format!("{}&schema=one", world.url(&world.database.name));
    world.run(&["-d", &url, "upgrade"]).done();
    world.does("INSERT INTO one.todos (title) VALUES ('milk')");
    world.run(&["-d", &url, "backup", "--to", "one.dump"]).done();
    let before = world.dump();
    world.does("DELETE FROM one.todos");
    world.run(&["-d", &url, "restore", "one.dump", "--yes"]).done();
    assert_eq!(world.dump(), before);
}

pub fn before_what_loses_rows_a_backup_is_made_and_before_nothing_else(server: &Server) {
    let world = World::filled(server);
    for (id, up) in [
        ("b1", "CREATE TABLE notes (id int); CREATE INDEX ON todos (title); ALTER TABLE todos ADD COLUMN done bool"),
        ("b2", "DROP TABLE notes"),
        ("b3", "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'; INSERT INTO todos (title) VALUES ('x')"),
    ] {
        let parent = [("b1", "a1"), ("b2", "b1"), ("b3", "b2")].iter().find(|(of, _)| *of == id).unwrap().1;
        world
            .project
            .migration(id, &format!("-- migrate:parent {parent}\n-- migrate:up\n{up};\n-- migrate:down\nSELECT 1;\n"));
        let ran = world.run(&["upgrade"]).done();
        assert!(!ran.err.contains("lose"), "{id}: {}", ran.err);
    }
    assert!(world.backups().is_empty());
    world.project.migration(
        "c1",
        "-- migrate:parent b3\n-- migrate:up\nALTER TABLE todos DROP COLUMN priority;\n-- migrate:down\nSELECT 1;\n",
    );
    let before = world.dump();
    world.run(&["upgrade"]).done().says("it can lose data: `todos.priority` is dropped");
    let [backup] = &world.backups()[..] else { panic!("{:?}", world.backups()) };
    assert!(backup.to_str().unwrap().ends_with("-b3-auto.dump"), "{}", backup.display());
    world.run(&["restore", "--yes"]).done();
    assert_eq!(world.dump(), before);
    world.run(&["downgrade", "base", "--no-backup"]).done();
    assert_eq!(world.backups().len(), 2, "the second is what was replaced");
}

pub fn the_newest_of_those_that_were_made_by_themselves_stay(server: &Server) {
    let world = World::filled(server);
    world.run(&["backup"]).done();
    let by_hand = world.backups();
    for number in 0..7 {
        world.does(&format!("INSERT INTO todos (title) VALUES ('{number}')"));
        world.run(&["stamp", "a1", "--purge"]).done();
    }
    let automatic: Vec<PathBuf> = world.backups().into_iter().filter(|path| !by_hand.contains(path)).collect();
    assert_eq!(automatic.len(), 5, "{automatic:?}");
    assert!(by_hand.iter().all(|path| path.exists()));
}

pub fn programs_that_are_older_than_the_server_are_passed_over(server: &Server) {
    let world = World::filled(server);
    // Given programs of an old version before all others.
    for program in ["pg_dump", "pg_restore", "psql"] {
        world.script(program, "echo 'pg_dump (PostgreSQL) 9.6.24'");
    }
    let mut command = world.project.command(&["backup", "--to", "a.dump"]);
    Ran::of(&command.env("PATH", world.scripts_first()).output().unwrap()).done();
    assert!(world.project.path("a.dump").is_file());
}

pub fn no_program_is_told_of_a_password_where_others_can_read_it(server: &Server) {
    let world = World::filled(server);
    let (password, written) = ("p@ ss'\"\\$`:/é", "p%40%20ss%27%22%5C%24%60%3A%2F%C3%A9");
    // Given programs that write down what they are started with.
    for program in ["pg_dump", "pg_restore", "psql"] {
        let real = real(program);
        world.script(
            program,
            &format!(
                "if [ \"$1\" != --version ]; then printf '%s\\n' \"$0\" \"$@\" >> {log}; printf '%s' \"$PGPASSWORD\" > {word}; fi\nexec {real} \"$@\"",
                log = world.project.path("arguments").display(),
                word = world.project.path(&format!("{program}.password")).display(),
                real = real.display(),
            ),
        );
    }
    let manifest = world.project.read("Cargo.toml");
    world.project.write("Cargo.toml", &manifest.replace("//postgres@", &format!("//postgres:{written}@")));
    let mut said = String::new();
    for arguments in [&["backup"][..], &["restore", "--yes"], &["backups", "-v"], &["restore", "Cargo.toml", "--yes"]] {
        let ran = Ran::of(&world.project.command(arguments).env("PATH", world.scripts_first()).output().unwrap());
        said.push_str(&(ran.out + &ran.err));
    }
    said.push_str(&world.project.read("arguments"));
    assert!(said.contains("--format=custom") && said.contains("--set=ON_ERROR_STOP=1"), "{said}");
    for told in [password, written] {
        assert!(!said.contains(told), "{said}");
    }
    for program in ["pg_dump", "psql"] {
        assert_eq!(world.project.read(&format!("{program}.password")), password);
    }
    for backup in world.backups() {
        assert!(!String::from_utf8_lossy(&fs::read(backup).unwrap()).contains(password));
    }
}

/// The program that `pg_dump` on PATH leads to in the end, whatever stands before it.
fn real(program: &str) -> PathBuf {
    let found = client(program);
    if found.is_absolute() {
        return found;
    }
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file()).unwrap()
}

pub fn of_two_that_hold_the_same_one_stays(server: &Server) {
    let world = World::filled(server);
    world.run(&["backup", "--to", "b.dump"]).done();
    world.does("INSERT INTO todos (title) VALUES ('since')");
    for expected in [1, 2, 2, 2] {
        world.run(&["restore", "b.dump", "--yes"]).done();
        assert_eq!(world.backups().len(), expected, "{:?}", world.backups());
    }
    // The other one is what was there first.
    assert_eq!(rows_of(&world.backups()[0], "todos").lines().filter(|line| line.contains("since")).count(), 1);
}

pub fn a_full_disk_leaves_nothing_behind(server: &Server) {
    let world = World::filled(server);
    // What does not shrink when it is compressed.
    world.does(
        "INSERT INTO todos (title) SELECT encode(sha512(i::text::bytea), 'hex') FROM generate_series(1, 5000) AS i",
    );
    let program = env!("CARGO_BIN_EXE_cargo-migrate");
    let ran = Command::new("sh")
        .args(["-c", &format!("ulimit -f 100; trap '' XFSZ; exec {program} backup")])
        .current_dir(world.project.path("."))
        .output()
        .unwrap();
    Ran::of(&ran).refused(&["backup-failed", "nothing is left of it", "room on the disk"]);
    assert!(world.backups().is_empty(), "{:?}", world.backups());
    // A run that needs one is not begun.
    world
        .project
        .migration("a2", "-- migrate:parent a1\n-- migrate:up\nDELETE FROM todos;\n-- migrate:down\nSELECT 1;\n");
    let ran = Command::new("sh")
        .args(["-c", &format!("ulimit -f 100; trap '' XFSZ; exec {program} upgrade")])
        .current_dir(world.project.path("."))
        .output()
        .unwrap();
    Ran::of(&ran).refused(&["backup-failed", "nothing was run"]);
    assert_eq!(world.database.ask("SELECT count(*) FROM todos"), "5002");
}

pub fn a_protected_database_is_asked_for(server: &Server) {
    let world = World::of(server, ", protected = true");
    world.fill();
    world.run(&["backup"]).done();
    let before = world.dump();
    world.run(&["restore"]).refused(&["not-confirmed", "--yes"]);
    assert_eq!(world.dump(), before);
    world.run(&["restore", "--yes"]).done();
    assert_eq!(world.dump(), before);
}

pub fn a_scratch_database_is_emptied_and_begun_anew(server: &Server) {
    let world = World::of(server, ", scratch = true");
    world.fill();
    world.does(EVERYTHING);
    world.run(&["reset"]).done().says("a1");
    assert_eq!(world.database.tables(), "todos");
    assert_eq!(world.database.ask("SELECT count(*) FROM todos"), "0");
    assert_eq!(world.database.ask("SELECT count(*) FROM pg_namespace WHERE nspname = 'shop'"), "0");
    assert!(world.backups().is_empty());
    // Where it stops in the middle, it is given again.
    world.project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nSELECT 1 / 0;\n-- migrate:down\nSELECT 1;\n");
    world.run(&["reset"]).refused(&["division by zero"]);
    world.project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n");
    world.run(&["reset"]).done();
    assert_eq!(world.database.tables(), "todos");
}
