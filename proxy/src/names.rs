//! Names of endpoints: which addresses they have, asked again and again.
//!
//! Source: envoy `source/extensions/clusters/strict_dns/strict_dns_cluster.cc`, `logical_dns/logical_dns_cluster.cc` (1.40).

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use manifests::envoy::{LookupFamily, Resolution, Unresolved};
use proxy_core::config::{Endpoint, EndpointSet, Name, NodeConfig};
use proxy_core::draw::{DrawKey, Purpose};
use tokio::sync::watch;
use tokio::task::{AbortHandle, spawn_blocking, spawn_local};

use crate::process::Settings;
use crate::stats::Stats;

/// Who knows addresses; the system, where nobody is named.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// A name that stands for endpoints of a cluster.
#[derive(Clone, Debug)]
pub struct Named {
    /// The name, and what becomes of its addresses.
    pub name: Unresolved,
    /// Those of its addresses that count, as they were found last.
    pub found: Vec<IpAddr>,
}

impl Named {
    /// Asks the system for the first time.
    ///
    /// # Errors
    /// Where the name has no address.
    pub(crate) fn first(name: &Unresolved) -> (Self, io::Result<()>) {
        let (found, told) = match ask(&name.host, None) {
            Ok(all) => (counted(name, all), Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        let name = name.clone();
        (Self { name, found }, told)
    }
}

fn ask(host: &str, lookup: Option<&Lookup>) -> io::Result<Vec<IpAddr>> {
    match lookup {
        Some(lookup) => lookup(host),
        None => Ok((host, 0).to_socket_addrs()?.map(|at| at.ip()).collect()),
    }
}

/// Those addresses of a name that count.
///
/// Source: Envoy v3 `Cluster.DnsLookupFamily`.
fn counted(name: &Unresolved, all: Vec<IpAddr>) -> Vec<IpAddr> {
    let of = |wanted: fn(&IpAddr) -> bool| -> Vec<IpAddr> {
        let mut some: Vec<IpAddr> = Vec::new();
        for ip in all.iter().filter(|ip| wanted(ip)) {
            if !some.contains(ip) {
                some.push(*ip);
            }
        }
        some
    };
    let preferred = |first: Vec<IpAddr>, second: fn(&IpAddr) -> bool| match first.is_empty() {
        true => of(second),
        false => first,
    };
    let mut found = match name.family {
        LookupFamily::Auto => preferred(of(IpAddr::is_ipv6), IpAddr::is_ipv4),
        LookupFamily::V4Only => of(IpAddr::is_ipv4),
        LookupFamily::V6Only => of(IpAddr::is_ipv6),
        LookupFamily::V4Preferred => preferred(of(IpAddr::is_ipv4), IpAddr::is_ipv6),
        LookupFamily::All => of(|_| true),
    };
    match name.resolution {
        Resolution::All => found.sort_unstable(),
        Resolution::First => found.truncate(1),
    }
    found
}

/// The endpoints of clusters that have some by name, those by address included.
pub(crate) fn sets(config: &NodeConfig, names: &[Named]) -> Vec<(Name, Arc<EndpointSet>)> {
    let mut sets: Vec<(Name, EndpointSet)> = Vec::new();
    for named in names {
        let cluster = &named.name.cluster;
        let known = sets.iter().position(|(name, _)| name == cluster);
        let at = known.unwrap_or_else(|| {
            sets.push((cluster.clone(), written(config, cluster)));
            sets.len() - 1
        });
        let set = &mut sets[at].1.endpoints;
        for ip in &named.found {
            let address = SocketAddr::new(*ip, named.name.port);
            if !set.iter().any(|it| it.address == address) {
                set.push(Endpoint {
                    address,
                    ..named.name.endpoint.clone()
                });
            }
        }
    }
    let sets = sets.into_iter();
    sets.map(|(cluster, set)| (cluster, Arc::new(set)))
        .collect()
}

/// The endpoints that a cluster has by address.
fn written(config: &NodeConfig, cluster: &str) -> EndpointSet {
    let mut clusters = config
        .sections
        .iter()
        .flat_map(|section| section.clusters());
    let found = clusters.find(|it| &*it.name == cluster);
    found.map_or_else(EndpointSet::default, |it| (*it.endpoints).clone())
}

/// What the asking needs.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) settings: watch::Sender<Settings>,
    pub(crate) lookup: Option<Lookup>,
    pub(crate) stats: Arc<Stats>,
    /// Names its draws.
    pub(crate) key: DrawKey,
}

/// Asks for the names of whichever configuration is in force, as often as each wants to be asked for.
pub(crate) async fn keep(asking: Asking) {
    let mut changes = asking.settings.subscribe();
    loop {
        let names = changes.borrow_and_update().names.clone();
        let found = Rc::new(RefCell::new(names.to_vec()));
        let begun = (0..names.len()).map(|at| {
            let task = again(asking.clone(), names.clone(), found.clone(), at);
            spawn_local(task).abort_handle()
        });
        let begun: Vec<AbortHandle> = begun.collect();
        loop {
            if changes.changed().await.is_err() {
                return;
            }
            if !Arc::ptr_eq(&changes.borrow_and_update().names, &names) {
                break;
            }
        }
        begun.iter().for_each(AbortHandle::abort);
    }
}

/// Asks for one name, until it is no longer wanted. What was found last holds while nobody answers.
async fn again(asking: Asking, names: Arc<[Named]>, found: Rc<RefCell<Vec<Named>>>, at: usize) {
    let name = names[at].name.clone();
    let key = asking.key.child(at as u64);
    let mut failures = u32::from(names[at].found.is_empty());
    for number in 0_u32.. {
        tokio::time::sleep(pause(&name, failures, key, number)).await;
        let (host, lookup) = (name.host.clone(), asking.lookup.clone());
        Stats::count(&asking.stats.dns_attempt);
        let answer = spawn_blocking(move || ask(&host, lookup.as_ref())).await;
        let Ok(Ok(all)) = answer else {
            Stats::count(&asking.stats.dns_failure);
            failures = failures.saturating_add(1);
            continue;
        };
        failures = 0;
        let new = counted(&name, all);
        let is_new = found.borrow()[at].found != new;
        if is_new {
            found.borrow_mut()[at].found = new;
            tell(&asking, &names, &found.borrow(), &name.cluster);
        }
    }
}

/// Gives a cluster the endpoints that its names now have.
fn tell(asking: &Asking, names: &Arc<[Named]>, found: &[Named], cluster: &Name) {
    asking.settings.send_if_modified(|settings| {
        // another configuration may have come in between
        if !Arc::ptr_eq(&settings.names, names) {
            return false;
        }
        let mut sets = sets(&settings.config, found);
        sets.retain(|(name, _)| name == cluster);
        settings.endpoints.retain(|(name, _)| name != cluster);
        settings.endpoints.append(&mut sets);
        true
    });
}

/// How long is waited before a name is asked for again.
///
/// Source: Envoy v3 `Cluster.dns_refresh_rate`, `dns_jitter`, `dns_failure_refresh_rate`; `source/common/common/backoff_strategy.cc`
/// (`JitteredExponentialBackOffStrategy`).
fn pause(name: &Unresolved, failures: u32, key: DrawKey, number: u32) -> Duration {
    const LEAST: u64 = 1_000_000;
    let backs_off = name.failure.filter(|_| failures > 0);
    let nanos = match backs_off {
        Some((base, most)) => {
            let doubled = 1_u64.checked_shl(failures - 1).unwrap_or(u64::MAX);
            let bound = base.as_nanos().saturating_mul(doubled).min(most.as_nanos());
            key.below(Purpose::Backoff, number, bound.max(1))
        }
        None => {
            let jitter = name.jitter.as_nanos();
            let more = match jitter {
                0 => 0,
                _ => key.below(Purpose::Backoff, number, jitter),
            };
            name.refresh.as_nanos().saturating_add(more)
        }
    };
    Duration::from_nanos(nanos.max(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_core::time::Duration as Time;

    fn name(family: LookupFamily, resolution: Resolution) -> Unresolved {
        Unresolved {
            cluster: "c".into(),
            host: "h".into(),
            port: 80,
            resolution,
            family,
            refresh: Time::from_secs(5),
            jitter: Time::ZERO,
            failure: None,
            endpoint: Endpoint::at(SocketAddr::from(([0, 0, 0, 0], 0))),
        }
    }

    #[test]
    fn addresses_count_by_their_family() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let both = ["10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.2"]
            .map(ip)
            .to_vec();
        let four = ["10.0.0.1", "10.0.0.2"].map(ip).to_vec();
        let six = vec![ip("fd00::1")];
        for (family, from_both, from_four) in [
            (LookupFamily::Auto, six.clone(), four.clone()),
            (LookupFamily::V4Only, four.clone(), four.clone()),
            (LookupFamily::V6Only, six.clone(), vec![]),
            (LookupFamily::V4Preferred, four.clone(), four.clone()),
            (
                LookupFamily::All,
                ["10.0.0.1", "10.0.0.2", "fd00::1"].map(ip).to_vec(),
                four.clone(),
            ),
        ] {
            let name = name(family, Resolution::All);
            assert_eq!(counted(&name, both.clone()), from_both, "{family:?}");
            assert_eq!(counted(&name, four.clone()), from_four, "{family:?}");
        }
        let first = name(LookupFamily::V4Only, Resolution::First);
        assert_eq!(counted(&first, both), [ip("10.0.0.2")]);
    }

    #[test]
    fn pauses_are_the_names_own_and_longer_while_nobody_answers() {
        let mut name = name(LookupFamily::Auto, Resolution::All);
        let key = DrawKey::root(1);
        assert_eq!(pause(&name, 0, key, 1), Duration::from_secs(5));
        assert_eq!(pause(&name, 9, key, 1), Duration::from_secs(5));
        name.jitter = Time::from_secs(1);
        let longer: Vec<Duration> = (0..50).map(|n| pause(&name, 0, key, n)).collect();
        assert!(longer.iter().all(|it| (5..6).contains(&it.as_secs())));
        assert!(longer.iter().any(|it| *it != longer[0]));
        name.failure = Some((Time::from_secs(2), Time::from_secs(10)));
        for (failures, most) in [(1, 2), (2, 4), (3, 8), (4, 10), (90, 10)] {
            let all = (0..200).map(|n| pause(&name, failures, key, n));
            let longest = all.max().expect("some");
            let bound = Duration::from_secs(most);
            assert!(
                longest < bound && longest > bound.mul_f64(0.9),
                "{failures}"
            );
        }
        assert_eq!(pause(&name, 0, key, 0), longer[0], "an answer ends that");
    }
}
