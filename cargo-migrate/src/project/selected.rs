//! The packages that a command works on, opened.

use build_support::problem::Problem;

use super::neighbours::Neighbours;
use super::selection::{self, Selection};
use super::{Meant, Project};
use crate::context::Context;
use crate::failure::Result;

/// The packages that a command works on; never none.
#[derive(Debug)]
pub struct Selected {
    /// The packages, in cargo's order.
    pub projects: Vec<Project>,
    /// Whether the command line, or the folder it was typed in, says these and no others: a command that writes may go
    /// on. False in the root of a workspace where several packages have migrations and nothing was said.
    pub is_said: bool,
    /// Where packages beside them are found; `None` for a folder of migrations alone.
    pub neighbours: Option<Neighbours>,
}

impl Selected {
    /// The same packages, for a command that writes.
    ///
    /// # Errors
    /// Several packages have migrations, and nobody said that all of them are meant.
    pub fn for_writing(self) -> Result<Self> {
        match &self.neighbours {
            Some(neighbours) if !self.is_said => Err(neighbours.unsaid().help("or all of them: `--workspace`").into()),
            _ => Ok(self),
        }
    }
}

impl Project {
    /// Finds and reads all the projects that the command line and the working directory mean: those of `-p` or
    /// `--workspace`; else the nearest package; in the root of a workspace that has no migrations of its own, those of
    /// the `default-members` that have some, else of all members.
    ///
    /// # Errors
    /// As [`Project::open`], and the problems of all the packages' settings at once.
    pub fn open_all(context: &Context, selection: &Selection) -> Result<Selected> {
        let workspace = match Self::meant(context, selection)? {
            Meant::Folder(folder) => {
                let project = Self::without_manifest(context, selection, &folder);
                return Ok(Selected { projects: vec![project], is_said: true, neighbours: None });
            }
            Meant::Members(workspace) => workspace,
        };
        let chosen = selection::choose(&workspace, selection, context)
            .map_err(|failure| super::without_manifest_help(failure, selection))?;
        let (mut projects, mut problems) = (Vec::new(), Vec::<Problem>::new());
        for package in &chosen.packages {
            match Self::of_member(context, selection, &workspace, package) {
                Ok(project) => projects.push(project),
                Err(failure) => {
                    // Those of the workspace's defaults come with every member.
                    let new: Vec<_> = failure.problems().iter().filter(|it| !problems.contains(it)).cloned().collect();
                    problems.extend(new);
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let is_said = chosen.is_said;
        let packages = chosen.packages.iter().map(|package| package.id.clone()).collect();
        Ok(Selected { projects, is_said, neighbours: Some(Neighbours::new(*workspace, packages)) })
    }
}
