//! Kuma's counter demo, with Redis as it was and with the key-value service that it has now, from manifests to what its sidecars are told.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use manifests::diagnostics::Diagnostics;
use manifests::load::{Layer, load};
use manifests::model::{Input, MeshWish, Model, NodeRef, Place, Pod, Pods, WorkloadId};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use proxy_core::config::{
    ChainAction, Cluster, DownstreamTransport, HttpFilter, Listener, Route, RouteAction, Section,
    UpstreamTransport,
};
use proxy_core::origin::{OriginId, Sourced};

/// The demo before its store spoke HTTP: Services by their tags, and an authority of the Mesh.
const REDIS: &str = "apiVersion: v1
kind: Namespace
metadata:
  name: kuma-demo
  labels: {kuma.io/sidecar-injection: enabled}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: redis, namespace: kuma-demo}
spec:
  replicas: 1
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec: {containers: [{name: redis, image: redis, ports: [{name: tcp, containerPort: 6379}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: redis, namespace: kuma-demo}
spec:
  selector: {app: redis}
  ports: [{port: 6379}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: demo-app, namespace: kuma-demo}
spec:
  replicas: 2
  selector: {matchLabels: {app: demo-app}}
  template:
    metadata: {labels: {app: demo-app, version: v1}}
    spec: {containers: [{name: demo-app, image: kuma-demo, ports: [{name: http, containerPort: 5000}]}]}
---
apiVersion: v1
kind: Service
metadata:
  name: demo-app
  namespace: kuma-demo
  annotations: {5000.service.kuma.io/protocol: http}
spec:
  selector: {app: demo-app}
  ports: [{port: 5000}]
---
apiVersion: kuma.io/v1alpha1
kind: Mesh
metadata: {name: default}
spec:
  mtls:
    enabledBackend: ca-1
    backends: [{name: ca-1, type: builtin, mode: PERMISSIVE}]
  networking: {outbound: {passthrough: false}}
---
apiVersion: kuma.io/v1alpha1
kind: MeshTrafficPermission
metadata: {name: allow-demo, namespace: kuma-system}
spec:
  targetRef: {kind: MeshService, name: redis_kuma-demo_svc_6379}
  from:
    - targetRef: {kind: MeshSubset, tags: {kuma.io/service: demo-app_kuma-demo_svc_5000}}
      default: {action: Allow}
---
apiVersion: kuma.io/v1alpha1
kind: MeshTimeout
metadata: {name: redis, namespace: kuma-system}
spec:
  to:
    - targetRef: {kind: MeshService, name: redis_kuma-demo_svc_6379}
      default: {idleTimeout: 10m}
---
apiVersion: kuma.io/v1alpha1
kind: MeshRateLimit
metadata: {name: demo-app, namespace: kuma-system}
spec:
  targetRef: {kind: MeshSubset, tags: {app: demo-app}, proxyTypes: [Sidecar]}
  from:
    - targetRef: {kind: Mesh}
      default: {local: {http: {requestRate: {num: 10, interval: 1s}}}}
";

/// The demo as it is: MeshServices, an identity of its own, a canary, and a store that fails.
const KV: &str = "apiVersion: v1
kind: Namespace
metadata:
  name: kuma-demo
  labels: {kuma.io/sidecar-injection: enabled}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: kv, namespace: kuma-demo}
spec:
  replicas: 3
  selector: {matchLabels: {app: kv}}
  template:
    metadata: {labels: {app: kv}}
    spec: {serviceAccountName: kv, containers: [{name: app, image: demo, ports: [{name: main-api, containerPort: 5050}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: kv, namespace: kuma-demo}
spec:
  selector: {app: kv}
  ports: [{name: main-api, port: 5050, targetPort: main-api, appProtocol: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: demo-app, namespace: kuma-demo}
spec:
  replicas: 2
  selector: {matchLabels: {app: demo-app}}
  template:
    metadata: {labels: {app: demo-app}}
    spec: {serviceAccountName: demo-app, containers: [{name: app, image: demo, ports: [{name: main-api, containerPort: 5050}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: demo-app, namespace: kuma-demo}
spec:
  selector: {app: demo-app}
  ports: [{name: main-api, port: 5050, targetPort: main-api, appProtocol: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: demo-app-v2, namespace: kuma-demo}
spec:
  replicas: 1
  selector: {matchLabels: {app: demo-app-v2}}
  template:
    metadata: {labels: {app: demo-app-v2}}
    spec: {serviceAccountName: demo-app, containers: [{name: app, image: demo, ports: [{name: main-api, containerPort: 5050}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: demo-app-v2, namespace: kuma-demo}
spec:
  selector: {app: demo-app-v2}
  ports: [{name: main-api, port: 5050, targetPort: main-api, appProtocol: http}]
---
apiVersion: kuma.io/v1alpha1
kind: Mesh
metadata: {name: default}
spec:
  meshServices: {mode: Exclusive}
  skipCreatingInitialPolicies: [MeshCircuitBreaker]
---
apiVersion: kuma.io/v1alpha1
kind: MeshIdentity
metadata: {name: identity, namespace: kuma-system, labels: {kuma.io/mesh: default}}
spec:
  selector: {dataplane: {matchLabels: {}}}
  spiffeID: {trustDomain: 'demo.example'}
  provider: {type: Bundled}
---
apiVersion: kuma.io/v1alpha1
kind: MeshTrafficPermission
metadata: {name: allow-all, namespace: kuma-system}
spec:
  rules: [{default: {allow: [{spiffeID: {type: Prefix, value: 'spiffe://demo.example/'}}]}}]
---
apiVersion: kuma.io/v1alpha1
kind: MeshHTTPRoute
metadata: {name: canary, namespace: kuma-demo}
spec:
  to:
    - targetRef: {kind: MeshService, name: demo-app, sectionName: main-api}
      rules:
        - matches: [{path: {type: PathPrefix, value: /api}}]
          default:
            backendRefs:
              - {kind: MeshService, name: demo-app, port: 5050, weight: 90}
              - {kind: MeshService, name: demo-app-v2, port: 5050, weight: 10}
        - matches: [{path: {type: Exact, value: /old}}]
          default:
            filters:
              - type: RequestRedirect
                requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /api}}
---
apiVersion: kuma.io/v1alpha1
kind: MeshRetry
metadata: {name: kv, namespace: kuma-demo}
spec:
  to:
    - targetRef: {kind: MeshService, name: kv}
      default: {http: {numRetries: 2, retryOn: [5xx, HttpMethodGet]}}
---
apiVersion: kuma.io/v1alpha1
kind: MeshTimeout
metadata: {name: canary, namespace: kuma-demo}
spec:
  to:
    - targetRef: {kind: MeshHTTPRoute, name: canary}
      default: {http: {requestTimeout: 2s}}
---
apiVersion: kuma.io/v1alpha1
kind: MeshCircuitBreaker
metadata: {name: kv, namespace: kuma-demo}
spec:
  to:
    - targetRef: {kind: MeshService, name: kv}
      default:
        connectionLimits: {maxRequests: 100}
        outlierDetection:
          maxEjectionPercent: 50
          detectors: {totalFailures: {consecutive: 5}}
---
apiVersion: kuma.io/v1alpha1
kind: MeshLoadBalancingStrategy
metadata: {name: kv, namespace: kuma-demo}
spec:
  to:
    - targetRef: {kind: MeshService, name: kv}
      default: {loadBalancer: {type: LeastRequest}}
---
apiVersion: kuma.io/v1alpha1
kind: MeshFaultInjection
metadata: {name: kv, namespace: kuma-demo}
spec:
  targetRef: {kind: Dataplane, labels: {app: kv}}
  rules: [{default: {http: [{abort: {httpStatus: 503, percentage: 20}}]}}]
";

struct Built {
    model: Model,
    pods: Pods,
    problems: String,
    origins: Origins,
    sources: Sources,
}

fn build(text: &str, release: &str) -> Built {
    let mut sources = Sources::default();
    let mut origins = Origins::default();
    let mut diagnostics = Diagnostics::default();
    let layers = [Layer::text("demo.yaml", text)];
    let objects = load(&layers, &mut sources, &mut diagnostics);
    let input = Input {
        objects,
        mesh: MeshWish::Named {
            system: "kuma".into(),
            release: Some(release.into()),
            span: Span::NOWHERE,
        },
        ..Input::default()
    };
    let model = Model::build(input, &mut origins, &mut diagnostics).expect("Kuma is known");
    let mut pods = Pods::new(model.workloads().len());
    for workload in model.workloads() {
        for nth in 0..workload.replicas {
            pods.of_mut(workload.id).push(Pod {
                ip: pod_ip(workload.id, nth),
                name: format!("{}-{nth}", workload.name).into(),
                place: Place::default(),
                ready: true,
                draining: false,
                labels: None,
            });
        }
    }
    Built {
        problems: diagnostics.to_lines(&sources),
        model,
        pods,
        origins,
        sources,
    }
}

fn pod_ip(workload: WorkloadId, nth: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 128, workload.0 as u8, nth as u8 + 1))
}

impl Built {
    /// Everything that the sidecar of a workload is told, in words.
    fn told(&self, workload: &str) -> String {
        let mut workloads = self.model.workloads().iter();
        let id = workloads
            .find(|it| &*it.name == workload)
            .expect("a workload")
            .id;
        let config = self
            .model
            .config(NodeRef::Sidecar(id), &Place::default(), &self.pods)
            .expect("a sidecar");
        let mut text = format!("# {}\n", config.name);
        for (side, section) in ["arriving", "sent"].iter().zip(&config.sections) {
            let _ = writeln!(text, "\n## {side}");
            for listener in section.listeners() {
                self.listener(&mut text, section, listener);
            }
            for cluster in section.clusters() {
                self.cluster(&mut text, cluster);
            }
        }
        text
    }

    fn of(&self, origin: OriginId) -> String {
        self.origins.text(origin, &self.sources)
    }

    fn value<T: std::fmt::Debug>(&self, value: &Sourced<T>) -> String {
        format!("{:?} ({})", value.value, self.of(value.origin))
    }

    fn listener(&self, text: &mut String, section: &Section, listener: &Listener) {
        let _ = writeln!(text, "\n{}: {:?}", listener.name, listener.address);
        for chain in &listener.chains {
            let transport = match &chain.transport {
                DownstreamTransport::Plaintext => "plaintext".to_owned(),
                DownstreamTransport::Tls { certificate, .. } => {
                    format!("mutual TLS as {certificate}")
                }
            };
            let begins = chain.matches.transport;
            let _ = writeln!(
                text,
                "  {begins:?} {:?} -> {transport} ({})",
                chain.matches.protocols,
                self.of(chain.origin)
            );
            match &chain.action {
                ChainAction::Http(http) => {
                    for filter in &http.filters {
                        self.filter(text, filter);
                    }
                    for host in &section.tables()[http.table.0 as usize].virtual_hosts {
                        for route in &host.routes {
                            self.route(text, section, route);
                        }
                    }
                }
                ChainAction::Tcp(tcp) => {
                    let to = tcp.clusters.iter().map(|(at, weight)| {
                        format!("{} x{weight}", section.clusters()[at.0 as usize].name)
                    });
                    let to: Vec<String> = to.collect();
                    let idle = tcp.idle_timeout.as_ref().map(|it| self.value(it));
                    let _ = writeln!(
                        text,
                        "    bytes to {} after {} tries more, idle {}",
                        to.join(", "),
                        tcp.connect_retries,
                        idle.unwrap_or_default()
                    );
                }
                ChainAction::Close(reason) => {
                    let _ = writeln!(text, "    closed: {reason:?}");
                }
                ChainAction::Udp(_) => panic!("no datagrams"),
            }
        }
    }

    fn filter(&self, text: &mut String, filter: &HttpFilter) {
        let _ = match filter {
            HttpFilter::Fault(Some(fault)) => writeln!(
                text,
                "    fault: {:?} {:?} ({})",
                fault.delay,
                fault.abort,
                self.of(fault.origin)
            ),
            HttpFilter::LocalRateLimit(Some(limit)) => writeln!(
                text,
                "    limit: {} in {:?}, else {} ({})",
                limit.bucket.max_tokens,
                limit.bucket.fill_interval,
                limit.status,
                self.of(limit.origin)
            ),
            HttpFilter::Fault(None) | HttpFilter::LocalRateLimit(None) | HttpFilter::Cors => {
                panic!("nothing of the kind")
            }
        };
    }

    fn route(&self, text: &mut String, section: &Section, route: &Route) {
        let _ = writeln!(
            text,
            "    {} {:?} ({})",
            route.name,
            route.matches.path,
            self.of(route.origin)
        );
        match &route.action {
            RouteAction::Forward(forward) => {
                for share in &forward.clusters {
                    let at = share.cluster.expect("somebody");
                    let name = &section.clusters()[at.0 as usize].name;
                    let _ = writeln!(text, "      to {name} x{}", share.weight);
                }
                let _ = writeln!(text, "      timeout {}", self.value(&forward.timeout));
                if let Some(retry) = &forward.retry {
                    let _ = writeln!(text, "      retries {}", self.value(&retry.retries));
                    let _ = writeln!(text, "      on {}", self.value(&retry.on));
                    let bound = retry.per_try_timeout.as_ref().map(|it| self.value(it));
                    let _ = writeln!(text, "      a try {}", bound.unwrap_or_default());
                    let _ = writeln!(
                        text,
                        "      requests that may: {}",
                        retry.request_headers.len()
                    );
                }
            }
            RouteAction::Redirect(redirect) => {
                let _ = writeln!(
                    text,
                    "      redirect {} {:?}",
                    redirect.status, redirect.path
                );
            }
            RouteAction::Direct(answer) => {
                let _ = writeln!(text, "      answer {}", answer.status);
            }
        }
    }

    fn cluster(&self, text: &mut String, cluster: &Cluster) {
        let transport = match &cluster.transport {
            UpstreamTransport::Plaintext => "plaintext".to_owned(),
            UpstreamTransport::Tls { .. } => "TLS".to_owned(),
            UpstreamTransport::Mesh { identity, sni, .. } => {
                format!("mutual TLS as {identity} to {sni}")
            }
        };
        let _ = writeln!(
            text,
            "\n[{}] {} endpoints, {:?}, {transport}",
            cluster.name,
            cluster.endpoints.endpoints.len(),
            cluster.protocol
        );
        let _ = writeln!(text, "  balancer {}", self.value(&cluster.balancer));
        let _ = writeln!(text, "  connect {}", self.value(&cluster.connect_timeout));
        let limits = &cluster.limits[0];
        let _ = writeln!(text, "  requests {}", self.value(&limits.requests));
        let _ = writeln!(text, "  retries {}", self.value(&limits.retries));
        if let Some(outlier) = &cluster.outlier {
            let it = &outlier.value;
            let _ = writeln!(
                text,
                "  out after {} 5xx ({:?}), at most {:?} ({})",
                it.consecutive_5xx,
                it.enforcing_consecutive_5xx,
                it.max_ejection_share,
                self.of(outlier.origin)
            );
        }
    }
}

#[test]
fn the_demo_with_redis() {
    let built = build(REDIS, "2.12");
    let told = [built.told("demo-app"), built.told("redis")].join("\n");
    insta::assert_snapshot!("redis", format!("{}\n{told}", built.problems));
}

#[test]
fn the_demo_with_its_key_value_service() {
    let built = build(KV, "2.14");
    let told = [built.told("demo-app"), built.told("kv")].join("\n");
    insta::assert_snapshot!("kv", format!("{}\n{told}", built.problems));
}
