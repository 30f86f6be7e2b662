//! What a script asks of the shell that is to run it.

use std::time::Duration;

use build_support::token::Dialect;

use crate::driver::Enforcement;

/// What a shell wants to read. Each text is whole statements without a line break at the end; an empty one is left out.
pub(super) trait Shell {
    fn dialect(&self) -> Dialect;

    /// The version table as SQL.
    fn table(&self) -> &str;

    /// A text as SQL.
    fn text(&self, value: &str) -> String;

    /// The time in UTC and RFC 3339, as SQL.
    fn now(&self) -> &'static str;

    /// The function that finds a text in another.
    fn position(&self) -> &'static str;

    /// What stands before the first transaction of a script that waits so long for the run of another.
    fn opening(&self, wait: Duration) -> String;

    /// What stands behind the last one.
    fn closing(&self) -> String {
        String::new()
    }

    fn begin(&mut self, enforcement: Enforcement, wait: Duration, waiting: &mut dyn FnMut()) -> String;

    /// The end of a transaction in which these rows of the version table have changed.
    fn commit(&mut self, changes: &[String], wait: Duration) -> String;

    fn rollback(&mut self);

    /// Makes the version table where it is missing, and fails unless this query is true.
    fn ensure_table(&mut self, history: &str) -> String;

    fn statement(&mut self, statement: &str) -> String;

    /// What follows the statements of a revision.
    fn end_step(&mut self, _in_transaction: bool) -> String {
        String::new()
    }

    /// Fails unless each row that the query gives starts with what is true.
    fn verify(&mut self, query: &str) -> String;

    /// What the newest row says of the whole schema.
    fn finish(&mut self) -> String {
        String::new()
    }

    /// Remembers the foreign keys that are broken already.
    fn before_keys(&mut self) -> String {
        String::new()
    }

    /// Fails where more of them are.
    fn after_keys(&mut self) -> String {
        String::new()
    }
}
