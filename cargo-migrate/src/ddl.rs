//! From two schemas to the statements that lead from one to the other.
//!
//! [`plan`] is pure: whether its statements do what they should is proved by running them
//! ([`crate::proof`]), and a plan that fails is followed by a more careful one.

mod alter;
mod layout;
mod rebuild;
mod virtual_table;

pub mod losses;
pub mod values;

pub(crate) use self::rebuild::numbers;

use std::collections::{BTreeMap, BTreeSet};

use build_support::problem::printable;

use crate::diff::{self, Change, TableChange};
use crate::project::settings::{ColumnOrder, SqliteVersion};
use crate::schema::text::{fold, identifier, names};
use crate::schema::{Kind, Object, Schema};

/// A statement of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What stands above it as a comment; may be empty.
    pub note: String,
    /// The statement, without its semicolon.
    pub sql: String,
}

impl Statement {
    /// A statement without a note.
    pub(crate) fn new(sql: impl Into<String>) -> Self {
        Self { note: String::new(), sql: sql.into() }
    }

    /// What makes an object, as the database keeps it.
    pub(crate) fn create(object: &Object) -> Self {
        Self::new(layout::statement(&object.sql))
    }

    /// What takes an object away.
    pub(crate) fn drop(object: &Object) -> Self {
        Self::new(format!("DROP {} {}", object.kind.sql(), identifier(&object.name)))
    }

    /// The note stays a comment, whatever names stand in it.
    fn noted(note: impl AsRef<str>, sql: impl Into<String>) -> Self {
        Self { note: printable(note.as_ref()), sql: sql.into() }
    }
}

/// Values for columns that old rows do not have: `(table, column)`, both folded, to an expression.
pub type Fills = BTreeMap<(String, String), String>;

/// From where to where, and by which means.
#[derive(Clone, Copy, Debug)]
pub struct Way<'s> {
    /// The schema that is there.
    pub from: &'s Schema,
    /// The schema that is wanted.
    pub to: &'s Schema,
    /// Whether the order of columns counts.
    pub order: ColumnOrder,
    /// The oldest SQLite that has to understand the statements.
    pub minimum: SqliteVersion,
    /// What old rows get in columns that they do not have.
    pub fills: &'s Fills,
}

impl Way<'_> {
    /// A name that neither schema uses, for what takes another's place in the end.
    fn free_name(&self, name: &str) -> String {
        let mut new = format!("_new_{name}");
        while self.from.has_name(&new) || self.to.has_name(&new) {
            new.insert(0, '_');
        }
        new
    }
}

/// How careful a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caution {
    /// Tables are altered in place where SQLite documents that it can.
    Sparing,
    /// Every table that changes is rebuilt.
    Rebuilding,
    /// Besides, all views and triggers are out of the way meanwhile.
    Thorough,
}

impl Caution {
    /// From the least careful to the most careful.
    pub const ALL: [Self; 3] = [Self::Sparing, Self::Rebuilding, Self::Thorough];
}

/// The statements, and why tables could not be altered in place.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order in which they run.
    pub statements: Vec<Statement>,
    /// What makes full-text indexes of other tables' texts; when those tables have the names that they are to have.
    pub refills: Vec<Statement>,
    /// The tables that are rebuilt, each with the reason.
    pub rebuilt: Vec<(String, String)>,
}

/// Plans the way.
#[must_use]
pub fn plan(way: &Way<'_>, caution: Caution) -> Plan {
    let changes = diff::changes(way.from, way.to, way.order);
    let mut altered: BTreeMap<String, Vec<Statement>> = BTreeMap::new();
    let mut rebuilt = Vec::new();
    let mut shaken: BTreeSet<String> = BTreeSet::new();
    for change in alterations(&changes) {
        let in_place = alter::in_place(change, way);
        let in_place = match caution {
            Caution::Sparing => in_place,
            Caution::Rebuilding | Caution::Thorough => {
                Err(in_place.err().unwrap_or_else(|| "what SQLite does in place is not what is wanted here".to_owned()))
            }
        };
        let name = fold(&change.after.name);
        match in_place {
            Ok(statements) => {
                altered.insert(name, statements);
            }
            Err(why) => {
                altered.insert(name.clone(), rebuild::rebuild(change, way, &why));
                rebuilt.push((change.after.name.clone(), why));
                shaken.insert(name);
            }
        }
    }
    let moved = Moved::new(way, &changes, shaken, caution);
    let mut statements = moved.dropped(&changes);
    for table in way.to.tables_parents_first() {
        if way.from.table(&table.name).is_none() {
            statements.push(Statement::new(layout::create_table(table)));
        } else if let Some(steps) = altered.remove(&fold(&table.name)) {
            statements.extend(steps);
        }
    }
    // Until now their rows could be asked for, by a value for a new column.
    for table in way.from.tables_parents_first().into_iter().rev().filter(|table| way.to.table(&table.name).is_none()) {
        statements.push(Statement::new(format!("DROP TABLE {}", identifier(&table.name))));
    }
    for change in &changes {
        match change {
            Change::Create(object) if object.kind == Kind::VirtualTable => {
                statements.push(virtual_table::create(object));
            }
            Change::Replace { before, after } if after.kind == Kind::VirtualTable => {
                statements.extend(virtual_table::replace(before, after, way));
            }
            _ => {}
        }
    }
    statements.extend(moved.created(&changes));
    Plan { statements, refills: virtual_table::refills(way, &changes), rebuilt }
}

fn alterations<'c, 's>(changes: &'c [Change<'s>]) -> impl Iterator<Item = &'c TableChange<'s>> {
    changes.iter().filter_map(|change| match change {
        Change::AlterTable(change) => Some(change),
        Change::CreateTable(_)
        | Change::DropTable(_)
        | Change::Create(_)
        | Change::Drop(_)
        | Change::Replace { .. } => None,
    })
}

/// The indexes, views and triggers that a plan takes away and makes.
struct Moved<'s> {
    way: Way<'s>,
    /// Tables that are dropped and made again under their name; their indexes and triggers go with them.
    shaken: BTreeSet<String>,
    /// Views and triggers that are in the way meanwhile, though they stay as they are.
    aside: BTreeSet<(Kind, String)>,
    /// The tables and views that are not there at some time.
    missing: BTreeSet<String>,
}

impl<'s> Moved<'s> {
    fn new(way: &Way<'s>, changes: &[Change<'s>], mut shaken: BTreeSet<String>, caution: Caution) -> Self {
        let mut names: BTreeSet<String> = shaken.clone();
        for change in changes {
            match change {
                Change::Replace { before, .. } if before.kind == Kind::VirtualTable => {
                    names.insert(fold(&before.name));
                    shaken.insert(fold(&before.name));
                }
                _ => {}
            }
        }
        let gone = changes.iter().filter_map(|change| match change {
            Change::DropTable(table) => Some(fold(&table.name)),
            Change::Drop(object) | Change::Replace { before: object, .. } if object.kind != Kind::Trigger => {
                Some(fold(&object.name))
            }
            _ => None,
        });
        let missing = names.iter().cloned().chain(gone).collect();
        let mut moved = Self { way: *way, shaken, aside: BTreeSet::new(), missing };
        if names.is_empty() && caution != Caution::Thorough {
            return moved;
        }
        let mut open: Vec<(&Object, BTreeSet<String>)> = way
            .from
            .objects()
            .filter(|object| matches!(object.kind, Kind::View | Kind::Trigger))
            .map(|object| (object, self::names(&object.sql).map(|name| fold(&name)).collect()))
            .collect();
        // A view on a view that is taken away would be broken meanwhile, which RENAME refuses.
        loop {
            let before = moved.aside.len();
            open.retain(|(object, mentioned)| {
                let touched = caution == Caution::Thorough || !mentioned.is_disjoint(&names);
                if touched {
                    moved.aside.insert((object.kind, fold(&object.name)));
                    if object.kind == Kind::View {
                        names.insert(fold(&object.name));
                        moved.missing.insert(fold(&object.name));
                    }
                }
                !touched
            });
            if moved.aside.len() == before {
                return moved;
            }
        }
    }

    fn is_aside(&self, object: &Object) -> bool {
        self.aside.contains(&(object.kind, fold(&object.name)))
    }

    /// Whether it goes with what it belongs to.
    fn goes_along(&self, object: &Object, dropped: &dyn Fn(Kind, &str) -> bool) -> bool {
        let on = fold(&object.on);
        let table_gone = self.way.from.table(&on).is_some() && self.way.to.table(&on).is_none();
        match object.kind {
            // Its name may be wanted for a table that is made before.
            Kind::Index => (table_gone || self.shaken.contains(&on)) && self.way.to.table(&object.name).is_none(),
            Kind::Trigger => {
                // One that names something else that is not there meanwhile has to be out of the way before that.
                let others =
                    names(&object.sql).map(|name| fold(&name)).any(|name| name != on && self.missing.contains(&name));
                dropped(Kind::View, &on) || (table_gone || self.shaken.contains(&on)) && !others
            }
            Kind::View | Kind::VirtualTable => false,
        }
    }

    fn dropped(&self, changes: &[Change<'_>]) -> Vec<Statement> {
        let mut gone: BTreeSet<(Kind, String)> = self.aside.clone();
        for change in changes {
            match change {
                Change::Drop(object) => {
                    gone.insert((object.kind, fold(&object.name)));
                }
                Change::Replace { before, .. } if before.kind != Kind::VirtualTable => {
                    gone.insert((before.kind, fold(&before.name)));
                }
                Change::Replace { .. }
                | Change::CreateTable(_)
                | Change::DropTable(_)
                | Change::AlterTable(_)
                | Change::Create(_) => {}
            }
        }
        let mut objects: Vec<&Object> =
            self.way.from.objects().filter(|object| gone.contains(&(object.kind, fold(&object.name)))).collect();
        // What stands on others goes before them.
        objects.sort_by_key(|object| std::cmp::Reverse(object.kind));
        let dropped = |kind: Kind, name: &str| gone.contains(&(kind, fold(name)));
        objects.into_iter().filter(|object| !self.goes_along(object, &dropped)).map(Statement::drop).collect()
    }

    fn created(&self, changes: &[Change<'s>]) -> Vec<Statement> {
        let new: BTreeSet<(Kind, String)> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Create(object) | Change::Replace { after: object, .. } => {
                    Some((object.kind, fold(&object.name)))
                }
                Change::CreateTable(_) | Change::DropTable(_) | Change::AlterTable(_) | Change::Drop(_) => None,
            })
            .collect();
        let is_new = |object: &Object| new.contains(&(object.kind, fold(&object.name)));
        let with_its_view = |object: &Object| {
            let view = (Kind::View, fold(&object.on));
            self.aside.contains(&view) || new.contains(&view)
        };
        let needed = |object: &&Object| match object.kind {
            Kind::VirtualTable => false,
            Kind::Index => is_new(object) || self.shaken.contains(&fold(&object.on)),
            Kind::View => is_new(object) || self.is_aside(object),
            Kind::Trigger => {
                is_new(object)
                    || self.is_aside(object)
                    || self.shaken.contains(&fold(&object.on))
                    || with_its_view(object)
            }
        };
        let objects: Vec<&Object> = self.way.to.objects().filter(needed).collect();
        let (views, others): (Vec<&Object>, Vec<&Object>) =
            objects.into_iter().partition(|object| object.kind == Kind::View);
        let (indexes, mut triggers): (Vec<&Object>, Vec<&Object>) =
            others.into_iter().partition(|object| object.kind == Kind::Index);
        // Those of one table run in an order that nobody is to rely on, and that stays all the same.
        triggers.sort_by_key(|trigger| {
            let before = self.way.from.object(Kind::Trigger, &trigger.name);
            (before.map_or(usize::MAX, |before| before.place), trigger.place)
        });
        let all = indexes.into_iter().chain(in_order(views)).chain(triggers);
        all.map(Statement::create).collect()
    }
}

/// Views, each after those that it reads, as far as they do not read each other in a circle.
fn in_order(mut views: Vec<&Object>) -> Vec<&Object> {
    let mut ordered = Vec::with_capacity(views.len());
    let reads: BTreeMap<String, BTreeSet<String>> =
        views.iter().map(|view| (fold(&view.name), names(&view.sql).map(|name| fold(&name)).collect())).collect();
    while !views.is_empty() {
        let waiting: BTreeSet<String> = views.iter().map(|view| fold(&view.name)).collect();
        let waits = |view: &Object| {
            let name = fold(&view.name);
            reads[&name].iter().any(|read| *read != name && waiting.contains(read))
        };
        let (later, now): (Vec<&Object>, Vec<&Object>) = views.iter().partition(|view| waits(view));
        if now.is_empty() {
            ordered.extend(later);
            break;
        }
        ordered.extend(now);
        views = later;
    }
    ordered
}
