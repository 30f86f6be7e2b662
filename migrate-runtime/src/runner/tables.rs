//! Whose a table is, where several packages share a database.

use std::collections::{HashMap, HashSet};

use build_support::problem::{Code, Place, Problem, printable};

use super::Files;
use crate::history::History;
use crate::plan::{At, Direction, Plan};

/// Two packages that make the same table.
pub const MADE_TWICE: Code = Code("made-twice");

/// Who has made a table: the place of its package among the files, and the revision's index and span.
type Maker = (usize, usize, std::ops::Range<usize>);

/// Refuses a plan in which a package makes a table that another one has made. The database would say so for itself, but
/// for a `CREATE TABLE IF NOT EXISTS`, after which both would write into one table.
///
/// # Errors
/// [`MADE_TWICE`]
pub fn one_maker_each(files: &[Files<'_>], plan: &Plan, history: &History) -> Result<(), Vec<Problem>> {
    if files.len() < 2 {
        return Ok(());
    }
    let places: HashMap<&str, usize> = files.iter().enumerate().map(|(place, files)| (files.package, place)).collect();
    let find = |package: &str, id: &str| {
        let place = *places.get(package)?;
        Some((place, files[place].graph.lineage().find(id)?))
    };
    let steps = |direction| plan.steps.iter().filter(move |step| step.direction == direction);
    let new: Vec<At> = steps(Direction::Upgrade).filter_map(|step| find(&step.package, step.id.as_str())).collect();
    let off: HashSet<(&str, &str)> =
        steps(Direction::Downgrade).map(|step| (step.package.as_str(), step.id.as_str())).collect();
    let stays = history.rows().iter().filter(|row| !off.contains(&(row.package.as_str(), row.id.as_str())));
    let is_new: HashSet<At> = new.iter().copied().collect();
    let there = stays.filter_map(|row| find(&row.package, row.id.as_str())).filter(|at| !is_new.contains(at));
    match two_makers(files, there.chain(new.iter().copied()), |at| is_new.contains(&at)) {
        Some(problem) => Err(vec![problem]),
        None => Ok(()),
    }
}

/// What is wrong where, in this order of all revisions, a package makes a table that another one has made.
#[must_use]
pub fn made_twice(files: &[Files<'_>], order: &[At]) -> Option<Problem> {
    two_makers(files, order.iter().copied(), |_| true)
}

fn two_makers(
    files: &[Files<'_>],
    revisions: impl Iterator<Item = At>,
    counts: impl Fn(At) -> bool,
) -> Option<Problem> {
    let mut makers: HashMap<&str, Maker> = HashMap::new();
    for (place, at) in revisions {
        for change in &files[place].graph.migration(at).tables {
            change.freed().map(|name| makers.remove(name));
            let Some((name, span)) = change.taken() else { continue };
            let maker = (place, at, span);
            if let Some(before) = makers.insert(name, maker.clone())
                && before.0 != place
                && counts((place, at))
            {
                return Some(refusal(files, name, &before, &maker));
            }
        }
    }
    None
}

fn refusal(files: &[Files<'_>], name: &str, before: &Maker, after: &Maker) -> Problem {
    let name = printable(name);
    let (first, second) = (files[before.0].package, files[after.0].package);
    let place = |(place, at, span): &Maker| {
        let migration = files[*place].graph.migration(*at);
        match files[*place].directory.text(migration) {
            Ok(text) if text.is_char_boundary(span.start) && text.is_char_boundary(span.end) => {
                Place::span(&migration.path, text, span.clone())
            }
            _ => Place::file(&migration.path),
        }
    };
    Problem::new(MADE_TWICE, format!("`{second}` makes the table `{name}`, which `{first}` has made"))
        .at(place(after))
        .at(place(before).label(format!("made by `{first}`")))
        .note("the packages share one database, and nothing was run")
        .help(format!("give it another name, such as `{second}_{name}`"))
        .help(format!("or let `{second}` use the table of `{first}`: `-- migrate:depends {first}/{}`", {
            files[before.0].graph.migration(before.1).id.as_str()
        }))
}
