//! The chain of [`bare`](crate::bare) as scenarios for the simulator, and what a flight needs besides its text.

use std::sync::Arc;

use manifests::diagnostics::{Diagnostics, Severity};
use manifests::load::Objects;
use manifests::model::{Declared, Input, MeshWish, Model, SidecarRules};
use manifests::origins::Origins;
use manifests::text::Sources;
use scenarios::plan::{Known, MeshChoice, MeshSystem, Plan};
use scenarios::read::{File, Flight, Memory};

/// How much of the real world a scenario has around the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Applications that call each other directly.
    MeshNone,
    /// A sidecar beside every application: ten exchanges a request, or nine where the client has none.
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
             {services}  \
             load:\n    \
             - name: users\n      \
             via: direct\n      \
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

/// A scenario compiled with the model of what it declares: all that a flight is made of.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What happens.
    pub plan: Arc<Plan>,
    /// Who is there.
    pub model: Arc<Model>,
}

/// Compiles a scenario without manifests.
///
/// # Errors
/// The diagnostics, as people would read them.
pub fn prepare(text: &str) -> Result<Prepared, String> {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let prepared = compile(text, &mut sources, &mut problems);
    let failed = problems
        .sorted()
        .iter()
        .any(|each| each.severity() == Severity::Error);
    prepared
        .filter(|_| !failed)
        .ok_or_else(|| problems.render(&sources))
}

fn compile(text: &str, sources: &mut Sources, problems: &mut Diagnostics) -> Option<Prepared> {
    let source = sources.add("chain.yaml", text);
    let file = File::parse(sources, source, problems)?;
    let flight = file.flight(None, &[], sources, problems)?;
    // a plan over nothing says what the scenario wishes for; the real one knows what the model made of it
    let wishes = Plan::compile(
        &flight,
        &Known::default(),
        &Memory::default(),
        sources,
        problems,
    )?;
    let model = model(&flight, &wishes, problems)?;
    let known = Known::of(model.workloads(), model.services(), Vec::new());
    let plan = Plan::compile(&flight, &known, &Memory::default(), sources, problems)?;
    Some(Prepared {
        plan: Arc::new(plan),
        model: Arc::new(model),
    })
}

fn model(flight: &Flight, wishes: &Plan, problems: &mut Diagnostics) -> Option<Model> {
    let names = |list: &[(String, _)]| list.iter().map(|(name, _)| name.as_str().into()).collect();
    let declared = flight.declared(&[]).into_iter().map(|each| Declared {
        namespace: each.namespace.into(),
        name: each.name.into(),
        replicas: each.replicas,
        labels: each
            .labels
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect(),
        ports: each.ports,
        span: each.span,
    });
    let input = Input {
        objects: Objects::default(),
        mesh: wishes.mesh.as_ref().map_or(MeshWish::Shown, wish),
        sidecars: SidecarRules {
            inject: names(&wishes.sidecars.inject),
            skip: names(&wishes.sidecars.skip),
        },
        declared: declared.collect(),
        nodes: wishes.topology.nodes.len() as u32,
        ..Input::default()
    };
    Model::build(input, &mut Origins::default(), problems)
}

fn wish(choice: &MeshChoice) -> MeshWish {
    if choice.system == MeshSystem::None {
        return MeshWish::None;
    }
    MeshWish::Named {
        system: choice.system.name().to_owned(),
        release: choice.release.clone(),
        span: choice.span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_without_a_mesh_compiles() {
        let prepared = prepare(&Mode::MeshNone.scenario(280));
        let prepared = prepared.unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(prepared.model.workloads().len(), 5);
        assert_eq!(prepared.plan.duration.as_millis(), 1000);
    }

    #[test]
    fn every_mode_is_a_scenario() {
        for mode in Mode::ALL {
            let mut sources = Sources::default();
            let mut problems = Diagnostics::default();
            let source = sources.add("chain.yaml", mode.scenario(200_000));
            let file = File::parse(&sources, source, &mut problems).expect("it is a scenario");
            let flight = file.flight(None, &[], &sources, &mut problems);
            assert!(
                flight.is_some() && problems.is_empty(),
                "{}",
                problems.render(&sources)
            );
        }
    }
}
