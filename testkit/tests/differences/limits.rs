//! What is refused: by rate limits, by the three things called circuit breaker, and for whom somebody is.

use proxy_core::config::{Gate, GateKind, RateLimit};
use proxy_core::time::Duration;

use crate::rig::{ALL, Consul, Emissary, Istio, Kong, Kuma, Linkerd, Nginx, System, Traefik};

fn ingress(class: &str, annotations: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  annotations: {{{annotations}}}
spec:
  ingressClassName: {class}
  rules:
    - host: shop.example.com
      http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: shop, port: {{number: 80}}}}}}}}]}}
"
    )
}

fn middleware(spec: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {{name: one}}
spec: {spec}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {{name: shop}}
spec:
  entryPoints: [web]
  routes:
    - kind: Rule
      match: Host(`shop.example.com`)
      middlewares: [{{name: one}}]
      services: [{{name: shop, port: 80}}]
"
    )
}

/// Ten requests a second, in each system's own words.
fn limited(system: System) -> String {
    match system {
        Nginx => ingress("nginx", "nginx.ingress.kubernetes.io/limit-rps: \"10\""),
        Kong => format!(
            "apiVersion: configuration.konghq.com/v1
kind: KongPlugin
metadata: {{name: ten}}
plugin: rate-limiting
config: {{second: 10, policy: local, limit_by: ip}}
---
{}",
            ingress("kong", "konghq.com/plugins: ten")
        ),
        Traefik => middleware("{rateLimit: {average: 10}}"),
        Kuma => "apiVersion: kuma.io/v1alpha1
kind: MeshRateLimit
metadata: {name: ten, namespace: default}
spec:
  targetRef: {kind: Mesh}
  from: [{targetRef: {kind: Mesh}, default: {local: {http: {requestRate: {num: 10, interval: 1s}}}}}]
"
        .into(),
        Istio | Linkerd | Consul | Emissary => unreachable!("they have none of their own"),
    }
}

#[test]
fn a_rate_limit_refuses_with_503_in_nginx_and_with_429_elsewhere() {
    for (system, want) in [(Nginx, 503), (Kong, 429), (Traefik, 429)] {
        let gates = system.with(&limited(system)).gates();
        let statuses: Vec<u16> = gates.iter().map(|gate| gate.status).collect();
        assert_eq!(statuses, [want], "{system:?}");
    }
    let (served, refused) = Kuma.flown(&limited(Kuma), "").outcomes();
    assert!(
        served > 0 && refused > 0,
        "{served} served, {refused} refused"
    );
}

fn rate(system: System) -> RateLimit {
    let gates = system.with(&limited(system)).gates();
    match gates.into_iter().map(|gate| gate.kind).next() {
        Some(GateKind::Rate { limit, .. }) => limit,
        other => panic!("{system:?}: {other:?}"),
    }
}

#[test]
fn kong_counts_windows_of_the_calendar_nginx_has_a_burst_of_five_times_the_rate_traefik_delays_first()
 {
    assert!(matches!(rate(Kong), RateLimit::Windows(_)));
    let RateLimit::Leaky(buckets) = rate(Nginx) else {
        panic!("a leaky bucket");
    };
    let of_it: Vec<_> = buckets
        .iter()
        .map(|it| (it.leaks, it.burst, it.delay_after))
        .collect();
    assert_eq!(of_it, [(10_000, 50, None)]);
    assert!(matches!(rate(Traefik), RateLimit::Delaying(_)));
}

#[test]
fn at_ten_times_the_rate_nginx_passes_its_burst_at_once_and_traefik_holds_back_before_it_refuses() {
    let outcomes = |system: System| system.flown(&limited(system), "").outcomes();
    // 30 s at 100 requests a second
    let (nginx, _) = outcomes(Nginx);
    assert!(
        (345..=356).contains(&nginx),
        "51 at first and 10 a second: {nginx}"
    );
    let (traefik, _) = outcomes(Traefik);
    assert!((295..=305).contains(&traefik), "10 a second: {traefik}");
    let (kong, _) = outcomes(Kong);
    assert!(
        (300..=310).contains(&kong),
        "10 in each second of the clock: {kong}"
    );
}

#[test]
fn circuit_breaker_is_a_bound_on_what_is_under_way_or_an_endpoint_that_failed_or_an_expression() {
    let pool = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 7}}}}
";
    assert_eq!(Istio.with(pool).cluster().limits[0].requests.value, 7);
    let accrual = "apiVersion: v1
kind: Service
metadata: {name: shop, annotations: {balancer.linkerd.io/failure-accrual: consecutive}}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
";
    assert!(Linkerd.with(accrual).cluster().accrual.is_some());
    let expression = middleware("{circuitBreaker: {expression: NetworkErrorRatio() > 0.3}}");
    let gates = Traefik.with(&expression).gates();
    let is_breaker = |gate: &Gate| matches!(gate.kind, GateKind::Breaker(_)) && gate.status == 503;
    assert!(gates.iter().any(is_breaker), "{gates:?}");
}

#[test]
fn time_alone_brings_no_target_of_kong_back_and_every_server_of_traefik_after_its_window() {
    let policy = "apiVersion: configuration.konghq.com/v1beta1
kind: KongUpstreamPolicy
metadata: {name: watched}
spec: {healthchecks: {passive: {type: http, unhealthy: {httpFailures: 3, httpStatuses: [500]}}}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, annotations: {konghq.com/upstream-policy: watched}}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
";
    let kong = Kong.with(policy).cluster().outlier.expect("passive checks");
    assert_eq!(kong.value.base_ejection_time, Duration::MAX);

    let watched = "apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop}
spec:
  entryPoints: [web]
  routes:
    - kind: Rule
      match: Host(`shop.example.com`)
      services: [{name: shop, port: 80, passiveHealthCheck: {failureWindow: 12s, maxFailedAttempts: 3}}]
";
    let traefik = Traefik
        .with(watched)
        .cluster()
        .passive
        .expect("passive checks");
    assert_eq!(traefik.value.window, Duration::from_secs(12));
    assert!(!traefik.value.returned_by_checks);
}

/// Whoever asks for a credential, in each system's own words, and what is told of it.
#[test]
fn a_route_that_wants_a_credential_is_told_to_be_open() {
    let jwt = format!(
        "apiVersion: configuration.konghq.com/v1
kind: KongPlugin
metadata: {{name: tokens}}
plugin: jwt
---
{}",
        ingress("kong", "konghq.com/plugins: tokens")
    );
    let auth = "apiVersion: getambassador.io/v3alpha1
kind: AuthService
metadata: {name: auth}
spec: {auth_service: auth, proto: http}
";
    let url = "nginx.ingress.kubernetes.io/auth-url: http://auth.default.svc.cluster.local/";
    let request = "apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens}
spec: {jwtRules: [{issuer: me, jwks: '{\"keys\":[]}'}]}
";
    for (system, over, words) in [
        (Kong, jwt, "every request counts as authenticated"),
        (Emissary, auth.into(), "EVERY ROUTE IS OPEN"),
        (Nginx, ingress("nginx", url), "open"),
        (
            Traefik,
            middleware("{forwardAuth: {address: 'http://auth'}}"),
            "EVERY REQUEST PASSES",
        ),
        (Istio, request.into(), "RequestAuthentication"),
    ] {
        let told = system.with(&over).told;
        assert!(flat(&told).contains(words), "{system:?}:\n{told}");
    }
}

/// What becomes of requests while the service that decides about them does not answer, as each system is told to have it.
#[test]
fn who_is_asked_and_does_not_answer_refuses_with_403_in_emissary_and_with_500_in_nginx_and_traefik()
{
    let auth = |more: &str| {
        format!(
            "apiVersion: getambassador.io/v3alpha1
kind: AuthService
metadata: {{name: auth}}
spec: {{auth_service: auth, proto: http{more}}}
"
        )
    };
    let url = "nginx.ingress.kubernetes.io/auth-url: http://auth.default.svc.cluster.local/";
    let forward = middleware("{forwardAuth: {address: 'http://auth'}}");
    for (system, over, words) in [
        (Emissary, auth(""), "Emissary would refuse them with 403"),
        (
            Emissary,
            auth(", failure_mode_allow: true"),
            "Emissary would let them pass",
        ),
        (
            Nginx,
            ingress("nginx", url),
            "or with 500 while the service is down",
        ),
        (Traefik, forward, "Traefik would refuse all with 500"),
    ] {
        let told = system.with(&over).told;
        assert!(flat(&told).contains(words), "{system:?}:\n{told}");
    }
}

/// Which of the two is asked first, as far as it is told.
#[test]
fn limits_are_asked_before_credentials_in_nginx_and_after_them_in_kong_and_emissary() {
    let jwt = format!(
        "apiVersion: configuration.konghq.com/v1
kind: KongPlugin
metadata: {{name: tokens}}
plugin: jwt
---
{}",
        ingress("kong", "konghq.com/plugins: tokens")
    );
    let auth = "apiVersion: getambassador.io/v3alpha1
kind: AuthService
metadata: {name: auth}
spec: {auth_service: auth, proto: http}
";
    let url = "nginx.ingress.kubernetes.io/auth-url: http://auth.default.svc.cluster.local/";
    for (system, over, words) in [
        (
            Kong,
            jwt,
            "rate limits, which Kong asks after it, count those too",
        ),
        (
            Emissary,
            auth.into(),
            "counted by rate limits, which Emissary asks after it",
        ),
        (
            Nginx,
            ingress("nginx", url),
            "limits count them in NGINX too, which asks after them",
        ),
    ] {
        let told = system.with(&over).told;
        assert!(flat(&told).contains(words), "{system:?}:\n{told}");
    }
}

/// Without a rule everybody may call; what the first rule changes is told where it stands.
#[test]
fn without_a_rule_everybody_may_call_in_every_system() {
    for system in ALL {
        let mut shop = system.alone();
        assert!(
            !flat(&shop.told).contains("would refuse"),
            "{system:?}:\n{}",
            shop.told
        );
        assert_eq!(shop.status("/"), 200, "{system:?}");
    }
}

/// Rules of who may call whom, and what is told of them.
#[test]
fn rules_of_who_may_call_are_told_to_be_open() {
    for (system, over, words) in [
        (
            Istio,
            "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody}
spec: {}
",
            "AuthorizationPolicy",
        ),
        (
            Linkerd,
            "apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: shop}
spec: {podSelector: {matchLabels: {app: shop}}, port: 8080}
",
            "Server",
        ),
        (
            Consul,
            "apiVersion: consul.hashicorp.com/v1alpha1
kind: ServiceIntentions
metadata: {name: shop}
spec: {destination: {name: shop}, sources: [{name: edge, action: deny}]}
",
            "is open here",
        ),
        (
            Kuma,
            "apiVersion: kuma.io/v1alpha1
kind: MeshTrafficPermission
metadata: {name: nobody, namespace: default}
spec:
  targetRef: {kind: Mesh}
  from: [{targetRef: {kind: Mesh}, default: {action: Deny}}]
",
            "MeshTrafficPermission",
        ),
    ] {
        let told = system.with(over).told;
        assert!(flat(&told).contains(words), "{system:?}:\n{told}");
    }
}

/// Without the breaks that a narrow page makes.
fn flat(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| *word != "│");
    words.collect::<Vec<_>>().join(" ")
}
