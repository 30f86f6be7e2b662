//! What comes back is what was there, and nothing else: whatever a table is, wherever the version table is, whoever was
//! given something since.

use super::world::{World, same};
use crate::server::Server;

const PARTITIONED: &str = "CREATE TABLE pt (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day); \
    CREATE TABLE pt_rest PARTITION OF pt DEFAULT; INSERT INTO pt VALUES (1, '2026-03-04')";

pub fn a_partitioned_table_goes_and_comes_back(server: &Server) {
    let world = World::of(server, ", scratch = true");
    world.fill();
    world.run(&["backup", "--to", "without.dump"]).done();
    let without = world.dump();
    world.does(PARTITIONED);
    world.run(&["backup", "--to", "with.dump"]).done();
    let with = world.dump();
    world.does("INSERT INTO pt VALUES (2, '2026-03-05')");
    world.run(&["restore", "with.dump", "--yes"]).done();
    same(&world.dump(), &with);
    // A backup that is older than the table is without it.
    world.run(&["restore", "without.dump", "--yes"]).done();
    same(&world.dump(), &without);
    // And so is a scratch database that is begun anew.
    world.does(PARTITIONED);
    world.run(&["reset"]).done();
    assert_eq!(world.database.tables(), "todos");
}

pub fn a_version_table_in_a_schema_of_its_own_is_kept_too(server: &Server) {
    let world = World::new(server);
    world.configured("version-table = \"ops._m\"\n");
    world.fill();
    world.run(&["backup"]).done();
    world.run(&["backups"]).done().says("by hand").says("a1");
    let before = world.dump();
    world.does("DELETE FROM todos");
    world.run(&["restore", "--yes"]).done().says("a1");
    same(&world.dump(), &before);
    world.run(&["status"]).done().says("a1");
    // Before what loses rows one is made, as ever.
    let up =
        "-- migrate:parent a1\n-- migrate:up\nALTER TABLE todos DROP COLUMN priority;\n-- migrate:down\nSELECT 1;\n";
    world.project.migration("b1", up);
    world.run(&["upgrade"]).done().says("it can lose data");
    world.run(&["restore", "--yes"]).done().says("a1");
    same(&world.dump(), &before);
}

pub fn of_several_schemas_version_tables_it_is_the_one_that_was_meant(server: &Server) {
    let world = World::filled(server);
    world.project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n");
    // Given a schema before `public`, whose own version table is further on.
    world.does("CREATE SCHEMA aside");
    let url = format!("{}&schema=aside", world.url(&world.database.name));
    world.run(&["-d", &url, "upgrade"]).done();
    let newest = |listed: crate::harness::Ran| listed.done().json()["backups"][0]["revisions"].to_string();
    world.run(&["backup"]).done();
    assert_eq!(newest(world.run(&["backups", "--format", "json"])), "[\"a1\"]");
    world.run(&["restore", "--yes"]).done().says("had: a1");
    // Where the search path leads elsewhere, the name of the file says so.
    world.does(
        "ALTER ROLE postgres IN DATABASE here SET search_path = aside, public"
            .replace("here", &world.database.name)
            .as_str(),
    );
    world.run(&["backup"]).done();
    assert_eq!(newest(world.run(&["backups", "--format", "json"])), "[\"a2\"]");
    world.run(&["restore", "--yes"]).done().says("had: a2");
}

pub fn what_is_put_back_has_the_rights_that_were_granted_and_no_others(server: &Server) {
    let world = World::filled(server);
    let role = format!("reader_{}", world.database.name);
    world.does(&format!(
        "CREATE ROLE {role}; CREATE SCHEMA shop; CREATE TABLE shop.items (x int); \
         ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO {role}; \
         ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"
    ));
    world.run(&["backup"]).done();
    let before = world.dump();
    // Given that whatever is made from now on is for everybody.
    world.does(&format!(
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {role}; ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC; \
         ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM PUBLIC; ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO {role}; \
         ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC"
    ));
    world.run(&["restore", "--yes"]).done();
    for table in ["public.todos", "shop.items"] {
        let may = format!("SELECT has_table_privilege('{role}', '{table}', 'SELECT')");
        assert_eq!(world.database.ask(&may), "f", "{table}");
    }
    same(&world.dump(), &before);
    // Those that the backup has are there again.
    world.does("CREATE TABLE shop.later (x int)");
    assert_eq!(world.database.ask(&format!("SELECT has_table_privilege('{role}', 'shop.later', 'SELECT')")), "t");
    world.does(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

pub fn a_database_with_any_name_has_backups(server: &Server) {
    let world = World::new(server);
    // Given a name of which a URL takes next to nothing as it is.
    let (name, written) =
        ("дані, 100% & 'más' =\\?", "%D0%B4%D0%B0%D0%BD%D1%96%2C%20100%25%20%26%20%27m%C3%A1s%27%20%3D%5C%3F");
    world.does(&format!("CREATE DATABASE \"{name}\""));
    let url = world.url(written);
    let there = || crate::server::config(server.socket(), name).connect(postgres::NoTls).unwrap();
    let titles =
        || there().query_one("SELECT string_agg(title, ',') FROM todos", &[]).unwrap().get::<_, Option<String>>(0);
    world.run(&["-d", &url, "upgrade"]).done();
    there().batch_execute("INSERT INTO todos (title) VALUES ('milk')").unwrap();
    world.run(&["-d", &url, "backup"]).done();
    there().batch_execute("DELETE FROM todos").unwrap();
    world.run(&["-d", &url, "restore", "--yes"]).done();
    assert_eq!(titles().as_deref(), Some("milk"));
    assert_eq!(world.run(&["-d", &url, "backups"]).done().out.lines().count(), 2);
    world.does(&format!("DROP DATABASE \"{name}\" WITH (FORCE)"));
}
