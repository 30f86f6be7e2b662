//! From the schema that the migrations make and the one that is wanted to a migration that has been proved.

use build_support::problem::{Code, Problem, printable};

use crate::ddl::{Fills, values};
use crate::diff;
use crate::failure::Result;
use crate::proof::{Proposal, State, Terms, prove};
use crate::renames::{AMBIGUOUS_RENAME, Question, Renames, Said, settle};
use crate::schema::Schema;
use crate::schema::text::fold;
use crate::scratch;

/// Old rows have no value for a new column that refuses NULL.
pub const NO_VALUE: Code = Code("no-value");
/// A value was given for a column that needs none.
pub const UNKNOWN_FILL: Code = Code("unknown-fill");

/// What comes of it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The schemas are the same.
    Nothing,
    /// It has to be decided first what was renamed.
    Undecided(Vec<Question>),
    /// A migration.
    Proposal(Box<Proposal>),
}

/// Makes a migration that leads from one schema to the other and back, and proves it.
///
/// # Errors
/// Renames that cannot be, columns that old rows have no value for, and what no plan can do.
pub fn propose(from: &State, to: &State, said: &Said, fills: &Fills, terms: &Terms<'_>) -> Result<Outcome> {
    let (renames, questions) = settle(said, &from.schema, &to.schema)?;
    if !questions.is_empty() {
        return Ok(Outcome::Undecided(questions));
    }
    if renames == Renames::default() && diff::changes(&from.schema, &to.schema, terms.order).is_empty() {
        return Ok(Outcome::Nothing);
    }
    let renamed = renamed(from, &renames, terms)?;
    // What hinders a rename is in the way of the proof, too, which tries by other means.
    if let Some(renamed) = &renamed {
        all_valued(renamed, to, fills, terms)?;
    } else if renames == Renames::default() {
        all_valued(from, to, fills, terms)?;
    }
    Ok(Outcome::Proposal(Box::new(prove(from, to, renamed.as_ref(), &renames, fills, terms)?)))
}

/// What has to be decided, as a refusal that lists the answers to choose from.
#[must_use]
pub fn undecided(questions: &[Question]) -> Problem {
    let shown = |question: &Question| match question {
        Question::Table { old, new } => {
            format!("table `{}` is gone and `{}` is new: renamed, or another one?", printable(old), printable(new))
        }
        Question::Column { table, old, new } => {
            let (table, old, new) = (printable(table), printable(old), printable(new));
            format!("column `{table}.{old}` is gone and `{table}.{new}` is new: renamed, or another one?")
        }
    };
    let mut problem = Problem::new(
        AMBIGUOUS_RENAME,
        match questions {
            [only] => shown(only),
            _ => format!("{} things are gone while ones like them are new: renamed, or others?", questions.len()),
        },
    );
    if questions.len() > 1 {
        problem = questions.iter().fold(problem, |problem, question| problem.note(shown(question)));
    }
    let flags: Vec<String> = questions.iter().map(Question::flag).collect();
    problem
        .note("as a rename its values are kept; as another one they are lost")
        .help(format!("renamed: say so again with `{}`", flags.join(" ")))
        .help("not renamed: `--no-rename`")
}

/// The schema that is there under its new names; none where nothing is renamed, or where it cannot be done so simply.
fn renamed(from: &State, renames: &Renames, terms: &Terms<'_>) -> Result<Option<State>> {
    let statements = renames.statements();
    if statements.is_empty() {
        return Ok(None);
    }
    let renamed = scratch::copy(&from.connection)?;
    let done = statements.iter().all(|sql| renamed.execute_batch(sql).is_ok());
    if done { State::of(renamed, terms.version_table).map(Some) } else { Ok(None) }
}

/// Refuses new columns that refuse NULL where nothing gives old rows a value.
fn all_valued(renamed: &State, to: &State, fills: &Fills, terms: &Terms<'_>) -> Result<()> {
    let changes = diff::changes(&renamed.schema, &to.schema, terms.order);
    let problems: Vec<Problem> = values::missing(&changes)
        .filter(|(table, column)| !fills.contains_key(&(fold(&table.name), fold(&column.name))))
        .map(|(table, column)| {
            let (table, column) = (printable(&table.name), printable(&column.name));
            Problem::new(NO_VALUE, format!("the new column `{table}.{column}` refuses NULL and has no default"))
                .note("rows that are there already would have no value in it")
                .help("give it a default, or let it be NULL (`Option<…>` in a model)")
                .help(format!("or say what those rows get: `--fill \"{table}.{column}=SQL\"`, an expression such as `0` or `'none'`"))
        })
        .collect();
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let unusable = fills.keys().filter_map(|(table, column)| {
        let why = unfillable(&renamed.schema, &to.schema, table, column)?;
        let (table, column) = (printable(table), printable(column));
        let problem = Problem::new(UNKNOWN_FILL, format!("the column `{table}.{column}` cannot be filled: {why}"));
        Some(problem.help("`--fill TABLE.COLUMN=SQL` is for a new column, or one that is not to be NULL any longer"))
    });
    let problems: Vec<Problem> = unusable.collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// Why a value for a column would be of no use: it would be passed over in silence.
fn unfillable(from: &Schema, to: &Schema, table: &str, column: &str) -> Option<&'static str> {
    let Some(wanted) = to.table(table).and_then(|table| table.column(column)) else {
        return Some("no such column is wanted");
    };
    if wanted.generated.is_some() {
        return Some("it is computed");
    }
    let Some(before) = from.table(table) else { return Some("its table is new, so no rows are there") };
    let before = before.column(column)?;
    let takes_null = before.not_null.is_none() && wanted.not_null.is_some();
    (!takes_null).then_some("the rows that are there have values in it")
}
