//! The members of an etcd cluster, of which one is asked until it fails.
//!
//! The client's own balancing goes on sending every other request to a member that is gone.

use tokio::sync::RwLock;

use etcd_client::Client;

use super::etcd::PATIENCE;
use crate::coordination::etcd::{ConnectError, connect};
use crate::coordination::url::{Place, Server, Tls};

pub struct Members {
    place: Place,
    tls: Option<Tls>,
    current: RwLock<Member>,
}

/// The one that is asked.
#[derive(Clone)]
pub struct Member {
    pub client: Client,
    pub server: Server,
    /// How often there was another before.
    turn: usize,
}

impl Members {
    /// Begins with the first server that a client can be made for.
    pub async fn connect(place: &Place, tls: Option<&Tls>) -> Result<Members, ConnectError> {
        let mut turn = 0;
        loop {
            match client(place, tls, turn).await {
                Ok((client, server)) => {
                    let current = RwLock::new(Member { client, server, turn });
                    return Ok(Members { place: place.clone(), tls: tls.cloned(), current });
                }
                Err(error) if turn + 1 == place.servers.len() => return Err(error),
                Err(_) => turn += 1,
            }
        }
    }

    pub async fn one(&self) -> Member {
        self.current.read().await.clone()
    }

    /// What this one was asked failed: the next one's turn, unless that is so already.
    pub async fn failed(&self, member: &Member) {
        let mut current = self.current.write().await;
        if current.turn != member.turn {
            return;
        }
        current.turn += 1;
        match client(&self.place, self.tls.as_ref(), current.turn).await {
            Ok((client, server)) => {
                current.client = client;
                current.server = server;
            }
            Err(error) => tracing::warn!(%error, "turning to another member of etcd"),
        }
    }
}

async fn client(place: &Place, tls: Option<&Tls>, turn: usize) -> Result<(Client, Server), ConnectError> {
    let server = place.servers[turn % place.servers.len()].clone();
    let alone = Place { servers: vec![server.clone()], ..place.clone() };
    Ok((connect(&alone, tls, PATIENCE).await?, server))
}
