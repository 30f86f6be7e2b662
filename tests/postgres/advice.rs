//! What a developer and an operator of a server met in the words of commands: what is suggested works when it is typed, and
//! what was not done is told.

use std::process::Command;

use crate::ground::OnServer;
use crate::harness::{Project, Ran};
use crate::server::Server;

tests! {
    a_script_waits_for_nobody_for_ever_and_says_what_it_can_lose,
    a_range_says_what_it_can_lose_without_a_look_at_any_database,
    a_script_names_the_database_that_it_is_for,
    what_a_mask_stands_for_is_said_once,
    a_build_server_without_the_configured_database_is_told_so,
    the_page_on_ci_can_be_typed,
    a_role_that_is_missing_or_not_granted_is_told_with_what_grants_it,
    a_new_database_belongs_to_the_role_that_works_in_it,
    who_only_reads_is_granted_no_more,
    a_schema_that_may_not_be_used_is_not_said_to_be_missing,
    a_version_table_whose_schema_is_missing_takes_a_right_on_the_database,
    a_statement_that_lacks_a_right_is_not_to_be_mended,
    where_schemas_are_databases_no_place_is_advised_that_is_refused,
    a_table_that_another_package_needs_names_that_package,
    a_status_says_what_it_does_not_compare,
    what_is_said_of_a_server_speaks_of_no_file,
}

const USERS: &str = "-- migrate:up\nCREATE TABLE users (id int, name text);\n-- migrate:down\nDROP TABLE users;\n";
const NO_NAMES: &str = "-- migrate:parent a1\n-- migrate:up\nALTER TABLE users DROP COLUMN name;\n\
    -- migrate:down\nALTER TABLE users ADD COLUMN name text;\n";

/// A project with one table, which is there and has a row, and what drops a column of it.
fn losing(server: &Server) -> Project {
    let project = Project::on(&OnServer::of(server));
    project.migration("a1", USERS);
    project.run(&["upgrade"]).done();
    project.execute("INSERT INTO users VALUES (1, 'ada')");
    project.migration("a2", NO_NAMES);
    project
}

/// A script in psql, in which a statement that waits for ever is ended after a while by another limit.
fn psql(server: &Server, project: &Project, script: &str) -> Ran {
    // A folder on PATH may hold links to some of the server's programs.
    let initdb = server.programs.join("initdb").canonicalize().unwrap();
    project.write("script.sql", script);
    let mut psql = Command::new(initdb.with_file_name("psql"));
    psql.args(["-X", "-f"]).arg(project.path("script.sql")).arg(project.url("dev"));
    Ran::of(&psql.env("PGOPTIONS", "-c statement_timeout=20s").output().unwrap())
}

fn a_script_waits_for_nobody_for_ever_and_says_what_it_can_lose(server: &Server) {
    let project = losing(server);
    let made = project.run(&["upgrade", "--sql"]).done();
    for told in ["it can lose data: ", "make one before it runs, such as by `cargo migrate backup`"] {
        assert!(made.err.contains(told), "{}", made.err);
    }
    let head: Vec<&str> = made.out.lines().take_while(|line| line.starts_with("--")).collect();
    assert!(
        head.iter().any(|line| line.starts_with("-- It can lose data: `users") && line.contains("name")),
        "{head:?}"
    );
    assert!(head.iter().any(|line| line.starts_with("-- A script makes no backup: ")), "{head:?}");
    let mut busy = OnServer::of(server).session(&project.ask("SELECT current_database()"));
    busy.batch_execute("BEGIN; LOCK TABLE users IN ACCESS SHARE MODE").unwrap();
    let ran = psql(server, &project, &made.out);
    assert!(ran.status != 0 && ran.err.contains("lock timeout"), "{}", ran.err);
    busy.batch_execute("ROLLBACK").unwrap();
    psql(server, &project, &made.out).done();
    assert_eq!(
        project.ask("SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'name'"),
        "0"
    );
    // Where there is nothing to lose nothing is said of it.
    project.migration("a3", "-- migrate:parent a2\n-- migrate:up\nCREATE TABLE other (id int);\n");
    let made = project.run(&["upgrade", "--sql"]).done();
    assert!(!made.err.contains("lose") && !made.out.contains("backup"), "{}{}", made.err, made.out);
    // What the session says goes before.
    let manifest = project.read("Cargo.toml").replace("shared = false", "shared = false, lock-timeout = 1");
    project.write("Cargo.toml", &manifest);
    project.run(&["upgrade", "--sql"]).done().says("SET lock_timeout = 1000;");
}

fn a_range_says_what_it_can_lose_without_a_look_at_any_database(server: &Server) {
    let project = losing(server);
    let made = project.run(&["upgrade", "a1:a2", "--sql"]).done();
    assert!(made.out.contains("-- It can lose data: `users"), "{}", made.out);
    assert!(made.err.contains("it can lose data: "), "{}", made.err);
    let made = project.run(&["upgrade", "base:a2", "--sql"]).done();
    assert!(!made.err.contains("lose") && !made.out.contains("It can lose"), "{}", made.err);
}

fn a_script_names_the_database_that_it_is_for(server: &Server) {
    let project = losing(server);
    let url = project.url("dev");
    let with_password = url.replace("postgres@", "postgres:s3cret@");
    for (chosen, shown) in [
        ("dev", "dev".to_owned()),
        (url.as_str(), url.clone()),
        ("env:SCRIPTED", "env:SCRIPTED".to_owned()),
        (&with_password, format!("'{}'", url.replace("postgres@", "postgres:***@"))),
    ] {
        let mut command = project.command(&["-d", chosen, "upgrade", "--sql"]);
        let made = Ran::of(&command.env("SCRIPTED", &url).output().unwrap()).done();
        let line = format!("-- When it has run, `cargo migrate -d {shown} upgrade current`");
        assert!(made.out.contains(&line), "{line}\n{}", made.out);
        assert!(!made.out.contains("s3cret") && !made.err.contains("s3cret"));
    }
}

fn what_a_mask_stands_for_is_said_once(server: &Server) {
    let project = losing(server);
    let nowhere = format!("{}_nowhere", project.url("dev"));
    let with_password = nowhere.replace("postgres@", "postgres:pw@");
    let line = ["-d", &with_password, "test"];
    let ran = project.refuses(&line, &["-d 'postgres://postgres:***@", "`***` stands for the password"]);
    assert_eq!(ran.err.matches("stands for the password").count(), 1, "{}", ran.err);
    let ran = project.refuses(&["-d", &nowhere, "test"], &["-d postgres://postgres@"]);
    assert!(!ran.err.contains("***"), "{}", ran.err);
}

fn a_build_server_without_the_configured_database_is_told_so(server: &Server) {
    let project = losing(server);
    let (url, manifest) = (project.url("dev"), project.read("Cargo.toml"));
    for (configured, why) in [
        ("postgres://postgres@localhost:1/app".to_owned(), "no database: `dev` was not looked at, since "),
        (format!("{url}_nowhere"), "no database: `dev` ("),
    ] {
        project.write("Cargo.toml", &manifest.replace(&url, &configured));
        project.run(&["check"]).done().says(why).says("the only head, a2");
        let told = project.run(&["check", "--format", "json"]).done().json();
        assert!(told["checks"].as_array().unwrap().iter().any(|it| it["looked_at"].as_str().unwrap().starts_with(why)));
    }
    project.write("Cargo.toml", &manifest.replace(&url, "postgres://postgres@localhost:1/app"));
    project.refuses(&["-d", "dev", "check"], &["localhost:1"]);
    // A server that answers and refuses is not one that is not there.
    project.write("Cargo.toml", &manifest.replace(&url, &url.replace("postgres@", "nobody_here@")));
    project.refuses_without_help(&["check"], &["nobody_here"]);
}

fn the_page_on_ci_can_be_typed(server: &Server) {
    let ground = OnServer::of(server);
    let project = Project::empty_on(&ground);
    project.write("Cargo.toml", "[package]\nname = \"todo\"\nversion = \"0.1.0\"\n");
    project.write("src/lib.rs", "");
    project.run(&["init", "--template", "postgres"]).done();
    project.migration("a1", USERS);
    project.git(&["init", "-q", "-b", "main"]);
    project.commit("begun");
    project.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    let typed = |line: &str| {
        let mut command = project.command(&line.split(' ').skip(2).collect::<Vec<_>>());
        // The server of the configuration is one that the build server has not.
        command.env("PGHOST", "/no/such/folder").env("DATABASE_URL", ground.url_of("typed_in_ci"));
        Ran::of(&command.output().unwrap()).done()
    };
    let page = include_str!("../../docs/postgres.md");
    let lines: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("  - run: ")).collect();
    assert_eq!(lines.len(), 4);
    for line in lines {
        typed(line);
    }
    ground.session("postgres").batch_execute("DROP DATABASE typed_in_ci").unwrap();
}

/// A project with one table on the server, and the URL of its database for a role of this name who may log in.
fn with_role(server: &Server, role: &str) -> (Project, String) {
    let project = Project::on(&OnServer::of(server));
    project.migration("a1", USERS);
    project.execute(&format!("CREATE ROLE {role} LOGIN"));
    let url = project.url("dev").replace("postgres@", &format!("{role}@"));
    (project, url)
}

/// Drops roles with all that they have and were given in the project's database.
fn drop_roles(project: &Project, roles: &[&str]) {
    roles.iter().for_each(|role| project.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")));
}

/// The statement of a suggestion that grants something.
fn granted(ran: &Ran) -> String {
    let start = ran.err.find("`GRANT ").unwrap_or_else(|| panic!("{}", ran.err)) + 1;
    ran.err[start..].split('`').next().unwrap().to_owned()
}

fn a_role_that_is_missing_or_not_granted_is_told_with_what_grants_it(server: &Server) {
    let (project, url) = with_role(server, "words_member");
    let manifest = project.read("Cargo.toml").replace(&project.url("dev"), &url);
    project.write("Cargo.toml", &manifest.replace("shared = false", "shared = false, role = \"words_owner\""));
    project.refuses(
        &["status"],
        &["words_owner", "`CREATE ROLE \"words_owner\"; GRANT \"words_owner\" TO \"words_member\"`"],
    );
    project.execute("CREATE ROLE words_owner; GRANT ALL ON SCHEMA public TO words_owner");
    let ran = project.refuses(&["upgrade"], &["`GRANT \"words_owner\" TO \"words_member\"`"]);
    project.execute(&granted(&ran));
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT relowner::regrole FROM pg_class WHERE relname = 'users'"), "words_owner");
    drop_roles(&project, &["words_member", "words_owner"]);
}

fn a_new_database_belongs_to_the_role_that_works_in_it(server: &Server) {
    let ground = OnServer::of(server);
    let (project, _) = with_role(server, "words_maker");
    project.execute("ALTER ROLE words_maker CREATEDB; CREATE ROLE words_keeper; GRANT words_keeper TO words_maker");
    let url = ground.url_of("words_made").replace("postgres@", "words_maker@");
    let manifest = project.read("Cargo.toml").replace(&project.url("dev"), &url);
    project.write("Cargo.toml", &manifest.replace("shared = false", "shared = false, role = \"words_keeper\""));
    project.run(&["upgrade", "--create"]).done();
    let owner = "SELECT datdba::regrole FROM pg_database WHERE datname = 'words_made'";
    assert_eq!(project.ask(owner), "words_keeper");
    ground.session("postgres").batch_execute("DROP DATABASE words_made").unwrap();
    drop_roles(&project, &["words_maker", "words_keeper"]);
}

fn who_only_reads_is_granted_no_more(server: &Server) {
    let (project, url) = with_role(server, "words_reader");
    project.run(&["upgrade"]).done();
    for command in [&["status"][..], &["history"], &["current"], &["check"], &["show", "a1"]] {
        let line = [&["-d", &url], command].concat();
        let ran = project.refuses(&line, &["let the table's owner say `GRANT SELECT ON "]);
        assert!(!ran.err.contains("INSERT"), "{}", ran.err);
    }
    let ran = project.run(&["-d", &url, "status"]);
    project.execute(&granted(&ran));
    for command in [&["status"][..], &["history"], &["current"], &["check"], &["show", "a1"]] {
        project.run(&[&["-d", &url], command].concat()).done();
    }
    drop_roles(&project, &["words_reader"]);
}

fn a_schema_that_may_not_be_used_is_not_said_to_be_missing(server: &Server) {
    let (project, url) = with_role(server, "words_guest");
    let url = format!("{url}?schema=shut");
    project.execute("CREATE SCHEMA shut; GRANT CREATE ON SCHEMA shut TO words_guest");
    let ran = project.refuses(&["-d", &url, "upgrade"], &["may not use the schema \"shut\""]);
    assert!(!ran.err.contains("CREATE SCHEMA"), "{}", ran.err);
    project.execute(&granted(&ran));
    project.run(&["-d", &url, "upgrade"]).done();
    drop_roles(&project, &["words_guest"]);
}

fn a_version_table_whose_schema_is_missing_takes_a_right_on_the_database(server: &Server) {
    let (project, url) = with_role(server, "words_first");
    let manifest = project.read("Cargo.toml");
    let settings = "[package.metadata.migrate]\n";
    let with_schema = format!("{settings}version-table = \"ops._cargo_migrate\"\n");
    project.write("Cargo.toml", &manifest.replace(settings, &with_schema));
    project.execute("GRANT CREATE ON SCHEMA public TO words_first");
    let ran = project.refuses(&["-d", &url, "upgrade"], &["making the schema of the version table"]);
    let grant = granted(&ran);
    assert!(grant.starts_with("GRANT CREATE ON DATABASE "), "{grant}");
    project.execute(&grant);
    project.run(&["-d", &url, "upgrade"]).done();
    drop_roles(&project, &["words_first"]);
}

fn a_statement_that_lacks_a_right_is_not_to_be_mended(server: &Server) {
    let (project, url) = with_role(server, "words_second");
    project.run(&["upgrade"]).done();
    project.execute("GRANT ALL ON SCHEMA public TO words_second; GRANT ALL ON _cargo_migrate TO words_second");
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nINSERT INTO users VALUES (2, 'x');\n");
    for line in [&["-d", &url, "upgrade", "--dry-run"][..], &["-d", &url, "upgrade"]] {
        let ran = project.refuses(line, &["permission denied for table users", "lacks a right", "`role = \"OWNER\"`"]);
        assert!(!ran.err.contains("mend the statement"), "{}", ran.err);
    }
    drop_roles(&project, &["words_second"]);
}

fn where_schemas_are_databases_no_place_is_advised_that_is_refused(server: &Server) {
    let (project, url) = with_role(server, "words_tenant");
    project.execute("CREATE SCHEMA tenant_1; GRANT USAGE ON SCHEMA tenant_1 TO words_tenant");
    let pattern = format!("{url}?schema=tenant_*");
    let ran = project
        .refuses(&["upgrade", "--each", &pattern], &["GRANT CREATE ON SCHEMA \"tenant_1\"", "`role = \"ROLE\"`"]);
    assert!(!ran.err.contains("version-table"), "{}", ran.err);
    drop_roles(&project, &["words_tenant"]);
}

fn a_table_that_another_package_needs_names_that_package(server: &Server) {
    let project = Project::empty_on(&OnServer::of(server));
    project.write("Cargo.toml", "[workspace]\nmembers = [\"base\", \"orders\"]\nresolver = \"2\"\n");
    let orders = "CREATE TABLE orders (id int, account int REFERENCES accounts (id))";
    for (name, made, table) in
        [("base", "CREATE TABLE accounts (id int PRIMARY KEY)", "accounts"), ("orders", orders, "orders")]
    {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\n\n[package.metadata.migrate.databases]\ndev = {{ url = \"{}\", \
             shared = false }}\n",
            project.url("dev")
        );
        project.write(&format!("{name}/Cargo.toml"), &manifest);
        project.write(&format!("{name}/src/lib.rs"), "");
        let file = format!("{name}/migrations/{}_{name}.sql", if name == "base" { "002" } else { "001" });
        project.write(&file, &format!("-- migrate:up\n{made};\n-- migrate:down\nDROP TABLE {table};\n"));
    }
    // Without a word of it `orders` goes first, since its id does.
    let ran = project.run(&["--workspace", "upgrade"]);
    assert!(
        ran.status == 1 && ran.err.contains("`accounts` is made by `002_base` of the package `base`"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("`-- migrate:depends base/002_base`"), "{}", ran.err);
    project.run(&["-p", "base", "upgrade"]).done();
    project.run(&["-p", "orders", "upgrade"]).done();
    let ran = project.run(&["-p", "base", "downgrade", "base"]).refused(&[
        "SQLSTATE 2BP01",
        "`orders` is the table of the package `orders`",
        "`cargo migrate downgrade base -p orders`",
    ]);
    let advised = ran.err.lines().filter(|line| line.contains("help")).collect::<Vec<_>>().join("\n");
    assert!(!advised.contains("CASCADE") && !advised.contains("--down-from"), "{advised}");
    project.run(&["downgrade", "base", "-p", "orders"]).done();
    project.run(&["-p", "base", "downgrade", "base"]).done();
}

fn a_status_says_what_it_does_not_compare(server: &Server) {
    let project = losing(server);
    project.run(&["status"]).done().says("schema    not compared: it is on a server\n");
}

fn what_is_said_of_a_server_speaks_of_no_file(server: &Server) {
    let project = losing(server);
    let ran = project.refuses(&["reset"], &["error[not-scratch]", "postgres:///"]);
    assert!(!ran.err.contains("sqlite"), "{}", ran.err);
    let (manifest, url) = (project.read("Cargo.toml"), project.url("dev"));
    project.write("Cargo.toml", &manifest.replace(&url, &format!("{url}_moved")));
    let ran = project.run(&["upgrade", "--create"]).done().says("the server has no such database");
    assert!(!ran.err.contains("file is not there"), "{}", ran.err);
    let name = format!("{}_moved", url.rsplit('/').next().unwrap());
    OnServer::of(server).session("postgres").batch_execute(&format!("DROP DATABASE {name}")).unwrap();
}
