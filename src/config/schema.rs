//! The JSON Schema of the configuration, made from the raw types: what is
//! published is what is enforced.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw::RawConfig;

/// The schema (draft 2020-12) that `vestibule schema` prints.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<RawConfig>().to_value();
    without_null(&mut schema);
    if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
        let public = |(name, definition): (String, Value)| {
            (name.trim_start_matches("Raw").to_owned(), definition)
        };
        *definitions = std::mem::take(definitions)
            .into_iter()
            .map(public)
            .collect();
    }
    schema["title"] = "Vestibule configuration".into();
    schema
}

/// TOML knows no null; an optional key is simply absent.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(branches)) = object.get_mut("anyOf") {
                branches.retain(|branch| branch["type"] != "null");
                if let [only] = branches.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    if let Value::Object(only) = only {
                        object.extend(only);
                    }
                }
            }
            // readers of the schema need not know that our types are the raw ones
            if let Some(Value::String(target)) = object.get_mut("$ref") {
                *target = target.replace("/$defs/Raw", "/$defs/");
            }
            // these carry only absence: every default stands in the reference
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            object.values_mut().for_each(without_null);
        }
        Value::Array(entries) => entries.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// Follows `$ref`. The second value is the name of the definition.
pub(super) fn resolve<'a>(schema: &'a Value, root: &'a Value) -> (&'a Value, Option<&'a str>) {
    let name = schema["$ref"]
        .as_str()
        .and_then(|target| target.strip_prefix("#/$defs/"));
    match name {
        Some(name) => (&root["$defs"][name], Some(name)),
        None => (schema, None),
    }
}

/// Every key that exists, in the form `route.ID.rules[].path`.
pub fn keys() -> Vec<String> {
    let root = schema();
    let mut out = Vec::new();
    collect(&root, &root, "", &mut out);
    out.sort();
    out.dedup();
    out
}

fn collect(schema: &Value, root: &Value, key: &str, out: &mut Vec<String>) {
    let (schema, _) = resolve(schema, root);
    let before = out.len();
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            let key = super::tree::child_key(key, name);
            collect(property, root, &key, out);
        }
    }
    if schema["additionalProperties"].is_object() {
        let id = if key.ends_with("headers") || key.ends_with("].claims") {
            "NAME"
        } else {
            "ID"
        };
        let key = super::tree::child_key(key, id);
        collect(&schema["additionalProperties"], root, &key, out);
    }
    let mut own = !key.is_empty() && out.len() == before;
    if schema["items"].is_object() {
        collect(&schema["items"], root, &format!("{key}[]"), out);
        out.retain(|known| *known != format!("{key}[]"));
        own = true;
    }
    for branch in schema["anyOf"].as_array().into_iter().flatten() {
        if branch["type"] != "string" {
            collect(branch, root, key, out);
        }
    }
    if own {
        out.push(key.to_owned());
    }
}
