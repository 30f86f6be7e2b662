//! The compile-time checks of cargo-migrate. They are used through `migrate-runtime`, whose macros hand the name of
//! their own crate along, so that a renamed dependency works.
//!
//! What a macro knows of a migrations folder lives in `build-support`, which the command and the build-script guard ask
//! too. It reads the folder that it is given and the variables `CARGO_MANIFEST_DIR`, `CARGO_PKG_NAME` and
//! `CARGO_MIGRATE_ALLOW_DRAFTS`. `derive(Table)`, behind the feature `models`, reads nothing but the struct.

mod arguments;
mod embed;
#[cfg(feature = "models")]
mod table;

use proc_macro::TokenStream;

/// What `migrate_runtime::embed!` expands to; see there.
#[proc_macro]
pub fn embed(input: TokenStream) -> TokenStream {
    embed::expand(input)
}

/// What `migrate_runtime::Table` derives; see there.
#[cfg(feature = "models")]
#[proc_macro_derive(Table, attributes(table, column))]
pub fn table(input: TokenStream) -> TokenStream {
    table::expand(input).into()
}
