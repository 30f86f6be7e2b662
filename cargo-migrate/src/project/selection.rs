//! Which packages of a workspace the command line and the working directory mean.

use std::path::PathBuf;

use build_support::problem::{Code, Problem, nearest, printable};
use cargo_metadata::Package;
use glob::Pattern;

use super::layer;
use super::workspace::{self, Workspace, is_same};
use crate::context::Context;
use crate::failure::{Failure, Result};

pub(super) const NO_PACKAGE: Code = Code("no-package");
const UNKNOWN_PACKAGE: Code = Code("unknown-package");

/// What the command line says of the project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// `--manifest-path`
    pub manifest_path: Option<PathBuf>,
    /// `-p`, each a package's name, `NAME@VERSION` or a glob of names
    pub packages: Vec<String>,
    /// `--workspace`, all members that have migrations
    pub workspace: bool,
    /// `--exclude`, members that `--workspace` leaves out; written as those of `-p`
    pub exclude: Vec<String>,
    /// `--migrations`, relative to the working directory
    pub migrations: Option<PathBuf>,
    /// `--name`, the package's key in the version table
    pub name: Option<String>,
}

impl Selection {
    /// Refuses what does not go together. It is not left to the definition of the flags, since each of them may stand
    /// before the command and behind it.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(name) = &self.name {
            layer::check_key(name)
                .map_err(|(why, _)| Failure::misused(format!("the name `{}` {why}", printable(name))))?;
        }
        if self.workspace && (!self.packages.is_empty() || self.is_of_one()) {
            return Err(Failure::misused("`--workspace` does not go together with `-p`, `--migrations` or `--name`"));
        }
        if !self.exclude.is_empty() && !self.workspace {
            return Err(Failure::misused("`--exclude` leaves packages out of `--workspace`, which is not there")
                .help("say `--workspace` too, or name those that are meant: `-p NAME`"));
        }
        Ok(())
    }

    /// Whether it says what only one package can have.
    fn is_of_one(&self) -> bool {
        self.migrations.is_some() || self.name.is_some()
    }
}

/// The packages that are meant, in cargo's order; never none.
#[derive(Debug)]
pub(super) struct Chosen<'w> {
    pub(super) packages: Vec<&'w Package>,
    /// Whether it is these and no others by what was said, or by where it was said.
    pub(super) is_said: bool,
}

impl<'w> Chosen<'w> {
    fn said(packages: Vec<&'w Package>) -> Self {
        Self { packages, is_said: true }
    }

    /// The only one, for a command that works on one.
    pub(super) fn only(&self, workspace: &Workspace) -> Result<&'w Package, Problem> {
        match (self.packages.as_slice(), self.is_said) {
            ([only], _) => Ok(only),
            (several, false) => Err(unsaid(workspace, several)),
            (several, true) => Err(one_of(
                Problem::new(NO_PACKAGE, "this command works on one package, and several are chosen"),
                several,
            )),
        }
    }
}

/// The members that a command works on.
pub(super) fn choose<'w>(workspace: &'w Workspace, selection: &Selection, context: &Context) -> Result<Chosen<'w>> {
    let members = workspace.members();
    if !selection.packages.is_empty() {
        let packages = named(workspace, &members, &selection.packages)?;
        if packages.len() > 1 && selection.is_of_one() {
            return Err(Failure::misused("`--migrations` and `--name` go together with one package alone"));
        }
        return Ok(Chosen::said(packages));
    }
    if selection.workspace {
        return Ok(Chosen::said(all_but(workspace, &members, &selection.exclude)?));
    }
    if let Some(given) = &selection.migrations {
        let given = context.working_directory().join(given);
        if let Some(owner) = members.iter().find(|member| is_same(&workspace.migrations(member), &given)) {
            return Ok(Chosen::said(vec![owner]));
        }
    }
    let (nearest, is_root) = workspace.nearest(&members);
    if let Some(nearest) = nearest
        && (!is_root || workspace.migrates(nearest) || workspace.migrations(nearest).is_dir())
    {
        return Ok(Chosen::said(vec![nearest]));
    }
    let migrating = migrating(workspace, &members);
    let is_default = |member: &Package| {
        let defaults = &workspace.metadata.workspace_default_members;
        defaults.is_available() && defaults.contains(&member.id)
    };
    let defaults: Vec<_> = migrating.iter().copied().filter(|member| is_default(member)).collect();
    let meant = if defaults.is_empty() { migrating } else { defaults };
    match (meant.as_slice(), nearest) {
        ([], Some(root)) => Ok(Chosen::said(vec![root])),
        ([], None) => Err(none(workspace, &members).into()),
        ([only], _) => Ok(Chosen::said(vec![only])),
        (several, _) if selection.is_of_one() => Err(unsaid(workspace, several).into()),
        _ => Ok(Chosen { packages: meant, is_said: false }),
    }
}

/// The members that have migrations, in cargo's order.
pub(super) fn migrating<'w>(workspace: &Workspace, members: &[&'w Package]) -> Vec<&'w Package> {
    members.iter().copied().filter(|member| workspace.migrates(member)).collect()
}

/// Several packages have migrations, and nothing says which are meant.
pub(super) fn unsaid(workspace: &Workspace, several: &[&Package]) -> Problem {
    one_of(
        Problem::new(NO_PACKAGE, "several packages of this workspace have migrations").in_file(workspace.manifest()),
        several,
    )
}

fn one_of(problem: Problem, several: &[&Package]) -> Problem {
    let problem = problem.note(format!("they are {}", list(several)));
    match several.first() {
        Some(first) => problem.help(format!("choose one: `-p {}`", first.name)),
        None => problem,
    }
}

fn none(workspace: &Workspace, members: &[&Package]) -> Problem {
    Problem::new(NO_PACKAGE, "no package of this workspace has migrations")
        .in_file(workspace.manifest())
        .note(format!("the packages are {}", list(members)))
        .help("set one up: `cargo migrate init -p NAME`")
}

/// The members that `-p` names. One that has no migrations can be named, `init` gives it some; a glob is about those
/// that have.
fn named<'w>(workspace: &Workspace, members: &[&'w Package], specs: &[String]) -> Result<Vec<&'w Package>> {
    let mut wanted = vec![false; members.len()];
    for spec in specs {
        let spec = Spec::parse(spec, "-p")?;
        let mut found = spec.found(members)?;
        if matches!(spec, Spec::Glob { .. }) {
            let matched: Vec<_> = found.iter().map(|at| members[*at]).collect();
            found.retain(|at| workspace.migrates(members[*at]));
            if found.is_empty() {
                let message = format!("no package that `{}` matches has migrations", printable(spec.text()));
                return Err(Problem::new(NO_PACKAGE, message)
                    .note(format!("it matches {}", list(&matched)))
                    .help("set one up: `cargo migrate init -p NAME`")
                    .into());
            }
        }
        found.into_iter().for_each(|at| wanted[at] = true);
    }
    Ok(members.iter().zip(wanted).filter_map(|(member, wanted)| wanted.then_some(*member)).collect())
}

/// The members that have migrations, without those of `--exclude`. One that excludes nothing is refused, where cargo
/// warns: a package that was to be left out would be migrated for a typo.
fn all_but<'w>(workspace: &Workspace, members: &[&'w Package], exclude: &[String]) -> Result<Vec<&'w Package>> {
    let mut excluded = vec![false; members.len()];
    for spec in exclude {
        let found = Spec::parse(spec, "--exclude")?.found(members)?;
        found.into_iter().for_each(|at| excluded[at] = true);
    }
    let migrating = migrating(workspace, members);
    if migrating.is_empty() {
        return Err(none(workspace, members).into());
    }
    let is_excluded = |package: &Package| members.iter().zip(&excluded).any(|(it, out)| *out && it.id == package.id);
    let left: Vec<_> = migrating.iter().copied().filter(|package| !is_excluded(package)).collect();
    if left.is_empty() {
        return Err(Problem::new(NO_PACKAGE, "`--exclude` leaves no package that has migrations")
            .in_file(workspace.manifest())
            .note(format!("those that have some are {}", list(&migrating)))
            .help("leave out fewer of them")
            .into());
    }
    Ok(left)
}

/// What `-p` and `--exclude` name packages by.
enum Spec<'a> {
    Named { flag: &'a str, name: &'a str, version: Option<&'a str> },
    Glob { flag: &'a str, text: &'a str, pattern: Pattern },
}

impl<'a> Spec<'a> {
    fn parse(text: &'a str, flag: &'a str) -> Result<Self> {
        if is_glob(text) {
            let pattern = Pattern::new(text).map_err(|error| {
                Failure::misused(format!("`{flag} {}` is no pattern: {}", printable(text), error.msg))
            })?;
            return Ok(Self::Glob { flag, text, pattern });
        }
        let (name, version) = text.split_once('@').map_or((text, None), |(name, version)| (name, Some(version)));
        Ok(Self::Named { flag, name, version })
    }

    fn text(&self) -> &'a str {
        match self {
            Self::Named { name, .. } => name,
            Self::Glob { text, .. } => text,
        }
    }

    /// Where those that it names stand among the members; never none.
    fn found(&self, members: &[&Package]) -> Result<Vec<usize>, Problem> {
        let named = |wanted: &dyn Fn(&str) -> bool| -> Vec<usize> {
            members.iter().enumerate().filter(|(_, member)| wanted(member.name.as_str())).map(|(at, _)| at).collect()
        };
        match self {
            Self::Glob { flag, text, pattern } => match named(&|name| pattern.matches(name)) {
                found if found.is_empty() => {
                    let message = format!("no package of this workspace matches `{}`", printable(text));
                    Err(Problem::new(UNKNOWN_PACKAGE, message)
                        .note(format!("the packages are {}", list(members)))
                        .help(format!("choose among them: `{flag} NAME`")))
                }
                found => Ok(found),
            },
            Self::Named { flag, name, version } => {
                let mut found = named(&|known| known == *name);
                if found.is_empty() {
                    // Messages name a package by its key, which its configuration may have made another one.
                    let has_key = |member: &&Package| {
                        workspace::table(&member.metadata).get("name").and_then(serde_json::Value::as_str)
                            == Some(*name)
                    };
                    found = (0..members.len()).filter(|at| has_key(&members[*at])).collect();
                }
                let Some(first) = found.first() else { return Err(unknown(members, flag, name)) };
                let there = members[*first].version.to_string();
                if version.is_some_and(|version| !is_version(&there, version)) {
                    let message = format!("the package `{name}` of this workspace has another version, {there}");
                    return Err(Problem::new(UNKNOWN_PACKAGE, message).help(format!("write `{flag} {name}`")));
                }
                Ok(found)
            }
        }
    }
}

/// Whether cargo takes a package's name for a pattern of names.
pub(crate) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', ']'])
}

/// Whether a version is meant, which may be written without its last numbers.
fn is_version(version: &str, written: &str) -> bool {
    let is_short = !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    version == written || is_short && version.strip_prefix(written).is_some_and(|rest| rest.starts_with('.'))
}

fn unknown(members: &[&Package], flag: &str, name: &str) -> Problem {
    let problem = Problem::new(UNKNOWN_PACKAGE, format!("no package of this workspace is named `{}`", printable(name)))
        .note(format!("the packages are {}", list(members)));
    match nearest(name, members.iter().map(|member| member.name.as_str())) {
        Some(near) => problem.help(format!("write `{flag} {near}`")),
        None => problem.help(format!("choose one of them: `{flag} NAME`")),
    }
}

fn list(packages: &[&Package]) -> String {
    let mut names: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
    names.sort_unstable();
    names.join(", ")
}
