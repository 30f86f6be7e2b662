//! The objects of a database as `pg_dump` writes them, each under its kind, its schema and its name; and what is not as it
//! was among them, in words.

use std::collections::{BTreeMap, BTreeSet};

use build_support::problem::printable;

/// What tells an object from others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    kind: String,
    schema: String,
    name: String,
}

/// Objects with what makes them.
pub(super) type Objects = BTreeMap<Key, String>;

/// How many lines of an object are told that are not as they were, and how long they may be together.
const MOST_LINES: usize = 6;
const LONGEST: usize = 300;

/// Lines that are not of the object that they stand behind: a setting for the ones that follow, and a token that is
/// another one each time.
const SETTINGS: [&str; 2] = ["SET default_tablespace = ", "SET default_table_access_method = "];
const TOKENS: [&str; 2] = ["\\restrict ", "\\unrestrict "];
const END: &str = "-- PostgreSQL database dump complete";

/// Splits what `pg_dump --schema-only` writes at its headers. A text that looks like one in the middle of a function's
/// body makes an object of its own, which is compared like all others.
pub(super) fn split(dump: &str) -> Objects {
    let mut objects = Objects::new();
    let mut settings = [String::new(), String::new()];
    let mut current: Option<(Key, Vec<&str>)> = None;
    for line in dump.lines() {
        if let Some(key) = key(line) {
            finish(&mut objects, current.take());
            let lines = if has_storage(&key.kind) { settings.clone() } else { Default::default() };
            objects.entry(key.clone()).or_default().push_str(&lines.concat());
            current = Some((key, Vec::new()));
            continue;
        }
        if line == END {
            break;
        }
        if let Some(at) = SETTINGS.iter().position(|setting| line.starts_with(setting)) {
            settings[at] = format!("{line}\n");
        } else if let Some((_, lines)) = &mut current
            && !TOKENS.iter().any(|token| line.starts_with(token))
        {
            lines.push(line);
        }
    }
    finish(&mut objects, current);
    objects
}

fn finish(objects: &mut Objects, object: Option<(Key, Vec<&str>)>) {
    let Some((key, mut lines)) = object else { return };
    let blank = |line: &&&str| line.is_empty() || **line == "--";
    let end = lines.len() - lines.iter().rev().take_while(|line| blank(line)).count();
    let start = lines.iter().take_while(|line| blank(line)).count().min(end);
    let mut lines: Vec<&str> = lines.drain(start..end).collect();
    // The order of columns does not count.
    if is_table(&key.kind) {
        lines = lines.iter().map(|line| line.trim().trim_end_matches(',')).collect();
        lines.sort_unstable();
    }
    let text = objects.entry(key).or_default();
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
}

/// `-- Name: NAME; Type: KIND; Schema: SCHEMA; Owner: OWNER`, where a name may have anything in it but a line feed.
fn key(line: &str) -> Option<Key> {
    let rest = line.strip_prefix("-- Name: ")?;
    let (rest, _) = rest.rsplit_once("; Owner: ")?;
    let (rest, schema) = rest.rsplit_once("; Schema: ")?;
    let (name, kind) = rest.rsplit_once("; Type: ")?;
    let schema = if schema == "-" { "" } else { schema };
    Some(Key { kind: kind.to_owned(), schema: schema.to_owned(), name: name.to_owned() })
}

fn is_table(kind: &str) -> bool {
    matches!(kind, "TABLE" | "FOREIGN TABLE")
}

fn has_storage(kind: &str) -> bool {
    matches!(kind, "TABLE" | "MATERIALIZED VIEW" | "INDEX" | "CONSTRAINT")
}

/// An object that is not the same on both sides: as it was, and as it is.
pub(super) struct Changed<'o> {
    pub(super) key: &'o Key,
    before: Option<&'o str>,
    after: Option<&'o str>,
}

/// What is not the same, without what comes and goes with its table.
pub(super) fn changes<'o>(before: &'o Objects, after: &'o Objects) -> Vec<Changed<'o>> {
    let keys: BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
    let of = |objects: &'o Objects, key: &Key| objects.get(key).map(String::as_str);
    let all = keys.into_iter().map(|key| Changed { key, before: of(before, key), after: of(after, key) });
    let all: Vec<Changed<'o>> = all.filter(|changed| changed.before != changed.after).collect();
    let whole: Vec<(bool, String)> = all
        .iter()
        .filter(|changed| is_table(&changed.key.kind) && changed.is_whole())
        .map(|changed| (changed.after.is_some(), made(changed.text())))
        .collect();
    let owned = |changed: &Changed<'_>, table: &str| {
        let sequence = Key { kind: "SEQUENCE OWNED BY".to_owned(), ..changed.key.clone() };
        let objects = if changed.after.is_some() { after } else { before };
        let owner = objects.get(&sequence).map_or("", String::as_str);
        changed.key.kind == "SEQUENCE" && names(owner, table)
    };
    let goes_with = |changed: &Changed<'_>| {
        changed.is_whole()
            && whole.iter().any(|(is_there, table)| {
                *is_there == changed.after.is_some()
                    && (changed.hangs_on_a_table() && names(changed.text(), table) || owned(changed, table))
            })
    };
    let hangs: Vec<bool> = all.iter().map(goes_with).collect();
    all.into_iter().zip(hangs).filter(|(_, hangs)| !hangs).map(|(changed, _)| changed).collect()
}

/// The table that a text makes, as it is written there.
fn made(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("CREATE ")).unwrap_or_default();
    let rest = line.split_once("TABLE ").map_or("", |(_, rest)| rest);
    let end = rest.find(" (").or_else(|| rest.find(" PARTITION OF ")).unwrap_or(rest.len());
    rest[..end].to_owned()
}

/// Leaves out a schema that holds nothing, with what is said of it.
pub(super) fn leave_out_empty(objects: &mut Objects, schema: &str) {
    if objects.keys().any(|key| key.schema == schema) {
        return;
    }
    let of = format!("SCHEMA {schema}");
    objects.retain(|key, _| {
        let said = matches!(key.kind.as_str(), "ACL" | "COMMENT") && key.name == of;
        !(said || key.kind == "SCHEMA" && key.name == schema)
    });
}

/// Whether a text names a table, or something of it.
fn names(text: &str, table: &str) -> bool {
    let within = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    !table.is_empty() && text.match_indices(table).any(|(at, _)| !text[at + table.len()..].starts_with(within))
}

impl Changed<'_> {
    fn is_whole(&self) -> bool {
        self.before.is_none() != self.after.is_none()
    }

    fn text(&self) -> &str {
        self.after.or(self.before).unwrap_or_default()
    }

    fn hangs_on_a_table(&self) -> bool {
        const KINDS: [&str; 14] = [
            "ACL",
            "COMMENT",
            "CONSTRAINT",
            "DEFAULT",
            "FK CONSTRAINT",
            "INDEX",
            "INDEX ATTACH",
            "POLICY",
            "ROW SECURITY",
            "RULE",
            "SEQUENCE OWNED BY",
            "STATISTICS",
            "TABLE ATTACH",
            "TRIGGER",
        ];
        // What pg_dump says of an identity it says beside its sequence.
        KINDS.contains(&self.key.kind.as_str())
            || self.key.kind == "SEQUENCE" && self.text().contains(" ADD GENERATED ")
    }

    /// The table of the same name as the facts know it; `None` of anything else.
    pub(super) fn table(&self) -> Option<String> {
        (is_table(&self.key.kind) && !self.is_whole()).then(|| format!("{}.{}", self.key.schema, self.key.name))
    }

    /// What it is, in a word or two and its name.
    pub(super) fn what(&self) -> String {
        let Key { kind, schema, name } = self.key;
        let schema = if schema.is_empty() { String::new() } else { format!("{}.", printable(schema)) };
        let (word, name) = match (kind.as_str(), name.split_once(' ')) {
            // Its name is that of what it is of, with what that is before it.
            ("COMMENT", Some((of, name))) => (format!("comment on the {}", of.to_lowercase()), name),
            ("ACL", Some((of, name))) => (format!("privileges on the {}", of.to_lowercase()), name),
            (kind, _) => (kind.to_lowercase(), name.as_str()),
        };
        format!("the {word} `{schema}{}`", printable(name))
    }

    /// That the downgrade has not left it as it was.
    pub(super) fn not_restored(&self) -> String {
        let what = self.what();
        match (self.before, self.after) {
            (None, _) => format!("the downgrade leaves {what}"),
            (_, None) => format!("the downgrade does not bring back {what}"),
            _ => format!("the downgrade does not restore {what}{}", self.lines()),
        }
    }

    /// The lines that are not the same, where they are few.
    fn lines(&self) -> String {
        let lines = |text: Option<&str>| text.unwrap_or_default().lines().map(str::trim).collect::<Vec<_>>().join("\n");
        let (before, after) = (lines(self.before), lines(self.after));
        let only = |of: &str, other: &str| {
            let other: BTreeSet<&str> = other.lines().collect();
            let found: Vec<String> = of.lines().filter(|line| !other.contains(line)).map(printable).collect();
            found
        };
        let (was, is) = (only(&before, &after), only(&after, &before));
        let length: usize = was.iter().chain(&is).map(String::len).sum();
        if was.len() + is.len() > MOST_LINES || length > LONGEST || length == 0 {
            return String::new();
        }
        let side = |word: &str, lines: &[String]| (!lines.is_empty()).then(|| format!("{word} `{}`", lines.join(" ")));
        let sides: Vec<String> = [side("it was", &was), side("it is", &is)].into_iter().flatten().collect();
        format!(": {}", sides.join(", "))
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
