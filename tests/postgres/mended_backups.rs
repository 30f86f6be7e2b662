//! Backups as people meet them on a server that several roles use.

use crate::ground::OnServer;
use crate::harness::{Project, table};
use crate::server::Server;

tests! {
    a_database_that_was_made_in_vain_is_gone_again,
    default_privileges_of_a_stranger_are_left_out_by_name,
}

/// A project with one revision applied and a row.
fn filled(ground: &OnServer) -> Project {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t").replace("(x)", "(x int)"));
    project.run(&["upgrade"]).done();
    project.execute("INSERT INTO t VALUES (1)");
    project
}

fn a_database_that_was_made_in_vain_is_gone_again(server: &Server) {
    let ground = OnServer::of(server);
    let project = filled(&ground);
    // Given a backup that no server takes: what a row is checked by is set in one session alone.
    project.execute(
        "CREATE FUNCTION fine(x int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN current_setting('app.fine', true) IS NOT NULL; END $$; \
         SET app.fine = 'yes'; CREATE TABLE picky (x int CHECK (fine(x))); INSERT INTO picky VALUES (1)",
    );
    project.run(&["backup", "--to", "picky.dump"]).done();
    let url = ground.url_of("made_in_vain");
    let there = "SELECT count(*) FROM pg_database WHERE datname = 'made_in_vain'";
    project
        .run(&["-d", &url, "restore", "picky.dump", "--yes"])
        .refused(&["error[missing-database]", "`restore --create` makes a new one"])
        .is_printable();
    assert_eq!(project.ask(there), "0");
    let ran = project.run(&["-d", &url, "restore", "picky.dump", "--yes", "--create"]);
    let ran = ran.refused(&["error[not-restored]", "picky", "that was made for it"]);
    assert!(!ran.err.contains("as it was"), "{}", ran.err);
    assert_eq!(project.ask(there), "0");
}

fn default_privileges_of_a_stranger_are_left_out_by_name(server: &Server) {
    let ground = OnServer::of(server);
    let project = filled(&ground);
    project.execute(
        "CREATE ROLE ana; CREATE ROLE carl LOGIN CREATEDB; ALTER DEFAULT PRIVILEGES FOR ROLE ana IN SCHEMA public GRANT SELECT ON TABLES TO carl",
    );
    project.run(&["backup", "--to", "anas.dump"]).done();
    let url = ground.url_of("carls_own").replace("postgres@", "carl@");
    let ran = project.run(&["-d", &url, "restore", "anas.dump", "--yes", "--create"]).done();
    let ran = ran.says("no member of `ana`: DEFAULT PRIVILEGES FOR TABLES").says("`GRANT \"ana\"`");
    ran.is_printable();
    let mut restored = ground.session("carls_own");
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 't'";
    assert_eq!(restored.query_one(owner, &[]).unwrap().get::<_, String>(0), "carl");
    drop(restored);
    ground.session("postgres").batch_execute("DROP DATABASE carls_own").unwrap();
    project.execute("DROP OWNED BY ana; DROP OWNED BY carl; DROP ROLE ana, carl");
}
