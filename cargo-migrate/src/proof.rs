//! The proof of a migration before it is written: both ways are run on scratch databases with rows in their tables, and
//! must land exactly on the schema that is wanted and exactly on the one that was there, with the rows as they were.

mod content;
mod rows;

use std::collections::BTreeSet;

use build_support::problem::{Code, Problem, printable};
use build_support::token::{TokenKind, tokens};
use migrate_runtime::statement::split;
use rusqlite::{Connection, ErrorCode};

use self::content::Violation;
use crate::ddl::losses::{Loss, losses};
use crate::ddl::{Caution, Fills, Plan, Statement, Way, plan, values};
use crate::diff;
use crate::failure::Result;
use crate::introspect::{self, failed};
use crate::project::settings::{ColumnOrder, SqliteVersion};
use crate::renames::Renames;
use crate::schema::text::{fold, identifier, names};
use crate::schema::{Kind, Schema};
use crate::scratch;

/// No plan does what it should.
pub const OUT_OF_REACH: Code = Code("out-of-reach");

/// By which rules a migration is made.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Whether the order of columns counts.
    pub order: ColumnOrder,
    /// The oldest SQLite that has to understand the statements.
    pub minimum: SqliteVersion,
    /// The version table's name.
    pub version_table: &'a str,
}

/// A scratch database with its schema.
#[derive(Debug)]
pub struct State {
    /// The database.
    pub connection: Connection,
    /// What is in it.
    pub schema: Schema,
}

impl State {
    /// Reads the schema of a scratch database.
    ///
    /// # Errors
    /// What the database says.
    pub fn of(connection: Connection, version_table: &str) -> Result<Self> {
        let schema = introspect::read(&connection, version_table)?;
        Ok(Self { connection, schema })
    }
}

/// A migration that has been proved.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    /// What the upgrade does.
    pub up: Vec<Statement>,
    /// What the downgrade does.
    pub down: Vec<Statement>,
    /// What the upgrade renames.
    pub renames: Renames,
    /// What else it changes, in lines for a person.
    pub lines: Vec<String>,
    /// The same for a program.
    pub changes: Vec<serde_json::Value>,
    /// What the upgrade loses.
    pub losses: Vec<Loss>,
    /// The tables that the upgrade rebuilds, each with the reason.
    pub rebuilt: Vec<(String, String)>,
    /// What the downgrade puts where values were lost.
    pub invented: Fills,
    /// What the downgrade loses of what the upgrade found there: values that were written since, in a type that the
    /// first schema does not keep them in.
    pub lost_back: Vec<Loss>,
    /// Tables for which no rows were found that both ways take, so that they were empty in the proof.
    pub unproved: BTreeSet<String>,
}

/// Statements as they stand in a migration's section.
#[must_use]
pub fn section(statements: &[Statement]) -> String {
    let mut text = String::new();
    for statement in statements {
        if !statement.note.is_empty() {
            text.push_str(&format!("-- {}\n", statement.note));
        }
        text.push_str(&statement.sql);
        // A semicolon behind a comment would be part of it.
        let last = tokens(&statement.sql).filter(|token| token.kind != TokenKind::Space).last();
        if last.is_some_and(|token| statement.sql[token.span].starts_with("--")) {
            text.push('\n');
        }
        text.push_str(";\n");
    }
    text
}

/// Finds the least careful plans that do what they should, both ways. `renamed` is what is there under its new names,
/// where something is renamed and that is known.
///
/// # Errors
/// [`OUT_OF_REACH`] where there are none.
pub fn prove(
    from: &State,
    to: &State,
    renamed: Option<&State>,
    renames: &Renames,
    fills: &Fills,
    terms: &Terms<'_>,
) -> Result<Proposal> {
    let base = scratch::copy(&from.connection)?;
    let unproved = rows::fill(&base, &from.schema, to, renames, fills)?;
    let mut proof = Proof { from, to, renamed, renames, fills, terms, base, unproved };
    loop {
        match proof.attempt() {
            Ok(proposal) => return Ok(proposal),
            // Rows that the schema does not allow prove nothing; without them the other tables' still do.
            Err(Refusal { culprits, rows, .. }) if proof.without(&culprits, &rows)? => {}
            Err(refusal) => {
                return Err(Problem::new(OUT_OF_REACH, format!("no migration was found that {}", refusal.goal))
                    .note(printable(&refusal.why))
                    .note("so nothing was written")
                    .help("write this one by hand: `cargo migrate revision -m …`")
                    .into());
            }
        }
    }
}

/// Why an attempt came to nothing.
struct Refusal {
    /// What was to be reached.
    goal: &'static str,
    why: String,
    /// The tables whose rows may be the reason.
    culprits: BTreeSet<String>,
    /// Rows that may be the reason, by their tables: folded names, as they are before.
    rows: BTreeSet<(String, Option<i64>)>,
}

impl Refusal {
    fn new(goal: &'static str, why: String) -> Self {
        Self { goal, why, culprits: BTreeSet::new(), rows: BTreeSet::new() }
    }
}

struct Proof<'a> {
    from: &'a State,
    to: &'a State,
    /// What is there, under its new names.
    renamed: Option<&'a State>,
    renames: &'a Renames,
    fills: &'a Fills,
    terms: &'a Terms<'a>,
    /// The schema that is there, with rows.
    base: Connection,
    unproved: BTreeSet<String>,
}

impl Proof<'_> {
    /// Deletes these rows and the rows of these tables; whether there were any.
    fn without(&mut self, culprits: &BTreeSet<String>, rows: &BTreeSet<(String, Option<i64>)>) -> Result<bool> {
        let (mut found, mut culprits) = (false, culprits.clone());
        scratch::set_triggers(&self.base, false)?;
        for (name, rowid) in rows {
            let Some(table) = self.from.schema.table(name) else { continue };
            let from = identifier(&table.name);
            let deleted = match (table.rowid_name(), rowid) {
                (Some(column), Some(rowid)) => {
                    let column = if table.rowid_alias().is_some() { identifier(&column) } else { column };
                    self.base.execute(&format!("DELETE FROM {from} WHERE {column} = ?1"), [rowid]).map_err(failed)? > 0
                }
                _ => false,
            };
            let left = format!("SELECT EXISTS (SELECT * FROM {from})");
            if !deleted || !self.base.query_row(&left, [], |row| row.get::<_, bool>(0)).map_err(failed)? {
                culprits.insert(name.clone());
            }
            found |= deleted;
        }
        Ok(self.empty(&culprits)? || found)
    }

    /// Deletes the rows of these tables; whether there were any.
    fn empty(&mut self, tables: &BTreeSet<String>) -> Result<bool> {
        let mut found = false;
        scratch::set_triggers(&self.base, false)?;
        for table in tables.iter().filter(|table| self.from.schema.table(table).is_some()) {
            found |= self.base.execute(&format!("DELETE FROM {}", identifier(table)), []).map_err(failed)? > 0;
            self.unproved.insert(table.clone());
        }
        scratch::set_triggers(&self.base, true)?;
        Ok(found)
    }

    fn attempt(&self) -> std::result::Result<Proposal, Refusal> {
        let (landed, mut proposal) = self.least(|caution| self.up(caution))?;
        let down = self.least(|caution| self.down(&landed, &proposal, caution))?;
        proposal.down = down.statements;
        proposal.invented = down.invented;
        proposal.lost_back = down.lost;
        proposal.unproved.clone_from(&self.unproved);
        Ok(proposal)
    }

    /// The first that holds; the refusal of the most careful one, where none does, with all that was suspected.
    fn least<T>(
        &self,
        attempt: impl Fn(Caution) -> std::result::Result<T, Refusal>,
    ) -> std::result::Result<T, Refusal> {
        let (mut culprits, mut rows) = (BTreeSet::new(), BTreeSet::new());
        let mut last = None;
        for caution in Caution::ALL {
            match attempt(caution) {
                Ok(done) => return Ok(done),
                Err(mut refusal) => {
                    culprits.append(&mut refusal.culprits);
                    rows.append(&mut refusal.rows);
                    last = Some(refusal);
                }
            }
        }
        let last = last.unwrap_or_else(|| Refusal::new("does it", String::new()));
        Err(Refusal { culprits, rows, ..last })
    }

    fn up(&self, caution: Caution) -> std::result::Result<(State, Proposal), Refusal> {
        let refused = |why: String| Refusal::new("leads to the wanted schema", why);
        let broken = |failure: crate::failure::Failure| refused(in_words(&failure));
        let connection = scratch::copy(&self.base).map_err(broken)?;
        let mut statements = Vec::new();
        if self.sets_all_aside(caution) {
            statements.extend(drops(&self.from.schema));
        }
        statements.extend(self.renames.statements().into_iter().map(Statement::new));
        run(&connection, &statements).map_err(|error| self.suspect(error, refused))?;
        // Where nothing was done yet, it is what there is.
        let renamed = if statements.is_empty() {
            None
        } else {
            let copy = scratch::copy(&connection).map_err(broken)?;
            Some(State::of(copy, self.terms.version_table).map_err(broken)?)
        };
        let (before, schema) =
            renamed.as_ref().map_or((&self.base, &self.from.schema), |it| (&it.connection, &it.schema));
        let way = Way {
            from: schema,
            to: &self.to.schema,
            order: self.terms.order,
            minimum: self.terms.minimum,
            fills: self.fills,
        };
        let Plan { statements: mut planned, refills, rebuilt } = plan(&way, caution);
        planned.extend(refills);
        run(&connection, &planned).map_err(|error| self.suspect(error, refused))?;
        statements.extend(planned);
        let landed = State::of(connection, self.terms.version_table).map_err(broken)?;
        let left = diff::changes(&landed.schema, &self.to.schema, self.terms.order);
        if let Some(change) = left.first() {
            return Err(refused(format!("after it this was left: {}", change.lines().join(" "))));
        }
        let changes = diff::changes(schema, &self.to.schema, self.terms.order);
        let losses = losses(&changes);
        let mut skip: BTreeSet<(String, String)> = self.fills.keys().cloned().collect();
        skip.extend(losses.iter().filter_map(|loss| Some((fold(&loss.table), fold(loss.column.as_ref()?)))));
        let differs = content::difference((before, schema), (&landed.connection, &landed.schema), &skip, |_| None);
        if let Some(why) = differs.map_err(|error| refused(error.to_string()))? {
            return Err(refused(why));
        }
        self.no_new(&landed.connection, before, "leads to the wanted schema")?;
        let proposal = Proposal {
            up: statements,
            renames: self.renames.clone(),
            lines: changes.iter().flat_map(diff::Change::lines).collect(),
            changes: changes.iter().map(diff::Change::json).collect(),
            losses,
            rebuilt,
            ..Proposal::default()
        };
        Ok((landed, proposal))
    }

    fn down(&self, landed: &State, proposal: &Proposal, caution: Caution) -> std::result::Result<Down, Refusal> {
        let refused = |why: String| Refusal::new("leads back to the schema that is there", why);
        let broken = |failure: crate::failure::Failure| refused(in_words(&failure));
        let aside = self.sets_all_aside(caution);
        // The schema that is there, under its new names: from there the renames lead back.
        let known = self.renamed.filter(|_| !aside);
        let renamed = if known.is_some() || *self.renames == Renames::default() {
            None
        } else {
            let renamed = scratch::copy(&self.from.connection).map_err(broken)?;
            if aside {
                run(&renamed, &drops(&self.from.schema)).map_err(|error| self.suspect(error, refused))?;
            }
            let renames: Vec<Statement> = self.renames.statements().into_iter().map(Statement::new).collect();
            run(&renamed, &renames).map_err(|error| self.suspect(error, refused))?;
            Some(State::of(renamed, self.terms.version_table).map_err(broken)?)
        };
        let target = renamed.as_ref().or(known).unwrap_or(self.from);
        let changes = diff::changes(&landed.schema, &target.schema, self.terms.order);
        let invented = values::invented(&changes, &target.schema, &target.connection);
        let way = Way {
            from: &landed.schema,
            to: &target.schema,
            order: self.terms.order,
            minimum: self.terms.minimum,
            fills: &invented,
        };
        let Plan { mut statements, refills, .. } = plan(&way, caution);
        statements.extend(self.renames.back().into_iter().map(Statement::new));
        if aside {
            statements.extend(creations(&self.from.schema));
        }
        statements.extend(refills);
        let connection = scratch::copy(&landed.connection).map_err(broken)?;
        run(&connection, &statements).map_err(|error| self.suspect(error, refused))?;
        let back = State::of(connection, self.terms.version_table).map_err(broken)?;
        let left = diff::changes(&back.schema, &self.from.schema, self.terms.order);
        if let Some(change) = left.first() {
            return Err(refused(format!("after it this was left: {}", change.lines().join(" "))));
        }
        let lost = |table: &str| {
            proposal.losses.iter().any(|loss| loss.column.is_none() && loss.table.eq_ignore_ascii_case(table))
        };
        let mut skip: BTreeSet<(String, String)> = BTreeSet::new();
        for loss in &proposal.losses {
            if let Some(column) = &loss.column {
                let table = self.renames.old_table(&loss.table);
                skip.insert((fold(table), fold(self.renames.old_column(&loss.table, column))));
            }
        }
        // What a user has filled in is not NULL again.
        for (table, column) in self.fills.keys() {
            skip.insert((fold(self.renames.old_table(table)), fold(self.renames.old_column(table, column))));
        }
        let kept =
            Schema::new(self.from.schema.tables().filter(|table| !lost(&table.name)).cloned(), std::iter::empty());
        let differs = content::difference((&self.base, &kept), (&back.connection, &back.schema), &skip, |table| {
            landed.schema.table(self.renames.new_table(&table.name))
        });
        if let Some(why) = differs.map_err(|error| refused(error.to_string()))? {
            return Err(refused(why));
        }
        self.no_new(&back.connection, &self.base, "leads back to the schema that is there")?;
        // What the upgrade has added goes, which is what a downgrade is for.
        let was_there = |loss: &Loss| match &loss.column {
            Some(column) => target.schema.table(&loss.table).is_some_and(|table| table.column(column).is_some()),
            None => target.schema.has_name(&loss.table),
        };
        let lost = losses(&changes).into_iter().filter(was_there).map(|loss| Loss {
            column: loss.column.map(|column| self.renames.old_column(&loss.table, &column).to_owned()),
            table: self.renames.old_table(&loss.table).to_owned(),
        });
        let lost = lost.collect();
        Ok(Down { statements, invented, lost })
    }

    /// Whether views and triggers are dropped before anything is renamed.
    fn sets_all_aside(&self, caution: Caution) -> bool {
        caution == Caution::Thorough && *self.renames != Renames::default()
    }

    fn suspect(&self, error: Failed, refused: impl Fn(String) -> Refusal) -> Refusal {
        let Failed { sql, error } = error;
        let mut refusal = refused(format!("SQLite says `{error}` at `{}`", shortened(&sql)));
        if matches!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch)) {
            let all = self.tables_in(&sql);
            // "UNIQUE constraint failed: _new_todos.title": a statement may read other tables than the one it is about.
            let named = error.to_string().rsplit_once(": ").map(|(_, what)| fold(what)).unwrap_or_default();
            let about = |table: &&String| named.split('.').next().is_some_and(|name| name.ends_with(table.as_str()));
            let named: BTreeSet<String> = all.iter().filter(about).cloned().collect();
            refusal.culprits = if named.is_empty() { all } else { named };
        }
        refusal
    }

    /// The tables that a statement names, by the names that they have in the schema that is there.
    fn tables_in(&self, sql: &str) -> BTreeSet<String> {
        names(sql)
            .map(|name| fold(self.renames.old_table(&name)))
            .filter(|name| self.from.schema.table(name).is_some() && !self.unproved.contains(name))
            .collect()
    }

    /// Refuses references that point nowhere and did not before.
    fn no_new(&self, now: &Connection, before: &Connection, goal: &'static str) -> std::result::Result<(), Refusal> {
        let (now, before) = (content::violations(now), content::violations(before));
        let new: Vec<&Violation> = now.difference(&before).collect();
        let Some(first) = new.first() else { return Ok(()) };
        let why = format!("a row of `{}` would refer to one of `{}` that is not there", first.table, first.parent);
        let rows = new.iter().map(|new| (fold(self.renames.old_table(&new.table)), new.rowid));
        let rows = rows.filter(|(table, _)| !self.unproved.contains(table)).collect();
        Err(Refusal { rows, ..Refusal::new(goal, why) })
    }
}

struct Down {
    statements: Vec<Statement>,
    invented: Fills,
    lost: Vec<Loss>,
}

fn drops(schema: &Schema) -> Vec<Statement> {
    let aside = |kind: Kind| schema.objects().filter(move |object| object.kind == kind);
    // The triggers of a view go with it.
    let triggers = aside(Kind::Trigger).filter(|trigger| schema.object(Kind::View, &trigger.on).is_none());
    triggers.chain(aside(Kind::View)).map(Statement::drop).collect()
}

fn creations(schema: &Schema) -> Vec<Statement> {
    let aside = |kind: Kind| schema.objects().filter(move |object| object.kind == kind);
    aside(Kind::View).chain(aside(Kind::Trigger)).map(Statement::create).collect()
}

struct Failed {
    sql: String,
    error: rusqlite::Error,
}

/// Runs statements as a run would: from the text of a section, split, in one transaction.
fn run(connection: &Connection, statements: &[Statement]) -> std::result::Result<(), Failed> {
    let text = section(statements);
    let found = split(&text, 0..text.len());
    let at = |sql: &str| {
        let sql = sql.to_owned();
        move |error| Failed { sql, error }
    };
    connection.execute_batch("BEGIN").map_err(at("BEGIN"))?;
    for statement in found {
        connection.execute_batch(statement.text).map_err(at(statement.text))?;
    }
    connection.execute_batch("COMMIT").map_err(at("COMMIT"))
}

fn shortened(sql: &str) -> String {
    let words = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= 200 { words } else { words.chars().take(199).chain(['…']).collect() }
}

fn in_words(failure: &crate::failure::Failure) -> String {
    failure.problems().first().map(|problem| problem.message().to_owned()).unwrap_or_default()
}
