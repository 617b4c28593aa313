//! What of a dump is compared.

use std::sync::Arc;

use manifests::envoy::Bootstrap;
use proxy_core::config::{ListenerAddress, Section, SectionDraft};

/// The sections of a dump. Sockets of a sidecar are for its own ends, or for applications that dial the proxy itself: they are taken out, and
/// told by name.
pub(super) fn of(dump: &Bootstrap, is_sidecar: bool) -> (Vec<Arc<Section>>, Vec<String>) {
    let is_aside = |address: ListenerAddress| match address {
        ListenerAddress::Socket(_) | ListenerAddress::Datagrams(_) => is_sidecar,
        ListenerAddress::OutboundTo(_)
        | ListenerAddress::OutboundPort(_)
        | ListenerAddress::OutboundRest
        | ListenerAddress::InboundPort(_)
        | ListenerAddress::InboundRest => false,
    };
    let mut aside = Vec::new();
    let sections = dump.config.sections.iter().map(|section| {
        let mut kept = Vec::new();
        for listener in section.listeners() {
            match is_aside(listener.address) {
                true => aside.push(listener.name.to_string()),
                false => kept.push(listener.clone()),
            }
        }
        if kept.len() == section.listeners().len() {
            return section.clone();
        }
        let draft = SectionDraft {
            listeners: kept,
            tables: section.tables().to_vec(),
            clusters: section.clusters().iter().map(|it| (**it).clone()).collect(),
        };
        let built = draft.build();
        Arc::new(built.expect("it was built with more listeners"))
    });
    (sections.collect(), aside)
}
