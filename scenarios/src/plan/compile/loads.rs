//! Who sends requests, and when.

use manifests::diagnostics::Diagnostic;
use proxy_core::time::{Duration, Time};

use super::Compiler;
use crate::format::{self, Located};
use crate::plan::events::FaultKind;
use crate::plan::ids::{RequestId, ServiceId, WorkloadId};
use crate::plan::known::DEFAULT_NAMESPACE;
use crate::plan::load::{Arrivals, Client, Load, Mixed, Process, Protocol, Stage, Surge, Via};
use crate::plan::workload::RequestTemplate;

/// The most requests that one load may be expected to send.
const MAX_REQUESTS: f64 = 1e9;

impl Compiler<'_> {
    pub(super) fn read_loads(&mut self) {
        let spec = self.spec;
        self.distinct("loads", spec.load.iter().map(|load| &load.name));
        for load in &spec.load {
            if let Some(load) = self.load(load) {
                self.loads.push(load);
            }
        }
    }

    fn load(&mut self, given: &Located<format::Load>) -> Option<Load> {
        let via = self.via(given);
        let process = self.process(given);
        let client = self.client(given);
        let (process, mix) = match process {
            Some((process, None)) => (Some(process), self.mix(given, via.as_ref())),
            Some((process, Some(requests))) => (
                Some(process),
                self.traced_mix(given, &requests, via.as_ref()),
            ),
            None if given.trace.is_some() => (None, None),
            None => (None, self.mix(given, via.as_ref())),
        };
        Some(Load {
            name: given.name.as_str().into(),
            via: via?,
            mix: mix?,
            process: process?,
            client,
            surges: Vec::new(),
            span: given.name.span(),
        })
    }

    fn via(&mut self, given: &format::Load) -> Option<Via> {
        let Some(via) = &given.via else {
            let direct = self.known.gateways.is_empty();
            return Some(if direct {
                Via::Direct
            } else {
                Via::Gateway(None)
            });
        };
        let gateways = &self.known.gateways;
        match via.as_str() {
            "direct" => Some(Via::Direct),
            "gateway" if gateways.is_empty() => {
                let problem =
                    Diagnostic::error("load::no-gateway", "the manifests have no gateway")
                        .label(via.span(), "requests are to enter there")
                        .help(
                            "write `via: direct` to send them straight to the Service of the host",
                        );
                self.problems.push(problem);
                None
            }
            "gateway" => Some(Via::Gateway(None)),
            text if text.starts_with("gateway/") => {
                let name = &text["gateway/".len()..];
                let known = gateways.iter().any(|full| {
                    full == name || full.split_once('/').is_some_and(|(_, bare)| bare == name)
                });
                if !known {
                    let full: Vec<String> = gateways
                        .iter()
                        .map(|name| format!("gateway/{name}"))
                        .collect();
                    self.unknown(
                        "load::unknown-gateway",
                        "gateway",
                        via,
                        full.iter().map(String::as_str),
                    );
                    return None;
                }
                Some(Via::Gateway(Some(name.into())))
            }
            _ => self.workload(via, DEFAULT_NAMESPACE).map(Via::Workload),
        }
    }

    fn process(
        &mut self,
        given: &Located<format::Load>,
    ) -> Option<(Process, Option<Vec<RequestId>>)> {
        match (&given.open, &given.closed, &given.trace) {
            (Some(open), None, None) => self.open_process(open).map(|process| (process, None)),
            (None, Some(closed), None) => {
                let think = match &closed.think {
                    Some(think) => Some(self.times(think)?),
                    None => None,
                };
                let users = closed.users.0;
                Some((Process::Closed { users, think }, None))
            }
            (None, None, Some(path)) => {
                let (rows, requests) = self.trace(path)?;
                Some((Process::Trace(rows.into()), Some(requests)))
            }
            (open, closed, trace) => {
                let keys = [
                    ("open", open.is_some()),
                    ("closed", closed.is_some()),
                    ("trace", trace.is_some()),
                ];
                let given_keys: Vec<&str> = keys
                    .iter()
                    .filter(|each| each.1)
                    .map(|each| each.0)
                    .collect();
                self.one_of(given.span(), &["open", "closed", "trace"], &given_keys);
                None
            }
        }
    }

    fn open_process(&mut self, open: &Located<format::Open>) -> Option<Process> {
        let arrivals = match open.arrivals {
            None | Some(format::Arrivals::Poisson) => Arrivals::Poisson,
            Some(format::Arrivals::Constant) => Arrivals::Constant,
        };
        let stages = match (&open.rate, &open.stages) {
            (Some(rate), None) => vec![Stage {
                from: rate.0,
                to: rate.0,
                lasts: self.duration,
            }],
            (None, Some(stages)) => self.stages(stages)?,
            (rate, _) => {
                let both: &[&str] = if rate.is_some() {
                    &["rate", "stages"]
                } else {
                    &[]
                };
                self.one_of(open.span(), &["rate", "stages"], both);
                return None;
            }
        };
        let expected: f64 = stages
            .iter()
            .map(|stage| (stage.from + stage.to) / 2.0 * stage.lasts.as_secs_f64())
            .sum();
        if expected > MAX_REQUESTS {
            let message = format!(
                "{expected:.0} requests are more than the {MAX_REQUESTS:.0} that a load may send"
            );
            self.error(
                "load::too-many",
                message,
                open.span(),
                "at this rate for so long",
            );
        }
        if expected == 0.0 {
            self.error(
                "load::no-requests",
                "no request ever comes",
                open.span(),
                "at this rate",
            );
        }
        let stages = stages.into();
        Some(Process::Open { arrivals, stages })
    }

    fn stages(&mut self, given: &Located<Vec<Located<format::Stage>>>) -> Option<Vec<Stage>> {
        let mut stages: Vec<Stage> = Vec::new();
        let mut whole = Duration::ZERO;
        for stage in &**given {
            let before = stages.last().map_or(0.0, |stage| stage.to);
            let lasts = stage.lasts.0;
            if lasts.is_zero() {
                self.error(
                    "load::stage",
                    "a stage lasts longer than no time",
                    stage.lasts.span(),
                    "no time",
                );
                return None;
            }
            let (from, to) = match (&stage.hold, &stage.ramp) {
                (Some(rate), None) => (rate.0, rate.0),
                (None, Some(rate)) => (before, rate.0),
                (hold, _) => {
                    let both: &[&str] = if hold.is_some() {
                        &["hold", "ramp"]
                    } else {
                        &[]
                    };
                    self.one_of(stage.span(), &["hold", "ramp"], both);
                    return None;
                }
            };
            stages.push(Stage { from, to, lasts });
            whole += lasts;
            if whole > self.duration {
                let message = format!("the stages last {whole}, the run only {}", self.duration);
                let problem = Diagnostic::warning("load::stages-too-long", message)
                    .label(stage.span(), "ends after the run")
                    .label(self.spec.duration.span(), "the whole run");
                self.problems.push(problem);
                break;
            }
        }
        if stages.is_empty() {
            self.error(
                "load::stage",
                "there are no stages",
                given.span(),
                "an empty list",
            );
            return None;
        }
        Some(stages)
    }

    fn mix(&mut self, given: &Located<format::Load>, via: Option<&Via>) -> Option<Vec<Mixed>> {
        if given.requests.is_empty() {
            self.error(
                "load::requests",
                "a load needs requests",
                given.name.span(),
                "asks for nothing",
            );
            return None;
        }
        let mut sum = 0.0;
        let mut mix = Vec::new();
        let mut whole = true;
        for request in &given.requests {
            sum += request.weight.as_ref().map_or(1.0, |weight| weight.0);
            let Some(request) = self.request(request, via) else {
                whole = false;
                continue;
            };
            mix.push(Mixed {
                cumulative: sum,
                request,
            });
        }
        if sum == 0.0 {
            self.error(
                "load::weights",
                "all weights are zero",
                given.name.span(),
                "asks for nothing",
            );
            return None;
        }
        for mixed in &mut mix {
            mixed.cumulative /= sum;
        }
        whole.then_some(mix)
    }

    fn request(
        &mut self,
        given: &Located<format::Request>,
        via: Option<&Via>,
    ) -> Option<RequestId> {
        let workload = match via {
            Some(Via::Workload(id)) => Some(*id),
            Some(Via::Direct | Via::Gateway(_)) | None => None,
        };
        let namespace = self.namespace_of(workload);
        let to = self.target(&given.host.0, &namespace);
        let resolved = self.check_target(&given.host, to, via);
        let headers = self.headers(&given.headers);
        self.requests.push(RequestTemplate {
            method: given
                .method
                .as_ref()
                .map_or("GET", |method| &method.0)
                .into(),
            authority: given.host.0.as_str().into(),
            path: given.path.0.as_str().into(),
            headers,
            size: given.size.as_ref().map_or(0, |size| size.0),
            to,
        });
        resolved.then(|| RequestId::at(self.requests.len() - 1))
    }

    /// Without a gateway the host must name a Service and one of its ports.
    fn check_target(
        &mut self,
        host: &Located<format::Host>,
        to: Option<(ServiceId, u16)>,
        via: Option<&Via>,
    ) -> bool {
        match via {
            Some(Via::Gateway(_)) | None => return true,
            Some(Via::Direct | Via::Workload(_)) => {}
        }
        let Some((service, port)) = to else {
            let names: Vec<String> = self
                .services
                .iter()
                .map(|service| service.name.to_string())
                .collect();
            let message = format!("no Service has the name `{}`", host.0);
            let help =
                manifests::diagnostics::did_you_mean(&host.0, names.iter().map(String::as_str));
            let problem = Diagnostic::error("load::unknown-host", message)
                .label(host.span(), "cannot be resolved")
                .maybe_help(help);
            self.problems.push(problem);
            return false;
        };
        let service = &self.services[service.index()];
        if !service.ports.contains(&port) {
            let ports: Vec<String> = service.ports.iter().map(u16::to_string).collect();
            let message = format!("the Service `{}` has no port {port}", service.name);
            let problem = Diagnostic::error("load::port", message)
                .label(host.span(), "this port")
                .help(format!(
                    "write it after the host: it has {}",
                    ports.join(", ")
                ));
            self.problems.push(problem);
            return false;
        }
        true
    }

    /// The Service and port of an authority, if it names one.
    pub(super) fn target(&self, authority: &str, namespace: &str) -> Option<(ServiceId, u16)> {
        let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
        let service = self.service_of_host(host, namespace)?;
        Some((service, port.parse().ok()?))
    }

    fn traced_mix(
        &mut self,
        given: &Located<format::Load>,
        requests: &[RequestId],
        via: Option<&Via>,
    ) -> Option<Vec<Mixed>> {
        if !given.requests.is_empty() {
            self.error(
                "load::requests",
                "a trace brings its own requests",
                given.name.span(),
                "has `requests` beside `trace`",
            );
        }
        let direct = matches!(via, Some(Via::Direct | Via::Workload(_)));
        for id in requests.iter().filter(|_| direct) {
            let request = &self.requests[id.index()];
            if request.to.is_none() {
                let span = given
                    .trace
                    .as_ref()
                    .map_or_else(|| given.span(), Located::span);
                let message = format!(
                    "no Service has the name `{}`, which the trace asks for",
                    request.authority
                );
                self.error("load::unknown-host", message, span, "this trace");
            }
        }
        let count = requests.len() as f64;
        let mixed = requests.iter().zip(1..).map(|(request, nth)| Mixed {
            cumulative: f64::from(nth) / count,
            request: *request,
        });
        Some(mixed.collect())
    }

    fn client(&mut self, given: &Located<format::Load>) -> Client {
        let nobody = format::Client::default();
        let client = given.client.as_ref().unwrap_or(&nobody);
        if client.timeout.is_none() {
            let path = format!("load.{}.client.timeout", *given.name);
            self.assume(
                path,
                "none",
                "how long its clients wait is not written; they wait for ever",
                &["1s", "5s", "30s"],
            );
        }
        let policy = self.try_policy(
            client.timeout.as_ref(),
            client.retries.as_ref().map(|count| count.0),
            client.backoff.as_ref(),
            client.hedge.as_ref(),
        );
        Client {
            protocol: match client.protocol {
                None | Some(format::Protocol::Http1) => Protocol::Http1,
                Some(format::Protocol::Http2) => Protocol::Http2,
            },
            connections: client.connections.as_ref().map(|count| count.0),
            policy: self.policy(policy),
        }
    }

    /// Gives each load the surges that strike it.
    pub(super) fn surge_loads(&mut self) {
        for fault in &self.faults {
            if let FaultKind::Surge { load, factor } = fault.kind {
                let surge = Surge {
                    from: fault.window.from,
                    until: fault.window.until().min(Time::ZERO + self.duration),
                    factor,
                };
                self.loads[load.index()].surges.push(surge);
            }
        }
    }

    /// The load of this name, or a report.
    pub(super) fn load_named(
        &mut self,
        name: &Located<String>,
    ) -> Option<crate::plan::ids::LoadId> {
        let found = self.loads.iter().position(|load| *load.name == ***name);
        if found.is_none() {
            let names: Vec<String> = self
                .spec
                .load
                .iter()
                .map(|load| load.name.to_string())
                .collect();
            // A load that was refused has been reported already.
            if !names.contains(name) {
                self.unknown(
                    "load::unknown",
                    "load",
                    name,
                    names.iter().map(String::as_str),
                );
            }
        }
        found.map(crate::plan::ids::LoadId::at)
    }

    pub(super) fn peer_workload(&mut self, name: &Located<String>) -> Option<WorkloadId> {
        self.workload(name, DEFAULT_NAMESPACE)
    }
}
