//! What can happen to a run from outside: nothing of it stays, it is told what happened, and the next run succeeds.

use std::cell::RefCell;
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use migrate_runtime::event::Event;
use migrate_runtime::migrations::Error;
use migrate_runtime::runner::{DATABASE, SQL_ERROR};
use postgres::{Client, NoTls};

use crate::running::{Texts, USERS, embedded, names};
use crate::server::{Database, Server, config, programs};
use crate::sessions::eventually;

crate::tests![
    a_server_process_that_is_killed_takes_back_what_it_was_doing,
    a_whole_server_that_is_killed_takes_back_what_it_was_doing_when_it_is_started_again,
    a_line_that_is_cut_takes_back_what_was_done_over_it,
    a_right_that_is_revoked_in_the_middle_is_told_at_the_statement_that_lacks_it,
    a_disk_that_is_full_is_told_as_such,
];

const TEXTS: Texts = &[
    USERS,
    ("a2", "-- migrate:up\nCREATE TABLE slow (a int);\nINSERT INTO slow VALUES (1);\n"),
    ("a3", "-- migrate:up\nCREATE TABLE last (a int);\n"),
];

/// Upgrades, with something that happens once the second revision has run.
fn interrupted(client: &mut Client, happens: impl FnOnce()) -> Error {
    let mut happens = Some(happens);
    let observe = |event: Event<'_>| {
        if matches!(event, Event::Finished(step, _) if step.id.as_str() == "a2") {
            happens.take().unwrap()();
        }
    };
    embedded("app", TEXTS).migrator().observe(observe).upgrade(client).unwrap_err()
}

/// The database is as it was before the run, and the next run does it all.
fn as_if_never_begun(database: &Database<'_>, client: &mut Client) {
    assert_eq!(database.tables(), "");
    assert_eq!(database.ask("SELECT to_regclass('_cargo_migrate') IS NULL"), "t");
    assert_eq!(names(&embedded("app", TEXTS).upgrade(client).unwrap().done), ["a1", "a2", "a3"]);
    assert_eq!((database.ask("SELECT count(*) FROM slow"), database.advisory_locks()), ("1".into(), "0".into()));
}

fn is_lost(error: &Error) {
    assert_eq!(error.code(), DATABASE, "{error}");
    for words in ["connection to the database is lost", "rolls back what was not committed", "a3.sql:2:1"] {
        assert!(error.to_string().contains(words), "`{words}` is not in\n{error}");
    }
}

fn kill(process: &str) {
    assert!(Command::new("kill").args(["-KILL", process.trim()]).status().unwrap().success());
}

// A server ends all its sessions when one process is killed, so these have servers of their own.

fn a_server_process_that_is_killed_takes_back_what_it_was_doing(_: &Server) {
    let server = Server::start(&programs().unwrap());
    let database = server.database();
    let error = interrupted(&mut database.connect(), || {
        kill(&database.ask("SELECT pid FROM pg_locks WHERE locktype = 'advisory'"));
    });
    is_lost(&error);
    eventually("the server is there again", || database.config().connect(NoTls).is_ok());
    as_if_never_begun(&database, &mut database.connect());
}

/// A server that was started again; it ends with this.
struct Again(Child);

impl Drop for Again {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn a_whole_server_that_is_killed_takes_back_what_it_was_doing_when_it_is_started_again(_: &Server) {
    let server = Server::start(&programs().unwrap());
    let (folder, database) = (server.socket(), server.database());
    let error = interrupted(&mut database.connect(), || {
        let file = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
        let session = database.ask("SELECT pid FROM pg_locks WHERE locktype = 'advisory'");
        kill(file.lines().next().unwrap());
        kill(&session);
    });
    is_lost(&error);
    // The dead server is still known to the system as a process of these tests', so that the new one would not start.
    for lock in ["data/postmaster.pid", ".s.PGSQL.5432.lock"] {
        std::fs::remove_file(folder.join(lock)).unwrap();
    }
    let owner = std::fs::metadata(folder.join("data")).unwrap();
    let start = || {
        let mut command = Command::new(programs().unwrap().join("postgres"));
        if std::fs::metadata(folder.parent().unwrap()).unwrap().uid() != owner.uid() {
            command.gid(owner.gid()).uid(owner.uid());
        }
        let quiet = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Again(
            quiet.args(["-D", "data", "-c", "listen_addresses=", "-c", "fsync=off", "-k"]).arg(folder).spawn().unwrap(),
        )
    };
    let mut again = start();
    eventually("the server is there again", || {
        // It refuses to start while a process of before still ends.
        if again.0.try_wait().unwrap().is_some() {
            again = start();
        }
        database.config().connect(NoTls).is_ok()
    });
    as_if_never_begun(&database, &mut database.connect());
}

fn a_line_that_is_cut_takes_back_what_was_done_over_it(server: &Server) {
    let database = server.database();
    let folder = tempfile::Builder::new().prefix("line").tempdir_in("/tmp").unwrap();
    let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
    let far = UnixStream::connect(server.socket().join(".s.PGSQL.5432")).unwrap();
    let near = RefCell::new(None);
    std::thread::scope(|scope| {
        let connected = scope.spawn(|| config(folder.path(), &database.name).connect(NoTls).unwrap());
        let (accepted, _) = listener.accept().unwrap();
        for (from, to) in [(&accepted, &far), (&far, &accepted)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
        *near.borrow_mut() = Some(accepted);
        let mut client = connected.join().unwrap();
        let error = interrupted(&mut client, || {
            far.shutdown(Shutdown::Both).unwrap();
            near.take().unwrap().shutdown(Shutdown::Both).unwrap();
        });
        is_lost(&error);
    });
    eventually("the server has noticed", || database.advisory_locks() == "0");
    as_if_never_begun(&database, &mut database.connect());
}

fn a_right_that_is_revoked_in_the_middle_is_told_at_the_statement_that_lacks_it(server: &Server) {
    let database = server.database();
    let role = format!("loser_{}", database.name);
    let mut owner = database.connect();
    owner.batch_execute(&format!("CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}")).unwrap();
    let mut client = database.config().user(&role).connect(NoTls).unwrap();
    let error = interrupted(&mut client, || {
        owner.batch_execute(&format!("REVOKE CREATE ON SCHEMA public FROM {role}")).unwrap();
    });
    assert_eq!(error.code(), SQL_ERROR, "{error}");
    for words in
        ["permission denied for schema public", "SQLSTATE 42501", "a3.sql:2:14", "nothing of this run was kept"]
    {
        assert!(error.to_string().contains(words), "`{words}` is not in\n{error}");
    }
    owner.batch_execute(&format!("GRANT CREATE ON SCHEMA public TO {role}")).unwrap();
    as_if_never_begun(&database, &mut client);
}

fn a_disk_that_is_full_is_told_as_such(server: &Server) {
    let database = server.database();
    let mut owner = database.connect();
    let full = "CREATE FUNCTION full_disk() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF to_regclass('last') IS NOT NULL THEN RAISE 'could not extend file: No space left on device' \
        USING ERRCODE = 'disk_full'; END IF; END $$; \
        CREATE EVENT TRIGGER full_disk ON ddl_command_end EXECUTE FUNCTION full_disk()";
    let mut client = database.connect();
    // Nothing happens but that the disk is full from the third revision on.
    owner.batch_execute(full).unwrap();
    let error = interrupted(&mut client, || {});
    assert_eq!(error.code(), DATABASE, "{error}");
    for words in ["the server has no room left", "No space left on device", "a3.sql:2:1", "make room"] {
        assert!(error.to_string().contains(words), "`{words}` is not in\n{error}");
    }
    owner.batch_execute("DROP EVENT TRIGGER full_disk").unwrap();
    as_if_never_begun(&database, &mut client);
}
