//! The room for `embed!` and `derive(Table)`, which check migrations while a program is compiled.
//!
//! It exports nothing yet: what a macro needs to know of a migrations folder already lives in `build-support`,
//! which the macros will share with the command and the build-script guard so that the three cannot disagree.
