//! Either driver, event by event.

mod executor;
mod scheduler;

use std::net::SocketAddr;

use crate::base::upid::Upid;

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn agent() -> Upid {
    Upid::new("slave(1)", address(5051))
}
