//! What a statement can lose on a server, by its words.
//!
//! A server has nothing that could be asked what a statement is about to do. So what is known to lose no row and no value
//! is listed here, and everything else counts as able to lose something: of the table that it names, where one is named,
//! or of whatever there is.

use build_support::problem::printable;

use crate::words::Words;

/// What a statement may do to what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No row and no value is lost.
    Harmless,
    /// A table, or a column of it, is touched: its name as SQL, and what becomes of it.
    Table {
        /// The name, as the statement writes it.
        name: String,
        /// What is told, in which `{}` stands for the name.
        what: String,
    },
    /// Rows are added to a table, whose triggers and rules may do anything.
    Filled(String),
    /// Anything may be lost. What is told.
    Anything(String),
}

/// What may be created without a look at what is there.
const CREATED: &str = "\
    TABLE INDEX VIEW SEQUENCE TYPE DOMAIN FUNCTION PROCEDURE AGGREGATE EXTENSION SCHEMA POLICY \
    STATISTICS COLLATION OPERATOR CAST ROLE PUBLICATION TEXT MATERIALIZED CONVERSION LANGUAGE SERVER \
    FOREIGN USER TRIGGER ACCESS TRANSFORM";
/// What may stand between CREATE and what is created.
const BEFORE: &str = "\
    OR REPLACE TEMP TEMPORARY UNLOGGED GLOBAL LOCAL UNIQUE RECURSIVE CONSTRAINT DEFAULT TRUSTED \
    PROCEDURAL CONCURRENTLY";
/// What holds no rows, so that nothing but the thing itself goes.
const ROWLESS: &str = "\
    INDEX VIEW FUNCTION PROCEDURE ROUTINE AGGREGATE TRIGGER POLICY RULE STATISTICS MATERIALIZED OPERATOR \
    CAST PUBLICATION COLLATION ROLE USER EVENT TEXT CONVERSION";
/// What goes with what it is used by where it is dropped with CASCADE.
const USED: &str = "\
    TYPE DOMAIN EXTENSION SEQUENCE SERVER FOREIGN LANGUAGE COLLATION OPERATOR FUNCTION ROUTINE PROCEDURE \
    AGGREGATE SCHEMA";
/// Functions that only calculate, or do what is said in place of a statement that would be harmless.
const PURE: &str = "\
    count sum min max avg coalesce nullif greatest least lower upper trim btrim length char_length \
    substr substring replace concat concat_ws format now current_setting clock_timestamp gen_random_uuid \
    generate_series array_agg string_agg jsonb_build_object json_build_object jsonb_agg json_agg to_char \
    to_date to_timestamp to_jsonb to_json date_trunc extract age abs round floor ceil mod power sqrt \
    random md5 sha224 sha256 sha384 sha512 repeat reverse chr ascii translate quote_ident quote_literal quote_nullable \
    octet_length ceiling trunc sign encode decode row_number rank dense_rank lag lead exists any all some array row in \
    values and or not over filter as cast case when then else on using where from select by with numeric \
    varchar char decimal nextval pg_sleep conflict version interval timestamp unnest cardinality \
    array_length position overlay left right lpad rpad split_part regexp_replace initcap strpos \
    to_number bool_and bool_or pg_typeof to_regclass having distinct materialized lateral union \
    intersect except between is like ilike limit offset within partition into returning default";
/// What ALTER TABLE does without a look at a value.
const ALTERED: &str = "\
    ADD, RENAME, VALIDATE, OWNER, SET SCHEMA, SET TABLESPACE, SET (, SET LOGGED, RESET, ENABLE, DISABLE, \
    FORCE, NO, REPLICA, CLUSTER, INHERIT, ATTACH, DETACH, DROP CONSTRAINT";
/// What ALTER COLUMN does without a look at a value.
const COLUMN_ALTERED: &str = "\
    SET DEFAULT, DROP DEFAULT, SET NOT, DROP NOT, SET STATISTICS, SET STORAGE, SET COMPRESSION, \
    SET GENERATED, SET (, RESET, ADD GENERATED, DROP IDENTITY, RESTART";

/// A name that may have a schema before it, as the statement writes it, and where it ends.
fn name(words: &Words<'_>, at: usize) -> Option<(String, usize)> {
    let end = words.name_end(at)?;
    Some(((at..end).map(|at| words.text(at)).collect(), end))
}

/// A function that is called and may do anything.
fn unknown_call<'a>(words: &Words<'a>) -> Option<&'a str> {
    let called = |at: &usize| words.is(at + 1, "(") && words.is_name(*at);
    // What stands behind a name with a schema is another function than the known one of that name, but for the server's.
    let is_known = |at: &usize| {
        let schema = if words.is(at.wrapping_sub(1), ".") { words.text(at.wrapping_sub(2)) } else { "pg_catalog" };
        schema.eq_ignore_ascii_case("pg_catalog") && words.is_in(*at, PURE)
    };
    (0..words.len()).filter(called).find(|at| !is_known(at)).map(|at| words.text(at))
}

/// Whether names stand for other tables behind a statement.
pub(super) fn moves_names(statement: &str) -> bool {
    let words = Words::of(statement);
    let moves = |at: usize| words.is_any(at, &["RENAME", "ATTACH", "INHERIT", "search_path"]);
    let settings = words.is_any(0, &["SET", "RESET"]);
    (words.is_any(0, &["ALTER"]) && ((0..words.len()).any(moves) || words.holds("SCHEMA")))
        || settings && (words.holds("search_path") || words.holds("SCHEMA") || words.holds("ALL"))
}

/// What a statement may do; a verdict for each thing that it names.
pub(super) fn of(statement: &str) -> Vec<Verdict> {
    let words = Words::of(statement);
    let harmless = || vec![Verdict::Harmless];
    let anything = || {
        let said: Vec<&str> = (0..words.len().min(3)).map(|at| words.text(at)).collect();
        vec![Verdict::Anything(format!("`{} …` may do anything", printable(&said.join(" "))))]
    };
    match words.text(0).to_ascii_uppercase().as_str() {
        "CREATE" => created(&words).unwrap_or_else(anything),
        "DROP" => dropped(&words).unwrap_or_else(anything),
        "ALTER" => altered(&words).unwrap_or_else(anything),
        "COMMENT" | "GRANT" | "REVOKE" | "ANALYZE" | "REINDEX" | "VACUUM" | "CLUSTER" | "LOCK" | "SECURITY"
        | "SHOW" | "CLOSE" | "DEALLOCATE" | "LISTEN" | "UNLISTEN" => harmless(),
        // Temporary tables are the session's own, which ends with the run; ALL takes the run's lock along.
        "DISCARD" if words.is_any(1, &["PLANS", "SEQUENCES", "TEMP", "TEMPORARY"]) => harmless(),
        "SET" | "RESET" | "REFRESH" => harmless(),
        "TRUNCATE" => {
            let first = words.past(words.past(1, &["TABLE"]), &["ONLY"]);
            tables(&words, first, "all rows of `{}` are deleted")
        }
        "DELETE" => {
            let at = words.past(words.past(1, &["FROM"]), &["ONLY"]);
            table(&words, at, "rows of `{}` are deleted").unwrap_or_else(anything)
        }
        "UPDATE" => table(&words, words.past(1, &["ONLY"]), "rows of `{}` are changed").unwrap_or_else(anything),
        "MERGE" => {
            let at = words.past(words.past(1, &["INTO"]), &["ONLY"]);
            table(&words, at, "rows of `{}` are changed or deleted").unwrap_or_else(anything)
        }
        "INSERT" => inserted(&words).unwrap_or_else(anything),
        "SELECT" | "VALUES" | "TABLE" | "WITH" => asked(&words).unwrap_or_else(anything),
        _ => anything(),
    }
}

/// One table, and what becomes of it.
fn table(words: &Words<'_>, at: usize, what: &str) -> Option<Vec<Verdict>> {
    let (name, _) = name(words, at)?;
    Some(vec![Verdict::Table { name, what: what.to_owned() }])
}

/// Several tables, with commas between them. With CASCADE there may be others.
fn tables(words: &Words<'_>, from: usize, what: &str) -> Vec<Verdict> {
    if words.holds("CASCADE") {
        let said = format!("`{} … CASCADE` goes further than to what it names", words.text(0).to_uppercase());
        return vec![Verdict::Anything(said)];
    }
    let named = |at: usize| match name(words, words.past(at, &["ONLY"])) {
        Some((name, _)) => Verdict::Table { name, what: what.to_owned() },
        None => Verdict::Anything("a statement could not be read beforehand".to_owned()),
    };
    words.parts(from).into_iter().map(named).collect()
}

fn created(words: &Words<'_>) -> Option<Vec<Verdict>> {
    let kind = (1..words.len()).find(|at| !words.is_in(*at, BEFORE))?;
    // A rule can say something else of every statement that follows; so can what runs at them.
    let known = words.is_in(kind, CREATED) && !words.is_all(kind, &["RULE"]);
    // What it is filled with may call anything.
    let filled = words.is(kind, "TABLE") || words.is(kind, "MATERIALIZED");
    (known && (!filled || !words.holds("SELECT") || unknown_call(words).is_none())).then(|| vec![Verdict::Harmless])
}

fn dropped(words: &Words<'_>) -> Option<Vec<Verdict>> {
    let cascade = words.holds("CASCADE");
    let past = |at: usize| words.past(words.past(at, &["CONCURRENTLY"]), &["IF", "EXISTS"]);
    if words.is(1, "TABLE") {
        // What goes with a table by CASCADE has no rows of its own: constraints, views and rules.
        let named = |at: usize| {
            let (name, _) = name(words, at)?;
            Some(Verdict::Table { name, what: "`{}` is dropped".to_owned() })
        };
        return words.parts(past(2)).into_iter().map(named).collect();
    }
    let harmless = words.is_in(1, ROWLESS) || words.is_in(1, USED);
    (harmless && !(cascade && words.is_in(1, USED))).then(|| vec![Verdict::Harmless])
}

fn altered(words: &Words<'_>) -> Option<Vec<Verdict>> {
    let harmless = || Some(vec![Verdict::Harmless]);
    if words.is_any(1, &["TYPE", "DOMAIN"]) {
        // An attribute of a composite type is a part of values.
        let loses = words.holds("ATTRIBUTE") && !words.holds("ADD");
        return if loses { None } else { harmless() };
    }
    if words.is(1, "EXTENSION") || words.is(1, "SYSTEM") {
        return None;
    }
    if !words.is(1, "TABLE") {
        return harmless();
    }
    let at = words.past(words.past(2, &["IF", "EXISTS"]), &["ONLY"]);
    let (name, end) = name(words, at)?;
    let mut verdicts = Vec::new();
    for at in words.parts(words.past(end, &["*"])) {
        verdicts.extend(action(words, at, &name)?);
    }
    if verdicts.is_empty() { harmless() } else { Some(verdicts) }
}

/// What one action of an ALTER TABLE loses.
fn action(words: &Words<'_>, at: usize, name: &str) -> Option<Option<Verdict>> {
    let column_at = |at: usize| words.past(words.past(at, &["COLUMN"]), &["IF", "EXISTS"]);
    let of_column = |at: usize, what: &str| {
        let column = printable(&words.name(at).unwrap_or_default());
        Some(Some(Verdict::Table { name: name.to_owned(), what: format!("`{{}}.{column}` {what}") }))
    };
    if words.is_one_of(at, ALTERED) {
        return Some(None);
    }
    if words.is(at, "DROP") {
        return of_column(column_at(at + 1), "is dropped");
    }
    if words.is(at, "ALTER") {
        if words.is(at + 1, "CONSTRAINT") {
            return Some(None);
        }
        let column = words.past(at + 1, &["COLUMN"]);
        let then = column + 1;
        if words.is_one_of(then, COLUMN_ALTERED) {
            return Some(None);
        }
        if words.is(then, "TYPE") || words.is_all(then, &["SET", "DATA", "TYPE"]) {
            return of_column(column, "gets another type");
        }
        if words.is_all(then, &["DROP", "EXPRESSION"]) {
            return Some(None);
        }
    }
    None
}

fn inserted(words: &Words<'_>) -> Option<Vec<Verdict>> {
    let (name, end) = name(words, words.past(1, &["INTO"]))?;
    // What stands behind the table's name looks like a call.
    let rest = words.from(end);
    if (0..words.len()).any(|at| words.is_all(at, &["DO", "UPDATE"])) {
        return Some(vec![Verdict::Table { name, what: "rows of `{}` are changed".to_owned() }]);
    }
    (writes_nothing(&rest) && unknown_call(&rest).is_none()).then(|| vec![Verdict::Filled(name)])
}

fn asked(words: &Words<'_>) -> Option<Vec<Verdict>> {
    let harmless = writes_nothing(words) && unknown_call(words).is_none();
    harmless.then(|| vec![Verdict::Harmless])
}

/// Whether no part of a query is a statement that changes something.
fn writes_nothing(words: &Words<'_>) -> bool {
    let inner = |at: usize| words.is_any(at, &["DELETE", "UPDATE", "MERGE"]) && !words.is(at.wrapping_sub(1), "FOR");
    !(0..words.len()).any(inner)
}

#[cfg(test)]
mod tests;
