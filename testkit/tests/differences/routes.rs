//! Which rule takes a request, and what its backends share.

use crate::rig::{Consul, Emissary, Istio, Kong, Kuma, Linkerd, Nginx, Shop, System, Traefik};

/// A rule for a path, in each system's own words, before the one for everything else.
fn foo(system: System) -> &'static str {
    match system {
        Istio => ISTIO_FOO,
        Linkerd => LINKERD_FOO,
        Consul => CONSUL_FOO,
        Kuma => KUMA_FOO,
        Kong => KONG_FOO,
        Emissary => EMISSARY_FOO,
        Nginx => NGINX_FOO,
        Traefik => TRAEFIK_FOO,
    }
}

// Each of them sends /foo to the stock.
const ISTIO_FOO: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
    - match: [{uri: {prefix: /foo}}]
      route: [{destination: {host: stock}}]
    - route: [{destination: {host: shop}}]
";
const LINKERD_FOO: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: shop, port: 80}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /foo}}]
      backendRefs: [{name: stock, port: 80}]
    - backendRefs: [{name: shop, port: 80}]
";
const CONSUL_FOO: &str = "apiVersion: consul.hashicorp.com/v1alpha1
kind: ServiceRouter
metadata: {name: shop}
spec:
  routes:
    - match: {http: {pathPrefix: /foo}}
      destination: {service: stock}
";
const KUMA_FOO: &str = "apiVersion: kuma.io/v1alpha1
kind: MeshHTTPRoute
metadata: {name: foo, namespace: default}
spec:
  targetRef: {kind: Mesh}
  to:
    - targetRef: {kind: MeshService, name: shop_default_svc_80}
      rules:
        - matches: [{path: {type: PathPrefix, value: /foo}}]
          default: {backendRefs: [{kind: MeshService, name: stock_default_svc_80}]}
";
const KONG_FOO: &str = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: foo}
spec:
  ingressClassName: kong
  rules:
    - host: shop.example.com
      http: {paths: [{path: /foo, pathType: ImplementationSpecific, backend: {service: {name: stock, port: {number: 80}}}}]}
";
const EMISSARY_FOO: &str = "apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata: {name: foo}
spec: {hostname: shop.example.com, prefix: /foo, service: 'stock:80'}
";
const NGINX_FOO: &str = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: foo}
spec:
  ingressClassName: nginx
  rules:
    - host: shop.example.com
      http: {paths: [{path: /foo, pathType: Prefix, backend: {service: {name: stock, port: {number: 80}}}}]}
";
const TRAEFIK_FOO: &str = "apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: foo}
spec:
  entryPoints: [web]
  routes:
    - kind: Rule
      match: Host(`shop.example.com`) && PathPrefix(`/foo`)
      services: [{name: stock, port: 80}]
";

/// The workload that answers a path, without its namespace.
fn server(shop: &mut Shop, path: &str) -> String {
    let seen = shop.get(path);
    let server = seen.outcome.server.expect("somebody answers");
    server.workload.replace("default/", "")
}

#[test]
fn slash_foo_takes_slash_foobar_in_istio_consul_emissary_traefik_and_raw_kong_and_not_in_the_others()
 {
    for (system, want) in [
        (Istio, "stock"),
        (Consul, "stock"),
        (Emissary, "stock"),
        (Traefik, "stock"),
        (Kong, "stock"),
        (Linkerd, "shop"),
        (Kuma, "shop"),
        (Nginx, "shop"),
    ] {
        let mut shop = system.with(foo(system));
        for path in ["/foo", "/foo/bar"] {
            assert_eq!(server(&mut shop, path), "stock", "{system:?}: {path}");
        }
        assert_eq!(server(&mut shop, "/foobar"), want, "{system:?}: /foobar");
    }
}

/// A rule for `/` is written before one for `/foo`, or is older.
fn broad_first(system: System) -> String {
    match system {
        Istio => "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
    - match: [{uri: {prefix: /}}]
      route: [{destination: {host: shop}}]
    - match: [{uri: {prefix: /foo}}]
      route: [{destination: {host: stock}}]
"
        .into(),
        Consul => "apiVersion: consul.hashicorp.com/v1alpha1
kind: ServiceRouter
metadata: {name: shop}
spec:
  routes:
    - match: {http: {pathPrefix: /}}
      destination: {service: shop}
    - match: {http: {pathPrefix: /foo}}
      destination: {service: stock}
"
        .into(),
        Linkerd => "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: shop, port: 80}]
  rules:
    - backendRefs: [{name: shop, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /foo}}]
      backendRefs: [{name: stock, port: 80}]
"
        .into(),
        // the rule for everything is the shop's own
        Kuma | Kong | Emissary | Nginx | Traefik => foo(system).into(),
    }
}

#[test]
fn istio_and_consul_take_the_first_rule_of_a_list_the_others_the_most_specific() {
    for (system, want) in [
        (Istio, "shop"),
        (Consul, "shop"),
        (Linkerd, "stock"),
        (Kuma, "stock"),
        (Kong, "stock"),
        (Emissary, "stock"),
        (Nginx, "stock"),
        (Traefik, "stock"),
    ] {
        let mut shop = system.with(&broad_first(system));
        assert_eq!(server(&mut shop, "/foo"), want, "{system:?}");
    }
}

#[test]
fn to_traefik_the_longer_rule_is_the_better_even_where_a_shorter_one_is_exact() {
    let exact = TRAEFIK_FOO.replace(
        "match: Host(`shop.example.com`) && PathPrefix(`/foo`)",
        "match: Path(`/foo`)",
    );
    assert_eq!(server(&mut Traefik.with(&exact), "/foo"), "shop");
}

#[test]
fn an_emissary_precedence_comes_before_the_length_of_the_prefix() {
    let first = "apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata: {name: shop}
spec: {hostname: shop.example.com, prefix: /, service: 'shop:80', precedence: 1}
";
    let mut shop = Emissary.with(&format!("{first}---\n{EMISSARY_FOO}"));
    assert_eq!(server(&mut shop, "/foo"), "shop");
}

#[test]
fn emissary_weights_below_100_fall_through_to_the_next_rule() {
    let mapping = |name: &str, service: &str, weight: u32| {
        format!(
            "apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata: {{name: {name}}}
spec: {{hostname: shop.example.com, prefix: /foo, service: '{service}:80', weight: {weight}}}
"
        )
    };
    let over = format!(
        "{}---\n{}",
        mapping("a", "stock", 30),
        mapping("b", "stock", 30)
    );
    let shares = shares(Emissary, &over, "/foo");
    assert!((0.3..0.5).contains(&shares.0), "of the shop: {shares:?}");
}

/// The shares of the shop and of the stock of 200 requests.
fn shares(system: System, over: &str, path: &str) -> (f64, f64) {
    let mut shop = system.with(over);
    let mut of_shop = 0;
    for seed in 0..200 {
        shop.reseed(seed);
        of_shop += u32::from(server(&mut shop, path) == "shop");
    }
    let share = f64::from(of_shop) / 200.0;
    (share, 1.0 - share)
}

const CANARY: &str = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: canary
  annotations:
    nginx.ingress.kubernetes.io/canary: \"true\"
    nginx.ingress.kubernetes.io/canary-by-header: x-canary
    nginx.ingress.kubernetes.io/canary-by-cookie: canary
    nginx.ingress.kubernetes.io/canary-weight: \"0\"
spec:
  ingressClassName: nginx
  rules:
    - host: shop.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: stock, port: {number: 80}}}}]}
";

#[test]
fn an_nginx_canary_goes_by_its_header_before_its_cookie_before_its_weight() {
    let ask = |headers: &[(&str, &str)]| {
        let mut shop = Nginx.with(CANARY);
        for (name, value) in headers {
            shop = shop.header(name, value);
        }
        server(&mut shop, "/")
    };
    assert_eq!(ask(&[]), "shop", "a weight of 0");
    assert_eq!(ask(&[("cookie", "canary=always")]), "stock");
    assert_eq!(ask(&[("x-canary", "always")]), "stock");
    let both = [("x-canary", "never"), ("cookie", "canary=always")];
    assert_eq!(ask(&both), "shop", "the header comes first");
}
