//! A record as a line of a log.

use std::io::Write as _;

use proxy_core::log::{Format, Layout, Operator, Piece, Shape, Template};

use super::json::quoted;

/// What an operator has said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// It is not there.
    Nothing,
    /// What was written is a text.
    Text,
    /// What was written is a number.
    Number,
}

/// Whoever knows what operators say.
pub(crate) trait Speaker {
    /// Writes it to the end of `out`.
    fn say(&mut self, operator: &Operator, out: &mut Vec<u8>) -> Said;
}

/// Writes a line.
///
/// Source: envoy `source/common/formatter/substitution_formatter.cc`: text as it is written, with a dash for what is not there; JSON
/// with a line end, `null` for what is not there, the types that operators have where one stands alone.
pub(super) fn write(
    format: &Format,
    speaker: &mut impl Speaker,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) {
    let mut line = Line {
        speaker,
        omits_empty: format.omits_empty,
        scratch,
    };
    match &format.layout {
        Layout::Text(template) => line.text(template, out),
        Layout::Json(shape) => {
            line.json(shape, out);
            out.push(b'\n');
        }
    }
}

/// Writes a text with what operators say in it, a dash for what is not there.
pub(crate) fn template(template: &Template, speaker: &mut impl Speaker, out: &mut Vec<u8>) {
    let mut line = Line {
        speaker,
        omits_empty: false,
        scratch: &mut Vec::new(),
    };
    line.text(template, out);
}

struct Line<'l, S> {
    speaker: &'l mut S,
    omits_empty: bool,
    scratch: &'l mut Vec<u8>,
}

impl<S: Speaker> Line<'_, S> {
    fn text(&mut self, template: &Template, out: &mut Vec<u8>) {
        for piece in &template.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Operator(operator, length) => {
                    let before = out.len();
                    let said = self.speaker.say(operator, out);
                    if said == Said::Nothing {
                        out.truncate(before);
                        if !self.omits_empty {
                            out.push(b'-');
                        }
                    } else if let Some(length) = length {
                        out.truncate(before.saturating_add(*length));
                    }
                }
            }
        }
    }

    /// Whether there was anything to write.
    fn json(&mut self, shape: &Shape, out: &mut Vec<u8>) -> bool {
        match shape {
            Shape::Object(fields) => {
                let before = out.len();
                out.push(b'{');
                let mut empty = true;
                for field in fields {
                    let here = out.len();
                    if !empty {
                        out.push(b',');
                    }
                    quoted(field.name.as_bytes(), out);
                    out.push(b':');
                    if self.json(&field.value, out) || !self.omits_empty {
                        empty = false;
                    } else {
                        out.truncate(here);
                    }
                }
                out.push(b'}');
                if empty && self.omits_empty && before > 0 && out[before - 1] == b':' {
                    return false;
                }
                true
            }
            Shape::List(all) => {
                out.push(b'[');
                let mut first = true;
                for each in all {
                    let here = out.len();
                    if !first {
                        out.push(b',');
                    }
                    if self.json(each, out) || !self.omits_empty {
                        first = false;
                    } else {
                        out.truncate(here);
                    }
                }
                out.push(b']');
                true
            }
            Shape::Constant(text) => {
                // a vector takes all that is written
                let _ = out.write_all(text.as_bytes());
                &**text != "null"
            }
            Shape::Template(template) => self.value(template, out),
        }
    }

    fn value(&mut self, template: &Template, out: &mut Vec<u8>) -> bool {
        let mut scratch = std::mem::take(self.scratch);
        scratch.clear();
        let mut said = Said::Text;
        if let [Piece::Operator(operator, length)] = &template.0[..] {
            said = self.speaker.say(operator, &mut scratch);
            if let Some(length) = length {
                scratch.truncate(*length);
            }
        } else {
            self.text(template, &mut scratch);
        }
        match said {
            Said::Nothing => out.extend_from_slice(b"null"),
            Said::Text => quoted(&scratch, out),
            Said::Number => out.extend_from_slice(&scratch),
        }
        *self.scratch = scratch;
        said != Said::Nothing
    }
}

#[cfg(test)]
mod tests {
    use proxy_core::log::{Field, parse};

    use super::*;

    /// Knows a number, a text, and nothing else.
    struct Few;

    impl Speaker for Few {
        fn say(&mut self, operator: &Operator, out: &mut Vec<u8>) -> Said {
            if *operator == Operator::ResponseCode {
                out.extend_from_slice(b"200");
                return Said::Number;
            }
            if *operator == Operator::Protocol {
                out.extend_from_slice(b"a \"b\"");
                return Said::Text;
            }
            out.extend_from_slice(b"half");
            Said::Nothing
        }
    }

    fn written(layout: Layout, omits_empty: bool) -> String {
        let format = Format {
            layout,
            omits_empty,
        };
        let (mut out, mut scratch) = (b"before".to_vec(), Vec::new());
        write(&format, &mut Few, &mut out, &mut scratch);
        let line = String::from_utf8(out).expect("text");
        line.strip_prefix("before").expect("it is kept").to_owned()
    }

    fn template(text: &str) -> Template {
        parse(text).expect("a format").template
    }

    #[test]
    fn what_is_not_there_is_a_dash_or_nothing() {
        let text = "<%RESPONSE_CODE%|%ROUTE_NAME%|%REQ(a):1%>\n";
        for (omits_empty, want) in [(false, "<200|-|->\n"), (true, "<200||>\n")] {
            assert_eq!(written(Layout::Text(template(text)), omits_empty), want);
        }
    }

    #[test]
    fn json_keeps_types_where_an_operator_stands_alone() {
        let field = |name: &str, value| Field {
            name: name.into(),
            value,
        };
        let text = |text| Shape::Template(template(text));
        let shape = || {
            Shape::Object(vec![
                field("code", text("%RESPONSE_CODE%")),
                field(
                    "deep",
                    Shape::Object(vec![field("none", text("%ROUTE_NAME%"))]),
                ),
                field(
                    "list",
                    Shape::List(vec![text("%ROUTE_NAME%"), text("%PROTOCOL%")]),
                ),
                field("mixed", text("%RESPONSE_CODE% %ROUTE_NAME%")),
                field("nothing", Shape::Constant("null".into())),
                field("text", text("plain")),
                field("true", Shape::Constant("true".into())),
            ])
        };
        assert_eq!(
            written(Layout::Json(shape()), false),
            "{\"code\":200,\"deep\":{\"none\":null},\"list\":[null,\"a \\\"b\\\"\"],\"mixed\":\"200 -\",\"nothing\":null,\"text\":\"plain\",\"true\":true}\n"
        );
        assert_eq!(
            written(Layout::Json(shape()), true),
            "{\"code\":200,\"list\":[\"a \\\"b\\\"\"],\"mixed\":\"200 \",\"text\":\"plain\",\"true\":true}\n"
        );
    }
}
