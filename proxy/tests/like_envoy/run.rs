//! Runs a family: its cases in batches, first against Envoy, then against ours.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use crate::binaries::Side;
use crate::bootstrap::{self, Ports};
use crate::case::{Answer, Case};
use crate::client::Caller;
use crate::compare::{self, Difference};
use crate::outcome::{Client, Logged, Outcome};
use crate::processes::Running;
use crate::upstream::{Script, Upstreams, socket};
use crate::{shrink, yaml};

/// Kinds of cases that have something in common.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) make: fn(u64) -> Case,
    /// Cases that run at one time.
    pub(crate) at_once: usize,
    /// Whether cases go by lengths of time, which a busy machine stretches: what differs must differ twice, the second time with few
    /// others beside it.
    pub(crate) timed: bool,
    /// Cases, by their seeds, that differed once and are looked at whatever the count.
    pub(crate) once: &'static [u64],
}

/// Cases that one pair of processes serves.
const BATCH: usize = 150;
/// Time for copies, which nobody waits for, to arrive.
const COPIES: Duration = Duration::from_millis(150);
/// Ways to differ of which a case is shrunk and shown in full.
const SHOWN: usize = 3;
/// Cases that are flown again together.
const FEW: usize = 4;
/// Pairs of values that are shown of each way to differ.
const PAIRS: usize = 8;
/// Requests of a case at most: what their tags go by.
const ASKS: usize = 10_000;

/// Families take turns, since some of them measure time.
static TURN: Mutex<()> = Mutex::new(());

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("${name} is no number: {text}")))
}

/// Runs something while no family runs.
pub(crate) fn alone(run: impl FnOnce()) {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    run();
}

/// Runs all cases of a family, and fails with those that differ.
pub(crate) fn family(family: &Family) {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let everything = async {
        let bench = Bench::start(family.at_once).await;
        if let Some(seed) = number("CASE") {
            return bench.one(&(family.make)(seed)).await;
        }
        let first = number("SEED").unwrap_or(0);
        let count = number("CASES").unwrap_or(300);
        let seeds = (first..first + count).chain(family.once.iter().copied());
        let seeds: Vec<u64> = seeds.collect();
        let mut failed = Vec::new();
        for seeds in seeds.chunks(BATCH) {
            let cases: Vec<Case> = seeds.iter().map(|seed| (family.make)(*seed)).collect();
            let differing = bench.differing(&cases).await;
            let differing = differing.unwrap_or_else(|why| panic!("{why}"));
            failed.extend(bench.again(differing, family.timed).await);
        }
        bench.report(family.name, count, failed).await;
    };
    LocalSet::new().block_on(&runtime, everything);
}

/// A case, and what differs in it.
pub(crate) type Differing = (Case, Vec<Difference>);

/// Upstreams, and the ports that bootstrap files name.
pub(crate) struct Bench {
    upstreams: Upstreams,
    ports: Ports,
    log: NamedTempFile,
    at_once: usize,
}

impl Bench {
    async fn start(at_once: usize) -> Self {
        let upstreams = Upstreams::start().await;
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let listeners = free.local_addr().expect("its address").port();
        let log = NamedTempFile::new().expect("a file for access logs");
        let ports = Ports {
            listeners,
            upstreams: upstreams.port,
            log: log.path().display().to_string(),
        };
        Self {
            upstreams,
            ports,
            log,
            at_once,
        }
    }

    /// Those of cases that differ which differ again.
    async fn again(&self, differing: Vec<Differing>, timed: bool) -> Vec<Differing> {
        if !timed {
            return differing;
        }
        let mut still = Vec::new();
        for few in differing.chunks(FEW) {
            let cases: Vec<Case> = few.iter().map(|(case, _)| case.clone()).collect();
            let differing = self.differing(&cases).await;
            still.extend(differing.unwrap_or_else(|why| panic!("{why}")));
        }
        still
    }

    /// Those of a batch whose outcomes differ; else why there are no outcomes.
    pub(crate) async fn differing(&self, cases: &[Case]) -> Result<Vec<Differing>, String> {
        let cases: Rc<[Case]> = cases.into();
        let envoy = self.fly(Side::Envoy, &cases).await?;
        let ours = self.fly(Side::Ours, &cases).await?;
        let mut all = Vec::new();
        for (place, case) in cases.iter().enumerate() {
            let found = compare::case(case, &envoy[place], &ours[place]);
            if !found.is_empty() {
                all.push((case.clone(), found));
            }
        }
        Ok(all)
    }

    /// Has one proxy serve a batch; outcomes by case and request.
    async fn fly(&self, side: Side, cases: &Rc<[Case]>) -> Result<Vec<Vec<Outcome>>, String> {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile();
        let file = file.expect("a file for the bootstrap");
        let text = yaml::document(&bootstrap::of(cases, &self.ports));
        std::fs::write(file.path(), text).expect("it can be written");
        let at: Vec<SocketAddr> = (0..cases.len())
            .map(|place| socket(bootstrap::listener(place), self.ports.listeners))
            .collect();
        self.upstreams.take_up(scripts(cases), doings(cases));
        self.log.as_file().set_len(0).expect("it can be emptied");
        let mut running = Running::start(side, file.path(), &at).await?;
        let room = Rc::new(Semaphore::new(self.at_once));
        let mut flights = JoinSet::new();
        for (place, at) in at.iter().enumerate() {
            let (cases, room, at) = (cases.clone(), room.clone(), *at);
            flights.spawn_local(async move {
                let _room = room.acquire().await.expect("it is never closed");
                (place, ask_all(&cases[place], place, at).await)
            });
        }
        let mut came: BTreeMap<usize, Vec<Client>> = BTreeMap::new();
        while let Some(flown) = flights.join_next().await {
            let (place, answers) = flown.expect("a client that does not panic");
            came.insert(place, answers);
        }
        let copies = cases.iter().flat_map(|case| &case.clusters);
        if copies.into_iter().any(|backend| backend.copies) {
            tokio::time::sleep(COPIES).await;
        }
        if !running.lives() {
            return Err(format!("{} has crashed:\n{}", side.name(), running.said()));
        }
        running.end().await;
        let mut lines = self.lines();
        let mut outcome = |place: usize, ask: usize, client: Client| Outcome {
            client,
            tries: self.upstreams.seen(tag(place, ask)),
            logged: lines.remove(&tag(place, ask)),
        };
        let mut all = Vec::new();
        for (place, answers) in came {
            let answers = answers.into_iter().enumerate();
            let outcomes = answers.map(|(ask, came)| outcome(place, ask, came));
            all.push(outcomes.collect());
        }
        Ok(all)
    }

    /// What the access log says of each request.
    fn lines(&self) -> HashMap<u64, Logged> {
        let bytes = std::fs::read(self.log.path()).expect("the access log");
        let text = String::from_utf8_lossy(&bytes);
        text.lines().filter_map(bootstrap::logged).collect()
    }

    /// Runs one case and shows what came of it.
    #[expect(
        clippy::print_stdout,
        reason = "whoever asks for one case wants to see it"
    )]
    async fn one(&self, case: &Case) {
        println!("{}", shrink::shown(case, &self.ports, None));
        let cases: Rc<[Case]> = vec![case.clone()].into();
        let flown = self.fly(Side::Envoy, &cases).await;
        let envoy = flown.unwrap_or_else(|why| panic!("{why}"));
        let flown = self.fly(Side::Ours, &cases).await;
        let ours = flown.unwrap_or_else(|why| panic!("{why}"));
        let found = compare::case(case, &envoy[0], &ours[0]);
        for (number, (envoy, ours)) in envoy[0].iter().zip(&ours[0]).enumerate() {
            println!("request {number}: {:?}", case.asks[number]);
            println!("  Envoy: {envoy:?}\n  ours: {ours:?}");
        }
        assert!(found.is_empty(), "{found:#?}");
    }

    /// Shows how cases differ, and of the most frequent ways the smallest case that can be found.
    async fn report(&self, name: &str, count: u64, failed: Vec<Differing>) {
        if failed.is_empty() {
            return;
        }
        let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (nth, (_, found)) in failed.iter().enumerate() {
            for difference in found {
                let having = kinds.entry(difference.kind()).or_default();
                if having.last() != Some(&nth) {
                    having.push(nth);
                }
            }
        }
        let mut kinds: Vec<(String, Vec<usize>)> = kinds.into_iter().collect();
        kinds.sort_by_key(|(_, having)| std::cmp::Reverse(having.len()));
        let mut text = format!("{name}: {} of {count} cases differ\n", failed.len());
        for (kind, having) in &kinds {
            let seeds: Vec<u64> = having.iter().map(|nth| failed[*nth].0.seed).collect();
            let shown = &seeds[..seeds.len().min(8)];
            let count = seeds.len();
            text.push_str(&format!("{count:5} cases: {kind} (seeds {shown:?})\n"));
            let differences = having.iter().flat_map(|nth| &failed[*nth].1);
            let mut pairs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
            for it in differences.filter(|it| it.kind() == *kind) {
                *pairs.entry((&it.envoy, &it.ours)).or_default() += 1;
            }
            for ((envoy, ours), count) in pairs.into_iter().take(PAIRS) {
                text.push_str(&format!(
                    "{count:11} Envoy: {envoy}\n            ours:  {ours}\n"
                ));
            }
        }
        let most = number("SHOWN").map_or(SHOWN, |n| n as usize);
        for (kind, having) in kinds.iter().take(most) {
            let differing = failed[having[0]].clone();
            let (case, found) = shrink::smallest(self, differing, kind).await;
            text.push_str(&shrink::shown(&case, &self.ports, Some(&found)));
        }
        panic!("{text}");
    }
}

/// The number that a request and its tries go by.
fn tag(place: usize, ask: usize) -> u64 {
    (place * ASKS + ask) as u64
}

fn scripts(cases: &[Case]) -> HashMap<u64, Script> {
    let mut scripts = HashMap::new();
    for (place, case) in cases.iter().enumerate() {
        let copies = case.clusters.iter().filter(|backend| backend.copies);
        let copies: Arc<[Ipv4Addr]> = copies
            .flat_map(|backend| {
                let hosts = 0..backend.hosts.len();
                hosts.map(|host| bootstrap::endpoint(case, backend, host))
            })
            .collect();
        for (number, ask) in case.asks.iter().enumerate() {
            let script = Script::new(ask.answers.clone(), copies.clone());
            scripts.insert(tag(place, number), script);
        }
    }
    scripts
}

/// What endpoints do that do one thing.
fn doings(cases: &[Case]) -> HashMap<Ipv4Addr, Answer> {
    let mut all = HashMap::new();
    for case in cases {
        for backend in &case.clusters {
            for (number, host) in backend.hosts.iter().enumerate() {
                if let Some(does) = &host.does {
                    all.insert(bootstrap::endpoint(case, backend, number), does.clone());
                }
            }
        }
    }
    all
}

/// Sends the requests of a case.
async fn ask_all(case: &Case, place: usize, at: SocketAddr) -> Vec<Client> {
    let caller = Rc::new(Caller::new(at));
    let mut beside = JoinSet::new();
    let mut came = BTreeMap::new();
    for (number, ask) in case.asks.iter().enumerate() {
        tokio::time::sleep(ask.pause).await;
        let tag = tag(place, number);
        if ask.beside {
            let (caller, ask) = (caller.clone(), ask.clone());
            beside.spawn_local(async move { (number, caller.ask(&ask, tag).await) });
        } else {
            came.insert(number, caller.ask(ask, tag).await);
        }
    }
    while let Some(answer) = beside.join_next().await {
        let (number, answer) = answer.expect("a client that does not panic");
        came.insert(number, answer);
    }
    came.into_values().collect()
}
