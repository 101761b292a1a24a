//! A look at who stands, once: for people.

use std::time::Duration;

use etcd_client::{GetOptions, SortOrder, SortTarget};
use zookeeper_client::Error as ZkError;

use super::member::Member;
use super::url::Url;
use super::{etcd, zookeeper};
use crate::proto::MasterInfo;

/// A master that stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub member: Member,
    /// What its node holds, or why that cannot be read.
    pub info: Result<MasterInfo, String>,
}

/// All that stand, the one that leads first; the error says why that is not known.
pub async fn masters(url: &Url, patience: Duration) -> Result<Vec<Standing>, String> {
    let looked = async {
        match url {
            Url::ZooKeeper(place) => {
                let client = zookeeper::connect(place, patience).await.map_err(|error| error.to_string())?;
                in_zookeeper(&client, &place.path).await.map_err(|error| error.to_string())
            }
            Url::Etcd(place, tls) => {
                let client = etcd::connect(place, tls.as_ref(), patience).await;
                let mut client = client.map_err(|error| error.to_string())?;
                in_etcd(&mut client, &place.path).await.map_err(|error| error.to_string())
            }
            Url::Master(_) => Err("one master is no ensemble".to_owned()),
        }
    };
    tokio::time::timeout(patience, looked)
        .await
        .unwrap_or_else(|_| Err(format!("{url} did not answer within {patience:?}")))
}

async fn in_zookeeper(client: &zookeeper_client::Client, path: &str) -> Result<Vec<Standing>, ZkError> {
    let names = match client.list_children(path).await {
        Err(ZkError::NoNode) => return Ok(Vec::new()),
        names => names?,
    };
    let mut members: Vec<Member> = names.iter().filter_map(|name| Member::of_name(name)).collect();
    members.sort_by_key(|member| member.number);
    let mut standing = Vec::new();
    for member in members {
        match client.get_data(&format!("{path}/{}", member.name)).await {
            Ok((data, _)) => standing.push(Standing { info: member.read(&data), member }),
            // Gone meanwhile.
            Err(ZkError::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(standing)
}

async fn in_etcd(client: &mut etcd_client::Client, path: &str) -> Result<Vec<Standing>, etcd_client::Error> {
    let prefix = format!("{path}/");
    let options = GetOptions::new().with_prefix().with_sort(SortTarget::Create, SortOrder::Ascend);
    let found = client.get(prefix.as_str(), Some(options)).await?;
    let standing = found.kvs().iter().filter_map(|found| {
        let name = std::str::from_utf8(found.key()).ok()?.strip_prefix(&prefix)?;
        let named = Member::of_name(name).filter(|_| !name.contains('/'))?;
        // Ordered by when it was made, as in the election.
        let number = u64::try_from(found.create_revision()).unwrap_or_default();
        let info = named.read(found.value());
        Some(Standing { member: Member { number, ..named }, info })
    });
    Ok(standing.collect())
}
