//! Engines with the same protocol that cannot do what a run counts on. What stands between these tests and their server
//! makes it one.

use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use migrate_runtime::runner::DATABASE;
use postgres::NoTls;

use crate::running::{USERS, embedded};
use crate::server::{Server, config};
use crate::sessions::{message, until_ready};

crate::tests![
    an_engine_that_keeps_no_advisory_locks_is_refused_by_name,
    an_engine_that_keeps_definitions_after_a_rollback_is_refused_by_name,
    an_engine_of_another_name_that_can_do_it_all_is_used,
];

/// A text of the same length in the place of each of these, in what is asked (`true`) or answered.
type Edits = &'static [(bool, &'static str, &'static str)];

const OTHER_NAME: (bool, &str, &str) = (false, "PostgreSQL 15", "Another/db 15");

fn upgrade(server: &Server, edits: Edits) -> (String, String) {
    let database = server.database();
    let folder = tempfile::Builder::new().prefix("engine").tempdir_in("/tmp").unwrap();
    let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
    let target = server.socket().join(".s.PGSQL.5432");
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        // It ends with the client's connection.
        let _ = between(&mut client, &target, edits);
    });
    let mut client = config(folder.path(), &database.name).connect(NoTls).unwrap();
    let told = match embedded("app", &[USERS]).upgrade(&mut client) {
        Ok(_) => "done".to_owned(),
        Err(error) => {
            assert_eq!(error.code(), DATABASE);
            error.to_string()
        }
    };
    (told, database.tables())
}

fn between(client: &mut UnixStream, target: &Path, edits: Edits) -> std::io::Result<()> {
    let mut server = UnixStream::connect(target)?;
    server.write_all(&message(client, false)?)?;
    client.write_all(&until_ready(&mut server)?)?;
    loop {
        server.write_all(&edited(message(client, true)?, true, edits))?;
        client.write_all(&edited(until_ready(&mut server)?, false, edits))?;
    }
}

fn edited(mut bytes: Vec<u8>, asked: bool, edits: Edits) -> Vec<u8> {
    for (_, from, to) in edits.iter().filter(|(when, ..)| *when == asked) {
        assert_eq!(from.len(), to.len());
        while let Some(at) = bytes.windows(from.len()).position(|window| window == from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    bytes
}

fn an_engine_that_keeps_no_advisory_locks_is_refused_by_name(server: &Server) {
    let (told, tables) = upgrade(server, &[OTHER_NAME, (true, "l.granted", "false    ")]);
    assert!(told.contains("does not hold it: Another/db 15"), "{told}");
    assert_eq!(tables, "");
    let (told, tables) = upgrade(server, &[(true, "pg_try_advisory_lock", "pg_try_no_such__lock")]);
    assert!(told.contains("this server has no advisory locks"), "{told}");
    assert_eq!(tables, "");
}

fn an_engine_that_keeps_definitions_after_a_rollback_is_refused_by_name(server: &Server) {
    let (told, tables) = upgrade(server, &[OTHER_NAME, (true, "; ROLLBACK;", "; COMMIT  ;")]);
    assert!(told.contains("rolled back: Another/db 15") && told.contains("half-way"), "{told}");
    assert_eq!(tables, "");
}

fn an_engine_of_another_name_that_can_do_it_all_is_used(server: &Server) {
    assert_eq!(upgrade(server, &[OTHER_NAME]), ("done".to_owned(), "users".to_owned()));
}
