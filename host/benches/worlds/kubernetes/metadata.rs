//! What all objects have, and who changed which of their fields: a third of the bytes of every list.

use serde_json::{Map, Value, json};

use crate::time::minutes_ago;

/// An entry of `managedFields`.
pub fn managed(manager: &str, version: &str, subresource: Option<&str>, minutes: usize, fields: &Value) -> Value {
    let mut entry = json!({
        "manager": manager, "operation": "Update", "apiVersion": version, "time": minutes_ago(minutes),
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    if let Some(subresource) = subresource {
        entry["subresource"] = subresource.into();
    }
    entry
}

/// `{"f:a": {}, "f:b": {}}`.
pub fn fields(names: &[&str]) -> Value {
    names.iter().map(|name| (format!("f:{name}"), json!({}))).collect::<Map<_, _>>().into()
}

/// The same beneath a key of a list: `{"k:{\"name\":\"main\"}": {".": {}, …}}`.
pub fn keyed(key: &str, value: &str, names: &[&str]) -> Value {
    let mut fields = fields(names);
    fields["."] = json!({});
    json!({ (format!("k:{{\"{key}\":\"{value}\"}}")): fields })
}

/// Adds the entries of one object to another.
pub fn merge(objects: impl IntoIterator<Item = Value>) -> Value {
    let objects = objects.into_iter().filter_map(|object| match object {
        Value::Object(object) => Some(object),
        _ => None,
    });
    objects.flatten().collect::<Map<_, _>>().into()
}

pub fn owner(version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!([{
        "apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true,
    }])
}
