//! Which packages a command works on, and which of them share a database.

use std::collections::HashSet;

use build_support::directory::{Directory, Locks};
use build_support::problem::{Code, Problem, printable};

use super::{App, Beside, Opened};
use crate::failure::{Failure, Result};
use crate::project::database::Identity;
use crate::project::settings::BackupPolicy;
use crate::project::{CARGO, Database, Neighbours, Project, Selected, Selection};

/// Packages that share a database and do not agree on how it is to be used.
pub const DISAGREEMENT: Code = Code("packages-disagree");

/// A package that was chosen, with what is in its folder and the database that it would use.
struct Member {
    project: Project,
    opened: Result<Opened>,
    database: Result<Database>,
}

/// What a command does to the packages that it works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It looks: where nothing was said it is all of them.
    Look,
    /// It changes something: where several could be meant it has to be said which.
    Change,
    /// It takes back what was applied, for which nothing is needed that the packages depend on.
    TakeBack,
}

/// The packages that a command works on, each read or with the reason why it cannot be.
#[derive(Debug)]
pub struct Chosen {
    /// The packages' projects and what is in their folders.
    pub packages: Vec<(Project, Result<Opened>)>,
    neighbours: Option<Neighbours>,
}

/// The packages that are worked on together, because they share a database.
#[derive(Debug)]
pub struct Group {
    /// The keys of those that were asked for.
    pub keys: Vec<String>,
    /// Where the database is; the key of the package where none could be found out.
    pub place: String,
    /// The first package with the others beside it, or why they cannot be worked on.
    pub opened: Result<Opened>,
    /// The database, or why there is none; some work needs none.
    pub database: Result<Database>,
}

impl Chosen {
    /// One of the packages with those that it needs beside it.
    ///
    /// # Errors
    /// What is wrong with the others.
    pub fn with_needs(&self, app: App<'_>, opened: &Opened) -> Result<Opened> {
        let mut opened = opened.clone();
        match &self.neighbours {
            Some(neighbours) if opened.needs_others() => app.with_needed(&mut opened, None, neighbours)?,
            _ => {}
        }
        Ok(opened)
    }
}

impl App<'_> {
    /// Finds and reads the packages that the command line and the working directory mean.
    ///
    /// # Errors
    /// No project, several where one has to be chosen, settings that cannot be read; what is wrong with the only one.
    pub fn choose(&self, purpose: Purpose) -> Result<Chosen> {
        let (selected, mut read) = self.select()?;
        let selected = if purpose == Purpose::Look { selected } else { selected.for_writing()? };
        let Selected { projects, neighbours, .. } = selected;
        if projects.len() > 1
            && let Some(name) = &self.global.name
        {
            return Err(Failure::misused(format!("`--name {}` is for one package", printable(name))));
        }
        let packages = projects.into_iter().map(|project| {
            let opened = self.open_read(project.clone(), read.take(&project));
            (project, opened)
        });
        let neighbours = neighbours.filter(|_| purpose != Purpose::TakeBack);
        Ok(Chosen { packages: packages.collect(), neighbours })
    }

    /// A package that is not at hand and that a database of those at hand has revisions of: their downs are stored there.
    fn stranger(&self, chosen: &Chosen, key: &str, purpose: Purpose) -> Option<(Project, Result<Opened>)> {
        let has_it = |project: &Project, opened: &Opened| {
            let database = project.database(self.context, self.global.database.as_deref()).ok()?;
            opened.history(&database).ok()?.of(key).next().map(drop)
        };
        let mut known = chosen.packages.iter().filter(|_| purpose == Purpose::TakeBack);
        let found =
            known.find(|(project, opened)| opened.as_ref().is_ok_and(|opened| has_it(project, opened).is_some()));
        let project = found?.0.stranger(key);
        let directory = Directory::new(project.migrations(), project.migrations_shown());
        let opened = self.opened(project.clone(), directory, Vec::new(), Locks::default());
        Some((project, opened))
    }

    /// The other packages of the workspace, as far as they can be read.
    ///
    /// # Errors
    /// The workspace cannot be read.
    pub fn others(&self, opened: &Opened) -> Result<Vec<Opened>> {
        if opened.project.package().is_none() {
            return Ok(Vec::new());
        }
        let manifest_path = self.global.manifest_path.clone();
        let all = Selection { workspace: true, manifest_path, ..Selection::default() };
        let projects = Project::open_all(self.context, &all)?.projects.into_iter();
        let others = projects.filter(|project| project.package() != opened.project.package());
        Ok(others.filter_map(|project| self.open_read(project, None).ok()).collect())
    }

    /// The packages that are chosen, by the databases that they share.
    ///
    /// # Errors
    /// As [`App::choose`].
    pub fn groups(&self, purpose: Purpose) -> Result<Vec<Group>> {
        self.grouped(self.choose(purpose)?)
    }

    /// The same for a target that may name its package: `PACKAGE/TARGET`; gives the target without it.
    ///
    /// # Errors
    /// As [`App::choose`]; a package that is not there, and a target that means something in one package alone where
    /// several are chosen.
    pub fn groups_for<'t>(&self, target: &'t str, purpose: Purpose) -> Result<(Vec<Group>, &'t str)> {
        let Some((package, rest)) = target.split_once('/') else {
            let groups = self.groups(purpose)?;
            let several = groups.iter().map(|group| group.keys.len()).sum::<usize>() > 1;
            if several && !matches!(target, "head" | "heads" | "base" | "current") {
                return Err(Failure::misused(format!(
                    "`{}` means something in one package, and several are chosen",
                    printable(target)
                ))
                .help("name the package: `-p NAME`, or `NAME/TARGET`"));
            }
            return Ok((groups, target));
        };
        let mut chosen = self.choose(Purpose::Look)?;
        let is_meant = |project: &Project| project.key() == package || project.package() == Some(package);
        if !chosen.packages.iter().any(|(project, _)| is_meant(project)) {
            let found = chosen.neighbours.as_ref().map(|all| all.by_key(self.context, package)).transpose()?;
            let found = found.flatten().map(|project| (project.clone(), self.open_read(project, None)));
            let Some(found) = found.or_else(|| self.stranger(&chosen, package, purpose)) else {
                let keys: Vec<&str> = chosen.packages.iter().map(|(project, _)| project.key()).collect();
                let problem =
                    Problem::new(Code("unknown-package"), format!("no package has the key `{}`", printable(package)))
                        .note(format!("those at hand are {}", keys.join(", ")));
                return Err(problem.help("a target is `REVISION`, or `PACKAGE/REVISION`").into());
            };
            chosen.packages.push(found);
        }
        chosen.packages.retain(|(project, _)| is_meant(project));
        chosen.neighbours = chosen.neighbours.filter(|_| purpose != Purpose::TakeBack);
        Ok((self.grouped(chosen)?, rest))
    }

    /// The same of packages that were chosen before.
    ///
    /// # Errors
    /// What is wrong with the only one.
    pub fn grouped(&self, chosen: Chosen) -> Result<Vec<Group>> {
        let Chosen { packages, neighbours } = chosen;
        // What is wrong with the only package is what is wrong with the command.
        let alone = packages.len() == 1;
        let mut places: Vec<Option<Identity>> = Vec::new();
        let mut sorted: Vec<Vec<Member>> = Vec::new();
        for (project, opened) in packages {
            let opened = if alone { Ok(opened?) } else { opened };
            let database = project.database(self.context, self.global.database.as_deref());
            let place = database.as_ref().ok().map(|database| database.url.identity());
            let member = Member { project, opened, database };
            match places.iter().position(|known| place.is_some() && *known == place) {
                Some(at) => sorted[at].push(member),
                None => {
                    places.push(place);
                    sorted.push(vec![member]);
                }
            }
        }
        Ok(sorted.into_iter().map(|members| self.group(neighbours.as_ref(), members)).collect())
    }

    fn group(&self, neighbours: Option<&Neighbours>, members: Vec<Member>) -> Group {
        let keys: Vec<String> = members.iter().map(|member| member.project.key().to_owned()).collect();
        let place = members.iter().find_map(|Member { project, database, .. }| {
            let database = database.as_ref().ok()?;
            Some(crate::live::shown(project, database))
        });
        let place = place.unwrap_or_else(|| "no database".to_owned());
        let (alone, mut ready, mut problems) = (keys.len() == 1, Vec::new(), Vec::new());
        let mut common: Option<Result<Database>> = None;
        for Member { project, opened, database } in members {
            // Those of one group have one, or are alone without.
            common.get_or_insert_with(|| database.clone());
            match opened {
                Ok(opened) => ready.push((opened, database)),
                Err(failure) if alone => problems.extend(failure.problems().to_vec()),
                Err(failure) => problems.extend(super::of_package(failure, project.key()).problems().to_vec()),
            }
        }
        let none = || Err(Failure::misused("no package is chosen"));
        let mut database = common.unwrap_or_else(none);
        let opened =
            if problems.is_empty() { self.together(neighbours, ready, &mut database) } else { Err(problems.into()) };
        Group { keys, place, opened, database }
    }

    /// Puts packages of one database beside the first of them, and with them those that they depend on.
    fn together(
        &self,
        neighbours: Option<&Neighbours>,
        ready: Vec<(Opened, Result<Database>)>,
        database: &mut Result<Database>,
    ) -> Result<Opened> {
        let mut members = ready.into_iter();
        let Some((mut first, _)) = members.next() else { return Err(Failure::misused("no package is chosen")) };
        for (opened, named) in members {
            let (common, named) = (database.as_mut().map_err(|failure| failure.clone())?, named?);
            joined((&first, common), (&opened, &named))?;
            first.beside.push(Beside { opened, database: Some(named), asked: true });
        }
        if let Some(neighbours) = neighbours {
            self.with_needed(&mut first, database.as_ref().ok(), neighbours)?;
        }
        Ok(first)
    }

    /// Adds the libraries that the settings name, and the packages that revisions depend on.
    pub(super) fn with_needed(
        &self,
        first: &mut Opened,
        database: Option<&Database>,
        neighbours: &Neighbours,
    ) -> Result<()> {
        let mut known: HashSet<String> = first.all().map(|opened| opened.project.key().to_owned()).collect();
        let names: Vec<String> =
            first.all().flat_map(|opened| opened.project.settings().libraries.iter().cloned()).collect();
        for name in names {
            let Some(project) = neighbours.by_name(self.context, &name)? else {
                return Err(Problem::new(
                    Code("unknown-package"),
                    format!(
                        "`libraries` names `{}`, and no dependency of that name carries migrations",
                        printable(&name)
                    ),
                )
                .help("see its name with `cargo tree`; a library has a `migrations` folder with a `migrate.lock`")
                .into());
            };
            if known.insert(project.key().to_owned()) {
                first.beside.push(self.needed(project, database, true)?);
            }
        }
        loop {
            let Some(key) = first.keys_needed().map(str::to_owned).find(|key| known.insert(key.clone())) else {
                return Ok(());
            };
            // Where nobody knows the package the database is asked, which may have its revisions all the same.
            match neighbours.by_key(self.context, &key) {
                Ok(Some(project)) => first.beside.push(self.needed(project, database, false)?),
                Ok(None) => {}
                Err(failure) if failure.problems().iter().all(|it| it.code() == CARGO) => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    fn needed(&self, project: Project, database: Option<&Database>, asked: bool) -> Result<Beside> {
        let key = project.key().to_owned();
        let named = match database {
            Some(_) if !project.is_library() => Some(project.database(self.context, self.global.database.as_deref())?),
            _ => None,
        };
        let opened = self.open_read(project, None).map_err(|failure| super::of_package(failure, &key))?;
        if let (Some(database), Some(named)) = (database, &named)
            && named.url.identity() != database.url.identity()
        {
            let path = |it: &Database| printable(&opened.project.show_place(it).to_string_lossy());
            return Err(Problem::new(
                DISAGREEMENT,
                format!("`{key}` is depended on, and its database is another one: {}", path(named)),
            )
            .note(format!("the one at work is {}", path(database)))
            .help("packages that depend on one another share a database: write it once, below `[workspace.metadata.migrate.databases]`")
            .help("and take it out of the packages' own manifests, which go before that")
            .into());
        }
        Ok(Beside { opened, database: named, asked })
    }
}

/// Adds what another package says of a database to what is known of it; refuses packages that would use it in two ways.
///
/// # Errors
/// [`DISAGREEMENT`]
pub fn joined((first, common): (&Opened, &mut Database), (second, named): (&Opened, &Database)) -> Result<()> {
    let (one, other) = (&first.project, &second.project);
    let problem = |what: &str| {
        Problem::new(DISAGREEMENT, format!("`{}` and `{}` share a database, and {what}", one.key(), other.key()))
            .help("write the setting once, below `[workspace.metadata.migrate]`")
    };
    if common.scratch != named.scratch {
        return Err(problem("only one of them says that it is scratch").into());
    }
    if one.settings().version_table != other.settings().version_table {
        return Err(problem("they keep their histories in tables of different names (`version-table`)").into());
    }
    if common.session != named.session {
        return Err(problem("they set its sessions differently (`role`, `search-path`, the timeouts)").into());
    }
    common.protected |= named.protected;
    common.backup = stricter(common.backup, named.backup);
    Ok(())
}

/// The policy of two that makes more backups.
#[must_use]
pub fn stricter(one: BackupPolicy, other: BackupPolicy) -> BackupPolicy {
    match (one, other) {
        (BackupPolicy::Always, _) | (_, BackupPolicy::Always) => BackupPolicy::Always,
        (BackupPolicy::Destructive, _) | (_, BackupPolicy::Destructive) => BackupPolicy::Destructive,
        (BackupPolicy::Never, BackupPolicy::Never) => BackupPolicy::Never,
    }
}
