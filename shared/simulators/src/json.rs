//! Access to members of arbitrary JSON.

use serde_json::Value;

static NULL: Value = Value::Null;

/// The value at a JSON pointer (RFC 6901), or null.
pub(super) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&NULL)
}

/// The text at a JSON pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    at(value, pointer).as_str()
}

/// The elements of a list; empty for any other value.
pub(super) fn elements(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// Adds the members of one object to another; they replace members of the same name.
pub(super) fn extend(object: &mut Value, members: Value) {
    if let (Some(object), Value::Object(members)) = (object.as_object_mut(), members) {
        object.extend(members);
    }
}
