//! Whose a table is, where several packages share a database.

use std::collections::{HashMap, HashSet};

use build_support::migration::TableChange;
use build_support::problem::{Code, Place, Problem, printable};

use super::{Done, Files, Run, one};
use crate::history::History;
use crate::plan::{Direction, Plan};

/// Two packages that make the same table.
pub const SAME_TABLE: Code = Code("same-table");

/// Who has made a table: the place of its package among the files, and the revision's index and span.
type Maker = (usize, usize, std::ops::Range<usize>);

impl Run<'_, '_> {
    /// Refuses a plan in which a package makes a table that another one has made. The database would say so for itself,
    /// but for a `CREATE TABLE IF NOT EXISTS`, after which both would write into one table.
    pub(super) fn one_maker_each(&mut self, plan: &Plan, history: &History) -> Done<()> {
        if self.files.len() < 2 {
            return Ok(());
        }
        let place_of: HashMap<&str, usize> =
            self.files.iter().enumerate().map(|(place, files)| (files.package, place)).collect();
        let find = |package: &str, id: &str| {
            let place = *place_of.get(package)?;
            Some((place, self.files[place].graph.lineage().find(id)?))
        };
        let pending: Vec<(usize, usize)> = plan
            .steps
            .iter()
            .filter(|step| step.direction == Direction::Upgrade)
            .filter_map(|step| find(&step.package, step.id.as_str()))
            .collect();
        let new: HashSet<(usize, usize)> = pending.iter().copied().collect();
        let off: HashSet<(&str, &str)> = plan
            .steps
            .iter()
            .filter(|step| step.direction == Direction::Downgrade)
            .map(|step| (step.package.as_str(), step.id.as_str()))
            .collect();
        let there = history
            .rows()
            .iter()
            .filter(|row| !off.contains(&(row.package.as_str(), row.id.as_str())))
            .filter_map(|row| find(&row.package, row.id.as_str()));
        let mut makers: HashMap<&str, Maker> = HashMap::new();
        for (place, at) in there.filter(|at| !new.contains(at)).chain(pending.iter().copied()) {
            for change in &self.files[place].graph.migration(at).tables {
                let (name, span) = match change {
                    TableChange::Made(name, span) => (name, span),
                    TableChange::Renamed(old, name, span) => {
                        makers.remove(&**old);
                        (name, span)
                    }
                    TableChange::Dropped(name) => {
                        makers.remove(&**name);
                        continue;
                    }
                };
                let maker = (place, at, span.clone());
                if let Some(before) = makers.insert(name, maker.clone())
                    && before.0 != place
                    && new.contains(&(place, at))
                {
                    return Err(one(same_table(self.files, name, &before, &maker)));
                }
            }
        }
        Ok(())
    }
}

fn same_table(files: &[Files<'_>], name: &str, before: &Maker, after: &Maker) -> Problem {
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
    Problem::new(SAME_TABLE, format!("`{second}` makes the table `{name}`, which `{first}` has made"))
        .at(place(after))
        .at(place(before).label(format!("made by `{first}`")))
        .note("the packages share one database, and nothing was run")
        .help(format!("give it another name, such as `{second}_{name}`"))
        .help(format!("or let `{second}` use the table of `{first}`: `-- migrate:depends {first}/{}`", {
            files[before.0].graph.migration(before.1).id.as_str()
        }))
}
