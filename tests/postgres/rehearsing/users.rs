//! Who may make the copy of a rehearsal, and fill it.

use super::{PEOPLE, faults, first, name, second};
use crate::ground::OnServer;
use crate::harness::Project;
use crate::server::Server;

/// A user who may log in, owns the project's database and can do nothing else.
fn plain_user(project: &Project, rights: &str) -> String {
    let (name, user) = (name(project), format!("user_of_{}", name(project)));
    project.execute(&format!("CREATE ROLE {user} LOGIN {rights}; ALTER DATABASE {name} OWNER TO {user}"));
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("//postgres@", &format!("//{user}@")));
    user
}

/// Takes a user away, with all that is theirs, before the database is another test's.
fn is_gone(project: &Project, user: &str) {
    project.execute(&format!(
        "ALTER DATABASE {} OWNER TO postgres; DROP OWNED BY {user} CASCADE; DROP ROLE {user}",
        name(project)
    ));
}

pub(super) fn a_user_who_may_make_no_database_is_told_so(server: &Server) {
    let project = Project::on(&OnServer::of(server));
    let user = plain_user(&project, "");
    first(&project, PEOPLE, "DROP TABLE people;");
    project.run(&["upgrade"]).done();
    second(&project, "", "SELECT 1;", "SELECT 1;");
    project.run(&["test"]).refused(&[
        "error[no-copy]",
        "permission denied to create database",
        "ALTER ROLE … CREATEDB",
    ]);
    is_gone(&project, &user);
}

pub(super) fn a_user_without_rights_beyond_the_own_tables_can_rehearse(server: &Server) {
    let project = Project::on(&OnServer::of(server));
    let user = plain_user(&project, "CREATEDB");
    first(&project, PEOPLE, "DROP TABLE people;");
    project.run(&["upgrade"]).done();
    second(&project, "", "CREATE TABLE pets (id integer PRIMARY KEY);", "DROP TABLE pets;");
    project.run(&["test"]).done().says("safe to apply: 1 revision");
    // Other tests make copies at the same time: this user's are told by their owner.
    let owned = format!("SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = '{user}'");
    assert_eq!(project.list(&owned), [name(&project)]);
    // What belongs to others is there as well, as the user's own, where it may be read at all.
    let stranger = format!("stranger_of_{}", name(&project));
    project.execute(&format!(
        "CREATE ROLE {stranger}; CREATE SCHEMA app; CREATE TABLE app.theirs (id integer PRIMARY KEY); \
         ALTER TABLE app.theirs OWNER TO {stranger}; INSERT INTO app.theirs VALUES (1)"
    ));
    project.run(&["test"]).refused(&["error[no-copy]", "`pg_dump` has failed", "permission denied for"]);
    project.execute(&format!("GRANT pg_read_all_data TO {user}"));
    second(&project, "", "DELETE FROM app.theirs;", "SELECT 1;");
    assert_eq!(faults(&project)[0], "`app.theirs`: 1 row lost after up and down");
    is_gone(&project, &user);
    is_gone(&project, &stranger);
}

pub(super) fn a_copy_that_cannot_be_filled_ends_the_rehearsal_at_once(server: &Server) {
    let project = Project::on(&OnServer::of(server));
    let user = plain_user(&project, "CREATEDB");
    // An extension that no plain user may make, and more rows than a pipe holds.
    project.execute("CREATE EXTENSION file_fdw");
    let rows = "INSERT INTO wide SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 20000) AS n;";
    first(&project, &format!("CREATE TABLE wide (id integer, content text);\n{rows}"), "DROP TABLE wide;");
    project.run(&["upgrade"]).done();
    second(&project, "", "SELECT 1;", "SELECT 1;");
    let words = ["error[no-copy]", "`pg_restore` has failed", "permission denied to create extension"];
    project.run_bounded(&["test"]).refused(&words);
    // Nobody is in the way of who works on the database.
    project.execute("BEGIN; SET LOCAL lock_timeout = '20s'; LOCK TABLE wide IN ACCESS EXCLUSIVE MODE; ROLLBACK");
    is_gone(&project, &user);
}
