use proxy_core::origin::Sourced;

use super::*;
use crate::load::{Layer, load};
use crate::text::Sources;

/// A world with everything that was said about it.
struct Built {
    world: World,
    sources: Sources,
    problems: Diagnostics,
}

impl Built {
    fn from(texts: &[&str]) -> Self {
        Self::following(texts, None)
    }

    fn following(texts: &[&str], before: Option<&World>) -> Self {
        let mut sources = Sources::default();
        let mut problems = Diagnostics::default();
        let layers: Vec<Layer> = texts
            .iter()
            .enumerate()
            .map(|(nth, text)| Layer::text(format!("{nth}.yaml"), *text))
            .collect();
        let objects = load(&layers, &mut sources, &mut problems);
        let input = Input {
            objects,
            nodes: 3,
            before,
        };
        let world = World::build(input, &mut Origins::default(), &mut problems);
        Self {
            world,
            sources,
            problems,
        }
    }

    fn add(&mut self, name: &str, ports: &[u16]) -> WorkloadId {
        let added = Added {
            namespace: "default",
            name,
            replicas: Sourced::unsourced(2),
            ports,
            labels: Labels::new(),
            has_service: true,
        };
        self.world
            .add_workload(added, &mut self.problems)
            .expect("addresses are left")
    }

    fn checked(mut self) -> Self {
        self.world.check_references(&mut self.problems);
        self
    }

    fn lines(&self) -> String {
        self.problems.to_lines(&self.sources)
    }
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, version: v1}}
    spec:
      containers: [{name: web, image: web, ports: [{containerPort: 8080, name: http}]}]
";
const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
";

#[test]
fn a_service_finds_its_workload_and_both_have_addresses() {
    let built = Built::from(&[DEPLOYMENT, SERVICE]).checked();
    assert_eq!(built.lines(), "");
    let service = built.world.service_named("default", "web").expect("there");
    let workload = built.world.workload(service.workloads[0]);
    assert_eq!(
        (workload.title().as_str(), workload.replicas.value),
        ("default/web", 2)
    );
    assert_eq!(service.ports[0].target_on(workload), Some(8080));
    assert_eq!(
        service.cluster_ip().map(|ip| ip.to_string()).as_deref(),
        Some("10.96.0.11")
    );
    assert_eq!(workload.pod_address(1).to_string(), "10.128.0.1");
    assert_eq!(
        built.world.pod_at(workload.pod_address(1)),
        Some((workload.id, 1))
    );
    assert_eq!(
        built
            .world
            .service_at(service.cluster_ip().expect("one"))
            .map(|found| found.id),
        Some(service.id)
    );
    assert_eq!(service.host(), "web.default.svc.cluster.local");
}

#[test]
fn a_workload_that_no_manifest_has_gets_a_service_of_its_name() {
    let mut built = Built::from(&[SERVICE]);
    let own = built.add("users", &[80]);
    let service = built.world.service_named("default", "users").expect("made");
    assert_eq!(service.workloads, [own]);
    assert_eq!(
        service.ports[0].target_on(built.world.workload(own)),
        Some(80)
    );
    // A Service of the manifests that selects nobody is served by the workload of its name.
    let web = built.add("web", &[]);
    assert_eq!(
        built
            .world
            .service_named("default", "web")
            .map(|web| web.workloads.clone()),
        Some(vec![web])
    );
    assert_eq!(built.world.services().len(), 2);
    assert_eq!(built.add("web", &[]), web);
}
