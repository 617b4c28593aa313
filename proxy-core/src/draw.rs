//! Counter-based randomness: a draw is a pure function of its key, purpose and index.
//!
//! No draw shifts another. Two policies on one seed see the same service time, the same fault and the same
//! endpoint candidates for every call that both make, whatever else one of them adds (common random numbers).
//!
//! Source: the finaliser of SplitMix64 (Steele, Lea, Flood 2014) with Stafford's Mix13 constants, chained over the
//! parts of the key; a keyed counter generator in the manner of Salmon et al. 2011.

/// Names one place where chance may strike: a seed, then the call path from the client's request down to here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct DrawKey(u64);

/// The way from a key to one below it: `key.follow(Step::to(index))` is `key.child(index)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step(u64);

impl Step {
    /// The way to number `index`.
    #[must_use]
    #[inline(always)]
    pub const fn to(index: u64) -> Self {
        Self(mix(index.wrapping_add(GOLDEN)).wrapping_add(GOLDEN))
    }
}

/// What a draw decides. Draws of different purposes are independent even under one key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum Purpose {
    /// Which weighted cluster takes the request.
    ClusterWeight = 1,
    /// Whether a route's runtime fraction matches.
    RuntimeFraction,
    /// Which endpoint (index = candidate number).
    Endpoint,
    /// Which priority.
    Priority,
    /// Which locality.
    Locality,
    /// Length of a retry's back-off.
    Backoff,
    /// Whether a fault delay strikes.
    FaultDelay,
    /// Whether a fault abort strikes.
    FaultAbort,
    /// Whether a request is mirrored.
    Mirror,
    /// Whether an outlier ejection is enforced.
    EjectionEnforced,
    /// Jitter of an ejection's or penalty's length.
    EjectionJitter,
    /// Jitter of a health-check interval.
    HealthCheckJitter,
    /// Hash used when a hash policy yields none.
    HashFallback,
    /// Where a rotation starts.
    RotationStart,
    /// Whether a hedged request is started at once.
    Hedge,
    /// When requests arrive.
    Arrival,
    /// Which request of a mix.
    RequestMix,
    /// A drawn header value.
    HeaderValue,
    /// How long a user thinks.
    Think,
    /// How long a handler works (index = step).
    ServiceTime,
    /// Whether a handler fails.
    HandlerError,
    /// Whether a step's call is made.
    CallProbability,
    /// Network latency of a leg.
    NetworkLatency,
    /// Whether a packet or message is lost.
    NetworkLoss,
    /// Whether an injected fault strikes this request or connection.
    InjectedFault,
    /// Which pods a fault selects.
    FaultSelection,
    /// How long a configuration takes to reach a proxy.
    Propagation,
    /// Proxy CPU time.
    ProxyCpu,
    /// Client's or application's own back-off.
    ClientBackoff,
    /// Which connection, endpoint or address kube-proxy picks.
    KubeProxy,
    /// Start-up and readiness times.
    StartUp,
    /// Resampling for confidence intervals.
    Bootstrap,
    /// Response size.
    Size,
    /// A half of a request's id.
    RequestId,
    /// Whether an access log has a record, and numbers in its line.
    AccessLog,
    /// Whether a request is traced, and ids of its spans.
    Trace,
}

/// The greatest number below one.
const BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

#[inline(always)]
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl DrawKey {
    /// The key of a whole run.
    #[must_use]
    pub const fn root(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(GOLDEN)))
    }

    /// The key of one thing below this one: a load's n-th request, an attempt of a call, a step of a handler.
    #[must_use]
    #[inline(always)]
    pub const fn child(self, index: u64) -> Self {
        self.follow(Step::to(index))
    }

    /// The key of one thing below this one, whose way was worked out before.
    #[must_use]
    #[inline(always)]
    pub const fn follow(self, step: Step) -> Self {
        Self(mix(self.0.wrapping_add(step.0)))
    }

    /// Draw number `index` for `purpose`, uniform over all 64-bit numbers.
    #[must_use]
    #[inline(always)]
    pub const fn bits(self, purpose: Purpose, index: u32) -> u64 {
        let word = ((purpose as u64) << 32) | index as u64;
        mix(self.0 ^ word.wrapping_mul(GOLDEN).rotate_left(17)).wrapping_add(self.0)
            ^ mix(self.0.wrapping_add(word))
    }

    /// Uniform in the open interval (0, 1), 53 bits: safe for logarithms at both ends.
    #[must_use]
    pub fn unit(self, purpose: Purpose, index: u32) -> f64 {
        let unit =
            ((self.bits(purpose, index) >> 11) as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0);
        // the greatest of all would be rounded up to one
        unit.min(BELOW_ONE)
    }

    /// Uniform in `0..bound` (Lemire's multiply-shift, bias below 2^-32 for bounds below 2^32); 0 when `bound` is 0.
    #[must_use]
    #[inline(always)]
    pub const fn below(self, purpose: Purpose, index: u32, bound: u64) -> u64 {
        ((self.bits(purpose, index) as u128 * bound as u128) >> 64) as u64
    }

    /// Whether an event of `probability` (0 to 1) strikes.
    #[must_use]
    pub fn chance(self, purpose: Purpose, index: u32, probability: f64) -> bool {
        // what is certain needs no draw
        probability >= 1.0 || probability > 0.0 && self.unit(purpose, index) < probability
    }

    /// The key as a number, for logs and replays.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_pinned_across_releases() {
        let key = DrawKey::root(7).child(3).child(1);
        assert_eq!(key, DrawKey::root(7).child(3).child(1));
        assert_ne!(
            key.bits(Purpose::Endpoint, 0),
            key.bits(Purpose::Endpoint, 1)
        );
        assert_ne!(
            key.bits(Purpose::Endpoint, 0),
            key.bits(Purpose::Priority, 0)
        );
    }

    #[test]
    fn units_are_uniform_along_every_axis() {
        let axes: [fn(u64) -> f64; 3] = [
            |i| DrawKey::root(1).child(i).unit(Purpose::Endpoint, 0),
            |i| DrawKey::root(1).unit(Purpose::Endpoint, i as u32),
            |i| DrawKey::root(i).unit(Purpose::Endpoint, 0),
        ];
        for axis in axes {
            let n = 200_000_u64;
            let mut buckets = [0_u32; 100];
            let mut sum = 0.0;
            for i in 0..n {
                let u = axis(i);
                sum += u;
                buckets[(u * 100.0) as usize] += 1;
            }
            // 5 sigma of the mean of n uniforms; chi-square with 99 degrees of freedom, 99.999 % quantile about 165
            assert!((sum / n as f64 - 0.5).abs() < 5.0 * 0.2887 / (n as f64).sqrt());
            let expected = n as f64 / 100.0;
            let chi: f64 = buckets
                .iter()
                .map(|&c| (f64::from(c) - expected).powi(2) / expected)
                .sum();
            assert!(chi < 165.0, "chi-square {chi}");
        }
    }

    #[test]
    fn neighbouring_keys_are_uncorrelated() {
        let n = 100_000;
        let (mut sxy, mut sx, mut sy) = (0.0, 0.0, 0.0);
        for i in 0..n {
            let x = DrawKey::root(9).child(i).unit(Purpose::ServiceTime, 0) - 0.5;
            let y = DrawKey::root(9).child(i + 1).unit(Purpose::ServiceTime, 0) - 0.5;
            sxy += x * y;
            sx += x * x;
            sy += y * y;
        }
        assert!((sxy / (sx * sy).sqrt()).abs() < 5.0 / (n as f64).sqrt());
    }
}
