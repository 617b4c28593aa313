//! What holds whatever the manifests are.

use proptest::prelude::*;

use super::harness::{plan, with};

const NAMES: [&str; 4] = ["a", "b", "svc", "local"];
const NAMESPACES: [&str; 4] = ["default", "far", "plain", "a"];
const PORTS: [&str; 5] = ["http", "grpc", "tcp", "tls", "odd"];
const RELEASES: [&str; 3] = ["1.29", "1.26", "1.23"];

fn service() -> impl Strategy<Value = String> {
    (0..4_usize, 0..4_usize, 0..5_usize, 80..83_u16, 0..4_usize).prop_map(
        |(name, namespace, port, number, kind)| {
            let rest = [
                "",
                "",
                "clusterIP: None, ",
                "type: ExternalName, externalName: web.default.svc.cluster.local, ",
            ][kind];
            format!(
                "apiVersion: v1
kind: Service
metadata: {{name: {}, namespace: {}}}
spec: {{{rest}selector: {{app: web}}, ports: [{{name: {}, port: {number}, targetPort: 8080}}]}}
---
",
                NAMES[name], NAMESPACES[namespace], PORTS[port]
            )
        },
    )
}

fn entry() -> impl Strategy<Value = String> {
    (0..4_usize, 0..4_usize, 0..5_usize, 80..83_u16, 0..4_usize).prop_map(
        |(name, namespace, port, number, kind)| {
            let rest = [
                "resolution: NONE",
                "resolution: STATIC, endpoints: [{address: 192.0.2.1}]",
                "resolution: STATIC, addresses: [192.0.2.9, 198.51.100.0/24], endpoints: [{address: 192.0.2.1}]",
                "resolution: NONE, addresses: [192.0.2.9]",
            ][kind];
            let protocol = ["HTTP", "GRPC", "TCP", "TLS", ""][port];
            format!(
                "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {0}, namespace: {1}}}
spec: {{hosts: [{0}.com, '*.{0}.com', {0}.{1}.svc.cluster.local], ports: [{{name: p, number: {number}, protocol: '{protocol}'}}], {rest}}}
---
",
                NAMES[name], NAMESPACES[namespace]
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Hosts may share names, short forms, addresses and ports: every sidecar's sections can be used all the same.
    #[test]
    fn every_section_can_be_used(
        services in prop::collection::vec(service(), 0..5),
        entries in prop::collection::vec(entry(), 0..4),
        release in 0..3_usize,
    ) {
        let yaml = [services.concat(), entries.concat()].concat();
        let built = plan(&yaml).release(RELEASES[release]).build();
        prop_assert!(!built.problems.contains("model::section"), "{}\n{}", yaml, built.problems);
        for caller in ["web", "orders"] {
            prop_assert!(built.config(caller).sections.len() == 2);
        }
    }

    /// The same manifests make the same configuration.
    #[test]
    fn equal_manifests_make_equal_sections(services in prop::collection::vec(service(), 0..4)) {
        let yaml = services.concat();
        let (one, other) = (with(&yaml), with(&yaml));
        prop_assert_eq!(&one.problems, &other.problems);
        let text = |built: &super::harness::Built| {
            let config = built.config("web");
            let parts = config.sections.iter().map(|section| {
                format!("{:?}{:?}{:?}", section.listeners(), section.tables(), section.clusters())
            });
            parts.collect::<String>()
        };
        prop_assert_eq!(text(&one), text(&other));
    }
}
