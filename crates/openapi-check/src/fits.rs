//! Whether everything that one schema lets through is let through by another.
//!
//! It knows the part of JSON Schema that our documents use. A schema is taken apart into plain alternatives first: the
//! members of a `oneOf`, the types of a list, and what an `allOf` makes of them together. Then each alternative of the one
//! must fit one of the other. What it does not know is taken for the same when it is written the same.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::find::{elements, fields, resolve};

/// How deep schemas are looked into; they may lead back to themselves.
const DEPTH: usize = 12;

/// A schema, and the document that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) document: &'a Value,
    pub(crate) schema: &'a Value,
}

/// Says why something that fits `sub` does not fit `sup`. With `keep` each property that `sup` names must be in `sub`, too: a
/// client that reads it would miss it.
pub(crate) fn fits(sub: Side<'_>, sup: Side<'_>, keep: bool) -> Result<(), String> {
    all_fit(sub, sup, keep, 0).map_err(|(path, why)| if path.is_empty() { why } else { format!("at {path}, {why}") })
}

/// Where, from outside in, and why.
type Misfit = (String, String);

fn all_fit(sub: Side<'_>, sup: Side<'_>, keep: bool, depth: usize) -> Result<(), Misfit> {
    if depth == DEPTH {
        return Ok(());
    }
    let known = alternatives(sup, 0);
    for one in alternatives(sub, 0) {
        let mut first = None;
        let fits = known.iter().any(|other| match one_fits(&one, sub, other, sup, keep, depth) {
            Ok(()) => true,
            Err(misfit) => {
                // The reason that got farthest is the one that helps.
                if first.as_ref().is_none_or(|(path, _): &Misfit| path.len() < misfit.0.len()) {
                    first = Some(misfit);
                }
                false
            }
        });
        if !fits {
            return Err(first.unwrap_or_else(|| (String::new(), "nothing fits".to_owned())));
        }
    }
    Ok(())
}

/// The plain alternatives of a schema.
fn alternatives(side: Side<'_>, depth: usize) -> Vec<Map<String, Value>> {
    let Value::Object(schema) = resolve(side.document, side.schema) else { return vec![Map::new()] };
    if depth == DEPTH {
        return vec![schema.clone()];
    }
    let mut plain = schema.clone();
    let mut found = vec![Map::new()];
    for keyword in ["oneOf", "anyOf"] {
        if let Some(Value::Array(members)) = plain.remove(keyword) {
            let open: Vec<_> =
                members.iter().flat_map(|schema| alternatives(Side { schema, ..side }, depth + 1)).collect();
            found = product(&found, &open);
        }
    }
    if let Some(Value::Array(members)) = plain.remove("allOf") {
        for schema in &members {
            found = product(&found, &alternatives(Side { schema, ..side }, depth + 1));
        }
    }
    let kinds = match plain.remove("type") {
        Some(Value::Array(kinds)) => {
            kinds.into_iter().map(|kind| Map::from_iter([("type".to_owned(), kind)])).collect()
        }
        Some(kind) => vec![Map::from_iter([("type".to_owned(), kind)])],
        None => vec![Map::new()],
    };
    product(&product(&found, &kinds), &[plain])
}

fn product(some: &[Map<String, Value>], others: &[Map<String, Value>]) -> Vec<Map<String, Value>> {
    some.iter().flat_map(|one| others.iter().map(|other| merge(one, other))).collect()
}

fn merge(one: &Map<String, Value>, other: &Map<String, Value>) -> Map<String, Value> {
    let mut both = one.clone();
    for (keyword, value) in other {
        match (keyword.as_str(), both.get_mut(keyword)) {
            ("properties", Some(Value::Object(known))) => {
                known.extend(fields(value).map(|(name, value)| (name.clone(), value.clone())));
            }
            ("required", Some(Value::Array(known))) => known.extend(elements(value).iter().cloned()),
            _ => drop(both.insert(keyword.clone(), value.clone())),
        }
    }
    both
}

fn one_fits(
    sub: &Map<String, Value>,
    sub_side: Side<'_>,
    sup: &Map<String, Value>,
    sup_side: Side<'_>,
    keep: bool,
    depth: usize,
) -> Result<(), Misfit> {
    let here = |why: String| Err((String::new(), why));
    let get = |schema: &Map<String, Value>, keyword: &str| schema.get(keyword).cloned().unwrap_or_default();
    if let Some(kind) = sup.get("type") {
        let of = get(sub, "type");
        if of != *kind && !(of == "integer" && kind == "number") {
            return here(format!("the type is {of} instead of {kind}"));
        }
    }
    if let Some(Value::Array(words)) = sup.get("enum") {
        match sub.get("enum") {
            None => return here("any word may come instead of some".to_owned()),
            Some(mine) => {
                if let Some(new) = elements(mine).iter().find(|word| !words.contains(word)) {
                    return here(format!("{new} is not one of the words"));
                }
            }
        }
    }
    for (keyword, sign) in [
        ("minimum", 1.0),
        ("minLength", 1.0),
        ("minItems", 1.0),
        ("maximum", -1.0),
        ("maxLength", -1.0),
        ("maxItems", -1.0),
    ] {
        let bound = |schema: &Map<String, Value>| schema.get(keyword).and_then(Value::as_f64);
        if let Some(theirs) = bound(sup)
            && bound(sub).is_none_or(|mine| mine * sign < theirs * sign)
        {
            return here(format!("{keyword} is {} instead of {theirs}", get(sub, keyword)));
        }
    }
    for keyword in ["pattern", "format"] {
        if sup.contains_key(keyword) && sup.get(keyword) != sub.get(keyword) {
            return here(format!("{keyword} is {} instead of {}", get(sub, keyword), get(sup, keyword)));
        }
    }
    let inner = |path: &str, mine: &Value, theirs: &Value| {
        let sides = (Side { schema: mine, ..sub_side }, Side { schema: theirs, ..sup_side });
        all_fit(sides.0, sides.1, keep, depth + 1).map_err(|(rest, why)| {
            let dot = if rest.is_empty() { "" } else { "." };
            (format!("{path}{dot}{rest}"), why)
        })
    };
    if let Some(theirs) = sup.get("items") {
        inner("[]", &get(sub, "items"), theirs)?;
    }
    if let Some(theirs) = sup.get("additionalProperties").filter(|theirs| theirs.is_object()) {
        inner("{}", &get(sub, "additionalProperties"), theirs)?;
    }
    let required = |schema: &Map<String, Value>| -> BTreeSet<String> {
        let names = schema.get("required").map(elements).unwrap_or_default().iter();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (needed, given) = (required(sup), required(sub));
    if let Some(name) = needed.difference(&given).next() {
        return here(format!("`{name}` need not be there any more, or must be now"));
    }
    let (mine, theirs) = (get(sub, "properties"), get(sup, "properties"));
    for (name, field) in fields(&theirs) {
        match mine.get(name) {
            Some(my) => inner(name, my, field)?,
            None if keep => return here(format!("`{name}` is gone")),
            None => {}
        }
    }
    if sup.get("additionalProperties") == Some(&json!(false))
        && let Some((name, _)) = fields(&mine).find(|(name, _)| theirs.get(name).is_none())
    {
        return here(format!("`{name}` is not taken any more"));
    }
    Ok(())
}
