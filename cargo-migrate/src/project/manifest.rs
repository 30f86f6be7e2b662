//! Where a setting stands in a manifest, for messages that point at it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use build_support::problem::Place;
use migrate_runtime::server;
use toml_edit::{Document, Item, Value};

use super::url::mask;

/// The two tables that settings are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// `[package.metadata.migrate]`
    Package,
    /// `[workspace.metadata.migrate]`
    Workspace,
}

impl Section {
    /// The name of the table with a dotted key below it.
    pub(super) fn key(self, keys: &[&str]) -> String {
        let mut all = self.path().to_vec();
        all.extend(keys);
        all.join(".")
    }

    fn path(self) -> [&'static str; 3] {
        match self {
            Self::Package => ["package", "metadata", "migrate"],
            Self::Workspace => ["workspace", "metadata", "migrate"],
        }
    }
}

/// Which part of `key = value` a message points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Key,
    Value,
}

/// A manifest in which places are looked for. It is read when the first one is: in a large workspace that is well
/// configured, none of the members' manifests is.
#[derive(Debug)]
pub(super) struct Manifest {
    path: PathBuf,
    content: OnceLock<Content>,
}

/// A manifest's text and the spans in it. One that cannot be read or parsed gives places without spans: cargo
/// has read it before us, so this only happens when it changes meanwhile.
#[derive(Debug)]
struct Content {
    text: Arc<str>,
    document: Option<Document<String>>,
}

impl Content {
    /// Passwords in the settings are masked in the text that places carry, since the line is going to be shown.
    fn new(text: &str) -> Self {
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text).replace("\r\n", "\n");
        let document = Document::parse(text.clone()).ok();
        let mut shown = text;
        let sections = [Section::Package, Section::Workspace];
        let settings = |document| sections.into_iter().filter_map(move |section| find(document, section, &[]));
        let mut spans: Vec<_> = document.iter().flat_map(settings).flat_map(|(_, item)| strings(item)).collect();
        // The last one first, since a mask has another length than what it hides.
        spans.sort_by_key(|span| std::cmp::Reverse(span.start));
        for span in spans {
            if let Some(masked) = shown.get(span.clone()).map(without_secrets) {
                shown.replace_range(span, &masked);
            }
        }
        // Places are those of the text that is shown.
        let document = document.and_then(|_| Document::parse(shown.clone()).ok());
        Self { text: shown.into(), document }
    }
}

/// A string as the manifest has it, with what may be a password masked. In a server's URL that can be read it is known
/// what is one, so that the rest of the line stays where it stands in the file.
fn without_secrets(quoted: &str) -> String {
    let url = quoted.trim_matches(['"', '\'']);
    match server::shown(url) {
        Some(shown) => quoted.replacen(url, &shown, 1),
        None => mask(quoted),
    }
}

impl Manifest {
    /// Names a manifest; it is not read yet.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), content: OnceLock::new() }
    }

    #[cfg(test)]
    pub(super) fn new(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), content: OnceLock::from(Content::new(text)) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn content(&self) -> &Content {
        self.content.get_or_init(|| Content::new(&std::fs::read_to_string(&self.path).unwrap_or_default()))
    }

    /// The place of a setting, or the whole file where it cannot be found.
    pub(super) fn place(&self, section: Section, keys: &[&str], part: Part) -> Place {
        let Content { text, document } = self.content();
        match document.as_ref().and_then(|document| find(document, section, keys)) {
            Some((key, item)) => {
                let span = match part {
                    Part::Key => key.clone(),
                    Part::Value => item.span().or(key.clone()),
                };
                span.or(key)
                    .map_or_else(|| Place::file(&self.path), |span| Place::span(&self.path, Arc::clone(text), span))
            }
            None => Place::file(&self.path),
        }
    }

    /// The place of an entry of a list, or that of the list where it cannot be found.
    pub(super) fn entry(&self, section: Section, keys: &[&str], at: usize) -> Place {
        let Content { text, document } = self.content();
        let list = document.as_ref().and_then(|document| find(document, section, keys)).and_then(|it| it.1.as_array());
        match list.and_then(|list| list.get(at)).and_then(Value::span) {
            Some(span) => Place::span(&self.path, Arc::clone(text), span),
            None => self.place(section, keys, Part::Value),
        }
    }

    /// The order in which a table's key stands in the text; those not found come last.
    pub(super) fn position(&self, section: Section, keys: &[&str]) -> usize {
        let found = self.content().document.as_ref().and_then(|document| find(document, section, keys));
        found.and_then(|(key, _)| key).map_or(usize::MAX, |span| span.start)
    }
}

fn find<'a>(
    document: &'a Document<String>,
    section: Section,
    keys: &[&str],
) -> Option<(Option<Range<usize>>, &'a Item)> {
    let mut found = (None, document.as_item());
    for key in section.path().iter().chain(keys) {
        let (key, item) = found.1.as_table_like()?.get_key_value(key)?;
        found = (key.span(), item);
    }
    Some(found)
}

/// The spans of all string values in an item.
fn strings(item: &Item) -> Vec<Range<usize>> {
    fn of_value(value: &Value, spans: &mut Vec<Range<usize>>) {
        match value {
            Value::String(text) => spans.extend(text.span()),
            Value::Array(array) => array.iter().for_each(|value| of_value(value, spans)),
            Value::InlineTable(table) => table.iter().for_each(|(_, value)| of_value(value, spans)),
            _ => {}
        }
    }
    let mut spans = Vec::new();
    match item {
        Item::Value(value) => of_value(value, &mut spans),
        Item::Table(table) => table.iter().for_each(|(_, item)| spans.extend(strings(item))),
        Item::ArrayOfTables(tables) => {
            tables.iter().flat_map(|table| table.iter()).for_each(|(_, item)| spans.extend(strings(item)));
        }
        Item::None => {}
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[package]\r\nname = \"a\"\r\n\r\n[package.metadata.migrate.databases]\r\nprod = { url = \"postgres://me:secret@h/db\" }\r\ndev = \"sqlite:a.db\"\r\n";

    #[test]
    fn a_setting_is_found_in_normalised_text_and_its_password_is_masked() {
        let manifest = Manifest::new(Path::new("Cargo.toml"), TEXT);
        let place = manifest.place(Section::Package, &["databases", "prod", "url"], Part::Value);
        assert_eq!(place.line_column(), Some((5, 16)));
        let (text, span) = place.span.unwrap();
        assert_eq!(&text[span], "\"postgres://me:***@h/db\"");
        assert!(!text.contains("secret"));
    }

    #[test]
    fn a_manifest_is_read_when_the_first_place_is_asked_for_and_not_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Cargo.toml");
        let manifest = Manifest::at(&path);
        std::fs::write(&path, TEXT).unwrap();
        assert_eq!(manifest.place(Section::Package, &["databases", "dev"], Part::Key).line_column(), Some((6, 1)));
        std::fs::write(&path, "").unwrap();
        assert_eq!(manifest.place(Section::Package, &["databases", "prod"], Part::Key).line_column(), Some((5, 1)));
    }

    #[test]
    fn a_setting_that_is_not_there_is_the_whole_file() {
        let manifest = Manifest::new(Path::new("Cargo.toml"), TEXT);
        assert_eq!(manifest.place(Section::Workspace, &["name"], Part::Key), Place::file("Cargo.toml"));
        assert_eq!(Manifest::new(Path::new("a"), "[").place(Section::Package, &[], Part::Key), Place::file("a"));
    }

    #[test]
    fn keys_have_the_order_of_the_text() {
        let manifest = Manifest::new(Path::new("Cargo.toml"), TEXT);
        let position = |name| manifest.position(Section::Package, &["databases", name]);
        assert!(position("prod") < position("dev") && position("dev") < position("test"));
    }
}
