//! A whole cluster in one process: a master and its agents, each with its own port, loop and work directory, and with
//! `--zk` a ZooKeeper through which they and others find each other.
//!
//! Source: `mesos::internal::local::launch`, local/local.cpp 1.11, where all share a port.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::{join_all, select_all};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::agent;
use crate::agent::run::End;
use crate::agent::start::Leaver;
use crate::cmd::local_flags::{Flags, ensemble};
use crate::coordination::Withdrawal;
use crate::coordination::url::{Server, Url};
use crate::logging::Log;
use crate::master;
use crate::zk;

/// How long agents may take to end their executors, beyond the grace that they give those.
const LEAVING: Duration = Duration::from_secs(5);

/// The first registration comes within this time: the usual second spares a master that has thousands.
const BACKOFF: Duration = Duration::from_millis(20);

/// As of `mesos zk serve`: sessions last 4 s to 40 s.
const TICK: Duration = Duration::from_secs(2);

/// Why a cluster could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("starting ZooKeeper")]
    ZooKeeper(#[from] zk::run::StartError),
    #[error("starting the master")]
    Master(#[from] master::start::StartError),
    #[error("starting agent {number}")]
    Agent { number: u64, source: agent::start::StartError },
}

/// A cluster that serves.
pub struct Cluster {
    /// Where frameworks and agents find its master: `host:port`, or `zk://…` with a ZooKeeper.
    pub address: Url,
    /// Why a ZooKeeper of ours ended.
    zk: Option<oneshot::Receiver<String>>,
    master: oneshot::Receiver<String>,
    /// The master stands for election as long as this is held.
    _candidacy: Option<Withdrawal>,
    agents: Vec<Agent>,
    /// How long an agent may take to leave.
    patience: Duration,
}

struct Agent {
    ended: oneshot::Receiver<End>,
    leaver: Leaver,
}

/// Starts a ZooKeeper if there is to be one, a master and then its agents. Must be called inside a tokio runtime with
/// several threads.
pub async fn start(flags: &Flags, log: &Log) -> Result<Cluster, StartError> {
    let (zk, url) = match flags.zk {
        None => (None, None),
        Some(listen) => {
            let running = zookeeper(listen).await?;
            (Some(running.ended), Some(ensemble(running.address)))
        }
    };
    let master = master::start::start(flags.master(url.as_ref()), log).await?;
    let alone = || Url::Master(Server { host: master.address.ip().to_string(), port: master.address.port() });
    let address = url.clone().unwrap_or_else(alone);
    let mut agents = Vec::new();
    let mut patience = LEAVING;
    for index in 0..flags.num_slaves {
        let number = index + 1;
        let mut agent_flags = flags.agent(index, address.clone());
        if !agent_flags.values.is_set("registration_backoff_factor") {
            agent_flags.registration_backoff_factor = BACKOFF;
        }
        patience = LEAVING + agent_flags.executor_shutdown_grace_period;
        let id = usize::try_from(number).unwrap_or(usize::MAX);
        let running = agent::start::start(agent_flags, id, log).await;
        let running = running.map_err(|source| StartError::Agent { number, source })?;
        agents.push(Agent { ended: running.ended, leaver: running.leaver });
    }
    info!(at = %address, master = %master.address, agents = agents.len(), "local cluster serves");
    Ok(Cluster { address, zk, master: master.ended, _candidacy: master.withdrawal, agents, patience })
}

async fn zookeeper(listen: SocketAddr) -> Result<zk::run::Running, zk::run::StartError> {
    zk::run::start(zk::run::Options {
        listen,
        place: zk::store::Place::Memory,
        tick: TICK,
        words: zk::run::Allowed::parse("srvr"),
    })
    .await
}

impl Cluster {
    /// Why the cluster has to end, once a part of it has.
    pub async fn ended(&mut self) -> String {
        let gone = |part: &str| format!("{part} is gone");
        let agents = self.agents.iter_mut().map(|agent| &mut agent.ended);
        let any_agent = async {
            if agents.len() == 0 {
                return std::future::pending().await;
            }
            select_all(agents).await.0
        };
        let zk = async {
            match &mut self.zk {
                Some(zk) => zk.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            why = zk => why.unwrap_or_else(|_| gone("ZooKeeper's loop")),
            why = &mut self.master => why.unwrap_or_else(|_| gone("the master's loop")),
            why = any_agent => why.map_or_else(|_| gone("an agent's loop"), End::why),
        }
    }

    /// Ends executors with their tasks, so that nothing of the cluster is left running.
    pub async fn leave(self) {
        for agent in &self.agents {
            agent.leaver.leave("the local cluster ends");
        }
        let all = join_all(self.agents.into_iter().map(|agent| agent.ended));
        if tokio::time::timeout(self.patience, all).await.is_err() {
            warn!("some agents did not end in time");
        }
    }
}
