//! Which requests are traced and what upstreams are told, request by request.

use super::*;
use crate::config::{Decorator, ExportProtocol, TraceExport, TraceShare, TraceShares};
use crate::heads::HeadId;
use crate::origin::OriginId;
use crate::time::Duration;

#[derive(Clone, Debug, Default)]
struct Head(Vec<(String, String)>);

impl Head {
    fn new(lines: &[(&str, &str)]) -> Self {
        let lines = lines.iter();
        Self(lines.map(|(n, v)| ((*n).into(), (*v).into())).collect())
    }

    fn value(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.iter();
        lines.find(|(n, _)| n == name).map(|(_, v)| &**v)
    }
}

impl Heads for Head {
    fn method(&self, _: HeadId) -> &str {
        "GET"
    }
    fn authority(&self, _: HeadId) -> &str {
        "a"
    }
    fn path(&self, _: HeadId) -> &str {
        "/"
    }
    fn header(&self, _: HeadId, name: &str) -> Option<&str> {
        self.value(name)
    }
    fn any_value(&self, _: HeadId, name: &str, mut is: impl FnMut(&str) -> bool) -> Option<bool> {
        let lines = self.0.iter().filter(|(n, _)| n == name);
        lines.fold(None, |any, (_, v)| Some(is(v) || any == Some(true)))
    }
    fn status(&self, _: HeadId) -> u16 {
        200
    }
    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

impl HeadWriter for Head {
    fn set_path(&mut self, _: &str) {}
    fn set_authority(&mut self, _: &str) {}
    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.append(name, value);
    }
    fn append(&mut self, name: &str, value: &str) {
        self.0.push((name.into(), value.into()));
    }
    fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| n != name);
    }
    fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
    fn first(&self, name: &str) -> Option<&str> {
        self.value(name)
    }
}

fn provider(propagation: Propagation) -> TraceProvider {
    TraceProvider {
        propagation,
        sampler: Sampler::Reason,
        export: TraceExport {
            cluster: "c".into(),
            protocol: ExportProtocol::OtlpGrpc,
            authority: "c".into(),
            path: "/".into(),
            headers: Vec::new(),
            timeout: Duration::ZERO,
            service: "s".into(),
            resource: Vec::new(),
            from_environment: false,
            capacity: 1,
            batch: 1,
            interval: Duration::ZERO,
        },
    }
}

fn tracing(propagation: Propagation) -> Tracing {
    Tracing {
        shares: TraceShares::ALL,
        side: TraceSide::Ingress,
        spawns: false,
        verbose: false,
        longest_path: 256,
        tags: Vec::new(),
        node: "".into(),
        zone: "".into(),
        provider: Some(provider(propagation).into()),
        origin: OriginId::NONE,
    }
}

const ZIPKIN: Propagation = Propagation::B3 {
    wide: false,
    shares: true,
    w3c: false,
};

fn begin(tracing: &Tracing, route: Option<&RouteTracing>, head: &Head) -> (Trace, Mark) {
    Trace::begin(tracing, &begun(route, head))
}

fn begun<'a>(route: Option<&'a RouteTracing>, head: &'a Head) -> Begun<'a, Head> {
    Begun {
        head: RequestView {
            heads: head,
            head: HeadId(0),
            edge: false,
        },
        route,
        says_reason: true,
        by_id: true,
        request: DrawKey::root(7),
        own: DrawKey::root(8),
    }
}

/// An id that says nothing, whose number is this.
fn id(number: u64, letter: char) -> String {
    format!("{number:08x}-0000-{letter}000-8000-000000000000")
}

fn share(parts: u32, of: u32) -> TraceShare {
    TraceShare { parts, of }
}

#[test]
fn requests_are_traced_for_the_first_reason_that_holds() {
    use TraceReason::{ClientForced, NotTraceable, Sampling, ServiceForced};
    let client = ("x-client-trace-id", "c");
    let force = ("x-envoy-force-trace", "1");
    let none = share(0, 100);
    let all = TraceShares::ALL;
    let no_random = TraceShares {
        random: none,
        ..all
    };
    let nothing = TraceShares {
        overall: none,
        ..all
    };
    let some = TraceShares {
        random: share(123, 10_000),
        ..all
    };
    let half = TraceShares {
        overall: share(50, 100),
        ..all
    };
    let no_client = TraceShares {
        client: none,
        ..no_random
    };
    type Row<'a> = (
        &'a str,
        TraceShares,
        u64,
        char,
        &'a [(&'a str, &'a str)],
        TraceReason,
        char,
    );
    let rows: [Row<'_>; 14] = [
        ("drawn", all, 1, '4', &[], Sampling, '9'),
        ("not drawn", no_random, 1, '4', &[], NotTraceable, '4'),
        ("within the share", some, 10_122, '4', &[], Sampling, '9'),
        (
            "beyond the share",
            some,
            10_123,
            '4',
            &[],
            NotTraceable,
            '4',
        ),
        (
            "asked by a node",
            no_random,
            1,
            '4',
            &[force],
            ServiceForced,
            'a',
        ),
        (
            "asked by its client",
            no_random,
            1,
            '4',
            &[client],
            ClientForced,
            'b',
        ),
        (
            "the client first",
            all,
            1,
            '4',
            &[client, force],
            ClientForced,
            'b',
        ),
        (
            "no client is heard",
            no_client,
            1,
            '4',
            &[client],
            NotTraceable,
            '4',
        ),
        (
            "before this node: drawn",
            no_random,
            1,
            '9',
            &[],
            Sampling,
            '9',
        ),
        (
            "before this node: asked",
            no_random,
            1,
            'a',
            &[],
            ServiceForced,
            'a',
        ),
        (
            "before this node: client",
            no_random,
            1,
            'b',
            &[client],
            ClientForced,
            'b',
        ),
        ("nothing at all", nothing, 1, '9', &[], NotTraceable, '4'),
        (
            "the half that is",
            half,
            149,
            '4',
            &[force],
            ServiceForced,
            'a',
        ),
        (
            "the half that is not",
            half,
            150,
            '4',
            &[force],
            NotTraceable,
            '4',
        ),
    ];
    for (name, shares, number, letter, lines, want, after) in rows {
        let tracing = Tracing {
            shares,
            ..tracing(Propagation::W3c)
        };
        let mut head = Head::new(lines);
        head.set("x-request-id", &id(number, letter));
        let (trace, mark) = begin(&tracing, None, &head);
        assert_eq!(trace.reason, want, "{name}");
        mark.write(&mut head);
        assert_eq!(
            head.value("x-request-id"),
            Some(&*id(number, after)),
            "{name}"
        );
    }
}

#[test]
fn without_an_id_that_is_a_number_nothing_is_traced() {
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], TraceReason);
    let rows: [Row<'_>; 4] = [
        ("no id", &[], TraceReason::NotTraceable),
        (
            "no number",
            &[("x-request-id", "zzzzzzzz-1")],
            TraceReason::NotTraceable,
        ),
        (
            "too short",
            &[("x-request-id", "0000001")],
            TraceReason::NotTraceable,
        ),
        (
            "no UUID",
            &[("x-request-id", "00000001")],
            TraceReason::Sampling,
        ),
    ];
    for (name, lines, want) in rows {
        let mut head = Head::new(lines);
        let (trace, mark) = begin(&tracing(Propagation::W3c), None, &head);
        assert_eq!(trace.reason, want, "{name}");
        let before = head.0.clone();
        mark.write(&mut head);
        assert_eq!(head.0, before, "{name}");
    }
    let head = Head::default();
    let begun = Begun {
        by_id: false,
        ..begun(None, &head)
    };
    let (trace, _) = Trace::begin(&tracing(Propagation::W3c), &begun);
    assert_eq!(trace.reason, TraceReason::Sampling, "it has no say");
}

#[test]
fn a_route_says_how_many_of_its_requests_are_traced() {
    let route = RouteTracing {
        shares: Some(TraceShares {
            random: share(0, 100),
            ..TraceShares::ALL
        }),
        ..RouteTracing::default()
    };
    let head = Head::new(&[("x-request-id", &id(1, '4'))]);
    let (trace, _) = begin(&tracing(Propagation::W3c), Some(&route), &head);
    assert_eq!(trace.reason, TraceReason::NotTraceable);
    assert!(
        !trace.is_sent(),
        "but it has a span that upstreams are told of"
    );
    assert!(trace.span.is_some());
}

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

#[test]
fn a_parent_of_w3c_is_heard_or_everything_stays_as_it_came() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let rows = [
        ("sampled", good.to_owned(), Some(true)),
        ("not sampled", good.replace("-01", "-00"), Some(false)),
        ("other flags", good.replace("-01", "-02"), Some(false)),
        (
            "a later version",
            good.replace("00-0a", "cc-0a"),
            Some(true),
        ),
        ("too short", good[1..].to_owned(), None),
        ("too long", format!("{good}0"), None),
        ("no digits", good.replace("0af7", "0ag7"), None),
        (
            "no trace",
            format!("00-{:032}-b7ad6b7169203331-01", 0),
            None,
        ),
        (
            "no span",
            format!("00-0af7651916cd43dd8448eb211c80319c-{:016}-01", 0),
            None,
        ),
        ("other parts", good.replace("9c-b", "9-cb"), None),
    ];
    for (name, line, want) in rows {
        let head = Head::new(&[
            ("x-request-id", &id(1, '4')),
            ("traceparent", &line),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ]);
        let (trace, _) = begin(&tracing(Propagation::W3c), None, &head);
        let span = trace.span.as_ref();
        assert_eq!(span.map(|span| span.sampled), want, "{name}");
        let mut left = head.clone();
        trace.write(1, &mut left);
        let Some(span) = span else {
            assert_eq!(left.0, head.0, "{name}");
            continue;
        };
        assert_eq!(
            (span.trace, span.parent),
            (TRACE, Some(0xb7ad_6b71_6920_3331))
        );
        assert!(span.remote && span.id != 0xb7ad_6b71_6920_3331);
        let flag = u8::from(span.sampled);
        let told = format!("00-{TRACE:032x}-{:016x}-0{flag}", span.id);
        assert_eq!(left.value("traceparent"), Some(&*told), "{name}");
        assert_eq!(left.value("tracestate"), Some("a=1,b=2"), "{name}");
    }
}

#[test]
fn headers_of_b3_are_heard_and_told_in_the_form_in_which_they_came() {
    let (trace, span, parent) = ("64fe8b2a57d3eff7", "e457b5a2e4d86bd1", "05e3ac9a4f6e3b90");
    let wide = "80f198ee56343ba864fe8b2a57d3eff7";
    let single = |text: &str| vec![("b3".to_owned(), text.to_owned())];
    let several = |lines: &[(&str, &str)]| {
        let line = |(name, value): &(&str, &str)| (format!("x-b3-{name}"), (*value).to_owned());
        lines.iter().map(line).collect::<Vec<_>>()
    };
    let rows = [
        (
            single(&format!("{wide}-{span}-1-{parent}")),
            single(&format!("{wide}-{span}-1-{parent}")),
        ),
        (
            single(&format!("{wide}-{span}")),
            single(&format!("{wide}-{span}-1")),
        ),
        (
            single(&format!("{trace}-{span}-d")),
            single(&format!("{trace}-{span}-1")),
        ),
        (single("junk-junk"), single("junk-junk")),
        (
            single(&format!("{trace}-{span}-7")),
            single(&format!("{trace}-{span}-7")),
        ),
        (
            several(&[
                ("traceid", trace),
                ("spanid", span),
                ("parentspanid", parent),
                ("sampled", "0"),
            ]),
            several(&[
                ("traceid", trace),
                ("spanid", span),
                ("parentspanid", parent),
                ("sampled", "0"),
            ]),
        ),
        (
            several(&[("traceid", trace), ("spanid", span), ("sampled", "true")]),
            several(&[("traceid", trace), ("spanid", span), ("sampled", "1")]),
        ),
        (
            several(&[("traceid", "zz"), ("spanid", span)]),
            several(&[("traceid", "zz"), ("spanid", span)]),
        ),
    ];
    for (came, want) in rows {
        let mut head = Head(came.clone());
        head.set("x-request-id", &id(1, '4'));
        let (trace, _) = begin(&tracing(ZIPKIN), None, &head);
        trace.write(1, &mut head);
        head.remove("x-request-id");
        let mut left = head.0;
        left.sort();
        let mut want = want;
        want.sort();
        assert_eq!(left, want, "{came:?}");
    }
}

#[test]
fn a_trace_of_zipkins_that_begins_here_has_one_id_and_keeps_a_decision_that_came() {
    for (line, flag) in [
        (("b3", "0"), '0'),
        (("x-b3-sampled", "0"), '0'),
        (("x", ""), '1'),
    ] {
        let mut head = Head::new(&[line, ("x-request-id", &id(1, '4'))]);
        let (trace, _) = begin(&tracing(ZIPKIN), None, &head);
        let span = trace.span.clone().expect("it begins");
        assert_eq!((span.trace, span.parent), (u128::from(span.id), None));
        trace.write(1, &mut head);
        let told = match head.value("b3") {
            Some(told) => told.to_owned(),
            None => {
                let of = |name| head.value(name).expect("it is told");
                assert!(head.value("x-b3-parentspanid").is_none());
                let ids = [of("x-b3-traceid"), of("x-b3-spanid"), of("x-b3-sampled")];
                ids.join("-")
            }
        };
        assert_eq!(
            told,
            format!("{0:016x}-{0:016x}-{flag}", span.id),
            "{line:?}"
        );
    }
}

#[test]
fn who_sends_on_has_a_span_of_its_own_and_zipkins_hears_w3c_where_it_may() {
    let also = Propagation::B3 {
        wide: true,
        shares: true,
        w3c: true,
    };
    let tracing = Tracing {
        side: TraceSide::Egress,
        ..tracing(also)
    };
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut head = Head::new(&[
        ("x-request-id", &id(1, '4')),
        ("traceparent", parent),
        ("tracestate", "a=1"),
    ]);
    let (trace, _) = begin(&tracing, None, &head);
    trace.write(1, &mut head);
    let own = trace.span.expect("it has one").id;
    let told = format!("00-{TRACE:032x}-{own:016x}-01");
    for (name, want) in [
        ("x-b3-traceid", "0af7651916cd43dd8448eb211c80319c"),
        ("x-b3-spanid", &format!("{own:016x}")),
        ("x-b3-parentspanid", "b7ad6b7169203331"),
        ("x-b3-sampled", "1"),
        ("traceparent", &told),
        ("tracestate", "a=1"),
    ] {
        assert_eq!(head.value(name), Some(want), "{name}");
    }
}

#[test]
fn tries_are_told_apart_where_they_have_spans_of_their_own() {
    let tracing = Tracing {
        spawns: true,
        ..tracing(ZIPKIN)
    };
    let head = Head::new(&[("x-request-id", &id(1, '4'))]);
    let (mut trace, _) = begin(&tracing, None, &head);
    let own = trace.span.as_ref().expect("it has one").id;
    let mut told = Vec::new();
    for number in [1, 2] {
        trace.try_begun(number, None, Time::ZERO);
        let mut left = head.clone();
        trace.write(number, &mut left);
        let parent = left.value("x-b3-parentspanid").map(str::to_owned);
        assert_eq!(parent, Some(format!("{own:016x}")), "try {number}");
        told.push(left.value("x-b3-spanid").map(str::to_owned));
    }
    assert_ne!(told[0], told[1]);
    let failed = AttemptResult::Failed(AttemptFailure::PerTryTimeout);
    trace.try_ended(
        1,
        failed,
        (Flags::UT, false),
        Time::ZERO + Duration::from_millis(3),
    );
    let first = trace.tries[0];
    assert!(first.cancelled, "the node gave it up");
    assert_eq!((first.flags, first.status), (Flags::UT, 0));
}

#[test]
fn names_are_told_to_the_other_end_and_heard_from_it() {
    let route = |propagates| RouteTracing {
        decorator: Some(Decorator {
            operation: "route".into(),
            propagates,
        }),
        ..RouteTracing::default()
    };
    let header = "x-envoy-decorator-operation";
    use TraceSide::{Egress, Ingress};
    // side, what came, whether the route tells: name, what goes on, whether the client is told
    for (side, came, propagates, name, left, tells) in [
        (Ingress, None, true, "route", None, true),
        (Ingress, None, false, "route", None, false),
        (Ingress, Some("client"), true, "client", None, false),
        (Ingress, Some(""), true, "route", None, true),
        (Egress, None, true, "route", Some("route"), false),
        (Egress, None, false, "route", None, false),
        (Egress, Some("client"), true, "route", Some("route"), false),
        (
            Egress,
            Some("client"),
            false,
            "route",
            Some("client"),
            false,
        ),
    ] {
        let tracing = Tracing {
            side,
            ..tracing(Propagation::W3c)
        };
        let mut head = Head::new(&[("x-request-id", &id(1, '4'))]);
        if let Some(came) = came {
            head.set(header, came);
        }
        let (trace, mark) = begin(&tracing, Some(&route(propagates)), &head);
        mark.write(&mut head);
        let row = format!("{side:?} {came:?} {propagates}");
        assert_eq!(trace.operation.as_deref(), Some(name), "{row}");
        assert_eq!(head.value(header), left, "{row}");
        assert_eq!(trace.tells(), tells, "{row}");
    }
}

#[test]
fn a_sampler_decides_in_the_place_of_the_reason() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    for (sampler, alone, with_parent) in [
        (Sampler::Reason, true, false),
        (Sampler::Always, true, true),
        (Sampler::ParentElseAlways, true, false),
    ] {
        let provider = TraceProvider {
            sampler,
            ..provider(Propagation::W3c)
        };
        let tracing = Tracing {
            provider: Some(provider.into()),
            ..tracing(Propagation::W3c)
        };
        let mut head = Head::new(&[("x-request-id", &id(1, '4'))]);
        assert_eq!(
            begin(&tracing, None, &head).0.is_sent(),
            alone,
            "{sampler:?}"
        );
        head.set("traceparent", parent);
        let sent = begin(&tracing, None, &head).0.is_sent();
        assert_eq!(sent, with_parent, "{sampler:?}");
        let never = Tracing {
            shares: TraceShares {
                random: share(0, 100),
                ..TraceShares::ALL
            },
            ..tracing
        };
        assert!(!begin(&never, None, &head).0.is_sent(), "{sampler:?}");
    }
}

#[test]
fn only_zipkins_parent_has_a_say_where_this_node_would_not_trace() {
    let shares = TraceShares {
        random: share(0, 100),
        ..TraceShares::ALL
    };
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let lines = [("traceparent", parent), ("x-b3-sampled", "1")];
    let mut head = Head::new(&lines);
    head.set("x-request-id", &id(1, '4'));
    for (propagation, want) in [(Propagation::W3c, false), (ZIPKIN, true)] {
        let tracing = Tracing {
            shares,
            ..tracing(propagation)
        };
        assert_eq!(begin(&tracing, None, &head).0.is_sent(), want);
    }
}

#[test]
fn without_a_provider_the_id_says_it_and_nothing_else_does() {
    let tracing = Tracing {
        provider: None,
        ..tracing(Propagation::W3c)
    };
    let mut head = Head::new(&[("x-request-id", &id(1, '4'))]);
    let (trace, mark) = begin(&tracing, None, &head);
    mark.write(&mut head);
    trace.write(1, &mut head);
    assert_eq!(head.0, [("x-request-id".to_owned(), id(1, '9'))]);
    assert!(!trace.is_sent());
}
