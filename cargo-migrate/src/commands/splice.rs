//! What builds on a deleted revision: refused, or given the deleted one's parents.

use build_support::problem::Problem;
use build_support::revision::RevisionId;

use crate::app::Opened;
use crate::commands::delete::BUILT_ON;
use crate::failure::Result;

/// The files that change when `wanted` go, as name and new text.
///
/// Only drafts are given other parents: the history that an applied revision stands on is fixed.
pub(super) fn plan(
    opened: &Opened,
    wanted: &[usize],
    splice: bool,
    applied: &dyn Fn(&RevisionId) -> bool,
) -> Result<Vec<(String, String)>> {
    let lineage = opened.graph.lineage();
    let stays = |at: &usize| !wanted.contains(at);
    for &at in wanted {
        let others: Vec<usize> = lineage.needed_by(at).filter(stays).collect();
        let names: Vec<&str> = others.iter().map(|child| lineage.id(*child).as_str()).collect();
        let problem = |why: String| Problem::new(BUILT_ON, why).in_file(&opened.graph.migration(at).path);
        if others.is_empty() {
            continue;
        }
        if !splice {
            return Err(problem(format!("other revisions build on `{}`: {}", lineage.id(at), names.join(", ")))
                .help("delete them as well, in the same command")
                .help("or, where they are drafts, let them follow what this one follows: `--splice`")
                .into());
        }
        if let Some(child) = others.iter().find(|child| !lineage.parents(**child).contains(&at)) {
            return Err(problem(format!("`{}` depends on `{}`", lineage.id(*child), lineage.id(at)))
                .in_file(&opened.graph.migration(*child).path)
                .help("take the line `migrate:depends` out of its header first")
                .into());
        }
        if let Some(child) = others.iter().find(|child| applied(lineage.id(**child))) {
            return Err(problem(format!(
                "`{}` builds on `{}` and is applied, so it keeps its parents",
                lineage.id(*child),
                lineage.id(at)
            ))
            .help("delete it as well, with `--downgrade`")
            .into());
        }
    }
    let mut changed = Vec::new();
    for child in 0..lineage.len() {
        if wanted.contains(&child) || lineage.parents(child).iter().all(stays) {
            continue;
        }
        let migration = opened.graph.migration(child);
        let parents = inherited(opened, child, wanted);
        let ids: Vec<&RevisionId> = parents.iter().map(|at| lineage.id(*at)).collect();
        let text = opened.directory.text(migration)?;
        changed.push((migration.id.file_name(), migration.with_parents(&text, &ids)));
    }
    Ok(changed)
}

/// A revision's parents after the deletion: for each that goes, those that it followed. One that comes before another
/// of them already is left out.
fn inherited(opened: &Opened, child: usize, wanted: &[usize]) -> Vec<usize> {
    let lineage = opened.graph.lineage();
    let mut found = Vec::new();
    let mut open: Vec<usize> = lineage.parents(child).iter().rev().copied().collect();
    let mut seen = vec![false; lineage.len()];
    while let Some(at) = open.pop() {
        if std::mem::replace(&mut seen[at], true) {
            continue;
        }
        if wanted.contains(&at) {
            open.extend(lineage.parents(at).iter().rev());
        } else {
            found.push(at);
        }
    }
    let covers = |at: usize, other: usize| at != other && lineage.with_ancestors(&[at])[other];
    found.iter().copied().filter(|other| !found.iter().any(|at| covers(*at, *other))).collect()
}
