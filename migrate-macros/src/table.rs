//! `derive(Table)`: the constants of a struct that is a table.
//!
//! What a struct says is read by `build-support`, and so are its mistakes. What another struct's table is called is known
//! to the compiler alone: there the statement is put together from pieces while the program is compiled, and a path
//! that leads to no table is the compiler's to refuse, at the path.

use build_support::models::attributes;
use build_support::models::ddl::{Piece, create_indexes, create_table};
use build_support::models::table::{ParentField, Table};
use build_support::models::{Dialect, Mistake, ident};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt as _;
use syn::{DeriveInput, Ident, Path, parse_quote};

pub(crate) fn expand(input: proc_macro::TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse(input) {
        Ok(input) => input,
        Err(error) => return error.to_compile_error(),
    };
    match attributes::read(&input) {
        Ok(table) => constants(&input, &table),
        Err(mistakes) => mistakes.iter().map(shown).collect(),
    }
}

/// A mistake as an error at its tokens.
fn shown(mistake: &Mistake) -> TokenStream {
    syn::Error::new_spanned(&mistake.at, mistake.problem.plain_lines().join("\n")).to_compile_error()
}

fn constants(input: &DeriveInput, table: &Table) -> TokenStream {
    let (name, visibility) = (&input.ident, &input.vis);
    let (impl_generics, type_generics, bounds) = input.generics.split_for_impl();
    let runtime: Path = table.runtime.clone().unwrap_or_else(|| parse_quote!(::migrate_runtime));
    let table_name = &table.name;
    let table_in_sql = ident(table_name);
    let columns = table.columns.iter().map(|column| &column.name);
    let hidden = table.columns.iter().map(|column| {
        let (constant, in_sql) = (constant_of(&column.field), ident(&column.name));
        quote! { #[doc(hidden)] #visibility const #constant: &'static str = #in_sql; }
    });
    let statement = |dialect| statement(&create_table(table, dialect), name, &runtime);
    let (sqlite, postgres) = (statement(Dialect::Sqlite), statement(Dialect::Postgres));
    let indexes = create_indexes(table);
    quote! {
        #[automatically_derived]
        #[allow(dead_code, elided_lifetimes_in_paths, non_upper_case_globals)]
        impl #impl_generics #name #type_generics #bounds {
            /// The table's name.
            #visibility const NAME: &'static str = #table_name;
            /// The names of the columns, in the order of the fields.
            #visibility const COLUMNS: &'static [&'static str] = &[#(#columns),*];
            /// The statement that makes the table in SQLite.
            #visibility const CREATE_TABLE: &'static str = #sqlite;
            /// The statements that make its indexes in SQLite.
            #visibility const CREATE_INDEXES: &'static [&'static str] = &[#(#indexes),*];
            /// The statement that makes the table in PostgreSQL.
            #visibility const CREATE_TABLE_POSTGRES: &'static str = #postgres;
            /// The statements that make its indexes in PostgreSQL.
            #visibility const CREATE_INDEXES_POSTGRES: &'static [&'static str] = &[#(#indexes),*];
            #(#hidden)*
        }

        #[automatically_derived]
        impl #impl_generics #runtime::__models::IsTable for #name #type_generics #bounds {
            const IN_SQL: &'static str = #table_in_sql;
        }
    }
}

/// The constant that holds what a field's column is called in SQL. At the field's place, so that a reference to a field
/// that is no column is an error there.
fn constant_of(field: &Ident) -> Ident {
    format_ident!("__COLUMN_{}", field.unraw(), span = field.span())
}

/// An expression for a statement: a literal, or the pieces joined.
fn statement(pieces: &[Piece], name: &Ident, runtime: &Path) -> TokenStream {
    if let [Piece::Text(text)] = pieces {
        return quote! { #text };
    }
    let pieces = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => quote! { #text },
        Piece::Field(ParentField { table, field }) => {
            // `Self` means nothing inside the constants that the pieces stand in.
            let table = if table.is_ident("Self") { Path::from(name.clone()) } else { table.clone() };
            let column = constant_of(field);
            quote! { <#table as #runtime::__models::IsTable>::IN_SQL, " (", <#table>::#column, ")" }
        }
    });
    quote! {{
        const PIECES: &[&str] = &[#(#pieces),*];
        const BYTES: [u8; #runtime::__models::length(PIECES)] = #runtime::__models::join(PIECES);
        #runtime::__models::text(&BYTES)
    }}
}
