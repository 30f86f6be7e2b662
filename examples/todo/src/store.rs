//! The questions that the server asks its database, and nothing about HTTP.
//!
//! Every method blocks until SQLite has answered.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use migrate_runtime::Migrations;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, ffi, params};

use crate::models::{Todo, User};

/// How the tables came about. The compiler refuses the program when one of them was edited after it was applied.
pub static MIGRATIONS: Migrations = migrate_runtime::embed!("migrations");

/// How long a statement waits for another program's transaction, an upgrade for one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The tables and columns that the statements below name.
const NEEDED: [(&str, &[&str]); 2] =
    [("users", &["id", "name"]), ("todos", &["id", "user_id", "title", "done", "priority"])];

/// An open database that has the tables this program was written for.
pub struct Store {
    connection: Mutex<Connection>,
}

/// A todo that has yet to be stored.
pub struct NewTodo {
    pub user_id: i64,
    pub title: String,
    pub priority: i64,
}

/// What shall be different about a todo; `None` leaves a column as it is.
#[derive(Default)]
pub struct TodoChange {
    pub title: Option<String>,
    pub done: Option<bool>,
    pub priority: Option<i64>,
}

/// Which todos are wanted; `None` wants all.
#[derive(Default)]
pub struct TodoFilter {
    pub user_id: Option<i64>,
    pub done: Option<bool>,
}

/// Which part of a long answer is wanted.
pub struct Page {
    pub limit: u32,
    pub offset: u32,
}

impl Store {
    /// Opens the database at `path`, which must exist and be where [`MIGRATIONS`] are: nothing is created here.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Database { path: path.to_owned(), error };
        if !path.exists() {
            return Err(OpenError::NoFile(path.to_owned()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
        MIGRATIONS
            .verify(&mut connection)
            .map_err(|reason| OpenError::NotMigrated { path: path.to_owned(), reason: reason.to_string() })?;
        Ok(Store { connection: Mutex::new(connection) })
    }

    /// The first table or column that is used here and that the database does not have.
    pub fn missing(&self) -> rusqlite::Result<Option<String>> {
        let connection = self.connection();
        let mut columns = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
        for (table, needed) in NEEDED {
            let found: Vec<String> = columns.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
            if found.is_empty() {
                return Ok(Some(format!("table `{table}`")));
            }
            if let Some(column) = needed.iter().find(|column| !found.iter().any(|name| name == *column)) {
                return Ok(Some(format!("column `{table}.{column}`")));
            }
        }
        Ok(None)
    }

    pub fn add_user(&self, name: &str) -> Result<User, Error> {
        let connection = self.connection();
        match connection.execute("INSERT INTO users (name) VALUES (?1)", [name]) {
            Ok(_) => Ok(User { id: connection.last_insert_rowid(), name: name.to_owned() }),
            Err(error) if violates(&error, ffi::SQLITE_CONSTRAINT_UNIQUE) => Err(Error::NameTaken(name.to_owned())),
            Err(error) => Err(error.into()),
        }
    }

    /// The users in the order in which they came.
    pub fn users(&self, page: &Page) -> Result<Vec<User>, Error> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT id, name FROM users ORDER BY id LIMIT ?1 OFFSET ?2")?;
        let users = statement
            .query_map([page.limit, page.offset], |row| Ok(User { id: row.get("id")?, name: row.get("name")? }))?;
        Ok(users.collect::<Result<_, _>>()?)
    }

    pub fn add_todo(&self, new: NewTodo) -> Result<Todo, Error> {
        let NewTodo { user_id, title, priority } = new;
        let connection = self.connection();
        let sql = "INSERT INTO todos (user_id, title, priority) VALUES (?1, ?2, ?3)";
        match connection.execute(sql, params![user_id, title, priority]) {
            Ok(_) => Ok(Todo { id: connection.last_insert_rowid(), user_id, title, done: false, priority }),
            Err(error) if violates(&error, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => Err(Error::NoSuchUser(user_id)),
            Err(error) => Err(error.into()),
        }
    }

    /// The wanted todos: open ones first, the most urgent of them at the top.
    pub fn todos(&self, filter: &TodoFilter, page: &Page) -> Result<Vec<Todo>, Error> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT id, user_id, title, done, priority FROM todos
             WHERE (?1 IS NULL OR user_id = ?1) AND (?2 IS NULL OR done = ?2)
             ORDER BY done, priority DESC, id LIMIT ?3 OFFSET ?4",
        )?;
        let todos = statement.query_map(params![filter.user_id, filter.done, page.limit, page.offset], read_todo)?;
        Ok(todos.collect::<Result<_, _>>()?)
    }

    pub fn todo(&self, id: i64) -> Result<Todo, Error> {
        find_todo(&self.connection(), id)
    }

    /// Carries `change` out and returns the todo as it then is.
    pub fn change_todo(&self, id: i64, change: &TodoChange) -> Result<Todo, Error> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        transaction.execute(
            "UPDATE todos SET title = coalesce(?2, title), done = coalesce(?3, done),
             priority = coalesce(?4, priority) WHERE id = ?1",
            params![id, change.title, change.done, change.priority],
        )?;
        let todo = find_todo(&transaction, id)?;
        transaction.commit()?;
        Ok(todo)
    }

    pub fn delete_todo(&self, id: i64) -> Result<(), Error> {
        match self.connection().execute("DELETE FROM todos WHERE id = ?1", [id])? {
            0 => Err(Error::NoSuchTodo(id)),
            _ => Ok(()),
        }
    }

    /// A request that panicked half-way has left no transaction open: each ends with the guard that it lives in.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find_todo(connection: &Connection, id: i64) -> Result<Todo, Error> {
    let sql = "SELECT id, user_id, title, done, priority FROM todos WHERE id = ?1";
    connection.query_row(sql, [id], read_todo).optional()?.ok_or(Error::NoSuchTodo(id))
}

fn read_todo(row: &Row<'_>) -> rusqlite::Result<Todo> {
    Ok(Todo {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        title: row.get("title")?,
        done: row.get("done")?,
        priority: row.get("priority")?,
    })
}

fn violates(error: &rusqlite::Error, constraint: i32) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == constraint)
}

/// Why a request could not be carried out.
#[derive(Debug)]
pub enum Error {
    NoSuchTodo(i64),
    NoSuchUser(i64),
    NameTaken(String),
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Error::Database(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSuchTodo(id) => write!(f, "there is no todo {id}"),
            Error::NoSuchUser(id) => write!(f, "there is no user {id}"),
            Error::NameTaken(name) => write!(f, "there is already a user named `{name}`"),
            Error::Database(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Why the server cannot start on a database.
#[derive(Debug)]
pub enum OpenError {
    NoFile(PathBuf),
    NotMigrated { path: PathBuf, reason: String },
    Database { path: PathBuf, error: rusqlite::Error },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::NoFile(path) => {
                write!(f, "there is no database `{}`\nhelp: run `cargo migrate upgrade head`", path.display())
            }
            OpenError::NotMigrated { path, reason } => {
                write!(f, "the database `{}` is not where this program is\n{reason}", path.display())
            }
            OpenError::Database { path, error } => {
                write!(f, "cannot use the database `{}`: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}
