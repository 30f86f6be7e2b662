//! A shop at the command line. Each of three libraries keeps tables of its own in one database; here they come together.
//! `SHOP_DATABASE` names the database file.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use migrate_runtime::{Joined, Migrations};
use rusqlite::Connection;

/// How the tables of all libraries came about. They are applied together, each after those that it depends on.
static MIGRATIONS: Joined<3> = Migrations::join([&accounts::MIGRATIONS, &catalog::MIGRATIONS, &orders::MIGRATIONS]);

const USAGE: &str = "usage: shop add-customer NAME [EMAIL]
       shop add-product NAME CENTS
       shop order CUSTOMER PRODUCT [QUANTITY]
       shop list";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Result<Vec<String>, _> = env::args_os().skip(1).map(|argument| argument.into_string()).collect();
    let arguments = arguments.map_err(|argument| format!("{} is not UTF-8", argument.display()))?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["add-customer", name] => added("customer", accounts::add(&open()?, name, None)?),
        ["add-customer", name, email] => added("customer", accounts::add(&open()?, name, Some(email))?),
        ["add-product", name, cents] => added("product", catalog::add(&open()?, name, number(cents)?)?),
        ["order", customer, product] => order(customer, product, 1)?,
        ["order", customer, product, quantity] => order(customer, product, number(quantity)?)?,
        ["list"] => {
            for line in orders::list(&open()?)? {
                let (euros, cents) = (line.total / 100, line.total % 100);
                println!("{}: {} x {}, {euros}.{cents:02}", line.customer, line.quantity, line.product);
            }
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

/// Opens the database with all that this program knows of applied to it. Where all of it is, this costs three look-ups.
fn open() -> Result<Connection, Box<dyn Error>> {
    let mut connection = Connection::open(env::var_os("SHOP_DATABASE").unwrap_or_else(|| "shop.db".into()))?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    MIGRATIONS.upgrade(&mut connection)?;
    Ok(connection)
}

fn order(customer: &str, product: &str, quantity: i64) -> Result<(), Box<dyn Error>> {
    let connection = open()?;
    let customer_id =
        accounts::find(&connection, customer)?.ok_or_else(|| format!("there is no customer `{customer}`"))?;
    let product_id = catalog::find(&connection, product)?.ok_or_else(|| format!("there is no product `{product}`"))?;
    added("order", orders::add(&connection, customer_id, product_id, quantity)?);
    Ok(())
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|error| format!("`{text}` is no number: {error}"))
}

fn added(what: &str, id: i64) {
    println!("{what} {id}");
}
