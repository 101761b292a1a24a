//! `--attributes`: what else an agent says of itself, as `rack:abc;zone:west;level:10;keys:[1000-1500]`.
//!
//! Source: common/attributes.cpp 1.11. There a set is an error that ends the agent; here it is an attribute.

use std::collections::BTreeMap;

use super::{Invalid, Ranges, Set, parse};
use crate::proto::json::{JsonError, Object, from_json_array};
use crate::proto::value::Type;
use crate::proto::{Attribute, Spelling};

/// Reads the text form, or a JSON array of Attribute messages.
pub fn parse(text: &str) -> Result<Vec<Attribute>, Invalid> {
    if text.trim_start().starts_with('[') {
        let attributes: Vec<Attribute> =
            from_json_array(text.as_bytes(), Spelling::V0).map_err(|error| match error {
                JsonError::Syntax(reason) => Invalid(format!("Failed to parse attributes as JSON: {reason}")),
                JsonError::Convert(reason) => {
                    Invalid(format!("Some JSON attributes were not formatted properly: {reason}"))
                }
            })?;
        attributes.iter().try_for_each(validate)?;
        return Ok(attributes);
    }
    let tokens = text.split([';', '\n']).filter(|token| !token.trim().is_empty());
    tokens.map(one).collect()
}

fn one(token: &str) -> Result<Attribute, Invalid> {
    let (name, text) = token
        .split_once(':')
        .filter(|(name, text)| !name.trim().is_empty() && !text.is_empty())
        .ok_or_else(|| Invalid(format!("Invalid attribute key:value pair '{token}'")))?;
    let value = parse::value(text)
        .map_err(|error| Invalid(format!("Failed to parse attribute {name} text {text} error {error}")))?;
    let attribute = Attribute {
        name: name.trim().to_owned(),
        r#type: value.r#type,
        scalar: value.scalar,
        ranges: value.ranges,
        set: value.set,
        text: value.text,
    };
    Ok(attribute)
}

/// Is this a name with one value, of the type it says?
pub fn validate(attribute: &Attribute) -> Result<(), Invalid> {
    let has = match Type::try_from(attribute.r#type) {
        Ok(Type::Scalar) => attribute.scalar.as_ref().is_some_and(|scalar| scalar.value.is_finite()),
        Ok(Type::Ranges) => match &attribute.ranges {
            Some(ranges) => Ranges::new(ranges.range.iter().map(|range| (range.begin, range.end))).is_ok(),
            None => false,
        },
        Ok(Type::Set) => attribute.set.is_some(),
        Ok(Type::Text) => attribute.text.is_some(),
        Err(_) => false,
    };
    if attribute.name.is_empty() || !has {
        return Invalid::new(format!("Invalid attribute '{}'", attribute.name.escape_debug()));
    }
    Ok(())
}

/// `{"rack":"abc","level":10.0,"keys":"[1000-1500]"}`: a member per name, of equal names the last.
pub fn write(object: &mut Object<'_>, attributes: &[Attribute]) {
    let last: BTreeMap<&str, usize> =
        attributes.iter().enumerate().map(|(index, attribute)| (attribute.name.as_str(), index)).collect();
    for (index, attribute) in attributes.iter().enumerate() {
        if last.get(attribute.name.as_str()) != Some(&index) {
            continue;
        }
        let name = attribute.name.as_str();
        match attribute {
            Attribute { scalar: Some(scalar), .. } => object.number(name, scalar.value),
            Attribute { ranges: Some(ranges), .. } => {
                let ranges = Ranges::new(ranges.range.iter().map(|range| (range.begin, range.end)));
                object.string(name, &ranges.unwrap_or_default().to_string());
            }
            Attribute { set: Some(set), .. } => object.string(name, &Set::new(set.item.clone()).to_string()),
            Attribute { text: Some(text), .. } => object.string(name, &text.value),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::json::text;

    fn json(attributes: &[Attribute]) -> String {
        let mut out = Vec::new();
        text::object(&mut out, |object| write(object, attributes));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_forms() {
        let attributes =
            parse("rack:abc;level:10;keys:[1000-1500];set:{b,a};url:http://x:1;rack:r2\n").unwrap();
        assert_eq!(attributes.len(), 6);
        assert_eq!(
            json(&attributes),
            r#"{"level":10.0,"keys":"[1000-1500]","set":"{a, b}","url":"http://x:1","rack":"r2"}"#
        );
        let attributes = parse(r#"[{"name":"rack","type":"TEXT","text":{"value":"a b"}}]"#).unwrap();
        assert_eq!(json(&attributes), r#"{"rack":"a b"}"#);
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for bad in ["rack", ":x", "rack:", "a:[1-", "a:nan", r#"[{"name":"rack","type":"TEXT"}]"#, "[1]"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("rack").unwrap_err().0, "Invalid attribute key:value pair 'rack'");
    }
}
