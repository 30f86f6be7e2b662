//! What is pending at once, as an upgrade runs it: a server may refuse within one transaction what it takes in several.

use build_support::problem::Problem;
use migrate_runtime::database::Database as _;
use migrate_runtime::event::Event;
use migrate_runtime::history::History;
use migrate_runtime::plan::Plan;
use migrate_runtime::runner::{self, Options};

use super::{Copy, Interrupts, Rehearsed, Start, no_second_copy};
use crate::app::{App, Opened};

/// What plans a run.
pub type Planner<'a> = &'a dyn Fn(&History) -> Result<Plan, Vec<Problem>>;

/// Runs the plan on a new copy. Where it is refused, that is a fault of the revision at which it stopped; where the copy
/// cannot be made, a remark of the last one.
pub fn together(
    app: App<'_>,
    opened: &Opened,
    start: Start<'_>,
    interrupts: &Interrupts,
    planner: Planner<'_>,
    found: &mut [Rehearsed],
) {
    let made = Copy::make(app, opened, start, interrupts)
        .and_then(|copy| Ok((copy.open()?, copy)))
        .map(|(live, copy)| (copy, live));
    // The connection is closed before the copy is dropped.
    let (_copy, mut live) = match made {
        Ok(made) => made,
        Err(failure) => {
            found.last_mut().into_iter().for_each(|last| last.remarks.push(no_second_copy(&failure)));
            return;
        }
    };
    let now = || app.now();
    let options = Options { on_copy: true, ..Options::new(opened.wait, &now, env!("CARGO_PKG_VERSION")) };
    let mut reached = None;
    let mut observer = |event: Event<'_>| {
        if let Event::Started(step) = event {
            reached = Some((step.package.clone(), opened.named(&step.package, step.id.as_str())));
        }
    };
    let mut driver = live.driver(&opened.project.settings().version_table);
    let Err(stopped) = runner::run(&mut *driver, &opened.files(), planner, &options, &mut observer) else { return };
    let stopped_at = |one: &Rehearsed| {
        reached.as_ref().is_some_and(|(package, revision)| one.package == *package && one.revision == *revision)
    };
    let at = found.iter().position(stopped_at).unwrap_or(found.len().saturating_sub(1));
    let Some(one) = found.get_mut(at) else { return };
    one.faults.extend(stopped.problems.iter().map(|problem| {
        let why = problem.message();
        format!("together with the revisions before it, in one transaction, the upgrade is refused: {why}")
    }));
    one.together = stopped.problems;
}
