//! The parts of a schema, each made by chance.

use super::model::{
    Check, Column, Expr, Foreign, Generated, Id, Index, Key, Schema, Search, SearchKind, Shape, Table, Term, Trigger,
    Unique, View,
};
use super::names;
use super::rng::Rng;
use super::tidy::simple;

pub(super) const STRICT_KINDS: [&str; 6] = ["INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY"];
const KINDS: [&str; 20] = [
    "",
    "INTEGER",
    "INTEGER",
    "INT",
    "BIGINT",
    "UNSIGNED BIG INT",
    "TEXT",
    "TEXT",
    "VARCHAR(20)",
    "NATIVE CHARACTER(70)",
    "CLOB",
    "BLOB",
    "REAL",
    "DOUBLE PRECISION",
    "FLOAT",
    "NUMERIC",
    "DECIMAL(10, 2)",
    "BOOLEAN",
    "DATETIME",
    "POINT",
];
const DEFAULTS: [&str; 22] = [
    "0",
    "7",
    "-5",
    "+3",
    "1.50",
    "-2e3",
    "0x1F",
    "NULL",
    "TRUE",
    "'new'",
    "'it''s'",
    "''",
    "'-- no comment'",
    "'two\nlines'",
    "CURRENT_TIMESTAMP",
    "CURRENT_DATE",
    "x'00ff'",
    "(1 + 2)",
    "(lower('ABC'))",
    "('a' || 'b')",
    "(abs(-3))",
    "\"quoted\"",
];
const COLLATIONS: [&str; 4] = ["NOCASE", "RTRIM", "BINARY", "nocase"];
const CONFLICTS: [&str; 5] =
    [" ON CONFLICT IGNORE", " ON CONFLICT REPLACE", " ON CONFLICT FAIL", " ON CONFLICT ABORT", ""];
const GENERATED: [(&str, usize); 7] = [
    ("%0 || '!'", 1),
    ("length(%0)", 1),
    ("coalesce(%0, 'none')", 1),
    ("typeof(%0) || ' ' || typeof(%1)", 2),
    ("%0 IS NULL", 1),
    ("CASE WHEN %0 > 5 THEN 'more, or )' ELSE %1 END", 2),
    ("%0", 1),
];
const CHECKS: [(&str, usize); 8] = [
    ("%0 IS NULL OR length(%0) < 1000", 1),
    ("%0 <> 'forbidden (really)'", 1),
    ("coalesce(%0, 0) <> -77", 1),
    ("%t.%0 IS NOT 'x' /* not ) x */", 1),
    ("%0 IS NULL OR %1 IS NULL OR %0 <> -%1 OR %0 = 0", 2),
    ("typeof(%0) IN ('null', 'integer', 'real', 'text', 'blob')", 1),
    ("%0 NOT LIKE 'a%b%' OR length(%1) >= 0 OR %1 IS NULL", 2),
    ("CASE WHEN %0 IS NULL THEN 1 ELSE %0 NOT IN (-1001, 'no''ne') END", 1),
];
const EXPRESSIONS: [&str; 4] = ["lower(%0)", "%0 || ''", "coalesce(%0, '')", "(%0 IS NULL) + 1"];
const FILTERS: [&str; 4] = ["%0 IS NOT NULL", "%0 > 3", "%0 IN ('a', 'b;', 3)", "length(%0) > 2 AND %0 <> 'x'"];
const ACTIONS: [&str; 10] = [
    "",
    "",
    " ON DELETE CASCADE",
    " ON DELETE SET NULL ON UPDATE CASCADE",
    " ON UPDATE RESTRICT",
    " ON DELETE SET DEFAULT",
    " ON DELETE NO ACTION",
    " DEFERRABLE INITIALLY DEFERRED",
    " ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
    " NOT DEFERRABLE",
];
const COMMENTS: [&str; 5] = ["", "", "", "/* a, table) 'of' \"no\" */ ", "-- it's (here\n"];
const CONSTRAINTS: [Option<&str>; 5] = [None, None, Some("named"), Some("\"a rule\""), Some("[check]")];

pub(super) fn column(rng: &mut Rng, schema: &mut Schema, table: &Table) -> Column {
    let mut column = Column {
        id: schema.id(),
        name: names::column(rng, &table.names()),
        kind: kind(rng, table.strict),
        not_null: not_null(rng),
        default: None,
        collate: rng.chance(15).then(|| rng.pick(&COLLATIONS)),
        generated: None,
    };
    let plain = table.plain();
    if !plain.is_empty() && rng.chance(12) {
        column.generated = Some(generated(rng, &plain));
        column.not_null = "";
        if table.strict {
            column.kind = "ANY";
        }
    } else if rng.chance(35) {
        column.default = Some(default(rng));
    }
    column
}

pub(super) fn kind(rng: &mut Rng, strict: bool) -> &'static str {
    if strict { rng.pick(&STRICT_KINDS) } else { rng.pick(&KINDS) }
}

pub(super) fn not_null(rng: &mut Rng) -> &'static str {
    match rng.below(20) {
        0 => "NOT NULL ON CONFLICT IGNORE",
        1 => "NULL",
        2..=6 => "NOT NULL",
        _ => "",
    }
}

pub(super) fn default(rng: &mut Rng) -> &'static str {
    rng.pick(&DEFAULTS)
}

pub(super) fn collate(rng: &mut Rng) -> &'static str {
    rng.pick(&COLLATIONS)
}

pub(super) fn generated(rng: &mut Rng, plain: &[Id]) -> Generated {
    Generated { value: expression(rng, &GENERATED, plain), stored: rng.chance(40) }
}

fn expression(rng: &mut Rng, templates: &[(&'static str, usize)], columns: &[Id]) -> Expr {
    let (template, count) = rng.pick(templates);
    Expr { template, columns: (0..count).map(|_| rng.pick(columns)).collect() }
}

pub(super) fn table(rng: &mut Rng, schema: &mut Schema) -> Table {
    let mut table = Table {
        id: schema.id(),
        name: names::relation(rng, schema),
        columns: Vec::new(),
        key: Key::None,
        strict: rng.chance(20),
        without_rowid: rng.chance(15),
        uniques: Vec::new(),
        checks: Vec::new(),
        foreigns: Vec::new(),
        indexes: Vec::new(),
        comment: rng.pick(&COMMENTS),
    };
    for _ in 0..rng.between(1, 6) {
        let column = column(rng, schema, &table);
        table.columns.push(column);
    }
    table.key = key(rng, &mut table);
    for _ in 0..rng.below(3).min(rng.below(3)) {
        table.uniques.push(unique(rng, &table));
    }
    for _ in 0..rng.below(3).min(rng.below(3)) {
        table.checks.push(check(rng, &table));
    }
    table
}

/// A primary key; the column of an INTEGER PRIMARY KEY gets its type.
pub(super) fn key(rng: &mut Rng, table: &mut Table) -> Key {
    let plain = table.plain();
    let mut integer = |rest: &'static str| {
        let column = plain[0];
        table.columns.iter_mut().filter(|it| it.id == column).for_each(|it| it.kind = "INTEGER");
        Key::Column(column, rest)
    };
    match rng.below(10) {
        0..=1 => Key::None,
        2..=4 => integer(""),
        5 => integer(" AUTOINCREMENT"),
        6 => {
            let rest = rng.pick(&["", " DESC", " ASC", " ON CONFLICT IGNORE"]);
            Key::Column(rng.pick(&plain), rest)
        }
        _ => {
            let columns = rng.some(&plain, 3);
            Key::Table(
                columns.into_iter().map(|column| (column, rng.pick(&["", "", " DESC", " COLLATE NOCASE"]))).collect(),
            )
        }
    }
}

pub(super) fn unique(rng: &mut Rng, table: &Table) -> Unique {
    let columns = rng.some(&table.plain(), 2);
    Unique {
        columns,
        conflict: if rng.chance(30) { rng.pick(&CONFLICTS) } else { "" },
        name: rng.pick(&CONSTRAINTS),
        at_column: rng.chance(50),
    }
}

pub(super) fn check(rng: &mut Rng, table: &Table) -> Check {
    let columns: Vec<Id> = table.columns.iter().map(|column| column.id).collect();
    Check { name: rng.pick(&CONSTRAINTS), holds: expression(rng, &CHECKS, &columns), at_column: rng.chance(50) }
}

/// A foreign key to a table that has a key; the table itself may be one.
pub(super) fn foreign(rng: &mut Rng, schema: &Schema, table: &Table) -> Option<Foreign> {
    let parent = rng.pick(&schema.tables);
    let keys = parent.keys();
    if keys.is_empty() {
        return None;
    }
    let at = rng.below(keys.len());
    let mut free = table.plain();
    free.retain(|column| !table.key_columns().contains(column));
    if free.len() < keys[at].len() {
        return None;
    }
    let columns = keys[at].iter().map(|_| free.remove(rng.below(free.len()))).collect();
    let named = keys[at] != parent.key_columns() || rng.chance(50);
    Some(Foreign {
        columns,
        parent: parent.id,
        to: named.then(|| keys[at].clone()),
        actions: rng.pick(&ACTIONS),
        at_column: rng.chance(50),
    })
}

pub(super) fn index(rng: &mut Rng, schema: &Schema, table: &Table) -> Index {
    let columns: Vec<Id> = table.columns.iter().map(|column| column.id).collect();
    let unique = rng.chance(25);
    let mut terms: Vec<Term> = Vec::new();
    for column in rng.some(&columns, 3) {
        let template = match rng.below(100) {
            // Many rows have the same of the last one.
            0..20 => rng.pick(&EXPRESSIONS[..if unique { 3 } else { 4 }]),
            _ => "%0",
        };
        let order = rng.pick(&["", "", "", " DESC", " COLLATE NOCASE", " COLLATE RTRIM DESC", " ASC"]);
        terms.push(Term { value: Expr { template, columns: vec![column] }, order });
    }
    let filter = rng.chance(25).then(|| Expr { template: rng.pick(&FILTERS), columns: vec![rng.pick(&columns)] });
    Index { name: names::relation(rng, schema), unique, terms, filter }
}

pub(super) fn view(rng: &mut Rng, schema: &mut Schema) -> View {
    let id = schema.id();
    let name = names::relation(rng, schema);
    if !schema.views.is_empty() && rng.chance(35) {
        let shape = if rng.chance(70) { Shape::All } else { Shape::Count };
        return View { id, name, source: rng.pick(&schema.views).id, shape };
    }
    let table = rng.pick(&schema.tables);
    let columns: Vec<Id> = table.columns.iter().map(|column| column.id).collect();
    let shape = match rng.below(10) {
        0..=3 => Shape::All,
        4..=6 => Shape::Columns(rng.some(&columns, 4)),
        7 => Shape::Count,
        _ => Shape::Join(rng.pick(&schema.tables).id),
    };
    View { id, name, source: table.id, shape }
}

pub(super) fn trigger(rng: &mut Rng, schema: &Schema) -> Trigger {
    let name = names::trigger(rng, schema);
    let table = rng.pick(&schema.tables);
    let view = !schema.views.is_empty() && rng.chance(25);
    let on = if view { rng.pick(&schema.views).id } else { table.id };
    let event = rng.pick(&["INSERT", "INSERT", "UPDATE", "DELETE"]);
    let of = if !view && event == "UPDATE" && rng.chance(50) { rng.some(&table.plain(), 2) } else { Vec::new() };
    let other = rng.pick(&schema.tables);
    Trigger {
        name,
        on,
        timing: rng.pick(&["BEFORE", "AFTER", "AFTER"]),
        event,
        of,
        when: rng.chance(35).then(|| rng.pick(&["%r IS NOT NULL", "%r > 100 OR %r = 'END;'", "1"])),
        body: rng.pick(&[
            "UPDATE %o SET %c = %c WHERE 0;",
            "DELETE FROM %o WHERE %c IS %r AND 0; SELECT 1;",
            "SELECT CASE WHEN %r IS 'refused' THEN RAISE(ABORT, 'no; END;') END;",
            "UPDATE %o SET %c = %r WHERE %c = 'never' AND %r <> 1; -- done\n",
            "INSERT INTO %o (%c) SELECT %r WHERE 1 = 2;",
        ]),
        other: other.id,
        other_column: rng.pick(&other.plain()),
    }
}

pub(super) fn search(rng: &mut Rng, schema: &Schema) -> Option<Search> {
    let name = ["search", "Full Text", "docs_fts"]
        .into_iter()
        .find(|name| !schema.searches.iter().any(|search| search.name == *name))?;
    let columns = rng.some(&["title", "body", "\"two words\"", "note UNINDEXED"], 3);
    let options = rng.pick(&["", "", ", tokenize = 'porter unicode61'", ", prefix = '2 3'"]);
    let fitting: Vec<&Table> = schema.tables.iter().filter(|table| simple(&table.name)).collect();
    let kind = match rng.below(4) {
        0 => SearchKind::Plain(columns),
        1 => SearchKind::Contentless(columns),
        _ if fitting.is_empty() => return None,
        _ => {
            let table = fitting[rng.below(fitting.len())];
            SearchKind::External(table.id, rng.some(&table.columns.iter().map(|it| it.id).collect::<Vec<_>>(), 2))
        }
    };
    Some(Search { name, kind, options })
}
