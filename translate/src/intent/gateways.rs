//! Gateways: what each filter chain of theirs serves.

use manifests::model::{GatewayFacts, GatewayId};
use proxy_core::config::{ChainAction, FilterChain, ListenerAddress};

use super::parts::tls;
use super::{Door, Gateway, Part, Serves, Source};

/// Every gateway that serves something.
pub(super) fn of<'a>(
    source: Source<'a>,
    stays: impl Fn(&GatewayFacts) -> bool,
) -> Vec<Gateway<'a>> {
    let all = (0..).map(GatewayId).zip(source.model.gateways());
    all.filter_map(|(id, facts)| {
        let part = Part::nth(source.model, source.model.served_part(id)?)?;
        Some(Gateway {
            id,
            facts,
            stays: stays(facts),
            doors: doors(source, facts, part),
            part,
        })
    })
    .collect()
}

fn doors<'a>(source: Source<'a>, facts: &GatewayFacts, part: Part<'a>) -> Vec<Door<'a>> {
    let mut doors = Vec::new();
    for listener in &part.draft.listeners {
        let bound = match listener.address {
            ListenerAddress::Socket(at) | ListenerAddress::Datagrams(at) => at.port(),
            ListenerAddress::OutboundTo(_)
            | ListenerAddress::OutboundPort(_)
            | ListenerAddress::OutboundRest
            | ListenerAddress::InboundPort(_)
            | ListenerAddress::InboundRest => continue,
        };
        let dialled = facts.listens.iter().find(|it| it.bound == bound);
        for chain in &listener.chains {
            doors.push(Door {
                listener,
                chain,
                port: dialled.map_or(bound, |it| it.port),
                bound,
                tls: tls(chain),
                serves: serves(source, part, chain),
            });
        }
    }
    doors
}

fn serves<'a>(source: Source<'a>, part: Part<'a>, chain: &'a FilterChain) -> Serves<'a> {
    match &chain.action {
        ChainAction::Http(http) => {
            let table = part.draft.tables.get(http.table.0 as usize);
            let hosts = table.into_iter().flat_map(|table| {
                let hosts = table.virtual_hosts.iter();
                hosts.map(move |host| part.host(source, host, table.ignore_port))
            });
            Serves::Requests {
                http,
                hosts: hosts.collect(),
            }
        }
        ChainAction::Tcp(route) => Serves::Bytes {
            to: part.split(source, &route.clusters),
            route,
        },
        ChainAction::Udp(route) => Serves::Datagrams {
            to: part.split(source, &route.clusters),
            route,
        },
        ChainAction::Close(_) => Serves::Closed,
    }
}
