//! What the columns of a row may be given.

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::ddl::Fills;
use crate::renames::Renames;
use crate::schema::Schema;
use crate::schema::candidates::{Candidate, Row, candidates};
use crate::schema::table::{Column, ForeignKey, Table};
use crate::schema::text::fold;

/// A column of a row that is looked for.
pub(super) struct Field<'t> {
    /// What it is called in the table as it is and in the one that is wanted, where they have it.
    pub(super) names: [Option<&'t str>; 2],
    /// The column as it is and as it is wanted, with its table.
    columns: [Option<(&'t Table, &'t Column)>; 2],
    /// The first is NULL, the second what is usual.
    choices: Vec<Candidate>,
    /// How many of them, from the first, are likelier than the others.
    likely: usize,
    /// Those that no row can have.
    dead: Vec<bool>,
    /// Those that this row cannot have.
    spent: Vec<bool>,
    /// The one that is tried.
    at: usize,
    /// Whether all choices are there, and not only the first two.
    complete: bool,
    /// The reference that gives it its values in this row.
    key: Option<usize>,
}

/// The columns that get values: those of the table as it is, and behind them those that only the wanted one has and
/// that nothing else gives a value.
pub(super) fn fields<'t>(
    table: &'t Table,
    other: Option<&'t Table>,
    renames: &'t Renames,
    fills: &Fills,
    scratch: &Connection,
) -> Vec<Field<'t>> {
    let given = |table: &'t Table, name: &str| {
        table.column(name).filter(|column| column.generated.is_none()).map(|column| (table, column))
    };
    let mut fields: Vec<Field<'t>> = Vec::with_capacity(table.columns.len());
    for column in table.columns.iter().filter(|column| column.generated.is_none()) {
        let wanted = other.and_then(|other| given(other, renames.new_column(&other.name, &column.name)));
        fields.push(Field::new([Some((table, column)), wanted]));
    }
    for (table, column) in other.iter().flat_map(|other| other.columns.iter().map(move |column| (*other, column))) {
        let taken = |field: &Field<'_>| field.names[1].is_some_and(|name| name.eq_ignore_ascii_case(&column.name));
        if column.not_null.is_none()
            || column.default.is_some()
            || column.generated.is_some()
            || fields.iter().any(taken)
        {
            continue;
        }
        let mut field = Field::new([None, Some((table, column))]);
        // What old rows get is known, where it does not depend on them.
        if let Some(fill) = fills.get(&(fold(&table.name), fold(&column.name)))
            && let Ok(value) = scratch.query_row(&format!("SELECT {fill}"), [], |row| row.get(0))
            && value != Value::Null
        {
            field.offer(std::iter::once(value), None);
            field.complete = true;
        }
        fields.push(field);
    }
    fields
}

impl<'t> Field<'t> {
    fn new(columns: [Option<(&'t Table, &'t Column)>; 2]) -> Self {
        let first = columns.into_iter().flatten().next();
        let plain = first.map_or(Candidate::Number, |(_, column)| Candidate::plain(column));
        // A NULL in the rowid would become a number.
        let counts = |table: &Table, column: &Column| table.rowid_alias().is_some_and(|it| it.name == column.name);
        let refuses_null =
            columns.into_iter().flatten().any(|(table, column)| column.not_null.is_some() || counts(table, column));
        Self {
            names: columns.map(|column| column.map(|(_, column)| column.name.as_str())),
            columns,
            choices: vec![Candidate::Same(Value::Null), plain],
            likely: 2,
            dead: vec![refuses_null, false],
            spent: Vec::new(),
            at: 1,
            complete: false,
            key: None,
        }
    }

    /// Begins a row.
    pub(super) fn start(&mut self, row: Row) {
        self.spent.clear();
        self.spent.resize(self.choices.len(), false);
        // One row of each table has NULL where it may.
        self.at = if row.at == 2 && !self.dead[0] { 0 } else { self.after(0).unwrap_or(0) };
    }

    pub(super) fn value(&self, row: Row) -> Value {
        self.choices[self.at].value(row)
    }

    /// Adds what the CHECKs may be asking for; tables that take what is usual never need it.
    pub(super) fn complete(&mut self) {
        if self.complete {
            return;
        }
        self.complete = true;
        let found = self.columns.map(|of| of.map(|(table, column)| candidates(table, column)).unwrap_or_default());
        let [now, then] = found;
        self.add(now.likely.into_iter().chain(then.likely));
        self.likely = self.choices.len();
        self.add(now.others.into_iter().chain(then.others));
        self.dead.resize(self.choices.len(), false);
        self.spent.resize(self.choices.len(), false);
    }

    fn add(&mut self, candidates: impl Iterator<Item = Candidate>) {
        for candidate in candidates {
            if !self.choices.contains(&candidate) {
                self.choices.push(candidate);
            }
        }
    }

    fn lives(&self, at: usize) -> bool {
        !self.dead[at] && !self.spent[at]
    }

    /// The next choice that is left, NULL last.
    fn after(&self, at: usize) -> Option<usize> {
        (at + 1..self.choices.len()).chain(0..=at).filter(|at| *at > 0).chain([0]).find(|at| self.lives(*at))
    }

    /// Whether there is another choice than the one that is tried.
    pub(super) fn is_free(&self) -> bool {
        (0..self.choices.len()).any(|at| at != self.at && self.lives(at))
    }

    /// Rules the choice that is tried out, for this row or for all, and takes the next one; whether there is one.
    pub(super) fn rule_out(&mut self, lasting: bool) -> bool {
        self.spent[self.at] = true;
        // What it refers to is another row's value next time.
        self.dead[self.at] |= lasting && (self.key.is_none() || self.at == 0);
        let next = self.after(self.at);
        self.at = next.unwrap_or(self.at);
        next.is_some()
    }

    /// Takes another choice that is left, by numbers that are chosen below a limit; mostly one of the likely ones.
    pub(super) fn turn(&mut self, mut choose: impl FnMut(usize) -> usize) {
        let limit = if choose(4) > 0 { self.likely } else { self.choices.len() };
        let others: Vec<usize> = (0..limit).filter(|at| *at != self.at && self.lives(*at)).collect();
        if let Some(at) = others.get(choose(others.len())) {
            self.at = *at;
        }
    }

    /// The reference that it belongs to with others, and which row it refers to.
    pub(super) fn reference(&self) -> Option<(usize, usize)> {
        self.key.filter(|_| self.at > 0).map(|key| (key, self.at))
    }

    /// Refers to the same row as another column of its reference.
    pub(super) fn follow(&mut self, (key, at): (usize, usize)) {
        if self.key == Some(key) && at < self.choices.len() {
            self.at = at;
        }
    }

    /// Replaces the choices by values of other rows, besides NULL.
    fn offer(&mut self, values: impl Iterator<Item = Value>, key: Option<usize>) {
        self.choices.truncate(1);
        self.dead.truncate(1);
        self.choices.extend(values.map(Candidate::Same));
        self.dead.resize(self.choices.len(), false);
        self.spent = vec![false; self.choices.len()];
        self.likely = self.choices.len();
        self.key = key;
        self.complete = true;
    }
}

/// A reference of a table, with the places of its columns among the fields.
pub(super) struct Parents<'t> {
    /// The table that it refers to, by the name that it has now.
    pub(super) table: &'t str,
    /// Whether only one of the schemas has that table, so that it has no rows where the other one leads to it.
    bare: bool,
    number: usize,
    /// The column there, by the name that it has now, and the field here.
    columns: Vec<(&'t str, usize)>,
}

/// The references of a table as it is, and then of the wanted one.
pub(super) fn parents<'t>(
    table: &'t Table,
    other: Option<&'t Table>,
    schemas: [&'t Schema; 2],
    renames: &'t Renames,
    fields: &[Field<'t>],
) -> Vec<Parents<'t>> {
    let mut found: Vec<Parents<'t>> = Vec::new();
    let now = table.foreign_keys.iter().map(|key| (0, key));
    let then = other.iter().flat_map(|other| &other.foreign_keys).map(|key| (1, key));
    for (side, key) in now.chain(then) {
        let place = |name: &str| {
            fields.iter().position(|field| field.names[side].is_some_and(|it| it.eq_ignore_ascii_case(name)))
        };
        let old = |name: &'t str| if side == 0 { name } else { renames.old_column(&key.parent, name) };
        let names = parent_columns(schemas[side], key);
        let columns = key.columns.iter().enumerate().map(|(at, own)| {
            let name = names.get(at).copied().unwrap_or_default();
            Some((old(name), place(own)?))
        });
        let Some(columns) = columns.collect::<Option<Vec<(&str, usize)>>>() else { continue };
        let [before, after] = match side {
            0 => [key.parent.as_str(), renames.new_table(&key.parent)],
            _ => [renames.old_table(&key.parent), key.parent.as_str()],
        };
        // What old rows get is said already.
        if columns.iter().any(|(_, at)| fields[*at].complete) {
            continue;
        }
        let stays = columns.iter().all(|(_, at)| fields[*at].names.iter().all(Option::is_some));
        let bare = stays
            && match [schemas[0].table(before), schemas[1].table(after)] {
                [Some(_), Some(_)] => false,
                // A reference that leads nowhere before and after breaks nothing.
                [None, None] => side == 1 && !refers_to(table, before),
                [Some(_), None] | [None, Some(_)] => true,
            };
        // Of several references of a column the one to nothing says what it may hold, else the first one.
        let taken = |it: &Parents<'_>| it.columns.iter().any(|(_, at)| columns.iter().any(|(_, other)| other == at));
        if bare {
            found.retain(|it| it.bare || !taken(it));
        } else if found.iter().any(taken) {
            continue;
        }
        let number = found.last().map_or(0, |last| last.number + 1);
        found.push(Parents { table: before, bare, number, columns });
    }
    found
}

fn refers_to(table: &Table, parent: &str) -> bool {
    table.foreign_keys.iter().any(|key| key.parent.eq_ignore_ascii_case(parent))
}

fn parent_columns<'t>(schema: &'t Schema, key: &'t ForeignKey) -> Vec<&'t str> {
    match &key.parent_columns {
        Some(columns) => columns.iter().map(String::as_str).collect(),
        None => {
            let key = schema.table(&key.parent).and_then(|parent| parent.primary_key.as_ref());
            key.iter().flat_map(|key| &key.columns).map(|column| column.name.as_str()).collect()
        }
    }
}

impl Parents<'_> {
    /// Gives the fields the values of the rows that there are, this row's first. A table that has not been filled yet
    /// will have the same values in its rows that are usual here.
    pub(super) fn offer(&self, known: Option<(&[String], &[Vec<Value>])>, fields: &mut [Field<'_>], row: Row) {
        if self.bare {
            // One NULL is enough for it to refer to nothing.
            let free = self.columns.iter().map(|(_, at)| *at).find(|at| !fields[*at].dead[0]);
            match free {
                Some(at) => fields[at].offer(std::iter::empty(), None),
                None => self.columns.iter().for_each(|(_, at)| fields[*at].offer(std::iter::empty(), None)),
            }
            return;
        }
        let Some((names, rows)) = known else { return };
        let place = |name: &str| names.iter().position(|it| it.eq_ignore_ascii_case(name));
        let Some(places) = self.columns.iter().map(|(name, _)| place(name)).collect::<Option<Vec<usize>>>() else {
            return;
        };
        let whole = |row: &&Vec<Value>| places.iter().all(|at| row.get(*at).is_some_and(|it| *it != Value::Null));
        let rows: Vec<&Vec<Value>> = rows.iter().filter(whole).collect();
        if rows.is_empty() && self.columns.iter().all(|(_, at)| fields[*at].dead[0]) {
            // What leads nowhere before and after still shows whether a row is kept.
            return;
        }
        for (place, (_, at)) in places.into_iter().zip(&self.columns) {
            let turned = rows.iter().cycle().skip(row.at % rows.len().max(1)).take(rows.len());
            fields[*at].offer(turned.filter_map(|values| values.get(place).cloned()), Some(self.number));
        }
    }
}
