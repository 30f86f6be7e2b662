//! What `upgrade --each` on a server leaves alone, asks about or refuses.

use crate::harness::ended;
use crate::server::Server;
use crate::tenants::{Tenants, ask};

tests![
    what_is_no_tenant_is_left_out_and_named,
    what_is_left_out_of_a_pattern_is_taken_where_it_is_named,
    a_pattern_that_finds_nothing_is_an_error,
    what_does_not_go_together_is_refused,
    a_configured_one_among_them_is_written_by_its_role,
    schemas_do_not_share_one_version_table,
];

pub fn what_is_no_tenant_is_left_out_and_named(server: &Server) {
    let tenants = Tenants::databases(server, 2);
    let (own, mut client) = (&tenants.own, tenants.open("postgres"));
    // Given a copy that a rehearsal has made, a template, one that takes nobody, and one that is not for this role.
    let role = format!("{own}_role");
    client.batch_execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    let copy = format!("cargo_migrate_rehearsal_{own}_1");
    let [template, shut, others] = ["template", "shut", "others"].map(|name| format!("{own}_{name}"));
    for name in [&copy, &template, &shut, &others] {
        client.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
    }
    client.batch_execute(&format!("ALTER DATABASE {template} IS_TEMPLATE true")).unwrap();
    client.batch_execute(&format!("ALTER DATABASE {shut} ALLOW_CONNECTIONS false")).unwrap();
    client.batch_execute(&format!("REVOKE CONNECT ON DATABASE {others} FROM PUBLIC")).unwrap();
    for number in 0..2 {
        client.batch_execute(&format!("ALTER DATABASE {} OWNER TO {role}", tenants.name(number))).unwrap();
    }
    let pattern = tenants.url(&role, &format!("*{own}_*"));
    let ran = tenants.project.run_bounded(&["upgrade", "--each", &pattern, "--format", "json"]);
    (0..2).for_each(|number| tenants.is_upgraded(number));
    // What might be a tenant and cannot be entered is behind, and nobody is to believe otherwise.
    let counts = &ran.json()["counts"];
    assert_eq!((ran.status, &counts["databases"], &counts["failed"]), (1, &4.into(), &2.into()));
    let expected: Vec<String> = [&copy, &template].map(|name| tenants.url(&role, name)).into();
    assert_eq!(ran.json()["left_out"], serde_json::json!(expected));
    let ran = tenants.project.run_bounded(&["upgrade", "--each", &pattern]).refused(&[
        "2 databases left out, as a server's own, templates, rehearsals' copies",
        "2 of 4 databases failed",
        "SQLSTATE 55000",
        "SQLSTATE 42501",
    ]);
    let grant = format!("`GRANT CONNECT ON DATABASE \"{others}\" TO \"{role}\"`");
    assert!(ran.err.contains(&grant) && ran.err.contains("ALLOW_CONNECTIONS true"), "{}", ran.err);
    client.batch_execute(&format!("ALTER DATABASE {template} IS_TEMPLATE false")).unwrap();

    // So it is with schemas.
    let tenants = Tenants::schemas(server, 2);
    let mut client = tenants.open(&tenants.own);
    client.batch_execute(&format!("GRANT USAGE, CREATE ON SCHEMA tenant_00 TO {role}")).unwrap();
    let pattern = tenants.url(&role, &format!("{}?schema=tenant_*", tenants.own));
    let grant = format!("`GRANT USAGE ON SCHEMA \"tenant_01\" TO \"{role}\"`");
    tenants.project.run_bounded(&["upgrade", "--each", &pattern]).refused(&["1 of 2 databases failed", &grant]);
    tenants.is_upgraded(0);
    tenants.is_as_before(1);
}

pub fn what_is_left_out_of_a_pattern_is_taken_where_it_is_named(server: &Server) {
    let tenants = Tenants::databases(server, 1);
    let copy = format!("cargo_migrate_rehearsal_{}_1", tenants.own);
    tenants.open("postgres").batch_execute(&format!("CREATE DATABASE {copy}")).unwrap();
    let (pattern, named) = (tenants.url("postgres", &format!("*{}_*", tenants.own)), tenants.url("postgres", &copy));
    let ran = tenants.project.run_bounded(&["upgrade", "--each", &pattern, "--each", &named]).done();
    assert!(ran.err.contains("upgrade of 2 databases") && !ran.err.contains("left out"), "{}", ran.err);
    tenants.is_upgraded(0);
    assert_eq!(ask(&mut tenants.open(&copy), "SELECT count(*) FROM _cargo_migrate"), "2");
    // One that two patterns find is taken once, whoever asks.
    let again = tenants.url("postgres:other", &format!("{}_0[0-9]", tenants.own));
    let ran = tenants.project.run_bounded(&["upgrade", "--each", &pattern, "--each", &again]).done();
    assert!(ran.err.contains("nothing to do on 1 database\n"), "{}", ran.err);
}

pub fn a_pattern_that_finds_nothing_is_an_error(server: &Server) {
    let tenants = Tenants::schemas(server, 1);
    let refuses = |rest: &str, words: &[&str]| {
        let pattern = tenants.url("postgres:s3cret", rest);
        let ran = tenants.project.refuses(&["upgrade", "--each", &pattern], words);
        assert!(!ran.err.contains("s3cret"), "{}", ran.err);
    };
    let own = &tenants.own;
    refuses("nobody_*", &["error[missing-database]", "`nobody_*` finds no database on the server"]);
    refuses("nobody", &["error[missing-database]", "`nobody` finds no database"]);
    refuses(&format!("{own}?schema=Tenant_*"), &["error[missing-database]", "`Tenant_*` finds no schema", "capitals"]);
    refuses(&format!("{own}?schema=tenant_0"), &["error[missing-database]", "`tenant_0` finds no schema"]);
    // The server's own schemas and databases are no tenants.
    refuses(&format!("{own}?schema=pg_*"), &["error[missing-database]"]);
    refuses(&format!("{own}?schema=information_*"), &["error[missing-database]"]);
    refuses("postgre[s]", &["error[missing-database]", "what it fits is a server's own"]);
    refuses("template*", &["error[missing-database]", "/template0, ", "/template1"]);
    tenants.is_as_before(0);
}

pub fn what_does_not_go_together_is_refused(server: &Server) {
    let tenants = Tenants::databases(server, 1);
    tenants.project.write("tenants/a.db", "");
    let misused = |arguments: &[&str], words: &[&str]| {
        let before = tenants.project.contents();
        let ran = tenants.project.run_bounded(&[&["upgrade"], arguments].concat());
        assert_eq!(ran.status, 2, "{arguments:?}\n{}", ran.err);
        words.iter().for_each(|word| assert!(ran.err.contains(word), "`{word}` is not in\n{}", ran.err));
        assert!(!ran.err.contains("s3cret"), "{}", ran.err);
        assert_eq!(tenants.project.contents(), before);
    };
    let pattern = tenants.url("postgres:s3cret", &format!("{}_*", tenants.own));
    misused(&["--each", &pattern, "--each", "tenants/*.db"], &["files and databases of a server"]);
    misused(&["--each", &pattern, "-d", "dev"], &["`-d` names one database"]);
    misused(&["--each", &pattern, &pattern], &["the target is a URL", "write `--each` before each of them"]);
    misused(&["--each", &tenants.url("postgres:s3cret", "a[b")], &["`a[b` is no pattern", "help: "]);
    misused(&["--each", &tenants.url("postgres:s3cret", "a?schema=a**")], &["`a**` is no pattern"]);
    misused(&["--each", "sqlite://tenants/*.db"], &["a server's URL", "--each 'tenants/*.db'"]);
    let refuses = |pattern: &str, words: &[&str]| {
        let ran = tenants.project.refuses(&["upgrade", "--each", pattern], words);
        assert!(!ran.err.contains("s3cret"), "{}", ran.err);
    };
    refuses("env:NOBODY_SET_IT", &["error[missing-variable]", "`NOBODY_SET_IT`"]);
    refuses("postgress://me:s3cret@localhost/a_*", &["error[invalid-database-url]"]);
    // A variable is not followed to files.
    let mut child = tenants.project.command(&["upgrade", "--each", "env:TENANTS"]);
    child.env("TENANTS", "sqlite:tenants/a.db");
    assert_eq!(ended(child).status, 2);
    tenants.is_as_before(0);
}

pub fn a_configured_one_among_them_is_written_by_its_role(server: &Server) {
    let tenants = Tenants::databases(server, 2);
    let role = format!("{}_owner", tenants.own);
    tenants.open("postgres").batch_execute(&format!("CREATE ROLE {role}")).unwrap();
    let mut client = tenants.enter(1);
    client.batch_execute(&format!("GRANT CREATE ON SCHEMA public TO {role}")).unwrap();
    let (manifest, url) = (tenants.project.read("Cargo.toml"), tenants.url_of(1));
    let more = format!("prod = {{ url = \"{url}\", role = \"{role}\" }}\n");
    tenants.project.write("Cargo.toml", &(manifest + &more));
    tenants.each(&[]).done();
    (0..2).for_each(|number| tenants.is_upgraded(number));
    let owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'log'";
    assert_eq!(ask(&mut client, owner), role);
    assert_eq!(ask(&mut tenants.enter(0), owner), "postgres");
}

/// With one version table for all, the second schema would look as if it had everything.
pub fn schemas_do_not_share_one_version_table(server: &Server) {
    let tenants = Tenants::schemas(server, 2);
    let manifest = tenants.project.read("Cargo.toml");
    tenants.project.write(
        "Cargo.toml",
        &manifest.replace("database = \"dev\"", "database = \"dev\"\nversion-table = \"public.versions\""),
    );
    let ran = tenants.each(&[]);
    assert_eq!(ran.status, 2, "{}", ran.err);
    assert!(ran.err.contains("`version-table` names the schema `public`"), "{}", ran.err);
    (0..2).for_each(|number| tenants.is_as_before(number));
}
