use super::*;
use crate::introspect;
use crate::scratch;

fn of(sql: &str) -> Fingerprint {
    let connection = scratch::empty().unwrap();
    connection.execute_batch(sql).unwrap();
    let schema = introspect::read(&connection, "_").unwrap();
    Fingerprint::of(&connection, &schema, &schema).unwrap()
}

const TABLES: &str = "CREATE TABLE k (id INTEGER PRIMARY KEY, a, b); CREATE TABLE n (a, b);";

fn differences(before: &str, after: &str) -> Vec<Difference> {
    of(&format!("{TABLES}{before}")).differences(&of(&format!("{TABLES}{after}")))
}

#[test]
fn the_order_of_rows_does_not_count() {
    let one = "INSERT INTO k VALUES (1, 'x', 2), (2, 'y', 3); INSERT INTO n VALUES (1, 2), (3, 4);";
    let two = "INSERT INTO n VALUES (3, 4), (1, 2); INSERT INTO k VALUES (2, 'y', 3), (1, 'x', 2);";
    assert!(differences(one, two).is_empty());
}

#[test]
fn values_that_change_places_are_seen() {
    let column = |column: &str| Difference::Column { table: "k".into(), column: column.into() };
    // Between rows.
    assert_eq!(
        differences("INSERT INTO k VALUES (1, 'x', 0), (2, 'y', 0)", "INSERT INTO k VALUES (1, 'y', 0), (2, 'x', 0)"),
        [column("a")]
    );
    // Between columns.
    assert_eq!(
        differences("INSERT INTO k VALUES (1, 'x', 'y')", "INSERT INTO k VALUES (1, 'y', 'x')"),
        [column("a"), column("b")]
    );
    // Without a key.
    assert_eq!(
        differences("INSERT INTO n VALUES (1, 2), (3, 4)", "INSERT INTO n VALUES (1, 4), (3, 2)"),
        [Difference::Rows { table: "n".into() }]
    );
}

#[test]
fn the_order_of_columns_does_not_count() {
    let one = of("CREATE TABLE k (id INTEGER PRIMARY KEY, a); INSERT INTO k VALUES (1, 2); \
         CREATE TABLE n (a, b); INSERT INTO n VALUES (1, 2)");
    let two = of("CREATE TABLE k (a, id INTEGER PRIMARY KEY); INSERT INTO k VALUES (2, 1); \
         CREATE TABLE n (b, a); INSERT INTO n VALUES (2, 1)");
    assert!(one.differences(&two).is_empty());
}

#[test]
fn types_count_and_so_does_every_row() {
    for (before, after) in [("1", "'1'"), ("1", "1.0"), ("'a'", "x'61'"), ("NULL", "''"), ("0", "NULL")] {
        let value = |value: &str| format!("INSERT INTO k VALUES (1, {value}, 0)");
        assert_eq!(differences(&value(before), &value(after)).len(), 1, "{before} {after}");
    }
    let twice = differences("INSERT INTO n VALUES (1, 1)", "INSERT INTO n VALUES (1, 1), (1, 1)");
    assert_eq!(twice, [Difference::Count { table: "n".into(), before: 1, after: 2 }]);
}
#[test]
fn rows_with_a_null_in_their_key_are_told_apart_by_all_of_them() {
    let keyed = |values: &str| of(&format!("CREATE TABLE k (id TEXT PRIMARY KEY, a); INSERT INTO k VALUES {values}"));
    let before = keyed("(NULL, 1), (NULL, 2), ('x', 3)");
    assert!(before.differences(&keyed("('x', 3), (NULL, 2), (NULL, 1)")).is_empty());
    let changed = before.differences(&keyed("(NULL, 1), (NULL, 4), ('x', 3)"));
    assert_eq!(changed, [Difference::Rows { table: "k".into() }]);
    let two = |rows: &str| of(&format!("CREATE TABLE k (id TEXT PRIMARY KEY, a, b); INSERT INTO k VALUES {rows}"));
    assert_eq!(two("(NULL, 1, 2), (NULL, 3, 4)").differences(&two("(NULL, 1, 4), (NULL, 3, 2)")).len(), 1);
}

#[test]
fn a_key_that_is_gone_does_not_hide_what_became_of_the_rows() {
    let before = scratch::empty().unwrap();
    before
        .execute_batch("CREATE TABLE k (id INTEGER PRIMARY KEY, a); INSERT INTO k VALUES (1, 'x'), (2, 'y')")
        .unwrap();
    let schema = introspect::read(&before, "_").unwrap();
    let of_before = Fingerprint::of(&before, &schema, &schema).unwrap();
    let after = |values: &str| {
        let after = scratch::empty().unwrap();
        after.execute_batch(&format!("CREATE TABLE k (id INTEGER, a); INSERT INTO k VALUES {values}")).unwrap();
        Fingerprint::of(&after, &introspect::read(&after, "_").unwrap(), &schema).unwrap()
    };
    assert!(of_before.differences(&after("(1, 'x'), (2, 'y')")).is_empty());
    let swapped = of_before.differences(&after("(1, 'y'), (2, 'x')"));
    assert_eq!(swapped, [Difference::Column { table: "k".into(), column: "a".into() }]);
}

#[test]
fn what_is_no_more_is_named_where_there_were_rows() {
    let before = of("CREATE TABLE a (id INTEGER PRIMARY KEY, b); INSERT INTO a VALUES (1, 2); CREATE TABLE e (x);\
         CREATE TABLE g (x); INSERT INTO g VALUES (1), (2)");
    let after = of("CREATE TABLE a (id INTEGER PRIMARY KEY); INSERT INTO a VALUES (1)");
    assert_eq!(
        before.differences(&after),
        [
            Difference::NoColumn { table: "a".into(), column: "b".into() },
            Difference::NoTable { table: "g".into(), rows: 2 }
        ]
    );
}

#[test]
fn the_rows_of_full_text_tables_count_however_their_index_is_laid_out() {
    let text = |words: &str| of(&format!("CREATE VIRTUAL TABLE f USING fts5(a); {words}"));
    let before = text("INSERT INTO f VALUES ('one'), ('two')");
    let again =
        text("INSERT INTO f VALUES ('one'); INSERT INTO f VALUES ('two'); INSERT INTO f (f) VALUES ('optimize')");
    assert!(before.differences(&again).is_empty());
    let other = before.differences(&text("INSERT INTO f VALUES ('one'), ('three')"));
    assert_eq!(other, [Difference::Rows { table: "f".into() }]);
}
