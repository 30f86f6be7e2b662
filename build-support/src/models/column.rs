//! A field and its `#[column(…)]` as a column.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::{Field, Ident, Lit, Path};

use super::names::{bad_name, bracketed};
use super::table::{Column, Default, Generated, Parent, ParentField, References};
use super::types::{SqlType, column_type, shown, within_option};
use super::words::{Reader, Value, Word, quoted};
use super::{Mistake, UNKNOWN_TYPE};
use crate::problem::nearest;

const WORDS: &[&str] = &[
    "autoincrement",
    "check",
    "collate",
    "default",
    "default_sql",
    "deferred",
    "generated",
    "name",
    "on_delete",
    "on_update",
    "primary_key",
    "references",
    "renamed_from",
    "skip",
    "stored",
    "type",
    "unique",
];

const ACTIONS: &[(&str, &str)] = &[
    ("cascade", "CASCADE"),
    ("restrict", "RESTRICT"),
    ("set null", "SET NULL"),
    ("set default", "SET DEFAULT"),
    ("no action", "NO ACTION"),
];

/// A column, and what the rules that go across columns have to know of how it was said.
pub(super) struct Said {
    pub(super) column: Column,
    /// The word `primary_key`, where it stands.
    pub(super) primary_key: Option<Ident>,
    /// The word `autoincrement`, where it stands.
    pub(super) autoincrement: Option<Ident>,
    /// The text of `type`, where it stands.
    pub(super) type_text: Option<TokenStream>,
    /// The field's type.
    pub(super) ty: syn::Type,
}

/// The words of a foreign key, which a field and the struct have alike.
#[derive(Default)]
pub(super) struct Target {
    parent: Option<Parent>,
    on_delete: Option<(TokenStream, &'static str)>,
    on_update: Option<(TokenStream, &'static str)>,
    deferred: Option<Ident>,
}

impl Target {
    pub(super) const WORDS: [&'static str; 4] = ["references", "on_delete", "on_update", "deferred"];

    /// Reads one of [`Target::WORDS`].
    pub(super) fn read(&mut self, reader: &mut Reader, word: &Word) {
        match word.text().as_str() {
            "references" => self.parent = parent(reader, word),
            "on_delete" => self.on_delete = action(reader, word).map(|action| (word.place(), action)),
            "on_update" => self.on_update = action(reader, word).map(|action| (word.place(), action)),
            _ => self.deferred = reader.flag(word).then(|| word.name.clone()),
        }
    }

    /// All of it, for columns that are what they are. `said` tells whether there is a `references` at all, which may
    /// have been unreadable.
    pub(super) fn finish(self, reader: &mut Reader, said: bool, nullable: bool) -> Option<References> {
        if !said {
            let words = [
                ("on_delete", self.on_delete.map(|(at, _)| at)),
                ("on_update", self.on_update.map(|(at, _)| at)),
                ("deferred", self.deferred.map(|word| word.to_token_stream())),
            ];
            for (name, at) in words {
                if let Some(at) = at {
                    reader.mistake(
                        Mistake::new(&at, format!("`{name}` says how a reference behaves, and there is none"))
                            .help("add `references = Struct::field`"),
                    );
                }
            }
            return None;
        }
        for (at, action) in [&self.on_delete, &self.on_update].into_iter().flatten() {
            if *action == "SET NULL" && !nullable {
                reader.mistake(
                    Mistake::new(at, "`set null` would put NULL where none may stand")
                        .help("make the field an `Option<…>`, or say what else is to happen, such as `cascade`"),
                );
            }
        }
        let action = |said: Option<(TokenStream, &'static str)>| said.map(|(_, action)| action);
        Some(References {
            parent: self.parent?,
            on_delete: action(self.on_delete),
            on_update: action(self.on_update),
            deferred: self.deferred.is_some(),
        })
    }
}

fn parent(reader: &mut Reader, word: &Word) -> Option<Parent> {
    let Value::Path(path) = &word.value else {
        if !matches!(word.value, Value::Literal { literal: Lit::Str(_), .. }) {
            let mistake = Mistake::new(&word.place(), "`references` wants a field of a struct, or SQL");
            reader.mistake(mistake.help("write `references = User::id` or `references = \"users (id)\"`"));
            return None;
        }
        return reader.sql(word).map(Parent::Text);
    };
    let mut table: Path = path.clone();
    let last = table.segments.pop();
    // What is left would end in the `::` that stood before the field.
    table.segments.pop_punct();
    match last {
        Some(field) if !table.segments.is_empty() => Some(Parent::Field(ParentField { table, field: field.ident })),
        _ => {
            reader.mistake(
                Mistake::new(path, "`references` names a struct and no field of it")
                    .help(format!("name the field too: `references = {}::id`", shown_path(path))),
            );
            None
        }
    }
}

/// A path as people write it.
pub(super) fn shown_path(path: &Path) -> String {
    path.to_token_stream().to_string().replace(' ', "")
}

fn action(reader: &mut Reader, word: &Word) -> Option<&'static str> {
    let text = reader.text(word)?;
    let known = ACTIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
    if known.is_none() {
        let names: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
        let mistake = Mistake::new(&word.place(), format!("`{text}` is nothing that can happen to a reference"));
        reader.mistake(match nearest(&text, names.iter().copied()) {
            Some(near) => mistake.help(format!("write `\"{near}\"`")),
            None => mistake.help(format!("write one of {}", quoted(&names))),
        });
    }
    known.map(|(_, sql)| *sql)
}

/// Reads a field; `None` for one that is skipped.
pub(super) fn read(reader: &mut Reader, field: &Field, ident: &Ident) -> Option<Said> {
    let words = reader.attributes(&field.attrs, "column");
    if let Some(skip) = words.iter().find(|word| word.text() == "skip") {
        reader.flag(skip);
        for word in words.iter().filter(|word| word.text() != "skip") {
            let message = format!("`{}` says something of a column, and `skip` says that there is none", word.text());
            reader.mistake(Mistake::new(&word.name, message).help("leave one of them out"));
        }
        return None;
    }
    let name = ident.unraw().to_string();
    let inner = within_option(&field.ty);
    let nullable = inner.is_some();
    let mut said = Said {
        column: Column {
            field: ident.clone(),
            name: name.clone(),
            renamed_from: None,
            sql_type: SqlType::written("BLOB"),
            nullable,
            autoincrement: false,
            unique: false,
            default: None,
            check: None,
            collate: None,
            generated: None,
            references: None,
        },
        primary_key: None,
        autoincrement: None,
        type_text: None,
        ty: field.ty.clone(),
    };
    let (mut seen, mut target, mut stored, mut has_name) = (BTreeSet::new(), Target::default(), None, false);
    let mut defaults: Vec<Ident> = Vec::new();
    let mut type_said = false;
    for word in &words {
        let text = word.text();
        if !WORDS.contains(&text.as_str()) {
            reader.unknown(word, "column", WORDS);
            continue;
        }
        if !reader.once(word, &mut seen) {
            continue;
        }
        let column = &mut said.column;
        match text.as_str() {
            "name" => {
                has_name = true;
                column.name = reader.name(word).unwrap_or_else(|| name.clone());
            }
            "renamed_from" => column.renamed_from = reader.name(word),
            "primary_key" => said.primary_key = reader.flag(word).then(|| word.name.clone()),
            "autoincrement" => said.autoincrement = reader.flag(word).then(|| word.name.clone()),
            "unique" => column.unique = reader.flag(word),
            "default" => {
                defaults.push(word.name.clone());
                column.default = default(reader, word);
            }
            "default_sql" => {
                defaults.push(word.name.clone());
                column.default = reader.sql(word).map(|text| Default::Expression(bracketed(&text)));
            }
            "check" => column.check = reader.sql(word),
            "collate" => column.collate = reader.name(word),
            "generated" => {
                column.generated = reader.sql(word).map(|expression| Generated { expression, stored: false });
            }
            "stored" => stored = reader.flag(word).then(|| word.name.clone()),
            "type" => {
                type_said = true;
                said.type_text = Some(word.place());
                if let Some(text) = reader.sql(word) {
                    column.sql_type = SqlType::written(text.trim());
                }
            }
            _ => target.read(reader, word),
        }
    }
    if !has_name && let Some(why) = bad_name(&name) {
        reader.mistake(
            Mistake::new(ident, format!("this name {why}")).help("name the column: `#[column(name = \"…\")]`"),
        );
    }
    if !type_said {
        said.column.sql_type = field_type(reader, inner.unwrap_or(&field.ty), nullable);
    }
    said.column.autoincrement = said.autoincrement.is_some();
    said.column.references = target.finish(reader, seen.contains("references"), nullable);
    if let Some(generated) = &mut said.column.generated {
        generated.stored = stored.is_some();
        for word in defaults.iter().chain(&said.primary_key).chain(&said.autoincrement) {
            let message = format!("a generated column has no `{word}`: its value is computed");
            reader.mistake(Mistake::new(word, message).help("leave one of them out"));
        }
    } else if let Some(word) = stored.filter(|_| !seen.contains("generated")) {
        reader.mistake(
            Mistake::new(&word, "`stored` says how a generated column is kept, and this one is not generated")
                .help("add `generated = \"…\"`, or leave `stored` out"),
        );
    }
    if let [_, second] = &defaults[..] {
        reader.mistake(Mistake::new(second, "this column has two defaults").help("leave one of them out"));
    }
    truth_in_numbers(reader, &said, &words);
    Some(said)
}

fn field_type(reader: &mut Reader, ty: &syn::Type, nullable: bool) -> SqlType {
    if let Some(known) = column_type(ty) {
        return known;
    }
    let mistake = if nullable && within_option(ty).is_some() {
        Mistake::with(UNKNOWN_TYPE, ty, "an `Option` within an `Option` has no column type")
            .help("make it one `Option`: a column has one NULL")
    } else {
        Mistake::with(UNKNOWN_TYPE, ty, format!("`{}` has no column type", shown(ty)))
            .help("say which one it is stored in: `#[column(type = \"TEXT\")]`")
            .help("or leave the field out of the table: `#[column(skip)]`")
    };
    reader.mistake(mistake);
    SqlType::written("BLOB")
}

fn default(reader: &mut Reader, word: &Word) -> Option<Default> {
    let Value::Literal { negative, literal } = &word.value else {
        reader.mistake(
            Mistake::new(&word.place(), "a default is a number, a text, `true` or `false`")
                .help("write such a value, or SQL: `default_sql = \"(datetime('now'))\"`"),
        );
        return None;
    };
    let sign = if *negative { "-" } else { "" };
    match literal {
        Lit::Int(number) => {
            let digits = format!("{sign}{}", number.base10_digits());
            if digits.parse::<i64>().is_ok() {
                return Some(Default::Number(digits));
            }
            reader.mistake(
                Mistake::new(literal, "this number does not fit into 64 bits")
                    .help("write a smaller one, or one with a decimal point"),
            );
            None
        }
        Lit::Float(number) => Some(Default::Number(format!("{sign}{}", number.base10_digits()))),
        Lit::Bool(value) => Some(Default::Truth(value.value)),
        Lit::Str(text) if !text.value().contains('\0') => Some(Default::Text(text.value())),
        _ => {
            reader.mistake(
                Mistake::new(literal, "a default is a number, a text without a NUL, `true` or `false`")
                    .help("write such a value, or SQL: `default_sql = \"x'00ff'\"`"),
            );
            None
        }
    }
}

/// A column of truth values takes no other number than 0 and 1, which PostgreSQL has other words for.
fn truth_in_numbers(reader: &mut Reader, said: &Said, words: &[Word]) {
    if let Some(Default::Number(number)) = &said.column.default
        && said.column.sql_type.is_boolean()
        && !matches!(number.as_str(), "0" | "1")
        && let Some(word) = words.iter().find(|word| word.text() == "default")
    {
        reader.mistake(
            Mistake::new(&word.place(), format!("`{number}` is no truth value"))
                .help("write `default = true` or `default = false`"),
        );
    }
}
