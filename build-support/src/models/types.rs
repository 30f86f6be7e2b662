//! Which column a Rust type is stored in.
//!
//! | Rust | SQLite | PostgreSQL |
//! |---|---|---|
//! | `i8`, `i16`, `u8` | `INTEGER` | `SMALLINT` |
//! | `i32`, `u16` | `INTEGER` | `INTEGER` |
//! | `i64`, `u32` | `INTEGER` | `BIGINT` |
//! | `f32` | `REAL` | `REAL` |
//! | `f64` | `REAL` | `DOUBLE PRECISION` |
//! | `bool` | `INTEGER` | `BOOLEAN` |
//! | `String`, `str` behind `&`, `Box`, `Rc`, `Arc`, `Cow` | `TEXT` | `TEXT` |
//! | `Vec<u8>`, `[u8; N]`, `[u8]` behind `&`, `Box`, `Rc`, `Arc`, `Cow` | `BLOB` | `BYTEA` |
//! | `chrono::NaiveDate`, `time::Date`, `jiff::civil::Date` | `TEXT` | `DATE` |
//! | `chrono::NaiveTime`, `time::Time`, `jiff::civil::Time` | `TEXT` | `TIME` |
//! | `chrono::NaiveDateTime`, `time::PrimitiveDateTime`, `jiff::civil::DateTime` | `TEXT` | `TIMESTAMP` |
//! | `chrono::DateTime<Tz>`, `time::OffsetDateTime`, `time::UtcDateTime`, `jiff::Timestamp` | `TEXT` | `TIMESTAMPTZ` |
//! | `jiff::Zoned` | `TEXT` | `TEXT` |
//! | `Uuid` | `BLOB` | `UUID` |
//! | `Decimal` | `TEXT` | `NUMERIC` |
//! | `serde_json::Value`, `Json<T>` | `TEXT` | `JSONB` |
//!
//! `Option<T>` is a `T` that may be NULL. A type is known by the last name of its path, since a macro sees no more than
//! that: another type of such a name needs `#[column(type = "…")]`. `u64`, `usize` and the 128-bit integers are left
//! out, for no column of either database holds all their values.

use quote::ToTokens as _;
use syn::{GenericArgument, PathArguments, PathSegment, Type};

/// What a column's type is called in each dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlType {
    /// In SQLite.
    pub sqlite: String,
    /// In PostgreSQL.
    pub postgres: String,
}

impl SqlType {
    fn of(sqlite: &str, postgres: &str) -> Self {
        Self { sqlite: sqlite.to_owned(), postgres: postgres.to_owned() }
    }

    /// A type that is written the same for both.
    pub(super) fn written(text: &str) -> Self {
        Self::of(text, text)
    }

    /// Whether SQLite takes a primary key of this type for the row's own number, and PostgreSQL can count it up.
    pub(super) fn is_integer(&self) -> bool {
        self.sqlite.eq_ignore_ascii_case("INTEGER") && !self.is_boolean()
    }

    /// Whether PostgreSQL knows truth from numbers in it.
    pub(super) fn is_boolean(&self) -> bool {
        ["BOOLEAN", "BOOL"].iter().any(|name| self.postgres.eq_ignore_ascii_case(name))
    }
}

/// The type within an `Option`.
pub(super) fn within_option(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = bare(ty) else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Option")?;
    match arguments(last)[..] {
        [only] => Some(only),
        _ => None,
    }
}

/// The column type of a Rust type that is no `Option`; `None` where it has none.
pub(super) fn column_type(ty: &Type) -> Option<SqlType> {
    let (sqlite, postgres) = match bare(ty) {
        Type::Reference(reference) if reference.mutability.is_none() => unsized_type(&reference.elem)?,
        Type::Array(array) if is_named(&array.elem, "u8") => BYTES,
        Type::Path(path) if path.qself.is_none() => named(path.path.segments.last()?)?,
        _ => return None,
    };
    Some(SqlType::of(sqlite, postgres))
}

const TEXT: (&str, &str) = ("TEXT", "TEXT");
const BYTES: (&str, &str) = ("BLOB", "BYTEA");

fn named(segment: &PathSegment) -> Option<(&'static str, &'static str)> {
    let name = segment.ident.to_string();
    Some(match (name.as_str(), &arguments(segment)[..]) {
        ("i8" | "i16" | "u8", []) => ("INTEGER", "SMALLINT"),
        ("i32" | "u16", []) => ("INTEGER", "INTEGER"),
        ("i64" | "u32", []) => ("INTEGER", "BIGINT"),
        ("f32", []) => ("REAL", "REAL"),
        ("f64", []) => ("REAL", "DOUBLE PRECISION"),
        ("bool", []) => ("INTEGER", "BOOLEAN"),
        ("String", []) => TEXT,
        ("Vec", [item]) if is_named(item, "u8") => BYTES,
        ("Box" | "Rc" | "Arc" | "Cow", [inner]) => unsized_type(inner)?,
        ("NaiveDate" | "Date", []) => ("TEXT", "DATE"),
        ("NaiveTime" | "Time", []) => ("TEXT", "TIME"),
        ("NaiveDateTime" | "PrimitiveDateTime" | "DateTime", []) => ("TEXT", "TIMESTAMP"),
        ("DateTime", [_]) | ("OffsetDateTime" | "UtcDateTime" | "Timestamp", []) => ("TEXT", "TIMESTAMPTZ"),
        ("Zoned", []) => TEXT,
        ("Uuid", []) => ("BLOB", "UUID"),
        ("Decimal", []) => ("TEXT", "NUMERIC"),
        ("Value", []) | ("Json", [_]) => ("TEXT", "JSONB"),
        _ => return None,
    })
}

/// What stands behind a pointer: `str` or `[u8]`.
fn unsized_type(ty: &Type) -> Option<(&'static str, &'static str)> {
    match bare(ty) {
        Type::Slice(slice) if is_named(&slice.elem, "u8") => Some(BYTES),
        ty if is_named(ty, "str") => Some(TEXT),
        _ => None,
    }
}

fn is_named(ty: &Type, name: &str) -> bool {
    matches!(bare(ty), Type::Path(path) if path.path.is_ident(name))
}

fn arguments(segment: &PathSegment) -> Vec<&Type> {
    match &segment.arguments {
        PathArguments::AngleBracketed(list) => {
            let types = list.args.iter().filter_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            });
            types.collect()
        }
        _ => Vec::new(),
    }
}

/// A type without round brackets, and without the invisible ones that a macro's `$t:ty` puts around it.
fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
    }
}

/// A type as people write it.
pub(super) fn shown(ty: &Type) -> String {
    let spaced = ty.to_token_stream().to_string();
    let mut text = String::new();
    let marks = ['<', '>', ':', '&', '[', ']', '(', ')', ';', ','];
    for piece in spaced.split(' ').filter(|piece| !piece.is_empty()) {
        let glued = text.ends_with(['<', ':', '&', '[', '('])
            || piece.starts_with(marks) && !piece.starts_with(['&', '[', '(']);
        if !text.is_empty() && !glued {
            text.push(' ');
        }
        text.push_str(piece);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(rust: &str) -> Option<(String, String)> {
        let ty: Type = syn::parse_str(rust).unwrap();
        column_type(&ty).map(|ty| (ty.sqlite, ty.postgres))
    }

    #[test]
    fn every_row_of_the_table_holds() {
        for (rust, sqlite, postgres) in [
            ("i8", "INTEGER", "SMALLINT"),
            ("i16", "INTEGER", "SMALLINT"),
            ("u8", "INTEGER", "SMALLINT"),
            ("i32", "INTEGER", "INTEGER"),
            ("u16", "INTEGER", "INTEGER"),
            ("i64", "INTEGER", "BIGINT"),
            ("u32", "INTEGER", "BIGINT"),
            ("f32", "REAL", "REAL"),
            ("f64", "REAL", "DOUBLE PRECISION"),
            ("bool", "INTEGER", "BOOLEAN"),
            ("String", "TEXT", "TEXT"),
            ("std::string::String", "TEXT", "TEXT"),
            ("&'static str", "TEXT", "TEXT"),
            ("Box<str>", "TEXT", "TEXT"),
            ("Arc<str>", "TEXT", "TEXT"),
            ("Cow<'a, str>", "TEXT", "TEXT"),
            ("Vec<u8>", "BLOB", "BYTEA"),
            ("[u8; 16]", "BLOB", "BYTEA"),
            ("Box<[u8]>", "BLOB", "BYTEA"),
            ("&'a [u8]", "BLOB", "BYTEA"),
            ("chrono::NaiveDate", "TEXT", "DATE"),
            ("time::Date", "TEXT", "DATE"),
            ("NaiveTime", "TEXT", "TIME"),
            ("NaiveDateTime", "TEXT", "TIMESTAMP"),
            ("jiff::civil::DateTime", "TEXT", "TIMESTAMP"),
            ("chrono::DateTime<chrono::Utc>", "TEXT", "TIMESTAMPTZ"),
            ("OffsetDateTime", "TEXT", "TIMESTAMPTZ"),
            ("jiff::Timestamp", "TEXT", "TIMESTAMPTZ"),
            ("jiff::Zoned", "TEXT", "TEXT"),
            ("uuid::Uuid", "BLOB", "UUID"),
            ("rust_decimal::Decimal", "TEXT", "NUMERIC"),
            ("serde_json::Value", "TEXT", "JSONB"),
            ("sqlx::types::Json<Settings>", "TEXT", "JSONB"),
            ("(i64)", "INTEGER", "BIGINT"),
        ] {
            assert_eq!(columns(rust), Some((sqlite.to_owned(), postgres.to_owned())), "{rust}");
        }
    }

    #[test]
    fn what_no_column_holds_has_no_type() {
        for rust in [
            "u64",
            "usize",
            "isize",
            "i128",
            "u128",
            "char",
            "Vec<String>",
            "Vec<u8, A>",
            "[u16; 4]",
            "&mut str",
            "HashMap<String, i64>",
            "String<u8>",
            "()",
            "fn()",
            "Box<i64>",
            "<X as Y>::String",
        ] {
            assert_eq!(columns(rust), None, "{rust}");
        }
    }

    #[test]
    fn a_type_is_shown_as_people_write_it() {
        for rust in [
            "u64",
            "Vec<String>",
            "HashMap<String, Vec<u8>>",
            "std::time::Duration",
            "[u16; 4]",
            "&'a mut str",
            "(i64, String)",
        ] {
            assert_eq!(shown(&syn::parse_str(rust).unwrap()), rust);
        }
    }
}
