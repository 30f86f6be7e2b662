//! `embed!`: checks the folder, and gives an expression that holds it.
//!
//! rustc runs the macro again when one of the files that it names in `include_str!` or `include_bytes!` changes. Each
//! migration is named so, and the lock, which gets a line for each new revision: that is how a new file is noticed
//! without a build script.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use build_support::build_time::{ALLOW_DRAFTS, Folder, is_packaged};
use build_support::directory::{LOCAL_FILE, LOCK_FILE, NO_FOLDER};
use build_support::problem::Problem;
use build_support::token::Dialect;
use proc_macro::{Delimiter, Group, Span, TokenStream, TokenTree};

use crate::arguments::{Arguments, Mistake};

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let arguments = match Arguments::read(input) {
        Ok(arguments) => arguments,
        Err(Mistake { message, span }) => return error(&message, span),
    };
    let span = arguments.span;
    match Surroundings::of_build() {
        None => error("embed! needs cargo: `CARGO_MANIFEST_DIR` is not set", span),
        Some(surroundings) => match expression(&arguments, &surroundings) {
            Ok(expression) => expression,
            Err(message) => error(&message, span),
        },
    }
}

/// What cargo tells of the package that is compiled.
struct Surroundings {
    root: PathBuf,
    package: String,
    allow_drafts: bool,
}

impl Surroundings {
    #[expect(clippy::disallowed_methods, reason = "a macro is told by the environment what is compiled")]
    fn of_build() -> Option<Self> {
        Some(Self {
            root: PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?),
            package: std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "main".to_owned()),
            allow_drafts: std::env::var_os(ALLOW_DRAFTS).is_some_and(|value| value == "1"),
        })
    }
}

fn expression(arguments: &Arguments, surroundings: &Surroundings) -> Result<TokenStream, String> {
    let root = &surroundings.root;
    let shown = |problems: Vec<Problem>| {
        let lines: Vec<String> = problems.iter().flat_map(Problem::plain_lines).collect();
        lines.join("\n")
    };
    let folder = Folder::read(root, Path::new(&arguments.folder), &surroundings.package).map_err(|problems| {
        let missing = problems.iter().any(|problem| problem.code() == NO_FOLDER);
        let place = format!("\n  note: looked for in {}", root.join(&arguments.folder).display());
        shown(problems) + if missing { &place } else { "" }
    })?;
    let problems = folder.problems();
    if !problems.is_empty() {
        return Err(shown(problems));
    }
    let packaged = is_packaged(root);
    let mut release_check = TokenStream::new();
    if let Some(problem) = folder.draft_problem(packaged) {
        let message = problem.plain_lines().join("\n");
        if packaged {
            return Err(message);
        }
        if !arguments.allow_drafts && !surroundings.allow_drafts {
            // Only rustc knows whether debug assertions are on for the crate that is compiled.
            release_check.extend(parsed("#[cfg(not(debug_assertions))]")?);
            release_check.extend(error(&message, arguments.span));
            release_check.extend(parsed(";")?);
        }
    }
    let mut body = release_check;
    body.extend(parsed(&items(&folder)?)?);
    body.extend(arguments.runtime.clone());
    body.extend(parsed(&value(&folder, arguments))?);
    Ok(TokenTree::Group(Group::new(Delimiter::Brace, body)).into())
}

fn parsed(code: &str) -> Result<TokenStream, String> {
    code.parse().map_err(|error| format!("embed! has written what rustc cannot read: {error}"))
}

/// What stands before the value: the files that rustc is to watch, and the texts.
fn items(folder: &Folder) -> Result<String, String> {
    let path = |name: &str| {
        let path = folder.directory.path().join(name);
        path.to_str().map(str::to_owned).ok_or_else(|| format!("the path {} is not UTF-8", path.display()))
    };
    let mut code = format!("const _: &[u8] = ::core::include_bytes!({:?});", path(LOCK_FILE)?);
    if folder.directory.path().join(LOCAL_FILE).is_file() {
        let _ = write!(code, "const _: &[u8] = ::core::include_bytes!({:?});", path(LOCAL_FILE)?);
    }
    let _ = write!(code, "const _: ::core::option::Option<&str> = ::core::option_env!({ALLOW_DRAFTS:?});");
    let mut revisions = String::new();
    for migration in folder.graph.migrations() {
        let file = path(&migration.path.file_name().unwrap_or_default().to_string_lossy())?;
        let text = if migration.verbatim {
            format!("::core::include_str!({file:?})")
        } else {
            // What runs and is stored is the text that was hashed, whatever line endings this checkout has.
            let _ = write!(code, "const _: &[u8] = ::core::include_bytes!({file:?});");
            format!("{:?}", folder.directory.text(migration).map_err(|problem| problem.to_string())?)
        };
        let _ = write!(revisions, "({:?}, {text}),", migration.id.as_str());
    }
    Ok(format!("{code} const REVISIONS: &[(&str, &str)] = &[{revisions}];"))
}

/// The value itself, behind the runtime's name, which only the caller's tokens know.
fn value(folder: &Folder, arguments: &Arguments) -> String {
    let heads = folder.graph.lineage().heads();
    let head = match heads[..] {
        [one] => format!("::core::option::Option::Some({:?})", folder.graph.seal(one).to_string()),
        _ => "::core::option::Option::None".to_owned(),
    };
    let dialect = match folder.locks.shared.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => ".of_postgres()",
    };
    format!("::Migrations::embedded({:?}, {:?}, REVISIONS, {head}){dialect}", folder.package, arguments.folder)
}

/// An error at a place, as an expression.
fn error(message: &str, span: Span) -> TokenStream {
    // The text is one that this function has written, so it is always read; if not, the bare macro is an error too.
    let code: TokenStream = format!("::core::compile_error!({message:?})").parse().unwrap_or_default();
    code.into_iter().map(|token| placed(token, span)).collect()
}

/// A token at another place: rustc shows an error where its tokens stand.
fn placed(token: TokenTree, span: Span) -> TokenTree {
    let mut token = match token {
        TokenTree::Group(group) => {
            let inner = group.stream().into_iter().map(|token| placed(token, span)).collect();
            TokenTree::Group(Group::new(group.delimiter(), inner))
        }
        token => token,
    };
    token.set_span(span);
    token
}
