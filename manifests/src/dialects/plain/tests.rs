//! Ingresses of controllers that are not known. Source: Kubernetes `networking.k8s.io/v1`, "Ingress".

use std::net::SocketAddr;

use proxy_core::config::{ChainAction, RouteAction};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, Heads};
use proxy_core::node::Arrival;
use proxy_core::route::{RequestView, find_route};

use crate::diagnostics::Diagnostics;
use crate::load::{Layer, load};
use crate::model::{GatewayId, GatewayOverride, Input, MeshWish, Model, NodeRef, Place, Pods};
use crate::origins::Origins;
use crate::text::Sources;

const BASE: &str = "apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec: {selector: {app: b}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: alb}
spec: {controller: ingress.k8s.aws/alb}
---
";

struct Asked<'a> {
    host: &'a str,
    path: &'a str,
}

impl Heads for Asked<'_> {
    fn method(&self, _: HeadId) -> &str {
        "GET"
    }
    fn authority(&self, _: HeadId) -> &str {
        self.host
    }
    fn path(&self, _: HeadId) -> &str {
        self.path
    }
    fn header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
    fn status(&self, _: HeadId) -> u16 {
        0
    }
    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

/// An Ingress `web` of a class (empty: none), its paths as `host path type service`.
fn ingress(class: &str, more: &str, rules: &[&str]) -> String {
    let class = match class {
        "" => String::new(),
        class => format!("  ingressClassName: {class}\n"),
    };
    let rules = rules.iter().map(|rule| {
        let words: Vec<&str> = rule.split(' ').collect();
        let [host, path, kind, service] = words[..] else {
            panic!("{rule}");
        };
        let host = match host {
            "*" => String::new(),
            host => format!("host: {host:?}, "),
        };
        format!(
            "  - {{{host}http: {{paths: [{{path: {path}, pathType: {kind}, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}\n"
        )
    });
    let rules: String = rules.collect();
    let rules = match rules.as_str() {
        "" => rules,
        _ => format!("  rules:\n{rules}"),
    };
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web}}\nspec:\n{class}{more}{rules}"
    )
}

fn build(text: &str, kind: Option<&str>) -> (Model, Diagnostics) {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let layers = [Layer::text("edge.yaml", format!("{BASE}{text}"))];
    let objects = load(&layers, &mut sources, &mut problems);
    let over = kind.map(|kind| GatewayOverride {
        target: "default/web".into(),
        kind: Some(kind.into()),
        ..GatewayOverride::default()
    });
    let input = Input {
        objects,
        mesh: MeshWish::None,
        overrides: over.into_iter().collect(),
        ..Input::default()
    };
    let model = Model::build(input, &mut Origins::default(), &mut problems).expect("a model");
    (model, problems)
}

/// Where a request goes.
fn ask(model: &Model, host: &str, path: &str) -> String {
    let place = Place {
        locality: "".into(),
        node: "".into(),
    };
    let node = NodeRef::Gateway(GatewayId(0));
    let config = model.config(node, &place, &Pods::listed()).expect("served");
    let section = &config.sections[0];
    let at = SocketAddr::new([127, 0, 0, 1].into(), 80);
    let listener = section.listener(Arrival::Dialled, at).expect("a listener");
    let ChainAction::Http(http) = &section.listeners()[listener as usize].chains[0].action else {
        panic!("no requests");
    };
    let asked = Asked { host, path };
    let Some(number) = section.virtual_host(http.table, host) else {
        return "404".into();
    };
    let hosts = &section.tables()[http.table.0 as usize].virtual_hosts;
    let host = &hosts[number as usize];
    let view = RequestView {
        heads: &asked,
        head: HeadId(0),
        edge: true,
    };
    let Some(route) = find_route(host, view, DrawKey::root(1)) else {
        return "404".into();
    };
    match &host.routes[route as usize].action {
        RouteAction::Forward(forward) => {
            let index = forward.clusters[0].cluster.expect("a cluster");
            section.clusters()[index.0 as usize].service.to_string()
        }
        RouteAction::Redirect(_) | RouteAction::Direct(_) => panic!("an answer of its own"),
    }
}

#[test]
fn paths_are_taken_by_length_and_segments() {
    let rules = &[
        "a.org / Prefix a",
        "a.org /foo Prefix b",
        "a.org /foo/bar Exact a",
        "a.org /baz/ Prefix b",
        "a.org /own ImplementationSpecific b",
    ];
    let (model, problems) = build(&ingress("alb", "", rules), None);
    let rows = [
        ("/", "default/a"),
        ("/foo", "default/b"),
        ("/foo/", "default/b"),
        ("/foo/bar", "default/a"),
        ("/foo/bar/", "default/b"),
        ("/foobar", "default/a"),
        ("/baz", "default/b"),
        ("/baz/x", "default/b"),
        ("/own/x", "default/b"),
    ];
    for (path, expected) in rows {
        assert_eq!(ask(&model, "a.org", path), expected, "{path}");
    }
    let codes = problems.codes();
    assert!(codes.contains("ingress::unknown-controller"), "{codes:?}");
    assert!(!codes.contains("gateway::none"), "{codes:?}");
}

#[test]
fn of_two_paths_of_one_length_the_exact_one_wins() {
    let rules = &["a.org /foo Prefix a", "a.org /foo Exact b"];
    let (model, _) = build(&ingress("alb", "", rules), None);
    assert_eq!(ask(&model, "a.org", "/foo"), "default/b");
    assert_eq!(ask(&model, "a.org", "/foo/"), "default/a");
}

#[test]
fn a_wildcard_takes_one_label_and_rules_without_host_take_the_rest() {
    let rules = &["*.a.org / Prefix a", "* /x Prefix b"];
    let (model, _) = build(&ingress("alb", "", rules), None);
    let rows = [
        ("w.a.org", "/", "default/a"),
        ("v.w.a.org", "/", "404"),
        ("v.w.a.org", "/x", "default/b"),
        ("a.org", "/x/y", "default/b"),
        ("b.org", "/", "404"),
    ];
    for (host, path, expected) in rows {
        assert_eq!(ask(&model, host, path), expected, "{host}{path}");
    }
}

#[test]
fn a_default_backend_has_what_no_path_takes() {
    let backend = "  defaultBackend: {service: {name: b, port: {number: 80}}}\n";
    let (model, _) = build(&ingress("alb", backend, &["a.org /a Prefix a"]), None);
    let rows = [
        ("a.org", "/a", "default/a"),
        ("a.org", "/b", "default/b"),
        ("b.org", "/", "default/b"),
    ];
    for (host, path, expected) in rows {
        assert_eq!(ask(&model, host, path), expected, "{host}{path}");
    }
}

#[test]
fn an_ingress_is_served_by_whom_a_cluster_or_the_scenario_has() {
    let default = "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: std, annotations: \
                   {ingressclass.kubernetes.io/is-default-class: \"true\"}}\nspec: {controller: example.com/std}\n";
    type Row<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, Option<&'a str>);
    let rows: [Row<'_>; 6] = [
        (
            "a class that is there",
            "alb",
            "",
            None,
            Some("kube-system/alb"),
        ),
        ("a class that is not", "other", "", None, None),
        ("no class", "", "", None, None),
        (
            "no class, and a default",
            "",
            default,
            None,
            Some("kube-system/std"),
        ),
        (
            "as the scenario has it",
            "",
            "",
            Some("plain"),
            Some("default/web"),
        ),
        (
            "by another, as the scenario has it",
            "alb",
            "",
            Some("kong"),
            Some("default/web"),
        ),
    ];
    for (name, class, more, kind, expected) in rows {
        let text = format!("{}{more}", ingress(class, "", &["a.org / Prefix a"]));
        let (model, problems) = build(&text, kind);
        let gateways: Vec<&str> = model.gateways().iter().map(|it| &*it.name).collect();
        assert_eq!(gateways, expected.into_iter().collect::<Vec<_>>(), "{name}");
        let is_told = problems.codes().contains("gateway::none");
        assert_eq!(is_told, expected.is_none(), "{name}");
    }
}
