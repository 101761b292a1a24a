//! Users of this machine.

use std::ffi::CString;

use nix::unistd::{Gid, Uid, User};

/// Whom a process runs as: everything looked up before the fork, since nothing may be looked up after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    pub uid: Uid,
    pub gid: Gid,
    pub groups: Vec<Gid>,
}

#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("No such user '{0}'")]
    Unknown(String),
    #[error("Failed to look up user '{0}'")]
    LookUp(String, #[source] nix::Error),
    #[error("Cannot run as user '{wanted}': only root can, and this is user id {uid}")]
    NotRoot { wanted: String, uid: Uid },
}

/// The user of that name with all its groups.
pub fn find(name: &str) -> Result<Identity, UserError> {
    let failed = |error| UserError::LookUp(name.to_owned(), error);
    let text = CString::new(name).map_err(|_| UserError::Unknown(name.to_owned()))?;
    let user = User::from_name(name).map_err(failed)?.ok_or_else(|| UserError::Unknown(name.to_owned()))?;
    let groups = nix::unistd::getgrouplist(&text, user.gid).map_err(failed)?;
    Ok(Identity { name: name.to_owned(), uid: user.uid, gid: user.gid, groups })
}

/// Whom to switch to for `name`; `None` if that is who we are already.
pub fn switch_to(name: &str) -> Result<Option<Identity>, UserError> {
    let identity = find(name)?;
    let own = Uid::effective();
    if identity.uid == own {
        return Ok(None);
    }
    if !own.is_root() {
        return Err(UserError::NotRoot { wanted: name.to_owned(), uid: own });
    }
    Ok(Some(identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_users() {
        assert_eq!(find("root").unwrap().uid, Uid::from_raw(0));
        assert_eq!(find("no-such-user").unwrap_err().to_string(), "No such user 'no-such-user'");
        assert!(matches!(find("a\0b"), Err(UserError::Unknown(_))));
    }
}
