use super::*;
use crate::demo::{Shape, run};
use crate::figures::tests::{ms, small};
use crate::result::EdgeResult;

fn with_edges(edges: &[(u32, u32)], workloads: usize) -> RunResult {
    let mut result = small().finish(ms(40_000));
    let edge = result.edges[0].clone();
    let workload = result.workloads[0].clone();
    result.workloads = (0..workloads)
        .map(|n| {
            let mut w = workload.clone();
            w.name = format!("w{n}");
            w.namespace = format!("n{}", n % 3);
            w
        })
        .collect();
    result.edges = edges
        .iter()
        .map(|&(from, to)| {
            let mut e = EdgeResult {
                from,
                to,
                ..edge.clone()
            };
            e.totals.first = 100;
            e
        })
        .collect();
    result
}

fn shape(edges: &[(u32, u32)], workloads: usize) -> Vec<Vec<String>> {
    let graph = gathered(&with_edges(edges, workloads));
    let name = |n: &NodeIndex| graph[*n].name.clone();
    layers(&graph)
        .iter()
        .map(|l| l.iter().map(name).collect())
        .collect()
}

#[test]
fn services_stand_as_deep_as_their_longest_way() {
    let layers = shape(&[(0, 1), (1, 2), (0, 2)], 3);
    assert_eq!(layers, [["w0"], ["w1"], ["w2"]]);
}

#[test]
fn a_cycle_of_calls_is_drawn_all_the_same() {
    let result = with_edges(&[(0, 1), (1, 2), (2, 0), (2, 2)], 3);
    assert_eq!(layers(&gathered(&result)).concat().len(), 3);
    assert!(draw_graph(&result).is_some());
}

#[test]
fn more_than_forty_services_become_namespaces() {
    let edges: Vec<(u32, u32)> = (0..49).map(|n| (n, n + 1)).collect();
    let layers = shape(&edges, 50);
    let mut names = layers.concat();
    names.sort();
    assert_eq!(names, ["n0", "n1", "n2"]);
}

#[test]
fn rates_are_those_after_the_warmup() {
    let graph = gathered(&run(Shape::Storm, 7));
    let flow = |from: &str, to: &str| {
        let find = |name: &str| {
            graph
                .node_indices()
                .find(|n| graph[*n].name == name)
                .unwrap()
        };
        graph[graph.find_edge(find(from), find(to)).unwrap()]
    };
    let result = run(Shape::Storm, 7);
    let totals = result.edges[1].totals;
    let b = flow("service-a", "service-b");
    assert!((b.first - totals.first as f64 / 110.0).abs() < 1e-9);
    assert!((b.again - totals.retries as f64 / 110.0).abs() < 1e-9);
    assert_eq!(flow("api-gateway", "service-a").again, 0.0);
}

#[test]
fn nothing_sent_is_no_graph() {
    assert_eq!(draw_graph(&small().finish(ms(40_000))), None);
}
