//! ServiceSplitters.
//!
//! Source: hashicorp/consul 1.21 `agent/structs/config_entry_discoverychain.go` (`ServiceSplitterConfigEntry`).

use super::notes::{bad_value, enterprise, given};
use super::policy::{SplitPolicy, SplitterPolicy};
use super::router::{modifiers, reference};
use super::types::{Split, Splitter};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::load::Object;
use crate::text::Spanned;

/// All of it, by hundredths of a per cent.
const WHOLE: u32 = 10_000;

/// Reads a ServiceSplitter; none when its shares are not 100 together, which Consul refuses.
pub(super) fn read(
    object: &Object,
    written: &Splitter,
    cx: &mut Compile<'_>,
) -> Option<SplitterPolicy> {
    if written.splits.is_empty() {
        bad_value(object.name_span, "has no splits", cx.diagnostics);
        return None;
    }
    for (at, split) in written.splits.iter().enumerate() {
        let same = written.splits[..at]
            .iter()
            .find(|other| key(other, object) == key(split, object));
        if let Some(other) = same {
            cx.diagnostics.push(
                Diagnostic::error("consul::bad-value", "two splits lead to the same")
                    .label(split.span, "this one")
                    .label(other.span, "and this one"),
            );
        }
    }
    let splits: Option<Vec<SplitPolicy>> = written
        .splits
        .iter()
        .map(|split| self::split(split, cx))
        .collect();
    let splits = splits?;
    let sum: u32 = splits.iter().map(|split| split.weight).sum();
    if sum != WHOLE {
        let sum = f64::from(sum) / 100.0;
        let message = format!("the weights of all splits are {sum} together, not 100");
        let mut error = Diagnostic::error("consul::weights", message);
        for split in &written.splits {
            let span = split.weight.map_or(split.span, |weight| weight.span);
            error = error.label(span, "");
        }
        cx.diagnostics
            .push(error.help("Consul refuses the entry: make them 100"));
        return None;
    }
    Some(SplitterPolicy {
        splits,
        span: object.name_span,
    })
}

fn key<'a>(split: &'a Split, object: &'a Object) -> (&'a str, Option<&'a str>) {
    let service = given(split.service.as_ref());
    let subset = given(split.service_subset.as_ref());
    (
        service.map_or(object.key.name.as_str(), |it| it.as_str()),
        subset.map(|it| it.as_str()),
    )
}

fn split(written: &Spanned<Split>, cx: &mut Compile<'_>) -> Option<SplitPolicy> {
    enterprise(
        written.namespace.as_ref(),
        "a namespace of Consul",
        cx.diagnostics,
    );
    enterprise(written.partition.as_ref(), "a partition", cx.diagnostics);
    let weight = written.weight.map_or(0.0, |weight| weight.value);
    if !(0.0..=100.0).contains(&weight) {
        let span = written.weight.map_or(written.span, |weight| weight.span);
        bad_value(span, "must be from 0 to 100", cx.diagnostics);
        return None;
    }
    let origin = cx.origins.written(written.span);
    Some(SplitPolicy {
        weight: hundredths(weight),
        to: reference(
            written.service.as_ref(),
            written.service_subset.as_ref(),
            written.span,
        ),
        request: modifiers(written.request_headers.as_ref(), cx.diagnostics),
        response: modifiers(written.response_headers.as_ref(), cx.diagnostics),
        origin,
    })
}

/// Consul keeps weights as `float32` and rounds them to hundredths.
fn hundredths(weight: f64) -> u32 {
    (f64::from(weight as f32 * 100.0)).round() as u32
}

#[cfg(test)]
mod tests {
    use super::hundredths;

    #[test]
    fn weights_are_hundredths_of_a_per_cent() {
        for (weight, expected) in [
            (0.0, 0),
            (0.01, 1),
            (0.004, 0),
            (0.005, 1),
            (33.33, 3_333),
            (99.99, 9_999),
            (100.0, 10_000),
        ] {
            assert_eq!(hundredths(weight), expected, "{weight}");
        }
    }
}
