//! The tables of a server's database, as its catalog has them.

use migrate_runtime::driver::postgres::quoted;
use serde::Deserialize;

use crate::live::server::OWN_SCHEMAS;

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    /// Whether its rows are its own: those of a partitioned table are its partitions'.
    pub(super) has_rows: bool,
    pub(super) columns: Vec<Column>,
    /// The columns of its primary key.
    pub(super) key: Vec<String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    /// Its type, without a length.
    pub(super) kind: String,
    pub(super) generated: bool,
}

/// The name of something in a schema, as SQL.
pub(super) fn sql_name(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

/// Gives each table as an object of JSON; the functions are named with their schema, since the search path is anybody's.
pub(super) fn query() -> String {
    format!(
        "SELECT json_build_object('schema', n.nspname, 'name', c.relname, 'has_rows', c.relkind = 'r', \
         'columns', (SELECT coalesce(json_agg(json_build_object('name', a.attname, \
         'kind', pg_catalog.format_type(a.atttypid, NULL), 'generated', a.attgenerated <> '') ORDER BY a.attnum), '[]') \
         FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), \
         'key', (SELECT coalesce(json_agg(a.attname ORDER BY k.place), '[]') FROM pg_catalog.pg_index AS i \
         CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place) \
         JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number \
         WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts)) \
         FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {OWN_SCHEMAS} ORDER BY n.nspname, c.relname"
    )
}

impl Table {
    /// Its name with its schema, as it is shown and as it is told from others.
    pub(super) fn shown(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|other| other.name == column)
    }
}
