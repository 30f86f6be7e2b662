//! Programs that carry their migrations: real packages, real `cargo check`s and runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::{Project, Ran};

/// A package outside the repository that depends on the crates here by their paths.
pub(crate) struct Package {
    pub(crate) project: Project,
}

pub(crate) const USERS: &str = "-- Create users.\n-- migrate:parent base\n-- migrate:up\nCREATE TABLE users (id INTEGER PRIMARY KEY);\n-- migrate:down\nDROP TABLE users;\n";
pub(crate) const NAMES: &str = "-- Give users a name.\n-- migrate:parent 001_users\n-- migrate:up\nALTER TABLE users ADD COLUMN name TEXT;\n-- migrate:down\nALTER TABLE users DROP COLUMN name;\n";

fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
}

impl Package {
    /// A library that embeds its migrations under a dependency of another name, so that `$crate` is put to the test.
    fn library(name: &str) -> Self {
        let package = Self::with(
            name,
            "[dependencies]\nstarts = { package = \"migrate-runtime\", path = \"ROOT/migrate-runtime\" }\n",
        );
        package
            .project
            .write("src/lib.rs", "pub static MIGRATIONS: starts::Migrations = starts::embed!(\"migrations\");\n");
        package
    }

    /// A program on rusqlite that prints what its start-up did.
    fn program(name: &str, code: &str) -> Self {
        let package = Self::with(
            name,
            "[dependencies]\nmigrate-runtime = { path = \"ROOT/migrate-runtime\", features = [\"rusqlite\"] }\n\
             rusqlite = { version = \">=0.32, <0.43\", default-features = false, features = [\"bundled\"] }\n",
        );
        package.project.write("src/main.rs", code);
        fs::remove_file(package.project.path("src/lib.rs")).unwrap();
        package
    }

    /// A package of a name that no other test uses: in one target folder cargo tells packages apart by their names.
    pub(crate) fn with(name: &str, dependencies: &str) -> Self {
        let project = Project::new();
        let manifest = project.read("Cargo.toml").replace("name = \"app\"", &format!("name = \"{name}\""));
        let dependencies = dependencies.replace("ROOT", root().to_str().unwrap());
        project.write("Cargo.toml", &format!("{manifest}\n{dependencies}"));
        fs::copy(root().join("Cargo.lock"), project.path("Cargo.lock")).unwrap();
        project.migration("001_users", USERS);
        project.migration("002_names", NAMES);
        project.run(&["lock"]).done();
        Self { project }
    }

    /// Cargo on the package, in the one target folder of all builds.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Ran {
        self.cargo_with(arguments, &[])
    }

    pub(crate) fn cargo_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(self.project.path(".")).args(arguments).arg("--offline");
        command.env("CARGO_TARGET_DIR", target_folder()).env_remove("CARGO_MIGRATE_ALLOW_DRAFTS");
        command.envs(variables.iter().copied());
        Ran::of(&command.output().unwrap())
    }

    /// Rewrites a file with a later time, as an editor does: cargo compares times to the second on some systems.
    pub(crate) fn edit(&self, name: &str, text: &str) {
        self.project.write(name, text);
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
        fs::File::options().write(true).open(self.project.path(name)).unwrap().set_modified(later).unwrap();
    }
}

/// Where this test was built: nested builds share what is compiled already.
pub(crate) fn target_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists()).unwrap().to_owned()
}

/// A build that failed, with all of these words in what it said.
#[track_caller]
pub(crate) fn refused(ran: &Ran, words: &[&str]) {
    assert_ne!(ran.status, 0, "{}\n{}", ran.out, ran.err);
    for word in words {
        assert!(ran.err.contains(word), "`{word}` is not in\n{}", ran.err);
    }
}

#[test]
fn an_edited_migration_is_refused_by_the_compiler_at_the_argument() {
    let package = Package::library("edited-migration");
    package.cargo(&["check"]).done();
    package.project.run(&["upgrade"]).done();
    package.cargo(&["check"]).done();

    package.edit("migrations/001_users.sql", &USERS.replace("id INTEGER", "no INTEGER"));
    let ran = package.cargo(&["check"]);
    refused(
        &ran,
        &[
            "error[edited]: this file was edited after it was applied",
            "migrations/001_users.sql",
            "`dev`",
            "expected sha256:",
            "git checkout",
            "src/lib.rs:1:",
            "\"migrations\"",
            "^^^^^^^^^^^^",
        ],
    );

    // The form that editors read has the place too.
    let ran = package.cargo(&["check", "--message-format=json"]);
    let place = ran.out.lines().find(|line| line.contains("error[edited]")).unwrap();
    assert!(place.contains("\"line_start\":1") && place.contains("src/lib.rs"), "{place}");

    package.edit("migrations/001_users.sql", &USERS.replace("Create users.", "Create all users."));
    refused(&package.cargo(&["check"]), &["edited-comments", "what its upgrade does is the same"]);
    package.edit("migrations/001_users.sql", &USERS.replace("parent base", "parent 002_names"));
    refused(&package.cargo(&["check"]), &["circle"]);
    // Another system's line endings and byte order mark are the same file.
    package.edit("migrations/001_users.sql", &format!("\u{FEFF}{}", USERS.replace('\n', "\r\n")));
    package.cargo(&["check"]).done();
    fs::remove_file(package.project.path("migrations/002_names.sql")).unwrap();
    refused(&package.cargo(&["check"]), &["error[deleted]", "002_names"]);
    package.edit("migrations/002_names.sql", NAMES);
    package.cargo(&["check"]).done();
    package.edit("migrations/0015_slipped.sql", "CREATE TABLE slipped (x);");
    package.project.run(&["lock"]).done();
    package.cargo(&["check"]).done();
    package.edit("migrations/002_names.sql", &NAMES.replace("-- migrate:parent 001_users\n", ""));
    refused(&package.cargo(&["check"]), &["002_names"]);
}

#[test]
fn a_new_revision_is_compiled_in_without_a_build_script() {
    let package = Package::library("new-revision");
    package.project.write(
        "examples/count.rs",
        "fn main() { println!(\"{}\", new_revision::MIGRATIONS.ids().collect::<Vec<_>>().join(\" \")); }",
    );
    package.cargo(&["run", "--example", "count"]).done().says("001_users 002_names\n");
    package.project.run(&["revision", "-m", "third", "--rev-id", "003_third"]).done();
    package.cargo(&["run", "--example", "count"]).done().says("001_users 002_names 003_third\n");
}

#[test]
fn mistakes_in_the_folder_or_the_argument_say_what_to_do() {
    let package = Package::library("mistaken-folder");
    for (code, words) in [
        ("starts::embed!(\"migration\")", &["no-migrations", "looked for in", "cargo migrate init"][..]),
        ("starts::embed!(migrations)", &["write `embed!(\"migrations\")`"]),
        ("starts::embed!(\"migrations\", drafts)", &["allow_drafts"]),
    ] {
        package.edit("src/lib.rs", &format!("pub static M: starts::Migrations = {code};\n"));
        refused(&package.cargo(&["check"]), words);
    }
    package.edit("src/lib.rs", "pub const M: starts::Migrations = starts::embed!();\n");
    package.cargo(&["check"]).done();
    fs::remove_file(package.project.path("migrations/migrate.lock")).unwrap();
    refused(&package.cargo(&["check"]), &["no-lock", "cargo migrate lock"]);
    package.project.run(&["lock"]).done();
    package.edit("migrations/002_names.sql", &NAMES.replace("migrate:up", "migrate:upp"));
    refused(&package.cargo(&["check"]), &["unknown-directive", "migrations/002_names.sql:3:1"]);
}

#[test]
fn drafts_go_into_debug_builds_and_not_into_others() {
    let package = Package::library("embedded-drafts");
    package.cargo(&["check"]).done();
    let refusal = &["error[drafts]: this build would carry 2 drafts", "001_users, 002_names", "cargo migrate seal"];
    refused(&package.cargo(&["check", "--release"]), refusal);
    package.cargo_with(&["check", "--release"], &[("CARGO_MIGRATE_ALLOW_DRAFTS", "1")]).done();
    refused(&package.cargo(&["check", "--release"]), refusal);
    // It is debug assertions that count, not the profile's name or its optimisation.
    package.cargo_with(&["check", "--release"], &[("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")]).done();
    refused(&package.cargo_with(&["check"], &[("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false")]), refusal);
    package.edit("src/lib.rs", "pub static M: starts::Migrations = starts::embed!(\"migrations\", allow_drafts);\n");
    package.cargo(&["check", "--release"]).done();
    // A packaged crate has its author's manifest beside cargo's.
    package.project.write("Cargo.toml.orig", "");
    package.edit(
        "src/lib.rs",
        "pub static M: starts::Migrations = starts::embed!(\"migrations\", allow_drafts); // packaged\n",
    );
    refused(&package.cargo(&["check"]), &["error[drafts]", "packaged crate"]);
    package.project.run(&["seal"]).done();
    package.cargo(&["check"]).done();
}

const START: &str = r#"
use migrate_runtime::{Migrations, migrator::{GoBack, IfAhead}};
static MIGRATIONS: Migrations = migrate_runtime::embed!("migrations", allow_drafts);
fn main() {
    let mut connection = rusqlite::Connection::open("app.db").unwrap();
    connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON").unwrap();
    let migrator = MIGRATIONS.migrator().observe(|event| eprintln!("{event:?}"));
    let outcome = match std::env::args().nth(1).as_deref() {
        None => migrator.upgrade(&mut connection),
        Some("warn") => migrator.if_ahead(IfAhead::Warn).upgrade(&mut connection),
        Some("back") => migrator
            .if_ahead(IfAhead::GoBack(GoBack {
                allowed: std::env::args().skip(2).collect(),
                backup: "before.db".into(),
            }))
            .upgrade(&mut connection),
        Some("status") => {
            println!("{:?}", MIGRATIONS.status(&mut connection).unwrap());
            return;
        }
        Some("verify") => {
            println!("{}", MIGRATIONS.verify(&mut connection).map_or_else(|error| error.code().to_string(), |()| "fine".to_owned()));
            return;
        }
        Some("transaction") => {
            connection.execute_batch("BEGIN; CREATE TABLE mine (x)").unwrap();
            println!("{}", MIGRATIONS.upgrade(&mut connection).unwrap_err());
            connection.execute_batch("COMMIT").unwrap();
            return;
        }
        Some(target) => migrator.downgrade_to(&mut connection, target),
    };
    let setting = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((setting("foreign_keys"), setting("recursive_triggers"), setting("busy_timeout")), (1, 1, 0));
    match outcome {
        Ok(outcome) => println!("{outcome:?}"),
        Err(error) => { println!("{error}"); std::process::exit(1); }
    }
}
"#;

/// The built program, run in the package's folder.
fn start(package: &Package, program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(package.project.path(".")).output().unwrap()
}

#[test]
fn a_program_brings_its_database_up_to_date_and_an_older_one_meets_a_newer_database() {
    let package = Package::program("starting", START);
    let build = |name: &str| {
        package.cargo(&["build"]).done();
        let kept = package.project.path(name);
        fs::copy(target_folder().join("debug/starting"), &kept).unwrap();
        kept
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let old = build("old");
    let run = |program: &Path, arguments: &[&str]| {
        let output = start(&package, program, arguments);
        (output.status.code(), said(&output))
    };

    assert_eq!(run(&old, &["status"]).1, "Status { applied: [], pending: [001_users, 002_names], ahead: [] }\n");
    assert_eq!(run(&old, &["verify"]).1.trim_end(), "database-behind");
    assert_eq!(
        run(&old, &["transaction"]).1.lines().next(),
        Some("error[open-transaction]: this connection has a transaction open")
    );
    assert_eq!(package.project.ask("SELECT count(*) FROM mine"), "0", "the program's own transaction was kept");
    assert_eq!(run(&old, &[]), (Some(0), "Outcome { done: [001_users, 002_names], ahead: [] }\n".to_owned()));
    assert_eq!(run(&old, &[]), (Some(0), "Outcome { done: [], ahead: [] }\n".to_owned()));
    assert_eq!(run(&old, &["verify"]).1.trim_end(), "fine");
    // The command and the program see one history.
    package.project.run(&["current"]).done().says("002_names (head)");
    assert_eq!(run(&old, &["001_users"]).1, "Outcome { done: [002_names], ahead: [] }\n");

    package.project.migration("003_mail", "-- migrate:parent 002_names\n-- migrate:up\nALTER TABLE users ADD COLUMN mail TEXT;\n-- migrate:down\nALTER TABLE users DROP COLUMN mail;\n");
    package.project.run(&["lock"]).done();
    let new = build("new");
    assert_eq!(run(&new, &[]).1, "Outcome { done: [002_names, 003_mail], ahead: [] }\n");

    assert_eq!(run(&old, &["verify"]).1.trim_end(), "database-ahead");
    let (status, words) = run(&old, &[]);
    assert!(
        status == Some(1)
            && words.contains("error[database-ahead]: this program is older than the database")
            && words.contains("003_mail"),
        "{words}"
    );
    assert_eq!(run(&old, &["warn"]), (Some(0), "Outcome { done: [], ahead: [003_mail] }\n".to_owned()));
    let (status, words) = run(&old, &["back", "002_names"]);
    assert!(status == Some(1) && words.contains("error[not-allowed]") && words.contains("`003_mail`"), "{words}");
    assert_eq!(run(&old, &["back", "003_mail"]).1, "Outcome { done: [003_mail], ahead: [] }\n");
    let kept = rusqlite::Connection::open(package.project.path("before.db")).unwrap();
    assert_eq!(
        kept.query_row("SELECT count(*) FROM pragma_table_info('users')", [], |row| row.get::<_, i64>(0)).unwrap(),
        3
    );
    assert_eq!(package.project.ask("SELECT count(*) FROM pragma_table_info('users')"), "2");

    // A shipped program starts on a database whose revision differs in comments alone, and not on another one's.
    package.project.run(&["upgrade"]).done();
    package
        .project
        .database()
        .execute_batch(
            "UPDATE _cargo_migrate SET checksum = 'sha256:' || printf('%064d', 0) WHERE revision = '001_users'",
        )
        .unwrap();
    assert_eq!(run(&new, &[]).0, Some(0));
    package.project.database().execute_batch("UPDATE _cargo_migrate SET statements = 'statements:' || printf('%064d', 0), applied_count = 0 WHERE revision <> '002_names'").unwrap();
    let (status, words) = run(&new, &[]);
    assert!(status == Some(1) && words.contains("error[edited]") && words.contains("001_users.sql"), "{words}");
}

#[test]
fn several_processes_that_start_at_once_end_with_one_that_migrates() {
    let package = Package::program("racing", START);
    package.cargo(&["build"]).done();
    let program = package.project.path("program");
    fs::copy(target_folder().join("debug/racing"), &program).unwrap();
    let started: Vec<_> = (0..8)
        .map(|_| {
            let mut command = Command::new(&program);
            command
                .current_dir(package.project.path("."))
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let said: Vec<String> = started
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
        .collect();
    assert_eq!(said.iter().filter(|line| line.contains("001_users, 002_names")).count(), 1, "{said:?}");
}

#[test]
fn init_writes_the_dependency_that_embedding_needs() {
    let package = Package::with("initiated", "[dependencies]\n");
    let root = root();
    assert_eq!(package.project.run(&["init", "--path", root.to_str().unwrap()]).status, 2);
    assert_eq!(package.project.run(&["init", "--with-runtime", "--path", "src"]).status, 2);
    package
        .project
        .run(&["init", "--with-runtime", "--path", root.to_str().unwrap()])
        .done()
        .says("migrate_runtime::embed!(\"migrations\")");
    let manifest = package.project.read("Cargo.toml");
    assert!(manifest.contains("migrate-runtime = { path = "), "{manifest}");
    package.project.run(&["init", "--with-runtime"]).done();
    assert_eq!(package.project.read("Cargo.toml"), manifest);
    package.project.write(
        "src/lib.rs",
        "pub static MIGRATIONS: migrate_runtime::Migrations = migrate_runtime::embed!(\"migrations\");\n",
    );
    package.cargo(&["check"]).done();
}

#[test]
fn init_writes_what_a_program_needs_whose_database_is_on_a_server() {
    for (dependencies, feature, start_up) in [
        ("[dependencies]\n", "postgres-url", "MIGRATIONS.upgrade_url(&url)?"),
        ("[dependencies]\npostgres = \"0.19\"\n", "postgres", "MIGRATIONS.upgrade(&mut client)?"),
    ] {
        let package = Package::with("initiated", dependencies);
        let init = ["init", "--template", "postgres", "--with-runtime"];
        package.project.run(&init).done().says(&format!("`{start_up}`"));
        let manifest = package.project.read("Cargo.toml");
        assert!(manifest.contains(&format!("features = [\"{feature}\"]")), "{manifest}");
    }
}

/// The to-do example, copied as a person copies it.
#[test]
fn the_example_is_kept_by_all_three_walls() {
    let package = Package { project: Project::todo() };
    // In the one target folder the example's own tests expect the example's own program under its name.
    let manifest = package.project.read("Cargo.toml");
    package.project.write(
        "Cargo.toml",
        &(manifest.replace("publish = false", "publish = false\nautobins = false")
            + "\n[[bin]]\nname = \"copied-todo\"\npath = \"src/main.rs\"\n"),
    );
    let migration = "migrations/2025_02_19_001_create_users.sql";
    let text = package.project.read(migration);
    package.cargo(&["check"]).done();
    package.project.run(&["upgrade", "head"]).done();
    package.cargo(&["check"]).done();

    let edited = text.replacen("TEXT", "TEXT ", 1).replacen("CREATE TABLE users", "CREATE TABLE userz", 1);
    assert_ne!(text, edited);
    package.edit(migration, &edited);
    refused(&package.cargo(&["check"]), &["error: todo@0.1.0: error[edited]", "2025_02_19_001_create_users.sql"]);
    // The compiler alone.
    let build_script = package.project.read("build.rs");
    fs::remove_file(package.project.path("build.rs")).unwrap();
    refused(&package.cargo(&["check"]), &["error: error[edited]", "src/store.rs"]);
    package.edit(migration, &text);
    package.cargo(&["check"]).done();
    // Neither: the program built from the edited file meets the database when it starts.
    let lock = package.project.read("migrations/migrate.lock");
    package.edit(migration, &edited);
    fs::remove_file(package.project.path("migrations/migrate.lock")).unwrap();
    fs::remove_file(package.project.path("migrations/migrate.local")).unwrap();
    package.project.run(&["lock"]).done();
    let ran = package.cargo(&["run"]);
    refused(&ran, &["is not where this program is", "error[edited]", "2025_02_19_001_create_users.sql"]);
    // The guard finds in the database what the lock has lost.
    package.edit("build.rs", &build_script);
    refused(&package.cargo(&["check"]), &["error: todo@0.1.0: error[edited]", "`todo.db`"]);
    package.edit(migration, &text);
    package.edit("migrations/migrate.lock", &lock);
    package.cargo(&["check"]).done();
}

#[test]
fn a_library_with_a_draft_is_refused_at_its_author_s_desk() {
    let package = Package::with(
        "packaged-library",
        "[dependencies]\nmigrate-runtime = { path = \"ROOT/migrate-runtime\", version = \"0.1.0\" }\n",
    );
    let manifest = package.project.read("Cargo.toml");
    let described =
        manifest.replace("edition = \"2024\"", "edition = \"2024\"\ndescription = \"a\"\nlicense = \"MIT\"");
    package.project.write("Cargo.toml", &described);
    package.project.write(
        "src/lib.rs",
        "pub static MIGRATIONS: migrate_runtime::Migrations = migrate_runtime::embed!(\"migrations\");\n",
    );
    // Cargo takes path dependencies of a packaged crate from the registry, where these are not yet.
    let patches = ["migrate-runtime", "migrate-macros", "build-support"]
        .map(|name| format!("patch.crates-io.{name}.path = \"{}\"", root().join(name).display()));
    let mut arguments = vec!["package", "--allow-dirty"];
    for patch in &patches {
        arguments.extend(["--config", patch]);
    }
    refused(&package.cargo(&arguments), &["error[drafts]", "001_users, 002_names", "packaged crate"]);
    package.project.run(&["seal"]).done();
    package.cargo(&arguments).done();
}
