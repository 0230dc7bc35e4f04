//! The table of accepted deviations in `docs/api-server-model.md`.

use std::fmt;

use agent_sandbox_core::id::Kind;
use serde_json::Value;

/// How two answers differ in one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The kind of the object that they are about.
    pub kind: Kind,
    /// The field, as in `spec.containers[].image`; `(answer)` for the outcome itself.
    pub path: String,
    /// What the model says.
    pub model: Option<Value>,
    /// What the real server says.
    pub server: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or("absent".to_owned(), Value::to_string);
        let Self { kind, path, model, server } = self;
        write!(f, "{kind} {path}: the model says {}, the server {}", text(model), text(server))
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Deviation {
    /// Where it stands.
    pub line: usize,
    kinds: Vec<Kind>,
    path: String,
    model: Pattern,
    server: Pattern,
}

#[derive(Clone, Debug)]
enum Pattern {
    Absent,
    Any,
    OneOf(Vec<Value>),
}

impl Pattern {
    /// Reads `absent`, `any`, or values between backquotes, with `or` between them.
    fn parse(cell: &str) -> Option<Self> {
        match cell {
            "absent" => Some(Self::Absent),
            "any" => Some(Self::Any),
            values => {
                let value =
                    |code: &str| serde_json::from_str(code.strip_prefix('`')?.strip_suffix('`')?).ok();
                values.split(" or ").map(value).collect::<Option<_>>().map(Self::OneOf)
            }
        }
    }

    fn fits(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Absent => value.is_none(),
            Self::Any => value.is_some(),
            Self::OneOf(wanted) => value.is_some_and(|value| wanted.contains(value)),
        }
    }
}

impl Deviation {
    /// Returns whether the line speaks of this difference.
    #[must_use]
    pub fn covers(&self, difference: &Difference) -> bool {
        let path = self
            .path
            .strip_suffix('*')
            .map_or_else(|| self.path == difference.path, |start| difference.path.starts_with(start));
        path && self.kinds.contains(&difference.kind)
            && self.model.fits(difference.model.as_ref())
            && self.server.fits(difference.server.as_ref())
    }
}

/// Reads the table: kinds, field, model, server, reason.
///
/// **Panics** on a line that it cannot read.
#[must_use]
pub fn read(document: &str) -> Vec<Deviation> {
    let lines = document.lines().zip(1..).filter(|(text, _)| text.starts_with('|'));
    lines
        .skip(2)
        .map(|(text, line)| parse(text, line).unwrap_or_else(|| panic!("line {line}: {text}")))
        .collect()
}

fn parse(text: &str, line: usize) -> Option<Deviation> {
    let cells: Vec<&str> = text.trim_matches('|').split('|').map(str::trim).collect();
    let [kinds, path, model, server, reason] = cells[..] else { return None };
    let kinds = if kinds == "all" {
        Kind::ALL.to_vec()
    } else {
        let named = |name: &str| Kind::ALL.into_iter().find(|kind| kind.name() == name);
        kinds.split(", ").map(named).collect::<Option<_>>()?
    };
    let path = path.strip_prefix('`')?.strip_suffix('`')?.to_owned();
    let (model, server) = (Pattern::parse(model)?, Pattern::parse(server)?);
    (!reason.is_empty()).then_some(Deviation { line, kinds, path, model, server })
}

/// Lists how two values differ, field by field.
pub fn compare(
    kind: Kind,
    path: &str,
    model: Option<&Value>,
    server: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    match (model, server) {
        (Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
            let mut fields: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
            fields.sort();
            fields.dedup();
            for field in fields {
                let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
                compare(kind, &path, ours.get(field), theirs.get(field), found);
            }
        }
        (Some(Value::Array(ours)), Some(Value::Array(theirs))) if ours.len() == theirs.len() => {
            for (ours, theirs) in ours.iter().zip(theirs) {
                compare(kind, &format!("{path}[]"), Some(ours), Some(theirs), found);
            }
        }
        (model, server) if model != server => {
            found.push(Difference {
                kind,
                path: path.to_owned(),
                model: model.cloned(),
                server: server.cloned(),
            });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TABLE: &str = "\
| kind | field | model | server | why |
|---|---|---|---|---|
| Pod, Service | `spec.*` | absent | any | nobody reads it |
| all | `status` | absent | `{}` | the same |";

    #[test]
    fn differences_are_named_by_their_fields() {
        let (ours, theirs) =
            (json!({ "a": [{ "b": 1, "c": 2 }], "d": [1] }), json!({ "a": [{ "b": 2 }], "d": [] }));
        let mut found = Vec::new();
        compare(Kind::Pod, "", Some(&ours), Some(&theirs), &mut found);
        let paths: Vec<_> = found.iter().map(|difference| &*difference.path).collect();
        assert_eq!(paths, ["a[].b", "a[].c", "d"]);
    }

    #[test]
    fn a_line_covers_what_it_says_and_nothing_else() {
        let [spec, status] = &read(TABLE)[..] else { panic!("two lines") };
        let difference = |kind, path: &str, model: Option<Value>, server: Option<Value>| Difference {
            kind,
            path: path.to_owned(),
            model,
            server,
        };
        let one = || Some(json!(1));
        assert!(spec.covers(&difference(Kind::Pod, "spec.x", None, one())));
        assert!(!spec.covers(&difference(Kind::Claim, "spec.x", None, one())));
        assert!(!spec.covers(&difference(Kind::Pod, "status.x", None, one())));
        assert!(!spec.covers(&difference(Kind::Pod, "spec.x", one(), Some(json!(2)))));
        assert!(!spec.covers(&difference(Kind::Pod, "spec.x", one(), None)));
        assert!(status.covers(&difference(Kind::Claim, "status", None, Some(json!({})))));
        assert!(!status.covers(&difference(Kind::Claim, "status", None, one())));
    }

    #[test]
    #[should_panic(expected = "line 5")]
    fn a_line_without_a_reason_is_none() {
        let _ = read(&format!("{TABLE}\n| Pod | `x` | absent | any | |"));
    }
}
