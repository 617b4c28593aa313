//! Flights whose traffic and service are those of a textbook: no network, no proxy, nobody gives up.

use reports::result::RunResult;
use testkit::flights::{fly, scenario};

/// How long every run lasts in seconds: 600 windows, of which ten warm up.
pub(crate) const SECONDS: f64 = 6000.0;
/// What every scenario begins with.
pub(crate) const QUIET: &str = "
  duration: 6000s
  warmup: 100s
  network: {latency: 0s}
  proxies: {cpu: free}
";

/// How much of what comes when: `rho` is the share of `servers` that Poisson arrivals keep busy, at `requests` in a whole run.
#[derive(Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) servers: u32,
    pub(crate) rho: f64,
    pub(crate) requests: f64,
}

impl Traffic {
    /// Mean service time in whole nanoseconds, since no time is finer.
    pub(crate) fn service_nanos(self) -> f64 {
        (self.rho * f64::from(self.servers) * SECONDS * 1e9 / self.requests).round()
    }

    /// Mean service time in seconds.
    pub(crate) fn service(self) -> f64 {
        self.service_nanos() / 1e9
    }

    /// Arrivals a second that make `rho` with that service time.
    pub(crate) fn rate(self) -> f64 {
        self.rho * f64::from(self.servers) / self.service()
    }

    /// A seed for these servers and this load alone: on a common one the rows of a table would share their arrivals and err together.
    pub(crate) fn seed(self) -> u64 {
        u64::from(self.servers) * 1_000 + (self.rho * 100.0).round() as u64
    }

    /// One station under this traffic: `time` is its distribution, `more` further keys of the workload.
    pub(crate) fn station(self, time: &str, more: &str, seed: u64) -> RunResult {
        let (rate, servers) = (self.rate(), self.servers);
        fly(&scenario(&format!(
            "{QUIET}  mesh: none
  seed: {seed}
  workloads:
    station: {{concurrency: {servers}, {more} handlers: [{{match: GET /, time: {time}}}]}}
  load:
    - {{name: users, via: direct, requests: [{{host: station, path: /}}], open: {{rate: {rate}/s}}}}
"
        )))
    }

    /// Exponential service times.
    pub(crate) fn exponential(self) -> String {
        exponential(self.service())
    }
}

/// An exponential distribution with a mean in seconds.
pub(crate) fn exponential(mean: f64) -> String {
    format!("{{exponential: {{mean: {}ns}}}}", (mean * 1e9).round())
}
