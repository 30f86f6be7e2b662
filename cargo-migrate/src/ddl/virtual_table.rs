//! Virtual tables: no `ALTER TABLE` changes one, so it is made anew
//! (<https://www.sqlite.org/vtab.html>, <https://www.sqlite.org/fts5.html>).

use build_support::token::{TokenKind, tokens};

use super::{Statement, Way, layout};
use crate::schema::Object;
use crate::schema::text::{fold, identifier, unquoted};

/// Where a full-text table has its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// In itself.
    Own,
    /// In another table, from which its index can be made again.
    Elsewhere,
    /// Nowhere: only the index is kept.
    Nowhere,
}

/// Makes a virtual table; the index of one whose texts are elsewhere is made from them.
pub(super) fn create(object: &Object) -> Vec<Statement> {
    let mut statements = vec![Statement::new(layout::statement(&object.sql))];
    if content(&object.sql) == Content::Elsewhere {
        statements.push(fill(object));
    }
    statements
}

/// Makes a virtual table anew under its name. Its own rows are copied, as far as both have a column.
pub(super) fn replace(before: &Object, after: &Object, way: &Way<'_>) -> Vec<Statement> {
    let name = identifier(&after.name);
    if content(&before.sql) != Content::Own || content(&after.sql) != Content::Own {
        let mut statements = vec![Statement::new(format!("DROP TABLE {}", identifier(&before.name)))];
        statements.extend(create(after));
        return statements;
    }
    let mut new = format!("_new_{}", after.name);
    while way.from.has_name(&new) || way.to.has_name(&new) {
        new.insert(0, '_');
    }
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

fn fill(object: &Object) -> Statement {
    let name = identifier(&object.name);
    Statement::new(format!("INSERT INTO {name} ({name}) VALUES ('rebuild')"))
}

/// Where the texts are, by the option `content`.
pub(super) fn content(sql: &str) -> Content {
    if !fold(sql).contains("fts5") {
        return Content::Own;
    }
    match arguments(sql).iter().find_map(|argument| option(argument, "content")) {
        None => Content::Own,
        Some(table) if table.is_empty() => Content::Nowhere,
        Some(_) => Content::Elsewhere,
    }
}

/// The value of an argument `name = value`.
fn option(argument: &str, name: &str) -> Option<String> {
    let (left, right) = argument.split_once('=')?;
    left.trim().eq_ignore_ascii_case(name).then(|| unquoted(right.trim()))
}

/// The names of the columns: the arguments that are no options, each up to its first word.
fn columns(sql: &str) -> Vec<String> {
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
        assert_eq!(content(sql), Content::Elsewhere);
        assert_eq!(content("CREATE VIRTUAL TABLE f USING fts5(a, content='')"), Content::Nowhere);
        assert_eq!(content("CREATE VIRTUAL TABLE f USING fts5(a)"), Content::Own);
        assert_eq!(
            renamed("CREATE VIRTUAL TABLE \"f\" USING fts5(f)", "f", "_new_f"),
            "CREATE VIRTUAL TABLE _new_f USING fts5(f)"
        );
    }
}
