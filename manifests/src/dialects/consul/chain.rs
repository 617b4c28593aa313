//! The discovery chain of a service: router, splitter, resolver, and what they lead to.
//!
//! Source: hashicorp/consul 1.21 `agent/consul/discoverychain/compile.go`.

use proxy_core::config::Name;
use proxy_core::origin::{OriginId, Sourced};

use super::notes::Defaults;
use super::policy::{
    BalancePolicy, Modifiers, Policies, Protocol, Reference, ResolverPolicy, RoutePolicy, Target,
};
use crate::text::Span;

/// Redirects one after the other; a circle has more.
const MAX_REDIRECTS: usize = 64;
/// Splitters within one another; a circle has more.
const MAX_SPLITTERS: usize = 16;
/// Shares of a chain, those of splitters within one another told apart by their way.
const MAX_SHARES: usize = 4096;

/// What becomes of what is sent to a service.
#[derive(Clone, Debug)]
pub(super) struct Chain<'a> {
    /// What is spoken.
    pub(super) protocol: Sourced<Protocol>,
    /// Its first part.
    pub(super) start: Start<'a>,
}

/// The first part of a chain.
#[derive(Clone, Debug)]
pub(super) enum Start<'a> {
    /// Routes; the last takes whatever no other does.
    Router(Vec<Branch<'a>>),
    /// No router.
    Next(Next<'a>),
}

/// A route.
#[derive(Clone, Debug)]
pub(super) struct Branch<'a> {
    /// As it is written; none: the one that Consul adds.
    pub(super) rule: Option<&'a RoutePolicy>,
    /// The rule that made it.
    pub(super) origin: OriginId,
    /// Where it leads.
    pub(super) next: Next<'a>,
}

/// What comes after the router.
#[derive(Clone, Debug)]
pub(super) enum Next<'a> {
    /// Shares.
    Splitter(Split<'a>),
    /// One.
    Resolver(Resolved<'a>),
}

/// Shares, with those of splitters that they lead to.
#[derive(Clone, Debug)]
pub(super) struct Split<'a> {
    /// In their order.
    pub(super) legs: Vec<Leg<'a>>,
    /// Whose hash requests go by: of the first share that has one.
    pub(super) hash: Option<&'a BalancePolicy>,
}

/// A share.
#[derive(Clone, Debug)]
pub(super) struct Leg<'a> {
    /// Hundredths of a per cent.
    pub(super) weight: u32,
    /// Edits toward the upstream.
    pub(super) request: Modifiers,
    /// Edits toward the client.
    pub(super) response: Modifiers,
    /// The rule that made it.
    pub(super) origin: OriginId,
    /// Where it leads.
    pub(super) to: Resolved<'a>,
}

/// Instances, and which come after them.
#[derive(Clone, Debug)]
pub(super) struct Resolved<'a> {
    /// The first.
    pub(super) place: Place,
    /// The resolver of their service.
    pub(super) policy: Option<&'a ResolverPolicy>,
    /// The others, in their order.
    pub(super) failover: Vec<Place>,
}

/// Instances of a service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    /// Service.
    pub(super) service: Name,
    /// Subset of it.
    pub(super) subset: Option<Name>,
    /// Whether they are in another datacenter or cluster.
    pub(super) elsewhere: bool,
}

/// Why Consul refuses a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Broken {
    /// Services of one chain speak differently.
    Protocols {
        /// The first.
        first: (Name, Protocol),
        /// Another.
        other: (Name, Protocol),
        /// Where it is asked for.
        span: Span,
    },
    /// A router or splitter of a service that does not speak HTTP.
    NeedsHttp {
        /// What it speaks.
        protocol: Protocol,
        /// The entry.
        span: Span,
        /// Its kind.
        kind: &'static str,
    },
    /// A subset that is not defined.
    Subset {
        /// Of this service.
        service: Name,
        /// The subset.
        subset: Name,
        /// Where it is asked for.
        span: Span,
    },
    /// It has more shares than anyone means.
    TooManyShares {
        /// The splitter at which there were too many.
        span: Span,
    },
    /// It leads back to itself.
    Circle {
        /// The services on the way.
        way: Vec<Name>,
        /// Where.
        span: Span,
    },
}

struct Compiler<'a> {
    policies: &'a Policies,
    defaults: Defaults,
    /// Whether routers and splitters count.
    advanced: bool,
    /// The first service whose protocol was asked for.
    protocol: Option<(Name, Sourced<Protocol>)>,
    /// Shares so far.
    shares: usize,
}

/// The chain of a service. A caller that speaks otherwise has its way; one that speaks bytes has no router and no splitter.
pub(super) fn compile<'a>(
    policies: &'a Policies,
    service: &Name,
    spoken: Option<Sourced<Protocol>>,
    defaults: Defaults,
) -> Result<Chain<'a>, Broken> {
    let mut compiler = Compiler {
        policies,
        defaults,
        advanced: spoken.is_none_or(|protocol| protocol.value.is_http()),
        protocol: None,
        shares: 0,
    };
    let start = compiler.start(service)?;
    let own = compiler
        .protocol
        .map_or_else(|| defaults.of(Protocol::Tcp), |(_, protocol)| protocol);
    if !own.value.is_http() && compiler.advanced {
        let router = policies.routers.get(service);
        let splitter = policies.splitters.get(service);
        let found = router.map(|it| (it.span, "ServiceRouter"));
        let found = found.or_else(|| splitter.map(|it| (it.span, "ServiceSplitter")));
        if let Some((span, kind)) = found {
            return Err(Broken::NeedsHttp {
                protocol: own.value,
                span,
                kind,
            });
        }
    }
    Ok(Chain {
        protocol: spoken.unwrap_or(own),
        start,
    })
}

/// The chain of a service whose own was refused: Consul goes on without what it refuses.
pub(super) fn plain<'a>(
    policies: &'a Policies,
    service: &Name,
    spoken: Option<Sourced<Protocol>>,
    defaults: Defaults,
) -> Chain<'a> {
    let resolved = plain_resolved(policies, service, defaults);
    Chain {
        protocol: spoken.unwrap_or_else(|| protocol_of(policies, service, defaults)),
        start: Start::Next(Next::Resolver(resolved)),
    }
}

/// The instances of a service past its router and its splitter; of one whose resolver is refused, all of its own.
pub(super) fn plain_resolved<'a>(
    policies: &'a Policies,
    service: &Name,
    defaults: Defaults,
) -> Resolved<'a> {
    let mut compiler = Compiler {
        policies,
        defaults,
        advanced: false,
        protocol: None,
        shares: 0,
    };
    let at = Asked::service(service, Span::NOWHERE);
    let resolved = compiler.resolve(at, false);
    resolved.unwrap_or_else(|_| Resolved {
        place: Place {
            service: service.clone(),
            subset: None,
            elsewhere: false,
        },
        policy: None,
        failover: Vec::new(),
    })
}

/// What is looked for.
#[derive(Clone, Debug)]
struct Asked {
    place: Place,
    span: Span,
}

impl Asked {
    fn service(service: &Name, span: Span) -> Self {
        let place = Place {
            service: service.clone(),
            subset: None,
            elsewhere: false,
        };
        Self { place, span }
    }

    /// What an entry of `own` names.
    fn reference(own: &Name, to: &Reference) -> Self {
        let place = Place {
            service: to.service.as_ref().unwrap_or(own).clone(),
            subset: to.subset.clone(),
            elsewhere: false,
        };
        Self {
            place,
            span: to.span,
        }
    }

    /// What stands in the place of this one. Another service has no subset of this one's.
    fn rewritten(&self, target: &Target) -> Self {
        let mut place = self.place.clone();
        if let Some(service) = &target.to.service
            && *service != place.service
        {
            place.service = service.clone();
            place.subset = None;
        }
        if target.to.subset.is_some() {
            place.subset.clone_from(&target.to.subset);
        }
        place.elsewhere |= target.elsewhere;
        Self {
            place,
            span: target.to.span,
        }
    }
}

impl<'a> Compiler<'a> {
    fn start(&mut self, service: &Name) -> Result<Start<'a>, Broken> {
        let policies = self.policies;
        let router = policies.routers.get(service).filter(|_| self.advanced);
        let Some(router) = router else {
            let at = Asked::service(service, Span::NOWHERE);
            return Ok(Start::Next(self.next(at)?));
        };
        self.record(service, router.span)?;
        let mut branches = Vec::new();
        for rule in &router.routes {
            let at = Asked::reference(service, &rule.to);
            branches.push(Branch {
                rule: Some(rule),
                origin: rule.origin,
                next: self.next(at)?,
            });
        }
        branches.push(Branch {
            rule: None,
            origin: router.origin,
            next: self.next(Asked::service(service, router.span))?,
        });
        Ok(Start::Router(branches))
    }

    /// A splitter is for those who ask for no subset.
    fn next(&mut self, at: Asked) -> Result<Next<'a>, Broken> {
        if at.place.subset.is_none()
            && let Some(split) = self.split(&at.place.service, &mut Vec::new())?
        {
            return Ok(Next::Splitter(split));
        }
        Ok(Next::Resolver(self.resolve(at, false)?))
    }

    fn split(&mut self, service: &Name, way: &mut Vec<Name>) -> Result<Option<Split<'a>>, Broken> {
        let policies = self.policies;
        let Some(splitter) = policies.splitters.get(service).filter(|_| self.advanced) else {
            return Ok(None);
        };
        let circles = way.contains(service) || way.len() >= MAX_SPLITTERS;
        way.push(service.clone());
        if circles {
            return Err(Broken::Circle {
                way: way.clone(),
                span: splitter.span,
            });
        }
        let mut split = Split {
            legs: Vec::new(),
            hash: None,
        };
        for one in &splitter.splits {
            self.shares += 1;
            if self.shares > MAX_SHARES {
                return Err(Broken::TooManyShares {
                    span: splitter.span,
                });
            }
            let at = Asked::reference(service, &one.to);
            let nested = if at.place.subset.is_none() && at.place.service != *service {
                self.split(&at.place.service, way)?
            } else {
                None
            };
            if let Some(inner) = nested {
                for leg in inner.legs {
                    split.legs.push(Leg {
                        weight: share_of(one.weight, leg.weight),
                        request: leg.request.over(&one.request),
                        response: leg.response.over(&one.response),
                        ..leg
                    });
                }
                continue;
            }
            let to = self.resolve(at, false)?;
            let hashed = to.policy.and_then(|policy| policy.balance.as_ref());
            let hashed = hashed.filter(|balance| balance.is_hashed());
            split.hash = split.hash.or(hashed);
            split.legs.push(Leg {
                weight: one.weight,
                request: one.request.clone(),
                response: one.response.clone(),
                origin: one.origin,
                to,
            });
        }
        way.pop();
        Ok(Some(split))
    }

    fn resolve(&mut self, mut at: Asked, recursed: bool) -> Result<Resolved<'a>, Broken> {
        let policies = self.policies;
        let mut way: Vec<Place> = Vec::new();
        let policy = loop {
            if !at.place.elsewhere {
                self.record(&at.place.service.clone(), at.span)?;
            }
            let policy = policies.resolvers.get(&at.place.service);
            let circles = way.contains(&at.place) || way.len() >= MAX_REDIRECTS;
            way.push(at.place.clone());
            if circles {
                return Err(Broken::Circle {
                    way: way.into_iter().map(|place| place.service).collect(),
                    span: policy.map_or(at.span, |policy| policy.span),
                });
            }
            let redirect = policy.and_then(|policy| policy.redirect.as_ref());
            if let Some(other) = redirect.map(|target| at.rewritten(target))
                && other.place != at.place
            {
                at = other;
                continue;
            }
            let default = policy.and_then(|policy| policy.default_subset.as_ref());
            if at.place.subset.is_none() && default.is_some() {
                at.place.subset = default.cloned();
                continue;
            }
            break policy;
        };
        if let Some(subset) = &at.place.subset
            && !at.place.elsewhere
            && !policy.is_some_and(|policy| policy.subsets.contains_key(subset))
        {
            return Err(Broken::Subset {
                service: at.place.service.clone(),
                subset: subset.clone(),
                span: at.span,
            });
        }
        let mut failover = Vec::new();
        if let Some(policy) = policy.filter(|_| !recursed) {
            let asked = at.place.subset.as_deref();
            let targets = asked
                .and_then(|subset| policy.failover.get(subset))
                .or_else(|| policy.failover.get("*"));
            for target in targets.into_iter().flatten() {
                let other = at.rewritten(target);
                if other.place == at.place {
                    continue;
                }
                let found = self.resolve(other, true)?;
                failover.push(found.place);
            }
        }
        Ok(Resolved {
            place: at.place,
            policy,
            failover,
        })
    }

    /// All services of a chain speak alike.
    fn record(&mut self, service: &Name, span: Span) -> Result<(), Broken> {
        let own = self.protocol_of(service);
        match &self.protocol {
            None => self.protocol = Some((service.clone(), own)),
            Some((first, protocol)) if protocol.value != own.value => {
                return Err(Broken::Protocols {
                    first: (first.clone(), protocol.value),
                    other: (service.clone(), own.value),
                    span,
                });
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn protocol_of(&self, service: &Name) -> Sourced<Protocol> {
        protocol_of(self.policies, service, self.defaults)
    }
}

/// What a service speaks to its callers: ServiceDefaults say it, and where there are some without a word of it, it is bytes, whatever
/// ProxyDefaults say.
///
/// Source: `compile.go`, `recordServiceProtocol`.
pub(super) fn protocol_of(
    policies: &Policies,
    service: &str,
    defaults: Defaults,
) -> Sourced<Protocol> {
    match policies.services.get(service) {
        Some(own) => own
            .own
            .protocol
            .unwrap_or_else(|| Sourced::new(Protocol::Tcp, own.origin)),
        None => policies
            .proxy
            .protocol
            .unwrap_or_else(|| defaults.of(Protocol::Tcp)),
    }
}

/// A share of a share, by hundredths of a per cent.
fn share_of(outer: u32, inner: u32) -> u32 {
    (f64::from(outer) * f64::from(inner) / 1e4).round() as u32
}

impl Place {
    /// `web`, or `v2.web`.
    pub(super) fn title(&self) -> String {
        match &self.subset {
            Some(subset) => format!("{subset}.{}", self.service),
            None => self.service.to_string(),
        }
    }
}
