//! What statements touch: which tables, views, indexes and triggers they make, change and take away, and which columns
//! they read and write.
//!
//! SQLite is asked, not the words of the text: the statements run on a database in memory whose authorizer
//! (<https://www.sqlite.org/c3ref/set_authorizer.html>) tells of everything that a statement is about to do, by whatever
//! trigger or view. (What is for a server cannot run here; of it [`words`] knows what they say.) `ALTER TABLE` says there only which table it changes, so the columns are compared before and after.

pub mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use build_support::migration::is_control;
use build_support::token::tokens;
use migrate_runtime::statement::{Statement, split};
use rusqlite::Connection;
use rusqlite::backup::Backup;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A table, ordinary or virtual.
    Table,
    /// A view.
    View,
    /// An index.
    Index,
    /// A trigger.
    Trigger,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::Index => "index",
            Self::Trigger => "trigger",
        }
    }
}

/// What is done to an object as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// It is made, or another is given its name.
    Create,
    /// It is taken away, or given another name.
    Drop,
    /// Its columns, indexes or triggers become others.
    Alter,
    /// Rows come, go or change.
    Write,
    /// Rows that are there go or change: by DELETE, by UPDATE, or because a new one takes the place of an old one.
    Erase,
    /// Rows are read.
    Read,
}

/// What is done to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColumnDeed {
    /// It is added, or another is given its name.
    Add,
    /// It is taken away, or given another name.
    Drop,
    /// Its values change.
    Update,
    /// Its values are read.
    Read,
}

/// What is done to one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touch {
    /// What is done to it as a whole.
    pub deeds: BTreeSet<Deed>,
    /// What is done to its columns, where columns are named.
    pub columns: BTreeMap<String, BTreeSet<ColumnDeed>>,
}

impl Touch {
    /// Whether it is more than looked at.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.deeds.iter().any(|deed| *deed != Deed::Read)
    }
}

/// What some statements touch. Names are in lower case: to SQLite they are the same in any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    touches: BTreeMap<(Kind, String), Touch>,
}

impl Footprint {
    /// Each object with what is done to it.
    pub fn touches(&self) -> impl Iterator<Item = (Kind, &str, &Touch)> {
        self.touches.iter().map(|((kind, name), touch)| (*kind, name.as_str(), touch))
    }

    /// What is done to one object; `None` where it is not touched.
    #[must_use]
    pub fn of(&self, kind: Kind, name: &str) -> Option<&Touch> {
        self.touches.get(&(kind, name.to_ascii_lowercase()))
    }

    /// Takes in what another footprint has.
    pub fn extend(&mut self, other: Self) {
        for (object, touch) in other.touches {
            let own = self.touches.entry(object).or_default();
            own.deeds.extend(touch.deeds);
            for (column, deeds) in touch.columns {
                own.columns.entry(column).or_default().extend(deeds);
            }
        }
    }

    /// What is touched of the objects that there are. The authorizer takes a view that is read or dropped for a table.
    fn among(self, there: &BTreeSet<(Kind, String)>) -> Self {
        let mut kept = Self::default();
        for ((kind, name), touch) in self.touches {
            let view = (Kind::View, name);
            let object = if kind == Kind::Table && there.contains(&view) { view } else { (kind, view.1) };
            if there.contains(&object) {
                kept.extend(Self { touches: BTreeMap::from([(object, touch)]) });
            }
        }
        kept
    }

    fn touch(&mut self, kind: Kind, name: &str, deed: Deed) -> &mut Touch {
        let touch = self.touches.entry((kind, name.to_ascii_lowercase())).or_default();
        touch.deeds.insert(deed);
        touch
    }

    fn column(&mut self, table: &str, column: &str, whole: Deed, deed: ColumnDeed) {
        let touch = self.touch(Kind::Table, table, whole);
        // `count(*)` reads a table and no column of it.
        if !column.is_empty() {
            touch.columns.entry(column.to_ascii_lowercase()).or_default().insert(deed);
        }
    }

    /// Notes what the authorizer tells. What SQLite does to its own tables is how it carries a statement out, and a
    /// temporary table is nobody else's.
    fn note(&mut self, context: &AuthContext<'_>) {
        let own = |name: &str| name.to_ascii_lowercase().starts_with("sqlite_");
        if context.database_name == Some("temp") {
            return;
        }
        match context.action {
            AuthAction::CreateTable { table_name } | AuthAction::CreateVtable { table_name, .. }
                if !own(table_name) =>
            {
                self.touch(Kind::Table, table_name, Deed::Create);
            }
            AuthAction::DropTable { table_name } | AuthAction::DropVtable { table_name, .. } => {
                self.touch(Kind::Table, table_name, Deed::Drop);
            }
            AuthAction::AlterTable { table_name, .. } => _ = self.touch(Kind::Table, table_name, Deed::Alter),
            AuthAction::CreateView { view_name } => _ = self.touch(Kind::View, view_name, Deed::Create),
            AuthAction::DropView { view_name } => _ = self.touch(Kind::View, view_name, Deed::Drop),
            // The index of a constraint comes with its table.
            AuthAction::CreateIndex { index_name, table_name } if !own(index_name) => {
                self.touch(Kind::Index, index_name, Deed::Create);
                self.touch(Kind::Table, table_name, Deed::Alter);
            }
            AuthAction::DropIndex { index_name, table_name } => {
                self.touch(Kind::Index, index_name, Deed::Drop);
                self.touch(Kind::Table, table_name, Deed::Alter);
            }
            AuthAction::CreateTrigger { trigger_name, table_name } => {
                self.touch(Kind::Trigger, trigger_name, Deed::Create);
                self.touch(Kind::Table, table_name, Deed::Alter);
            }
            AuthAction::DropTrigger { trigger_name, table_name } => {
                self.touch(Kind::Trigger, trigger_name, Deed::Drop);
                self.touch(Kind::Table, table_name, Deed::Alter);
            }
            AuthAction::Insert { table_name } if !own(table_name) => {
                self.touch(Kind::Table, table_name, Deed::Write);
            }
            AuthAction::Delete { table_name } if !own(table_name) => {
                self.touch(Kind::Table, table_name, Deed::Write).deeds.insert(Deed::Erase);
            }
            AuthAction::Update { table_name, column_name } if !own(table_name) => {
                self.column(table_name, column_name, Deed::Write, ColumnDeed::Update);
                self.touch(Kind::Table, table_name, Deed::Erase);
            }
            AuthAction::Read { table_name, column_name } if !own(table_name) => {
                self.column(table_name, column_name, Deed::Read, ColumnDeed::Read);
            }
            _ => {}
        }
    }

    /// Notes what an `ALTER TABLE` has made of the tables.
    fn compare(&mut self, before: &Shape, after: &Shape) {
        for (table, columns) in before {
            let Some(now) = after.get(table) else {
                self.touch(Kind::Table, table, Deed::Drop);
                continue;
            };
            for column in columns.difference(now) {
                self.column(table, column, Deed::Alter, ColumnDeed::Drop);
            }
            for column in now.difference(columns) {
                self.column(table, column, Deed::Alter, ColumnDeed::Add);
            }
        }
        for table in after.keys().filter(|table| !before.contains_key(*table)) {
            self.touch(Kind::Table, table, Deed::Create);
        }
    }
}

/// The tables and their columns.
type Shape = BTreeMap<String, BTreeSet<String>>;

/// A statement that the scratch database refuses, though the one that it was written for may take it: it may ask for a
/// function or a module that only a program has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplayable {
    /// Where the statement is in its text, in bytes.
    pub span: Range<usize>,
    /// SQLite's own words.
    pub message: String,
}

/// A database in memory on which statements are replayed, and which tells what they touch.
#[derive(Debug)]
pub struct Replay {
    connection: Connection,
    /// What is being noted; nothing is, where nobody asks.
    seen: Arc<Mutex<Option<Footprint>>>,
}

impl Replay {
    /// Takes an empty database in memory. Nothing that runs on it reaches beyond it.
    ///
    /// # Errors
    /// None in practice.
    pub fn new(mut connection: Connection) -> rusqlite::Result<Self> {
        // As in a run, where foreign keys are looked at once, before the commit.
        connection.pragma_update(None, "foreign_keys", false)?;
        let seen: Arc<Mutex<Option<Footprint>>> = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&seen);
        let authorizer = move |context: AuthContext<'_>| {
            if let Some(footprint) = &mut *noted.lock().unwrap_or_else(PoisonError::into_inner) {
                footprint.note(&context);
            }
            // Refused, not passed over: `VACUUM INTO` attaches a file, and counts on it.
            match context.action {
                AuthAction::Attach { .. } => Authorization::Deny,
                _ => Authorization::Allow,
            }
        };
        connection.authorizer(Some(authorizer))?;
        Ok(Self { connection, seen })
    }

    /// The same database a second time, on an empty one in memory; what is temporary stays behind.
    ///
    /// # Errors
    /// None in practice.
    pub fn copy(&self, mut connection: Connection) -> rusqlite::Result<Self> {
        Backup::new(&self.connection, &mut connection)?.step(-1)?;
        Self::new(connection)
    }

    /// Runs the statements of a section; gives those that SQLite refuses, and goes on behind them.
    pub fn run(&mut self, text: &str, section: Range<usize>) -> Vec<Unplayable> {
        statements(text, section).iter().filter_map(|statement| self.step(statement).err()).collect()
    }

    /// Runs the statements of a section; gives what they touch, and those that SQLite refuses. What is there neither
    /// before nor behind them is left out: it is a help on the way.
    pub fn record(&mut self, text: &str, section: Range<usize>) -> (Footprint, Vec<Unplayable>) {
        let mut footprint = Footprint::default();
        let statements = statements(text, section);
        let mut there = self.objects();
        let refused = statements.iter().filter_map(|statement| self.record_one(statement, &mut footprint).err());
        let refused = refused.collect();
        there.extend(self.objects());
        (footprint.among(&there), refused)
    }

    fn record_one(&self, statement: &Statement<'_>, footprint: &mut Footprint) -> Result<(), Unplayable> {
        let refused = |error| unplayable(statement, &error);
        let told = self.touched(statement.text).map_err(refused)?;
        let alters = told.touches.values().any(|touch| touch.deeds.contains(&Deed::Alter));
        let made =
            |((kind, _), touch): &(&(Kind, String), &Touch)| *kind == Kind::View && touch.deeds.contains(&Deed::Create);
        let view = told.touches.iter().find(made).map(|((_, name), _)| name.replace('"', "\"\""));
        let inserts = told.touches.values().any(|touch| touch.deeds.contains(&Deed::Write));
        if inserts && self.replaces(statement.text).map_err(refused)? {
            for ((kind, name), touch) in &told.touches {
                if touch.deeds.contains(&Deed::Write) {
                    footprint.touch(*kind, name, Deed::Erase);
                }
            }
        }
        footprint.extend(told);
        if alters {
            let before = self.shape().map_err(refused)?;
            self.step(statement)?;
            footprint.compare(&before, &self.shape().map_err(refused)?);
            return Ok(());
        }
        self.step(statement)?;
        // SQLite looks at what a view reads only when somebody reads the view.
        if let Some(view) = view {
            footprint.extend(self.touched(&format!("SELECT * FROM \"{view}\"")).map_err(refused)?);
        }
        Ok(())
    }

    /// Whether SQLite's program for a statement has a step that takes a row away, as that of an INSERT has where a new row
    /// may take the place of an old one: by its own words, or by what a constraint of the table says. `EXPLAIN` lists the
    /// programs of triggers, too (<https://www.sqlite.org/opcode.html>).
    fn replaces(&self, statement: &str) -> rusqlite::Result<bool> {
        let mut program = self.connection.prepare(&format!("EXPLAIN {statement}"))?;
        let mut rows = program.raw_query();
        // Where the number of a row is taken, a statement fails or goes on with the next row; one that does neither writes
        // over the row that is there.
        let mut taken = false;
        while let Some(row) = rows.next()? {
            match row.get_ref("opcode")?.as_str()? {
                "Delete" | "IdxDelete" | "VUpdate" => return Ok(true),
                "Halt" | "Goto" => taken = false,
                "NotExists" => taken = true,
                _ if taken => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    fn step(&self, statement: &Statement<'_>) -> Result<(), Unplayable> {
        let run = || {
            let mut prepared = self.connection.prepare(statement.text)?;
            let mut rows = prepared.raw_query();
            while rows.next()?.is_some() {}
            Ok(())
        };
        run().map_err(|error| unplayable(statement, &error))
    }

    fn shape(&self) -> rusqlite::Result<Shape> {
        let mut shape = Shape::new();
        let mut query = self.connection.prepare(
            "SELECT lower(t.name), lower(c.name) FROM main.sqlite_schema AS t, pragma_table_xinfo(t.name) AS c \
             WHERE t.type = 'table'",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            shape.entry(row.get(0)?).or_default().insert(row.get(1)?);
        }
        Ok(shape)
    }

    /// Everything that has a name. Asking for it does not fail on a database that works.
    fn objects(&self) -> BTreeSet<(Kind, String)> {
        let read = || {
            let mut query = self.connection.prepare("SELECT type, lower(name) FROM main.sqlite_schema")?;
            let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, String)>>>()
        };
        let kind = |word: &str| match word {
            "view" => Kind::View,
            "index" => Kind::Index,
            "trigger" => Kind::Trigger,
            _ => Kind::Table,
        };
        read().unwrap_or_default().into_iter().map(|(word, name)| (kind(&word), name)).collect()
    }

    /// What a statement is about to do. The authorizer is asked where a statement is prepared.
    fn touched(&self, statement: &str) -> rusqlite::Result<Footprint> {
        let note = |footprint| {
            std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), footprint)
                .unwrap_or_default()
        };
        note(Some(Footprint::default()));
        let prepared = self.connection.prepare(statement).map(drop);
        let told = note(None);
        prepared.map(|()| told)
    }
}

/// The statements of a section without those that touch no object: `PRAGMA`, `VACUUM`, `BEGIN` and their like, which
/// stand in revisions that run outside a transaction.
fn statements(text: &str, section: Range<usize>) -> Vec<Statement<'_>> {
    let mut found = split(text, section);
    found.retain(|statement| {
        let first = tokens(statement.text).find(|token| token.kind.counts());
        first.is_none_or(|token| !is_control(&statement.text[token.span]))
    });
    found
}

fn unplayable(statement: &Statement<'_>, error: &rusqlite::Error) -> Unplayable {
    Unplayable { span: statement.span.clone(), message: error.to_string() }
}

#[cfg(test)]
mod tests;
