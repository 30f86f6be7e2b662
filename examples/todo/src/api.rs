//! The routes: what a client can ask for, what is refused, and as which status.
//!
//! Every answer that has a body is JSON; an error's is `{"error": "…"}`.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rusqlite::ErrorCode;
use serde::{Deserialize, Serialize};

use crate::models::{Todo, User};
use crate::store::{self, Page, Store, TodoFilter};

/// The longest body that is read, in bytes.
const MAX_BODY: usize = 16 * 1024;
/// The longest name or title, in characters.
const MAX_TEXT: usize = 200;
/// The most urgent priority.
const MAX_PRIORITY: i64 = 9;
/// How many entries a list has where the client does not say.
const DEFAULT_PAGE: u32 = 100;
/// How many entries a list has at most.
const MAX_PAGE: u32 = 1000;

/// The whole API on one database.
pub fn router(store: Arc<Store>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/users", post(add_user).get(list_users))
        .route("/todos", post(add_todo).get(list_todos))
        .route("/todos/{id}", get(read_todo).patch(change_todo).delete(delete_todo))
        .fallback(async || Error::new(StatusCode::NOT_FOUND, "there is nothing here"))
        .method_not_allowed_fallback(async || Error::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method"))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(store)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTodo {
    user_id: i64,
    title: String,
    #[serde(default)]
    priority: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TodoChange {
    title: Option<String>,
    done: Option<bool>,
    priority: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserQuery {
    limit: Option<u32>,
    offset: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TodoQuery {
    user_id: Option<i64>,
    done: Option<bool>,
    limit: Option<u32>,
    offset: Option<u32>,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

type Created<T> = (StatusCode, [(HeaderName, String); 1], Json<T>);

async fn health(State(store): State<Arc<Store>>) -> Result<Json<Health>, Error> {
    match blocking(store, |store| Ok(store.missing()?)).await? {
        None => Ok(Json(Health { status: "ok" })),
        Some(missing) => Err(Error::new(StatusCode::SERVICE_UNAVAILABLE, format!("the database has no {missing}"))),
    }
}

async fn add_user(
    State(store): State<Arc<Store>>,
    body: Result<Json<NewUser>, JsonRejection>,
) -> Result<Created<User>, Error> {
    let Json(new) = body?;
    let name = text("name", &new.name)?;
    let user = blocking(store, move |store| store.add_user(&name)).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, "/users".to_owned())], Json(user)))
}

async fn list_users(
    State(store): State<Arc<Store>>,
    query: Result<Query<UserQuery>, QueryRejection>,
) -> Result<Json<Vec<User>>, Error> {
    let Query(query) = query?;
    let page = page(query.limit, query.offset)?;
    Ok(Json(blocking(store, move |store| store.users(&page)).await?))
}

async fn add_todo(
    State(store): State<Arc<Store>>,
    body: Result<Json<NewTodo>, JsonRejection>,
) -> Result<Created<Todo>, Error> {
    let Json(new) = body?;
    let new =
        store::NewTodo { user_id: new.user_id, title: text("title", &new.title)?, priority: priority(new.priority)? };
    let todo = blocking(store, move |store| store.add_todo(new)).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/todos/{}", todo.id))], Json(todo)))
}

async fn list_todos(
    State(store): State<Arc<Store>>,
    query: Result<Query<TodoQuery>, QueryRejection>,
) -> Result<Json<Vec<Todo>>, Error> {
    let Query(query) = query?;
    let page = page(query.limit, query.offset)?;
    let filter = TodoFilter { user_id: query.user_id, done: query.done };
    Ok(Json(blocking(store, move |store| store.todos(&filter, &page)).await?))
}

async fn read_todo(State(store): State<Arc<Store>>, id: Result<Path<i64>, PathRejection>) -> Result<Json<Todo>, Error> {
    let Path(id) = id?;
    Ok(Json(blocking(store, move |store| store.todo(id)).await?))
}

async fn change_todo(
    State(store): State<Arc<Store>>,
    id: Result<Path<i64>, PathRejection>,
    body: Result<Json<TodoChange>, JsonRejection>,
) -> Result<Json<Todo>, Error> {
    let Path(id) = id?;
    let Json(change) = body?;
    let change = store::TodoChange {
        title: change.title.map(|title| text("title", &title)).transpose()?,
        done: change.done,
        priority: change.priority.map(priority).transpose()?,
    };
    Ok(Json(blocking(store, move |store| store.change_todo(id, &change)).await?))
}

async fn delete_todo(
    State(store): State<Arc<Store>>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<StatusCode, Error> {
    let Path(id) = id?;
    blocking(store, move |store| store.delete_todo(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks the database on a thread that may wait, so that the threads which serve others need not.
async fn blocking<T, F>(store: Arc<Store>, ask: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce(&Store) -> Result<T, store::Error> + Send + 'static,
{
    match tokio::task::spawn_blocking(move || ask(&store)).await {
        Ok(answer) => Ok(answer?),
        Err(error) => Err(Error::internal(&error)),
    }
}

/// A name or title without the white space around it, refused where nobody could read it.
fn text(field: &str, value: &str) -> Result<String, Error> {
    let value = value.trim();
    if value.is_empty() {
        return Err(Error::invalid(format!("the {field} is empty")));
    }
    if value.chars().count() > MAX_TEXT {
        return Err(Error::invalid(format!("the {field} is longer than {MAX_TEXT} characters")));
    }
    if value.chars().any(char::is_control) {
        return Err(Error::invalid(format!("the {field} has control characters in it")));
    }
    Ok(value.to_owned())
}

fn priority(value: i64) -> Result<i64, Error> {
    if (0..=MAX_PRIORITY).contains(&value) {
        Ok(value)
    } else {
        Err(Error::invalid(format!("the priority is not between 0 and {MAX_PRIORITY}")))
    }
}

fn page(limit: Option<u32>, offset: Option<u32>) -> Result<Page, Error> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if limit > MAX_PAGE {
        return Err(Error::invalid(format!("the limit is above {MAX_PAGE}")));
    }
    Ok(Page { limit, offset: offset.unwrap_or(0) })
}

/// What a client is told when it does not get what it asked for.
struct Error {
    status: StatusCode,
    message: String,
}

impl Error {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Error { status, message: message.into() }
    }

    fn invalid(message: String) -> Self {
        Error::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// The cause is for whoever runs the server; the client learns only that it was not their fault.
    fn internal(cause: &dyn std::error::Error) -> Self {
        eprintln!("error: {cause}");
        Error::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong in the server")
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: String,
        }
        (self.status, Json(Body { error: self.message })).into_response()
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let status = match &error {
            store::Error::NoSuchTodo(_) => StatusCode::NOT_FOUND,
            store::Error::NoSuchUser(_) => StatusCode::UNPROCESSABLE_ENTITY,
            store::Error::NameTaken(_) => StatusCode::CONFLICT,
            store::Error::Database(cause) if cause.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                return Error::new(StatusCode::SERVICE_UNAVAILABLE, "the database is busy; try again");
            }
            store::Error::Database(cause) => return Error::internal(cause),
        };
        Error::new(status, error.to_string())
    }
}

impl From<JsonRejection> for Error {
    fn from(rejection: JsonRejection) -> Self {
        Error::new(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Error {
    fn from(rejection: PathRejection) -> Self {
        Error::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Error {
    fn from(rejection: QueryRejection) -> Self {
        Error::new(rejection.status(), rejection.body_text())
    }
}
