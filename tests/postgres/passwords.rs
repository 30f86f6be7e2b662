//! A password with every reserved character in it works, and nobody but the server ever sees it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::ground::OnServer;
use crate::harness::{Project, Ran};
use crate::server::Server;

tests! {
    a_password_of_reserved_characters_works_and_appears_nowhere,
}

const PASSWORD: &str = "p:/?#[]@!$&'()*+,;=%41 \"<>\\^`{|}~-._é";

/// As a URL has it: nothing is left to be misunderstood.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Parts of it that no chance would put together.
fn is_in(text: &str) -> bool {
    [PASSWORD, &encoded(PASSWORD), "%5B%5D%40", "[]@!$", "{|}~-._é", "%41 \"<>"].iter().any(|part| text.contains(part))
}

#[track_caller]
fn hides(ran: &Ran) {
    assert!(!is_in(&ran.out) && !is_in(&ran.err), "the password is shown\n{}\n{}", ran.out, ran.err);
}

fn a_password_of_reserved_characters_works_and_appears_nowhere(server: &Server) {
    let own = Server::start_with(
        &server.programs,
        &[("pg_hba.conf", "local all postgres trust\nlocal all all scram-sha-256\n")],
    );
    let role = format!("CREATE ROLE app SUPERUSER LOGIN PASSWORD '{}'", PASSWORD.replace('\'', "''"));
    OnServer::of(&own).session("postgres").batch_execute(&role).unwrap();
    let url = |password: &str| {
        OnServer::of(&own).url_of("postgres").replace("postgres@", &format!("app:{}@", encoded(password)))
    };
    let project = Project::new();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("\"sqlite:app.db\"", "\"env:SHOP\"").replace("test = ", "# test = "));
    let run = |url: &str, arguments: &[&str]| {
        let ran = Ran::of(&project.command(arguments).env("SHOP", url).output().unwrap());
        hides(&ran);
        ran
    };
    let good = url(PASSWORD);
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x int);\n-- migrate:down\nDROP TABLE t;\n",
    );
    run(&good, &["upgrade"]).done();
    for looking in [&["status"][..], &["current"], &["history"], &["verify"], &["show", "a1"]] {
        run(&good, looking).done();
        run(&good, &[looking, &["--format", "json"]].concat()).done();
        run(&good, &[looking, &["-v"]].concat()).done();
    }
    // While it runs, nobody reads it in the list of processes, nor in the server's.
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nSELECT pg_sleep(1);\n-- migrate:down\nSELECT 1;\n");
    let mut child = project.command(&["upgrade"]).env("SHOP", &good).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    let mut looked = 0;
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(60));
        looked += usize::from(
            command_lines()
                .iter()
                .inspect(|line| assert!(!is_in(line), "{line}"))
                .any(|line| line.contains("cargo-migrate")),
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(looked > 0, "the run was never seen");
    let ran = Ran::of(&child.wait_with_output().unwrap()).done();
    hides(&ran);
    // Nor does what goes wrong tell it: in the file, on the server, in the password itself, on the way there.
    project.migration("a3", "-- migrate:parent a2\n-- migrate:up\nCREATE TABEL x (y int);\n");
    run(&good, &["upgrade"]).refused(&["sql-error"]);
    run(&good, &["upgrade", "--format", "json"]).refused(&["sql-error"]);
    let wrong = url(&format!("{PASSWORD}x"));
    for format in ["text", "json"] {
        run(&wrong, &["upgrade", "--format", format]).refused(&["password authentication failed", "help: "]);
        for bad in [
            good.replace("%2F", "%2Fnowhere%2F"),
            good.replace("/postgres", "/not_there"),
            good.replace("postgres://", "postgers://"),
            format!("{good}?nonsense=1"),
            good.replace("%2Ftmp", "[%2Ftmp"),
        ] {
            assert_eq!(run(&bad, &["upgrade", "--format", format]).status, 1, "{bad}");
        }
        // On the command line itself it stands in the list of processes, but in no answer.
        for arguments in [&["status"][..], &["downgrade", "-1"], &["delete", "a1"], &["upgrade"]] {
            run("sqlite:other.db", &[&["-d", &good, "--format", format], arguments].concat());
        }
    }
    // No file has it: not the locks, not what the command keeps for itself.
    let grep = Command::new("grep")
        .args(["-rlaF", "-e", PASSWORD, "-e", &encoded(PASSWORD), "."])
        .current_dir(project.path("."))
        .output()
        .unwrap();
    assert_eq!(grep.status.code(), Some(1), "{}", String::from_utf8_lossy(&grep.stdout));
    assert!(
        project.read("migrations/migrate.lock").contains("dev") && !is_in(&project.read("migrations/migrate.lock"))
    );
}

/// The command lines of all processes, where the system shows them.
fn command_lines() -> Vec<String> {
    let output = Command::new("ps").args(["-eo", "args", "-ww"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
