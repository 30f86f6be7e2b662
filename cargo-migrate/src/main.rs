//! The `cargo-migrate` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "the arguments are read once, here")]
    let arguments = std::env::args_os();
    cargo_migrate::main(arguments).into()
}
