//! A schema as statements.

use super::model::{
    Check, Column, Expr, Foreign, Generated, Id, Index, Key, Schema, Search, SearchKind, Shape, Table, Trigger, View,
};
use super::names::{literal, quote};

impl Schema {
    /// The statements that make the schema in an empty database, in order, without semicolons behind them.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        let tables = self.tables.iter().map(|table| self.table_sql(table));
        let indexes =
            self.tables.iter().flat_map(|table| table.indexes.iter().map(move |index| index_sql(table, index)));
        let searches = self.searches.iter().flat_map(|search| self.search_sql(search));
        let views = self.views.iter().map(|view| self.view_sql(view));
        let triggers = self.triggers.iter().map(|trigger| self.trigger_sql(trigger));
        tables.chain(indexes).chain(searches).chain(views).chain(triggers).collect()
    }

    fn table_sql(&self, table: &Table) -> String {
        let mut lines: Vec<String> = table.columns.iter().map(|column| self.column_sql(table, column)).collect();
        if let Key::Table(columns) = &table.key {
            let columns: Vec<String> =
                columns.iter().map(|(column, order)| format!("{}{order}", table.quoted(*column))).collect();
            lines.push(format!("PRIMARY KEY ({})", columns.join(", ")));
        }
        for unique in table.uniques.iter().filter(|unique| unique.beside().is_none()) {
            let columns = table.list(&unique.columns);
            lines.push(format!("{}UNIQUE {columns}{}", named(unique.name), unique.conflict));
        }
        lines.extend(table.checks.iter().filter(|it| it.beside().is_none()).map(|check| check_sql(table, check)));
        let foreigns = table.foreigns.iter().filter(|foreign| foreign.beside().is_none());
        lines.extend(foreigns.map(|it| format!("FOREIGN KEY {} {}", table.list(&it.columns), self.references_sql(it))));
        let options = match (table.strict, table.without_rowid) {
            (false, false) => "",
            (true, false) => " STRICT",
            (false, true) => " WITHOUT ROWID",
            (true, true) => " STRICT, WITHOUT ROWID",
        };
        format!("CREATE TABLE {} ({}{}){options}", quote(&table.name), table.comment, lines.join(", "))
    }

    fn references_sql(&self, foreign: &Foreign) -> String {
        let parent = self.table(foreign.parent);
        let to =
            parent.zip(foreign.to.as_ref()).map_or_else(String::new, |(parent, to)| format!(" {}", parent.list(to)));
        format!("REFERENCES {}{to}{}", quote(parent.map_or("", |parent| &parent.name)), foreign.actions)
    }

    fn column_sql(&self, table: &Table, column: &Column) -> String {
        let mut parts = vec![quote(&column.name)];
        parts.extend((!column.kind.is_empty()).then(|| column.kind.to_owned()));
        if let Key::Column(key, rest) = &table.key
            && *key == column.id
        {
            parts.push(format!("PRIMARY KEY{rest}"));
        }
        parts.extend((!column.not_null.is_empty()).then(|| column.not_null.to_owned()));
        parts.extend(column.default.map(|default| format!("DEFAULT {default}")));
        parts.extend(column.collate.map(|collate| format!("COLLATE {collate}")));
        if let Some(Generated { value, stored }) = &column.generated {
            let long = if value.template.len() % 2 == 0 { "GENERATED ALWAYS " } else { "" };
            parts.push(format!("{long}AS ({}){}", sql(value, table), if *stored { " STORED" } else { "" }));
        }
        let here = Some(column.id);
        let uniques = table.uniques.iter().filter(|unique| unique.beside() == here);
        parts.extend(uniques.map(|unique| format!("{}UNIQUE{}", named(unique.name), unique.conflict)));
        parts.extend(table.checks.iter().filter(|it| it.beside() == here).map(|check| check_sql(table, check)));
        let foreigns = table.foreigns.iter().filter(|foreign| foreign.beside() == here);
        parts.extend(foreigns.map(|foreign| self.references_sql(foreign)));
        parts.join(" ")
    }

    fn view_sql(&self, view: &View) -> String {
        let name = quote(&view.name);
        let source = quote(self.name_of(view.source).unwrap_or_default());
        match (&view.shape, self.table(view.source)) {
            (Shape::Columns(columns), Some(table)) => {
                let columns: Vec<String> = columns.iter().map(|column| table.quoted(*column)).collect();
                format!("CREATE VIEW {name} AS SELECT {} FROM {source} /* ; */ ORDER BY 1", columns.join(", "))
            }
            (Shape::Join(other), Some(_)) => {
                let first = |id: Id| self.first_column(id).unwrap_or_default();
                let joined = quote(self.name_of(*other).unwrap_or_default());
                format!(
                    "CREATE VIEW {name} (c1, \"c 2\") AS SELECT a.{}, b.{} FROM {source} AS a LEFT JOIN {joined} AS b ON a.{0} = b.{1}",
                    first(view.source),
                    first(*other)
                )
            }
            (Shape::Count, _) => format!("CREATE VIEW {name} AS SELECT count(*) AS n, 'a;b' AS [t x] FROM {source}"),
            (Shape::All | Shape::Columns(_) | Shape::Join(_), _) => {
                format!("CREATE VIEW {name} AS SELECT * FROM {source}")
            }
        }
    }

    fn trigger_sql(&self, trigger: &Trigger) -> String {
        let timing = if self.view(trigger.on).is_some() { "INSTEAD OF" } else { trigger.timing };
        let on = self.table(trigger.on);
        let of: Vec<String> = trigger.of.iter().filter_map(|column| on.map(|table| table.quoted(*column))).collect();
        let of = if of.is_empty() { String::new() } else { format!(" OF {}", of.join(", ")) };
        let row = if trigger.event == "DELETE" { "OLD" } else { "NEW" };
        let row = format!("{row}.{}", self.first_column(trigger.on).unwrap_or_default());
        let other = self.table(trigger.other);
        let fill = |template: &str| {
            filled(template, &|mark| match mark {
                'r' => Some(row.clone()),
                'o' => other.map(|other| quote(&other.name)),
                'c' => other.map(|other| other.quoted(trigger.other_column)),
                _ => None,
            })
        };
        let when = trigger.when.map_or_else(String::new, |when| format!(" WHEN {}", fill(when)));
        format!(
            "CREATE TRIGGER {} {timing} {}{of} ON {}{when} BEGIN {} END",
            quote(&trigger.name),
            trigger.event,
            quote(self.name_of(trigger.on).unwrap_or_default()),
            fill(trigger.body)
        )
    }

    fn search_sql(&self, search: &Search) -> Vec<String> {
        let name = quote(search.name);
        let create = |columns: &str, content: &str| {
            format!("CREATE VIRTUAL TABLE {name} USING fts5({columns}{content}{})", search.options)
        };
        match &search.kind {
            SearchKind::Plain(columns) => vec![create(&columns.join(", "), "")],
            SearchKind::Contentless(columns) => vec![create(&columns.join(", "), ", content=''")],
            SearchKind::External(id, columns) => {
                let Some(table) = self.table(*id) else { return Vec::new() };
                let names: Vec<String> = columns
                    .iter()
                    .filter_map(|column| table.column(*column))
                    .map(|column| format!("\"{}\"", column.name))
                    .collect();
                let of = |row: &str| {
                    let names: Vec<String> = names.iter().map(|name| format!("{row}.{name}")).collect();
                    names.join(", ")
                };
                let names = names.join(", ");
                let put = format!("INSERT INTO {name} (rowid, {names}) VALUES (new.rowid, {});", of("new"));
                let take =
                    format!("INSERT INTO {name} ({name}, rowid, {names}) VALUES ('delete', old.rowid, {});", of("old"));
                let trigger = |end: &str, event: &str, body: &str| {
                    let trigger = quote(&format!("{}_{end}", search.name));
                    format!("CREATE TRIGGER {trigger} AFTER {event} ON {} BEGIN {body} END", quote(&table.name))
                };
                vec![
                    create(&names, &format!(", content={}", literal(&table.name))),
                    trigger("ai", "INSERT", &put),
                    trigger("ad", "DELETE", &take),
                    trigger("au", "UPDATE", &format!("{take} {put}")),
                ]
            }
        }
    }
}

impl Table {
    /// These columns in parentheses.
    fn list(&self, columns: &[Id]) -> String {
        let columns: Vec<String> = columns.iter().map(|column| self.quoted(*column)).collect();
        format!("({})", columns.join(", "))
    }

    pub(super) fn quoted(&self, column: Id) -> String {
        self.column(column).map_or_else(String::new, |column| quote(&column.name))
    }
}

fn check_sql(table: &Table, check: &Check) -> String {
    format!("{}CHECK ({})", named(check.name), sql(&check.holds, table))
}

fn named(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("CONSTRAINT {name} "))
}

fn index_sql(table: &Table, index: &Index) -> String {
    let terms: Vec<String> =
        index.terms.iter().map(|term| format!("{}{}", sql(&term.value, table), term.order)).collect();
    let filter = index.filter.as_ref().map_or_else(String::new, |filter| format!(" WHERE {}", sql(filter, table)));
    format!(
        "CREATE {}INDEX {} ON {} ({}){filter}",
        if index.unique { "UNIQUE " } else { "" },
        quote(&index.name),
        quote(&table.name),
        terms.join(", ")
    )
}

fn sql(expression: &Expr, table: &Table) -> String {
    filled(expression.template, &|mark| match mark {
        't' => Some(quote(&table.name)),
        _ => {
            let at = mark.to_digit(10)? as usize;
            expression.columns.get(at).map(|column| table.quoted(*column))
        }
    })
}

/// A template with what stands for its marks; a `%` before anything else is one.
fn filled(template: &str, value: &dyn Fn(char) -> Option<String>) -> String {
    let mut text = String::new();
    let mut rest = template.chars().peekable();
    while let Some(c) = rest.next() {
        match rest.peek().filter(|_| c == '%').and_then(|mark| value(*mark)) {
            Some(value) => {
                text.push_str(&value);
                rest.next();
            }
            None => text.push(c),
        }
    }
    text
}
