//! A schema from a seed.

use super::model::Schema;
use super::parts;
use super::rng::Rng;
use super::tidy::tidy;

/// A random schema of one to six tables. The same seed always gives the same one.
#[must_use]
pub fn make(seed: u64) -> Schema {
    let mut rng = Rng::new(seed);
    let mut schema = Schema::default();
    for _ in 0..rng.between(1, 6).min(rng.between(1, 6)) {
        let table = parts::table(&mut rng, &mut schema);
        schema.tables.push(table);
    }
    // Keys that refer to nothing are out before any refers to them.
    tidy(&mut schema);
    for at in 0..schema.tables.len() {
        for _ in 0..rng.below(3) {
            if rng.chance(60)
                && let Some(foreign) = parts::foreign(&mut rng, &schema, &schema.tables[at])
            {
                schema.tables[at].foreigns.push(foreign);
            }
        }
        for _ in 0..rng.below(3) {
            let index = parts::index(&mut rng, &schema, &schema.tables[at]);
            schema.tables[at].indexes.push(index);
        }
    }
    for _ in 0..rng.below(4) {
        let view = parts::view(&mut rng, &mut schema);
        schema.views.push(view);
    }
    for _ in 0..rng.below(4) {
        let trigger = parts::trigger(&mut rng, &schema);
        schema.triggers.push(trigger);
    }
    if rng.chance(30)
        && let Some(search) = parts::search(&mut rng, &schema)
    {
        schema.searches.push(search);
    }
    tidy(&mut schema);
    schema
}
