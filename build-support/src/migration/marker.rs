//! Comments that were meant as a section or a directive and are written otherwise: mistyped, or as another tool has them.
//!
//! As plain comments they would let a down section run as part of the upgrade. Only a comment that is nothing but such a
//! marker is taken for one; prose about migrations stays prose.

use super::DIRECTIVES;

/// What is wrong with a comment that is no directive, and what to write; `None` for prose. `body` is the comment without
/// the characters that open and close it.
pub(super) fn misspelt(body: &str) -> Option<(String, String)> {
    let lower = body.trim().to_ascii_lowercase();
    // A directive that somebody has commented out.
    if lower.starts_with("--") {
        return None;
    }
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if let Some(found) = foreign(&lower, &words) {
        return Some(found);
    }
    let ours = |word: &&str| matches!(*word, "migrate" | "migration" | "migrations");
    let (first, rest) = match words.split_first()? {
        (first, rest) if ours(first) => (*first, rest.to_vec()),
        // `migratedown`
        (first, rest) => {
            let joined = first.strip_prefix("migrate").filter(|word| DIRECTIVES.contains(word))?;
            ("migrate", std::iter::once(joined).chain(rest.iter().copied()).collect())
        }
    };
    let meant = alone(&rest).or_else(|| with_arguments(&lower[lower.find(first)? + first.len()..]))?;
    Some((format!("`{}` is not how `migrate:{meant}` is written", body.trim()), format!("write `-- migrate:{meant}`")))
}

/// The directive that the words behind `migrate` are, with nothing else behind it.
fn alone(words: &[&str]) -> Option<&'static str> {
    let joined = words.join("-");
    // What dbmate writes behind its sections; here the header says how a revision runs.
    let section =
        joined.strip_suffix("-transaction-false").or(joined.strip_suffix("-transaction-true")).unwrap_or(&joined);
    match section {
        "ups" => Some("up"),
        "downs" => Some("down"),
        "foreign-keys-on" => Some("foreign-keys on"),
        "parent" | "depends" | "label" | "loses" | "foreign-keys" => None,
        section => DIRECTIVES.into_iter().find(|known| *known == section),
    }
}

/// The header directive that stands behind `migrate` and a character that no prose has there, whatever follows it.
fn with_arguments(behind: &str) -> Option<&'static str> {
    let rest = behind.trim_start();
    let spaced = rest.len() < behind.len();
    let rest = rest.strip_prefix([':', '.', '=', ';', '_', '/']).or(rest.strip_prefix('-').filter(|_| !spaced))?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_alphabetic() && c != '-').unwrap_or(rest.len());
    DIRECTIVES.into_iter().find(|known| *known == &rest[..end])
}

/// Markers of other tools.
fn foreign(lower: &str, words: &[&str]) -> Option<(String, String)> {
    let rest = match words {
        // goose, sql-migrate, micrate.
        [tool @ ("goose" | "migrate" | "micrate"), rest @ ..] if lower.starts_with(&format!("+{tool}")) => rest,
        ["rambler", rest @ ..] if rest.len() == 1 => rest,
        // MyBatis, yesql's kin, Play.
        rest @ ["up" | "down" | "undo" | "ups" | "downs"] if lower.trim_start_matches('/').starts_with(['@', '!']) => {
            rest
        }
        _ => return None,
    };
    let help = match rest {
        ["up" | "ups", "notransaction"] => "write `-- migrate:up`, and `-- migrate:no-transaction` in the header",
        ["no", "transaction"] => "write `-- migrate:no-transaction` in the header",
        ["up" | "ups", ..] => "write `-- migrate:up`",
        ["down" | "downs" | "undo", ..] => "write `-- migrate:down`",
        ["statementbegin" | "statementend"] => "leave the line out: statements that hold semicolons need no mark here",
        // A name that somebody has and no marker: `@mention`, `rambler`.
        _ if !lower.starts_with('+') => return None,
        _ => "the lines of a migration are `-- migrate:up`, `-- migrate:down`, `-- migrate:verify`",
    };
    Some((format!("`{lower}` is another tool's marker, and would be a mere comment here"), help.to_owned()))
}

/// Whether a comment says no more than that the way back starts here: `-- down`, `-- === DOWN ===`.
pub(super) fn is_bare_down(body: &str) -> bool {
    let word = body.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    ["down", "downgrade", "rollback", "undo"].iter().any(|known| word.eq_ignore_ascii_case(known))
        && !body.trim().ends_with(['.', '!', '?', ';'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_that_is_nothing_but_a_marker_is_taken_for_one() {
        for (body, meant) in [
            (" migrate :down", "`-- migrate:down`"),
            ("migrate.down", "`-- migrate:down`"),
            ("migrate-down", "`-- migrate:down`"),
            (" Migrate Down ", "`-- migrate:down`"),
            ("migrateDown", "`-- migrate:down`"),
            ("migration: up", "`-- migrate:up`"),
            ("migrate:down transaction:false", "`-- migrate:down`"),
            (" migrate.parent a1", "`-- migrate:parent`"),
            ("migrate no transaction", "`-- migrate:no-transaction`"),
            (" +goose Down", "`-- migrate:down`"),
            (" +goose StatementBegin", "leave the line out"),
            (" +goose NO TRANSACTION", "`-- migrate:no-transaction`"),
            (" +migrate Up notransaction", "`-- migrate:no-transaction`"),
            (" rambler down", "`-- migrate:down`"),
            (" @DOWN", "`-- migrate:down`"),
            ("//@UNDO", "`-- migrate:down`"),
            (" !Downs", "`-- migrate:down`"),
        ] {
            let (_, help) = misspelt(body).unwrap_or_else(|| panic!("{body}"));
            assert!(help.contains(meant), "{body}: {help}");
        }
    }

    #[test]
    fn prose_stays_prose() {
        for body in [
            " Migrate the users to the new table.",
            " migrate up the old rows",
            " migrate down to one row per user, then verify",
            " migrate - label every row anew",
            " migration of labels",
            " verify that nothing is lost",
            " +1 for this",
            " @maintainers see the issue",
            " rambler",
            " -- migrate:up",
            " goose down jackets",
            " go up",
            "",
            " ---------- ",
        ] {
            assert_eq!(misspelt(body), None, "{body}");
        }
        assert!(is_bare_down(" down") && is_bare_down(" === DOWN === ") && is_bare_down("Rollback:"));
        assert!(!is_bare_down(" down the line") && !is_bare_down(" count down") && !is_bare_down("down."));
    }
}
