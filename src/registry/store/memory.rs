//! A registry that ends with its process: `--registry=in_memory`.

use super::{Done, Store};
use crate::registry::{Operation, Registry};

#[derive(Debug, Default)]
pub struct Memory {
    registry: Registry,
}

impl Store for Memory {
    fn load(&mut self) -> Registry {
        self.registry.clone()
    }

    fn submit(&mut self, operation: Operation, done: Done) {
        done(self.registry.apply(&operation));
    }
}
