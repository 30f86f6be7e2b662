//! What comes back is what was there, and nothing else: whatever a table is, wherever the version table is, whoever was
//! given something since.

use super::world::{World, same};
use crate::server::Server;

const PARTITIONED: &str = "CREATE TABLE pt (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day); \
    CREATE TABLE pt_rest PARTITION OF pt DEFAULT; INSERT INTO pt VALUES (1, '2026-03-04')";

pub fn a_partitioned_table_goes_and_comes_back(server: &Server) {
    let world = World::of(server, ", scratch = true");
    world.fill();
    world.run(&["backup", "--to", "without.dump"]).done();
    let without = world.dump();
    world.does(PARTITIONED);
    world.run(&["backup", "--to", "with.dump"]).done();
    let with = world.dump();
    world.does("INSERT INTO pt VALUES (2, '2026-03-05')");
    world.run(&["restore", "with.dump", "--yes"]).done();
    same(&world.dump(), &with);
    // A backup that is older than the table is without it.
    world.run(&["restore", "without.dump", "--yes"]).done();
    same(&world.dump(), &without);
    // And so is a scratch database that is begun anew.
    world.does(PARTITIONED);
    world.run(&["reset"]).done();
    assert_eq!(world.database.tables(), "todos");
}
