//! What a statement was to do with rows that are there already, as far as its words tell.

use build_support::token::TokenKind;

use crate::statement::Words;

/// A table as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// The schema's name without quotes, where it is named.
    pub(super) schema: Option<String>,
    /// The name without quotes.
    pub(super) name: String,
}

/// What an index is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) table: Table,
    /// Its expressions, with their collations and without their directions.
    pub(super) terms: Vec<String>,
    pub(super) filter: Option<String>,
}

/// One table's rows on their way into another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) into: Table,
    /// The columns without quotes, where they are named.
    pub(super) columns: Option<Vec<String>>,
    pub(super) values: Vec<String>,
    pub(super) from: Table,
    /// The name by which the values call the source.
    pub(super) alias: Option<String>,
    pub(super) filter: Option<String>,
}

/// A statement that rows can stand in the way of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// `CREATE UNIQUE INDEX`
    Index(Index),
    /// `INSERT INTO … SELECT … FROM …`
    Copy(Copy),
    /// `ALTER TABLE … ADD COLUMN`
    Column {
        table: Table,
        column: String,
        /// The statement without the column's checks and without its `NOT NULL`.
        unchecked: String,
        checks: Vec<String>,
        not_null: bool,
    },
    /// `ALTER TABLE … ADD CONSTRAINT … CHECK`
    Check { table: Table, check: String },
    /// `ALTER TABLE … ALTER COLUMN … SET NOT NULL`
    NotNull { table: Table, column: String },
}

/// What a statement was to do, if it is one of those that rows can stand in the way of and that can be read with
/// certainty.
pub(super) fn changed(statement: &str) -> Option<Changed> {
    let words = Words::of_text(statement);
    if words.is(0, "CREATE") {
        return index(statement).map(Changed::Index);
    }
    if words.is_any(0, &["INSERT", "REPLACE"]) {
        return copy(&words).map(Changed::Copy);
    }
    if !(words.is(0, "ALTER") && words.is(1, "TABLE")) {
        return None;
    }
    let (table, mut at) = table(&words, 2)?;
    if words.is(at, "ALTER") {
        at += if words.is(at + 1, "COLUMN") { 2 } else { 1 };
        let known = words.is(at + 1, "SET") && words.is(at + 2, "NOT") && words.is(at + 3, "NULL");
        return known.then(|| Changed::NotNull { table, column: words.bare(at) });
    }
    if !words.is(at, "ADD") {
        return None;
    }
    at += 1;
    if words.is(at, "CONSTRAINT") {
        at += 2;
    }
    if words.is(at, "CHECK") {
        let check = inside(&words, at + 1)?.to_owned();
        return Some(Changed::Check { table, check });
    }
    if words.is(at, "COLUMN") {
        at += 1;
    }
    let column = words.bare(at);
    let (unchecked, checks, not_null) = without_constraints(&words, at + 1);
    Some(Changed::Column { table, column, unchecked, checks, not_null })
}

/// A unique index as its statement makes it.
pub(super) fn index(statement: &str) -> Option<Index> {
    let words = Words::of_text(statement);
    if !(words.is(0, "CREATE") && words.is(1, "UNIQUE") && words.is(2, "INDEX")) {
        return None;
    }
    let (name, at) = table(&words, if words.is(3, "IF") { 6 } else { 3 })?;
    if !words.is(at, "ON") || words.text(at + 2) != "(" {
        return None;
    }
    // An index is in the schema of its table, and the schema stands before the index's name alone.
    let table = Table { schema: name.schema, name: words.bare(at + 1) };
    let end = closing(&words, at + 2)?;
    let mut terms = Vec::new();
    for (from, mut to) in parts(&words, at + 3, end) {
        if words.is_any(to - 1, &["ASC", "DESC"]) {
            to -= 1;
        }
        // A number would be the place of a column where rows are grouped by it.
        if to <= from || to == from + 1 && words.kind(from) == Some(TokenKind::Number) {
            return None;
        }
        terms.push(words.between(from, to).to_owned());
    }
    let filter = words.is(end + 1, "WHERE").then(|| words.between(end + 2, words.len()).to_owned());
    (filter.is_some() || end + 1 == words.len()).then_some(Index { table, terms, filter })
}

/// The texts between the parentheses of a table's checks, each with its name.
pub(super) fn checks(create_table: &str) -> Vec<(Option<String>, String)> {
    let words = Words::of_text(create_table);
    let mut found = Vec::new();
    let mut depth = 0_usize;
    for at in 0..words.len() {
        match words.text(at) {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ if depth == 1 && words.is(at, "CHECK") => {
                let name = (at >= 2 && words.is(at - 2, "CONSTRAINT")).then(|| words.bare(at - 1));
                found.extend(inside(&words, at + 1).map(|check| (name, check.to_owned())));
            }
            _ => {}
        }
    }
    found
}

fn copy(words: &Words<'_>) -> Option<Copy> {
    let start = if words.is(1, "OR") { 3 } else { 1 };
    if !words.is(start, "INTO") {
        return None;
    }
    let (into, mut at) = table(words, start + 1)?;
    if words.is(at, "AS") {
        at += 2;
    }
    let mut columns = None;
    if words.text(at) == "(" {
        let end = closing(words, at)?;
        columns = Some(parts(words, at + 1, end).into_iter().map(|(from, _)| words.bare(from)).collect());
        at = end + 1;
    }
    if !words.is(at, "SELECT") {
        return None;
    }
    at += if words.is(at + 1, "ALL") { 2 } else { 1 };
    if words.is(at, "DISTINCT") {
        return None;
    }
    let from = top_level(words, at).find(|at| words.is(*at, "FROM"))?;
    let values = parts(words, at, from).into_iter().map(|(from, to)| words.between(from, to).to_owned()).collect();
    let (source, mut at) = table(words, from + 1)?;
    let mut alias = None;
    let clause = |at: usize| at == words.len() || words.is_any(at, &["WHERE", "ORDER"]);
    if !clause(at) {
        at += usize::from(words.is(at, "AS"));
        alias = Some(words.text(at).to_owned());
        at += 1;
    }
    // What follows is a join, a grouping, a limit, an upsert: more than one row of the source to a row, or fewer.
    const MORE: [&str; 9] =
        ["GROUP", "HAVING", "WINDOW", "UNION", "INTERSECT", "EXCEPT", "LIMIT", "CONFLICT", "RETURNING"];
    if !clause(at) || top_level(words, at).any(|at| words.is_any(at, &MORE)) {
        return None;
    }
    let filter = words.is(at, "WHERE").then(|| {
        let end = top_level(words, at).find(|at| words.is(*at, "ORDER")).unwrap_or(words.len());
        words.between(at + 1, end).to_owned()
    });
    Some(Copy { into, columns, values, from: source, alias, filter })
}

/// A column's statement without its checks and its `NOT NULL`, and what these were.
fn without_constraints(words: &Words<'_>, start: usize) -> (String, Vec<String>, bool) {
    let (mut checks, mut not_null) = (Vec::new(), false);
    let mut kept = words.between(0, start).to_owned();
    let mut at = start;
    while at < words.len() {
        let named = if words.is(at, "CONSTRAINT") { 2 } else { 0 };
        let first = at + named;
        if words.is(first, "CHECK")
            && let Some(end) = closing(words, first + 1)
        {
            checks.push(words.between(first + 2, end).to_owned());
            at = end + 1;
        } else if words.is(first, "NOT") && words.is(first + 1, "NULL") {
            not_null = true;
            at = first + 2;
            if words.is(at, "ON") && words.is(at + 1, "CONFLICT") {
                at += 3;
            }
        } else {
            let end = if words.text(at) == "(" { closing(words, at).map_or(at + 1, |end| end + 1) } else { at + 1 };
            kept.push(' ');
            kept.push_str(words.between(at, end));
            at = end;
        }
    }
    (kept, checks, not_null)
}

/// A name that may have a schema before it, and the place after it.
fn table(words: &Words<'_>, at: usize) -> Option<(Table, usize)> {
    let (schema, at) = if words.text(at + 1) == "." { (Some(words.bare(at)), at + 2) } else { (None, at) };
    (at < words.len()).then(|| (Table { schema, name: words.bare(at) }, at + 1))
}

/// The text between the parenthesis at this place and the one that closes it.
fn inside<'a>(words: &Words<'a>, at: usize) -> Option<&'a str> {
    closing(words, at).map(|end| words.between(at + 1, end))
}

/// The place of the parenthesis that closes the one at this place.
fn closing(words: &Words<'_>, open: usize) -> Option<usize> {
    if words.text(open) != "(" {
        return None;
    }
    top_level(words, open + 1).find(|at| words.text(*at) == ")")
}

/// The places outside of parentheses that are opened from here on, up to the one that closes what is open here.
fn top_level<'w>(words: &'w Words<'_>, from: usize) -> impl Iterator<Item = usize> + 'w {
    let mut depth = 0_usize;
    let mut ended = false;
    (from..words.len()).filter(move |at| match words.text(*at) {
        _ if ended => false,
        "(" => {
            depth += 1;
            false
        }
        ")" if depth == 0 => {
            ended = true;
            true
        }
        ")" => {
            depth -= 1;
            false
        }
        _ => depth == 0,
    })
}

/// The parts between two places that commas outside of parentheses divide.
fn parts(words: &Words<'_>, from: usize, to: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = from;
    for comma in top_level(words, from).take_while(|at| *at < to).filter(|at| words.text(*at) == ",") {
        found.push((start, comma));
        start = comma + 1;
    }
    found.push((start, to));
    found
}
