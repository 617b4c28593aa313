//! The shipped scenarios in the air.

use reports::result::RunResult;
use sim::Options;
use testkit::flights::shipped_flight;

fn shipped(name: &str, variant: Option<&str>, sets: &[&str]) -> RunResult {
    let flight = shipped_flight(name, variant, sets);
    sim::fly(&flight, flight.plan.seed, Options::default()).result
}

#[test]
fn look() {
    let name = std::env::var("S").unwrap_or_else(|_| "tutorial".into());
    for variant in std::env::var("V")
        .unwrap_or_else(|_| "guide,meshed,storm,budget,limits,linkerd".into())
        .split(',')
    {
        let variant = Some(variant).filter(|v| *v != "-");
        let result = shipped(&name, variant, &[]);
        eprintln!("== {variant:?}");
        for load in &result.loads {
            eprintln!(
                "{}: sent {} ok {} failed {} unfinished {} reasons {:?}",
                load.name, load.sent, load.succeeded, load.failed, load.unfinished, load.reasons
            );
            let n = load.series.sent.len();
            let step = (n / 15).max(1);
            let line: Vec<String> = (0..n)
                .step_by(step)
                .map(|i| {
                    let s: u64 = load.series.sent[i..(i + step).min(n)].iter().sum();
                    let k: u64 = load.series.succeeded[i..(i + step).min(n)].iter().sum();
                    format!("{:.2}", k as f64 / s.max(1) as f64)
                })
                .collect();
            eprintln!("   {}", line.join(" "));
        }
        for edge in &result.edges {
            eprintln!(
                "edge {}->{} {:?}",
                result.workloads[edge.from as usize].name,
                result.workloads[edge.to as usize].name,
                edge.totals
            );
        }
    }
}
