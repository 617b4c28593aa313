//! Who tries again: on what, how often, after which pause, and which requests.

use proxy_core::config::RetryBudget;
use proxy_core::retry::budget::RateBudget;
use reports::trace::{Subject, Trouble};

use crate::rig::{ALL, Consul, Emissary, Istio, Kong, Kuma, Linkerd, Nginx, Shop, System, Traefik};

fn tries(systems: [(System, u32); 8], trouble: Trouble) {
    for (system, want) in systems {
        assert_eq!(
            system.alone().when(trouble).tries(),
            want,
            "{system:?}, {trouble:?}"
        );
    }
}

#[test]
fn without_configuration_kuma_and_kong_retry_five_times_istio_twice_nginx_tries_thrice_others_once()
{
    tries(
        [
            // its own sidecar answers for a pod that is down, and a 503 is none of Istio's defaults
            (Istio, 1),
            (Linkerd, 1),
            (Consul, 1),
            (Kuma, 6),
            (Kong, 6),
            (Emissary, 1),
            (Nginx, 3),
            (Traefik, 1),
        ],
        Trouble::Refuses,
    );
    let said = Istio.alone().said(Subject::Retries);
    assert!(
        said.iter().any(|it| it == "up to 2 after the first try"),
        "{said:?}"
    );
}

#[test]
fn a_503_is_retried_by_kuma_alone_and_not_by_the_defaults_of_istio() {
    tries(
        [
            (Istio, 1),
            (Linkerd, 1),
            (Consul, 1),
            (Kuma, 6),
            (Kong, 1),
            (Emissary, 1),
            (Nginx, 1),
            (Traefik, 1),
        ],
        Trouble::Answers(503),
    );
}

#[test]
fn kuma_consul_and_emissary_retry_three_requests_at_once_istio_without_a_bound() {
    for (system, want) in [(Istio, u32::MAX), (Consul, 3), (Kuma, 3), (Emissary, 3)] {
        let limits = system.alone().cluster().limits[0].retries.value;
        // Istio writes 2^32 - 1, which no proxy ever reaches
        assert!(limits == want, "{system:?}: {limits}");
    }
}

#[test]
fn kumas_16_seconds_for_a_try_never_fire_within_its_15_seconds_for_a_request() {
    let after = Kuma.alone().when(Trouble::Hangs);
    assert_eq!(
        (after.status(), after.tries(), after.seconds()),
        (504, 1, 15.0)
    );
}

#[test]
fn envoy_pauses_between_tries_kong_and_nginx_and_traefik_do_not() {
    let pauses = |system: System, over: &str| system.with(over).when(Trouble::Refuses).seconds();
    for (system, tries) in [(Istio, 3), (Kuma, 6)] {
        let paused = pauses(system, "");
        let most = 0.025 * f64::from(1 << (tries - 1));
        assert!(paused > 0.0 && paused <= most, "{system:?}: {paused}");
    }
    for (system, over) in [(Kong, ""), (Nginx, ""), (Traefik, TRAEFIK_RETRY)] {
        assert_eq!(pauses(system, over), 0.0, "{system:?}");
    }
}

/// `attempts: 3` as a middleware of the shop's router.
const TRAEFIK_RETRY: &str = "apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: again}
spec: {retry: {attempts: 3}}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop}
spec:
  entryPoints: [web]
  routes:
    - kind: Rule
      match: Host(`shop.example.com`)
      middlewares: [{name: again}]
      services: [{name: shop, port: 80}]
";

const NGINX_TRIES: &str = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  annotations: {nginx.ingress.kubernetes.io/proxy-next-upstream-tries: \"3\"}
spec:
  ingressClassName: nginx
  rules:
    - host: shop.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}
";

const ISTIO_ATTEMPTS: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
    - route: [{destination: {host: shop}}]
      retries: {attempts: 3, retryOn: 5xx}
";

const CONSUL_RETRIES: &str = "apiVersion: consul.hashicorp.com/v1alpha1
kind: ServiceRouter
metadata: {name: shop}
spec:
  routes:
    - match: {http: {pathPrefix: /}}
      destination: {service: shop, numRetries: 3, retryOn: [5xx]}
";

const KUMA_RETRIES: &str = "apiVersion: kuma.io/v1alpha1
kind: MeshRetry
metadata: {name: three, namespace: default}
spec:
  targetRef: {kind: Mesh}
  to: [{targetRef: {kind: Mesh}, default: {http: {numRetries: 3}}}]
";

const EMISSARY_RETRIES: &str = "apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata: {name: shop}
spec:
  hostname: shop.example.com
  prefix: /
  service: shop:80
  retry_policy: {retry_on: connect-failure, num_retries: 3}
";

const KONG_RETRIES: &str = "apiVersion: v1
kind: Service
metadata: {name: shop, annotations: {konghq.com/retries: \"3\"}}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
";

#[test]
fn a_three_is_three_tries_in_all_to_nginx_and_traefik_and_three_more_to_the_others() {
    let down = Trouble::Refuses;
    for (system, over, trouble, want) in [
        (Nginx, NGINX_TRIES, down, 3),
        (Traefik, TRAEFIK_RETRY, down, 3),
        // behind a server's sidecar no connection fails
        (Istio, ISTIO_ATTEMPTS, Trouble::Answers(503), 4),
        (Consul, CONSUL_RETRIES, Trouble::Answers(503), 4),
        (Kuma, KUMA_RETRIES, down, 4),
        (Emissary, EMISSARY_RETRIES, down, 4),
        (Kong, KONG_RETRIES, down, 4),
    ] {
        let tries = system.with(over).when(trouble).tries();
        assert_eq!(tries, want, "{system:?}");
    }
}

#[test]
fn envoy_resends_a_post_as_anything_else_nginx_and_kong_do_not_once_it_was_sent() {
    // broken off after the request arrived
    for (system, get, post) in [(Kuma, 6, 6), (Kong, 6, 1), (Nginx, 3, 1)] {
        let of = |shop: Shop| shop.when(Trouble::Resets).tries();
        assert_eq!(
            (of(system.alone()), of(system.alone().post())),
            (get, post),
            "{system:?}"
        );
    }
    // and where nothing was sent, it goes on
    for (system, post) in [(Kong, 6), (Nginx, 3)] {
        let tries = system.alone().post().when(Trouble::Refuses).tries();
        assert_eq!(tries, post, "{system:?}");
    }
}

const PROFILE: &str = "apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: {name: shop.default.svc.cluster.local, namespace: default}
spec:
  routes:
    - name: all
      condition: {pathRegex: \"/.*\"}
      isRetryable: true
";

#[test]
fn a_profile_of_linkerd_bounds_retries_by_a_budget_of_a_fifth_and_ten_a_second_and_by_nothing_else()
{
    let cluster = Linkerd.with(PROFILE).cluster();
    let budget = cluster.retry_budget.expect("a budget");
    assert_eq!(budget.value, RetryBudget::Rate(RateBudget::linkerd()));
    let tries = Linkerd.with(PROFILE).when(Trouble::Answers(503)).tries();
    assert!(tries > 10, "{tries}");
}

const ANNOTATED: &str = "apiVersion: v1
kind: Service
metadata:
  name: shop
  annotations:
    retry.linkerd.io/http: 5xx
    retry.linkerd.io/limit: \"2\"
    balancer.linkerd.io/failure-accrual: consecutive
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
";

#[test]
fn a_profile_of_linkerd_voids_the_annotations_for_retries_and_failure_accrual() {
    let annotated = Linkerd.with(ANNOTATED);
    assert_eq!(annotated.when(Trouble::Answers(503)).tries(), 3);
    assert!(annotated.cluster().accrual.is_some());

    let profile = PROFILE.replace("isRetryable: true", "isRetryable: false");
    let both = Linkerd.with(&format!("{ANNOTATED}---\n{profile}"));
    assert_eq!(both.when(Trouble::Answers(503)).tries(), 1);
    assert!(both.cluster().accrual.is_none());
}

const ISTIO_FAULT: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
    - fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
      route: [{destination: {host: shop}}]
      retries: {attempts: 3, retryOn: 5xx}
";

const KUMA_FAULT: &str = "apiVersion: kuma.io/v1alpha1
kind: MeshFaultInjection
metadata: {name: broken, namespace: default}
spec:
  targetRef: {kind: Dataplane, labels: {app: shop}}
  rules: [{default: {http: [{abort: {httpStatus: 503, percentage: 100}}]}}]
";

#[test]
fn istio_injects_faults_at_the_client_where_nobody_retries_them_kuma_at_the_server_where_clients_do()
 {
    let seen = Istio.with(ISTIO_FAULT).get("/");
    let tried = |trace: &reports::trace::Trace| {
        trace
            .steps
            .iter()
            .filter(|it| it.subject == Subject::Try)
            .count()
    };
    assert_eq!((seen.outcome.status, tried(&seen)), (503, 0));

    let mut kuma = Kuma.with(KUMA_FAULT);
    let seen = kuma.get("/");
    assert_eq!((seen.outcome.status, tried(&seen)), (503, 6));
}

#[test]
fn every_system_serves_the_shop_under_its_defaults() {
    for system in ALL {
        assert_eq!(system.alone().status("/"), 200, "{system:?}");
    }
}
