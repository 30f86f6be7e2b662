//! A schema as an entity-relationship diagram, in the text that Mermaid draws
//! (<https://mermaid.js.org/syntax/entityRelationshipDiagram.html>).
//!
//! What its grammar does not take in a name or a type becomes `_`, and stands in the remark behind the column. Views are
//! no entities, and of a virtual table the columns are not known here.

use std::collections::BTreeMap;

use super::table::{Column, ForeignKey, Table};
use super::text::fold;
use super::{Kind, Schema};
use build_support::problem::printable;

/// The words that mean something where an entity's name may stand.
const WORDS: [&str; 18] = [
    "acctitle",
    "accdescr",
    "class",
    "classdef",
    "direction",
    "end",
    "erdiagram",
    "many",
    "o",
    "one",
    "only",
    "optionally",
    "style",
    "subgraph",
    "title",
    "to",
    "u",
    "zero",
];

/// The marks of keys, which a column cannot be called.
const KEYS: [&str; 3] = ["pk", "fk", "uk"];

/// Draws the tables, and what refers to what in `all` of the schema.
#[must_use]
pub fn diagram(shown: &Schema, all: &Schema) -> String {
    let names = entities(shown, all);
    let name = |table: &str| names.get(&fold(table)).cloned().unwrap_or_else(|| entity(table));
    let mut text = "erDiagram\n".to_owned();
    for table in shown.tables() {
        text.push_str(&format!("    {} {{\n", name(&table.name)));
        let mut taken = Vec::new();
        for column in &table.columns {
            text.push_str(&format!("        {}\n", attribute(all, table, column, &mut taken)));
        }
        text.push_str("    }\n");
    }
    for object in shown.objects().filter(|object| object.kind == Kind::VirtualTable) {
        text.push_str(&format!("    {}\n", name(&object.name)));
    }
    for table in shown.tables() {
        for key in &table.foreign_keys {
            let (parent, child) = ends(all, table, key);
            let label = between_quotes(&key.columns.join(", "));
            text.push_str(&format!(
                "    {} {parent}--{child} {} : \"{label}\"\n",
                name(&key.parent),
                name(&table.name)
            ));
        }
    }
    text
}

/// What each table is called in the diagram, where no two may be called the same.
fn entities(shown: &Schema, all: &Schema) -> BTreeMap<String, String> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let virtual_tables = shown.objects().filter(|object| object.kind == Kind::VirtualTable).map(|object| &object.name);
    let parents = shown.tables().flat_map(|table| &table.foreign_keys).map(|key| &key.parent);
    for table in all.tables().map(|table| &table.name).chain(virtual_tables).chain(parents) {
        if !names.contains_key(&fold(table)) {
            let name = apart(entity_text(table), |name| names.values().any(|it| *it == quoted(name)));
            names.insert(fold(table), quoted(&name));
        }
    }
    names
}

fn entity(name: &str) -> String {
    quoted(&entity_text(name))
}

fn entity_text(name: &str) -> String {
    let name = between_quotes(name);
    if name.is_empty() { "_".to_owned() } else { name }
}

/// What may stand between quotes: no quotes, and nothing that means a comment, an escape or a code of a character there.
fn between_quotes(text: &str) -> String {
    let text: String = printable(text).chars().map(|c| if "\"%\\#;".contains(c) { '_' } else { c }).collect();
    // Which way the diagram runs is looked for in every line, quotes or not.
    if fold(&text).contains("direction") { text.replace(char::is_whitespace, "_") } else { text }
}

fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !WORDS.contains(&fold(name).as_str());
    if plain { name.to_owned() } else { format!("\"{name}\"") }
}

/// The name, with as many `_` behind it as tell it from those that are taken.
fn apart(mut name: String, taken: impl Fn(&str) -> bool) -> String {
    while taken(&name) {
        name.push('_');
    }
    name
}

/// A column's type, name, keys, and its name as it is where it had to be changed.
fn attribute(all: &Schema, table: &Table, column: &Column, taken: &mut Vec<String>) -> String {
    let declared = if column.declared_type.is_empty() { "ANY" } else { &column.declared_type };
    let name = apart(word(&column.name), |name| taken.iter().any(|it| it == name));
    taken.push(name.clone());
    let unique =
        all.unique_keys(table).iter().any(|key| matches!(key.as_slice(), [only] if *only == fold(&column.name)));
    let refers = table.foreign_keys.iter().flat_map(|key| &key.columns).any(|it| it.eq_ignore_ascii_case(&column.name));
    let primary = table.in_primary_key(&column.name);
    let marks = [(primary, "PK"), (refers, "FK"), (unique && !primary, "UK")];
    let marks: Vec<&str> = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
    let mut text = format!("{} {name}", word(declared));
    if !marks.is_empty() {
        text.push_str(&format!(" {}", marks.join(", ")));
    }
    if name != column.name {
        text.push_str(&format!(" \"{}\"", between_quotes(&column.name)));
    }
    text
}

/// A type or a column's name: a letter or `_` first, then also digits and brackets. Letters of other scripts are
/// understood by the newest versions alone.
fn word(text: &str) -> String {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let allowed = |c: char| letter(c) || c.is_ascii_digit() || c == '(' || c == ')';
    let mut word: String = printable(text).chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    // A mark of a key is one wherever its word ends.
    let first: String = word.chars().take_while(|c| *c != '(' && *c != ')').collect();
    if !word.starts_with(letter) || KEYS.contains(&fold(&first).as_str()) {
        word.insert(0, '_');
    }
    word
}

/// How many rows each end of a reference has: at the parent none or one where a column may be NULL, at the child none or
/// one where the columns hold a key.
fn ends(all: &Schema, table: &Table, key: &ForeignKey) -> (&'static str, &'static str) {
    let optional = key.columns.iter().any(|name| table.column(name).is_none_or(|column| table.may_be_null(column)));
    let columns: Vec<String> = key.columns.iter().map(|name| fold(name)).collect();
    let single = all.unique_keys(table).iter().any(|key| key.iter().all(|name| columns.contains(name)));
    (if optional { "|o" } else { "||" }, if single { "o|" } else { "o{" })
}
