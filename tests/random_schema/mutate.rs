//! A schema near to another one: what somebody does to their schema between two migrations.

use super::model::{Id, Key, Schema, Shape, Table};
use super::names;
use super::parts;
use super::rng::Rng;
use super::tidy::tidy;

/// The most changes to a schema.
const MOST: usize = 6;

/// The schema after one to six random changes, which are told in [`Schema::changes`]. Some may take back what others
/// did, and what a change leaves without its ground goes with it: a foreign key with its parent, an index with its
/// columns.
#[must_use]
pub fn mutate(schema: &Schema, seed: u64) -> Schema {
    let mut rng = Rng::new(seed ^ 0x006D_7574_6174_6521);
    let mut schema = schema.clone();
    schema.changes.clear();
    let wanted = rng.between(1, MOST);
    while schema.changes.len() < wanted {
        let mut changed = schema.clone();
        let change = match rng.below(10) {
            0..=4 => of_column(&mut rng, &mut changed),
            5..=7 => of_table(&mut rng, &mut changed),
            _ => of_others(&mut rng, &mut changed),
        };
        let Some(change) = change else { continue };
        tidy(&mut changed);
        // What was taken out at once was none.
        if changed.statements() != schema.statements() {
            schema = changed;
            schema.changes.push(change);
        }
    }
    schema
}

/// A change of a column; nothing where the table has none that it could be made to.
fn of_column(rng: &mut Rng, schema: &mut Schema) -> Option<String> {
    let at = rng.below(schema.tables.len());
    let mut table = schema.tables[at].clone();
    let place = rng.below(table.columns.len());
    let column = &table.columns[place];
    let (name, id) = (column.name.clone(), column.id);
    let what = match rng.below(12) {
        0 | 1 => {
            let new = parts::column(rng, schema, &table);
            let place = if rng.chance(60) { table.columns.len() } else { place };
            let what = format!("add column {:?}", new.name);
            table.columns.insert(place, new);
            what
        }
        2 => {
            if table.plain().len() < 2 {
                return None;
            }
            table.columns.remove(place);
            format!("drop column {name:?}")
        }
        3 | 4 => {
            let new = names::column(rng, &table.names());
            table.columns[place].name.clone_from(&new);
            format!("rename column {name:?} to {new:?}")
        }
        5 => {
            let moved = table.columns.remove(place);
            let to = rng.below(table.columns.len() + 1);
            table.columns.insert(to, moved);
            format!("move column {name:?} to place {to}")
        }
        6 => {
            table.columns[place].kind = parts::kind(rng, table.strict);
            format!("change the type of {name:?}")
        }
        7 if column.generated.is_none() => {
            table.columns[place].default = rng.chance(70).then(|| parts::default(rng));
            format!("change the default of {name:?}")
        }
        8 if column.generated.is_none() => {
            table.columns[place].not_null = parts::not_null(rng);
            format!("change the nullability of {name:?}")
        }
        9 => {
            table.columns[place].collate = rng.chance(70).then(|| parts::collate(rng));
            format!("change the collation of {name:?}")
        }
        10 => {
            let mut others = table.plain();
            others.retain(|other| *other != id);
            let generated = (column.generated.is_none() && !others.is_empty()).then(|| parts::generated(rng, &others));
            // What others are computed from is none that is computed.
            if uses(&table, id) {
                return None;
            }
            table.columns[place].generated = generated;
            table.columns[place].not_null = "";
            format!("change how {name:?} is generated")
        }
        11 => {
            let stored = &mut table.columns[place].generated.as_mut()?.stored;
            *stored = !*stored;
            format!("store {name:?}, or no longer")
        }
        _ => return None,
    };
    schema.tables[at] = table;
    Some(format!("{:?}: {what}", schema.tables[at].name))
}

fn uses(table: &Table, column: Id) -> bool {
    table.columns.iter().filter_map(|it| it.generated.as_ref()).any(|it| it.value.columns.contains(&column))
}

/// A change of a table, its constraints or its indexes.
fn of_table(rng: &mut Rng, schema: &mut Schema) -> Option<String> {
    let at = rng.below(schema.tables.len());
    let mut table = schema.tables[at].clone();
    let name = table.name.clone();
    let what = match rng.below(15) {
        0 => {
            let new = parts::table(rng, schema);
            let what = format!("add table {:?}", new.name);
            schema.tables.push(new);
            return Some(what);
        }
        1 if schema.tables.len() > 1 => {
            schema.tables.remove(at);
            return Some(format!("drop table {name:?}"));
        }
        2 => {
            table.name = names::relation(rng, schema);
            format!("rename to {:?}", table.name)
        }
        3 => {
            table.key = parts::key(rng, &mut table);
            "change the primary key".to_owned()
        }
        4 => {
            let Key::Column(column, rest) = table.key else { return None };
            if table.without_rowid || table.column(column)?.kind != "INTEGER" {
                return None;
            }
            table.key = Key::Column(column, if rest.is_empty() { " AUTOINCREMENT" } else { "" });
            "turn AUTOINCREMENT on or off".to_owned()
        }
        5 => {
            table.strict = !table.strict;
            "STRICT, or no longer".to_owned()
        }
        6 => {
            table.without_rowid = !table.without_rowid;
            "WITHOUT ROWID, or no longer".to_owned()
        }
        7 => {
            table.uniques.push(parts::unique(rng, &table));
            "add a unique".to_owned()
        }
        8 if !table.uniques.is_empty() => {
            table.uniques.remove(rng.below(table.uniques.len()));
            "drop a unique".to_owned()
        }
        9 => {
            table.checks.push(parts::check(rng, &table));
            "add a check".to_owned()
        }
        10 if !table.checks.is_empty() => {
            table.checks.remove(rng.below(table.checks.len()));
            "drop a check".to_owned()
        }
        11 => {
            table.foreigns.push(parts::foreign(rng, schema, &table)?);
            "add a foreign key".to_owned()
        }
        12 if !table.foreigns.is_empty() => {
            let one = rng.below(table.foreigns.len());
            let changed = parts::foreign(rng, schema, &table).filter(|_| rng.chance(50));
            table.foreigns.remove(one);
            table.foreigns.extend(changed);
            "change or drop a foreign key".to_owned()
        }
        13 => {
            table.indexes.push(parts::index(rng, schema, &table));
            "add an index".to_owned()
        }
        14 if !table.indexes.is_empty() => {
            let old = table.indexes.remove(rng.below(table.indexes.len()));
            if rng.chance(50) {
                let mut new = parts::index(rng, schema, &table);
                new.name.clone_from(&old.name);
                table.indexes.push(new);
            }
            format!("change or drop index {:?}", old.name)
        }
        _ => return None,
    };
    schema.tables[at] = table;
    Some(format!("{name:?}: {what}"))
}

/// A change of a view, a trigger or a full-text table.
fn of_others(rng: &mut Rng, schema: &mut Schema) -> Option<String> {
    match rng.below(9) {
        0 => {
            let view = parts::view(rng, schema);
            let what = format!("add view {:?}", view.name);
            schema.views.push(view);
            Some(what)
        }
        1 if !schema.views.is_empty() => {
            let view = schema.views.remove(rng.below(schema.views.len()));
            Some(format!("drop view {:?}", view.name))
        }
        2 if !schema.views.is_empty() => {
            let at = rng.below(schema.views.len());
            let view = &mut schema.views[at];
            view.shape = if matches!(view.shape, Shape::Count) { Shape::All } else { Shape::Count };
            Some(format!("change view {:?}", view.name))
        }
        3 if !schema.views.is_empty() => {
            let name = names::relation(rng, schema);
            let at = rng.below(schema.views.len());
            let old = std::mem::replace(&mut schema.views[at].name, name);
            Some(format!("rename view {old:?}"))
        }
        4 | 5 => {
            let trigger = parts::trigger(rng, schema);
            let what = format!("add trigger {:?}", trigger.name);
            schema.triggers.push(trigger);
            Some(what)
        }
        6 if !schema.triggers.is_empty() => {
            let at = rng.below(schema.triggers.len());
            let mut new = parts::trigger(rng, schema);
            new.name.clone_from(&schema.triggers[at].name);
            let what = format!("change trigger {:?}", new.name);
            schema.triggers[at] = new;
            Some(what)
        }
        7 if !schema.triggers.is_empty() => {
            let trigger = schema.triggers.remove(rng.below(schema.triggers.len()));
            Some(format!("drop trigger {:?}", trigger.name))
        }
        8 => {
            if !schema.searches.is_empty() && rng.chance(60) {
                return schema.searches.pop().map(|search| format!("drop full-text table {:?}", search.name));
            }
            let search = parts::search(rng, schema)?;
            let what = format!("add full-text table {:?}", search.name);
            schema.searches.push(search);
            Some(what)
        }
        _ => None,
    }
}
