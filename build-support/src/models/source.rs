//! Models from source files, without compiling them.
//!
//! A file is read as tokens, and a struct as the derive would read it. What stands between is not looked at, so that a
//! file with the newest syntax is read as well; and so is what stands in the body of a function or a macro.
//!
//! ```
//! use std::path::PathBuf;
//! use build_support::models::{Dialect, source};
//!
//! let text = "#[derive(Table)] struct Todo { #[column(primary_key)] id: i64, title: Option<String> }";
//! let models = source::read(&[(PathBuf::from("src/models.rs"), text.to_owned())])?;
//! let mut script = String::new();
//! for model in &models {
//!     script += &format!("{};\n", model.create_table(Dialect::Sqlite));
//!     for index in model.indexes(Dialect::Sqlite) {
//!         script += &format!("{index};\n");
//!     }
//! }
//! assert_eq!(script, "CREATE TABLE todo (\n    id INTEGER PRIMARY KEY,\n    title TEXT\n);\n");
//! # Ok::<(), Vec<build_support::problem::Problem>>(())
//! ```

mod items;
mod order;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::{Attribute, Data, DeriveInput, Fields, Meta, Token};

use super::column::shown_path;
use super::ddl::{Piece, create_indexes, create_table};
use super::names::ident;
use super::table::{Constraint, Parent, ParentField, Table};
use super::{DUPLICATE_TABLE, Mistake, Model, ModelColumn, NOT_RUST, UNKNOWN_REFERENCE, Written, attributes};
use crate::directory::TOO_LARGE;
use crate::problem::{Place, Problem, nearest};

/// The largest source file that is read, in bytes.
pub const LARGEST_FILE: usize = 4 * 1024 * 1024;

/// Reads the models of files, each the path that messages name and its text with `\n` at the ends of its lines.
///
/// Every struct is read whose `derive` names `Table`, in modules too, but not what is for tests alone (`#[cfg(test)]`).
/// Of any other `cfg` it is taken that it holds. Models come in an order in which those that others refer to stand
/// before them, as far as there is one, and else in the order of reading.
///
/// # Errors
/// Everything that is wrong with any of the structs, and files that are too large or not Rust.
pub fn read(files: &[(PathBuf, String)]) -> Result<Vec<Model>, Vec<Problem>> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (path, text) in files.iter().filter(|(_, text)| text.contains("Table")) {
        let file = File { path, text: Arc::from(text.as_str()) };
        match file.inputs() {
            Ok(inputs) => {
                for input in inputs {
                    match attributes::read(&input) {
                        Ok(table) => found.push(Found { table, file: file.clone() }),
                        Err(mistakes) => problems.extend(file.problems(mistakes)),
                    }
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    // A struct that could not be read would be missed by those that refer to it.
    if problems.is_empty() {
        problems = duplicates(&found);
        problems.extend(found.iter().flat_map(|one| one.check_references(&found)));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let models: Vec<Model> = found.iter().map(|one| one.model(&found)).collect();
    let parents: Vec<Vec<usize>> = found.iter().map(|one| one.parents(&found)).collect();
    Ok(order::parents_first(&parents).into_iter().map(|at| models[at].clone()).collect())
}

/// A source file.
#[derive(Clone)]
struct File<'a> {
    path: &'a Path,
    text: Arc<str>,
}

impl File<'_> {
    /// The structs that derive `Table`.
    fn inputs(&self) -> Result<Vec<DeriveInput>, Problem> {
        if self.text.len() > LARGEST_FILE {
            let message = format!("this file is larger than {} MiB", LARGEST_FILE / (1024 * 1024));
            return Err(Problem::new(TOO_LARGE, message)
                .in_file(self.path)
                .help("put the models into a file of their own, and name it in `models`"));
        }
        let unread = |message: String, span: Span| {
            Problem::new(NOT_RUST, message).at(self.span(span, span)).help("see what `cargo check` says")
        };
        let tokens: TokenStream = without_first_line(&self.text).parse().map_err(|error: proc_macro2::LexError| {
            unread("this file is not Rust from here".to_owned(), error.span())
        })?;
        let mut inputs = Vec::new();
        for item in items::deriving(tokens, "Table") {
            if let Some(span) = items::too_deep(&item) {
                return Err(unread("this is nested too deeply".to_owned(), span));
            }
            let input: DeriveInput = syn::parse2(item).map_err(|error| unread(error.to_string(), error.span()))?;
            inputs.push(as_compiled(input));
        }
        Ok(inputs)
    }

    /// Mistakes with their places, in the order of the text.
    fn problems(&self, mistakes: Vec<Mistake>) -> Vec<Problem> {
        let mut problems: Vec<Problem> =
            mistakes.into_iter().map(|mistake| mistake.problem.at(self.place(&mistake.at))).collect();
        problems.sort_by_key(|problem| problem.places().first().and_then(Place::line_column));
        problems
    }

    fn place(&self, at: &TokenStream) -> Place {
        let mut spans = at.clone().into_iter().map(|token| token.span());
        let first = spans.next().unwrap_or_else(Span::call_site);
        self.span(first, spans.last().unwrap_or(first))
    }

    fn span(&self, first: Span, last: Span) -> Place {
        Place::span(self.path, self.text.clone(), first.byte_range().start..last.byte_range().end)
    }
}

/// A script's first line, `#!…`, is no Rust; it is blanked out, so that places stay as they are.
fn without_first_line(text: &str) -> std::borrow::Cow<'_, str> {
    let script = text.strip_prefix("#!").is_some_and(|rest| !rest.trim_start().starts_with('['));
    if !script {
        return text.into();
    }
    let end = text.find('\n').unwrap_or(text.len());
    format!("{}{}", " ".repeat(end), &text[end..]).into()
}

/// A struct as the derive is given it: `cfg_attr` opened, fields for tests alone left out.
fn as_compiled(mut input: DeriveInput) -> DeriveInput {
    input.attrs = opened(input.attrs);
    if let Data::Struct(data) = &mut input.data
        && let Fields::Named(fields) = &mut data.fields
    {
        let all = std::mem::take(&mut fields.named);
        for mut field in all {
            if !field.attrs.iter().any(|attribute| items::is_for_tests(&attribute.to_token_stream())) {
                field.attrs = opened(field.attrs);
                fields.named.push(field);
            }
        }
    }
    input
}

/// Attributes with those inside a `cfg_attr` in its place.
fn opened(attributes: Vec<Attribute>) -> Vec<Attribute> {
    let open = |attribute: Attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg_attr") => {
            let inner = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap_or_default();
            inner.into_iter().skip(1).map(|meta| Attribute { meta, ..attribute.clone() }).collect()
        }
        _ => vec![attribute],
    };
    attributes.into_iter().flat_map(open).collect()
}

/// A table and where it is from.
struct Found<'a> {
    table: Table,
    file: File<'a>,
}

impl Found<'_> {
    fn place(&self, at: &impl ToTokens) -> Place {
        self.file.place(&at.to_token_stream())
    }

    fn struct_name(&self) -> String {
        self.table.ident.unraw().to_string()
    }

    /// The tables that a path can mean: those of structs with its last name.
    fn meant<'f>(&self, parent: &ParentField, all: &'f [Found<'_>]) -> Vec<(usize, &'f Table)> {
        let last = parent.table.segments.last().map(|last| last.ident.unraw().to_string()).unwrap_or_default();
        let name = if last == "Self" { self.struct_name() } else { last };
        let named = all.iter().enumerate().filter(|(_, found)| found.struct_name() == name);
        named.map(|(at, found)| (at, &found.table)).collect()
    }

    fn fields(&self) -> impl Iterator<Item = &ParentField> {
        let targets = self.table.columns.iter().filter_map(|column| column.references.as_ref());
        targets.filter_map(|target| match &target.parent {
            Parent::Field(field) => Some(field),
            Parent::Text(_) => None,
        })
    }

    fn check_references(&self, all: &[Found<'_>]) -> Vec<Problem> {
        let check = |parent: &ParentField| {
            let shown = shown_path(&parent.table);
            match self.meant(parent, all)[..] {
                [] => {
                    let names: Vec<String> = all.iter().map(Found::struct_name).collect();
                    let problem =
                        Problem::new(UNKNOWN_REFERENCE, format!("no struct `{shown}` that derives `Table` was found"))
                            .at(self.place(&parent.table));
                    Some(match nearest(&shown, names.iter().map(String::as_str)) {
                        Some(near) => problem.help(format!("write `{near}::{}`", parent.field)),
                        None => problem
                            .help("name its file in `models` below `[package.metadata.migrate]`")
                            .help("or say it in SQL: `references = \"table (column)\"`"),
                    })
                }
                [(_, table)] => self.check_column(parent, table),
                [..] => {
                    let places = all.iter().filter(|found| found.struct_name() == shown_last(&shown));
                    let problem = Problem::new(UNKNOWN_REFERENCE, format!("several structs are named `{shown}`"))
                        .at(self.place(&parent.table))
                        .help("say it in SQL: `references = \"table (column)\"`");
                    Some(places.fold(problem, |problem, found| problem.at(found.place(&found.table.ident))))
                }
            }
        };
        self.fields().filter_map(check).collect()
    }

    fn check_column(&self, parent: &ParentField, table: &Table) -> Option<Problem> {
        let name = parent.field.unraw();
        if table.columns.iter().any(|column| column.field.unraw() == name) {
            return None;
        }
        let name = name.to_string();
        let fields: Vec<String> = table.columns.iter().map(|column| column.field.unraw().to_string()).collect();
        let problem = Problem::new(UNKNOWN_REFERENCE, format!("`{}` has no column for a field `{name}`", table.ident))
            .at(self.place(&parent.field));
        Some(match nearest(&name, fields.iter().map(String::as_str)) {
            Some(near) => problem.help(format!("write `{near}`")),
            None => problem.help(format!("its fields are {}", fields.join(", "))),
        })
    }

    /// The tables that this one refers to.
    fn parents(&self, all: &[Found<'_>]) -> Vec<usize> {
        let texts = self.table.columns.iter().filter_map(|column| column.references.as_ref());
        let keys = self.table.constraints.iter().filter_map(|constraint| match constraint {
            Constraint::ForeignKey(_, target) => Some(target),
            _ => None,
        });
        let parents = texts.chain(keys).flat_map(|target| match &target.parent {
            Parent::Field(field) => self.meant(field, all).into_iter().map(|(at, _)| at).collect::<Vec<_>>(),
            Parent::Text(text) => {
                let name = super::names::first_name(text).unwrap_or_default();
                let at = all.iter().position(|found| found.table.name.eq_ignore_ascii_case(&name));
                at.into_iter().collect()
            }
        });
        parents.collect()
    }

    fn model(&self, all: &[Found<'_>]) -> Model {
        let table = &self.table;
        let joined = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Field(parent) => {
                let meant = self.meant(parent, all);
                let named = meant.iter().find_map(|(_, table)| {
                    let column = table.columns.iter().find(|column| column.field.unraw() == parent.field.unraw())?;
                    Some(format!("{} ({})", ident(&table.name), ident(&column.name)))
                });
                named.unwrap_or_default()
            }
        };
        Model {
            struct_name: self.struct_name(),
            table: table.name.clone(),
            renamed_from: table.renamed_from.clone(),
            columns: table
                .columns
                .iter()
                .map(|column| ModelColumn {
                    name: column.name.clone(),
                    renamed_from: column.renamed_from.clone(),
                    place: self.place(&column.field),
                })
                .collect(),
            place: self.place(&table.ident),
            create_table: Written::of(|dialect| create_table(table, dialect).iter().map(joined).collect()),
            indexes: Written::of(|_| create_indexes(table)),
        }
    }
}

fn shown_last(shown: &str) -> &str {
    shown.rsplit("::").next().unwrap_or(shown)
}

fn duplicates(found: &[Found<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut first = std::collections::BTreeMap::new();
    for one in found {
        let other: &Found<'_> = first.entry(one.table.name.to_ascii_lowercase()).or_insert(one);
        if !std::ptr::eq(one, other) {
            problems.push(
                Problem::new(DUPLICATE_TABLE, format!("two structs are the table `{}`", one.table.name))
                    .at(one.place(&one.table.ident))
                    .at(other.place(&other.table.ident).label("the other one"))
                    .help("give one of them another name: `#[table(name = \"…\")]`"),
            );
        }
    }
    problems
}
