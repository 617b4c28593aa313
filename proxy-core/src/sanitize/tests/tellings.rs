//! What upstreams and clients are told.

use super::*;
use crate::config::{CertificateForwarding, ServerTransformation};
use crate::heads::HeadWriter;

#[test]
fn an_id_is_made_where_there_is_none_or_where_a_client_outside_has_no_say() {
    let traced = "11111111-2222-9333-9444-555555555555";
    let untraced = "11111111-2222-4333-9444-555555555555";
    let keeping = |says_traced| {
        Manager::new(move |rules| {
            rules.client.remote_address = true;
            rules.request_id.keeps_external = true;
            rules.request_id.says_traced = says_traced;
        })
    };
    for (name, manager, came, want) in [
        ("not an edge", &Manager::new(|_| ()), traced, Some(traced)),
        ("edge", &edge(), traced, None),
        ("edge that keeps", &keeping(true), traced, Some(untraced)),
        ("whatever its form", &keeping(true), "short", Some("short")),
        ("without the letter", &keeping(false), traced, Some(traced)),
        ("an empty one", &keeping(true), "", None),
    ] {
        let head = manager.get(&[("x-request-id", came)]);
        let id = head.said("x-request-id").unwrap();
        match want {
            Some(want) => assert_eq!(id, want, "{name}"),
            None => assert!(id != came && id.len() == 36, "{name}: {id}"),
        }
    }
    let own = Manager::inside(|rules| rules.client.remote_address = true);
    assert_eq!(
        own.get(&[("x-request-id", traced)])
            .said("x-request-id")
            .unwrap(),
        traced
    );
    let without = Manager::new(|rules| rules.request_id.generates = false);
    assert!(!without.get(&[]).has("x-request-id"));
}

/// A client with a certificate.
fn shown() -> Certificates {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect();
    Certificates {
        own_uris: texts(&["spiffe://td/server", "https://second/uri"]),
        peer: Some(PeerCertificate {
            hash: "63b5e2".into(),
            subject: r#"CN=client,OU=\ lead,O=Acme\, \"Inc\",C=DE"#.into(),
            uris: texts(&["spiffe://td/client", "urn:a"]),
            names: texts(&["client.example", "two.example"]),
            pem: "-----BEGIN CERTIFICATE-----\nMI+/=\n-----END CERTIFICATE-----\n".into(),
            chain: "A\nB\n".into(),
        }),
    }
}

#[test]
fn a_clients_certificate_is_told_as_the_file_says() {
    use CertificateForwarding::{
        AlwaysForwardOnly, AppendForward, ForwardOnly, Sanitize, SanitizeSet,
    };
    let told = r#"By=spiffe://td/server;By=https://second/uri;Hash=63b5e2;Subject="CN=client,OU=\ lead,O=Acme\, \"Inc\",C=DE";URI=spiffe://td/client;URI=urn:a;DNS=client.example;DNS=two.example"#;
    let came = "By=x;Hash=y";
    let appended = format!("{came},{told}");
    for (forwarding, with, without) in [
        (Sanitize, None, None),
        (ForwardOnly, Some(came), None),
        (AppendForward, Some(appended.as_str()), None),
        (SanitizeSet, Some(told), None),
        (AlwaysForwardOnly, Some(came), Some(came)),
    ] {
        let mut manager = Manager::new(|rules| {
            let it = &mut rules.certificate;
            it.forwarding = forwarding;
            (it.subject, it.names, it.uris) = (true, true, true);
        });
        let header = "x-forwarded-client-cert";
        for (certificates, want) in [
            (None, without),
            (Some(Certificates::default()), without),
            (Some(shown()), with),
        ] {
            manager.certificates = certificates;
            let head = manager.get(&[(header, came)]);
            assert_eq!(head.said(header).as_deref(), want, "{forwarding:?}");
        }
    }
}

#[test]
fn a_certificate_is_told_in_the_order_and_with_the_escapes_of_envoy() {
    let mut manager = Manager::new(|rules| {
        let it = &mut rules.certificate;
        it.forwarding = CertificateForwarding::SanitizeSet;
        (it.certificate, it.chain, it.uris) = (true, true, true);
    });
    let mut certificates = shown();
    certificates.own_uris.clear();
    certificates.peer.as_mut().unwrap().uris.clear();
    manager.certificates = Some(certificates);
    let told = manager.get(&[]).said("x-forwarded-client-cert").unwrap();
    let pem = "-----BEGIN%20CERTIFICATE-----%0AMI%2B%2F%3D%0A-----END%20CERTIFICATE-----%0A";
    assert_eq!(
        told,
        format!(r#"Hash=63b5e2;Cert="{pem}";Chain="A%0AB%0A";URI="#)
    );
}

#[test]
fn responses_name_the_server_the_way_back_and_the_id_where_they_are_to() {
    use ServerTransformation::{AppendIfAbsent, Overwrite, PassThrough};
    let id = "an-id";
    let answer = |tune: fn(&mut HeadRules), traced, came: &[(&str, &str)]| {
        let mut rules = HeadRules::unwritten("envoy");
        tune(&mut rules);
        let mut head = Asked::with(came);
        write_response(&rules, traced, || Some(id), &mut head);
        head
    };
    for (tune, came, want) in [
        (
            (|rules| rules.server.transformation = Overwrite) as fn(&mut HeadRules),
            true,
            Some("envoy"),
        ),
        (
            |rules| rules.server.transformation = AppendIfAbsent,
            true,
            Some("upstream"),
        ),
        (
            |rules| rules.server.transformation = AppendIfAbsent,
            false,
            Some("envoy"),
        ),
        (
            |rules| rules.server.transformation = PassThrough,
            true,
            Some("upstream"),
        ),
        (
            |rules| rules.server.transformation = PassThrough,
            false,
            None,
        ),
        (
            |rules| rules.server.name = "sn".to_owned().into(),
            true,
            Some("sn"),
        ),
    ] {
        let came = if came {
            &[("server", "upstream")][..]
        } else {
            &[]
        };
        assert_eq!(answer(tune, false, came).said("server").as_deref(), want);
    }
    assert_eq!(answer(|_| (), false, &[]).said("x-request-id"), None);
    assert_eq!(answer(|_| (), true, &[]).said("x-request-id").unwrap(), id);
    let always = |rules: &mut HeadRules| {
        rules.request_id.in_response = true;
        rules.via = Some("me".into());
    };
    let head = answer(always, false, &[("via", "before")]);
    assert_eq!(head.said("x-request-id").unwrap(), id);
    assert_eq!(head.said("via").unwrap(), "before, me");
}
