//! What bounds a request and a server: timeouts, breakers, ejections, balancing, limits.

use proxy_core::config::{Balancer, Share};
use reports::trace::{Subject, Trouble};

use crate::rig::{Consul, Emissary, Istio, Kong, Kuma, Linkerd, Nginx, System, Traefik};

#[test]
fn a_server_that_hangs_is_given_up_after_3_or_15_seconds_or_60_a_try_or_never() {
    for system in [Istio, Linkerd, Traefik] {
        assert!(system.alone().when(Trouble::Hangs).is_open(), "{system:?}");
    }
    for (system, seconds) in [
        (Consul, 15.0),
        (Kuma, 15.0),
        (Emissary, 3.0),
        (Kong, 6.0 * 60.0),
        (Nginx, 3.0 * 60.0),
    ] {
        let after = system.alone().when(Trouble::Hangs);
        assert_eq!(
            (after.status(), after.seconds()),
            (504, seconds),
            "{system:?}"
        );
    }
}

const ISTIO_OUTLIER: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}}
";

const KUMA_OUTLIER: &str = "apiVersion: kuma.io/v1alpha1
kind: MeshCircuitBreaker
metadata: {name: out, namespace: default}
spec:
  targetRef: {kind: Mesh}
  to: [{targetRef: {kind: Mesh}, default: {outlierDetection: {maxEjectionPercent: 100, detectors: {totalFailures: {consecutive: 5}}}}}]
";

const LINKERD_ACCRUAL: &str = "apiVersion: v1
kind: Service
metadata: {name: shop, annotations: {balancer.linkerd.io/failure-accrual: consecutive}}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
";

#[test]
fn consul_ejects_without_being_asked_up_to_10_percent_as_istio_when_asked_linkerd_up_to_all_others_never()
 {
    let consul = Consul.alone().cluster().outlier.expect("always");
    let istio = Istio
        .with(ISTIO_OUTLIER)
        .cluster()
        .outlier
        .expect("asked for");
    for outlier in [consul, istio] {
        assert_eq!(outlier.value.max_ejection_share, Share::from_percent(10.0));
    }
    for system in [Istio, Kuma, Emissary, Nginx, Kong, Traefik, Linkerd] {
        let cluster = system.alone().cluster();
        assert!(
            cluster.outlier.is_none() && cluster.accrual.is_none(),
            "{system:?}"
        );
    }
    assert!(Linkerd.with(LINKERD_ACCRUAL).cluster().accrual.is_some());
}

/// Every pod fails from 5 s on: statuses that clients see in the end.
fn when_all_are_out(system: System, over: &str) -> (u64, u64) {
    let shop = system.flown(
        over,
        "{name: all, at: 5s, for: 20s, error: {select: {workload: shop}, status: 500}}",
    );
    shop.fly()
}

#[test]
fn with_all_pods_out_istio_and_consul_and_linkerd_refuse_and_kuma_panics() {
    let all_out = ISTIO_OUTLIER.replace(
        "consecutive5xxErrors: 5",
        "consecutive5xxErrors: 5, maxEjectionPercent: 100",
    );
    let consul = "apiVersion: consul.hashicorp.com/v1alpha1
kind: ServiceDefaults
metadata: {name: edge}
spec: {protocol: http, upstreamConfig: {defaults: {passiveHealthCheck: {maxFailures: 5, maxEjectionPercent: 100}}}}
";
    for (system, over, refuses) in [
        (Istio, all_out.as_str(), true),
        (Consul, consul, true),
        (Linkerd, LINKERD_ACCRUAL, true),
        (Kuma, KUMA_OUTLIER, false),
    ] {
        let (sent, reached) = when_all_are_out(system, over);
        let share = reached as f64 / sent as f64;
        assert_eq!(
            share < 0.6,
            refuses,
            "{system:?}: {share} of the tries reached a pod"
        );
    }
    assert_eq!(
        Kuma.alone().cluster().panic_threshold.value,
        Share::from_percent(50.0)
    );
    assert_eq!(
        Emissary.alone().cluster().panic_threshold.value,
        Share::from_percent(50.0)
    );
}

#[test]
fn istio_goes_by_localities_only_with_outlier_detection() {
    let with = |outlier: &str| {
        let rule = format!("apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: shop}}
spec: {{host: shop, trafficPolicy: {{loadBalancer: {{localityLbSetting: {{enabled: true}}}}{outlier}}}}}
");
        let cluster = Istio.with(&rule).cluster();
        cluster
            .endpoints
            .endpoints
            .iter()
            .map(|it| it.priority)
            .max()
    };
    assert_eq!(with(""), Some(0));
    let first = with(", outlierDetection: {consecutive5xxErrors: 5}");
    assert_eq!(first, Some(1), "the other zone stands back");
}

#[test]
fn each_balances_in_its_own_way() {
    for (system, want) in [
        (Istio, "least request"),
        (Linkerd, "peak EWMA"),
        (Consul, "round robin"),
        (Kuma, "round robin"),
    ] {
        let said = system.alone().said(Subject::Policy);
        let balancing = said.iter().find(|it| it.starts_with("balancing"));
        assert!(
            balancing.is_some_and(|it| it.contains(want)),
            "{system:?}: {said:?}"
        );
    }
    assert!(matches!(
        Kong.alone().cluster().balancer.value,
        Balancer::KongRing
    ));
    // one pick a connection, by the Service's address
    let emissary = Emissary.alone().cluster();
    assert_eq!(emissary.endpoints.endpoints.len(), 1);
}
