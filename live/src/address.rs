//! Where the addresses of the manifests are found on loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port on which a pod's proxy takes what its own application sends, as in Istio.
pub(crate) const OUTBOUND: u16 = 15001;

/// Where a pod is reached by others: its address, with 127 in front.
pub(crate) fn outside(ip: IpAddr) -> Option<IpAddr> {
    let IpAddr::V4(ip) = ip else {
        return None;
    };
    let [_, b, c, d] = ip.octets();
    Some(Ipv4Addr::new(127, b, c, d).into())
}

/// Where a pod's application listens when a proxy stands before it.
pub(crate) fn inside(ip: IpAddr) -> Option<IpAddr> {
    let IpAddr::V4(ip) = ip else {
        return None;
    };
    let [_, b, c, d] = ip.octets();
    Some(Ipv4Addr::new(127, b ^ 0x80, c, d).into())
}

pub(crate) fn at(ip: Option<IpAddr>, port: u16) -> Option<SocketAddr> {
    ip.map(|ip| SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_two_places_that_no_other_pod_has() {
        let ip = IpAddr::from([10, 1, 2, 3]);
        assert_eq!(outside(ip), Some(IpAddr::from([127, 1, 2, 3])));
        assert_eq!(inside(ip), Some(IpAddr::from([127, 129, 2, 3])));
        assert_eq!(outside("::1".parse().expect("an address")), None);
    }
}
