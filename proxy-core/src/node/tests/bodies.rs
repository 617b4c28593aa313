//! Bodies that are longer than a route takes.

use super::rig::*;
use crate::node::Input;
use crate::origin::{OriginId, Sourced};
use crate::reply::ReplyReason;

fn rig() -> Rig {
    Rig::simple(1, |_, forward| {
        forward.largest_body = Some(Sourced::new(100, OriginId(7)));
    })
}

fn reason(rig: &Rig, token: u64) -> Option<(ReplyReason, OriginId)> {
    match rig.seen(token) {
        Seen::Local(reply) => Some((reply.reason, reply.origin)),
        Seen::Response(_) | Seen::Broken | Seen::Nothing => None,
    }
}

/// NGINX: `client_max_body_size`.
#[test]
fn a_request_that_tells_of_too_long_a_body_is_refused_before_any_of_it_is_sent_on() {
    for (length, status) in [("100", 200), ("101", 413), ("no number", 200)] {
        let mut rig = rig();
        let token = rig.send(&[("content-length", length)]);
        rig.run_until(at(100));
        assert_eq!(rig.got(token).1, status, "{length}");
        let refused = (ReplyReason::BodyTooLarge, OriginId(7));
        let expected = (status == 413).then_some(refused);
        assert_eq!(reason(&rig, token), expected, "{length}");
        assert_eq!(rig.sent.is_empty(), status == 413, "{length}");
    }
}

#[test]
fn a_body_that_grows_too_long_is_refused_when_it_does() {
    let mut rig = rig();
    rig.play(1, &[Play::Silence]);
    let (token, exchange) = rig.send_head(head("POST"), false);
    rig.input(Input::RequestData {
        exchange,
        bytes: 100,
    });
    rig.run_until(at(10));
    assert!(matches!(rig.seen(token), Seen::Nothing));
    rig.input(Input::RequestData { exchange, bytes: 1 });
    rig.run_until(at(20));
    assert_eq!(rig.got(token).1, 413);
    assert_eq!(
        reason(&rig, token),
        Some((ReplyReason::BodyTooLarge, OriginId(7)))
    );
}
