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

/// Finds the values that a comment `# assumed` (with a reason after a colon, maybe) stands behind.
pub(crate) fn marked(spec: &Node, sources: &Sources) -> Vec<Assumption> {
    let mut found = Vec::new();
    walk(spec, "", sources, &mut found);
    found
}

fn walk(node: &Node, path: &str, sources: &Sources, found: &mut Vec<Assumption>) {
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
                value(
                    &entry.value,
                    below(&entry.key.text),
                    entry.key.span,
                    sources,
                    found,
                );
            }
        }
        Value::Seq(items) => {
            for (index, item) in items.iter().enumerate() {
                let step = crate::variants::item_name(item)
                    .map_or_else(|| index.to_string(), str::to_owned);
                value(item, below(&step), item.span, sources, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => {}
    }
}

fn value(node: &Node, path: String, start: Span, sources: &Sources, found: &mut Vec<Assumption>) {
    match reason(node, start, sources) {
        Some(why) => found.push(Assumption {
            path,
            value: sources.slice(node.span).to_owned(),
            why,
            alternatives: alternatives(sources.slice(node.span)),
            source: AssumptionSource::Marked(node.span),
        }),
        None => walk(node, &path, sources, found),
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
