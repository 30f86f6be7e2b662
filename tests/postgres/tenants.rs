//! `upgrade --each` over the databases of a server, or over the schemas of one: what only a server can be or do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls, SimpleQueryMessage};

use crate::harness::{Project, Ran};
use crate::server::{Server, config};

tests![
    a_role_that_may_have_few_sessions_upgrades_many,
    a_schema_that_no_pattern_fits_gets_nothing,
    schemas_of_several_databases_are_upgraded,
    what_is_dropped_meanwhile_fails_alone,
    one_that_takes_no_more_sessions_fails_alone,
    names_of_any_kind_are_found_and_no_password_is_told,
];

/// How many tenants there are.
const MANY: usize = 30;

/// Databases, or schemas of one, whose names begin with what no other test's do.
pub struct Tenants<'s> {
    server: &'s Server,
    pub project: Project,
    /// The database that schemas are in, and what the names of databases begin with.
    pub own: String,
    in_schemas: bool,
}

impl<'s> Tenants<'s> {
    /// So many databases with nothing in them.
    pub fn databases(server: &'s Server, count: usize) -> Self {
        let own = server.database().name;
        let tenants = Self { server, project: project(), own, in_schemas: false };
        let mut client = tenants.open("postgres");
        (0..count)
            .for_each(|number| client.batch_execute(&format!("CREATE DATABASE {}", tenants.name(number))).unwrap());
        tenants
    }

    /// So many schemas of one database.
    pub fn schemas(server: &'s Server, count: usize) -> Self {
        let own = server.database().name;
        let tenants = Self { server, project: project(), own, in_schemas: true };
        let mut client = tenants.open(&tenants.own);
        (0..count).for_each(|number| client.batch_execute(&format!("CREATE SCHEMA {}", tenants.name(number))).unwrap());
        tenants
    }

    pub fn name(&self, number: usize) -> String {
        if self.in_schemas { format!("tenant_{number:02}") } else { format!("{}_{number:02}", self.own) }
    }

    /// A URL of the server with what comes behind the host.
    pub fn url(&self, user: &str, rest: &str) -> String {
        format!("postgres://{user}@{}/{rest}", self.server.socket().to_str().unwrap().replace('/', "%2F"))
    }

    pub fn url_of(&self, number: usize) -> String {
        let name = self.name(number);
        self.url("postgres", &if self.in_schemas { format!("{}?schema={name}", self.own) } else { name })
    }

    pub fn pattern(&self) -> String {
        self.url("postgres", &format!("{}{}", self.own, if self.in_schemas { "?schema=tenant_*" } else { "_*" }))
    }

    pub fn each(&self, more: &[&str]) -> Ran {
        self.project.run_bounded(&[&["upgrade", "--each", &self.pattern()], more].concat())
    }

    pub fn open(&self, database: &str) -> Client {
        config(self.server.socket(), database).connect(NoTls).unwrap()
    }

    /// A session in a tenant.
    pub fn enter(&self, number: usize) -> Client {
        if !self.in_schemas {
            return self.open(&self.name(number));
        }
        let mut client = self.open(&self.own);
        client.batch_execute(&format!("SET search_path = {}", self.name(number))).unwrap();
        client
    }

    fn state(&self, number: usize) -> (String, String) {
        state(&mut self.enter(number))
    }

    #[track_caller]
    pub fn is_upgraded(&self, number: usize) {
        assert_eq!(self.state(number), ("a1,a2".to_owned(), "a1,a2".to_owned()), "{number}");
    }

    #[track_caller]
    pub fn is_as_before(&self, number: usize) {
        assert_eq!(ask(&mut self.enter(number), TABLES), "", "{number}");
    }
}

const TABLES: &str = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'r' \
    AND relnamespace = current_schema()::regnamespace";

/// Two revisions of which each writes its name into `log`.
fn project() -> Project {
    let project = Project::new();
    let first = "CREATE TABLE log (number serial, what text);\nINSERT INTO log (what) VALUES ('a1');\n";
    project.migration("a1", &format!("-- migrate:parent base\n-- migrate:up\n{first}"));
    let second = "CREATE TABLE t_a2 (x int);\nINSERT INTO log (what) VALUES ('a2');\n";
    project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:up\n{second}"));
    project
}

/// The first value that a query gives, as text.
pub fn ask(client: &mut Client, query: &str) -> String {
    let rows = client.simple_query(query).unwrap();
    let value = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    value.unwrap_or_default()
}

/// Which revisions the version table names, and which ones have left their row.
fn state(client: &mut Client) -> (String, String) {
    let rows = ask(client, "SELECT string_agg(revision, ',' ORDER BY sequence) FROM _cargo_migrate");
    (rows, ask(client, "SELECT string_agg(what, ',' ORDER BY number) FROM log"))
}

/// The document's databases by their URLs, each with how it ended there.
fn results(ran: &Ran) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let document = ran.json();
    let databases = document["databases"].as_array().unwrap();
    databases.iter().map(|one| (text(&one["path"]), text(&one["result"]))).collect()
}

/// None is kept for later.
pub fn a_role_that_may_have_few_sessions_upgrades_many(server: &Server) {
    let tenants = Tenants::databases(server, MANY);
    let role = format!("{}_few", tenants.own);
    let mut client = tenants.open("postgres");
    client.batch_execute(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 8")).unwrap();
    for number in 0..MANY {
        client.batch_execute(&format!("ALTER DATABASE {} OWNER TO {role}", tenants.name(number))).unwrap();
    }
    let pattern = tenants.url(&role, &format!("{}_*", tenants.own));
    tenants.project.run_bounded(&["upgrade", "--each", &pattern, "--jobs", "2"]).done();
    (0..MANY).for_each(|number| tenants.is_upgraded(number));
    // The one that is named without what the pattern asks for is none of them.
    assert_eq!(ask(&mut tenants.open(&tenants.own), TABLES), "");
}

pub fn a_schema_that_no_pattern_fits_gets_nothing(server: &Server) {
    let tenants = Tenants::schemas(server, 3);
    let mut client = tenants.open(&tenants.own);
    client.batch_execute("CREATE SCHEMA other").unwrap();
    tenants.each(&[]).done();
    (0..3).for_each(|number| tenants.is_upgraded(number));
    // Each has its tables and its version table, and nobody else has one.
    let tables = "SELECT string_agg(DISTINCT tables || ' ' || schemas, ', ') FROM (SELECT tables, count(*) AS schemas FROM \
        (SELECT relnamespace, string_agg(relname, ' ' ORDER BY relname) AS tables FROM pg_class \
        JOIN pg_namespace AS n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname !~ '^pg_' \
        AND nspname <> 'information_schema' GROUP BY relnamespace) AS one GROUP BY tables) AS all_of_them";
    assert_eq!(ask(&mut client, tables), "_cargo_migrate log t_a2 3");
}

pub fn schemas_of_several_databases_are_upgraded(server: &Server) {
    let tenants = Tenants::databases(server, 3);
    for (number, schemas) in [(0, vec!["a", "b"]), (1, vec!["a"]), (2, vec![])] {
        let mut client = tenants.enter(number);
        schemas.iter().for_each(|schema| client.batch_execute(&format!("CREATE SCHEMA mine_{schema}")).unwrap());
    }
    let pattern = tenants.url("postgres", &format!("{}_*?schema=mine_%3F", tenants.own));
    let ran = tenants.project.run_bounded(&["upgrade", "--each", &pattern, "--format", "json"]).done();
    let url = |number, schema| format!("{}?schema=mine_{schema}", tenants.url("postgres", &tenants.name(number)));
    let found: Vec<String> = results(&ran).into_keys().collect();
    assert_eq!(found, [url(0, "a"), url(0, "b"), url(1, "a")]);
    // One that has none is not passed over in silence.
    let left_out = ran.json()["left_out"].clone();
    assert_eq!(left_out, serde_json::json!([format!("{}?schema=mine_%3F", tenants.url("postgres", &tenants.name(2)))]));
    tenants.is_as_before(2);
    let mut client = tenants.enter(0);
    client.batch_execute("SET search_path = mine_b").unwrap();
    assert_eq!(state(&mut client).0, "a1,a2");
}

pub fn what_is_dropped_meanwhile_fails_alone(server: &Server) {
    for (tenants, what) in [(Tenants::databases(server, 4), "database"), (Tenants::schemas(server, 4), "schema")] {
        // Given the first of them cannot go on, since somebody holds what it needs.
        tenants.each(&["a1"]).done();
        let mut holder = tenants.enter(0);
        holder.batch_execute("BEGIN; LOCK TABLE log").unwrap();
        let dropped = tenants.name(2);
        let drop = format!("DROP {what} {dropped}{}", if what == "schema" { " CASCADE" } else { "" });
        let ran = std::thread::scope(|scope| {
            let run = scope.spawn(|| tenants.each(&["--jobs", "1"]));
            let start = Instant::now();
            while ask(&mut holder, "SELECT count(*) FROM pg_locks WHERE relation = 'log'::regclass AND NOT granted")
                == "0"
            {
                assert!(start.elapsed() < Duration::from_secs(60));
            }
            // When another one is dropped, after it was found.
            let place = if what == "schema" { tenants.own.as_str() } else { "postgres" };
            tenants.open(place).batch_execute(&drop).unwrap();
            holder.batch_execute("ROLLBACK").unwrap();
            run.join().unwrap()
        });
        // Then that is said, and the others are upgraded.
        let gone = format!("error[missing-database]: this {what} is gone since the pattern found it");
        ran.refused(&["upgrade of 3 of 4 databases, 1 failed", &gone, &tenants.url_of(2)]);
        [0, 1, 3].into_iter().for_each(|number| tenants.is_upgraded(number));
        assert!(!tenants.each(&[]).done().err.contains(&dropped));
    }
}

pub fn one_that_takes_no_more_sessions_fails_alone(server: &Server) {
    let tenants = Tenants::databases(server, 4);
    let role = format!("{}_role", tenants.own);
    let mut client = tenants.open("postgres");
    client.batch_execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    for number in 0..4 {
        let limit = if number == 1 { 0 } else { -1 };
        let name = tenants.name(number);
        client.batch_execute(&format!("ALTER DATABASE {name} OWNER TO {role}")).unwrap();
        client.batch_execute(&format!("ALTER DATABASE {name} CONNECTION LIMIT {limit}")).unwrap();
    }
    let pattern = tenants.url(&role, &format!("{}_*", tenants.own));
    tenants.project.run_bounded(&["upgrade", "--each", &pattern]).refused(&[
        "upgrade of 3 of 4 databases, 1 failed",
        "too many connections",
        "53300",
        "`--jobs 1`",
        &format!("so it failed: {}", tenants.url(&role, &tenants.name(1))),
    ]);
    [0, 2, 3].into_iter().for_each(|number| tenants.is_upgraded(number));
    tenants.is_as_before(1);
}

pub fn names_of_any_kind_are_found_and_no_password_is_told(server: &Server) {
    const PASSWORD: &str = "s3cret%2Fw0rd";
    let names = ["Kunde 1", "it's", "a\"b", "größe", "東京", "100%", "a/b?c#d&e=f", "[x]*"];
    let tenants = Tenants::databases(server, 0);
    let (mut client, mut own) = (tenants.open("postgres"), tenants.open(&tenants.own));
    for name in names {
        let quoted = name.replace('"', "\"\"");
        client.batch_execute(&format!("CREATE DATABASE \"{}-{quoted}\"", tenants.own)).unwrap();
        own.batch_execute(&format!("CREATE SCHEMA \"-{quoted}\"")).unwrap();
    }
    let who = format!("postgres:{PASSWORD}");
    let databases = tenants.url(&who, &format!("{}-*", tenants.own));
    let schemas = tenants.url(&who, &format!("{}?schema=-*", tenants.own));
    for pattern in [&databases, &schemas] {
        // Somewhere it fails, so that more is said.
        let mut child = tenants.project.command(&["upgrade", "-v", "--each", "env:TENANTS_URL"]);
        child.env("TENANTS_URL", pattern);
        let ran = crate::harness::ended(child).done();
        let ran = Ran { err: ran.err + &tenants.project.run(&["upgrade", "a9", "--each", pattern]).err, ..ran };
        assert!(ran.err.contains("8 of 8 databases failed"), "{}", ran.err);
        let json = tenants.project.run_bounded(&["upgrade", "--each", pattern, "--format", "json"]).done();
        assert_eq!(json.json()["counts"]["nothing"], names.len());
        for text in [&ran.err, &ran.out, &json.err, &json.out] {
            assert!(!text.contains("s3cret"), "{text}");
        }
        assert!(ran.err.contains("100%25") && ran.err.contains("%E6%9D%B1"), "{}", ran.err);
        // Each one's URL, as it is shown, leads back to it.
        for url in results(&json).keys() {
            tenants.project.run(&["status", "-d", &url.replace(":***", "")]).done().says("a2");
        }
    }
    for name in names {
        let mut there = tenants.open(&format!("{}-{name}", tenants.own));
        assert_eq!(state(&mut there), ("a1,a2".to_owned(), "a1,a2".to_owned()), "{name}");
        own.batch_execute(&format!("SET search_path = \"-{}\"", name.replace('"', "\"\""))).unwrap();
        assert_eq!(state(&mut own), ("a1,a2".to_owned(), "a1,a2".to_owned()), "{name}");
    }
}
