//! What requests of a route have to pass, whatever the route then does.

use proxy_core::config::{
    Cors, CorsList, CorsManner, DirectResponse, Fault, HttpConnections, HttpFilter, LocalRateLimit,
    Route, RouteAction,
};
use proxy_core::limit::token_bucket::Refill;
use proxy_core::origin::OriginId;

use super::gates::gate;
use super::words::{conditions, list, share, text_match, yes};
use crate::Area;
use crate::tell::{NONE, Sheet, maybe};

/// Filters of the listener as a route has them, and the route's gates.
pub(crate) fn filters(http: &HttpConnections, route: &Route) -> Sheet {
    let mut sheet = Sheet::default();
    let mut faults: Vec<&Fault> = Vec::new();
    let mut limits: Vec<&LocalRateLimit> = Vec::new();
    let mut cors: Option<&Cors> = None;
    for filter in &http.filters {
        match filter {
            HttpFilter::Fault(default) => {
                faults.extend(route.fault.as_deref().or(default.as_ref()));
            }
            HttpFilter::LocalRateLimit(default) => {
                limits.extend(route.rate_limit.as_deref().or(default.as_ref()));
            }
            HttpFilter::Cors => cors = route.cors.as_deref(),
        }
    }
    faults.retain(|it| it.delay.is_some() || it.abort.is_some());
    limits.retain(|it| it.bucket.max_tokens < u32::MAX);
    let first = |origin: Option<OriginId>| origin.unwrap_or(route.origin);
    let origin = first(faults.first().map(|it| it.origin));
    sheet.row(
        Area::Fault,
        "fault",
        joined(faults.into_iter().map(fault)),
        origin,
    );
    let origin = first(limits.first().map(|it| it.origin));
    sheet.row(
        Area::Limit,
        "rate limit",
        joined(limits.into_iter().map(limit)),
        origin,
    );
    let origin = first(route.gates.first().map(|it| it.origin));
    sheet.row(
        Area::Limit,
        "gates",
        joined(route.gates.iter().map(gate)),
        origin,
    );
    let cors = cors.filter(|it| !it.origins.is_empty());
    let origin = first(cors.map(|it| it.origin));
    sheet.part(
        Area::Cors,
        "cors",
        cors.map(|it| of_cors(it, origin)),
        origin,
    );
    sheet
}

/// What listeners say of filters, to tell listeners apart.
pub(crate) fn filters_key(http: &HttpConnections) -> String {
    let filters = http.filters.iter().map(|filter| match filter {
        HttpFilter::Fault(default) => format!("fault: {}", maybe(default.as_ref(), fault)),
        HttpFilter::LocalRateLimit(default) => {
            format!("rate limit: {}", maybe(default.as_ref(), limit))
        }
        HttpFilter::Cors => "cors".to_owned(),
    });
    let idle = maybe(http.stream_idle_timeout, |it| it.value.to_string());
    let longest = maybe(http.max_stream_duration, |it| it.value.to_string());
    format!("{} {idle} {longest} {:?}", joined(filters), http.upgrades)
}

/// What a route answers itself.
pub(crate) fn direct(route: &Route) -> Sheet {
    let mut sheet = Sheet::default();
    let body = match &route.action {
        RouteAction::Direct(DirectResponse { body, .. }) => shortened(body),
        RouteAction::Forward(_) | RouteAction::Redirect(_) => String::new(),
    };
    sheet.row(Area::Answer, "body", body, route.origin);
    sheet
}

/// The first line of a text, and that there is more.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    let short: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    match text.chars().count() > LONGEST {
        // what is left out is told apart by its length and its bytes
        true => format!("{short}… ({} bytes, sum {})", text.len(), sum(text)),
        false => format!("`{short}`"),
    }
}

/// FNV-1a, to tell long texts apart.
fn sum(text: &str) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    text.bytes().fold(0x811c_9dc5, step)
}

fn joined(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    match all.is_empty() {
        true => NONE.to_owned(),
        false => all.join("; "),
    }
}

fn fault(fault: &Fault) -> String {
    let mut words = Vec::new();
    if let Some(delay) = fault.delay {
        let long = delay.fixed.map(|it| it.to_string());
        let long = long.unwrap_or_else(|| "as the request says".to_owned());
        words.push(format!("delay {long} for {}", share(delay.share)));
    }
    if let Some(abort) = fault.abort {
        let with = match (abort.status, abort.grpc) {
            (Some(status), _) => status.to_string(),
            (None, Some(status)) => format!("gRPC status {status}"),
            (None, None) => "as the request says".to_owned(),
        };
        words.push(format!("abort {with} for {}", share(abort.share)));
    }
    if !fault.headers.is_empty() {
        words.push(format!("where {}", conditions(&fault.headers)));
    }
    words.extend(fault.max_active.map(|most| format!("{most} at once")));
    words.join(", ")
}

fn limit(limit: &LocalRateLimit) -> String {
    let bucket = limit.bucket;
    let steps = match bucket.refill {
        Refill::Continuous => "",
        Refill::Steps => " in steps",
    };
    format!(
        "{} at once, {} more every {}{steps}, refused with {}",
        bucket.max_tokens, bucket.tokens_per_fill, bucket.fill_interval, limit.status
    )
}

fn of_cors(cors: &Cors, origin: OriginId) -> Sheet {
    let mut sheet = Sheet::default();
    let mut row = |what: &'static str, text: String| sheet.row(Area::Cors, what, text, origin);
    let listed = |it: &CorsList| match it {
        CorsList::Text(text) => text.to_string(),
        CorsList::Asked => "whatever is asked for".to_owned(),
    };
    let mut origins: Vec<String> = cors.origins.iter().map(text_match).collect();
    origins.sort();
    // one that allows all makes the others of no account
    let origins = match cors.allows("*") {
        true => "any".to_owned(),
        false => list(origins),
    };
    row("cors.origins", origins);
    row("cors.methods", maybe(cors.methods.as_ref(), listed));
    row("cors.headers", maybe(cors.headers.as_ref(), listed));
    row(
        "cors.exposed headers",
        maybe(cors.expose.as_deref(), str::to_owned),
    );
    row(
        "cors.max age",
        maybe(cors.max_age.as_deref(), str::to_owned),
    );
    row("cors.credentials", yes(cors.credentials));
    let early = cors.exposes_early && cors.expose.is_some();
    row("cors.exposed to preflights", yes(early));
    row("cors.other preflights go on", yes(cors.forwards_others));
    row("cors.manner", manner(&cors.manner));
    sheet
}

fn manner(manner: &CorsManner) -> String {
    let kong = match manner {
        CorsManner::Envoy => return "Envoy's".to_owned(),
        CorsManner::Kong(kong) => kong,
    };
    let mut hosts: Vec<String> = kong.hosts.iter().map(text_match).collect();
    hosts.sort();
    let mut words = vec!["Kong's".to_owned()];
    if !hosts.is_empty() {
        words.push(format!("allows hosts {}", list(hosts)));
    }
    if let Some(said) = &kong.says {
        words.push(format!("says `{said}` to everybody"));
    }
    for (is, word) in [
        (!kong.marks_others, "says nothing where no origin asks"),
        (kong.continues, "sends every preflight on"),
        (kong.private_network, "lets pages into private networks"),
    ] {
        if is {
            words.push(word.to_owned());
        }
    }
    words.join(", ")
}
