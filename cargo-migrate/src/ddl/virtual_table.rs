//! Virtual tables: no `ALTER TABLE` changes one, so it is made anew
//! (<https://www.sqlite.org/vtab.html>, <https://www.sqlite.org/fts5.html>).

use build_support::token::{TokenKind, tokens};

use super::{Statement, Way, layout};
use crate::diff::{Change, Detail};
use crate::schema::table::Column;
use crate::schema::text::{fold, identifier, names, unquoted};
use crate::schema::{Kind, Object};

/// Where a full-text table has its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// In itself.
    Own,
    /// In another table or view of this name, from which its index can be made again.
    Elsewhere(String),
    /// Nowhere: only the index is kept.
    Nowhere,
}

/// Makes a virtual table.
pub(super) fn create(object: &Object) -> Statement {
    Statement::new(layout::statement(&object.sql))
}

/// Makes the indexes of texts that are elsewhere, where they are new, or where a change gives the texts other rowids or
/// other values than those that are indexed.
pub(super) fn refills(way: &Way<'_>, changes: &[Change<'_>]) -> Vec<Statement> {
    let mut statements = Vec::new();
    for object in way.to.objects().filter(|object| object.kind == Kind::VirtualTable) {
        let Content::Elsewhere(source) = content(&object.sql) else { continue };
        let name = identifier(&object.name);
        let sql = format!("INSERT INTO {name} ({name}) VALUES ('rebuild')");
        if way.from.object(object.kind, &object.name).is_none_or(|before| !before.same(object)) {
            statements.push(Statement::new(sql));
        } else if changes.iter().any(|change| stirs(change, &source, object, way)) {
            let note = format!("The texts of {} are not those that are indexed.", source);
            statements.push(Statement::noted(note, sql));
        }
    }
    statements
}

/// Whether a change gives the rows of a full-text table's source other rowids, or its columns other values.
fn stirs(change: &Change<'_>, source: &str, object: &Object, way: &Way<'_>) -> bool {
    match change {
        Change::AlterTable(change) => {
            // Which columns a view shows under which names is not known here.
            let view = way.to.object(Kind::View, source).is_some();
            let filled = |column: &Column| way.fills.contains_key(&(fold(&change.after.name), fold(&column.name)));
            let indexed = |column: &Column| view || object.mentions(&column.name);
            (view || change.after.name.eq_ignore_ascii_case(source))
                && change.details.iter().any(|detail| match detail {
                    Detail::PrimaryKey { .. } | Detail::WithoutRowid(_) | Detail::Strict(_) => true,
                    Detail::AddColumn(column) | Detail::DropColumn(column) => indexed(column),
                    Detail::ChangeColumn { before, after } => {
                        let other = before.normal_type() != after.normal_type() || before.generated != after.generated;
                        indexed(after) && (other || filled(after))
                    }
                    Detail::ReorderColumns
                    | Detail::AddUnique(_)
                    | Detail::DropUnique(_)
                    | Detail::AddCheck(_)
                    | Detail::DropCheck(_)
                    | Detail::AddForeignKey(_)
                    | Detail::DropForeignKey(_) => false,
                })
        }
        Change::CreateTable(table) => table.name.eq_ignore_ascii_case(source),
        Change::Create(object) | Change::Replace { after: object, .. } => {
            object.kind == Kind::View && object.name.eq_ignore_ascii_case(source)
        }
        Change::DropTable(_) | Change::Drop(_) => false,
    }
}

/// Makes a virtual table anew under its name. Its own rows are copied, as far as both have a column.
pub(super) fn replace(before: &Object, after: &Object, way: &Way<'_>) -> Vec<Statement> {
    let name = identifier(&after.name);
    if content(&before.sql) != Content::Own || content(&after.sql) != Content::Own {
        return vec![Statement::new(format!("DROP TABLE {}", identifier(&before.name))), create(after)];
    }
    let new = way.free_name(&after.name);
    let mut columns: Vec<String> = vec!["rowid".to_owned()];
    let old = self::columns(&before.sql);
    let kept =
        self::columns(&after.sql).into_iter().filter(|column| old.iter().any(|it| it.eq_ignore_ascii_case(column)));
    columns.extend(kept.map(|column| identifier(&column)));
    let columns = columns.join(", ");
    vec![
        Statement::new(renamed(&after.sql, &after.name, &new)),
        Statement::new(format!(
            "INSERT OR ABORT INTO {} ({columns})\nSELECT {columns}\nFROM {}",
            identifier(&new),
            identifier(&before.name)
        )),
        Statement::new(format!("DROP TABLE {}", identifier(&before.name))),
        Statement::new(format!("ALTER TABLE {} RENAME TO {name}", identifier(&new))),
    ]
}

/// Where the texts are, by the option `content`.
pub(super) fn content(sql: &str) -> Content {
    // CREATE VIRTUAL TABLE name USING module
    let module = names(sql).nth(5).map(|module| fold(&module));
    if !matches!(module.as_deref(), Some("fts4" | "fts5")) {
        return Content::Own;
    }
    match arguments(sql).iter().find_map(|argument| option(argument, "content")) {
        None => Content::Own,
        Some(table) if table.is_empty() => Content::Nowhere,
        Some(table) => Content::Elsewhere(table),
    }
}

/// The value of an argument `name = value`.
fn option(argument: &str, name: &str) -> Option<String> {
    let (left, right) = argument.split_once('=')?;
    left.trim().eq_ignore_ascii_case(name).then(|| unquoted(right.trim()))
}

/// The names of the columns: the arguments that are no options, each up to its first word.
pub(super) fn columns(sql: &str) -> Vec<String> {
    arguments(sql)
        .iter()
        .filter(|argument| !tokens(argument).any(|token| argument[token.span] == *"="))
        .filter_map(|argument| {
            let token = tokens(argument).find(|token| token.kind.counts())?;
            Some(unquoted(&argument[token.span]))
        })
        .collect()
}

/// What stands between the commas of the parentheses behind the module's name.
fn arguments(sql: &str) -> Vec<String> {
    let (mut depth, mut arguments) = (0_usize, Vec::new());
    let mut start = None;
    for token in tokens(sql).filter(|token| token.kind == TokenKind::Mark) {
        match &sql[token.span.clone()] {
            "(" => {
                depth += 1;
                start = start.or(Some(token.span.end));
            }
            ")" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    arguments.extend(start.take().map(|from| sql[from..token.span.start].trim().to_owned()));
                    break;
                }
            }
            "," if depth == 1 => {
                arguments
                    .extend(start.replace(token.span.end).map(|from| sql[from..token.span.start].trim().to_owned()));
            }
            _ => {}
        }
    }
    arguments
}

/// The statement with another name: the first token that is the table's.
fn renamed(sql: &str, name: &str, new: &str) -> String {
    let sql = layout::statement(sql);
    let at = tokens(&sql).find(|token| {
        matches!(token.kind, TokenKind::Word | TokenKind::Quoted | TokenKind::Literal)
            && unquoted(&sql[token.span.clone()]).eq_ignore_ascii_case(name)
    });
    match at {
        Some(token) => format!("{}{}{}", &sql[..token.span.start], identifier(new), &sql[token.span.end..]),
        None => sql,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_a_full_text_table_are_told_apart() {
        let sql = "CREATE VIRTUAL TABLE f USING fts5(title, \"a, b\" UNINDEXED, content='posts', content_rowid = id)";
        assert_eq!(columns(sql), ["title", "a, b"]);
        assert_eq!(content(sql), Content::Elsewhere("posts".to_owned()));
        assert_eq!(content("CREATE VIRTUAL TABLE f USING fts5(a, content='')"), Content::Nowhere);
        assert_eq!(content("CREATE VIRTUAL TABLE f USING fts5(a)"), Content::Own);
        assert_eq!(
            renamed("CREATE VIRTUAL TABLE \"f\" USING fts5(f)", "f", "_new_f"),
            "CREATE VIRTUAL TABLE _new_f USING fts5(f)"
        );
    }
}
