//! From a URL to a session: passwords, TLS, what went wrong.
//!
//! The server of these tests listens on 127.0.0.1. Its certificate is for `localhost`; the role `app` has a password of
//! every reserved character, `cert` comes with a certificate, and `bare` is taken without TLS alone.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Once};
use std::time::{Duration, Instant};

use migrate_runtime::Migrations;
use migrate_runtime::connection::{DatabaseError, ErrorKind};
use migrate_runtime::runner::DATABASE;
use migrate_runtime::server::{Environment, INVALID, ServerUrl, inherited_variables};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::running::{USERS, embedded, names};
use crate::server::{Database, Server};

crate::tests![
    a_password_of_every_reserved_character_comes_by_url_variable_file_and_service,
    a_wrong_password_is_told_and_not_shown,
    a_missing_password_is_told_with_the_reason,
    a_server_is_trusted_as_far_as_sslmode_says,
    a_server_without_tls_is_taken_only_where_sslmode_lets_it,
    what_one_way_is_refused_is_tried_the_other_way,
    a_certificate_stands_for_a_password,
    a_password_is_tied_to_the_connection,
    what_cannot_be_reached_is_told,
    of_several_hosts_the_first_that_fits_is_taken,
    a_schema_is_the_search_path_also_of_a_child,
    a_url_is_all_that_an_upgrade_needs,
    a_database_that_is_not_there_is_told,
];

const PASSWORD: &str = ":/?#[]@!$&'()*+,;=% \"\\~é漢";

/// A root with what it has signed for the server and for the role `cert`, each with its key.
struct Issued {
    root: String,
    server: [String; 2],
    client: [String; 2],
}

fn issue() -> Issued {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "the tests' root");
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let signed = |names: &[&str], common: &str| {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        let key = KeyPair::generate().unwrap();
        [params.signed_by(&key, &root).unwrap().pem(), key.serialize_pem()]
    };
    Issued { root: root.pem(), server: signed(&["localhost"], "server"), client: signed(&[], "cert") }
}

static ISSUED: LazyLock<Issued> = LazyLock::new(issue);

/// What the server's folder has besides.
pub fn files() -> [(&'static str, &'static str); 4] {
    let rules = "local all postgres trust\nlocal all all scram-sha-256\nhostssl all cert 127.0.0.1/32 cert\n\
        hostnossl all bare 127.0.0.1/32 scram-sha-256\nhostssl all bare 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let [certificate, key] = &ISSUED.server;
    [("server.crt", certificate), ("server.key", key), ("root.crt", &ISSUED.root), ("pg_hba.conf", rules)]
}

/// A database that belongs to `app`.
fn prepared(server: &Server) -> Database<'_> {
    static ROLES: Once = Once::new();
    let database = server.database();
    ROLES.call_once(|| {
        let password = PASSWORD.replace('\'', "''");
        for role in ["app", "bare", "cert"] {
            database.connect().batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'")).unwrap();
        }
    });
    database.connect().batch_execute(&format!("ALTER DATABASE {} OWNER TO app", database.name)).unwrap();
    database
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// `postgres://app:PASSWORD@HOST:PORT/DATABASE` and what follows.
fn url(database: &Database<'_>, host: &str, rest: &str) -> String {
    format!("postgres://app:{}@{host}:{}/{}{rest}", escaped(PASSWORD), database.server.port, database.name)
}

fn open(url: &str, variables: &[(&str, String)], home: Option<&Path>) -> Result<postgres::Client, DatabaseError> {
    let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
    let environment = Environment { variable: &variable, home: home.map(Path::to_owned), user: None };
    let url = ServerUrl::parse(url, &environment).unwrap();
    url.connect("the tests").map_err(|error| {
        assert_eq!(error.kind, ErrorKind::CannotOpen);
        let told = format!("{error} {error:?} {url:?}");
        assert!(!told.contains(PASSWORD) && !told.contains(&escaped(PASSWORD)), "{told}");
        error
    })
}

fn connect(url: &str) -> Result<postgres::Client, DatabaseError> {
    open(url, &[], None)
}

/// The server's words and the way out.
#[track_caller]
fn refused(url: &str) -> String {
    told(&connect(url).err().unwrap())
}

fn told(error: &DatabaseError) -> String {
    format!("{error}\n{}", error.server.as_ref().and_then(|words| words.hint.clone()).unwrap_or_default())
}

fn ask(client: &mut postgres::Client, query: &str) -> String {
    let rows = client.simple_query(query).unwrap();
    let row = rows.iter().find_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    row.unwrap_or_default()
}

fn is_encrypted(client: &mut postgres::Client) -> bool {
    ask(client, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "t"
}

fn private(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path
}

fn a_password_of_every_reserved_character_comes_by_url_variable_file_and_service(server: &Server) {
    let database = prepared(server);
    let home = tempfile::tempdir().unwrap();
    let (port, name) = (server.port, &database.name);
    let bare = format!("postgres://app@localhost:{port}/{name}");
    let check = |url: &str, variables: &[(&str, String)]| {
        let mut client = open(url, variables, Some(home.path())).unwrap();
        assert_eq!(ask(&mut client, "SELECT current_user || current_database()"), format!("app{name}"), "{url}");
    };
    check(&url(&database, "localhost", ""), &[]);
    check(&format!("{bare}?password={}", escaped(PASSWORD)), &[]);
    check(&bare, &[("PGPASSWORD", PASSWORD.to_owned())]);
    let folder = escaped(&server.socket().to_string_lossy());
    check(&url(&database, &folder, ""), &[]);
    let line = PASSWORD.replace('\\', "\\\\").replace(':', "\\:");
    private(home.path(), ".pgpass", &format!("localhost:*:*:other:wrong\nlocalhost:{port}:*:app:{line}\n"));
    check(&bare, &[]);
    std::fs::remove_file(home.path().join(".pgpass")).unwrap();
    let service = format!("[live]\nhost=localhost\nport={port}\nuser=app\ndbname={name}\npassword={PASSWORD}\n");
    private(home.path(), ".pg_service.conf", &service);
    check("postgres://", &[("PGSERVICE", "live".to_owned()), ("PGHOST", "nowhere.invalid".to_owned())]);
}

fn a_wrong_password_is_told_and_not_shown(server: &Server) {
    let database = prepared(server);
    let wrong = "wr:o/n?g @\\";
    let url = format!("postgres://app:{}@localhost:{}/{}", escaped(wrong), server.port, database.name);
    let error = connect(&url).err().unwrap();
    assert_eq!(error.sqlstate(), "28P01");
    assert!(told(&error).contains("password authentication failed for user \"app\""), "{error}");
    assert!(told(&error).contains("`@` as `%40`"), "{error:?}");
    assert!(!format!("{error:?}").contains(wrong));
    let stopped = embedded("app", &[USERS]).upgrade_url(&url).unwrap_err();
    assert_eq!(stopped.code(), DATABASE);
    assert!(stopped.to_string().contains("SQLSTATE 28P01") && stopped.to_string().contains("app:***@"), "{stopped}");
    assert!(!format!("{stopped} {:?}", stopped.problems()).contains(&escaped(wrong)));
}

fn a_missing_password_is_told_with_the_reason(server: &Server) {
    let database = prepared(server);
    let home = tempfile::tempdir().unwrap();
    let url = format!("postgres://app@localhost:{}/{}", server.port, database.name);
    let none = told(&open(&url, &[], Some(home.path())).err().unwrap());
    assert!(
        none.contains("asks for the password of `app`, and there is none") && none.contains("PGPASSWORD"),
        "{none}"
    );
    let path = private(home.path(), ".pgpass", "*:*:*:*:secret\n");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let ignored = told(&open(&url, &[], Some(home.path())).err().unwrap());
    assert!(ignored.contains("chmod 600") && !ignored.contains("secret"), "{ignored}");
}

fn a_server_is_trusted_as_far_as_sslmode_says(server: &Server) {
    let database = prepared(server);
    let home = tempfile::tempdir().unwrap();
    let root = private(home.path(), "root.crt", &ISSUED.root);
    let other = private(home.path(), "other.crt", &issue().root);
    let none = private(home.path(), "none.crt", "nothing\n");
    let (root, other, none) = (root.display(), other.display(), none.display());
    for (host, rest) in [
        ("localhost", "?sslmode=require".to_owned()),
        ("127.0.0.1", "?sslmode=require".to_owned()),
        ("127.0.0.1", format!("?sslmode=require&sslrootcert={root}")),
        ("127.0.0.1", format!("?sslmode=verify-ca&sslrootcert={root}")),
        ("localhost", format!("?sslmode=verify-full&sslrootcert={root}")),
        ("localhost", format!("?sslmode=verify-full&sslrootcert={root}&hostaddr=127.0.0.1")),
    ] {
        let mut client = connect(&url(&database, host, &rest)).unwrap();
        assert!(is_encrypted(&mut client), "{host} {rest}");
    }
    for (host, rest, said) in [
        ("127.0.0.1", format!("?sslmode=verify-full&sslrootcert={root}"), "subjectAltName"),
        ("localhost", format!("?sslmode=verify-full&sslrootcert={other}"), "sslrootcert"),
        ("localhost", format!("?sslmode=require&sslrootcert={other}"), "sslrootcert"),
        ("localhost", format!("?sslmode=require&sslrootcert={none}"), "has no certificate"),
        ("localhost", "?sslmode=require&sslrootcert=/nowhere.crt".to_owned(), "`/nowhere.crt`"),
        ("localhost", "?sslmode=verify-full".to_owned(), "no TLS with the server"),
        ("localhost", "?sslrootcert=system".to_owned(), "no TLS with the server"),
    ] {
        let told = refused(&url(&database, host, &rest));
        assert!(told.contains(said), "{host} {rest}: {told}");
    }
    // A socket is not a wire.
    let folder = escaped(&server.socket().to_string_lossy());
    let mut client = connect(&url(&database, &folder, "?sslmode=verify-full")).unwrap();
    assert!(!is_encrypted(&mut client));
}

/// What stands before the server and says that it has no TLS.
fn without_tls(server: &Server) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, port) = (listener.local_addr().unwrap(), server.port);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // Each ends with its connection.
            std::thread::spawn(move || forward(client, port));
        }
    });
    address
}

fn forward(mut client: TcpStream, port: u16) -> std::io::Result<()> {
    let mut first = [0; 8];
    client.read_exact(&mut first)?;
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    if first == [0, 0, 0, 8, 4, 210, 22, 47] {
        client.write_all(b"N")?;
    } else {
        server.write_all(&first)?;
    }
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut from, &mut to).and_then(|_| to.shutdown(std::net::Shutdown::Both)));
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)
}

fn a_server_without_tls_is_taken_only_where_sslmode_lets_it(server: &Server) {
    let database = prepared(server);
    let at = without_tls(server);
    let url = |rest: &str| format!("postgres://app:{}@{at}/{}{rest}", escaped(PASSWORD), database.name);
    for mode in ["", "?sslmode=disable", "?sslmode=allow", "?sslmode=prefer"] {
        assert!(!is_encrypted(&mut connect(&url(mode)).unwrap()), "{mode}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        let told = refused(&url(&format!("?sslmode={mode}")));
        assert!(told.contains("does not speak TLS") && told.contains("ssl = on"), "{mode}: {told}");
    }
}

fn what_one_way_is_refused_is_tried_the_other_way(server: &Server) {
    let database = prepared(server);
    let home = tempfile::tempdir().unwrap();
    let other = private(home.path(), "other.crt", &issue().root);
    assert!(is_encrypted(&mut connect(&url(&database, "localhost", "")).unwrap()));
    assert!(!is_encrypted(&mut connect(&url(&database, "localhost", "?sslmode=allow")).unwrap()));
    let strange = format!("?sslrootcert={}", other.display());
    assert!(!is_encrypted(&mut connect(&url(&database, "localhost", &strange)).unwrap()));
    let bare = url(&database, "localhost", "").replace("//app:", "//bare:");
    assert!(!is_encrypted(&mut connect(&bare).unwrap()));
    let told = refused(&format!("{bare}?sslmode=require"));
    assert!(told.contains("pg_hba.conf"), "{told}");
}

fn a_certificate_stands_for_a_password(server: &Server) {
    let database = prepared(server);
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".postgresql");
    std::fs::create_dir(&folder).unwrap();
    private(&folder, "root.crt", &ISSUED.root);
    private(&folder, "postgresql.crt", &ISSUED.client[0]);
    let key = private(&folder, "postgresql.key", &ISSUED.client[1]);
    let url = format!("postgres://cert@localhost:{}/{}?sslmode=verify-full", server.port, database.name);
    assert!(is_encrypted(&mut open(&url, &[], Some(home.path())).unwrap()));
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let open_key = told(&open(&url, &[], Some(home.path())).err().unwrap());
    assert!(open_key.contains("others may read this private key") && open_key.contains("chmod 600"), "{open_key}");
    std::fs::remove_file(folder.join("postgresql.crt")).unwrap();
    let without = told(&open(&url, &[], Some(home.path())).err().unwrap());
    assert!(without.contains("certificate"), "{without}");
}

fn a_password_is_tied_to_the_connection(server: &Server) {
    let database = prepared(server);
    connect(&url(&database, "localhost", "?sslmode=require&channel_binding=require")).unwrap();
    connect(&url(&database, "localhost", "?sslmode=require&channel_binding=disable")).unwrap();
    let told = refused(&url(&database, "localhost", "?sslmode=disable&channel_binding=require"));
    assert!(told.contains("channel binding"), "{told}");
}

fn what_cannot_be_reached_is_told(server: &Server) {
    let database = prepared(server);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = refused(&format!("postgres://app@{nobody}/{}", database.name));
    assert!(told.contains(&format!("no server answers at {nobody}: connection refused")), "{told}");
    let told = refused(&format!("postgres://app@nowhere.invalid/{}", database.name));
    assert!(told.contains("host of nowhere.invalid:5432 is not known"), "{told}");
    let told = refused("postgres://app@/d?host=/nowhere");
    assert!(told.contains("no socket of a server at /nowhere/.s.PGSQL.5432"), "{told}");
    let start = Instant::now();
    let address = silent.local_addr().unwrap();
    let told = refused(&format!("postgres://app@{address}/d?connect_timeout=1"));
    assert!(told.contains(&format!("{address} did not answer within 1 s")), "{told}");
    assert!(start.elapsed() < Duration::from_secs(9), "the silence was waited for");
}

fn of_several_hosts_the_first_that_fits_is_taken(server: &Server) {
    let database = prepared(server);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = |hosts: &str, rest: &str| {
        format!("postgres://app:{}@{hosts}/{}?sslmode=require{rest}", escaped(PASSWORD), database.name)
    };
    let both = format!("{nobody},localhost:{}", server.port);
    for wanted in ["any", "read-write", "primary", "prefer-standby"] {
        connect(&url(&both, &format!("&target_session_attrs={wanted}"))).unwrap();
    }
    for wanted in ["read-only", "standby"] {
        let told = refused(&url(&both, &format!("&target_session_attrs={wanted}")));
        assert!(told.contains("connection refused; ") && told.contains(&format!("is not `{wanted}`")), "{told}");
    }
    connect(&url(&both, "&target_session_attrs=read-only&options=-cdefault_transaction_read_only=on")).unwrap();
    // The next host is not asked once one has said no.
    let told = refused(&url(&format!("localhost:{},{nobody}", server.port), "&user=nobody"));
    assert!(told.contains("\"nobody\"") && !told.contains("refused"), "{told}");
}

fn a_schema_is_the_search_path_also_of_a_child(server: &Server) {
    let database = prepared(server);
    let given = url(&database, "localhost", "?sslmode=require&options=-c%20lock_timeout=7s");
    let environment = Environment { variable: &|_| None, home: None, user: None };
    let url = ServerUrl::parse(&given, &environment).unwrap().with_schema("a \"b\" \\c");
    let mut client = url.connect("the tests").unwrap();
    let query = "SELECT current_setting('search_path') || current_setting('lock_timeout') || current_user";
    let expected = "\"a \"\"b\"\" \\c\"7sapp";
    assert_eq!(ask(&mut client, query), expected);
    assert_eq!(ask(&mut client, "SHOW application_name"), "the tests");
    let psql = server.programs.join("psql");
    if psql.is_file() {
        let mut child = Command::new(psql);
        for name in inherited_variables() {
            child.env_remove(name);
        }
        let ran = child.args(["-XAtc", query]).envs(url.variables()).env("PGCLIENTENCODING", "UTF8").output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&ran.stdout).trim_end(),
            expected,
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
    let mut other = url.with_database("postgres").connect("the tests").unwrap();
    assert_eq!(ask(&mut other, "SELECT current_database()"), "postgres");
}

fn a_url_is_all_that_an_upgrade_needs(server: &Server) {
    const NAMED: (&str, &str) =
        ("b1", "-- migrate:up\nCREATE TABLE named AS SELECT current_setting('application_name') AS name;\n");
    let database = prepared(server);
    database.connect().batch_execute("CREATE SCHEMA inner_one AUTHORIZATION app").unwrap();
    let url = url(&database, "localhost", "?schema=inner_one&sslmode=require");
    let migrations: &'static Migrations = embedded("app", &[USERS]);
    assert_eq!(names(&migrations.upgrade_url(&url).unwrap().done), ["a1"]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(async { migrations.upgrade_url(&url) }).unwrap().done.is_empty());
    let joined = Migrations::join([migrations, embedded("more", &[NAMED])]);
    assert_eq!(names(&joined.upgrade_url(&url).unwrap().done), ["b1"]);
    assert_eq!(database.ask("SELECT name FROM inner_one.named"), "app, more");
    assert_eq!(database.ask("SELECT count(*) FROM inner_one._cargo_migrate"), "2");
    let unread = migrations.migrator().upgrade_url(&format!("{url}&sslmod=x")).unwrap_err();
    assert_eq!(unread.code(), INVALID);
}

fn a_database_that_is_not_there_is_told(server: &Server) {
    let mut database = prepared(server);
    database.name = "not_there".to_owned();
    let told = refused(&url(&database, "localhost", ""));
    assert!(told.contains("database \"not_there\" does not exist") && told.contains("createdb not_there"), "{told}");
}
