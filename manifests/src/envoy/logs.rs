//! Access logs: where they are written, which records they have, and how their lines look.

use proxy_core::config::Share;
use proxy_core::log::{
    AccessLog, Comparison, Field, Format, Layout, LogFilter, LogSink, Logs, Relation, Shape,
    Template, parse,
};
use proxy_core::reply::Flags;

use super::compile::Cx;
use super::matching;
use super::types::{self, Op};
use super::values::Fraction;
use crate::text::{Node, Span, Spanned, Value};

const FILE: &str = "envoy.extensions.access_loggers.file.v3.FileAccessLog";
const STDOUT: &str = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";
const STDERR: &str = "envoy.extensions.access_loggers.stream.v3.StderrAccessLog";

/// What lines look like where nothing else is asked for.
///
/// Source: envoy `SubstitutionFormatUtils::defaultSubstitutionFormatter`.
const STANDARD: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

/// Compiles a list of access logs; what is not modelled of it is reported.
pub(super) fn logs(written: &[Node], cx: &mut Cx<'_>) -> Logs {
    let mut draws = 0;
    let all = written.iter();
    Logs::new(all.filter_map(|node| log(node, &mut draws, cx)).collect())
}

fn log(node: &Node, draws: &mut u32, cx: &mut Cx<'_>) -> Option<AccessLog> {
    let written: types::AccessLog = crate::text::read(node, cx.out)?;
    let filter = match &written.filter {
        Some(filter) => self::filter(filter, draws, cx)?,
        None => Condition::Always,
    };
    let typed = written
        .typed_config
        .as_ref()
        .and_then(|config| cx.typed(config));
    let kind = typed.as_ref().map(|typed| typed.kind.as_str());
    let (sink, format) = match (kind, &typed) {
        (Some(FILE), Some(typed)) => {
            let file: types::FileAccessLog = crate::text::read(&typed.config, cx.out)?;
            if file.path.is_empty() {
                cx.refuse(file.path.span, "a file has a name");
            }
            let sink = LogSink::File(file.path.as_str().into());
            (sink, of_file(&file, typed.span, cx)?)
        }
        (Some(kind @ (STDOUT | STDERR)), Some(typed)) => {
            let stream: types::StreamAccessLog = crate::text::read(&typed.config, cx.out)?;
            let sink = match kind {
                STDOUT => LogSink::Stdout,
                _ => LogSink::Stderr,
            };
            (
                sink,
                log_format(stream.log_format.as_ref(), typed.span, cx)?,
            )
        }
        _ => {
            let name = written.name.as_ref().map_or("", |name| name.value.as_str());
            let what = format!("the access log `{name}`");
            cx.left_out(node.span, &what, "nothing is written to it");
            return None;
        }
    };
    Some(AccessLog {
        sink,
        filter: match filter {
            Condition::Always => None,
            Condition::When(filter) => Some(filter),
        },
        format,
        origin: cx.written(node.span),
    })
}

fn of_file(file: &types::FileAccessLog, span: Span, cx: &mut Cx<'_>) -> Option<Format> {
    let json = file
        .json_format
        .as_ref()
        .or(file.typed_json_format.as_ref());
    match (&file.format, json) {
        (Some(text), _) if !text.is_empty() => Some(Format {
            layout: Layout::Text(template(text, cx)?),
            omits_empty: false,
        }),
        (_, Some(json)) => Some(Format {
            layout: Layout::Json(shape(json, cx)?),
            omits_empty: false,
        }),
        (_, None) => log_format(file.log_format.as_ref(), span, cx),
    }
}

fn log_format(node: Option<&Node>, span: Span, cx: &mut Cx<'_>) -> Option<Format> {
    let Some(node) = node else {
        let standard = Spanned {
            value: STANDARD.to_owned(),
            span,
        };
        return Some(Format {
            layout: Layout::Text(template(&standard, cx)?),
            omits_empty: false,
        });
    };
    let written: types::LogFormat = cx.read(node)?;
    let layout = if let Some(json) = &written.json_format {
        Layout::Json(shape(json, cx)?)
    } else if let Some(text) = &written.text_format {
        Layout::Text(template(text, cx)?)
    } else if let Some(source) = &written.text_format_source {
        let Some(text) = &source.inline_string else {
            let meaning = "nothing is written to the log: write the format as `inline_string`";
            cx.left_out(source.span, "a format elsewhere", meaning);
            return None;
        };
        Layout::Text(template(text, cx)?)
    } else {
        let message = "a format has one of `text_format_source` and `json_format`";
        cx.refuse(node.span, message);
        return None;
    };
    Some(Format {
        layout,
        omits_empty: written.omit_empty_values,
    })
}

/// Reads the operators of a text; what Envoy would refuse is an error at the text.
pub(super) fn template(text: &Spanned<String>, cx: &mut Cx<'_>) -> Option<Template> {
    match parse(text) {
        Ok(parsed) => {
            for each in parsed.unmodelled {
                let what = format!("`{}` in an access log", each.what);
                cx.left_out(text.span, &what, each.meaning);
            }
            Some(parsed.template)
        }
        Err(error) => {
            cx.refuse(text.span, error.to_string());
            None
        }
    }
}

fn shape(node: &Node, cx: &mut Cx<'_>) -> Option<Shape> {
    Some(match &node.value {
        Value::Map(map) => {
            let entries = map.entries().iter();
            let fields = entries.map(|entry| {
                Some(Field {
                    name: entry.key.text.as_str().into(),
                    value: shape(&entry.value, cx)?,
                })
            });
            let mut fields: Vec<Field> = fields.collect::<Option<_>>()?;
            // as Envoy writes them, whatever their order in the file
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            Shape::Object(fields)
        }
        Value::Seq(items) => Shape::List(
            items
                .iter()
                .map(|item| shape(item, cx))
                .collect::<Option<_>>()?,
        ),
        Value::String(text) => Shape::Template(template(
            &Spanned {
                value: text.clone(),
                span: node.span,
            },
            cx,
        )?),
        Value::Null => Shape::Constant("null".into()),
        Value::Bool(is) => Shape::Constant(is.to_string().into()),
        Value::Int(number) => Shape::Constant(number.to_string().into()),
        // Envoy's JSON has fractions as text
        Value::Float(number) => Shape::Constant(format!("\"{number}\"").into()),
    })
}

/// When a log has a record.
enum Condition {
    Always,
    When(LogFilter),
}

/// Compiles a filter; none: it is refused.
fn filter(node: &Node, draws: &mut u32, cx: &mut Cx<'_>) -> Option<Condition> {
    let written: types::AccessLogFilter = crate::text::read(node, cx.out)?;
    let unmodelled = [
        (written.traceable_filter, "traceable_filter"),
        (written.extension_filter, "extension_filter"),
        (written.metadata_filter, "metadata_filter"),
        (written.log_type_filter, "log_type_filter"),
    ];
    for (field, name) in unmodelled {
        cx.note(field, name, "the log has records whatever it would say");
    }
    if let Some(by) = &written.status_code_filter {
        return Some(Condition::When(LogFilter::Status(comparison(
            &by.comparison,
        ))));
    }
    if let Some(by) = &written.duration_filter {
        return Some(Condition::When(LogFilter::Duration(comparison(
            &by.comparison,
        ))));
    }
    if let Some(by) = &written.runtime_filter {
        *draws += 1;
        let share = by.percent_sampled.map_or(Share::ZERO, Fraction::share);
        return Some(Condition::When(LogFilter::Share(share, *draws)));
    }
    if let Some(all) = &written.and_filter {
        let all = several(all, node.span, draws, cx)?;
        let held = all.into_iter().filter_map(|each| match each {
            Condition::Always => None,
            Condition::When(filter) => Some(filter),
        });
        return Some(Condition::When(LogFilter::All(held.collect())));
    }
    if let Some(any) = &written.or_filter {
        let mut filters = Vec::new();
        for each in several(any, node.span, draws, cx)? {
            match each {
                Condition::Always => return Some(Condition::Always),
                Condition::When(filter) => filters.push(filter),
            }
        }
        return Some(Condition::When(LogFilter::Any(filters)));
    }
    if let Some(by) = &written.header_filter {
        let conditions = matching::headers(std::slice::from_ref(&by.header), cx)?;
        let condition = conditions.into_iter().next()?;
        return Some(Condition::When(LogFilter::Header(condition)));
    }
    if let Some(by) = &written.response_flag_filter {
        return flags(&by.flags, cx).map(|flags| Condition::When(LogFilter::Flags(flags)));
    }
    if let Some(by) = &written.grpc_status_filter {
        let statuses = by.statuses.iter().map(|name| grpc_status(name, cx));
        return Some(Condition::When(LogFilter::Grpc {
            statuses: statuses.collect::<Option<_>>()?,
            others: by.exclude,
        }));
    }
    let is_known = written.not_health_check_filter.is_some()
        || unmodelled.iter().any(|(field, _)| field.is_some());
    if !is_known {
        cx.refuse(node.span, "a filter has one condition");
        return None;
    }
    // no request is a health check here: there is no such filter
    Some(Condition::Always)
}

fn several(
    written: &types::Filters,
    span: Span,
    draws: &mut u32,
    cx: &mut Cx<'_>,
) -> Option<Vec<Condition>> {
    if written.filters.len() < 2 {
        cx.refuse(span, "needs at least two filters");
    }
    let all = written.filters.iter();
    all.map(|node| filter(node, draws, cx)).collect()
}

fn comparison(written: &types::Comparison) -> Comparison {
    let value = written.value.as_ref().and_then(|value| value.default_value);
    Comparison {
        relation: match written.op {
            Op::Eq => Relation::Equal,
            Op::Ge => Relation::AtLeast,
            Op::Le => Relation::AtMost,
            Op::Ne => Relation::Unequal,
        },
        with: value.map_or(0, |value| u64::from(value.0)),
    }
}

fn flags(written: &[Spanned<String>], cx: &mut Cx<'_>) -> Option<Flags> {
    let mut flags = Flags::NONE;
    for name in written {
        let Some(flag) = Flags::parse(name) else {
            cx.refuse(name.span, format!("there is no response flag `{name}`"));
            return None;
        };
        flags.insert(flag);
    }
    Some(flags)
}

/// Source: `GrpcStatusFilter.Status`.
fn grpc_status(name: &Spanned<String>, cx: &mut Cx<'_>) -> Option<u32> {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let found = NAMES.iter().position(|known| **known == **name);
    if found.is_none() {
        cx.refuse(name.span, format!("there is no gRPC status `{name}`"));
    }
    found.map(|status| status as u32)
}
