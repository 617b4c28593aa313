//! Injected failures.
//!
//! Source: istio `pilot/pkg/networking/core/route/route.go` (`TranslateFault`).

use proxy_core::config::{Fault, FaultAbort, FaultDelay, Share};

use super::duration;
use super::types::{self, HttpFault, Percent};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::text::Spanned;

/// The statuses of gRPC by number.
const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
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

/// Reads `fault`; the outer none when something of it is refused, which was reported, the inner when it does nothing.
pub(super) fn fault(written: &Spanned<HttpFault>, cx: &mut Compile<'_>) -> Option<Option<Fault>> {
    if written.delay.is_none() && written.abort.is_none() {
        let message = "a fault needs `delay` or `abort`";
        cx.diagnostics
            .push(Diagnostic::error("istio::fault", message).label(written.span, "has neither"));
        return None;
    }
    let delay = written.delay.as_ref().map(|delay| self::delay(delay, cx));
    let abort = written
        .abort
        .as_ref()
        .map(|abort| self::abort(abort, cx.diagnostics));
    let (delay, abort) = (delay.unwrap_or(Some(None))?, abort.unwrap_or(Some(None))?);
    Some((delay.is_some() || abort.is_some()).then(|| Fault {
        delay,
        abort,
        headers: Vec::new(),
        max_active: None,
        origin: cx.origins.written(written.span),
    }))
}

fn delay(written: &Spanned<types::FaultDelay>, cx: &mut Compile<'_>) -> Option<Option<FaultDelay>> {
    let share = match (&written.percentage, written.percent) {
        (Some(percentage), _) => share(percentage, cx.diagnostics)?,
        (None, Some(percent)) => whole(percent, cx.diagnostics)?,
        (None, None) => {
            without_share(written, "delay", cx.diagnostics);
            Share::ZERO
        }
    };
    let Some(fixed) = &written.fixed_delay else {
        if let Some(other) = written.exponential_delay {
            let message = "Istio does not carry out `exponentialDelay`";
            cx.diagnostics.push(
                Diagnostic::warning("istio::fault", message)
                    .label(other.span, "has no effect")
                    .help("write `fixedDelay`"),
            );
            return Some(None);
        }
        let message = "a delay needs `fixedDelay`";
        cx.diagnostics
            .push(Diagnostic::error("istio::fault", message).label(written.span, "has none"));
        return None;
    };
    let fixed = duration::positive(fixed, cx)?.value;
    Some(Some(FaultDelay {
        fixed: Some(fixed),
        share,
    }))
}

fn abort(
    written: &Spanned<types::FaultAbort>,
    out: &mut Diagnostics,
) -> Option<Option<FaultAbort>> {
    let share = match &written.percentage {
        Some(percentage) => share(percentage, out)?,
        None => {
            without_share(written, "abort", out);
            Share::ZERO
        }
    };
    let (status, grpc) = match (written.http_status, &written.grpc_status) {
        (Some(status), None) => (Some(http_status(status, out)?), None),
        (None, Some(status)) => (None, Some(grpc_status(status, out)?)),
        (None, None) if written.http2_error.is_some() => {
            let message = "Istio does not carry out `http2Error`";
            out.push(
                Diagnostic::warning("istio::fault", message)
                    .label(written.span, "has no effect")
                    .help("write `httpStatus` or `grpcStatus`"),
            );
            return Some(None);
        }
        (Some(_), Some(_)) | (None, None) => {
            let message = "an abort is one of `httpStatus` and `grpcStatus`";
            out.push(Diagnostic::error("istio::fault", message).label(written.span, "this abort"));
            return None;
        }
    };
    Some(Some(FaultAbort {
        status,
        grpc,
        share,
    }))
}

fn http_status(status: Spanned<u16>, out: &mut Diagnostics) -> Option<u16> {
    // source: istio `pkg/config/validation/validation.go` (`validateHTTPStatus`)
    let fits = (200..=600).contains(&status.value);
    if !fits {
        out.push(
            Diagnostic::error("istio::fault", "a status is 200 to 600")
                .label(status.span, "this status"),
        );
    }
    fits.then_some(status.value)
}

fn grpc_status(status: &Spanned<String>, out: &mut Diagnostics) -> Option<u32> {
    let number = GRPC.iter().position(|name| *name == status.value);
    if number.is_none() {
        let help =
            did_you_mean(status, GRPC).unwrap_or_else(|| format!("known: {}", GRPC.join(", ")));
        out.push(
            Diagnostic::error("istio::fault", format!("`{status}` is no status of gRPC"))
                .label(status.span, "this name")
                .help(help),
        );
    }
    u32::try_from(number?).ok()
}

/// A share of requests; of something written without a value it is nothing.
pub(super) fn share(percent: &Percent, out: &mut Diagnostics) -> Option<Share> {
    let Some(value) = percent.value else {
        return Some(Share::ZERO);
    };
    let fits = (0.0..=100.0).contains(&value.value);
    if !fits {
        bad_share(value.span, out);
    }
    // Istio cuts off what is smaller than a millionth
    fits.then(|| Share::from_ppm((value.value * 10_000.0) as u32))
}

/// A share in whole percent.
pub(super) fn whole(percent: Spanned<u32>, out: &mut Diagnostics) -> Option<Share> {
    let fits = percent.value <= 100;
    if !fits {
        bad_share(percent.span, out);
    }
    fits.then(|| Share::from_ppm(percent.value * 10_000))
}

fn bad_share(span: crate::text::Span, out: &mut Diagnostics) {
    out.push(
        Diagnostic::error("istio::percentage", "a percentage is 0 to 100").label(span, "this one"),
    );
}

fn without_share<T>(written: &Spanned<T>, what: &str, out: &mut Diagnostics) {
    let message = format!("the {what} strikes no request: it has no `percentage`");
    out.push(
        Diagnostic::warning("istio::fault", message)
            .label(written.span, "strikes 0 %")
            .help("write `percentage: {value: 100}` for all requests"),
    );
}
