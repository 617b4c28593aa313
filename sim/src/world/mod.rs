//! The simulated world: one event after the other, until nobody waits any more.

mod apps;
mod books;
mod connections;
mod faults;
mod kube;
mod loads;
mod network;
mod nodes;
mod parts;
mod streams;
mod tracing;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;

use manifests::model::{Destination, GatewayId, Model, Pods};
use proxy_core::config::NodeConfig;
use proxy_core::draw::DrawKey;
use proxy_core::event::Detail;
use proxy_core::heads::HeadId;
use proxy_core::node::{Action, Input, Target, TimerId};
use proxy_core::time::Time;
use reports::outcome::ErrorReason;
use reports::recorder::Recorder;
use reports::result::RunResult;
use reports::trace::Trace;
use reports::waterfall::Waterfall;
use rustc_hash::FxHashMap;
use scenarios::app::AppAction;
use scenarios::client::ClientAction;
use scenarios::plan::{
    BehaviourId, HandlerId, HeaderValue, LoadId, Plan, RequestId, RequestTemplate, Via,
};

use crate::flight::{Flight, Options};
use crate::heads::{Content, HeadTable};
use crate::queue::{Lane, Queue};
use crate::setup;
use crate::slab::{Key, Slab};
use crate::trace::{Request, Source};

use books::Books;
use kube::Rollout;
use network::Net;
pub use network::hash_of;
use nodes::Costs;
use tracing::Tracer;
pub use watch::Pick;
use watch::{Chooser, Watch};

use parts::{Conn, Dest, Event, Exchange, Handed, LoadState, Pod, Proxy, Stream, Targets, Worker};

/// Events between two looks at whether to stop, and at what can be thrown away.
const STRIDE: u32 = 1 << 15;
/// Timers are cleared up once so many wait that nobody may want any more.
const CLEAR_UP: usize = 1 << 18;
/// No workload has sent it and none takes it.
const NOWHERE: u32 = 0;

/// Everything that exists at one moment of a run.
pub(crate) struct World<'f> {
    options: Options<'f>,
    plan: Arc<Plan>,
    /// The manifests in force for whoever looks up a name.
    model: Arc<Model>,
    /// Every state of the manifests that the plan brings about.
    models: Vec<Arc<Model>>,
    current_model: Option<u32>,
    /// The one that was sent to the proxies last.
    newest_model: u32,
    changed_models: Vec<Option<u32>>,
    pushed_models: Vec<Option<u32>>,
    root: DrawKey,
    now: Time,
    queue: Queue<Event>,
    /// What comes before the queue's next event: a message that took no time. Most are handed over so, past the queue.
    handed: Option<Handed>,
    heads: HeadTable,
    fixed_heads: Vec<Option<HeadId>>,
    handlers: FxHashMap<(BehaviourId, HeadId), Option<HandlerId>>,
    conns: Slab<Conn>,
    streams: Slab<Stream>,
    /// By the requests' places.
    exchanges: Vec<Exchange>,
    pods: Vec<Pod>,
    by_ip: FxHashMap<IpAddr, u32>,
    by_workload: Vec<Vec<u32>>,
    ordinals: Vec<u32>,
    gateway_of: Vec<Option<GatewayId>>,
    /// Ports that a workload's containers and Services name.
    ports: Vec<Vec<u16>>,
    proxies: Vec<Proxy>,
    workers: Vec<Worker>,
    configs: Vec<Arc<NodeConfig>>,
    config_numbers: FxHashMap<usize, u32>,
    loads: Vec<LoadState>,
    dests: Vec<Dest>,
    call_dests: Vec<u32>,
    /// What the cluster knows of its pods.
    known: Pods,
    /// By Service and port; forgotten when pods change.
    targets: FxHashMap<(u32, u16), Targets>,
    net: Net,
    costs: Option<Costs>,
    /// The pods that each fault in force strikes.
    struck: Vec<Vec<u32>>,
    rollouts: Vec<Rollout>,
    books: Books,
    /// First workload by the name of a Service.
    service_workloads: FxHashMap<Box<str>, u32>,
    /// Why the last answer that a client got was no success.
    last_reason: ErrorReason,
    detail: Detail,
    chooser: Chooser,
    /// By lane of the program: the queue's.
    lanes: Vec<Lane>,
    batches: Batches,
    /// Whether requests are watched or followed, in a run made for that.
    observed: bool,
    /// Requests being watched, in a run made for that.
    watch: Option<Watch>,
    /// The one request that is followed, in a run made for that.
    tracer: Option<Box<Tracer>>,
}

/// Whether an event still means anything: most timeouts are of what ended long before.
#[inline(always)]
fn is_wanted(event: &Event, workers: &[Worker], pods: &[Pod], loads: &[LoadState]) -> bool {
    if let Event::App(pod, id) = *event {
        let app = pods[pod as usize].app.as_ref();
        app.is_some_and(|app| app.wants(id))
    } else if let Event::Node(worker, id) = *event {
        workers[worker as usize].node.is_armed(id)
    } else if let Event::Client(load, id) = *event {
        loads[load as usize].clients.wants(id)
    } else {
        true
    }
}

/// Lists of actions that were carried out, for the next ones. Draining an application or a load does not nest: what its actions lead
/// to comes later. Of nodes there are as many as draining nests.
#[derive(Debug, Default)]
struct Batches {
    apps: Vec<AppAction>,
    clients: Vec<ClientAction>,
    nodes: Vec<Vec<(Target, Action)>>,
}

impl<'f> World<'f> {
    pub(crate) fn new(flight: &Flight, seed: u64, detail: Detail, options: Options<'f>) -> Self {
        let plan = flight.plan.clone();
        let model = flight.model.clone();
        let root = Plan::root(seed);
        let mut models = vec![model.clone()];
        let number = |models: &mut Vec<Arc<Model>>, given: &Option<Arc<Model>>| {
            given.as_ref().map(|given| {
                models.push(given.clone());
                models.len() as u32 - 1
            })
        };
        let changed_models = flight.changed.iter();
        let changed_models = changed_models.map(|it| number(&mut models, it)).collect();
        let pushed_models = flight.pushed.iter();
        let pushed_models = pushed_models.map(|it| number(&mut models, it)).collect();
        let workloads = plan.workloads.len();
        let mut gateway_of = vec![None; workloads];
        for (at, facts) in (0..).zip(model.gateways()) {
            if let Some(workload) = facts.workload {
                gateway_of[workload.index()] = Some(GatewayId(at));
            }
        }
        let mut heads = HeadTable::new();
        let fixed_heads = plan.requests.iter();
        let fixed_heads = fixed_heads.map(|request| fixed_head(request, &mut heads));
        let fixed_heads = fixed_heads.collect();
        let recorder = Recorder::new(setup::setup(flight, seed));
        let service_workloads = plan.services.iter().filter_map(|service| {
            let name = format!("{}/{}", service.namespace, service.name);
            Some((name.into_boxed_str(), service.workloads.first()?.0))
        });
        let mut queue = Queue::default();
        let lanes = plan.program.lanes.iter();
        let lanes = lanes.map(|length| queue.lane(*length)).collect();
        let mut world = Self {
            options,
            current_model: Some(0),
            newest_model: 0,
            changed_models,
            pushed_models,
            root,
            now: Time::ZERO,
            queue,
            handed: None,
            heads,
            fixed_heads,
            handlers: FxHashMap::default(),
            conns: Slab::default(),
            streams: Slab::default(),
            exchanges: Vec::new(),
            pods: Vec::new(),
            by_ip: FxHashMap::default(),
            by_workload: vec![Vec::new(); workloads],
            ordinals: vec![0; workloads],
            gateway_of,
            ports: (0..workloads).map(|at| ports(&model, at)).collect(),
            proxies: Vec::new(),
            workers: Vec::new(),
            configs: Vec::new(),
            config_numbers: FxHashMap::default(),
            loads: Vec::new(),
            dests: vec![Dest::Unknown],
            call_dests: Vec::new(),
            known: Pods::new(workloads),
            targets: FxHashMap::default(),
            net: Net::new(&plan),
            costs: Costs::of(plan.proxies.cpu),
            struck: vec![Vec::new(); plan.faults.len()],
            rollouts: Vec::new(),
            books: Books::new(recorder),
            service_workloads: service_workloads.collect(),
            last_reason: ErrorReason::None,
            detail,
            chooser: Chooser::default(),
            lanes,
            batches: Batches::default(),
            observed: false,
            watch: None,
            tracer: None,
            plan,
            model,
            models,
        };
        world.resolve_calls();
        world.populate();
        world.start_loads();
        world.schedule();
        world
    }

    /// Runs to the plan's end and gives what was recorded, and requests worth a closer look.
    pub(crate) fn run(mut self) -> (RunResult, Vec<Pick>) {
        let end = Time::ZERO + self.plan.duration;
        let cut = self.run_until(end);
        self.name_policies();
        let result = self.books.recorder.finish(cut.unwrap_or(end));
        (result, self.chooser.picks())
    }

    /// Runs until the chosen requests are over, and gives what was seen of them.
    pub(crate) fn watch(mut self, picks: Vec<Pick>) -> Vec<Waterfall> {
        self.watch = Some(Watch::new(picks));
        self.observed = true;
        let end = Time::ZERO + self.plan.duration;
        self.run_until(end);
        let now = self.now;
        self.watch.map_or_else(Vec::new, |watch| watch.finish(now))
    }

    /// Follows the only request of the only load until its client knows how it ended, or to the plan's end; gives its way, and the
    /// workload of the server that it reached last.
    pub(crate) fn follow(mut self, asked: &Request) -> (Trace, Option<u32>) {
        let pod = match asked.from {
            Source::Workload(workload) => self.pod_of_turn(workload.0, 1),
            Source::Pod(workload, ordinal) => self.give_turn(workload.0, ordinal),
            Source::Gateway(_) | Source::Outside => None,
        };
        self.tracer = Some(Box::new(Tracer::new(pod)));
        self.observed = true;
        self.aim(asked);
        let end = Time::ZERO + self.plan.duration;
        while !self.tracer.as_ref().is_some_and(|it| it.is_done()) && self.step(end) {}
        let tracer = self.tracer.take().expect("it was just put there");
        let named = |workload: u32| plan_name(&self.plan, workload);
        tracer.finish(asked.text(), end, named)
    }

    /// Sends the request where its scheme leads, and says so where it leads nowhere.
    fn aim(&mut self, asked: &Request) {
        let plan = self.plan.clone();
        let Some(at) = plan.requests.len().checked_sub(1) else {
            return;
        };
        if let (Source::Gateway(name), true) = (&asked.from, asked.tls) {
            let mut template = plan.requests[at].clone();
            if split_authority(&template.authority).1.is_none() {
                template.authority = format!("{}:443", template.authority).into();
            }
            let gateway = setup::gateway_for(&self.model, name.as_deref(), &plan.requests[at]);
            let dest = gateway.and_then(|id| gateway_dest(&self.model, id, &template));
            self.loads[0].dests[at] = dest.map_or(NOWHERE, |dest| self.dest(dest));
        }
    }

    /// The client sends the request that is followed.
    fn trace_request(&mut self, asked: &scenarios::client::Asked) {
        let plan = self.plan.clone();
        let template = &plan.requests[asked.request.index()];
        let request = format!(
            "{} {}{}",
            template.method, template.authority, template.path
        );
        self.trace_sent(&request);
        if self.loads[0].dests[asked.request.index()] == NOWHERE {
            let via = &plan.loads[0].via;
            let text = crate::trace::nowhere(&self.model, via, &template.authority);
            self.trace_nowhere(text);
        }
    }

    /// Lets happen what comes next, unless that is after `end`.
    #[inline(always)]
    fn step(&mut self, end: Time) -> bool {
        if let Some(handed) = self.handed.take() {
            match handed {
                Handed::Request(key) => self.request_arrives(key, false),
                Handed::Response(key) => self.response_arrives(key, false),
            }
            return true;
        }
        let Some((now, event)) = self.queue.pop().filter(|(now, _)| *now <= end) else {
            return false;
        };
        self.now = now;
        self.handle(event);
        true
    }

    /// Handles every event up to `end`; gives the moment at which somebody wanted it to stop.
    fn run_until(&mut self, end: Time) -> Option<Time> {
        let mut countdown = STRIDE;
        let mut clear_up_at = CLEAR_UP;
        while self.step(end) {
            countdown -= 1;
            if countdown == 0 {
                let now = self.now;
                countdown = STRIDE;
                if let Some(progress) = self.options.progress {
                    progress(now);
                }
                if self.options.stop.is_some_and(|stop| stop()) {
                    return Some(now);
                }
                if self.watch.as_ref().is_some_and(Watch::is_done) {
                    return Some(now);
                }
                if self.queue.len() > clear_up_at {
                    self.clear_up();
                    clear_up_at = (self.queue.len() * 2).max(CLEAR_UP);
                }
            }
        }
        if let Some(progress) = self.options.progress {
            progress(end);
        }
        None
    }

    /// Throws timers away that are not wanted any more.
    fn clear_up(&mut self) {
        let (workers, pods, loads) = (&self.workers, &self.pods, &self.loads);
        self.queue
            .retain_lanes(|event| is_wanted(event, workers, pods, loads));
    }

    /// Sets a timer of a lane.
    #[inline]
    fn arm(&mut self, lane: Lane, timer: Event) {
        let (workers, pods, loads) = (&self.workers, &self.pods, &self.loads);
        self.queue
            .forget(lane, |event| is_wanted(event, workers, pods, loads));
        self.queue.push_in(lane, timer);
    }

    /// Tells a node when a connection carried bytes last, where a timer goes by it.
    fn tell_when_carried(&mut self, worker: u32, id: TimerId) {
        let asked = self.workers[worker as usize].node.asks_when_carried(id);
        if let Some((downstream, token)) = asked {
            let conn = self.conns.get(Key::of(token));
            let last = conn.map_or(self.now, |conn| conn.arrives[0].max(conn.arrives[1]));
            let last = last.min(self.now);
            let carried = Input::Carried { downstream, last };
            self.with_node(worker, |node, cx| node.handle(cx, carried));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Node(worker, id) => {
                // most timeouts are of exchanges that ended long before
                if self.workers[worker as usize].node.is_armed(id) {
                    self.tell_when_carried(worker, id);
                    self.with_node(worker, |node, cx| node.handle(cx, Input::Timer { id }));
                    self.drain_node(worker);
                }
            }
            Event::App(pod, id) => {
                if let Some(app) = self.pods[pod as usize].app.as_mut()
                    && app.fires(self.now, id)
                {
                    self.drain_app(pod);
                }
            }
            Event::Client(load, id) => {
                let clients = &mut self.loads[load as usize].clients;
                if clients.wants(id) {
                    clients.timer(self.now, id);
                    self.drain_load(load);
                }
            }
            Event::Request(key) => self.request_arrives(key, false),
            Event::RequestPaid(key) => self.request_arrives(key, true),
            Event::Response(key) => self.response_arrives(key, false),
            Event::ResponsePaid(key) => self.response_arrives(key, true),
            Event::Unwanted(key) => self.unwanted(key),
            Event::Unsent(key, why) => self.unsent(key, why),
            Event::Accept(key) => self.accept(key),
            Event::Established(key) => self.established(key),
            Event::Refused(key, why) => self.refused(key, why),
            Event::ClosedByClient(key) => self.closed_by_client(key),
            Event::ClosedByServer(key) => self.closed_by_server(key),
            Event::WorkerIdle(worker) => self.worker_idle(worker),
            Event::Probed(worker, check, status) => {
                let input = Input::HealthChecked { check, status };
                self.with_node(worker, |node, cx| node.handle(cx, input));
                self.drain_node(worker);
            }
            Event::Endpoints(workload) => self.endpoints(workload),
            Event::Fault(number, begins) => self.fault(number, begins),
            Event::Change(number) => self.change(number),
            Event::Configure {
                proxy,
                model,
                change,
            } => self.configure(proxy, model, change),
            Event::Drained(pod) => self.drained(pod),
            Event::Rollout(workload) => self.rollout(workload),
        }
    }

    /// Finds out whom each call of the program goes to.
    fn resolve_calls(&mut self) {
        let plan = self.plan.clone();
        for call in &plan.program.calls {
            let dest = Dest::Service {
                service: call.to.0,
                port: call.port,
            };
            let dest = self.dest(dest);
            self.call_dests.push(dest);
        }
    }

    fn start_loads(&mut self) {
        let plan = self.plan.clone();
        for (number, load) in plan.loads.iter().enumerate() {
            let mut dests = vec![NOWHERE; plan.requests.len()];
            for mixed in &load.mix {
                let request = mixed.request;
                dests[request.index()] = self.dest_of(request, &load.via);
            }
            let state = LoadState {
                clients: plan.clients(LoadId::at(number), self.root),
                tries: Vec::new(),
                pools: Vec::new(),
                dests,
                dialled: 0,
                key: load.key(self.root).child(1 << 42),
                turn: 0,
            };
            self.loads.push(state);
        }
        for number in 0..plan.loads.len() as u32 {
            self.drain_load(number);
        }
    }

    fn dest(&mut self, dest: Dest) -> u32 {
        let known = self.dests.iter().position(|it| *it == dest);
        let at = known.unwrap_or_else(|| {
            self.dests.push(dest);
            self.dests.len() - 1
        });
        at as u32
    }

    /// Where a load's request goes.
    fn dest_of(&mut self, request: RequestId, via: &Via) -> u32 {
        let plan = self.plan.clone();
        let template = &plan.requests[request.index()];
        let dest = match via {
            Via::Gateway(name) => setup::gateway_for(&self.model, name.as_deref(), template)
                .and_then(|gateway| gateway_dest(&self.model, gateway, template)),
            Via::Direct | Via::Workload(_) => match template.to {
                Some((service, port)) => Some(Dest::Service {
                    service: service.0,
                    port,
                }),
                None => self.outside(template, self.namespace_of(via)),
            },
        };
        dest.map_or(NOWHERE, |dest| self.dest(dest))
    }

    /// Where short names of a load's client are looked up.
    fn namespace_of(&self, via: &Via) -> &str {
        match via {
            Via::Workload(id) => &self.plan.workloads[id.index()].namespace,
            Via::Gateway(_) | Via::Direct => "default",
        }
    }

    /// A host that is no Service.
    fn outside(&self, template: &RequestTemplate, namespace: &str) -> Option<Dest> {
        let (host, port) = split_authority(&template.authority);
        let found = self.model.directory().resolve(
            self.model.services(),
            namespace,
            host,
            port.unwrap_or(80),
        )?;
        match found {
            Destination::Service(it) => Some(Dest::Service {
                service: it.service.0,
                port: it.port,
            }),
            Destination::Headless { service, port } => Some(Dest::Service {
                service: service.0,
                port,
            }),
            Destination::Outside(addresses) => addresses.first().copied().map(Dest::Address),
        }
    }
}

fn plan_name(plan: &Plan, workload: u32) -> String {
    plan.workloads[workload as usize].full_name()
}

fn gateway_dest(model: &Model, gateway: GatewayId, template: &RequestTemplate) -> Option<Dest> {
    let facts = &model.gateways()[gateway.index()];
    let workload = facts.workload?;
    let (host, port) = split_authority(&template.authority);
    let listens = facts.listens.iter();
    let listen = match port {
        Some(port) => listens.clone().find(|listen| listen.port == port),
        None => listens
            .clone()
            .find(|listen| listen.port == 80)
            .or_else(|| listens.clone().find(|listen| !listen.tls))
            .or_else(|| listens.clone().next()),
    };
    let listen = listen?;
    Some(Dest::Gateway {
        workload: workload.0,
        port: listen.bound,
        tls: listen.tls.then(|| host.into()),
    })
}

/// Host and port of an authority.
#[must_use]
pub fn split_authority(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

/// The head of a request without drawn values.
fn fixed_head(request: &RequestTemplate, heads: &mut HeadTable) -> Option<HeadId> {
    let headers: Option<Vec<_>> = request
        .headers
        .iter()
        .map(|(name, value)| match value {
            HeaderValue::Fixed(value) => Some((name.clone(), value.clone())),
            HeaderValue::Drawn(_) => None,
        })
        .collect();
    Some(heads.request(Content {
        method: request.method.clone(),
        authority: request.authority.clone(),
        path: request.path.clone(),
        headers: headers?,
    }))
}

/// The ports that a workload is known to listen on; empty: any.
fn ports(model: &Model, workload: usize) -> Vec<u16> {
    let Some(entry) = model.workloads().get(workload) else {
        return Vec::new();
    };
    let mut found: Vec<u16> = entry.ports.iter().map(|port| port.number).collect();
    let services = model
        .services()
        .iter()
        .filter(|service| service.workloads.contains(&entry.id));
    for port in services.flat_map(|service| &service.ports) {
        found.extend(entry.target_port(&port.target));
    }
    found.sort_unstable();
    found.dedup();
    found
}
