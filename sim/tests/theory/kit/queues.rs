//! M/M/c in the steady state (Kleinrock, Queueing Systems I, 1975, ch. 3).

/// Poisson arrivals at `arrivals` a second to `servers` that each finish `service` a second.
#[derive(Clone, Copy)]
pub(crate) struct Mmc {
    pub(crate) servers: u32,
    pub(crate) arrivals: f64,
    pub(crate) service: f64,
}

impl Mmc {
    /// Erlang's C formula: the probability that an arrival waits.
    fn waits(self) -> f64 {
        let load = self.arrivals / self.service;
        let blocked = erlang_b(self.servers, load);
        let rho = load / f64::from(self.servers);
        blocked / (1.0 - rho * (1.0 - blocked))
    }

    /// How fast a queue shrinks while all servers are busy.
    fn spare(self) -> f64 {
        f64::from(self.servers) * self.service - self.arrivals
    }

    /// The mean time in the system in seconds.
    pub(crate) fn mean(self) -> f64 {
        1.0 / self.service + self.waits() / self.spare()
    }

    /// The probability to be in the system for longer than `t`: a service, after an exponential wait for those who wait.
    fn longer_than(self, t: f64) -> f64 {
        let (waits, spare, service) = (self.waits(), self.spare(), self.service);
        assert!((spare - service).abs() > 1e-6 * service);
        let both = spare * libm::exp(-service * t) - service * libm::exp(-spare * t);
        (1.0 - waits) * libm::exp(-service * t) + waits * both / (spare - service)
    }

    /// The time in the system that a share `q` does not exceed, in seconds.
    pub(crate) fn percentile(self, q: f64) -> f64 {
        inverse(|t| 1.0 - self.longer_than(t), q, self.mean())
    }
}

/// Erlang's B formula: the probability that all servers are busy, under `load` Erlangs that are lost then.
pub(crate) fn erlang_b(servers: u32, load: f64) -> f64 {
    (1..=servers).fold(1.0, |blocked, n| {
        load * blocked / (f64::from(n) + load * blocked)
    })
}

/// Where a rising function reaches `q`, by bisection; `scale` is of the order of the answer.
pub(crate) fn inverse(distribution: impl Fn(f64) -> f64, q: f64, scale: f64) -> f64 {
    let (mut low, mut high) = (0.0, scale);
    while distribution(high) < q {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if distribution(middle) < q {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
