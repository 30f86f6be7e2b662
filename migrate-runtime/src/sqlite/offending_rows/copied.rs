//! The rows of a table that another one does not take: what a rebuild's copy stops at.
//!
//! Whether a row fits is decided by its values as the new table would hold them. So the columns concerned go into a
//! temporary table with the types of the new one and none of its constraints, and that is asked.

use super::asked::{Asked, Key, named};
use super::changed::{Copy, Index, checks, index};
use super::shown::{in_a_line, shortened};
use super::{Column, quoted, rows, text};
use crate::connection::Connection;
use crate::statement::Words;

/// The temporary table.
const SCRATCH: &str = "temp.cargo_migrate_offending_rows";

/// The rows that a copy stopped at, by what SQLite says of it.
pub(super) fn copied(connection: &mut dyn Connection, copy: &Copy, message: &str) -> Option<Vec<String>> {
    let columns = copy.into.columns(connection)?;
    let column = |wanted: &str| {
        columns.iter().find(|column| wanted.eq_ignore_ascii_case(&format!("{}.{}", copy.into.name, column.name)))
    };
    if let Some(rest) = message.strip_prefix("NOT NULL constraint failed: ") {
        let name = column(rest)?.name.clone();
        return taken(connection, copy, &columns, std::slice::from_ref(&name))?.empty(&name);
    }
    if let Some(rest) = message.strip_prefix("cannot store ") {
        // A declared type in a STRICT table is one word.
        let (_, rest) = rest.split_once(" column ")?;
        return unfit(connection, copy, &columns, column(rest)?);
    }
    if message == "datatype mismatch" {
        let mut keys = columns.iter().filter(|column| column.key > 0);
        return unfit(connection, copy, &columns, keys.next().filter(|_| keys.next().is_none())?);
    }
    if let Some(rest) = message.strip_prefix("CHECK constraint failed: ") {
        return unchecked(connection, copy, &columns, rest);
    }
    let indexes = unique(connection, copy, &columns, message.strip_prefix("UNIQUE constraint failed: ")?)?;
    indexes.iter().find_map(|index| twice(connection, copy, &columns, index))
}

/// The rows whose value in a column is of a type that the column does not hold.
fn unfit(connection: &mut dyn Connection, copy: &Copy, columns: &[Column], column: &Column) -> Option<Vec<String>> {
    let wanted = match column.kind.to_ascii_uppercase().as_str() {
        "INT" | "INTEGER" => "integer",
        "REAL" => "real",
        "TEXT" => "text",
        "BLOB" => "blob",
        _ => return None,
    };
    let name = std::slice::from_ref(&column.name);
    let mut asked = taken(connection, copy, columns, name)?;
    asked.holding(&format!("typeof({}) NOT IN ('null', '{wanted}')", quoted(&column.name)), name)
}

/// The rows against the check that SQLite names.
fn unchecked(connection: &mut dyn Connection, copy: &Copy, columns: &[Column], named_so: &str) -> Option<Vec<String>> {
    let made_by = copy.into.made_by(connection, "table", &copy.into.name)?;
    let meant = checks(&made_by).into_iter().filter(|(name, check)| is_named(name.as_deref(), check, named_so));
    meant.map(|(_, check)| check).find_map(|check| {
        let concerned = named([check.as_str()], &names(columns));
        taken(connection, copy, columns, &concerned)?.against(&check)
    })
}

/// Whether SQLite calls a check so: by its name, or else by its text, of which it takes only what stands in the quotes
/// where it begins with some.
fn is_named(name: Option<&str>, check: &str, named_so: &str) -> bool {
    let words = Words::of_text(check);
    name.map_or_else(
        || in_a_line(check) == in_a_line(named_so) || words.text(0) != words.bare(0) && words.bare(0) == named_so,
        |name| name == named_so,
    )
}

/// The rows that a unique index would hold twice, with each other or with what is in the new table already.
fn twice(connection: &mut dyn Connection, copy: &Copy, columns: &[Column], index: &Index) -> Option<Vec<String>> {
    let expressions = index.terms.iter().chain(&index.filter).map(String::as_str);
    let concerned = named(expressions, &names(columns));
    let mut asked = taken(connection, copy, columns, &concerned)?;
    let alike = asked.alike(index);
    if alike.is_some() || index.filter.is_some() {
        return alike;
    }
    let into = quoted(&copy.into.name);
    let same: Vec<String> = index.terms.iter().map(|term| format!("\"present row\".{term} = {into}.{term}")).collect();
    let present = format!("EXISTS (SELECT 1 FROM {} AS \"present row\" WHERE {})", copy.into.sql(), same.join(" AND "));
    let mut lines = asked.holding(&present, &concerned)?;
    lines.insert(0, shortened(&format!("`{}` has the values of these rows already", copy.into.name), 100));
    Some(lines)
}

/// The unique indexes that SQLite may mean: by name, where an index has expressions, or else by the columns.
fn unique(connection: &mut dyn Connection, copy: &Copy, columns: &[Column], named_so: &str) -> Option<Vec<Index>> {
    let table = &copy.into;
    if let Some(name) = named_so.strip_prefix("index '").and_then(|rest| rest.strip_suffix('\'')) {
        let made_by = table.made_by(connection, "index", name)?;
        return Some(vec![index(&made_by)?]);
    }
    let plain = |columns: &[String]| Index {
        table: table.clone(),
        terms: columns.iter().map(|column| quoted(column)).collect(),
        filter: None,
    };
    let mut key: Vec<&Column> = columns.iter().filter(|column| column.key > 0).collect();
    key.sort_by_key(|column| column.key);
    // Each with the name of its index; an INTEGER PRIMARY KEY has none.
    let mut candidates = vec![(None, key.iter().map(|column| column.name.clone()).collect::<Vec<String>>())];
    let sql = "SELECT l.name, i.name FROM pragma_index_list(?1, ?2) AS l CROSS JOIN pragma_index_info(l.name, ?2) AS i \
        WHERE l.\"unique\" = 1 ORDER BY l.partial, l.seq, i.seqno";
    for row in rows(connection, sql, &table.params())? {
        let (name, column) = (Some(text(&row, 0)), text(&row, 1));
        match candidates.last_mut() {
            Some((known, columns)) if *known == name => columns.push(column),
            _ => candidates.push((name, vec![column])),
        }
    }
    let mut found = Vec::new();
    for (name, columns) in candidates {
        let told: Vec<String> = columns.iter().map(|column| format!("{}.{column}", table.name)).collect();
        if !told.join(", ").eq_ignore_ascii_case(named_so) {
            continue;
        }
        // What a constraint of the table made has no statement of its own.
        let made_by = name.and_then(|name| table.made_by(connection, "index", &name));
        found.push(made_by.and_then(|sql| index(&sql)).unwrap_or_else(|| plain(&columns)));
    }
    Some(found)
}

fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

/// The source's rows with these columns as the new table would hold them.
fn taken<'c>(
    connection: &'c mut dyn Connection,
    copy: &Copy,
    columns: &[Column],
    concerned: &[String],
) -> Option<Asked<'c>> {
    let sources = copy.from.columns(connection)?;
    let key = Key::of(connection, &copy.from, &sources)?;
    let given = values(copy, columns, &sources)?;
    let mut what = key.parts.clone();
    let keys: Vec<String> = (0..key.parts.len()).map(|at| quoted(&format!("offending key {at}"))).collect();
    let mut made = keys.clone();
    let mut into = keys.clone();
    for name in concerned {
        let column = columns.iter().find(|column| column.name == *name)?;
        made.push(format!("{} {}", quoted(name), affinity(&column.kind)));
        into.push(quoted(name));
        what.push(match given.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)) {
            Some((_, value)) => value.clone(),
            // What SQLite makes of the other columns is not known here.
            None if column.hidden != 0 || column.key != 0 => return None,
            None => column.default.as_ref().map_or_else(|| "NULL".to_owned(), |default| format!("({default})")),
        });
    }
    let alias = copy.alias.as_ref().map_or_else(String::new, |alias| format!(" AS {alias}"));
    let filter = copy.filter.as_ref().map_or_else(String::new, |filter| format!(" WHERE {filter}"));
    connection.execute(&format!("DROP TABLE IF EXISTS {SCRATCH}"), &[]).ok()?;
    connection.execute(&format!("CREATE TABLE {SCRATCH} ({})", made.join(", ")), &[]).ok()?;
    let fill = format!(
        "INSERT INTO {SCRATCH} ({}) SELECT {} FROM {}{alias}{filter}",
        into.join(", "),
        what.join(", "),
        copy.from.sql()
    );
    connection.execute(&fill, &[]).ok()?;
    // The first half has no rows. A compound's columns have the collations of its first half, so that they are compared
    // as in the new table.
    let nothing: Vec<String> =
        keys.iter().map(|key| format!("NULL AS {key}")).chain(concerned.iter().map(|it| quoted(it))).collect();
    let from = format!(
        "(SELECT {} FROM {} WHERE 0 UNION ALL SELECT {} FROM {SCRATCH}) AS {}",
        nothing.join(", "),
        copy.into.sql(),
        into.join(", "),
        quoted(&copy.into.name)
    );
    let key = Key { parts: keys, rowid: key.rowid };
    Some(Asked { connection, table: copy.from.name.clone(), from, key, columns: concerned.to_vec() })
}

/// The columns that a copy fills, each with its value in SQL.
fn values(copy: &Copy, columns: &[Column], sources: &[Column]) -> Option<Vec<(String, String)>> {
    let filled = match &copy.columns {
        Some(named) => named.clone(),
        None => columns.iter().filter(|column| column.hidden == 0).map(|column| column.name.clone()).collect(),
    };
    let mut values = Vec::new();
    for value in &copy.values {
        let words = Words::of_text(value);
        let all = words.text(0) == "*" && words.len() == 1
            || words.text(1) == "." && words.text(2) == "*" && words.len() == 3;
        if all {
            values.extend(sources.iter().filter(|source| source.hidden != 1).map(|source| quoted(&source.name)));
        } else {
            values.push(value.clone());
        }
    }
    (filled.len() == values.len()).then(|| filled.into_iter().zip(values).collect())
}

/// The affinity of a declared type (<https://www.sqlite.org/datatype3.html#determination_of_column_affinity>), as a
/// type that has it. A STRICT table's ANY converts nothing.
fn affinity(kind: &str) -> &'static str {
    let kind = kind.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| kind.contains(word));
    if has(&["INT"]) {
        "INTEGER"
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        "TEXT"
    } else if kind.is_empty() || kind == "ANY" || has(&["BLOB"]) {
        "BLOB"
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        "REAL"
    } else {
        "NUMERIC"
    }
}
