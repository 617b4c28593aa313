//! Manifests, and what becomes of them for a target.

use compare::Area;
use manifests::diagnostics::Diagnostics;
use manifests::load::{Layer, load};
use manifests::model::{Input, MeshWish, Model};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use translate::intent::{Intent, Source};
use translate::targets::Target;
use translate::yaml::{Map, Value};
use translate::{Loss, Object, Written};

/// A shop's pods and Services: `web` and `cart`, and `reviews` in two versions.
pub(crate) const APP: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 8000, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: web, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: app, image: cart, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1, namespace: shop}
spec:
  selector: {matchLabels: {app: reviews, version: v1}}
  template:
    metadata: {labels: {app: reviews, version: v1}}
    spec: {containers: [{name: app, image: reviews, ports: [{containerPort: 9080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v2, namespace: shop}
spec:
  selector: {matchLabels: {app: reviews, version: v2}}
  template:
    metadata: {labels: {app: reviews, version: v2}}
    spec: {containers: [{name: app, image: reviews, ports: [{containerPort: 9080}]}]}
";

/// An Istio gateway for `shop.example.com` with these rules of its VirtualService, and this DestinationRule `spec` for `web`.
pub(crate) fn istio(rules: &str, policy: &str) -> String {
    let rule = match policy {
        "" => String::new(),
        policy => format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: web, namespace: shop}}\nspec:\n  host: web\n  {}\n",
            policy.replace('\n', "\n  ")
        ),
    };
    format!(
        "{APP}---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: public, namespace: shop}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 80, name: http, protocol: HTTP}}
    hosts: [shop.example.com]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews, namespace: shop}}
spec:
  host: reviews
  subsets:
  - {{name: v1, labels: {{version: v1}}}}
  - {{name: v2, labels: {{version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: shop}}
spec:
  hosts: [shop.example.com]
  gateways: [public]
  http:
  {}
{rule}",
        rules.trim().replace('\n', "\n  ")
    )
}

/// A Gateway of the Gateway API, at port 80, with these rules of one HTTPRoute for `shop.example.com`.
pub(crate) fn gateway_api(rules: &str) -> String {
    format!(
        "{APP}---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: edge}}
spec: {{controllerName: example.com/edge}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  gatewayClassName: edge
  listeners: [{{name: http, port: 80, protocol: HTTP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shop, namespace: shop}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [shop.example.com]
  rules:
  {}
",
        rules.trim().replace('\n', "\n  ")
    )
}

/// An Ingress of a class, with annotations as a flow mapping, and its paths as a flow sequence.
pub(crate) fn ingress(class: &str, annotations: &str, paths: &str) -> String {
    format!(
        "{APP}---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  namespace: shop
  annotations: {annotations}
spec:
  ingressClassName: {class}
  rules:
  - host: shop.example.com
    http: {{paths: {paths}}}
"
    )
}

/// A path by segments that leads to `web`.
pub(crate) const ALL_TO_WEB: &str =
    "[{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]";

/// What was written.
pub(crate) struct Made {
    pub(crate) written: Written,
    /// What tells where each loss comes from.
    rules: Vec<String>,
}

/// Compiled manifests.
struct Built {
    model: Model,
    origins: Origins,
    sources: Sources,
    problems: Diagnostics,
}

fn build(name: &str, text: &str, mesh: MeshWish) -> Built {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let layers = [Layer::text(name, text)];
    let input = Input {
        objects: load(&layers, &mut sources, &mut problems),
        mesh,
        ..Input::default()
    };
    let mut origins = Origins::default();
    let model = Model::build(input, &mut origins, &mut problems).expect("a known mesh");
    Built {
        model,
        origins,
        sources,
        problems,
    }
}

impl Made {
    /// What a target's writer makes of manifests without a mesh, or with Istio's where they have its gateways.
    pub(crate) fn of(target: &str, text: &str) -> Self {
        let mesh = match text.contains("networking.istio.io") {
            true => MeshWish::Named {
                system: "istio".to_owned(),
                release: None,
                span: Span::NOWHERE,
            },
            false => MeshWish::None,
        };
        Self::in_mesh(target, text, mesh)
    }

    /// What a target's writer makes of manifests.
    pub(crate) fn in_mesh(target: &str, text: &str, mesh: MeshWish) -> Self {
        let built = build("shop.yaml", text, mesh);
        assert!(
            !built.problems.has_errors(),
            "{}",
            built.problems.render(&built.sources)
        );
        let source = Source {
            model: &built.model,
            origins: &built.origins,
            sources: &built.sources,
        };
        let target = Target::named(target).expect("a target");
        let intent = Intent::of(source, target);
        let mut written = Written {
            objects: intent.carried.clone(),
            ..Written::default()
        };
        (target.write)(&intent, &mut written);
        let rules = written.losses.iter();
        let rules = rules.map(|loss| source.words(loss.rule)).collect();
        let made = Self { written, rules };
        made.reads_back(target);
        made
    }

    /// What was written is read again without errors, by the reader that reads every manifest of the target's.
    fn reads_back(&self, target: &Target) {
        if target.name == "envoy" {
            let gateways = self.written.files.iter();
            for (name, text) in gateways.filter(|(name, _)| name.starts_with("gateway-")) {
                if let Err(refused) = manifests::envoy::read(name, text) {
                    panic!("{refused}");
                }
            }
            return;
        }
        let text = self.all();
        let built = build("written.yaml", &text, MeshWish::None);
        assert!(
            !built.problems.has_errors(),
            "{}\n{text}",
            built.problems.render(&built.sources)
        );
        for (_, name) in &self.written.gateways {
            let mut gateways = built.model.gateways().iter();
            assert!(
                gateways.any(|it| *it.name == **name),
                "no gateway {name}\n{text}"
            );
        }
    }

    fn all(&self) -> String {
        let objects = self.written.objects.iter();
        let documents: Vec<String> = objects.map(|it| it.to_value().to_yaml()).collect();
        documents.join("---\n")
    }

    /// What is the target's own, as YAML: what is carried over is left out, but for Services that say something.
    pub(crate) fn own(&self) -> String {
        let is_own = |it: &&Object| match it.kind.as_str() {
            "Deployment" | "Namespace" | "GatewayClass" => false,
            "Service" => !it.annotations.is_empty() || !it.from.is_empty(),
            _ => true,
        };
        let objects = self.written.objects.iter().filter(is_own);
        let documents: Vec<String> = objects.map(|it| it.to_value().to_yaml()).collect();
        documents.join("---\n")
    }

    /// What is lost, as people read it.
    pub(crate) fn told(&self) -> String {
        let losses = self.written.losses.iter().zip(&self.rules);
        let lines = losses.map(|(loss, rule)| {
            let areas: Vec<&str> = loss.areas.iter().map(|area| area.word()).collect();
            let areas = match areas.len() {
                20 => "everything".to_owned(),
                _ => areas.join(", "),
            };
            let nearest = match loss.nearest.as_str() {
                "" => String::new(),
                nearest => format!("\n  instead: {nearest}"),
            };
            let rule = if rule.is_empty() { "no rule" } else { rule };
            format!(
                "{areas}: {} ({rule})\n  since {}{nearest}\n",
                loss.what, loss.why
            )
        });
        let notes = self
            .written
            .notes
            .iter()
            .map(|note| format!("note: {note}\n"));
        lines.chain(notes).collect()
    }

    /// The one object of a kind.
    pub(crate) fn only(&self, kind: &'static str) -> &Object {
        let all: Vec<&Object> = self.all_of(kind).collect();
        assert_eq!(all.len(), 1, "{}", self.own());
        all[0]
    }

    /// Every object of a kind, in the order in which they were written.
    pub(crate) fn all_of(&self, kind: &'static str) -> impl Iterator<Item = &Object> {
        self.written
            .objects
            .iter()
            .filter(move |it| it.kind == kind)
    }

    /// A Service by its name.
    pub(crate) fn service(&self, name: &str) -> &Object {
        let mut all = self.all_of("Service");
        all.find(|it| it.name == name).expect("a Service")
    }

    /// What is lost of an area, in words.
    pub(crate) fn lost(&self, area: Area) -> Vec<&str> {
        let of_area = |it: &&Loss| it.areas.first() == Some(&area);
        let losses = self.written.losses.iter().filter(of_area);
        losses.map(|it| it.what.as_str()).collect()
    }

    /// Whether something of an area is lost whose words have these in them.
    pub(crate) fn tells(&self, area: Area, words: &str) -> bool {
        self.lost(area).iter().any(|it| it.contains(words))
    }
}

/// A value of an object by the keys that lead to it, with numbers for places in lists; as one line of text.
pub(crate) fn at(object: &Object, path: &str) -> Option<String> {
    let whole = Value::Map(object.body.clone());
    let mut here = &whole;
    for key in path.split('.') {
        here = match here {
            Value::Map(map) => map.get(key)?,
            Value::List(items) => items.get(key.parse::<usize>().ok()?)?,
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => {
                return None;
            }
        };
    }
    Some(flat(here))
}

fn flat(value: &Value) -> String {
    let pair = |(key, value): (&str, &Value)| format!("{key}: {}", flat(value));
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(text) => text.clone(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(flat).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(map) => {
            let pairs: Vec<String> = Map::iter(map).map(pair).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

/// The annotations of an object whose keys begin so, without that, as `key=value`.
pub(crate) fn annotations(object: &Object, prefix: &str) -> Vec<String> {
    let all = object.annotations.iter();
    let own = all.filter_map(|(key, value)| Some(format!("{}={value}", key.strip_prefix(prefix)?)));
    own.collect()
}
