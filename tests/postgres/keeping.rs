//! Backups of a server's database: put back exactly or not at all, and made by themselves before what can lose something.
//! What holds of every database's is in the pages.

mod exact;
mod refused;
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use self::exact::*;
use self::refused::*;
use self::world::{EVERYTHING, World, dump, rows_of, same, until};
use crate::server::Server;

tests![
    a_backup_brings_everything_back,
    a_restore_that_fails_in_the_middle_leaves_everything_as_it_was,
    a_restore_that_is_killed_leaves_everything_as_it_was,
    writers_wait_while_a_backup_takes_the_place_of_what_they_write_to,
    extensions_stay_where_they_are_and_those_that_came_later_go,
    who_does_not_let_go_of_a_table_is_not_waited_for_without_end,
    what_is_made_while_a_restore_keeps_what_was_there_is_not_dropped_with_it,
    what_belongs_to_others_is_not_dropped,
    who_may_not_read_all_or_comes_too_late_is_told_what_helps,
    the_wrong_kind_of_backup_is_refused,
    a_database_that_is_not_there_is_made,
    one_schema_is_kept_and_put_back_by_itself,
    before_what_loses_rows_a_backup_is_made_and_before_nothing_else,
    programs_that_are_older_than_the_server_are_passed_over,
    programs_of_the_servers_version_come_before_newer_ones_and_psql_may_stand_elsewhere,
    texts_that_are_not_utf_8_come_back_as_they_were,
    no_program_is_told_of_a_password_where_others_can_read_it,
    a_scratch_database_is_emptied_and_begun_anew,
    a_partitioned_table_goes_and_comes_back,
    a_version_table_in_a_schema_of_its_own_is_kept_too,
    what_is_put_back_has_the_rights_that_were_granted_and_no_others,
    of_several_schemas_version_tables_it_is_the_one_that_was_meant,
    a_database_with_any_name_has_backups,
];

pub fn a_backup_brings_everything_back(server: &Server) {
    let world = World::filled(server);
    world.does(EVERYTHING);
    let ran = world.run(&["backup"]).done();
    let before = world.dump();
    let [backup] = &world.backups()[..] else { panic!("{:?}", world.backups()) };
    let name = backup.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("dev~") && name.ends_with("Z-a1.dump"), "{name}");
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

pub fn extensions_stay_where_they_are_and_those_that_came_later_go(server: &Server) {
    let world = World::filled(server);
    let there = "SELECT count(*) FROM pg_available_extensions WHERE name IN ('citext', 'hstore', 'pg_trgm')";
    assert_eq!(world.database.ask(there), "3", "the server is installed without what comes along with it");
    world.does(
        "CREATE EXTENSION citext; CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; COMMENT ON EXTENSION hstore IS 'ours'; \
         CREATE TABLE public.cased (x citext, y ext.hstore); INSERT INTO cased VALUES ('A', 'k=>v')",
    );
    world.run(&["backup"]).done();
    let before = world.dump();
    let oid = world.database.ask("SELECT oid FROM pg_extension WHERE extname = 'hstore'");
    world.does("CREATE EXTENSION pg_trgm; DROP TABLE cased; CREATE TABLE ext.more (x citext)");
    world.run(&["restore", "--yes"]).done();
    same(&world.dump(), &before);
    assert_eq!(world.database.ask("SELECT oid FROM pg_extension WHERE extname = 'hstore'"), oid);
    // One that is gone comes back.
    world.does("DROP EXTENSION citext CASCADE; DROP SCHEMA ext CASCADE");
    world.run(&["restore", world.backups()[0].to_str().unwrap(), "--yes"]).done();
    same(&world.dump(), &before);
}

pub fn a_database_that_is_not_there_is_made(server: &Server) {
    let world = World::filled(server);
    world.run(&["backup", "--to", "b.dump"]).done();
    let name = format!("{}_new", world.database.name);
    let url = world.url(&name);
    world.run(&["-d", &url, "backup"]).refused(&["missing-database"]);
    world.run(&["-d", &url, "restore", "b.dump", "--yes"]).refused(&["missing-database", "`restore --create`"]);
    world.run(&["-d", &url, "restore", "b.dump", "--yes", "--create"]).done();
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
