//! Which databases `--each` means, and what the packages say of each.

use std::collections::HashMap;

use migrate_runtime::driver::VersionTable;
use migrate_runtime::server::ServerUrl;

use super::Tenant;
use crate::app::{App, Opened, Purpose, joined, stricter};
use crate::args::{GlobalArgs, UpgradeArgs};
use crate::each;
use crate::failure::{Failure, Result};
use crate::project::Database;
use crate::project::database::{DatabaseKey, DatabaseUrl, Location};
use crate::report::many;

/// How many that are left out are named.
const LISTED: usize = 3;

/// What the patterns have found, as far as it is told.
pub(super) struct Found {
    /// The databases, in their order.
    pub(super) urls: Vec<DatabaseUrl>,
    /// The patterns, without a password in them.
    pub(super) patterns: Vec<String>,
    /// What a pattern fits and is none of the databases.
    pub(super) left_out: Vec<String>,
    /// What that is, one of them and the reason.
    left_out_as: (&'static str, &'static str),
}

/// Opens the packages and finds the databases; gives the target without the name of its package, too.
pub(super) fn find<'t>(app: App<'_>, args: &'t UpgradeArgs) -> Result<(Opened, &'t str, Found)> {
    let patterns = &args.each.each;
    match patterns.iter().filter(|pattern| is_url(pattern)).count() {
        0 => files(app, patterns, &args.target),
        count if count == patterns.len() => servers(app, patterns, &args.target),
        _ => Err(Failure::misused("files and databases of a server are not upgraded in one run")
            .help("their migrations are not the same: run the command once for each kind")),
    }
}

/// Whether a pattern is not one of files. What looks like a URL may have a password in it, and is never shown as a path.
fn is_url(pattern: &str) -> bool {
    pattern.contains("://") || ["env:", "postgres:", "postgresql:"].iter().any(|scheme| pattern.starts_with(scheme))
}

fn files<'t>(app: App<'_>, patterns: &[String], target: &'t str) -> Result<(Opened, &'t str, Found)> {
    let found = each::files(app.context.working_directory(), patterns)?;
    let first = found.files.first().map(|first| DatabaseUrl::of_file(first, first).to_string());
    let (opened, target) = together(app, target, first)?;
    let shown = |path| opened.project.show_path(path);
    let found = Found {
        urls: found.files.iter().map(|path| DatabaseUrl::of_file(path, &shown(path))).collect(),
        patterns: patterns.to_vec(),
        left_out: found.left_out.iter().map(|path| shown(path).to_string_lossy().into_owned()).collect(),
        left_out_as: ("file", "copies and what lies beside a database are"),
    };
    Ok((opened, target, found))
}

fn servers<'t>(app: App<'_>, patterns: &[String], target: &'t str) -> Result<(Opened, &'t str, Found)> {
    // A pattern is the URL of a database, for all that the packages have to know of it.
    let (opened, target) = together(app, target, patterns.first().cloned())?;
    let server = |pattern: &String| match opened.project.url(app.context, pattern)?.location() {
        Location::Postgres(server) => Ok(ServerUrl::clone(server)),
        Location::Sqlite { .. } => Err(Failure::misused("a pattern of `--each` is a file's path or a server's URL")
            .help("write the files' path without `sqlite:`, such as `--each 'tenants/*.db'`")),
    };
    let servers = patterns.iter().map(server).collect::<Result<Vec<ServerUrl>>>()?;
    if servers.iter().any(|server| server.schema().is_some())
        && let Some(schema) = VersionTable::of(&opened.project.settings().version_table).schema
    {
        return Err(Failure::misused(format!(
            "`version-table` names the schema `{schema}`, so all schemas of a database would share one history"
        ))
        .help("leave the schema out of it, so that each has a version table of its own"));
    }
    let found = each::server::databases(&servers)?;
    let shown = |servers: &[ServerUrl]| servers.iter().map(|server| server.shown().to_owned()).collect();
    // The name of a variable says more than what is in it.
    let pattern = |(text, server): (&String, &ServerUrl)| match text.starts_with("env:") {
        true => text.clone(),
        false => server.shown().to_owned(),
    };
    let found = Found {
        patterns: patterns.iter().zip(&servers).map(pattern).collect(),
        left_out: shown(&found.left_out),
        left_out_as: ("database", "a server's own, templates, rehearsals' copies and those without such a schema are"),
        urls: found.databases.into_iter().map(DatabaseUrl::of_server).collect(),
    };
    Ok((opened, target, found))
}

/// The packages that are chosen, together, as they are for one database that `-d` gives by its URL.
fn together<'t>(app: App<'_>, target: &'t str, first: Option<String>) -> Result<(Opened, &'t str)> {
    let global = GlobalArgs { database: first, ..app.global.clone() };
    let (groups, target) = App { global: &global, ..app }.groups_for(target, Purpose::Change)?;
    let mut groups = groups.into_iter();
    let Some(group) = groups.next() else { return Err(Failure::misused("no package is chosen")) };
    group.database?;
    if let Some(other) = groups.next() {
        other.database?;
        return Err(Failure::misused("the pattern's variable leads the packages to different servers")
            .help("set it in the environment, or in the `.env` of the workspace alone"));
    }
    Ok((group.opened?, target))
}

impl Found {
    pub(super) fn tell_left_out(&self, app: App<'_>) {
        if self.left_out.is_empty() || app.json() {
            return;
        }
        let names = self.left_out.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if self.left_out.len() > LISTED { ", …" } else { "" };
        let (one, why) = self.left_out_as;
        app.shell.note(format!("{} left out, as {why}: {names}{more}", many(self.left_out.len(), one)));
    }
}

/// What the packages say of each database. One that is configured has its name, its protection and its policy; another one
/// is as if it was given by its URL.
pub(super) fn tenants(app: App<'_>, opened: &Opened, urls: &[DatabaseUrl]) -> Result<Vec<Tenant>> {
    let packages: Vec<(&Opened, HashMap<DatabaseKey, DatabaseUrl>)> = opened
        .all()
        .filter(|opened| !opened.project.is_library())
        .map(|opened| (opened, opened.project.configured_places(app.context)))
        .collect();
    let backup = packages.iter().map(|(opened, _)| opened.project.settings().backup);
    let backup = backup.reduce(stricter).unwrap_or_default();
    let tenant = |url: &DatabaseUrl| -> Result<Tenant> {
        let key = DatabaseKey::of(url);
        let database = Database::unnamed(url.clone(), backup);
        let mut tenant = Tenant { database, named: HashMap::new(), confirmed: None };
        if !packages.iter().any(|(_, known)| known.contains_key(&key)) {
            return Ok(tenant);
        }
        for (at, (package, known)) in packages.iter().enumerate() {
            let database = package.project.database_at(app.context, known.get(&key).unwrap_or(url).clone())?;
            match at {
                0 => tenant.database = database.clone(),
                _ => joined((opened, &mut tenant.database), (package, &database))?,
            }
            tenant.named.insert(package.project.key().to_owned(), database);
        }
        Ok(tenant)
    };
    urls.iter().map(tenant).collect()
}
