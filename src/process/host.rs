//! Who this machine is: its address and its name, for what a role tells others of itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs as _};

/// The address that the machine's own name stands for; loopback if the name is not known.
///
/// Source: `process::initialize`, libprocess 1.11, which ends the process then.
pub fn own_ip() -> Ipv4Addr {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.and_then(|name| resolve(&name)).unwrap_or(Ipv4Addr::LOCALHOST)
}

/// The first IPv4 address of a name, or the address that it is. Asks the resolver, so it may wait.
pub fn resolve(name: &str) -> Option<Ipv4Addr> {
    if let Ok(ip) = name.parse() {
        return Some(ip);
    }
    let mut found = (name, 0).to_socket_addrs().ok()?;
    found.find_map(|address| match address.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    })
}

/// The name of an address, or the address itself if it has none. Asks the resolver, so it may wait.
pub fn name_of(ip: Ipv4Addr) -> String {
    reverse(ip).unwrap_or_else(|| ip.to_string())
}

fn reverse(ip: Ipv4Addr) -> Option<String> {
    let address = nix::sys::socket::SockaddrIn::from(SocketAddrV4::new(ip, 0));
    let address: &libc::sockaddr_in = address.as_ref();
    let mut name = [0_u8; 1025];
    // SAFETY: both pointers are to live buffers of the lengths given; getnameinfo writes a string that ends
    // with a zero into the second and keeps neither.
    let error = unsafe {
        libc::getnameinfo(
            std::ptr::from_ref(address).cast(),
            size_of::<libc::sockaddr_in>() as libc::socklen_t,
            name.as_mut_ptr().cast(),
            name.len() as libc::socklen_t,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if error != 0 {
        return None;
    }
    let text = std::ffi::CStr::from_bytes_until_nul(&name).ok()?.to_str().ok()?;
    Some(text.to_owned())
}

/// What a role listens on, and what it tells others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    pub address: SocketAddr,
    pub hostname: String,
}

impl Advertised {
    /// From the flags and the port that was bound. Asks the resolver, so it may wait.
    pub fn new(flags: &crate::flags::common::Address, port: u16) -> Advertised {
        let ip = flags.advertise_ip.or(flags.ip.filter(|ip| !ip.is_unspecified())).unwrap_or_else(own_ip);
        let address = SocketAddr::from((ip, flags.advertise_port.unwrap_or(port)));
        let hostname = match &flags.hostname {
            Some(name) => name.clone(),
            None if flags.hostname_lookup => name_of(ip),
            None => ip.to_string(),
        };
        Advertised { address, hostname }
    }
}

/// Where a role binds: `--ip` or every address, `--port`.
pub fn bind_address(flags: &crate::flags::common::Address) -> SocketAddr {
    SocketAddr::from((flags.ip.unwrap_or(Ipv4Addr::UNSPECIFIED), flags.port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_a_name_and_an_address() {
        assert_eq!(resolve("127.0.0.1"), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(resolve("no such name"), None);
        assert!(!name_of(Ipv4Addr::LOCALHOST).is_empty());
    }
}
