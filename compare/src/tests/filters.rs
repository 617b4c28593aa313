//! What requests have to pass, whatever their route then does.

use proxy_core::config::{
    Cors, CorsList, CorsManner, Fault, FaultAbort, FaultDelay, Gate, GateKey, GateKind, HttpFilter,
    KongCors, LocalRateLimit, RateLimit, Share, TextMatch,
};
use proxy_core::limit::leaky_bucket::LeakyBucket;
use proxy_core::limit::token_bucket::{Refill, Settings};
use proxy_core::origin::OriginId;
use proxy_core::time::Duration;

use super::rig::*;

#[test]
fn what_requests_have_to_pass_is_told_where_the_listener_has_the_filter_for_it() {
    let fault = || Fault {
        delay: Some(FaultDelay {
            fixed: Some(Duration::from_secs(2)),
            share: Share::from_percent(10.0),
        }),
        abort: Some(FaultAbort {
            status: Some(503),
            grpc: None,
            share: Share::from_percent(5.0),
        }),
        headers: Vec::new(),
        max_active: None,
        origin: OriginId::NONE,
    };
    let expected = "fault: none | delay 2s for 10 %, abort 503 for 5 %";
    assert_eq!(
        changed(|draft| cart(draft).fault = Some(Box::new(fault()))),
        [expected]
    );
    let of_listener =
        changed(|draft| requests(draft).filters[0] = HttpFilter::Fault(Some(fault())));
    assert_eq!(of_listener, [expected]);
    let limit = || LocalRateLimit {
        bucket: Settings {
            max_tokens: 10,
            tokens_per_fill: 5,
            fill_interval: Duration::from_secs(1),
            refill: Refill::Continuous,
        },
        status: 429,
        name: "l".into(),
        origin: OriginId::NONE,
    };
    assert_eq!(
        changed(|draft| cart(draft).rate_limit = Some(Box::new(limit()))),
        ["rate limit: none | 10 at once, 5 more every 1s, refused with 429"]
    );
    let mut without = shop();
    requests(&mut without).filters.clear();
    let mut with = without.clone();
    cart(&mut with).rate_limit = Some(Box::new(limit()));
    cart(&mut with).fault = Some(Box::new(fault()));
    assert!(told(without, with).differences.is_empty());
    let gate = Gate {
        name: "g".into(),
        kind: GateKind::Rate {
            limit: RateLimit::Leaky(vec![LeakyBucket::per_second(5, 10)]),
            key: GateKey::Host,
        },
        status: 503,
        exempt: Vec::new(),
        origin: OriginId::NONE,
    };
    assert_eq!(
        changed(|draft| cart(draft).gates = vec![gate]),
        ["gates: none | 5 a second and 10 more by host, refused with 503"]
    );
}

#[test]
fn cors_is_compared_field_by_field() {
    let cors = || Cors {
        origins: vec![TextMatch::Exact("https://shop.example".into())],
        methods: Some(CorsList::Text("GET".into())),
        headers: None,
        expose: None,
        max_age: None,
        credentials: false,
        exposes_early: false,
        forwards_others: false,
        manner: CorsManner::Envoy,
        origin: OriginId::NONE,
    };
    let with = |change: fn(&mut Cors)| {
        let mut draft = shop();
        let mut policy = cors();
        change(&mut policy);
        cart(&mut draft).cors = Some(Box::new(policy));
        draft
    };
    let rows: [(&str, Edit<Cors>); 5] = [
        (
            "cors.manner: Envoy's | Kong's, says `*` to everybody, sends every preflight on",
            |it| {
                it.manner = CorsManner::Kong(KongCors {
                    hosts: Vec::new(),
                    says: Some("*".into()),
                    marks_others: true,
                    continues: true,
                    private_network: false,
                });
            },
        ),
        (
            "cors.origins: = https://shop.example | begins with https://",
            |it| {
                it.origins = vec![TextMatch::Prefix("https://".into())];
            },
        ),
        ("cors.methods: GET | whatever is asked for", |it| {
            it.methods = Some(CorsList::Asked)
        }),
        ("cors.max age: none | 60", |it| {
            it.max_age = Some("60".into())
        }),
        ("cors.credentials: no | yes", |it| it.credentials = true),
    ];
    for (expected, change) in rows {
        assert_eq!(said(&told(with(|_| {}), with(change))), [expected]);
    }
    let found = said(&told(shop(), with(|_| {})));
    assert!(
        found[0].starts_with("cors: none | origins = https://shop.example"),
        "{found:?}"
    );
}
