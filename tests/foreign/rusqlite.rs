//! Embedded migrations in a program on a rusqlite of another version than the command's.

use migrate_runtime::connection::Connection as _;

mod report;

fn main() {
    report::print(&|path| {
        let mut connection = rusqlite::Connection::open(path).expect("a database file");
        assert_eq!(connection.in_transaction(), Ok(false));
        Box::new(connection)
    });
}
