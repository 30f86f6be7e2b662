//! A struct and its `#[table(…)]` as a table. Everything that is wrong in it is told at once.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::{Data, DeriveInput, Fields, GenericParam, Ident, Lit, LitStr};

use super::Mistake;
use super::column::{self, Said, Target};
use super::names::{bad_name, ident, idents, snake_case};
use super::rules;
use super::table::{Column, Constraint, Index, Table};
use super::words::{Reader, Value, Word, parts};

const WORDS: &[&str] = &[
    "check",
    "crate",
    "foreign_key",
    "index",
    "name",
    "primary_key",
    "renamed_from",
    "strict",
    "unique",
    "without_rowid",
];
const REPEATABLE: &[&str] = &["check", "foreign_key", "index", "unique"];
const INDEX_WORDS: &[&str] = &["columns", "name", "unique", "where"];
const FOREIGN_KEY_WORDS: &[&str] = &["columns", "deferred", "on_delete", "on_update", "references"];

/// Reads a struct that derives `Table`.
///
/// # Errors
/// All its mistakes, in the order of reading.
pub fn read(input: &DeriveInput) -> Result<Table, Vec<Mistake>> {
    let mut reader = Reader::default();
    let fields = fields(input).map_err(|mistake| vec![mistake])?;
    check_generics(&mut reader, input);
    let words = reader.attributes(&input.attrs, "table");
    let mut columns = Vec::new();
    for field in fields {
        if let Some(name) = &field.ident {
            columns.extend(column::read(&mut reader, field, name));
        }
    }
    let mut table = Table {
        ident: input.ident.clone(),
        name: snake_case(&input.ident.unraw().to_string()),
        renamed_from: None,
        runtime: None,
        strict: false,
        without_rowid: false,
        columns: columns.iter().map(|said| said.column.clone()).collect(),
        primary_key: Vec::new(),
        constraints: Vec::new(),
        indexes: Vec::new(),
    };
    let mut said = TableWords { reader: &mut reader, table: &mut table, primary_key: None, flags: Flags::default() };
    // An index's name starts with the table's, wherever that is said.
    let (names, others): (Vec<&Word>, Vec<&Word>) = words.iter().partition(|word| word.text() == "name");
    let mut seen = BTreeSet::new();
    for word in names.into_iter().chain(others) {
        said.word(word, &mut seen);
    }
    let TableWords { primary_key, flags, .. } = said;
    if !seen.contains("name")
        && let Some(why) = bad_name(&table.name)
    {
        reader.mistake(
            Mistake::new(&input.ident, format!("this name {why}")).help("name the table: `#[table(name = \"…\")]`"),
        );
    }
    rules::check(&mut reader, &mut table, &columns, primary_key, &flags);
    if reader.mistakes.is_empty() { Ok(table) } else { Err(reader.mistakes) }
}

/// Words of the struct that are checked once everything is read, where they stand.
#[derive(Default)]
pub(super) struct Flags {
    pub(super) strict: Option<Ident>,
    pub(super) without_rowid: Option<Ident>,
}

/// The fields of a struct that can be a table.
fn fields(input: &DeriveInput) -> Result<impl Iterator<Item = &syn::Field>, Mistake> {
    let what = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => return Ok(fields.named.iter()),
            Fields::Unnamed(_) => "a struct whose fields have no names",
            Fields::Unit => "a struct without fields",
        },
        Data::Enum(_) => "an enum",
        Data::Union(_) => "a union",
    };
    Err(Mistake::new(&input.ident, format!("{what} is no table"))
        .help("derive `Table` for a struct with a field for each column"))
}

fn check_generics(reader: &mut Reader, input: &DeriveInput) {
    for parameter in &input.generics.params {
        // A lifetime changes no column: `&'a str` is a text as any.
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            reader.mistake(
                Mistake::new(parameter, "a table has no parameters: its columns are the same for every program")
                    .help("write the type out, or derive `Table` for a struct without the parameter"),
            );
        }
    }
}

struct TableWords<'a> {
    reader: &'a mut Reader,
    table: &'a mut Table,
    primary_key: Option<(Ident, Vec<String>)>,
    flags: Flags,
}

impl TableWords<'_> {
    fn word(&mut self, word: &Word, seen: &mut BTreeSet<String>) {
        let text = word.text();
        if !WORDS.contains(&text.as_str()) {
            return self.reader.unknown(word, "table", WORDS);
        }
        if !REPEATABLE.contains(&text.as_str()) && !self.reader.once(word, seen) {
            return;
        }
        match text.as_str() {
            "name" => {
                if let Some(name) = self.reader.name(word) {
                    self.table.name = name;
                }
            }
            "renamed_from" => self.table.renamed_from = self.reader.name(word),
            "strict" => {
                self.table.strict = self.reader.flag(word);
                self.flags.strict = Some(word.name.clone());
            }
            "without_rowid" => {
                self.table.without_rowid = self.reader.flag(word);
                self.flags.without_rowid = Some(word.name.clone());
            }
            "primary_key" => self.primary_key = Some((word.name.clone(), self.columns(word))),
            "unique" => {
                let columns = self.columns(word);
                self.table.constraints.push(Constraint::Unique(columns));
            }
            "check" => self.check(word),
            "index" => self.index(word),
            "foreign_key" => self.foreign_key(word),
            _ => self.runtime(word),
        }
    }

    fn runtime(&mut self, word: &Word) {
        match &word.value {
            Value::Path(path) => self.table.runtime = Some(path.clone()),
            _ => self.reader.mistake(
                Mistake::new(&word.place(), "`crate` is the path of migrate-runtime")
                    .help("write `crate = some::path`"),
            ),
        }
    }

    /// The columns that a list of fields means.
    fn columns(&mut self, word: &Word) -> Vec<String> {
        let fields = self.reader.fields(word);
        self.columns_of(&fields)
    }

    fn columns_of(&mut self, fields: &[Ident]) -> Vec<String> {
        let mut columns: Vec<String> = Vec::new();
        for field in fields {
            match self.column(field) {
                Ok(column) if columns.contains(&column.name) => {
                    self.reader.mistake(Mistake::new(field, format!("`{field}` is named twice")).help("leave one out"));
                }
                Ok(column) => columns.push(column.name.clone()),
                Err(mistake) => self.reader.mistake(mistake),
            }
        }
        columns
    }

    fn column(&self, field: &Ident) -> Result<Column, Mistake> {
        let name = field.unraw();
        if let Some(column) = self.table.columns.iter().find(|column| column.field.unraw() == name) {
            return Ok(column.clone());
        }
        let mistake = Mistake::new(field, format!("`{name}` is no field of this struct that is a column"));
        let name = name.to_string();
        let renamed = self.table.columns.iter().find(|column| column.name == name);
        let fields: Vec<String> = self.table.columns.iter().map(|column| column.field.unraw().to_string()).collect();
        Err(match (renamed, crate::problem::nearest(&name, fields.iter().map(String::as_str))) {
            (Some(column), _) => mistake.help(format!("write the field's name: `{}`", column.field)),
            (None, Some(near)) => mistake.help(format!("write `{near}`")),
            (None, None) => mistake.help(format!("the fields are {}", fields.join(", "))),
        })
    }

    fn check(&mut self, word: &Word) {
        let usage = "write `check(\"expression\")` or `check(name = \"expression\")`";
        let Value::List(tokens) = &word.value else {
            let mistake = Mistake::new(&word.place(), "`check` wants an expression in brackets").help(usage);
            return self.reader.mistake(mistake);
        };
        if let Ok(text) = syn::parse2::<LitStr>(tokens.clone()) {
            let expression = self.reader.fragment(&text, text.value());
            self.table.constraints.extend(expression.map(|expression| Constraint::Check(None, expression)));
            return;
        }
        match &self.reader.list(tokens)[..] {
            [named] => {
                let expression = self.reader.sql(named);
                let name = named.text();
                self.table.constraints.extend(expression.map(|expression| Constraint::Check(Some(name), expression)));
            }
            // What could not be read has been told.
            [] if !tokens.is_empty() => {}
            _ => self.reader.mistake(Mistake::new(&word.place(), "`check` wants one expression").help(usage)),
        }
    }

    fn index(&mut self, word: &Word) {
        let Value::List(tokens) = &word.value else {
            return self
                .reader
                .mistake(Mistake::new(&word.place(), "`index` wants the names of fields").help("write `index(a, b)`"));
        };
        let keyed = has_words(tokens);
        if !keyed {
            if tokens.clone().into_iter().any(|token| matches!(token, TokenTree::Literal(_))) {
                return self.reader.mistake(
                    Mistake::new(tokens, "besides fields, an index names its columns in brackets of their own")
                        .help("write `index(name = \"…\", columns(a, \"b DESC\"))`"),
                );
            }
            let columns = self.columns(word);
            let parts = columns.iter().map(|column| ident(column)).collect();
            let name = self.index_name(&columns);
            return self.add_index(Index { name, parts, unique: false, only: None }, word);
        }
        let mut index = Index { name: String::new(), parts: Vec::new(), unique: false, only: None };
        let (mut seen, mut plain) = (BTreeSet::new(), Some(Vec::new()));
        for word in self.reader.list(tokens) {
            let text = word.text();
            if !INDEX_WORDS.contains(&text.as_str()) {
                self.reader.unknown(&word, "index", INDEX_WORDS);
            } else if self.reader.once(&word, &mut seen) {
                match text.as_str() {
                    "columns" => (index.parts, plain) = self.index_parts(&word),
                    "name" => index.name = self.reader.name(&word).unwrap_or_else(|| "…".to_owned()),
                    "unique" => index.unique = self.reader.flag(&word),
                    _ => index.only = self.reader.sql(&word),
                }
            }
        }
        if !seen.contains("columns") {
            return self.reader.mistake(
                Mistake::new(tokens, "`index` lacks `columns`").help("write `index(name = \"…\", columns(a, b))`"),
            );
        }
        if index.name.is_empty() {
            match plain {
                Some(columns) => index.name = self.index_name(&columns),
                None => {
                    return self.reader.mistake(
                        Mistake::new(tokens, "an index with SQL among its columns needs a name")
                            .help("add `name = \"…\"`"),
                    );
                }
            }
        }
        self.add_index(index, word);
    }

    fn index_name(&self, columns: &[String]) -> String {
        let parts: Vec<&str> = std::iter::once(&self.table.name).chain(columns).map(String::as_str).collect();
        parts.join("_")
    }

    fn add_index(&mut self, index: Index, word: &Word) {
        let same = self.table.indexes.iter().any(|other| other.name.eq_ignore_ascii_case(&index.name));
        if same {
            self.reader.mistake(
                Mistake::new(&word.place(), format!("two indexes are named `{}`", index.name))
                    .help("give one of them another name: `index(name = \"…\", columns(…))`"),
            );
        }
        self.table.indexes.push(index);
    }

    /// What stands in `columns(…)`: as SQL, and as columns where there is no SQL among them.
    fn index_parts(&mut self, word: &Word) -> (Vec<String>, Option<Vec<String>>) {
        let part = |tokens: Vec<TokenTree>| match &tokens[..] {
            [TokenTree::Ident(field)] => Some(Part::Field(field.clone())),
            _ => syn::parse2(tokens.into_iter().collect()).ok().map(Part::Sql),
        };
        let parsed = match &word.value {
            Value::List(tokens) => parts(tokens).into_iter().map(part).collect::<Option<Vec<_>>>().unwrap_or_default(),
            _ => Vec::new(),
        };
        if parsed.is_empty() {
            self.reader.mistake(
                Mistake::new(&word.place(), "`columns` wants fields, or SQL in quotes")
                    .help("write `columns(a, \"b DESC\", \"lower(c)\")`"),
            );
        }
        let (mut parts, mut plain) = (Vec::new(), Some(Vec::new()));
        for part in parsed {
            match part {
                Part::Field(field) => {
                    let columns = self.columns_of(&[field]);
                    parts.push(idents(&columns));
                    if let Some(plain) = &mut plain {
                        plain.extend(columns);
                    }
                }
                Part::Sql(text) => {
                    plain = None;
                    parts.extend(self.reader.fragment(&text, text.value()));
                }
            }
        }
        (parts, plain)
    }

    fn foreign_key(&mut self, word: &Word) {
        let usage = "write `foreign_key(columns(a, b), references = \"parent (x, y)\")`";
        let Value::List(tokens) = &word.value else {
            return self.reader.mistake(Mistake::new(&word.place(), "`foreign_key` wants columns").help(usage));
        };
        let (mut seen, mut columns, mut target) = (BTreeSet::new(), Vec::new(), Target::default());
        for word in self.reader.list(tokens) {
            let text = word.text();
            if !FOREIGN_KEY_WORDS.contains(&text.as_str()) {
                self.reader.unknown(&word, "foreign_key", FOREIGN_KEY_WORDS);
            } else if self.reader.once(&word, &mut seen) {
                if Target::WORDS.contains(&text.as_str()) {
                    if text == "references" && !matches!(word.value, Value::Literal { literal: Lit::Str(_), .. }) {
                        self.reader.mistake(
                            Mistake::new(&word.place(), "a key of several columns names its parent in SQL").help(usage),
                        );
                        continue;
                    }
                    target.read(self.reader, &word);
                } else {
                    columns = self.columns(&word);
                }
            }
        }
        for needed in ["columns", "references"] {
            if !seen.contains(needed) {
                let at = if tokens.is_empty() { word.name.to_token_stream() } else { tokens.clone() };
                self.reader.mistake(Mistake::new(&at, format!("`foreign_key` lacks `{needed}`")).help(usage));
            }
        }
        let nullable = |name: &String| self.table.columns.iter().any(|column| column.name == *name && column.nullable);
        let all_nullable = columns.iter().all(nullable);
        if let Some(references) = target.finish(self.reader, true, all_nullable) {
            self.table.constraints.push(Constraint::ForeignKey(columns, references));
        }
    }
}

enum Part {
    Field(Ident),
    Sql(LitStr),
}

/// Whether a list has words with values rather than fields alone.
fn has_words(tokens: &TokenStream) -> bool {
    parts(tokens).iter().any(|part| {
        part.iter().any(|token| match token {
            TokenTree::Punct(mark) => mark.as_char() == '=',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Parenthesis,
            _ => false,
        })
    })
}

pub(super) fn field_of<'a>(columns: &'a [Said], name: &str) -> Option<&'a Said> {
    columns.iter().find(|said| said.column.name == name)
}
