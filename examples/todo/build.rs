//! Refuses to build when a migration was edited after it was applied, to this checkout's own database too.

fn main() {
    build_support::guard::Guard::new("migrations").database("todo.db").run();
}
