//! Whether a message can mean anything. Refusals are sentences that a client reads.

pub mod call;
