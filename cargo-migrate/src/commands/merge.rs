//! `merge`: a revision with several parents.

use build_support::problem::printable;
use build_support::revision::RevisionId;

use crate::app::App;
use crate::args::MergeArgs;
use crate::commands::revision::{self, Draft};
use crate::failure::{Failure, Result};

/// `cargo migrate merge`
pub(super) fn merge(app: App<'_>, args: &MergeArgs) -> Result<()> {
    let opened = app.open()?;
    let lineage = opened.graph.lineage();
    let parents = if args.revisions.is_empty() {
        lineage.heads()
    } else {
        revision::parents(&args.revisions, lineage, &revision::applied(app, &opened))?
    };
    if parents.len() < 2 {
        let only = parents.first().map_or("base", |at| lineage.id(*at).as_str());
        if args.revisions.iter().any(|text| text != "heads") {
            return Err(Failure::misused(format!("a merge joins several revisions, and this is one: `{only}`"))
                .help("name the others too, or `heads` for all that nothing follows"));
        }
        if app.json() {
            app.shell.json(&serde_json::json!({ "command": "merge", "revision": null, "file": null }));
        }
        app.shell.status("Finished", format!("nothing to merge: `{only}` is the only head"));
        return Ok(());
    }
    revision::heads_only(lineage, &parents, args.splice)?;
    let ids: Vec<&RevisionId> = parents.iter().map(|at| lineage.id(*at)).collect();
    let names: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let message = args.message.clone().unwrap_or_else(|| format!("Merge {}.", names.join(" and ")));
    let draft = Draft {
        message: Some(&message),
        named: args.message.is_none().then_some("merge"),
        parents: &ids,
        depends: &[],
        labels: &args.branch_label,
    };
    let (id, text) = draft.write(app, &opened, args.rev_id.as_deref())?;
    revision::create(app, &opened, &id, &text, "merge")?;
    if !app.json() {
        app.shell.note(format!("it joins {}", printable(&names.join(", "))));
    }
    Ok(())
}
