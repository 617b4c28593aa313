//! Addresses of pods and Services: given in a fixed order, kept from one world to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// Services live in 10.96.0.0/12, where a fresh cluster puts them; `.1` is the API server's and `.10` the name server's.
const SERVICES: (u32, u32) = (
    u32::from_be_bytes([10, 96, 0, 11]),
    u32::from_be_bytes([10, 111, 255, 254]),
);
/// Pods live in 10.128.0.0/9.
const PODS: (u32, u32) = (
    u32::from_be_bytes([10, 128, 0, 0]),
    u32::from_be_bytes([10, 255, 255, 255]),
);
/// The fewest addresses that a workload reserves, so that it can be scaled up without moving.
const SMALLEST_BLOCK: u32 = 256;

/// The addresses reserved for the pods of one workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PodBlock {
    first: u32,
    size: u32,
}

impl PodBlock {
    /// The address of the pod in slot `ordinal`. Slots beyond [`PodBlock::capacity`] wrap around: whoever starts more pods than that
    /// reuses slots of pods that are gone.
    #[must_use]
    pub fn address(self, ordinal: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(self.first + ordinal % self.size))
    }

    /// How many pods have addresses of their own.
    #[must_use]
    pub fn capacity(self) -> u32 {
        self.size
    }

    /// The slot that an address stands for.
    #[must_use]
    pub fn ordinal(self, address: IpAddr) -> Option<u32> {
        let IpAddr::V4(address) = address else {
            return None;
        };
        let ordinal = address.to_bits().checked_sub(self.first)?;
        (ordinal < self.size).then_some(ordinal)
    }
}

/// Who has which address. A name that was given one keeps it.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    services: BTreeMap<String, IpAddr>,
    taken: BTreeSet<IpAddr>,
    next_service: u32,
    pods: BTreeMap<String, PodBlock>,
    used: u32,
}

/// No address is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Exhausted;

impl Addresses {
    /// Reserves an address that somebody wrote; `false` when another Service has it.
    pub(super) fn reserve(&mut self, service: &str, address: IpAddr) -> bool {
        let is_own = self.services.get(service) == Some(&address);
        if !is_own && !self.taken.insert(address) {
            return false;
        }
        self.services.insert(service.to_owned(), address);
        true
    }

    /// The address of a Service that wrote none.
    pub(super) fn service(&mut self, service: &str) -> Result<IpAddr, Exhausted> {
        if let Some(address) = self.services.get(service) {
            return Ok(*address);
        }
        while SERVICES.0 + self.next_service <= SERVICES.1 {
            let address = IpAddr::V4(Ipv4Addr::from_bits(SERVICES.0 + self.next_service));
            self.next_service += 1;
            if self.taken.insert(address) {
                self.services.insert(service.to_owned(), address);
                return Ok(address);
            }
        }
        Err(Exhausted)
    }

    /// The addresses of a workload's pods: four times its replicas, and never few.
    pub(super) fn pods(&mut self, workload: &str, replicas: u32) -> Result<PodBlock, Exhausted> {
        if let Some(block) = self.pods.get(workload) {
            return Ok(*block);
        }
        let size = replicas
            .checked_mul(4)
            .and_then(u32::checked_next_power_of_two)
            .ok_or(Exhausted)?
            .max(SMALLEST_BLOCK);
        if size > PODS.1 - PODS.0 - self.used {
            return Err(Exhausted);
        }
        let block = PodBlock {
            first: PODS.0 + self.used,
            size,
        };
        self.used += size;
        self.pods.insert(workload.to_owned(), block);
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_in_order_kept_and_never_twice() {
        let mut addresses = Addresses::default();
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(addresses.reserve("default/a", ip("10.96.0.11")));
        assert!(addresses.reserve("default/a", ip("10.96.0.11")));
        assert!(!addresses.reserve("default/b", ip("10.96.0.11")));
        assert_eq!(addresses.service("default/b"), Ok(ip("10.96.0.12")));
        assert_eq!(addresses.service("default/c"), Ok(ip("10.96.0.13")));
        assert_eq!(addresses.service("default/b"), Ok(ip("10.96.0.12")));
        let a = addresses.pods("default/a", 2).expect("room");
        let b = addresses.pods("default/b", 200).expect("room");
        assert_eq!(
            (a.address(0), a.address(255), a.capacity()),
            (ip("10.128.0.0"), ip("10.128.0.255"), 256)
        );
        assert_eq!((b.address(0), b.capacity()), (ip("10.128.1.0"), 1024));
        assert_eq!(
            (b.ordinal(ip("10.128.1.7")), b.ordinal(ip("10.128.0.7"))),
            (Some(7), None)
        );
        assert_eq!(addresses.pods("default/a", 9000), Ok(a));
        assert_eq!(addresses.pods("huge", u32::MAX), Err(Exhausted));
        assert_eq!(addresses.pods("big", 4_000_000), Err(Exhausted));
    }
}
