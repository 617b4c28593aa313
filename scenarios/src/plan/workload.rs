//! Who serves, and under which names.

use std::borrow::Cow;
use std::sync::Arc;

use manifests::text::Span;
use proxy_core::draw::{DrawKey, Purpose};

use super::ids::{BehaviourId, ServiceId, WorkloadId};

/// Pods that behave alike and stand behind the same Services.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    pub namespace: Box<str>,
    pub name: Box<str>,
    /// Whether the manifests have it; ids of these come first, in the order in which they were given.
    pub in_manifests: bool,
    /// Whether the scenario says what it does; else all of it is assumed.
    pub described: bool,
    /// Labels of its pods beside those of the manifests.
    pub labels: Vec<(Box<str>, Box<str>)>,
    /// What runs: the first stands for the workload as described, the others are its named versions. Never empty.
    pub versions: Vec<Version>,
    /// Services that select its pods.
    pub services: Vec<ServiceId>,
    /// Where the scenario names it; nowhere when only the manifests do.
    pub span: Span,
}

/// A version of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// None: the workload as it is described.
    pub name: Option<Box<str>>,
    pub behaviour: BehaviourId,
    /// Pods at the start.
    pub replicas: u32,
    /// Labels of its pods beside the workload's, `version` among them.
    pub labels: Vec<(Box<str>, Box<str>)>,
}

impl Workload {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// All pods at the start.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        self.versions.iter().map(|version| version.replicas).sum()
    }

    /// The place of a named version.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<usize> {
        self.versions
            .iter()
            .position(|version| version.name.as_deref() == Some(name))
    }
}

/// A name that callers use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub namespace: Box<str>,
    pub name: Box<str>,
    /// In the order written; never empty.
    pub ports: Vec<u16>,
    /// Whose pods it selects.
    pub workloads: Vec<WorkloadId>,
    /// Whether the manifests have it; ids of these come first, in the order in which they were given.
    pub in_manifests: bool,
}

/// A request's head, and how long its body is.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestTemplate {
    pub method: Box<str>,
    /// As the caller sends it, with a port when that is not 80.
    pub authority: Box<str>,
    /// Path and query.
    pub path: Box<str>,
    /// Names in lower case.
    pub headers: Vec<(Box<str>, HeaderValue)>,
    /// Bytes of the body.
    pub size: u64,
    /// The Service and port that the authority names, if it names one.
    pub to: Option<(ServiceId, u16)>,
}

/// A header's value.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderValue {
    /// Always this.
    Fixed(Box<str>),
    /// Drawn anew for each request.
    Drawn(Drawn),
}

/// Values to draw from.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn(pub(super) Values);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// `prefix` and a number from 1 to `count`.
    Uniform {
        prefix: Box<str>,
        count: u32,
    },
    /// Likewise; the shares of the first 1, 2, … numbers.
    Zipf {
        prefix: Box<str>,
        cumulative: Arc<[f64]>,
    },
    List(Arc<[Box<str>]>),
}

impl Drawn {
    /// How many different values there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.0 {
            Values::Uniform { count, .. } => *count as usize,
            Values::Zipf { cumulative, .. } => cumulative.len(),
            Values::List(list) => list.len(),
        }
    }

    /// Which value (from 0) the request under `key` has in its `header`-th header.
    #[must_use]
    pub fn draw(&self, key: DrawKey, header: u32) -> usize {
        let u = key.unit(Purpose::HeaderValue, header);
        let last = self.count() - 1;
        match &self.0 {
            Values::Uniform { .. } | Values::List(_) => {
                ((u * self.count() as f64) as usize).min(last)
            }
            Values::Zipf { cumulative, .. } => {
                cumulative.partition_point(|share| *share < u).min(last)
            }
        }
    }

    /// The value at `index`, below [`Self::count`].
    #[must_use]
    pub fn value(&self, index: usize) -> Cow<'_, str> {
        match &self.0 {
            Values::Uniform { prefix, .. } | Values::Zipf { prefix, .. } => {
                format!("{prefix}{}", index + 1).into()
            }
            Values::List(list) => (&*list[index]).into(),
        }
    }

    /// `count` values of which the k-th is drawn in proportion to 1/k^`exponent`.
    pub(super) fn zipf(prefix: &str, count: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (1..=count)
            .map(|k| {
                sum += libm::pow(f64::from(k), -exponent);
                sum
            })
            .collect();
        for share in &mut cumulative {
            *share /= sum;
        }
        Self(Values::Zipf {
            prefix: prefix.into(),
            cumulative: cumulative.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_draws_the_first_value_in_proportion_to_its_weight() {
        let drawn = Drawn::zipf("u", 3, 1.0);
        let root = DrawKey::root(3);
        let n = 20_000;
        let mut counts = [0_u32; 3];
        for i in 0..n {
            counts[drawn.draw(root.child(i), 0)] += 1;
        }
        // Weights 1, 1/2, 1/3 of 11/6; 5 sigma of a binomial share is below 0.018.
        for (count, share) in counts.iter().zip([6.0 / 11.0, 3.0 / 11.0, 2.0 / 11.0]) {
            assert!(
                (f64::from(*count) / n as f64 - share).abs() < 0.018,
                "{counts:?}"
            );
        }
        assert_eq!(drawn.value(0), "u1");
    }
}
