//! A backup before a run that can lose data.

use std::time::Duration;

use build_support::problem::{Problem, printable};
use migrate_runtime::plan::Step;
use migrate_runtime::runner::DownFrom;

use crate::app::{App, Opened};
use crate::args::SafetyArgs;
use crate::backup::{self, Why};
use crate::failure::Result;
use crate::live::Live;
use crate::project::Database;
use crate::project::settings::BackupPolicy;
use crate::risk::{self, Risk};

/// How many dangers are listed.
const LISTED: usize = 8;

/// What the command line says about a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing: the configuration decides.
    #[default]
    Nothing,
    /// `--backup`
    Backup,
    /// `--no-backup`
    NoBackup,
}

impl Asked {
    /// What two flags say of which one at most is given.
    pub(super) fn of(args: SafetyArgs) -> Self {
        match (args.backup, args.no_backup) {
            (true, _) => Self::Backup,
            (_, true) => Self::NoBackup,
            _ => Self::Nothing,
        }
    }
}

/// What a run can lose, and whether a backup is made before it.
#[derive(Debug)]
pub(super) struct Safeguard {
    risk: Risk,
    makes: bool,
    steps: Vec<Step>,
    allowed: bool,
    asked: Asked,
}

impl Safeguard {
    /// Looks at a run before it starts. A scratch database, and one that is not there, have nothing to lose.
    pub(super) fn of(
        opened: &Opened,
        (database, live): (&Database, Option<&mut Live>),
        steps: &[Step],
        down_from: Option<DownFrom>,
        asked: Asked,
    ) -> Result<Self> {
        let nothing = Self { risk: Risk::default(), makes: false, steps: steps.to_vec(), allowed: false, asked };
        if asked == Asked::NoBackup || database.scratch && asked != Asked::Backup {
            return Ok(nothing);
        }
        let Some(live) = live else { return Ok(nothing) };
        let by_rule = match database.backup {
            BackupPolicy::Never => false,
            BackupPolicy::Always => risk::has_rows(live, opened)?,
            BackupPolicy::Destructive => true,
        };
        let risk = match database.backup {
            BackupPolicy::Never if asked == Asked::Nothing => Risk::default(),
            _ => risk::of(opened, live, steps, down_from)?,
        };
        let makes = asked == Asked::Backup || by_rule && (database.backup == BackupPolicy::Always || !risk.is_none());
        Ok(Self { makes, risk, allowed: by_rule || asked == Asked::Backup, ..nothing })
    }

    /// Says what can be lost.
    pub(super) fn tell_dangers(&self, app: App<'_>) {
        if app.json() {
            return;
        }
        listed(&self.risk).for_each(|line| app.shell.note(line));
    }

    /// Says what can be lost, and where the backup goes.
    pub(super) fn tell(&self, app: App<'_>) {
        self.tell_dangers(app);
        if self.makes && !app.json() {
            app.shell.note(match (self.asked, self.risk.is_none()) {
                (Asked::Backup, _) => "a backup is made before, in .migrate/backups",
                (_, false) => "so a backup is made before, in .migrate/backups (`--no-backup` makes none)",
                (_, true) => {
                    "a backup is made before, as the configuration says, in .migrate/backups (`--no-backup` makes none)"
                }
            });
        }
    }

    /// Makes the backup, where one is to be made, while the run holds its lock; what others hold is waited for so long.
    /// The plan under the lock may be another one than was looked at, of which it is not known what it can lose.
    pub(super) fn make(
        &self,
        app: App<'_>,
        opened: &Opened,
        (database, wait): (&Database, Duration),
        steps: &[Step],
    ) -> std::result::Result<(), Problem> {
        let without = if self.asked == Asked::Backup { "leave `--backup` out" } else { "say `--no-backup`" };
        if self.makes || self.allowed && steps != self.steps {
            backup_now(app, opened, (database, wait)).map_err(|problem| problem.help(format!("or {without}")))
        } else {
            Ok(())
        }
    }
}

/// What a run can lose, a line for each danger as far as they are listed.
pub(super) fn listed(risk: &Risk) -> impl Iterator<Item = String> {
    let more = risk.dangers.len().saturating_sub(LISTED);
    let dangers = risk.dangers.iter().take(LISTED).map(|danger| format!("it can lose data: {danger}"));
    dangers.chain((more > 0).then(|| format!("and {more} more")))
}

/// Makes a backup by itself, and says where it is.
pub(super) fn backup_now(
    app: App<'_>,
    opened: &Opened,
    (database, wait): (&Database, Duration),
) -> std::result::Result<(), Problem> {
    let made = backup::make_within(app, opened, (database, wait), Why::Automatic, None).map_err(|failure| {
        let first = failure.problems().first().cloned();
        let problem = first.unwrap_or_else(|| Problem::new(backup::FAILED, "the backup could not be made"));
        problem.note("without it nothing was run")
    })?;
    if !app.json() {
        app.shell.status("Backup", printable(&made.shown.to_string_lossy()));
    }
    // One that cannot be removed is in nobody's way.
    let _ = backup::prune(app, opened, database, &[&made.path]);
    Ok(())
}
