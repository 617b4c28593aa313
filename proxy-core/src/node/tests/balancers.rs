//! Balancers that go by what requests have shown.

use super::rig::*;
use crate::config::*;
use crate::origin::Sourced;

/// Two endpoints, of which the first answers in 100 ms and the second in 2 ms; how many of sixty requests, one after the other, each got.
fn shares(balancer: Balancer) -> [usize; 2] {
    let mut rig = Rig::simple(2, |c, _| c.balancer = Sourced::unsourced(balancer));
    rig.play(1, &[Play::Answer(200, ms(100)); 60]);
    rig.play(2, &[Play::Answer(200, ms(2)); 60]);
    for _ in 0..60 {
        rig.get();
        rig.run_until(rig.now + ms(150));
    }
    [1, 2].map(|n| rig.sent.iter().filter(|(_, to)| *to == address(n)).count())
}

#[test]
fn the_endpoint_that_answers_sooner_gets_nearly_all() {
    for balancer in [Balancer::NginxEwma, Balancer::TraefikLeastTime] {
        let [slow, fast] = shares(balancer.clone());
        assert!(slow >= 1 && fast >= 50, "{balancer:?}: {slow} and {fast}");
    }
}

/// Traefik: an endpoint without an answer so far has a response time of 0.
#[test]
fn an_endpoint_that_was_never_measured_takes_everything_by_least_time() {
    let mut rig = Rig::simple(2, |c, _| {
        c.balancer = Sourced::unsourced(Balancer::TraefikLeastTime);
    });
    rig.play(1, &[Play::Silence; 20]);
    rig.play(2, &[Play::Answer(200, ms(2)); 20]);
    for _ in 0..20 {
        rig.get();
        rig.run_until(rig.now + ms(10));
    }
    let silent = rig.sent.iter().filter(|(_, to)| *to == address(1)).count();
    assert!(silent >= 19, "{silent}");
}

/// ingress-nginx: only the last try of a request is measured, with the whole of its response.
#[test]
fn a_try_that_another_follows_is_not_measured_by_nginx() {
    let mut rig = Rig::simple(2, |c, f| {
        c.balancer = Sourced::unsourced(Balancer::NginxEwma);
        f.retry = Some(super::retries::retry("5xx", 1));
    });
    let slow = Play::Answer(503, ms(500));
    for n in [1, 2] {
        rig.play(n, &[slow]);
    }
    rig.get();
    rig.run_until(at(2_000));
    let tried: Vec<_> = rig.sent.iter().map(|(_, to)| *to).collect();
    assert_ne!(tried[0], tried[1], "another one than that of the first try");
    // the last try took 500 ms; the endpoint of the first counts as fast
    for _ in 0..20 {
        rig.get();
        rig.run_until(rig.now + ms(1));
    }
    assert!(rig.sent[2..].iter().all(|(_, to)| *to == tried[0]));
}
