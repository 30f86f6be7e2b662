//! Names that are awkward, and how they are quoted.

use super::model::Schema;
use super::rng::Rng;

const RELATIONS: [&str; 24] = [
    "users",
    "todos",
    "Tags",
    "order",
    "Group",
    "select",
    "table",
    "a b",
    "quo\"te",
    "it's",
    "new\nline",
    "größe",
    "日本",
    "x]y",
    "ti`ck",
    "1st",
    "semi;colon",
    "--dash",
    "/*star*/",
    "references",
    "index",
    "logs",
    "temp",
    "🙂",
];

const COLUMNS: [&str; 26] = [
    "id",
    "name",
    "Title",
    "users",
    "TODOS",
    "priority",
    "from",
    "where",
    "check",
    "a b",
    "b\"c",
    "o'clock",
    "two\nlines",
    "straße",
    "Ångström",
    "d]e",
    "f`g",
    "2nd",
    "g;h",
    "i--j",
    "default",
    "unique",
    "created_at",
    "(k)",
    "l,m",
    "primary",
];

/// What needs no quotes and is no keyword.
const PLAIN: [&str; 10] = ["users", "todos", "Tags", "logs", "id", "name", "Title", "TODOS", "priority", "created_at"];

fn fresh(rng: &mut Rng, pool: &[&str], taken: &[String]) -> String {
    let base = rng.pick(pool).to_owned();
    let free = |name: &str| !taken.iter().any(|other| other.to_lowercase() == name.to_lowercase());
    if free(&base) {
        return base;
    }
    (2..).map(|number| format!("{base}{number}")).find(|name| free(name)).unwrap_or(base)
}

/// A name that no table, index or view has.
pub(super) fn relation(rng: &mut Rng, schema: &Schema) -> String {
    fresh(rng, &RELATIONS, &schema.relations())
}

/// A name that no trigger has; one of a table in other letters may be among them.
pub(super) fn trigger(rng: &mut Rng, schema: &Schema) -> String {
    let taken: Vec<String> = schema.triggers.iter().map(|trigger| trigger.name.clone()).collect();
    if rng.chance(30) {
        let twin = rng.pick(&schema.tables).name.to_uppercase();
        return fresh(rng, &[twin.as_str()], &taken);
    }
    fresh(rng, &RELATIONS, &taken)
}

/// A name that none of these columns has.
pub(super) fn column(rng: &mut Rng, taken: &[String]) -> String {
    fresh(rng, &COLUMNS, taken)
}

/// A name as it stands in SQL, always the same way: without quotes where it needs none, or in one of the three kinds.
pub(super) fn quote(name: &str) -> String {
    let sum: usize = name.bytes().map(usize::from).sum();
    let plain = PLAIN.iter().any(|plain| name.trim_end_matches(|c: char| c.is_ascii_digit()) == *plain);
    match sum % 5 {
        0..=2 if plain => name.to_owned(),
        3 if !name.contains(']') => format!("[{name}]"),
        4 => format!("`{}`", name.replace('`', "``")),
        _ => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// A text as a literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
