//! The search for a row that both schemas take.

use rusqlite::types::Value;

use super::choices::Field;
use super::insert::{Refusal, Sides};
use crate::schema::candidates::Row;
use crate::schema::table::Table;
use crate::schema::text::{Case, Expression, normal};

/// How many rows are tried until one fits. A try costs a few microseconds.
const TRIES: usize = 1_500;

/// The search for the rows of a table.
pub(super) struct Search<'t> {
    /// The table as it is and as it is wanted.
    tables: [Option<&'t Table>; 2],
}

/// What a refusal is about.
struct Blame {
    fields: Vec<usize>,
    /// Whether it would be the same in another row.
    lasting: bool,
}

impl<'t> Search<'t> {
    pub(super) fn new(table: &'t Table, other: Option<&'t Table>) -> Self {
        Self { tables: [Some(table), other] }
    }

    /// Inserts one row; its values, where one was found.
    ///
    /// A row that is refused is changed in the columns that the refusal is about, and tried again.
    pub(super) fn row(
        &self,
        fields: &mut [Field<'_>],
        sides: &mut Sides<'_>,
        row: Row,
    ) -> rusqlite::Result<Option<Vec<Value>>> {
        fields.iter_mut().for_each(|field| field.start(row));
        let mut dice = Dice(row.at as u64 + 1);
        for _ in 0..TRIES {
            let values: Vec<Value> = fields.iter().map(|field| field.value(row)).collect();
            let Err(refusal) = sides.insert(&values, row.number)? else { return Ok(Some(values)) };
            fields.iter_mut().for_each(Field::complete);
            if !change(&self.blame(&refusal, fields), fields, &mut dice) {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn blame(&self, refusal: &Refusal, fields: &[Field<'_>]) -> Blame {
        let positions = |belongs: &dyn Fn(&str) -> bool| -> Vec<usize> {
            (0..fields.len()).filter(|at| fields[*at].names[refusal.side].is_some_and(belongs)).collect()
        };
        let lasting = |fields| Blame { fields, lasting: true };
        let Some(table) = self.tables[refusal.side] else { return lasting(Vec::new()) };
        let why = refusal.why.as_str();
        let Some((kind, what)) = why.split_once(" constraint failed: ") else {
            if why == "datatype mismatch" {
                let alias = table.rowid_alias().map(|alias| alias.name.as_str()).unwrap_or_default();
                return lasting(positions(&|name| name == alias));
            }
            // "cannot store TEXT value in INTEGER column t.a"
            let named = positions(&|name| why.ends_with(&format!(".{name}")));
            // Else a function was given what it does not take.
            let computed = table.columns.iter().filter_map(|column| column.generated.as_ref());
            let computed: Vec<&Expression> = computed.map(|generated| &generated.expression).collect();
            let checked: Vec<&Expression> = table.checks.iter().map(|check| &check.expression).collect();
            let given = |to: &[&Expression]| positions(&|name| to.iter().any(|it| it.mentions(name)));
            let all = positions(&|_| true);
            let suspects = [named, given(&computed), given(&checked), all].into_iter().find(|it| !it.is_empty());
            return lasting(suspects.unwrap_or_default());
        };
        if kind.ends_with("CHECK") {
            let mut read = None;
            let broken = table.checks.iter().find(|check| {
                check.name.as_deref() == Some(what)
                    || check.expression.text == what
                    || check.expression.normal() == read.get_or_insert_with(|| normal(what, Case::Folds))
            });
            let Some(check) = broken else { return lasting(positions(&|_| true)) };
            return lasting(positions(&|name| {
                check.expression.mentions(name) || computes(table, name, &|column| check.expression.mentions(column))
            }));
        }
        if what.starts_with("index '") {
            // An index on expressions: any column may be meant.
            return Blame { fields: positions(&|_| true), lasting: false };
        }
        let named = |name: &str| what.split(", ").any(|part| part.ends_with(&format!(".{name}")));
        let fields = positions(&|name| named(name) || computes(table, name, &named));
        Blame { fields, lasting: kind != "UNIQUE" }
    }
}

/// Whether one of these columns is computed from this one.
fn computes(table: &Table, name: &str, columns: &dyn Fn(&str) -> bool) -> bool {
    table
        .columns
        .iter()
        .any(|column| column.generated.as_ref().is_some_and(|it| it.expression.mentions(name)) && columns(&column.name))
}

/// Changes what is to blame; whether something could be changed.
fn change(blame: &Blame, fields: &mut [Field<'_>], dice: &mut Dice) -> bool {
    let mut changed: Vec<usize> = Vec::new();
    if let [only] = blame.fields.as_slice() {
        // No other column can make up for it.
        if !fields[*only].rule_out(blame.lasting) {
            return false;
        }
        changed.push(*only);
    } else {
        // Of several columns only some are changed, or a condition on many would never be met.
        let free: Vec<usize> = blame.fields.iter().copied().filter(|at| fields[*at].is_free()).collect();
        let forced = free.get(dice.below(free.len())).copied();
        for at in free {
            if Some(at) == forced || dice.below(3) == 0 {
                fields[at].turn(|count| dice.below(count));
                changed.push(at);
            }
        }
    }
    for at in &changed {
        if let Some(reference) = fields[*at].reference() {
            fields.iter_mut().for_each(|field| field.follow(reference));
        }
    }
    !changed.is_empty()
}

/// Numbers that are the same in each run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % limit.max(1) as u64).unwrap_or_default()
    }
}
