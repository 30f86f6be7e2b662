//! The lock as text, read and written, with and without git's conflicts.

use super::*;

fn hashes(byte: &str) -> Hashes {
    let hex = byte.repeat(64);
    Hashes {
        checksum: Checksum::parse(&format!("sha256:{hex}")).unwrap(),
        statements: StatementsHash::parse(&format!("statements:{hex}")).unwrap(),
        seal: Seal::parse(&format!("seal:{hex}")).unwrap(),
    }
}

fn id(text: &str) -> RevisionId {
    RevisionId::new(text).unwrap()
}

fn sample() -> Lock {
    let mut lock = Lock::default();
    lock.set_package("todo");
    lock.add_draft(id("format"));
    lock.add_draft(id("package"));
    lock.add_draft(id("b"));
    lock.seal(id("a"), hashes("1"), "prod");
    lock.seal(id("a"), hashes("1"), RELEASED);
    lock
}

#[test]
fn what_is_written_is_read_back() {
    let text = sample().to_text(false);
    assert_eq!(Lock::parse(Path::new("l"), &text).unwrap(), sample());
    assert!(text.contains("format 1\npackage todo\na  sha256:"));
    assert!(text.contains("  prod,released\nb  draft\nformat  draft\npackage  draft\n"));
}

#[test]
fn a_cut_lock_is_refused_wherever_it_is_cut_inside_a_line() {
    let text = sample().to_text(false);
    for at in 0..text.len() {
        let whole_lines = text[..at].ends_with('\n') && text[..at].contains("format 1\n");
        assert_eq!(Lock::parse(Path::new("l"), &text[..at]).is_ok(), whole_lines, "{at}");
    }
}

#[test]
fn a_conflict_is_found_and_settled_where_both_sides_agree() {
    let mut other = sample();
    other.seal(id("a"), hashes("1"), "staging");
    other.add_draft(id("c"));
    let lines = |lock: &Lock| lock.to_text(false).lines().skip(2).fold(String::new(), |all, line| all + line + "\n");
    let text = format!(
        "format 1\n<<<<<<< HEAD\n{}||||||| base\nz  draft\n=======\n{}>>>>>>> theirs\n",
        lines(&sample()),
        lines(&other)
    );
    assert_eq!(Lock::parse(Path::new("l"), &text).unwrap_err()[0].code(), LOCK_CONFLICT);
    let settled = Lock::parse_conflicted(Path::new("l"), &text, None).unwrap();
    assert_eq!(settled, other);
    let two = "format 1\n<<<<<<< HEAD\npackage a\n=======\npackage b\n>>>>>>> theirs\n";
    assert_eq!(Lock::parse_conflicted(Path::new("l"), two, None).unwrap_err()[0].code(), LOCK_CONFLICT);

    let mut edited = Lock::default();
    edited.seal(id("a"), hashes("2"), "prod");
    let text = format!("format 1\n<<<<<<< HEAD\n{}=======\n{}>>>>>>> theirs\n", lines(&sample()), lines(&edited));
    assert_eq!(Lock::parse_conflicted(Path::new("l"), &text, None).unwrap_err()[0].code(), LOCK_CONFLICT);
}

#[test]
fn a_revision_is_a_draft_again_when_no_name_is_left() {
    let mut lock = sample();
    assert!(lock.unseal("a", "prod"));
    assert!(lock.sealed("a").is_some());
    assert!(lock.unseal("a", RELEASED));
    assert_eq!(lock.get("a"), Some(&Entry::Draft));
    assert!(!lock.unseal("a", "prod"));
}

#[test]
fn another_format_and_damaged_lines_say_so() {
    let code = |text: &str| Lock::parse(Path::new("l"), text).unwrap_err()[0].code();
    assert_eq!(code("format 2\n"), LOCK_FORMAT);
    assert_eq!(code("a  draft\n"), LOCK_SYNTAX);
    assert_eq!(code("format 1\n../a  draft\n"), LOCK_SYNTAX);
    assert_eq!(code("format 1\na  sha256:12  x  y  dev\n"), LOCK_SYNTAX);
    assert_eq!(code("format 1\na  draft\na  draft\n"), LOCK_SYNTAX);
}

#[test]
fn a_lock_says_whose_sql_the_migrations_are_in_and_without_a_word_it_is_sqlites() {
    let mut lock = sample();
    assert!(!lock.to_text(false).contains("dialect"));
    lock.add_draft(id("dialect"));
    lock.set_dialect(Dialect::Postgres);
    let text = lock.to_text(false);
    assert!(text.contains("package todo\ndialect postgres\na  sha256:"), "{text}");
    assert_eq!(Lock::parse(Path::new("l"), &text).unwrap(), lock);
    assert_eq!(Lock::dialect_of(&text), Dialect::Postgres);
    lock.set_dialect(Dialect::Sqlite);
    assert!(!lock.to_text(false).contains("dialect postgres"));

    // Said though it need not be, it is read, and not written again.
    let said = "format 1\ndialect sqlite\n";
    assert_eq!(Lock::parse(Path::new("l"), said).unwrap(), Lock::default());
    for (lines, code, word) in [
        ("dialect mysql\n", LOCK_FORMAT, "`mysql`"),
        ("dialect Postgres\n", LOCK_FORMAT, "`dialect sqlite` or `dialect postgres`"),
        ("dialect postgres\ndialect postgres\n", LOCK_SYNTAX, "a second `dialect` line"),
        ("dialect  draft\ndialect  draft\n", LOCK_SYNTAX, "two lines"),
    ] {
        let text = format!("format 1\n{lines}");
        let problem = &Lock::parse(Path::new("l"), &text).unwrap_err()[0];
        assert_eq!(problem.code(), code, "{lines}");
        assert!(format!("{problem:?}").contains(word), "{problem:?}");
    }
    assert_eq!(Lock::dialect_of("format 1\ndialect mysql\n"), Dialect::Sqlite);
}

#[test]
fn the_sides_of_a_conflict_have_one_dialect_or_somebody_says_which() {
    let conflict = |common: &str, ours: &str, ancestor: &str, theirs: &str| {
        format!("format 1\n{common}<<<<<<< HEAD\n{ours}||||||| base\n{ancestor}=======\n{theirs}>>>>>>> theirs\n")
    };
    let settled = |text: &str, said| Lock::parse_conflicted(Path::new("l"), text, said).map(|lock| lock.dialect());
    let line = "dialect postgres\n";
    for (text, dialect) in [
        (conflict(line, "a  draft\n", "", "b  draft\n"), Dialect::Postgres),
        (conflict("", &format!("{line}a  draft\n"), "", &format!("{line}b  draft\n")), Dialect::Postgres),
        (conflict("", "a  draft\n", line, "b  draft\n"), Dialect::Sqlite),
        (conflict("", "dialect sqlite\n", "", "b  draft\n"), Dialect::Sqlite),
    ] {
        assert_eq!(settled(&text, None), Ok(dialect), "{text}");
        assert_eq!(Lock::dialect_of(&text), dialect, "{text}");
    }
    for text in [
        conflict("", line, "", "b  draft\n"),
        conflict("", "a  draft\n", "", line),
        conflict("", line, "", "dialect sqlite\n"),
    ] {
        let problem = settled(&text, None).unwrap_err().remove(0);
        assert_eq!(problem.code(), LOCK_CONFLICT);
        assert!(format!("{problem:?}").contains("`cargo migrate lock --dialect "), "{problem:?}");
        for said in Dialect::ALL {
            assert_eq!(settled(&text, Some(said)), Ok(said));
        }
    }
}
