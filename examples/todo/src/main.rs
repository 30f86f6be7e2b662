//! The to-do server: `TODO_DATABASE` names the database file and `TODO_ADDRESS` where to listen.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use todo::{api, store::Store};
use tokio::net::TcpListener;

struct Settings {
    database: PathBuf,
    address: String,
}

impl Settings {
    fn from_environment() -> Result<Self, String> {
        let database = env::var_os("TODO_DATABASE").unwrap_or_else(|| "todo.db".into()).into();
        let address = match env::var("TODO_ADDRESS") {
            Ok(address) => address,
            Err(env::VarError::NotPresent) => "127.0.0.1:3000".to_owned(),
            Err(error) => return Err(format!("TODO_ADDRESS cannot be read: {error}")),
        };
        Ok(Settings { database, address })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let Settings { database, address } = Settings::from_environment()?;
    let store = Arc::new(Store::open(&database)?);
    let listener =
        TcpListener::bind(&address).await.map_err(|error| format!("cannot listen on `{address}`: {error}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, api::router(store)).with_graceful_shutdown(interrupted()).await?;
    println!("stopped");
    Ok(())
}

/// Ends at Ctrl-C. Requests under way are answered before the server stops; a second Ctrl-C does not wait for them.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Where the signal cannot be listened for, it ends the process as it does any other.
        return std::future::pending().await;
    }
    tokio::spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
}
