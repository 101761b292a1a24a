//! Who may do what with a node.
//!
//! Source: `ZooKeeperServer.checkACL`, `PrepRequestProcessor.fixupACL`, `DigestAuthenticationProvider`,
//! `IPAuthenticationProvider`, 3.8.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use crate::zk::wire::{Acl, Id, Refusal, perms};

/// Whether one of these may, by a list that allows.
pub fn may(acl: &[Acl], perm: i32, who: &[Id]) -> Result<(), Refusal> {
    let allows = |entry: &Acl| {
        entry.perms & perm != 0
            && ((&*entry.id.scheme == "world" && &*entry.id.id == "anyone")
                || who.iter().any(|one| is_one_of(one, &entry.id)))
    };
    if acl.is_empty() || acl.iter().any(allows) { Ok(()) } else { Err(Refusal::NoAuth) }
}

fn is_one_of(who: &Id, of: &Id) -> bool {
    who.scheme == of.scheme
        && match &*of.scheme {
            "ip" => is_in(&who.id, &of.id),
            _ => who.id == of.id,
        }
}

/// Whether an address is in a range, `10.0.0.0/8`.
fn is_in(address: &str, range: &str) -> bool {
    let (base, bits) = match range.split_once('/') {
        Some((base, bits)) => (base, bits.parse::<u32>().ok()),
        None => (range, None),
    };
    match (address.parse::<IpAddr>(), base.parse::<IpAddr>()) {
        (Ok(IpAddr::V4(address)), Ok(IpAddr::V4(base))) => {
            let shift = 32 - bits.unwrap_or(32).min(32);
            u64::from(u32::from(address)) >> shift == u64::from(u32::from(base)) >> shift
        }
        (Ok(IpAddr::V6(address)), Ok(IpAddr::V6(base))) => {
            let shift = 128 - bits.unwrap_or(128).min(128);
            shift == 128 || u128::from(address) >> shift == u128::from(base) >> shift
        }
        _ => false,
    }
}

/// A list as it is kept: `auth` is who asks, and each entry stands once.
pub fn settled(acl: &[Acl], who: &[Id]) -> Result<Vec<Acl>, Refusal> {
    let mut all: Vec<Acl> = Vec::new();
    let mut add = |entry: Acl| {
        if !all.contains(&entry) {
            all.push(entry);
        }
    };
    if acl.is_empty() {
        return Err(Refusal::InvalidAcl);
    }
    for entry in acl {
        match (&*entry.id.scheme, &*entry.id.id) {
            ("world", "anyone") => add(entry.clone()),
            ("digest", id) if id.split(':').count() == 2 => add(entry.clone()),
            ("ip", id) if is_range(id) => add(entry.clone()),
            ("auth", _) => {
                let mut proven = who.iter().filter(|one| &*one.scheme != "ip").peekable();
                if proven.peek().is_none() {
                    return Err(Refusal::InvalidAcl);
                }
                proven.for_each(|one| add(Acl { perms: entry.perms, id: one.clone() }));
            }
            _ => return Err(Refusal::InvalidAcl),
        }
    }
    Ok(all)
}

fn is_range(text: &str) -> bool {
    let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
    let Ok(base) = base.parse::<IpAddr>() else { return false };
    let most = if base.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u32>().is_ok_and(|bits| bits <= most))
}

/// Who somebody is that says this; none if it proves nothing.
pub fn proven(scheme: &str, auth: &[u8], address: IpAddr) -> Option<Id> {
    match scheme {
        "digest" => {
            let text = std::str::from_utf8(auth).ok()?;
            let user = text.split(':').next()?;
            let hash = STANDARD.encode(Sha1::digest(text.as_bytes()));
            Some(Id { scheme: scheme.into(), id: format!("{user}:{hash}").into() })
        }
        "ip" => Some(Id { scheme: scheme.into(), id: address.to_string().into() }),
        _ => None,
    }
}

/// Somebody, without what proves it.
pub fn named(id: &Id) -> Id {
    let name = if &*id.scheme == "digest" { id.id.split(':').next().unwrap_or_default() } else { &id.id };
    Id { scheme: id.scheme.clone(), id: name.into() }
}

/// A list as somebody sees it who may not change it: without hashes.
pub fn redacted(acl: &[Acl], who: &[Id]) -> Vec<Acl> {
    if may(acl, perms::ADMIN, who).is_ok() {
        return acl.to_vec();
    }
    acl.iter()
        .map(|entry| match entry.id.id.split_once(':') {
            Some((user, _)) if &*entry.id.scheme == "digest" => {
                let id = Id { scheme: entry.id.scheme.clone(), id: format!("{user}:x").into() };
                Acl { perms: entry.perms, id }
            }
            _ => entry.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms, id: Id { scheme: scheme.into(), id: id.into() } }
    }

    #[test]
    fn a_digest_is_that_of_zookeeper() {
        // As DigestAuthenticationProvider.generateDigest prints it.
        let id = proven("digest", b"super:test", IpAddr::from([127, 0, 0, 1])).map(|id| id.id);
        assert_eq!(id.as_deref(), Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU="));
        assert_eq!(proven("sasl", b"x", IpAddr::from([127, 0, 0, 1])), None);
    }

    #[test]
    fn lists_allow() {
        let me = [proven("digest", b"u:p", IpAddr::from([1, 2, 3, 4])).unwrap()];
        let here = [proven("ip", b"", IpAddr::from([10, 1, 2, 3])).unwrap()];
        let own = acl(perms::WRITE, "digest", &me[0].id);
        assert_eq!(may(&[], perms::WRITE, &[]), Ok(()));
        assert_eq!(may(std::slice::from_ref(&own), perms::WRITE, &me), Ok(()));
        assert_eq!(may(std::slice::from_ref(&own), perms::READ, &me), Err(Refusal::NoAuth));
        assert_eq!(may(std::slice::from_ref(&own), perms::WRITE, &here), Err(Refusal::NoAuth));
        for (range, is_in) in
            [("10.0.0.0/8", true), ("10.1.2.3", true), ("10.1.3.0/24", false), ("::/0", false)]
        {
            assert_eq!(may(&[acl(1, "ip", range)], 1, &here).is_ok(), is_in, "{range}");
        }
        assert_eq!(may(&[acl(1, "world", "anyone")], 1, &[]), Ok(()));
    }

    #[test]
    fn lists_are_settled() {
        let me = [proven("digest", b"u:p", IpAddr::from([1, 2, 3, 4])).unwrap()];
        let world = acl(31, "world", "anyone");
        assert_eq!(settled(&[world.clone(), world.clone()], &[]), Ok(vec![world]));
        let own = settled(&[acl(31, "auth", "")], &me).unwrap();
        assert_eq!(own[0].id, me[0]);
        assert_eq!(&*redacted(&own, &[])[0].id.id, "u:x");
        assert_eq!(redacted(&own, &me), own);
        for wrong in [
            acl(1, "auth", ""),
            acl(1, "digest", "u"),
            acl(1, "ip", "x"),
            acl(1, "ip", "1.2.3.4/33"),
            acl(1, "x", "y"),
        ] {
            assert_eq!(settled(std::slice::from_ref(&wrong), &[]), Err(Refusal::InvalidAcl), "{wrong:?}");
        }
        assert_eq!(settled(&[], &me), Err(Refusal::InvalidAcl));
    }
}
