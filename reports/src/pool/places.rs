//! Where what one run discovered stands in the pooled result: matched by name, never by number.

use crate::histogram::{COARSE, Histogram};
use crate::result::{
    ClusterResult, EdgeResult, EdgeSeries, EdgeTotals, Levels, Note, ProxyResult, RunResult,
};

/// The ends of an edge. Workloads are the scenario's, so that their positions stand for their names.
type Ends = (u32, u32);
/// A cluster by the edge it serves and its name; one without an edge comes last.
type ClusterKey = (bool, Ends, String);
/// A proxy by its workload and its name; one without a workload comes last.
type ProxyKey = (bool, u32, String);

/// For each edge, cluster and proxy of a run its position in the pooled result.
pub(super) struct Places {
    pub(super) edges: Vec<usize>,
    pub(super) clusters: Vec<usize>,
    pub(super) proxies: Vec<usize>,
}

/// A key that comes again (the clusters of two ports of one Service) with the number of its coming.
fn numbered<K: Ord + Clone>(keys: impl Iterator<Item = K>) -> Vec<(K, usize)> {
    let mut seen = std::collections::BTreeMap::new();
    keys.map(|key| {
        let times = seen.entry(key.clone()).or_insert(0);
        *times += 1;
        (key, *times)
    })
    .collect()
}

/// Where each key of `theirs` stands among `mine`; what is not there is to be appended, in the order of the second list.
fn matched<K: PartialEq + Clone>(mine: &[K], theirs: &[K]) -> (Vec<usize>, Vec<usize>) {
    let mut added = Vec::new();
    let places = theirs.iter().enumerate().map(|(at, key)| {
        let known = mine.iter().position(|other| other == key);
        known.unwrap_or_else(|| {
            added.push(at);
            mine.len() + added.len() - 1
        })
    });
    (places.collect(), added)
}

/// Puts a list in the order of its keys; the result says where each item went.
fn sort<T, K: Ord>(list: &mut Vec<T>, keys: Vec<K>) -> Vec<u32> {
    let mut all: Vec<(K, usize, T)> = keys
        .into_iter()
        .zip(std::mem::take(list))
        .enumerate()
        .map(|(at, (key, item))| (key, at, item))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut went = vec![0; all.len()];
    for (to, (_, from, item)) in all.into_iter().enumerate() {
        went[from] = to as u32;
        list.push(item);
    }
    went
}

impl RunResult {
    fn edge_keys(&self) -> Vec<(Ends, usize)> {
        numbered(self.edges.iter().map(|e| (e.from, e.to)))
    }

    fn cluster_keys(&self) -> Vec<(ClusterKey, usize)> {
        let ends = |c: &ClusterResult| {
            let edge = c.edge.and_then(|at| self.edges.get(at as usize));
            edge.map(|e| (e.from, e.to))
        };
        numbered(self.clusters.iter().map(|c| {
            let ends = ends(c);
            (ends.is_none(), ends.unwrap_or_default(), c.name.clone())
        }))
    }

    fn proxy_keys(&self) -> Vec<(ProxyKey, usize)> {
        numbered(self.proxies.iter().map(|p| {
            (
                p.workload.is_none(),
                p.workload.unwrap_or(0),
                p.name.clone(),
            )
        }))
    }

    /// Appends, empty, what only the other run has, and says where everything of it stands.
    pub(super) fn make_room(&mut self, other: &Self) -> Places {
        let (edges, added) = matched(&self.edge_keys(), &other.edge_keys());
        for at in added {
            let theirs = &other.edges[at];
            self.edges.push(empty_edge(theirs));
        }
        let (clusters, added) = matched(&self.cluster_keys(), &other.cluster_keys());
        for at in added {
            let theirs = &other.clusters[at];
            self.clusters.push(ClusterResult {
                name: theirs.name.clone(),
                edge: theirs.edge.map(|edge| edges[edge as usize] as u32),
                endpoints: Vec::new(),
                ejections: 0,
                ejected: Vec::new(),
                out: Levels::default(),
                open: Vec::new(),
            });
        }
        let (proxies, added) = matched(&self.proxy_keys(), &other.proxy_keys());
        for at in added {
            let theirs = &other.proxies[at];
            self.proxies.push(ProxyResult {
                busy: Levels::default(),
                ..theirs.clone()
            });
        }
        Places {
            edges,
            clusters,
            proxies,
        }
    }

    /// Edges, clusters and proxies in an order that no seed decides, and every position of them elsewhere made to fit.
    pub(super) fn put_in_order(&mut self) {
        // their keys are read before the edges they point to move
        let cluster_keys = self.cluster_keys();
        let keys = self.edge_keys();
        let edges = sort(&mut self.edges, keys);
        for cluster in &mut self.clusters {
            cluster.edge = cluster.edge.map(|at| edges[at as usize]);
        }
        let clusters = sort(&mut self.clusters, cluster_keys);
        let keys = self.proxy_keys();
        let proxies = sort(&mut self.proxies, keys);
        let moved = |went: &[u32], at: u32| went.get(at as usize).copied().unwrap_or(at);
        for ejected in self.clusters.iter_mut().flat_map(|c| &mut c.ejected) {
            ejected.proxy = ejected.proxy.map(|at| moved(&proxies, at));
        }
        for noted in &mut self.notes {
            match &mut noted.note {
                Note::PanicEntered { cluster, .. }
                | Note::PanicLeft { cluster }
                | Note::NoEndpoint { cluster }
                | Note::FailedOver { cluster, .. } => *cluster = moved(&clusters, *cluster),
                Note::ConfigRefused { proxy, .. } => *proxy = moved(&proxies, *proxy),
                Note::QueueFull { .. } | Note::PodDown { .. } | Note::PodReady { .. } => {}
            }
        }
    }
}

fn empty_edge(like: &EdgeResult) -> EdgeResult {
    EdgeResult {
        from: like.from,
        to: like.to,
        policies: Vec::new(),
        totals: EdgeTotals::default(),
        latency: Histogram::new(COARSE),
        series: EdgeSeries::default(),
        retried: Vec::new(),
        rejected: Vec::new(),
        active: Levels::default(),
    }
}
