//! Each refusal of a build as a page: `tests/refusals/NAME.txt` is what a person reads. A message that changes changes
//! its page; `MIGRATE_WRITE_PAGES=1` writes the pages anew, to be read before they are committed.

use std::fs;
use std::path::Path;

use crate::embedding::{NAMES, Package, USERS};
use crate::harness::Ran;

const EMBED: &str = "[dependencies]\nmigrate-runtime = { path = \"ROOT/migrate-runtime\" }\n";
const GUARD: &str = "[build-dependencies]\nbuild-support = { path = \"ROOT/build-support\" }\n";

fn embedding(name: &str) -> Package {
    let package = Package::with(name, EMBED);
    package.project.write(
        "src/lib.rs",
        "use migrate_runtime::{Migrations, embed};\n\npub static MIGRATIONS: Migrations = embed!(\"migrations\");\n",
    );
    package
}

fn guarded(name: &str, guard: &str) -> Package {
    let package = Package::with(name, GUARD);
    package.project.write("build.rs", &format!("fn main() {{\n    {guard}\n}}\n"));
    package
}

/// What cargo said, without what differs from one machine, compiler and run to the next.
fn told(package: &Package, ran: &Ran) -> String {
    let folder = fs::canonicalize(package.project.path(".")).unwrap();
    let text = ran.err.replace(folder.to_str().unwrap(), "FOLDER");
    let noise = |line: &&str| {
        let line = line.trim_start();
        let cargo = ["Compiling", "Checking", "Finished", "Blocking", "Locking", "Fresh", "error: could not compile"];
        // The compiler draws the line below the place in its own way.
        line.is_empty()
            || line.contains(" |")
            || line.starts_with("= note: this error originates")
            || cargo.iter().any(|word| line.starts_with(word))
    };
    text.lines().filter(|line| !noise(line)).map(|line| format!("{}\n", line.trim_end())).collect()
}

#[track_caller]
fn page(name: &str, package: &Package, ran: &Ran) {
    is_page(name, &told(package, ran));
}

/// The page of what rustc says in words of its own, which differ from version to version: the errors and their places.
#[track_caller]
fn page_of_errors(name: &str, package: &Package, ran: &Ran) {
    let all = told(package, ran);
    let lines: Vec<&str> = all.lines().collect();
    let errors = lines.windows(2).filter(|pair| pair[0].starts_with("error"));
    is_page(name, &errors.map(|pair| format!("{}\n{}\n", pair[0], pair[1])).collect::<String>());
}

#[track_caller]
fn is_page(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/refusals/{name}.txt"));
    if std::env::var_os("MIGRATE_WRITE_PAGES").is_some() {
        fs::write(&path, found).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    assert_eq!(found, expected, "the page is {}", path.display());
}

#[test]
fn the_compiler_s_refusals() {
    let package = embedding("refused");
    let check = |name: &str| {
        let ran = package.cargo(&["check"]);
        assert_ne!(ran.status, 0, "{}", ran.err);
        page(&format!("embed/{name}"), &package, &ran);
    };
    package.cargo(&["check"]).done();
    package.project.run(&["upgrade"]).done();
    package.edit("migrations/001_users.sql", &USERS.replace("id INTEGER", "no INTEGER"));
    check("edited");
    package.edit("migrations/001_users.sql", &USERS.replace("Create users.", "Create all users."));
    check("edited-comments");
    package.edit("migrations/001_users.sql", USERS);
    package.edit("migrations/002_names.sql", &NAMES.replace("parent 001_users", "parent base"));
    check("other-parent");
    fs::rename(package.project.path("migrations/002_names.sql"), package.project.path("migrations/002_name.sql"))
        .unwrap();
    check("renamed");
    fs::remove_file(package.project.path("migrations/002_name.sql")).unwrap();
    check("deleted");
    package.edit("migrations/002_names.sql", &NAMES.replace("ADD COLUMN", "ADD 'COLUMN"));
    check("unclosed");
    package.edit("migrations/002_names.sql", NAMES);
    fs::remove_file(package.project.path("migrations/migrate.lock")).unwrap();
    check("no-lock");
    fs::rename(package.project.path("migrations"), package.project.path("elsewhere")).unwrap();
    check("no-folder");
}

#[test]
fn the_compiler_s_refusal_of_drafts_and_of_files_that_slip_in() {
    let package = embedding("refused-drafts");
    page("embed/drafts", &package, &package.cargo(&["check", "--release"]));
    package.edit("migrations/001_users.sql", &USERS.replace("-- migrate:parent base\n", ""));
    package.edit("migrations/003_names.sql", &NAMES.replace("-- migrate:parent 001_users\n", ""));
    fs::remove_file(package.project.path("migrations/002_names.sql")).unwrap();
    package.project.run(&["upgrade"]).done();
    package.edit("migrations/002_between.sql", "CREATE TABLE between_them (x);\n");
    page("embed/slipped-in", &package, &package.cargo(&["check"]));
}

#[test]
fn the_guard_s_refusals() {
    let package =
        guarded("refused-guard", "build_support::guard::Guard::new(\"migrations\").database(\"app.db\").run();");
    let check = |name: &str| page(&format!("guard/{name}"), &package, &package.cargo(&["check"]));
    page("guard/drafts", &package, &package.cargo(&["check", "--release"]));
    package.project.run(&["upgrade"]).done();
    package.edit("migrations/001_users.sql", &USERS.replace("id INTEGER", "no INTEGER"));
    check("edited");
    fs::remove_file(package.project.path("migrations/migrate.local")).unwrap();
    check("edited-by-the-database");
    package.edit("migrations/001_users.sql", &USERS.replace("Create users.", "Create all users."));
    check("edited-comments");
    package.edit("migrations/001_users.sql", USERS);
    fs::remove_file(package.project.path("migrations/002_names.sql")).unwrap();
    check("deleted");
    package.edit("migrations/002_names.sql", NAMES);
    package.project.write("app.db", &"this is no database ".repeat(400));
    check("not-looked-at");
}

#[test]
fn the_compiler_s_refusals_of_a_struct_that_is_no_table() {
    let package = Package::with(
        "refused-tables",
        "[dependencies]\nmigrate-runtime = { path = \"ROOT/migrate-runtime\", features = [\"derive\"] }\n",
    );
    let check = |id: &str, more: &str| {
        let code = format!(
            "use migrate_runtime::Table;\n\npub struct User {{\n    pub id: i64,\n}}\n\n#[derive(Table)]\npub struct Group {{\n    \
             #[column(primary_key)]\n    pub id: i64,\n}}\n\n#[derive(Table)]\npub struct Todo {{\n    #[column(primary_key)]\n    \
             pub id: {id},\n    {more}\n}}\n"
        );
        package.edit("src/lib.rs", &code);
        let ran = package.cargo(&["check"]);
        assert_ne!(ran.status, 0, "{}", ran.err);
        ran
    };
    for (name, id, more) in [
        ("unknown-type", "i64", "pub size: Option<u64>,"),
        ("unknown-attribute", "i64", "#[column(primry_key)]\n    pub title: String,"),
        ("two-primary-keys", "i64", "#[column(primary_key)]\n    pub title: String,"),
        ("several", "u64", "#[column(unique = 3)]\n    pub title: String,"),
    ] {
        page(&format!("table/{name}"), &package, &check(id, more));
    }
    let ran = check("i64", "#[column(references = User::id)]\n    pub user_id: i64,");
    page_of_errors("table/no-table", &package, &ran);
    let ran = check("i64", "#[column(references = Group::idd)]\n    pub group_id: i64,");
    page_of_errors("table/no-column", &package, &ran);
}
