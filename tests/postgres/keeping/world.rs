//! A project whose database is on the server, and what tests of its backups ask of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Project, Ran};
use crate::server::{Database, Server, programs};

/// A table whose rows a number is counted by, as migrations make it.
pub const TODOS: &str = "-- migrate:parent base\n-- migrate:up\nCREATE TABLE todos (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title TEXT NOT NULL, \
    priority BIGINT NOT NULL DEFAULT 0);\n-- migrate:down\nDROP TABLE todos;\n";

/// What else a schema may have, each thing with a value or a text of its own.
pub const EVERYTHING: &str = "\
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
pub struct World<'s> {
    pub project: Project,
    pub database: Database<'s>,
}

impl<'s> World<'s> {
    pub fn new(server: &'s Server) -> Self {
        Self::of(server, "")
    }

    /// With more of the database's settings.
    pub fn of(server: &'s Server, settings: &str) -> Self {
        let world = Self { project: Project::new(), database: server.database() };
        let url = world.url(&world.database.name);
        let manifest = world.project.read("Cargo.toml");
        let dev = format!("dev = {{ url = \"{url}\"{settings} }}");
        world.project.write("Cargo.toml", &manifest.replace("dev = \"sqlite:app.db\"", &dev));
        world.project.migration("a1", TODOS);
        world
    }

    /// With more of the package's settings.
    pub fn configured(&self, settings: &str) {
        let manifest = self.project.read("Cargo.toml");
        let table = "[package.metadata.migrate]\n";
        assert!(manifest.contains(table), "{manifest}");
        self.project.write("Cargo.toml", &manifest.replace(table, &format!("{table}{settings}")));
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@/{database}?host={}", self.database.server.socket().display())
    }

    /// With its first revision and a few rows.
    pub fn filled(server: &'s Server) -> Self {
        let world = Self::new(server);
        world.fill();
        world
    }

    pub fn fill(&self) {
        self.run(&["upgrade", "--yes"]).done();
        self.does("INSERT INTO todos (title) VALUES ('milk'), ('bread')");
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.project.run_bounded(arguments)
    }

    pub fn does(&self, sql: &str) {
        self.database.connect().batch_execute(sql).unwrap();
    }

    /// The database as `pg_dump` writes it, without what changes from one run of it to the next.
    pub fn dump(&self) -> String {
        dump(self.database.server, &self.database.name)
    }

    /// The backups, in the order of their names.
    pub fn backups(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.project.path(".migrate/backups")) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.file_name().is_some_and(|name| name != ".lock"));
        files.sort();
        files
    }

    /// A program of the test's own.
    pub fn script(&self, name: &str, text: &str) {
        let name = format!("scripts/{name}");
        self.project.write(&name, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(self.project.path(&name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The search path in which these come first.
    pub fn scripts_first(&self) -> String {
        format!("{}:{}", self.project.path("scripts").display(), std::env::var("PATH").unwrap())
    }

    pub fn sessions(&self) -> String {
        let ask =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.database.ask(ask)
    }
}

/// One of the programs that come with the server, or those of its clients alone.
pub fn client(program: &str) -> PathBuf {
    let beside = programs().unwrap().join(program);
    if beside.is_file() { beside } else { PathBuf::from(program) }
}

pub fn dump(server: &Server, database: &str) -> String {
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
pub fn same(one: &str, other: &str) {
    let differ = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert_eq!(differ, None);
    assert_eq!(one.len(), other.len());
}

#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} never came to be");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn rows_of(archive: &Path, table: &str) -> String {
    let mut command = Command::new(client("pg_restore"));
    let output = command.args(["--data-only", "--table", table, "-f", "-"]).arg(archive).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The program that `pg_dump` on PATH leads to in the end, whatever stands before it.
pub fn real(program: &str) -> PathBuf {
    let found = client(program);
    if found.is_absolute() {
        return found;
    }
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file()).unwrap()
}
