//! Access logs.

use proxy_core::heads::{HeadId, Heads};
use proxy_core::log::{Layout, LogFilter, LogSink, Piece, Shape};

use super::harness::{indent, refused, with_manager};
use crate::envoy::{Bootstrap, read};

const FILE: &str =
    "'@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";

/// A bootstrap that is read; its logs are not written again.
#[track_caller]
fn accepted(text: &str) -> Bootstrap {
    read("b.yaml", text).unwrap_or_else(|refused| panic!("{refused}\n{text}"))
}

/// One log to `/dev/null` with these fields beside its path.
fn with_log(fields: &str) -> String {
    let fields = indent(fields, 4);
    with_manager(
        &format!(
            "access_log:\n- name: f\n  typed_config:\n    {FILE}\n    path: /dev/null\n    {fields}"
        ),
        "{}",
    )
}

/// One log with this filter.
fn with_filter(filter: &str) -> String {
    with_manager(
        &format!(
            "access_log:\n- name: f\n  filter: {filter}\n  typed_config: {{{FILE}, path: /dev/null}}"
        ),
        "{}",
    )
}

#[test]
fn a_log_without_a_format_has_envoys() {
    let b = accepted(&with_log(""));
    let log = &b.http().logs.all()[0];
    assert_eq!(log.sink, LogSink::File("/dev/null".into()));
    let Layout::Text(template) = &log.format.layout else {
        panic!("{:?}", log.format);
    };
    assert_eq!(template.0[0], Piece::Text("[".into()));
    assert_eq!(template.0.len(), 31);
    assert!(b.notes().is_empty(), "{:?}", b.notes());
    assert!(log.format.wants().response);
}

#[test]
fn logs_go_to_files_and_streams() {
    let stream = |kind: &str| {
        let kind = format!("type.googleapis.com/envoy.extensions.access_loggers.stream.v3.{kind}");
        format!("- {{name: s, typed_config: {{'@type': {kind}}}}}")
    };
    let written = format!(
        "access_log:\n{}\n{}\n- {{name: g, typed_config: {{'@type': type.googleapis.com/x.Grpc}}}}",
        stream("StdoutAccessLog"),
        stream("StderrAccessLog")
    );
    let b = accepted(&with_manager(&written, "{}"));
    let logs = b.http().logs.all();
    let sinks: Vec<&LogSink> = logs.iter().map(|log| &log.sink).collect();
    assert_eq!(sinks, [&LogSink::Stdout, &LogSink::Stderr]);
    assert_eq!(b.notes(), ["the access log `g` is not modelled"]);
}

#[test]
fn fields_of_json_are_sorted_and_keep_their_spelling() {
    let b = accepted(&with_log(
        "log_format:\n  omit_empty_values: true\n  json_format:\n    userAgent: '%REQ(user-agent)%'\n    b: {n: 3, t: true, x: null}\n    a: ['%DURATION%', 1.5]",
    ));
    let format = &b.http().logs.all()[0].format;
    assert!(format.omits_empty);
    let Layout::Json(Shape::Object(fields)) = &format.layout else {
        panic!("{format:?}");
    };
    let names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
    assert_eq!(names, ["a", "b", "userAgent"]);
    let Shape::Object(inner) = &fields[1].value else {
        panic!("{fields:?}");
    };
    assert_eq!(inner[2].value, Shape::Constant("null".into()));
}

#[test]
fn an_operator_that_is_none_is_an_error_at_its_text() {
    let text = "log_format: {text_format_source: {inline_string: '%NOPE%'}}";
    let refused = refused(&with_log(text));
    assert_eq!(
        refused.errors(),
        ["envoy::value: byte 0: there is no operator `NOPE`"]
    );
    assert!(refused.to_string().contains("b.yaml:"), "{refused}");
}

#[test]
fn what_formats_cannot_say_here_is_noted() {
    let b = accepted(&with_log(
        "log_format: {text_format: '%DYNAMIC_METADATA(a)% %START_TIME_LOCAL%'}",
    ));
    assert_eq!(
        b.notes(),
        [
            "`DYNAMIC_METADATA(a)` in an access log is not modelled",
            "`START_TIME_LOCAL` in an access log is not modelled"
        ]
    );
}

struct NoHeads;

impl Heads for NoHeads {
    fn method(&self, _: HeadId) -> &'static str {
        "GET"
    }
    fn authority(&self, _: HeadId) -> &'static str {
        "a.test"
    }
    fn path(&self, _: HeadId) -> &'static str {
        "/"
    }
    fn header(&self, _: HeadId, name: &str) -> Option<&'static str> {
        (name == "x-a").then_some("1")
    }
    fn status(&self, _: HeadId) -> u16 {
        200
    }
    fn response_header(&self, _: HeadId, _: &str) -> Option<&'static str> {
        None
    }
}

/// Whether a record passes: status 503 after 20 ms, UF and URX, to a request with `x-a: 1`.
fn passes(filter: Option<&LogFilter>) -> bool {
    use proxy_core::draw::DrawKey;
    use proxy_core::log::Exchanged;
    use proxy_core::reply::Flags;
    use proxy_core::route::RequestView;
    use proxy_core::time::Duration;
    let seen = Exchanged {
        status: 503,
        flags: Flags::UF.with(Flags::URX),
        took: Duration::from_millis(20),
        grpc: None,
        request: Some(RequestView {
            heads: &NoHeads,
            head: HeadId(0),
            edge: false,
        }),
        key: DrawKey::root(1),
    };
    filter.is_none_or(|filter| filter.passes(&seen))
}

#[test]
fn filters_pass_what_envoys_pass() {
    let compare = |what: &str, op: &str, value: u32| {
        format!(
            "{{{what}: {{comparison: {{op: {op}, value: {{default_value: {value}, runtime_key: k}}}}}}}}"
        )
    };
    let status = |op, value| compare("status_code_filter", op, value);
    let no = status("EQ", 200);
    let yes = "{response_flag_filter: {}}";
    for (filter, want) in [
        (status("GE", 500), true),
        (status("GE", 504), false),
        (status("LE", 503), true),
        (status("EQ", 503), true),
        (status("NE", 503), false),
        (compare("duration_filter", "GE", 20), true),
        (compare("duration_filter", "GE", 21), false),
        ("{not_health_check_filter: {}}".to_owned(), true),
        ("{runtime_filter: {runtime_key: k}}".to_owned(), false),
        (
            "{runtime_filter: {runtime_key: k, percent_sampled: {numerator: 100}}}".to_owned(),
            true,
        ),
        (format!("{{and_filter: {{filters: [{yes}, {yes}]}}}}"), true),
        (format!("{{and_filter: {{filters: [{yes}, {no}]}}}}"), false),
        (format!("{{or_filter: {{filters: [{no}, {yes}]}}}}"), true),
        (format!("{{or_filter: {{filters: [{no}, {no}]}}}}"), false),
        (
            "{header_filter: {header: {name: X-A, string_match: {exact: '1'}}}}".to_owned(),
            true,
        ),
        (
            "{header_filter: {header: {name: x-a, string_match: {exact: '2'}}}}".to_owned(),
            false,
        ),
        ("{response_flag_filter: {flags: [URX]}}".to_owned(), true),
        (
            "{response_flag_filter: {flags: [UT, NR]}}".to_owned(),
            false,
        ),
        // 503 stands for UNAVAILABLE where nothing else is said
        (
            "{grpc_status_filter: {statuses: [UNAVAILABLE]}}".to_owned(),
            true,
        ),
        (
            "{grpc_status_filter: {statuses: [UNAVAILABLE], exclude: true}}".to_owned(),
            false,
        ),
    ] {
        let b = accepted(&with_filter(&filter));
        let log = &b.http().logs.all()[0];
        assert_eq!(passes(log.filter.as_ref()), want, "{filter}");
    }
}

#[test]
fn filters_that_envoy_refuses_are_refused() {
    for (filter, error) in [
        ("{}", "a filter has one condition"),
        (
            "{and_filter: {filters: [{not_health_check_filter: {}}]}}",
            "needs at least two filters",
        ),
        (
            "{response_flag_filter: {flags: [XX]}}",
            "there is no response flag `XX`",
        ),
        (
            "{grpc_status_filter: {statuses: [FINE]}}",
            "there is no gRPC status `FINE`",
        ),
    ] {
        let found = refused(&with_filter(filter)).errors();
        assert_eq!(found, [format!("envoy::value: {error}")], "{filter}");
    }
}
