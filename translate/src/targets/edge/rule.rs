//! A route as systems that are gateways alone have it.

use manifests::model::GatewayId;
use proxy_core::config::{
    HeaderMatch, PathMatch, PathRewrite, Route, RouteAction, RouteMatch, TextMatch,
};

use super::hosts::Domain;
use crate::intent;

/// Which connections a rule's requests come over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(crate) enum Sides {
    /// Either.
    Both,
    /// Those in plaintext.
    Plain,
    /// Those in TLS.
    Tls,
}

impl Sides {
    /// Whether some request may be of both.
    pub(crate) const fn meets(self, other: Self) -> bool {
        !matches!(
            (self, other),
            (Self::Plain, Self::Tls) | (Self::Tls, Self::Plain)
        )
    }
}

/// A route with the hosts and the connections that it is for.
#[derive(Clone)]
pub(crate) struct Rule<'a> {
    /// Its hosts; one of them is enough.
    pub(crate) domains: Vec<Domain>,
    /// Hosts that these domains take, whose requests are nevertheless for rules of their own alone.
    pub(crate) not: Vec<Domain>,
    /// The connections.
    pub(crate) sides: Sides,
    /// The gateway that it is of.
    pub(crate) gateway: GatewayId,
    /// When it applies, in the plainest words.
    pub(crate) matches: RouteMatch,
    /// The route with its destinations.
    pub(crate) of: &'a intent::Rule<'a>,
}

impl<'a> Rule<'a> {
    /// The route as it was compiled.
    pub(crate) const fn route(&self) -> &'a Route {
        self.of.route
    }

    /// What becomes of its paths; none: they stay.
    pub(crate) fn rewrite(&self) -> Option<&'a PathRewrite> {
        let RouteAction::Forward(forward) = &self.of.route.action else {
            return None;
        };
        let rewrite = forward.rewrite.as_ref()?;
        let stays = match (rewrite, &self.matches.path) {
            (PathRewrite::Prefix(to), PathMatch::Prefix(path)) => to == path,
            (_, _) => false,
        };
        // a text in other letters becomes that text
        (!stays || self.matches.ignore_case).then_some(rewrite)
    }

    /// Its first host, as people know it.
    pub(crate) fn host(&self) -> String {
        self.domains
            .first()
            .map_or_else(|| "*".to_owned(), Domain::text)
    }

    /// Its conditions on headers, but for those that say its host, or that a wildcard of its hosts stands for a single label.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &HeaderMatch> {
        let headers = self.matches.headers.iter();
        headers.filter(|it| !is_single_label(it))
    }

    /// Whether wildcards of its hosts stand for a single label.
    pub(crate) fn takes_single_labels(&self) -> bool {
        self.route().matches.headers.iter().any(is_single_label)
    }

    /// Whether it is for hosts that a wildcard of its virtual host takes, and that are none of the wildcard's own: they have more labels.
    pub(crate) fn is_beyond_label(&self, all: &[Self]) -> bool {
        let wild = self.domains.iter().any(|it| matches!(it, Domain::Under(_)));
        let mut others = all.iter().filter(|it| it.domains == self.domains);
        wild && !self.takes_single_labels() && others.any(Self::takes_single_labels)
    }

    /// Whether one request may be taken by it and by another, so that their order counts.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.sides.meets(other.sides)
            && self
                .domains
                .iter()
                .any(|own| other.domains.iter().any(|it| own.meets(it)))
            && super::overlap::may_meet(&self.matches, &other.matches)
    }
}

/// Whether a condition says that one label stands before a host, as Ingresses have it.
fn is_single_label(condition: &HeaderMatch) -> bool {
    let TextMatch::Regex(regex) = &condition.value else {
        return false;
    };
    &*condition.name == ":authority"
        && !condition.invert
        && super::patterns::whole(regex).starts_with(r"(?i:[\w-]+\.")
}
