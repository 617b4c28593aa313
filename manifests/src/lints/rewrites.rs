//! Rewrites that make one path of many.

use proxy_core::config::{PathMatch, PathRewrite};

use super::Lint;
use super::sample::{sample_of, sent_through};
use super::view::{Sending, View};
use crate::diagnostics::Diagnostics;

/// All that a prefix takes becomes one path.
pub(super) static ONE_PATH: Lint = Lint::warning(
    "route::one-path",
    "A rewrite that leaves nothing of the path",
    "The route takes everything below a path and replaces the whole path by one text, so `/api/orders/7` and `/api/stock` arrive as the \
     same path. With ingress-nginx `rewrite-target: /` does that on purpose of nobody; captured groups are what is usually meant.",
    "rewrite the prefix alone, or capture the rest in the path and put it into the target",
);

/// Ends of paths that tell requests apart.
const ENDS: [&str; 3] = ["windtunnel-1", "windtunnel-2/a", "windtunnel-3/b/c"];

pub(super) fn check(view: &View<'_>, out: &mut Diagnostics) {
    for section in &view.sections {
        for sending in section.sendings() {
            if !view.is_written(sending.route.origin) {
                continue;
            }
            if let Some(path) = only_path(sending) {
                out.push(
                    ONE_PATH
                        .found(format!(
                            "whatever is asked for below this path arrives as `{path}`"
                        ))
                        .label(view.span(sending.route.origin), "takes all that lies below"),
                );
            }
        }
    }
}

/// The path that all paths below the route's become; none: they stay apart, or the route takes one path only.
fn only_path(sending: Sending<'_>) -> Option<String> {
    match sending.forward.rewrite.as_ref()? {
        PathRewrite::Full(_) | PathRewrite::Regex(..) | PathRewrite::Sequence(_) => {}
        PathRewrite::Prefix(_) | PathRewrite::JoinedPrefix(_) => return None,
    }
    let matches = &sending.route.matches;
    if let PathMatch::Exact(_) | PathMatch::Connect = matches.path {
        return None;
    }
    let first = sample_of(sending.host, sending.route);
    let mut arriving = ENDS.iter().filter_map(|end| {
        let path = format!("{}/{end}", first.path.trim_end_matches('/'));
        let taken = match &matches.path {
            PathMatch::Regex(regex) | PathMatch::RegexStart(regex) => regex.is_match(&path),
            PathMatch::Exact(_)
            | PathMatch::Prefix(_)
            | PathMatch::Segments(_)
            | PathMatch::Connect => true,
        };
        let mut head = first.clone();
        head.path = path;
        taken.then(|| sent_through(&head, sending.route, 0, "pod").path)
    });
    let one = arriving.next()?;
    let (mut others, mut same) = (0, true);
    for other in arriving {
        others += 1;
        same &= other == one;
    }
    (same && others > 0).then_some(one)
}
