//! What is said of a database whose version table is not there, while another one has the history of the same package.

use build_support::problem::{Problem, printable};

use super::HISTORY_ELSEWHERE;
use crate::history::{Elsewhere, Found, History};

/// Refuses an empty history where another schema has that of one of these packages: a run would make everything once more.
///
/// # Errors
/// [`HISTORY_ELSEWHERE`]
pub fn not_elsewhere<'p>(history: &History, packages: impl IntoIterator<Item = &'p str>) -> Result<(), Problem> {
    let Some(elsewhere) = history.elsewhere() else { return Ok(()) };
    let mut packages = packages.into_iter();
    let found = packages.find_map(|package| elsewhere.found.iter().find(|found| found.package == package));
    found.map_or(Ok(()), |found| Err(refusal(elsewhere, found)))
}

fn refusal(elsewhere: &Elsewhere, found: &Found) -> Problem {
    let [[schema, name], [missing, wanted]] =
        [&found.table, &elsewhere.missing].map(|table| table.each_ref().map(|name| printable(name)));
    let revisions = if found.revisions == 1 { "revision" } else { "revisions" };
    let problem = Problem::new(
        HISTORY_ELSEWHERE,
        format!(
            "the version table `{missing}.{wanted}` is not there, and `{schema}.{name}` has {} {revisions} of `{}`",
            found.revisions,
            printable(&found.package)
        ),
    )
    .note("from here a run would make everything once more, beside what is there");
    let problem = if elsewhere.named {
        problem
    } else {
        problem.note(format!(
            "`{missing}` is the first schema of the search path that is there, which nothing here has set: by default it \
             starts with the schema that is named as the role is, `\"$user\"`"
        ))
    };
    let problem = if schema == missing {
        problem.help(format!("go on with that history: `version-table = \"{name}\"` in the configuration"))
    } else {
        problem.help(format!(
            "go on with that history: `version-table = \"{schema}.{name}\"` in the configuration, and \
             `search-path = \"{schema}\"` of the database, so that new tables stand beside the old ones"
        ))
    };
    let problem = if elsewhere.named && name == wanted && schema != missing {
        let make = format!("CREATE SCHEMA IF NOT EXISTS {missing};");
        problem.help(format!("or move it: `{make} ALTER TABLE {schema}.{name} SET SCHEMA {missing};`"))
    } else {
        problem
    };
    problem.help(format!(
        "or begin a history of its own here, and say the schema: `search-path = \"{missing}\"` of the database, or \
         `?schema={missing}` in its URL"
    ))
}
