//! What a run can lose on a server: what its statements say that they do, and whether there are rows that it is done to.

use std::time::{Duration, Instant};

use build_support::problem::printable;
use build_support::token::Dialect;
use migrate_runtime::driver::VersionTable;
use migrate_runtime::driver::postgres::text;
use migrate_runtime::statement::split_as;
use postgres::Client;

use super::words::{Verdict, moves_names, of};
use crate::live::server::{OWN_SCHEMAS, column, patience, value};

/// How long tables are waited for that others hold locked.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    start: Instant,
    wait: Duration,
}

impl Patience {
    /// How long one table is waited for, at most: what is locked counts as what may have rows, which is told soon.
    const LONGEST: Duration = Duration::from_millis(100);

    /// For all tables together.
    pub(super) fn of(wait: Duration) -> Self {
        Self { start: Instant::now(), wait }
    }

    /// For the next one, in milliseconds: 0 would be for ever.
    fn left(self) -> u128 {
        patience(self.wait.saturating_sub(self.start.elapsed()).min(Self::LONGEST))
    }
}

/// What these texts, which are run one after another, can lose of what is there, in words.
pub(super) fn dangers(client: &mut Client, texts: &[String], patience: Patience) -> Vec<String> {
    let (verdicts, moved) = verdicts(texts);
    let told = |verdict: Verdict| match verdict {
        Verdict::Harmless => None,
        // Behind a new name there may be a table that has another one now.
        Verdict::Table { name, what } => {
            (moved || has_rows(client, &name, patience)).then(|| what.replace("{}", &shown(&name)))
        }
        Verdict::Filled(name) => {
            has_triggers(client, &name).then(|| format!("triggers or rules of `{}` may do anything", shown(&name)))
        }
        Verdict::Anything(what) => Some(what),
    };
    verdicts.into_iter().filter_map(told).collect()
}

/// The same of a database that is not asked: each table may have rows. What is only added loses nothing by itself.
pub(super) fn possible_dangers(texts: &[String]) -> Vec<String> {
    let told = |verdict: Verdict| match verdict {
        Verdict::Harmless | Verdict::Filled(_) => None,
        Verdict::Table { name, what } => Some(what.replace("{}", &shown(&name))),
        Verdict::Anything(what) => Some(what),
    };
    verdicts(texts).0.into_iter().filter_map(told).collect()
}

/// What texts say that they do, each thing once, and whether tables get other names.
fn verdicts(texts: &[String]) -> (Vec<Verdict>, bool) {
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut moved = false;
    for text in texts {
        for statement in split_as(Dialect::Postgres, text, 0..text.len()) {
            moved |= moves_names(statement.text);
            for verdict in of(statement.text) {
                if verdict != Verdict::Harmless && !verdicts.contains(&verdict) {
                    verdicts.push(verdict);
                }
            }
        }
    }
    (verdicts, moved)
}

/// A name as messages show it.
fn shown(name: &str) -> String {
    printable(&name.replace('"', ""))
}

/// Whether a table has rows; one that is not there has none, and one that cannot be read or is locked may have some.
fn has_rows(client: &mut Client, name: &str, patience: Patience) -> bool {
    let mut ask = |sql: &str| value(client, sql).ok().flatten().map(|value| value == "t");
    match ask(&format!("SELECT to_regclass({}) IS NOT NULL", text(name))) {
        Some(false) => false,
        // Statements that are sent together are a transaction.
        _ => ask(&format!("SET LOCAL lock_timeout = {}; SELECT EXISTS (SELECT 1 FROM {name})", patience.left()))
            .unwrap_or(true),
    }
}

/// Whether a table has triggers of somebody's or rules.
fn has_triggers(client: &mut Client, name: &str) -> bool {
    let sql = format!(
        "SELECT 1 FROM (SELECT to_regclass({}) AS o) AS t WHERE EXISTS (SELECT FROM pg_trigger WHERE tgrelid = o \
         AND NOT tgisinternal) OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class = o AND rulename <> '_RETURN')",
        text(name)
    );
    value(client, &sql).map_or(true, |found| found.is_some())
}

/// Whether any table but the version table has rows.
pub(super) fn has_any_rows(client: &mut Client, version_table: &str, patience: Patience) -> bool {
    let sql = format!(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND {OWN_SCHEMAS} AND c.relname <> {}",
        text(&VersionTable::of(version_table).name)
    );
    column(client, &sql).map_or(true, |names| names.iter().any(|name| has_rows(client, name, patience)))
}
