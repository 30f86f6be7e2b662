//! What a person and a program get to see.

pub mod shell;
pub mod suggest;
