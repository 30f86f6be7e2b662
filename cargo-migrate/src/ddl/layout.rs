//! Statements as people read them.

use build_support::token::{TokenKind, tokens};

use crate::schema::table::Table;
use crate::schema::text::identifier;

/// A statement as the database keeps it, without what stands around it.
pub(super) fn statement(sql: &str) -> String {
    sql.trim().trim_end_matches(';').trim_end().to_owned()
}

/// A table's `CREATE TABLE`.
pub(super) fn create_table(table: &Table) -> String {
    create_table_as(table, &table.name)
}

/// A table's `CREATE TABLE` under another name: its constraints may name the table that they stand in.
///
/// A text with comments stays as it was written; of another one each column and constraint gets a line of its own, since
/// `ADD COLUMN` appends to the last one.
pub(super) fn create_table_as(table: &Table, name: &str) -> String {
    let sql = statement(&table.sql);
    let found: Vec<_> = tokens(&sql).filter(|token| token.kind != TokenKind::Space).collect();
    let commented = found.iter().any(|token| !token.kind.counts());
    let mut text = format!("CREATE TABLE {}", identifier(name));
    let Some(open) = found.iter().position(|token| sql[token.span.clone()] == *"(") else { return sql };
    let (mut depth, mut end) = (0_usize, found[open].span.start);
    let put = |text: &mut String, gap: &str, part: &str| {
        text.push_str(gap);
        text.push_str(part);
    };
    for (at, token) in found.iter().enumerate().skip(open) {
        let part = &sql[token.span.clone()];
        let mark = if token.kind == TokenKind::Mark { part } else { "" };
        let mut gap = sql[end..token.span.start].to_owned();
        depth -= usize::from(mark == ")");
        if at == open {
            " ".clone_into(&mut gap);
        } else if !commented {
            let closes = mark == ")" && depth == 0;
            let before = &sql[found[at - 1].span.clone()];
            let starts = depth == 1 && (at == open + 1 || before == "," && found[at - 1].kind == TokenKind::Mark);
            if closes {
                "\n".clone_into(&mut gap);
            } else if starts {
                "\n    ".clone_into(&mut gap);
            } else if mark == "," {
                gap.clear();
            } else if gap.contains('\n') {
                " ".clone_into(&mut gap);
            }
        }
        let own = matches!(token.kind, TokenKind::Word | TokenKind::Quoted)
            && crate::schema::text::unquoted(part).eq_ignore_ascii_case(&table.name)
            && found.get(at + 1).is_some_and(|next| sql[next.span.clone()] == *".");
        if own {
            put(&mut text, &gap, &identifier(name));
        } else {
            put(&mut text, &gap, part);
        }
        depth += usize::from(mark == "(");
        end = token.span.end;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::create_table::read;

    #[test]
    fn each_column_has_a_line_and_a_comment_keeps_its_place() {
        let table = read("CREATE TABLE t(a INTEGER,b VARCHAR(3, 4) CHECK (\"t\".b>t . a)\n , c) STRICT").unwrap();
        assert_eq!(
            create_table_as(&table, "new"),
            "CREATE TABLE new (\n    a INTEGER,\n    b VARCHAR(3, 4) CHECK (new.b>new . a),\n    c\n) STRICT"
        );
        let table = read("CREATE TABLE t (a, -- the first\n  b /* second */)").unwrap();
        assert_eq!(create_table(&table), "CREATE TABLE t (a, -- the first\n  b /* second */)");
    }
}
