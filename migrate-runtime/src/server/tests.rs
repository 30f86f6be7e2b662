//! What becomes of a URL, the environment and the files, without a server.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// A machine with these variables, and a home folder where there is one.
fn read_on(variables: &[(&str, &str)], home: Option<&Path>, url: &str) -> Result<ServerUrl, Problem> {
    let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let home = home.map(Path::to_owned);
    ServerUrl::parse(url, &Environment { variable: &variable, home, user: Some("me".to_owned()) })
}

#[track_caller]
fn read(url: &str) -> ServerUrl {
    read_on(&[], None, url).unwrap()
}

#[track_caller]
fn refused(url: &str) -> String {
    let problem = read_on(&[], None, url).unwrap_err();
    assert_eq!(problem.code(), INVALID);
    problem.plain_lines().join("\n")
}

fn variable(url: &ServerUrl, name: &str) -> Option<String> {
    let all: BTreeMap<_, _> = url.variables().into_iter().collect();
    all.get(name).cloned()
}

/// `HOST PORT USER PASSWORD DATABASE` as a child would get them.
fn essence(url: &ServerUrl) -> String {
    let one = |name| variable(url, name).unwrap_or_else(|| "-".to_owned());
    ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"].map(one).join(" ")
}

#[test]
fn urls_are_read_as_libpq_reads_them() {
    for (url, said) in [
        ("postgres://u:p@h:1/d", "h 1 u p d"),
        ("postgresql://u@h/d", "h 5432 u - d"),
        ("postgresql://h", "h 5432 me - me"),
        ("postgresql://u@h/", "h 5432 u - u"),
        ("postgres://u:p:q@h/d", "h 5432 u p:q d"),
        ("postgres://u:p?q#r+s@h/d", "h 5432 u p?q#r+s d"),
        ("postgres://:p@h/d", "h 5432 me p d"),
        ("postgres://u@[::1]:7/d", "::1 7 u - d"),
        ("postgres://u@[2001:db8::1]/d", "2001:db8::1 5432 u - d"),
        ("postgres://u@a:1,b:2,c/d", "a,b,c 1,2,5432 u - d"),
        ("postgres://u@a,b/d?port=9", "a,b 9,9 u - d"),
        ("postgres://%75:%70%40@%68/d%2Fe%C3%A9", "h 5432 u p@ d/eé"),
        ("postgres://h/d?user=u&password=p%26&dbname=e&host=i&port=3", "i 3 u p& e"),
        ("postgres://u@h/d?password=a@b", "h 5432 u a@b d"),
        #[cfg(unix)]
        ("postgres:///d?host=/run/postgresql", "/run/postgresql 5432 me - d"),
        #[cfg(unix)]
        ("postgres://u@%2Ftmp%2Fa%20b:7/d", "/tmp/a b 7 u - d"),
        ("postgres://u@h/d?options=-c%20a=b", "h 5432 u - d"),
    ] {
        assert_eq!(essence(&read(url)), said, "{url}");
    }
}

#[test]
fn what_cannot_be_read_is_told_without_a_word_of_the_url() {
    for (url, said) in [
        ("mysql://u:secret@h/d", "no URL of a PostgreSQL database"),
        ("postgres://u:sec@ret@h/d", "write `@` as `%40`"),
        ("postgres://u:secret/more@h/d", "`/` as `%2F`"),
        ("postgres://u:secret?more/@h/d", "port is no number"),
        ("postgres://u:secret/?more=@h/d", "port is no number"),
        ("postgres://u:12/secret@h/d", "`/` as `%2F`"),
        ("postgres://u:secret%zz@h/d", "password in the URL has a `%`"),
        ("postgres://u:secret%0@h/d", "password in the URL has a `%`"),
        ("postgres://u:secret%00@h/d", "password in the URL has a `%`"),
        ("postgres://u:secret%FF@h/d", "not UTF-8"),
        ("postgres://u:secret@[::1/d", "no `]`"),
        ("postgres://u:secret@[::1]x/d", "behind the address"),
        ("postgres://u:secret@h:0/d", "1 to 65535"),
        ("postgres://u:secret@h:65536/d", "1 to 65535"),
        ("postgres://u:secret@a,b,c/d?port=1,2", "as many ports"),
        ("postgres://u:secret@a,b/d?hostaddr=127.0.0.1", "as many addresses"),
        ("postgres://u@h/d?hostaddr=secret", "is no address"),
        ("postgres://u@h/d?secret", "has no value"),
        ("postgres://u@h/d?sslmod=secret", "write `sslmode`"),
        ("postgres://u@h/d?zebra=secret", "the parameter `zebra`"),
        ("postgres://u@h/d?sslmode=secret", "write `disable` or `allow`"),
        ("postgres://u@h/d?connect_timeout=secret", "`connect_timeout` is no whole number"),
        ("postgres://u@h/d?keepalives_count=99999999999", "`keepalives_count` is too large"),
        ("postgres://u@h/d?target_session_attrs=secret", "`read-write`"),
        ("postgres://u@h/d?sslrootcert=system&sslmode=require", "verify-full"),
        ("postgres://u@h/d?sslnegotiation=direct", "sslmode=require"),
        ("postgres://u@h/d?sslpassword=secret", "`sslpassword`"),
        ("postgres://u@h/d?requirepeer=secret", "`requirepeer`"),
        ("postgres://u@h/d?gssencmode=require", "write `allow` or `disable`"),
    ] {
        let told = refused(url);
        assert!(told.contains(said), "{url}: {told}");
        assert!(!told.contains("secret") && !told.contains("sec@") && !told.contains("ret@"), "{url}: {told}");
    }
}

#[test]
fn a_url_is_shown_without_its_secrets_and_control_characters() {
    for (url, shown) in [
        ("postgres://u:secret@h:1/d?sslmode=require", "postgres://u:***@h:1/d?sslmode=require"),
        ("postgres://u@h/d", "postgres://u@h/d"),
        ("postgresql://h?password=secret&user=u", "postgresql://h/?password=***&user=u"),
        ("postgres://h/d?passwor%64=secret", "postgres://h/d?password=***"),
        ("postgres://u:secret@h/d\u{1b}[31m", "postgres://u:***@h/d\u{FFFD}[31m"),
    ] {
        let url = read(url);
        assert_eq!(url.shown(), shown);
        assert_eq!((format!("{url}"), format!("{url:?}")), (shown.to_owned(), format!("ServerUrl({shown})")));
    }
}

#[test]
fn another_database_and_another_schema_are_shown_as_well() {
    let url = read("postgres://u:secret@h/d?dbname=e&schema=s&sslmode=require");
    let other = url.with_database("a b/c").with_schema("t\"u v\\");
    assert_eq!(other.shown(), "postgres://u:***@h/a%20b%2Fc?sslmode=require&schema=t%22u%20v%5C");
    assert_eq!((other.database(), other.schema()), ("a b/c", Some("t\"u v\\")));
    assert_eq!(variable(&other, "PGOPTIONS").unwrap(), r#"-c search_path="t""u\ v\\""#);
    assert_eq!((url.database(), url.schema()), ("e", Some("s")));
    assert_eq!(variable(&url, "PGPASSWORD"), variable(&other, "PGPASSWORD"));
    let given = read("postgres://h/d?options=-c%20a=b&schema=s");
    assert_eq!(variable(&given, "PGOPTIONS").unwrap(), "-c a=b -c search_path=\"s\"");
    assert_eq!(read("postgres://h").with_database("x").shown(), "postgres://h/x");
}

#[test]
fn two_urls_of_one_database_have_one_identity() {
    let same = [
        "postgres://u:p@a:5432,b/d",
        "postgresql://b,A/d?sslmode=require",
        "postgres://other@h/e?host=a,b&dbname=d&schema=s",
    ];
    for url in same {
        assert_eq!(read(url).identity(), "a:5432,b:5432/d");
    }
    let others = ["postgres://a/d", "postgres://a:1,b/d", "postgres://a,b/e", "postgres://[::1]/d", "postgres://a,b/D"];
    let all: std::collections::BTreeSet<_> = others.iter().chain(&same).map(|url| read(url).identity()).collect();
    assert_eq!(all.len(), others.len() + 1);
}

#[cfg(unix)]
#[test]
fn a_sockets_folder_is_a_host_however_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let of = |folder: &Path| read(&format!("postgres:///d?host={}", folder.display())).identity();
    assert_eq!(of(&real), of(&link));
    assert_ne!(of(&real), of(folder.path()));
}

/// The same numbers in each run, so that what fails once fails again.
fn numbers() -> impl Iterator<Item = usize> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).ok()
    })
}

#[test]
fn every_password_comes_through_every_way_and_is_never_shown() {
    const CHARACTERS: &str = ":/?#[]@!$&'()*+,;=% \"\\aZ09-._~éß漢🦀\t^`{|}<>";
    let characters: Vec<char> = CHARACTERS.chars().collect();
    let mut numbers = numbers();
    let home = tempfile::tempdir().unwrap();
    for _ in 0..400 {
        let length = numbers.next().unwrap() % 12 + 4;
        let password: String =
            numbers.by_ref().take(length).map(|number| characters[number % characters.len()]).collect();
        let escaped: String = password.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let plain = |url: &str, variables: &[(&str, &str)]| read_on(variables, Some(home.path()), url).unwrap();
        let pgpass = format!("h:5432:d:u:{}\n", password.replace('\\', "\\\\").replace(':', "\\:"));
        private(&home.path().join(".pgpass"), &pgpass);
        for url in [
            plain(&format!("postgres://u:{escaped}@h/d"), &[]),
            plain(&format!("postgres://u@h/d?password={escaped}"), &[]),
            plain("postgres://u@h/d", &[("PGPASSWORD", &password)]),
            plain("postgres://u@h/d", &[]),
        ] {
            assert_eq!(essence(&url), format!("h 5432 u {password} d"));
            let told = format!("{url} {url:?} {:?} {}", url.with_schema("s").with_database("e"), url.identity());
            assert!(!told.contains(&password) && !told.contains(&escaped), "{password}: {told}");
        }
    }
}

/// Writes a file that is its owner's alone.
fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn a_password_file_is_read_as_libpq_reads_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let passfile = file.path().to_str().unwrap();
    let text = "# h:5432:d:u:comment\n\nh:5432:d:u:one\r\nh:*:*:v:tw\\:o\\\\\nbroken\n\
         a\\:b:5432:d:u:three\n*:9:d:u:four:rest\nlocalhost:5432:d:u:socket\n::::\nlast:5432:d:u:no line feed";
    private(file.path(), text);
    for (url, password) in [
        ("postgres://u@h/d", Some("one")),
        ("postgres://v@h:77/anything", Some("tw:o\\")),
        ("postgres://u@[a:b]/d", Some("three")),
        ("postgres://u@any:9/d", Some("four")),
        ("postgres://u@/d?host=/tmp", Some("socket").filter(|_| cfg!(unix))),
        ("postgres://u@last/d", Some("no line feed")),
        ("postgres://u@h/other", None),
        ("postgres://u@other/d", None),
        ("postgres://u:given@h/d", Some("given")),
    ] {
        let Ok(url) = read_on(&[("PGPASSFILE", passfile)], None, url) else { continue };
        assert_eq!(variable(&url, "PGPASSWORD").as_deref(), password, "{url}");
    }
    let each = read_on(&[("PGPASSFILE", passfile)], None, "postgres://u@last,h/d").unwrap();
    let passwords: Vec<_> = each.hosts.iter().map(|host| host.password.as_deref()).collect();
    assert_eq!(passwords, [Some("no line feed"), Some("one")]);
}

#[cfg(unix)]
#[test]
fn a_password_file_that_others_may_read_or_that_is_none_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pass");
    let read = |path: &Path| {
        let url = read_on(&[("PGPASSFILE", path.to_str().unwrap())], None, "postgres://u@h/d").unwrap();
        (variable(&url, "PGPASSWORD"), url.ignored_passfile)
    };
    private(&path, "*:*:*:*:p\n");
    assert_eq!(read(&path), (Some("p".to_owned()), None));
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let (password, ignored) = read(&path);
        assert!(password.is_none() && ignored.unwrap().contains("chmod 600"));
    }
    assert_eq!(read(&folder.path().join("none")), (None, None));
    assert!(read(folder.path()).1.unwrap().contains("not a file"));
    assert!(read(Path::new("/dev/zero")).1.unwrap().contains("not a file"));
    private(&path, "");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(17 << 20).unwrap();
    assert!(read(&path).1.unwrap().contains("too long"));
    std::fs::write(&path, b"h:5432:d:u:\xff\n*:*:*:*:q").unwrap();
    assert_eq!(read(&path).0.as_deref(), Some("q"));
}

#[test]
fn the_url_counts_before_the_service_and_that_before_the_environment() {
    let home = tempfile::tempdir().unwrap();
    let services = home.path().join(".pg_service.conf");
    let text = "# all\n[other]\nhost=no\nbroken\n\n[live]\nhost=service\n port=7\nhost=second\nuser=su\npassword=p=#q \n[end]\nuser=x\n";
    std::fs::write(&services, text).unwrap();
    let variables = [
        ("PGHOST", "variable"),
        ("PGDATABASE", "vd"),
        ("PGUSER", "vu"),
        ("PGPASSWORD", "vp"),
        ("PGSSLMODE", "require"),
    ];
    let with = |more: &[(&'static str, &'static str)], url: &str| {
        read_on(&[&variables[..], more].concat(), Some(home.path()), url)
    };
    assert_eq!(essence(&with(&[], "postgres://").unwrap()), "variable 5432 vu vp vd");
    assert_eq!(essence(&with(&[], "postgres://?service=live").unwrap()), "service 7 su p=#q vd");
    assert_eq!(essence(&with(&[("PGSERVICE", "live")], "postgres://url/d").unwrap()), "url 7 su p=#q d");
    assert_eq!(variable(&with(&[], "postgres://").unwrap(), "PGSSLMODE").unwrap(), "require");
    assert_eq!(variable(&with(&[], "postgres://?sslmode=").unwrap(), "PGSSLMODE").unwrap(), "prefer");
    let missing = with(&[], "postgres://?service=nowhere").unwrap_err().to_string();
    assert!(missing.contains("`nowhere`"), "{missing}");
    let broken = with(&[], "postgres://?service=other").unwrap_err();
    assert!(broken.to_string().contains("line 4: this is no"), "{broken}");
    assert_eq!(broken.places()[0].path, services);
    for (line, said) in [("service=live", "another one"), ("sslmod=secret", "`sslmod`"), ("sslcrl=secret", "`sslcrl`")]
    {
        std::fs::write(&services, format!("[live]\n{line}\n")).unwrap();
        let told = format!("{:?}", with(&[], "postgres://?service=live").unwrap_err());
        assert!(told.contains(said) && !told.contains("secret"), "{told}");
    }
    let named = with(&[("PGSERVICEFILE", "/nowhere/at/all")], "postgres://?service=live").unwrap_err();
    assert!(named.to_string().contains("cannot be read"), "{named}");
}

#[test]
fn a_variable_that_asks_for_what_is_not_done_is_named() {
    let told = format!("{:?}", read_on(&[("PGREQUIREPEER", "secret")], None, "postgres://h").unwrap_err());
    assert!(told.contains("PGREQUIREPEER") && !told.contains("secret"), "{told}");
    assert!(read_on(&[("PGGSSENCMODE", "disable"), ("PGSSLCRL", "")], None, "postgres://h").is_ok());
}

#[test]
fn whose_certificates_count_is_as_libpq_has_it_and_the_systems_where_it_has_none() {
    let home = tempfile::tempdir().unwrap();
    let of = |url: &str| {
        let url = read_on(&[], Some(home.path()), url).unwrap();
        (variable(&url, "PGSSLMODE").unwrap(), variable(&url, "PGSSLROOTCERT"))
    };
    let told = |mode: &str, root: Option<&str>| (mode.to_owned(), root.map(str::to_owned));
    assert_eq!(of("postgres://h"), told("prefer", None));
    assert_eq!(of("postgres://h?ssl=true"), told("require", None));
    assert_eq!(of("postgres://h?sslmode=verify-full"), told("verify-full", Some("system")));
    assert_eq!(of("postgres://h?sslrootcert=system"), told("verify-full", Some("system")));
    assert_eq!(of("postgres://h?sslmode=require&sslrootcert=a.crt"), told("require", Some("a.crt")));
    let folder = home.path().join(".postgresql");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("root.crt"), "").unwrap();
    if cfg!(unix) {
        assert_eq!(of("postgres://h?sslmode=require"), told("require", folder.join("root.crt").to_str()));
    }
}

#[test]
fn an_attempt_ends_after_ten_seconds_unless_something_else_is_said() {
    for (query, seconds) in
        [("", "10"), ("?connect_timeout=3", "3"), ("?connect_timeout=0", "0"), ("?connect_timeout=-1", "0")]
    {
        assert_eq!(variable(&read(&format!("postgres://h{query}")), "PGCONNECT_TIMEOUT").unwrap(), seconds);
    }
}

#[test]
fn a_child_is_told_of_every_variable_that_it_must_not_inherit() {
    let told: Vec<_> = inherited_variables().collect();
    let url = read(
        "postgres://u:p@h/d?hostaddr=127.0.0.1&schema=s&sslmode=verify-full&sslnegotiation=direct&sslcert=c&sslkey=k&application_name=a",
    );
    for (name, _) in url.variables() {
        assert!(told.contains(&name), "{name}");
    }
    assert!(told.contains(&"PGSERVICE") && told.contains(&"PGPASSFILE"));
}
