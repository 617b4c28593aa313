use proptest::prelude::*;

use super::*;

fn one(text: &str) -> Operator {
    let parsed = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    match &parsed.template.0[..] {
        [Piece::Operator(operator, _)] => operator.clone(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn text_and_operators_stand_in_a_row() {
    let parsed = parse("a %PROTOCOL%%RESPONSE_CODE% 100%% %REQ(X-A):3%\n").unwrap();
    let wanted = Wanted {
        name: "x-a".into(),
        otherwise: None,
    };
    assert_eq!(
        parsed.template.0,
        [
            Piece::Text("a ".into()),
            Piece::Operator(Operator::Protocol, None),
            Piece::Operator(Operator::ResponseCode, None),
            Piece::Text(" 100% ".into()),
            Piece::Operator(Operator::RequestHeader(wanted), Some(3)),
            Piece::Text("\n".into()),
        ]
    );
}

#[test]
fn headers_may_have_another_to_stand_in() {
    let wanted = |name: &str, otherwise: Option<&str>| Wanted {
        name: name.into(),
        otherwise: otherwise.map(Into::into),
    };
    for (text, want) in [
        ("%REQ(:METHOD)%", wanted(":method", None)),
        ("%REQ(X-A?:PATH)%", wanted("x-a", Some(":path"))),
        ("%REQ(X-A?)%", wanted("x-a", None)),
        ("%REQUEST_HEADER(Host)%", wanted(":authority", None)),
    ] {
        assert_eq!(one(text), Operator::RequestHeader(want), "{text}");
    }
}

#[test]
fn operators_have_their_parameters() {
    let lasted = |from, to, unit| Operator::Lasted { from, to, unit };
    for (text, want) in [
        (
            "%DURATION%",
            lasted(Moment::Start, Moment::End, TimeUnit::Millis),
        ),
        (
            "%COMMON_DURATION(DS_RX_END:US_RX_BEG:us)%",
            lasted(
                Moment::RequestEnd,
                Moment::UpstreamResponseStart,
                TimeUnit::Micros,
            ),
        ),
        (
            "%GRPC_STATUS(SNAKE_STRING)%",
            Operator::GrpcStatus(GrpcForm::Snake),
        ),
        ("%GRPC_STATUS%", Operator::GrpcStatus(GrpcForm::Camel)),
        (
            "%PATH(NQ:PATH)%",
            Operator::Path {
                kind: PathKind::Rewritten,
                query: false,
            },
        ),
        (
            "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
            Operator::Address(Whose::Client, AddressPart::WithoutPort),
        ),
        (
            "%DOWNSTREAM_DIRECT_LOCAL_PORT%",
            Operator::Address(Whose::DirectLocal, AddressPart::Port),
        ),
        (
            "%UPSTREAM_HOST%",
            Operator::Address(Whose::Upstream, AddressPart::Whole),
        ),
        (
            "%UPSTREAM_PEER_SUBJECT%",
            Operator::Tls(
                End::Upstream,
                TlsFact::Of(Certificate::Peer, Subject::Subject),
            ),
        ),
        ("%BYTES_SENT()%", Operator::BytesSent),
        (
            "%START_TIME(%Y(%m))%",
            Operator::StartTime(TimeFormat::parse("%Y(%m)").0),
        ),
    ] {
        assert_eq!(one(text), want, "{text}");
    }
}

/// Envoy 1.40 refuses each of these, and says nearly the same.
#[test]
fn what_envoy_refuses_is_refused_with_its_place() {
    for (text, want) in [
        ("a %NOPE%", "byte 2: there is no operator `NOPE`"),
        (
            "%START_TIME",
            "byte 0: `%` begins no operator; a percent sign is written `%%`",
        ),
        (
            "100%",
            "byte 3: `%` begins no operator; a percent sign is written `%%`",
        ),
        (
            "%REQ(a%",
            "byte 0: `%` begins no operator; a percent sign is written `%%`",
        ),
        (
            "%REQ(a):x%",
            "byte 0: `%` begins no operator; a percent sign is written `%%`",
        ),
        ("%REQ()%", "byte 0: `REQ` needs parameters"),
        ("%DURATION(a)%", "byte 0: `DURATION` takes no parameters"),
        ("%DURATION:3%", "byte 0: `DURATION` takes no length"),
        ("%START_TIME:3%", "byte 0: `START_TIME` takes no length"),
        (
            "%REQ(a?b?c)%",
            "byte 0: `REQ` does not take `a?b?c`: a header, and perhaps another behind a question mark",
        ),
        (
            "%REQ(a b)%",
            "byte 0: `REQ` does not take `a b`: the names of headers",
        ),
        (
            "%START_TIME(%Y%n)%",
            "byte 0: `START_TIME` does not take `%Y%n`: a time without line ends",
        ),
        (
            "%GRPC_STATUS(x)%",
            "byte 0: `GRPC_STATUS` does not take `x`: `CAMEL_STRING`, `SNAKE_STRING` or `NUMBER`",
        ),
        (
            "%COMMON_DURATION(a:b:c)%",
            "byte 0: `COMMON_DURATION` does not take `a:b:c`: two moments and `ms`, `us` or `ns`, with colons between",
        ),
        (
            "%PATH(X)%",
            "byte 0: `PATH` does not take `X`: `WQ` or `NQ`",
        ),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.to_string(), want, "{text}");
    }
}

#[test]
fn what_is_known_and_not_there_is_told() {
    let parsed = parse("%DYNAMIC_METADATA(a:b)% %START_TIME(%Q)%").unwrap();
    let what: Vec<&str> = parsed.unmodelled.iter().map(|it| &*it.what).collect();
    assert_eq!(what, ["DYNAMIC_METADATA(a:b)", "%Q"]);
    assert_eq!(
        parsed.template.0[0],
        Piece::Operator(Operator::Absent, None)
    );
}

fn alphabet() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("%".to_owned()),
        Just("(".to_owned()),
        Just(")".to_owned()),
        Just(":".to_owned()),
        Just("?".to_owned()),
        Just("REQ".to_owned()),
        Just("START_TIME".to_owned()),
        Just("COMMON_DURATION".to_owned()),
        Just("PATH".to_owned()),
        Just("%E*".to_owned()),
        "[a-zé\n0-9]{0,3}",
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in prop_oneof![any::<String>(), alphabet()]) {
        if let Ok(parsed) = parse(&text) {
            // what it is made of is never longer than what was written
            let texts = parsed.template.0.iter().map(|piece| match piece {
                Piece::Text(text) => text.len(),
                Piece::Operator(..) => 0,
            });
            prop_assert!(texts.sum::<usize>() <= text.len());
        }
    }
}
