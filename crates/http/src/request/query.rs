//! Reading a type out of the parameters behind a path. Each may be there once, but for those that are lists.

use std::collections::{BTreeMap, btree_map};

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Unexpected, Visitor,
    value::StringDeserializer,
};

use super::wrong::Wrong;

/// Reads the part behind the question mark.
pub(super) fn read<T: DeserializeOwned>(query: &str) -> Result<T, Wrong> {
    let mut grouped: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        grouped.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    T::deserialize(Parameters { left: grouped.into_iter(), values: None })
}

struct Parameters {
    left: btree_map::IntoIter<String, Vec<String>>,
    values: Option<(String, Vec<String>)>,
}

impl<'de> Deserializer<'de> for Parameters {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any newtype_struct
    }
}

impl<'de> MapAccess<'de> for Parameters {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some((name, values)) = self.left.next() else { return Ok(None) };
        let key = seed.deserialize(StringDeserializer::<Wrong>::new(name.clone()))?;
        self.values = Some((name, values));
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, values) = self.values.take().unwrap_or_default();
        seed.deserialize(Texts(values)).map_err(|wrong| wrong.within(&name))
    }
}

/// The values of one parameter.
struct Texts(Vec<String>);

impl Texts {
    fn one(self) -> Result<String, Wrong> {
        let mut values = self.0.into_iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(Wrong::said("is given more than once")),
        }
    }
}

impl<'de> Deserializer<'de> for Texts {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_string(self.one()?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let text = self.one()?;
        match text.parse() {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => Err(Wrong::invalid_value(Unexpected::Str(&text), &visitor)),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let text = self.one()?;
        match text.parse() {
            Ok(number) => visitor.visit_i64(number),
            Err(_) => Err(Wrong::invalid_value(Unexpected::Str(&text), &visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let text = self.one()?;
        match text.as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(Wrong::invalid_value(Unexpected::Str(&text), &visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_seq(Each(self.0.into_iter()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_enum(StringDeserializer::new(self.one()?))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map
        struct identifier
    }
}

struct Each(std::vec::IntoIter<String>);

impl<'de> SeqAccess<'de> for Each {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        self.0.next().map(|text| seed.deserialize(Texts(vec![text]))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use types::SessionStatus;

    use super::*;
    use crate::request::Bounded;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Thing {
        limit: Option<Bounded<1, 200>>,
        id_prefix: Option<String>,
        #[serde(default)]
        label: Vec<String>,
        status: Option<SessionStatus>,
        after: Option<i64>,
    }

    #[test]
    fn each_mistake_names_its_parameter() {
        let said = |query: &str| read::<Thing>(query).unwrap_err().tell("parameter");
        for (query, expected) in [
            ("limit=0", "`limit` must be a whole number from 1 to 200, not 0"),
            ("limit=201", "`limit` must be a whole number from 1 to 200, not 201"),
            ("limit=", "`limit` must be a whole number from 1 to 200, not \"\""),
            ("limit=x", "`limit` must be a whole number from 1 to 200, not \"x\""),
            ("limit=-1", "`limit` must be a whole number from 1 to 200, not \"-1\""),
            ("limit=1.5", "`limit` must be a whole number from 1 to 200, not \"1.5\""),
            ("limit=1&limit=1", "`limit` is given more than once"),
            ("idPrefix=a&idPrefix=b", "`idPrefix` is given more than once"),
            ("limits=1", "there is no parameter `limits`; did you mean `limit`?"),
            ("zzz", "there is no parameter `zzz`; there are limit, idPrefix, label, status, after"),
            ("status=busy", "`status` must be one of idle, running, waitingApproval, not \"busy\""),
            ("status=idle&status=idle", "`status` is given more than once"),
        ] {
            assert_eq!(said(query), expected, "{query}");
        }
        let thing: Thing = read("label=a%3Ab&limit=200&label=c:d+e&status=waitingApproval").unwrap();
        assert_eq!(thing.label, ["a:b", "c:d e"]);
        assert_eq!(thing.limit.map(u32::from), Some(200));
        assert_eq!(thing.status, Some(SessionStatus::WaitingApproval));
        assert_eq!(read::<Thing>("after=0").unwrap().after, Some(0));
        assert_eq!(read::<Thing>("").unwrap().label, Vec::<String>::new());
    }
}
