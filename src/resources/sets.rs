//! Sets of names, as `{a, b}`.

use std::collections::BTreeSet;
use std::fmt;

use super::Invalid;
use crate::proto::value;

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Set(BTreeSet<String>);

impl Set {
    pub fn new(items: impl IntoIterator<Item = String>) -> Set {
        Set(items.into_iter().collect())
    }

    /// The message's items; one that comes twice is refused.
    pub fn from_proto(message: &value::Set) -> Result<Set, Invalid> {
        let items: BTreeSet<_> = message.item.iter().cloned().collect();
        if items.len() < message.item.len() {
            return Invalid::new("Invalid set resource: duplicated elements");
        }
        Ok(Set(items))
    }

    pub fn to_proto(&self) -> value::Set {
        value::Set { item: self.0.iter().cloned().collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn add(&mut self, other: &Set) {
        self.0.extend(other.0.iter().cloned());
    }

    pub fn subtract(&mut self, other: &Set) {
        self.0.retain(|item| !other.0.contains(item));
    }

    pub fn contains(&self, other: &Set) -> bool {
        other.0.is_subset(&self.0)
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, item) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{item}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic() {
        let set = |items: &str| Set::new(items.split_whitespace().map(str::to_owned));
        let mut left = set("c a b");
        assert_eq!(left.to_string(), "{a, b, c}");
        left.subtract(&set("b x"));
        assert_eq!(left, set("a c"));
        assert!(left.contains(&set("c")) && !left.contains(&set("c d")));
        left.add(&set("d a"));
        assert_eq!((left.len(), left.is_empty()), (3, false));
        let twice = value::Set { item: vec!["a".into(), "a".into()] };
        assert_eq!(Set::from_proto(&twice).unwrap_err().0, "Invalid set resource: duplicated elements");
        assert_eq!(Set::from_proto(&left.to_proto()), Ok(left));
    }
}
