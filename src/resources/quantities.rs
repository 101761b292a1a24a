//! How much there is of each name, whoever it is reserved for: what shares and limits are computed from.

use std::collections::BTreeMap;
use std::fmt;

use smallvec::SmallVec;

use super::{Invalid, Name, scalar};
use crate::proto::value;

/// Thousandths by name, in the order of the names. Nothing is held of what there is none of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantities(SmallVec<[(Name, i64); 4]>);

impl Quantities {
    pub fn new() -> Quantities {
        Quantities::default()
    }

    /// A message's map, as quotas and limits have it.
    pub fn from_proto(map: &BTreeMap<String, value::Scalar>) -> Result<Quantities, Invalid> {
        let mut quantities = Quantities::new();
        for (name, value) in map {
            let amount = scalar::thousandths(value.value)
                .map_err(|error| Invalid(format!("Invalid resource quantity for '{name}': {error}")))?;
            quantities.add_one(&Name::from(name.as_str()), amount);
        }
        Ok(quantities)
    }

    /// Text as `cpus:0.01;mem:32`. Zeros are dropped.
    pub fn parse(text: &str) -> Result<Quantities, Invalid> {
        let mut quantities = Quantities::new();
        for token in text.split(';').filter(|token| !token.is_empty()) {
            let Some((name, value)) = token.split_once(':').filter(|(_, value)| !value.contains(':')) else {
                return Invalid::new(format!("Failed to parse '{token}': missing or extra ':'"));
            };
            let amount = value.trim().parse::<f64>().map_err(|_| Invalid("expecting a number".into()));
            let amount = amount
                .and_then(scalar::thousandths)
                .map_err(|error| Invalid(format!("Failed to parse '{value}' to quantity: {error}")))?;
            quantities.add_one(&Name::from(name.trim()), amount);
        }
        Ok(quantities)
    }

    pub fn to_proto(&self) -> BTreeMap<String, value::Scalar> {
        let scalar = |amount| value::Scalar { value: scalar::to_f64(amount) };
        self.iter().map(|(name, amount)| (name.to_string(), scalar(amount))).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Name, i64)> {
        self.0.iter().map(|(name, amount)| (name, *amount))
    }

    /// Thousandths of `name`; 0 if there is none.
    pub fn get(&self, name: &str) -> i64 {
        self.0.iter().find(|(own, _)| **own == *name).map_or(0, |(_, amount)| *amount)
    }

    /// Adds an amount, which may be negative; what falls to zero or below is no longer held.
    pub fn add_one(&mut self, name: &Name, amount: i64) {
        match self.0.binary_search_by(|(own, _)| own.cmp(name)) {
            Ok(index) => {
                let sum = self.0[index].1.saturating_add(amount);
                self.0[index].1 = sum;
                if sum <= 0 {
                    self.0.remove(index);
                }
            }
            Err(index) if amount > 0 => self.0.insert(index, (name.clone(), amount)),
            Err(_) => {}
        }
    }

    pub fn add(&mut self, other: &Quantities) {
        for (name, amount) in &other.0 {
            self.add_one(name, *amount);
        }
    }

    /// Takes away; what would fall below zero is gone.
    pub fn subtract(&mut self, other: &Quantities) {
        for (name, amount) in &other.0 {
            self.add_one(name, amount.saturating_neg());
        }
    }

    /// Is there at least as much of everything?
    pub fn contains(&self, other: &Quantities) -> bool {
        other.iter().all(|(name, amount)| self.get(name) >= amount)
    }
}

impl fmt::Display for Quantities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("{}");
        }
        for (index, (name, amount)) in self.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{name}:{}", scalar::text(amount))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantities(text: &str) -> Quantities {
        Quantities::parse(text).unwrap()
    }

    #[test]
    fn arithmetic() {
        let mut total = quantities("mem:64;cpus:2.5");
        assert_eq!(total.to_string(), "cpus:2.5; mem:64");
        total.add(&quantities("disk:1;cpus:0.5"));
        assert_eq!(total, quantities("cpus:3;disk:1;mem:64"));
        assert!(total.contains(&quantities("cpus:3;mem:1")) && !total.contains(&quantities("gpus:1")));
        total.subtract(&quantities("cpus:3;mem:65;gpus:1"));
        assert_eq!(total, quantities("disk:1"));
        assert_eq!((total.get("disk"), total.get("cpus")), (1000, 0));
        assert_eq!(Quantities::from_proto(&total.to_proto()), Ok(total));
    }

    #[test]
    fn text() {
        assert!(quantities("").is_empty() && quantities("cpus:0").is_empty());
        for bad in ["cpus", "cpus:1:2", "cpus:x", "cpus:-1", "cpus:nan", "cpus:inf", "cpus:[1-2]"] {
            assert!(Quantities::parse(bad).is_err(), "{bad}");
        }
    }
}
