//! JSON patches (RFC 6902), as the server reads them: less strictly than they are written down.

use serde_json::{Value, json};

use super::Refused;

/// Returns the value that a patch makes of another.
///
/// # Errors
/// 422 for what is no patch, and where a test fails or a place is not there.
pub(super) fn apply(value: &Value, patch: &Value) -> Result<Value, Refused> {
    let mut value = value.clone();
    for operation in patch.as_array().ok_or(Refused::INVALID)? {
        let Some(operation) = as_read(&value, operation) else { continue };
        let one: json_patch::Patch =
            serde_json::from_value(json!([operation])).map_err(|_| Refused::INVALID)?;
        json_patch::patch(&mut value, &one).map_err(|_| Refused::INVALID)?;
    }
    Ok(value)
}

/// Returns an operation as the server takes it; `None` for a test that it holds to be true.
///
/// What is absent from a map may be replaced, and is null. Source: `replace` and `test` of evanphx/json-patch, version 4.
fn as_read(value: &Value, operation: &Value) -> Option<Value> {
    let path = operation["path"].as_str().unwrap_or_default();
    let parent = path.rsplit_once('/').and_then(|(parent, _)| value.pointer(parent));
    let is_absent = parent.is_some_and(Value::is_object) && value.pointer(path).is_none();
    match operation["op"].as_str() {
        Some("replace") if is_absent => {
            let mut operation = operation.clone();
            operation["op"] = "add".into();
            Some(operation)
        }
        Some("test") if is_absent && operation["value"].is_null() => None,
        _ => Some(operation.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_whose_test_fails_changes_nothing() {
        let value = json!({ "a": 1 });
        let patch = |test| json!([{ "op": "test", "path": "/a", "value": test }, { "op": "replace", "path": "/a", "value": 2 }]);
        assert_eq!(apply(&value, &patch(1)), Ok(json!({ "a": 2 })));
        assert_eq!(apply(&value, &patch(3)), Err(Refused::INVALID));
        assert_eq!(apply(&value, &json!([{ "op": "remove", "path": "/b" }])), Err(Refused::INVALID));
        assert_eq!(apply(&value, &json!({})), Err(Refused::INVALID));
    }

    #[test]
    fn what_is_absent_from_a_map_may_be_replaced_and_is_null() {
        let value = json!({ "a": {} });
        let replace = |path| json!([{ "op": "replace", "path": path, "value": 2 }]);
        assert_eq!(apply(&value, &replace("/a/b")), Ok(json!({ "a": { "b": 2 } })));
        assert_eq!(apply(&value, &replace("/c/b")), Err(Refused::INVALID));
        let test = |path| json!([{ "op": "test", "path": path, "value": null }]);
        assert_eq!(apply(&value, &test("/a/b")), Ok(value.clone()));
        assert_eq!(apply(&value, &test("/c/b")), Err(Refused::INVALID));
    }
}
