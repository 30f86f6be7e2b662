//! `history --graph` of several packages: a lane for each.

use migrate_runtime::plan::{Package, Packages};

use crate::app::{App, Opened};
use crate::args::HistoryArgs;
use crate::commands::drawing::Drawing;
use crate::commands::look::{States, marks};
use crate::failure::Result;
use crate::project::Project;

/// Draws the revisions of all packages in the order in which they would be taken back, each package in its lane.
pub(super) fn draw(app: App<'_>, args: &HistoryArgs, packages: Vec<(Project, Result<Opened>)>) -> Result<()> {
    let opened: Vec<Opened> = packages.into_iter().map(|(_, opened)| opened).collect::<Result<_>>()?;
    let states: Vec<States> = opened.iter().map(|opened| States::of(app, opened)).collect::<Result<_>>()?;
    let all = Packages::new(
        opened.iter().map(|opened| Package { key: opened.project.key(), graph: &opened.graph }).collect(),
    )?;
    // A number for each revision of all packages.
    let first: Vec<usize> = opened
        .iter()
        .scan(0, |next, opened| Some(std::mem::replace(next, *next + opened.graph.lineage().len())))
        .collect();
    let number = |(place, at): (usize, usize)| first[place] + at;
    let heads: Vec<Vec<usize>> = opened.iter().map(|opened| opened.graph.lineage().heads()).collect();
    let mut lanes = Vec::new();
    for (place, heads) in heads.iter().enumerate().filter(|(_, heads)| !heads.is_empty()) {
        app.shell.out(format!("{}{}", "| ".repeat(lanes.len()), opened[place].project.key()));
        lanes.extend(heads.iter().map(|at| number((place, *at))));
    }
    let mut drawing = Drawing::with_lanes(lanes);
    for at in all.order().iter().rev().copied() {
        let (place, index) = at;
        let package = &opened[place];
        let (migration, lineage) = (package.graph.migration(index), package.graph.lineage());
        let state = states[place].word(index);
        let marks = marks(args, package, index, &heads[place], &states[place].current);
        let needs: Vec<String> = migration.depends.iter().map(ToString::to_string).collect();
        let needs = if needs.is_empty() { String::new() } else { format!(", after {}", needs.join(", ")) };
        let id = format!("{}/{}", package.project.key(), migration.id);
        let parents: Vec<usize> = lineage.parents(index).iter().map(|parent| number((place, *parent))).collect();
        drawing.revision(number(at), &parents, &format!("{id}{marks}  {state:<7}  {}{needs}", migration.message));
    }
    drawing.into_lines().into_iter().for_each(|line| app.shell.out(line));
    Ok(())
}
