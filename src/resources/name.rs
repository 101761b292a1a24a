//! Names of resources: a few known ones nearly always, so those cost nothing to copy and compare.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

const KNOWN: [&str; 6] = ["cpus", "mem", "disk", "ports", "gpus", "ephemeral_ports"];

/// The name of a resource, as `cpus`.
#[derive(Clone)]
pub struct Name(Text);

#[derive(Clone)]
enum Text {
    Known(&'static str),
    Other(Arc<str>),
}

impl From<&str> for Name {
    fn from(text: &str) -> Name {
        Name(match KNOWN.iter().find(|known| **known == text) {
            Some(known) => Text::Known(known),
            None => Text::Other(text.into()),
        })
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Text::Known(text) => text,
            Text::Other(text) => text,
        }
    }
}

impl Name {
    /// Without a look at the text; false proves nothing.
    fn is_the_same(&self, other: &Name) -> bool {
        std::ptr::eq(&raw const **self, &raw const **other)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.is_the_same(other) || **self == **other
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> Ordering {
        if self.is_the_same(other) {
            return Ordering::Equal;
        }
        (**self).cmp(&**other)
    }
}

impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
