//! The chain of [`bare`](crate::bare) as scenarios for the simulator.

/// How much of the real world a scenario has around the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Applications that call each other directly.
    MeshNone,
    /// A sidecar beside every application and beside the clients: ten exchanges a request.
    FullSidecars,
    /// The same over a network with latency, and with proxies whose processor time counts.
    FullSidecarsAndNetwork,
}

impl Mode {
    /// Every mode, in the order in which results are printed.
    pub const ALL: [Self; 3] = [
        Self::MeshNone,
        Self::FullSidecars,
        Self::FullSidecarsAndNetwork,
    ];

    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MeshNone => "mesh-none",
            Self::FullSidecars => "full-sidecars",
            Self::FullSidecarsAndNetwork => "full-sidecars-and-network",
        }
    }

    /// The scenario's text: `requests` on average, by the rate.
    #[must_use]
    pub fn scenario(self, requests: u64) -> String {
        let around = match self {
            Self::MeshNone => "  mesh: none\n  network: {latency: 0s}\n  proxies: {cpu: free}\n",
            Self::FullSidecars => {
                "  mesh: istio\n  sidecars: {inject: [default]}\n  network: {latency: 0s}\n  proxies: {cpu: free}\n"
            }
            Self::FullSidecarsAndNetwork => {
                "  mesh: istio\n  sidecars: {inject: [default]}\n  \
                 network: {latency: {sameNode: 50us, sameZone: 250us, crossZone: 1ms, external: 5ms}}\n  \
                 proxies: {cpu: measured}\n"
            }
        };
        let services: String = (1..=5).map(service).collect();
        let millis = requests * 1000 / 280;
        format!(
            "apiVersion: windtunnel.dev/v1alpha1\n\
             kind: Scenario\n\
             metadata: {{name: chain-{name}}}\n\
             spec:\n  \
             duration: {millis}ms\n\
             {around}  \
             workloads:\n\
             {services}    client: {{handlers: []}}\n  \
             load:\n    \
             - name: users\n      \
             via: client\n      \
             requests: [{{host: s1, path: /}}]\n      \
             open: {{arrivals: poisson, rate: 280/s}}\n      \
             client: {{timeout: 1s, retries: 2, backoff: {{base: 25ms}}}}\n",
            name = self.name(),
        )
    }
}

/// One service of the chain; the last calls nobody.
fn service(number: u32) -> String {
    let steps = if number < 5 {
        let next = number + 1;
        format!(
            ", steps: [{{call: {{workload: s{next}, request: GET /, timeout: 1s, retries: 2, backoff: {{base: 25ms}}}}}}]"
        )
    } else {
        String::new()
    };
    let released = if number < 5 {
        ", slotDuringCalls: released"
    } else {
        ""
    };
    format!(
        "    s{number}: {{replicas: 1, concurrency: 4, handlers: [{{match: GET /, time: {{exponential: {{mean: 10ms}}}}{released}{steps}}}]}}\n"
    )
}
