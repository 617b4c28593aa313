//! What nobody knew for sure: defaults that matter, and values that a scenario marks with `# assumed`.

use manifests::text::{Node, Sources, Span, Value};

use crate::format::scalars::{Period, Scalar};

/// A value that a result rests on and that nobody measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// Where it would be written under `spec`, as an override takes it: `load.shoppers.client.timeout`.
    pub path: String,
    /// The value, as it would be written.
    pub value: String,
    /// Why this value.
    pub why: String,
    /// Other values to try, each as an override takes it.
    pub alternatives: Vec<String>,
    /// Who assumed it.
    pub source: AssumptionSource,
}

/// Who assumed a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssumptionSource {
    /// Nobody wrote it.
    Default,
    /// It is written, and marked.
    Marked(Span),
}

/// Finds the values that a comment `# assumed` (with a reason after a colon, maybe) stands behind. `written` is the same tree before
/// anything was laid over it: of a marked value that is no longer as it was written, the parts that are stay assumed.
pub(crate) fn marked(spec: &Node, written: Option<&Node>, sources: &Sources) -> Vec<Assumption> {
    let mut finding = Finding {
        sources,
        found: Vec::new(),
    };
    finding.parts(spec, written, "", None);
    finding.found
}

struct Finding<'a> {
    sources: &'a Sources,
    found: Vec<Assumption>,
}

impl Finding<'_> {
    /// Looks into what a value consists of; `why` is the reason of a mark behind the whole.
    fn parts(&mut self, node: &Node, written: Option<&Node>, path: &str, why: Option<&str>) {
        let below = |step: &str| {
            if path.is_empty() {
                step.to_owned()
            } else {
                format!("{path}.{step}")
            }
        };
        match &node.value {
            Value::Map(map) => {
                for entry in map.entries() {
                    let (key, value) = (&entry.key, &entry.value);
                    let old = written.and_then(|old| old.get(&key.text));
                    self.part(value, old, below(&key.text), key.span, why);
                }
            }
            Value::Seq(items) => {
                let old_items = written.and_then(Node::as_seq).unwrap_or_default();
                for (index, item) in items.iter().enumerate() {
                    let name = crate::variants::item_name(item);
                    let old = match name {
                        Some(_) => old_items
                            .iter()
                            .find(|old| crate::variants::item_name(old) == name),
                        None => old_items.get(index),
                    };
                    let step = name.map_or_else(|| index.to_string(), str::to_owned);
                    self.part(item, old, below(&step), item.span, why);
                }
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => {}
        }
    }

    fn part(
        &mut self,
        node: &Node,
        written: Option<&Node>,
        path: String,
        start: Span,
        why: Option<&str>,
    ) {
        let as_written = written.is_some_and(|old| old == node);
        match why {
            Some(why) if as_written => self.push(node, path, why.to_owned()),
            // it came later: the mark is not about it, but it may have its own
            Some(_) if written.is_none_or(|old| old.span != node.span) => {
                self.value(node, None, path, node.span);
            }
            Some(why) => self.parts(node, written, &path, Some(why)),
            None => self.value(node, written, path, start),
        }
    }

    fn value(&mut self, node: &Node, written: Option<&Node>, path: String, start: Span) {
        match reason(node, start, self.sources) {
            Some(why) if written.is_none_or(|old| old == node) => self.push(node, path, why),
            why => self.parts(node, written, &path, why.as_deref()),
        }
    }

    fn push(&mut self, node: &Node, path: String, why: String) {
        let text = self.sources.slice(node.span);
        self.found.push(Assumption {
            path,
            value: text.to_owned(),
            why,
            alternatives: alternatives(text),
            source: AssumptionSource::Marked(node.span),
        });
    }
}

/// The reason behind a value that begins and ends on one line, when that line ends with the mark.
fn reason(node: &Node, start: Span, sources: &Sources) -> Option<String> {
    let text = sources.get(node.span.source)?.text();
    let from = start.start.min(node.span.start) as usize;
    let end = node.span.end as usize;
    if start.source != node.span.source || text.get(from..end)?.contains('\n') {
        return None;
    }
    let line = text.get(end..)?.lines().next()?;
    let (_, comment) = line.split_once(" #")?;
    let rest = comment.trim().strip_prefix("assumed")?;
    let why = rest.trim_start_matches([':', ',']).trim();
    Some(if why.is_empty() {
        "marked as assumed in the scenario".to_owned()
    } else {
        why.to_owned()
    })
}

/// Half and double of every quantity in a value; empty when there is none.
fn alternatives(text: &str) -> Vec<String> {
    let scaled: Vec<String> = [0.5, 2.0]
        .iter()
        .map(|factor| scale(text, *factor))
        .collect();
    scaled.into_iter().filter(|other| other != text).collect()
}

fn scale(text: &str, factor: f64) -> String {
    let mut out = String::new();
    let mut rest = text;
    let word = |c: char| c.is_alphanumeric() || "._-+/%µ".contains(c);
    while let Some(next) = rest.chars().next() {
        if !word(next) {
            out.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        }
        let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let (token, tail) = rest.split_at(end);
        out.push_str(&scale_token(token, factor));
        rest = tail;
    }
    out
}

/// A duration, or a number with whatever unit follows it; anything else stays.
fn scale_token(token: &str, factor: f64) -> String {
    if token.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && let Ok(period) = Period::parse(token)
    {
        return period.0.scale(factor).to_string();
    }
    let digits = token
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(token.len());
    let (number, unit) = token.split_at(digits);
    let Ok(number) = number.parse::<f64>() else {
        return token.to_owned();
    };
    let scaled = number * factor;
    // Shares stay shares and counts stay whole.
    let scaled = if unit == "%" {
        scaled.min(100.0)
    } else {
        scaled
    };
    let scaled = if unit.is_empty() && libm::trunc(number) == number {
        libm::ceil(scaled)
    } else {
        scaled
    };
    format!("{scaled}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_are_half_and_double() {
        for (text, half, double) in [
            ("5ms", "2.5ms", "10ms"),
            ("200/s", "100/s", "400/s"),
            ("16", "8", "32"),
            ("1", "1", "2"),
            ("0.5%", "0.25%", "1%"),
            ("80%", "40%", "100%"),
            (
                "{lognormal: {median: 5ms, p99: 50ms}}",
                "{lognormal: {median: 2.5ms, p99: 25ms}}",
                "{lognormal: {median: 10ms, p99: 100ms}}",
            ),
        ] {
            assert_eq!(scale(text, 0.5), half, "{text}");
            assert_eq!(scale(text, 2.0), double, "{text}");
        }
        assert!(alternatives("fifo").is_empty());
    }
}
