//! Targets: `head`, `ID`, a part of an id, `+2`, `ID-1`, `LABEL@head`, `A:B`.
//!
//! The grammar is Alembic's. Resolving is pure: a [`Lineage`] and what is applied go in, revisions come out.

use crate::graph::Lineage;
use crate::problem::{Code, Problem, nearest, printable};

/// A target that names nothing.
pub const UNKNOWN_TARGET: Code = Code("unknown-target");
/// A target that could mean several revisions.
pub const AMBIGUOUS_TARGET: Code = Code("ambiguous-target");

/// How many revisions are listed where none was found.
const SHOWN: usize = 5;

/// What a target means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// These revisions.
    Revisions(Vec<usize>),
    /// Before the first revision, of all or of one branch (the revisions it covers).
    Base(Option<Vec<bool>>),
    /// So many steps on, or back where negative, from where the database is; in one branch or in all.
    Steps(i64, Option<Vec<bool>>),
}

/// Whether a target means another revision once the database has moved: a number of steps, or `current`.
#[must_use]
pub fn is_relative(text: &str) -> bool {
    let rest = text.split_once('@').map_or(text, |(_, rest)| rest);
    rest.starts_with(['+', '-']) || rest.starts_with("current")
}

/// Finds what a target means among the revisions of a lineage, of which `applied` are applied.
///
/// # Errors
/// [`UNKNOWN_TARGET`] and [`AMBIGUOUS_TARGET`], with the candidates.
pub fn resolve(text: &str, lineage: &Lineage, applied: &[bool]) -> Result<Resolved, Problem> {
    let (branch, rest) = match text.split_once('@') {
        Some((name, rest)) => (Some(lineage.branch(find_branch(name, lineage)?)), rest),
        None => (None, text),
    };
    let inside = |at: &usize| branch.as_ref().is_none_or(|covered| covered[*at]);
    if let Some(at) = lineage.find(rest) {
        return Ok(Resolved::Revisions(vec![at]));
    }
    let (anchor, steps) = split_steps(rest);
    let anchor = match (steps, lineage.find(anchor)) {
        // An id may have `-2` in it: a part of an id goes before steps from another.
        (Some(_), None) if !is_symbol(anchor) && lineage.ids().iter().any(|id| id.as_str().contains(rest)) => rest,
        _ => anchor,
    };
    let steps = if anchor == rest { 0 } else { steps.unwrap_or(0) };
    let from: Vec<usize> = match anchor {
        "" if rest.is_empty() => {
            return Err(Problem::new(UNKNOWN_TARGET, "the target is empty").help("name a revision, `head` or `base`"));
        }
        "" => return Ok(Resolved::Steps(steps, branch)),
        "base" if steps == 0 => return Ok(Resolved::Base(branch)),
        "base" => lineage.bases().into_iter().filter(inside).collect(),
        "head" | "heads" => {
            let within: Vec<bool> = (0..lineage.len()).map(|at| inside(&at)).collect();
            let heads = lineage.heads_among(&within);
            if anchor == "head" && heads.len() > 1 {
                return Err(several_heads(lineage, &heads));
            }
            heads
        }
        "current" => lineage.heads_among(&(0..lineage.len()).map(|at| applied[at] && inside(&at)).collect::<Vec<_>>()),
        part => vec![find_part(part, lineage)?],
    };
    // `base+1` is the first revision itself.
    let steps = if anchor == "base" { steps - 1 } else { steps };
    walk(text, lineage, from, steps).map(Resolved::Revisions)
}

/// Finds the one revision that a target means.
///
/// # Errors
/// As [`resolve`], and where it means none or several.
pub fn resolve_one(text: &str, lineage: &Lineage, applied: &[bool]) -> Result<usize, Problem> {
    match resolve(text, lineage, applied)? {
        Resolved::Revisions(found) => match found[..] {
            [one] => Ok(one),
            [] => Err(Problem::new(UNKNOWN_TARGET, format!("`{}` is no revision yet", printable(text)))),
            _ => Err(ambiguous(text, lineage, &found)),
        },
        _ => Err(Problem::new(UNKNOWN_TARGET, format!("`{}` names no single revision", printable(text)))
            .help("name a revision by its id or a part of it; `cargo migrate history` lists them")),
    }
}

/// The problem of several heads where one is needed.
#[must_use]
pub fn several_heads(lineage: &Lineage, heads: &[usize]) -> Problem {
    let mut problem = Problem::new(AMBIGUOUS_TARGET, format!("the history has {} heads", heads.len()));
    for at in heads {
        problem = problem.note(lineage.id(*at).to_string());
    }
    problem
        .help("join them: `cargo migrate merge heads -m \"merge\"`")
        .help("or name what you want: `heads`, one of the ids, or `LABEL@head`")
}

fn is_symbol(text: &str) -> bool {
    matches!(text, "" | "head" | "heads" | "base" | "current")
}

/// Splits `ID+2` into the id and the steps, at the last sign that only digits follow.
fn split_steps(text: &str) -> (&str, Option<i64>) {
    let Some(at) = text.rfind(['+', '-']) else { return (text, None) };
    let digits = &text[at + 1..];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return (text, None);
    }
    match text[at..].parse() {
        Ok(steps) => (&text[..at], Some(steps)),
        Err(_) => (text, None),
    }
}

fn find_branch(name: &str, lineage: &Lineage) -> Result<usize, Problem> {
    if let Some((_, at)) = lineage.labels().iter().find(|(label, _)| label == name) {
        return Ok(*at);
    }
    find_part(name, lineage).map_err(|problem| {
        let labels: Vec<&str> = lineage.labels().iter().map(|(label, _)| label.as_str()).collect();
        if labels.is_empty() { problem } else { problem.note(format!("the labels are {}", labels.join(", "))) }
    })
}

/// A label, an id or any unique part of one. The words of an id behind its number count before other parts, so that
/// `add_user` is not ambiguous beside `add_user_index`.
fn find_part(part: &str, lineage: &Lineage) -> Result<usize, Problem> {
    if let Some(at) = lineage.find(part) {
        return Ok(at);
    }
    if let Some((_, at)) = lineage.labels().iter().find(|(label, _)| label == part) {
        return Ok(*at);
    }
    let matching = |test: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..lineage.len()).filter(|at| test(lineage.id(*at).as_str())).collect()
    };
    let ends = matching(&|id| id.strip_suffix(part).is_some_and(|before| before.ends_with('_')));
    let found = if ends.len() == 1 { ends } else { matching(&|id| !part.is_empty() && id.contains(part)) };
    match found[..] {
        [one] => Ok(one),
        [] => {
            let problem = Problem::new(UNKNOWN_TARGET, format!("there is no revision `{}`", printable(part)));
            let problem = match meant(part, lineage) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem,
            };
            let newest: Vec<&str> =
                lineage.order().iter().rev().take(SHOWN).map(|at| lineage.id(*at).as_str()).collect();
            let problem = match newest.len() {
                0 => problem.note("there are no revisions yet"),
                count if count == lineage.len() => problem.note(format!("the revisions are {}", newest.join(", "))),
                _ => problem.note(format!("the newest revisions are {}", newest.join(", "))),
            };
            Err(problem.help("`cargo migrate history` lists the revisions"))
        }
        _ => Err(ambiguous(part, lineage, &found)),
    }
}

/// What a mistyped target may have been: a symbol, a label, an id, or the words of an id behind its numbers.
fn meant<'a>(part: &str, lineage: &'a Lineage) -> Option<&'a str> {
    let ids = || lineage.ids().iter().map(|id| id.as_str());
    let labels = lineage.labels().iter().map(|(label, _)| label.as_str());
    let whole = nearest(part, ["head", "heads", "base", "current"].into_iter().chain(labels).chain(ids()));
    whole.or_else(|| {
        let words = |id: &'a str| id.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '_' | '-'));
        nearest(part, ids().map(words).filter(|words| !words.is_empty()))
    })
}

fn ambiguous(text: &str, lineage: &Lineage, found: &[usize]) -> Problem {
    let mut problem =
        Problem::new(AMBIGUOUS_TARGET, format!("`{}` could be {} revisions", printable(text), found.len()));
    for at in found.iter().take(12) {
        problem = problem.note(lineage.id(*at).to_string());
    }
    if found.len() > 12 {
        problem = problem.note(format!("and {} more", found.len() - 12));
    }
    problem.help("write more of the id")
}

/// Goes so many children on, or parents back, from each of the revisions.
fn walk(text: &str, lineage: &Lineage, from: Vec<usize>, steps: i64) -> Result<Vec<usize>, Problem> {
    if steps == 0 {
        return Ok(from);
    }
    let [mut at] = from[..] else {
        return Err(if from.is_empty() {
            Problem::new(UNKNOWN_TARGET, format!("`{}` has no revision to start from", printable(text)))
        } else {
            ambiguous(text, lineage, &from)
        });
    };
    for _ in 0..steps.unsigned_abs().min(lineage.len() as u64 + 1) {
        let next = if steps > 0 { lineage.children(at) } else { lineage.parents(at) };
        at = match next {
            [one] => *one,
            [] => {
                return Err(Problem::new(UNKNOWN_TARGET, format!("`{}` leads out of the history", printable(text)))
                    .note(format!(
                        "nothing {} `{}`",
                        if steps > 0 { "follows" } else { "comes before" },
                        lineage.id(at)
                    )));
            }
            several => {
                return Err(ambiguous(text, lineage, several).note(format!(
                    "the history {} at `{}`",
                    if steps > 0 { "forks" } else { "merges" },
                    lineage.id(at)
                )));
            }
        };
    }
    Ok(vec![at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Node;
    use crate::revision::RevisionId;

    /// `a1_start <- b2_left <- c3_left_end`, `a1_start <- d4_right` (label `right`).
    fn forked() -> Lineage {
        let node = |id: &str, parent: &str, label: &str| Node {
            id: RevisionId::new(id).unwrap(),
            parents: (!parent.is_empty()).then(|| RevisionId::new(parent).unwrap()).into_iter().collect(),
            depends: Vec::new(),
            labels: (!label.is_empty()).then(|| label.to_owned()).into_iter().collect(),
        };
        Lineage::new(vec![
            node("a1_start", "", ""),
            node("b2_left", "a1_start", "left"),
            node("c3_left_end", "b2_left", ""),
            node("d4_right", "a1_start", "right"),
        ])
        .unwrap()
    }

    fn ids(text: &str) -> Result<Vec<String>, String> {
        let lineage = forked();
        match resolve(text, &lineage, &[true, true, false, false]) {
            Ok(Resolved::Revisions(found)) => Ok(found.iter().map(|at| lineage.id(*at).to_string()).collect()),
            Ok(other) => Ok(vec![format!("{other:?}")]),
            Err(problem) => Err(format!("{problem:?}")),
        }
    }

    #[test]
    fn targets_of_every_form_are_found() {
        for (text, wanted) in [
            ("a1_start", "a1_start"),
            ("start", "a1_start"),
            ("left", "b2_left"),
            ("d4", "d4_right"),
            ("left@head", "c3_left_end"),
            ("right@head", "d4_right"),
            ("current", "b2_left"),
            ("current+1", "c3_left_end"),
            ("c3-2", "a1_start"),
            ("left@head-1", "b2_left"),
            ("b2_left+1", "c3_left_end"),
            ("base+1", "a1_start"),
        ] {
            assert_eq!(ids(text), Ok(vec![wanted.to_owned()]), "{text}");
        }
        assert_eq!(ids("heads").unwrap(), ["c3_left_end", "d4_right"]);
        assert_eq!(ids("+2").unwrap(), ["Steps(2, None)"]);
        assert_eq!(ids("-1").unwrap(), ["Steps(-1, None)"]);
        assert_eq!(ids("base").unwrap(), ["Base(None)"]);
    }

    #[test]
    fn what_is_unknown_or_ambiguous_lists_the_candidates() {
        assert!(ids("head").unwrap_err().contains("c3_left_end"));
        assert!(ids("l").unwrap_err().contains("could be 2"));
        assert!(ids("a1_start+1").unwrap_err().contains("forks"));
        assert!(ids("a1_start-1").unwrap_err().contains("out of the history"));
        assert!(ids("d4_rihgt").unwrap_err().contains("did you mean `d4_right`"));
        assert!(ids("nope@head").is_err());
        assert!(ids("a1+99999999999999999999").is_err());
    }
}
