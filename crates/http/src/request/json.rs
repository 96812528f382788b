//! Reading a type out of JSON, so that a mistake says in which field it is.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor, value::StringDeserializer};
use serde_json::{Value, map};

use super::wrong::Wrong;

/// A value to read from.
pub(super) struct Json(pub(super) Value);

/// What a value is, in words.
pub(super) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

impl<'de> Deserializer<'de> for Json {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::String(text) => visitor.visit_string(text),
            Value::Array(values) => visitor.visit_seq(Elements { values: values.into_iter(), at: 0 }),
            Value::Object(fields) => visitor.visit_map(Members { fields: fields.into_iter(), value: None }),
            Value::Number(number) => {
                if let Some(number) = number.as_u64() {
                    visitor.visit_u64(number)
                } else if let Some(number) = number.as_i64() {
                    visitor.visit_i64(number)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
                }
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::String(word) => visitor.visit_enum(StringDeserializer::new(word)),
            other => Err(Wrong::must("a string", kind(&other))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Elements {
    values: std::vec::IntoIter<Value>,
    at: usize,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Some(value) = self.values.next() else { return Ok(None) };
        let element = seed.deserialize(Json(value)).map_err(|wrong| wrong.within(&format!("[{}]", self.at)))?;
        self.at += 1;
        Ok(Some(element))
    }
}

struct Members {
    fields: map::IntoIter,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        let key = seed.deserialize(StringDeserializer::<Wrong>::new(name.clone()))?;
        self.value = Some((name, value));
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, value) = self.value.take().unwrap_or_default();
        seed.deserialize(Json(value)).map_err(|wrong| wrong.within(&name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::{Map, json};
    use types::{InputPart, Sandbox};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only the mistakes matter")]
    struct Thing {
        name: String,
        is_it: Option<bool>,
        input: Option<Vec<InputPart>>,
        labels: Option<BTreeMap<String, Option<String>>>,
        sandbox: Option<Sandbox>,
        path: Option<std::path::PathBuf>,
        any: Option<Map<String, Value>>,
    }

    fn read(value: Value) -> Result<Thing, String> {
        Thing::deserialize(Json(value)).map_err(|wrong| wrong.tell("field"))
    }

    #[test]
    fn each_mistake_names_its_field() {
        for (value, said) in [
            (json!({}), "`name` is missing"),
            (json!({"name": null}), "`name` must be a string, not null"),
            (json!({"name": 7}), "`name` must be a string, not a number"),
            (json!({"name": "a", "isIt": "yes"}), "`isIt` must be true or false, not a string"),
            (json!({"name": "a", "is_it": true}), "there is no field `is_it`; did you mean `isIt`?"),
            (json!({"name": "a", "input": {}}), "`input` must be an array, not an object"),
            (json!({"name": "a", "input": [7]}), "`input[0]` must be an object, not a number"),
            (
                json!({"name": "a", "input": [{"type": "text", "text": "b"}, {"type": "text"}]}),
                "`input[1].text` is missing",
            ),
            (
                json!({"name": "a", "input": [{"type": "video"}]}),
                "`input[0].type` must be one of text, image, localImage, not \"video\"",
            ),
            (
                json!({"name": "a", "input": [{"type": "text", "text": "b", "txt": 1}]}),
                "there is no field `input[0].txt`; did you mean `text`?",
            ),
            (json!({"name": "a", "labels": {"x": 1}}), "`labels.x` must be a string, not a number"),
            (
                json!({"name": "a", "sandbox": "none"}),
                "`sandbox` must be one of read-only, workspace-write, danger-full-access, not \"none\"",
            ),
            (json!({"name": "a", "sandbox": []}), "`sandbox` must be a string, not an array"),
            (json!({"name": "a", "path": 1}), "`path` must be a string, not a number"),
            (json!({"name": "a", "any": []}), "`any` must be an object, not an array"),
        ] {
            assert_eq!(read(value.clone()).unwrap_err(), said, "{value}");
        }
        let fine = json!({
            "name": "a", "isIt": null, "labels": {"x": null}, "any": {"b": [1, -2, 0.5, null, {"c": true}]},
        });
        let fine = read(fine).unwrap();
        assert_eq!(fine.any.unwrap()["b"], json!([1, -2, 0.5, null, {"c": true}]));
        assert_eq!(fine.labels.unwrap()["x"], None);
    }
}
