//! What a server's tables hold, summed up by the server itself: no row leaves it.
//!
//! Each value is hashed with its type and its column, and the hash of its row's key is where the hashing starts; two hashes
//! of 64 bits each are added up. A row without a key is hashed as a whole.

use migrate_runtime::driver::postgres::{quoted, text};

use super::tables::{Column, Table, sql_name};
use crate::fingerprint::{Next, Rows};
use crate::live::server::OWN_SCHEMAS;
use crate::rehearsal::compared::HeldTable;

/// A SELECT gives 1664 columns at most, and a table can have nearly as many.
const AT_ONCE: usize = 300;

/// Begins to read: at one moment, as texts that are the same however the session is set, and all rows or none.
pub(super) const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL search_path = pg_catalog; SET LOCAL extra_float_digits = 3; SET LOCAL \"DateStyle\" = 'ISO, YMD'; \
    SET LOCAL \"IntervalStyle\" = 'postgres'; SET LOCAL \"TimeZone\" = 'UTC'; SET LOCAL bytea_output = 'hex'; \
    SET LOCAL xmlbinary = 'base64'; SET LOCAL row_security = off; SET LOCAL statement_timeout = 0";

/// The queries that sum up a table, each of one row; rows are told apart by these columns.
pub(super) fn of_table(table: &Table, key: &[&str]) -> Vec<String> {
    let (key_text, told_apart) = if key.is_empty() {
        ("''".to_owned(), "false".to_owned())
    } else {
        let columns: Vec<String> = key.iter().map(|name| format!("r.{}", quoted(name))).collect();
        (record(&columns), columns.iter().map(|it| format!("{it} IS NOT NULL")).collect::<Vec<_>>().join(" AND "))
    };
    let mut sorted: Vec<&Column> = table.columns.iter().collect();
    // Columns that stand in another order make no other rows.
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let whole = record(&sorted.iter().map(|column| format!("r.{}", quoted(&column.name))).collect::<Vec<_>>());
    let from = format!(
        "FROM ONLY {} AS r CROSS JOIN LATERAL (SELECT hashtextextended({key_text} COLLATE \"C\", 0) AS first, \
         hashtextextended({key_text} COLLATE \"C\", 1) AS second, {told_apart} AS apart OFFSET 0) AS k",
        name(table)
    );
    let sums = |value: &str, [first, second]: [&str; 2], which: &str| {
        let sum = |seed: &str| format!("sum(hashtextextended({value} COLLATE \"C\", {seed})) FILTER (WHERE {which})");
        format!("{}, {}", sum(first), sum(second))
    };
    let first = format!("SELECT count(*), {}", sums(&whole, ["0", "1"], "NOT k.apart"));
    let mut queries = vec![format!("{first} {from}")];
    for columns in table.columns.chunks(AT_ONCE) {
        let of_column = |column: &Column| {
            let value = format!("r.{}", quoted(&column.name));
            let with_type =
                format!("({} || {})", text(&format!("{} ", column.kind)), record(std::slice::from_ref(&value)));
            format!("count({value}), {}", sums(&with_type, ["k.first", "k.second"], "k.apart"))
        };
        let columns: Vec<String> = columns.iter().map(of_column).collect();
        queries.push(format!("SELECT {} {from}", columns.join(", ")));
    }
    queries
}

/// Values as the text of a record, by their types' own output and with NULL told from an empty text.
fn record(columns: &[String]) -> String {
    format!("(ROW({})::text)", columns.join(", "))
}

/// What the answers to [`of_table`] say.
pub(super) fn rows(table: &Table, answers: &[Vec<String>]) -> Option<Rows> {
    let (whole, by_column) = answers.split_first()?;
    let [count, first, second] = whole.as_slice() else { return None };
    let numbers: Vec<&String> = by_column.iter().flatten().collect();
    let columns = table.columns.iter().zip(numbers.chunks(3)).map(|(column, numbers)| {
        let [values, first, second] = numbers else { return None };
        Some((column.name.clone(), sum(first, second)?, values.parse().ok()?))
    });
    Some(Rows::summed(count.parse().ok()?, sum(first, second)?, columns.collect::<Option<_>>()?))
}

/// Two sums as one number: of each the lower 64 bits. There is none where there was no row.
fn sum(first: &str, second: &str) -> Option<u128> {
    let half = |sum: &str| {
        let sum: i128 = if sum.is_empty() { 0 } else { sum.parse().ok()? };
        u64::try_from(sum.rem_euclid(1 << 64)).ok()
    };
    Some((u128::from(half(first)?) << 64) | u128::from(half(second)?))
}

/// The queries that count a table's rows and the values of its columns; what is generated is no value of its own.
pub(super) fn count_of(table: &Table) -> Vec<String> {
    let value = |column: &Column| {
        if column.generated { "0".to_owned() } else { format!("count({})", quoted(&column.name)) }
    };
    let chunks = table.columns.chunks(AT_ONCE).map(|columns| columns.iter().map(value).collect::<Vec<_>>().join(", "));
    std::iter::once("count(*)".to_owned())
        .chain(chunks)
        .map(|what| format!("SELECT {what} FROM ONLY {}", name(table)))
        .collect()
}

/// What the answers to [`count_of`] say.
pub(super) fn held(table: &Table, answers: &[Vec<String>]) -> Option<HeldTable> {
    let numbers: Vec<i64> = answers.iter().flatten().map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let (rows, values) = numbers.split_first()?;
    let columns = table.columns.iter().map(|column| column.name.clone()).zip(values.iter().copied());
    Some(HeldTable { name: table.shown(), rows: *rows, columns: columns.collect() })
}

fn name(table: &Table) -> String {
    sql_name(&table.schema, &table.name)
}

/// Gives of each sequence its schema, its name and its step.
pub(super) fn sequences() -> String {
    format!(
        "SELECT n.nspname, c.relname, s.seqincrement FROM pg_catalog.pg_sequence AS s \
         JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.relpersistence <> 't' AND {OWN_SCHEMAS}"
    )
}

/// Gives a sequence's last number, and whether it was given already.
pub(super) fn of_sequence(schema: &str, sequence: &str) -> String {
    format!("SELECT last_value, is_called FROM {}", sql_name(schema, sequence))
}

/// Where a sequence stands.
pub(super) fn next(step: &str, answer: &[String]) -> Option<Next> {
    let [last, called] = answer else { return None };
    let (step, last): (i128, i128) = (step.parse().ok()?, last.parse().ok()?);
    Some(Next { number: if called == "t" { last + step } else { last }, grows: step > 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_beyond_64_bits_keep_the_lower_ones() {
        assert_eq!(sum("", ""), Some(0));
        assert_eq!(sum("1", "2"), Some((1 << 64) | 2));
        // 2⁶⁴ + 5 and -1, as sums of signed numbers are.
        assert_eq!(sum("18446744073709551621", "-1"), Some((5 << 64) | u128::from(u64::MAX)));
    }

    #[test]
    fn a_sequence_that_has_given_nothing_gives_its_first_number_next() {
        let stands = |step: &str, last: &str, called: &str| next(step, &[last.to_owned(), called.to_owned()]).unwrap();
        assert_eq!(stands("1", "1", "f"), Next { number: 1, grows: true });
        assert_eq!(stands("-5", "10", "t"), Next { number: 5, grows: false });
    }

    #[test]
    fn a_table_of_very_many_columns_is_summed_up_in_parts() {
        let column = |at: usize| Column { name: format!("c{at}"), kind: "text".to_owned(), generated: false };
        let columns = (0..1000).map(column).collect();
        let table =
            Table { schema: "s".to_owned(), name: "t".to_owned(), has_rows: true, columns, key: vec!["c0".to_owned()] };
        assert_eq!(of_table(&table, &["c0"]).len(), 1 + 4);
    }
}
