//! Where two lists of actions part.

use agent_sandbox_core::action::Action;
use agent_sandbox_core::trace::Step;
use serde_json::Value;

/// A step for which this build has other actions than the trace.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Its number, the first being 1.
    pub step: u64,
    /// What entered the machine, with the actions that the trace has.
    pub asked: Step,
    /// The actions of this build, redacted.
    pub got: Vec<Action>,
}

/// The first place where the actions differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where, such as `actions[0].operation.Patch.version`.
    pub path: String,
    /// What the trace has there, as JSON; `nothing` where it has no such place.
    pub expected: String,
    /// What this build has there.
    pub got: String,
}

impl Difference {
    /// Returns the first place where the actions differ; `None` when their JSON is the same.
    pub fn field(&self) -> Option<Field> {
        let list = |actions: &[Action]| serde_json::to_value(actions).unwrap_or(Value::Null);
        first("actions", Some(&list(&self.asked.actions)), Some(&list(&self.got)))
    }
}

fn first(path: &str, expected: Option<&Value>, got: Option<&Value>) -> Option<Field> {
    if expected == got {
        return None;
    }
    match (expected, got) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let only_right = right.keys().filter(|key| !left.contains_key(*key));
            let mut keys = left.keys().chain(only_right);
            keys.find_map(|key| first(&format!("{path}.{key}"), left.get(key), right.get(key)))
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            let mut places = 0..left.len().max(right.len());
            places.find_map(|place| first(&format!("{path}[{place}]"), left.get(place), right.get(place)))
        }
        _ => Some(Field { path: path.to_owned(), expected: shown(expected), got: shown(got) }),
    }
}

/// Writes a value on part of a line.
fn shown(value: Option<&Value>) -> String {
    const CHARS_MAX: usize = 200;
    let text = value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_with_its_place() {
        for (left, right, path, expected, got) in [
            (json!([1, 2]), json!([1, 3]), "a[1]", "2", "3"),
            (json!([1]), json!([1, 3]), "a[1]", "nothing", "3"),
            (json!({"x": {"y": null}}), json!({"x": {}}), "a.x.y", "null", "nothing"),
            (json!({"x": 1}), json!({"x": 1, "z": "t"}), "a.z", "nothing", "\"t\""),
        ] {
            let field = Field { path: path.into(), expected: expected.into(), got: got.into() };
            assert_eq!(first("a", Some(&left), Some(&right)), Some(field));
        }
        assert_eq!(first("a", Some(&json!([1])), Some(&json!([1]))), None);
    }

    #[test]
    fn long_values_are_shortened() {
        let text = shown(Some(&Value::String("ä".repeat(500))));
        assert!(text.ends_with("… (1002 bytes)") && text.chars().count() < 220, "{text}");
    }
}
