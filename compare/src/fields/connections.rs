//! Fields of listeners and of what connections become.

use proxy_core::config::{
    DatagramHash, HttpConnections, Listener, Preface, TcpRoute, UdpRoute, Unlisted, Upgrade,
};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::heads;
use super::words::{length, variant, yes};
use crate::Area;
use crate::tell::{Sheet, maybe, sourced};

pub(crate) fn listener(listener: &Listener) -> Sheet {
    let mut sheet = Sheet::default();
    let (text, origin) = sourced(listener.max_connections, listener.origin, |it| {
        it.to_string()
    });
    sheet.row(Area::Limit, "connections of the listener", text, origin);
    let (text, origin) = sourced(listener.process_limit, listener.origin, |it| it.to_string());
    sheet.row(Area::Limit, "connections of the process", text, origin);
    let preface = |it: Preface| {
        let optional = if it.optional { ", or none" } else { "" };
        format!(
            "version 1: {}, version 2: {}{optional}",
            yes(it.v1),
            yes(it.v2)
        )
    };
    sheet.row(
        Area::Connection,
        "PROXY header",
        maybe(listener.preface, preface),
        listener.origin,
    );
    sheet
}

pub(crate) fn http(http: &HttpConnections) -> Sheet {
    let mut sheet = Sheet::default();
    let around = http.origin;
    let mut timer = |what: &'static str, value: Option<Sourced<Duration>>| {
        let (text, origin) = sourced(value, around, length);
        sheet.row(Area::Timeout, what, text, origin);
    };
    timer("client idle timeout", http.idle_timeout);
    timer("request timeout", http.request_timeout);
    timer("client connection age", http.max_connection_duration);
    timer("head timeout", http.head_timeout);
    let most = http.max_requests_per_connection;
    let (text, origin) = sourced(most, around, |it| it.to_string());
    sheet.row(Area::Limit, "requests of a client connection", text, origin);
    let kept = http.retained_bytes.to_string();
    sheet.row(Area::Retry, "bytes kept for a retry", kept, around);
    sheet.row(
        Area::Answer,
        "own answers as of",
        variant(&http.replies),
        around,
    );
    match &http.heads {
        Some(rules) => sheet.extend(heads::heads(rules, around)),
        None => {
            let word = if http.edge { "go" } else { "are obeyed" };
            sheet.row(Area::Reading, "control headers of clients", word, around);
        }
    }
    sheet
}

pub(crate) fn tcp(route: &TcpRoute) -> Sheet {
    let mut sheet = Sheet::default();
    let (text, origin) = sourced(route.idle_timeout, route.origin, length);
    sheet.row(Area::Timeout, "idle timeout of bytes", text, origin);
    let (text, origin) = sourced(route.max_duration, route.origin, length);
    sheet.row(Area::Timeout, "longest connection of bytes", text, origin);
    let retries = route.connect_retries.to_string();
    sheet.row(
        Area::Retry,
        "further endpoints after a failed connect",
        retries,
        route.origin,
    );
    sheet
}

pub(crate) fn udp(route: &UdpRoute) -> Sheet {
    let mut sheet = Sheet::default();
    let (text, origin) = sourced(route.idle_timeout, route.origin, length);
    sheet.row(Area::Timeout, "idle timeout of datagrams", text, origin);
    let each = yes(route.per_datagram);
    sheet.row(
        Area::Balance,
        "an endpoint for each datagram",
        each,
        route.origin,
    );
    let hash = |hash: &DatagramHash| match hash {
        DatagramHash::SourceAddress => "the client's address".to_owned(),
        DatagramHash::Key(text) => format!("the text {text}"),
    };
    let hash = maybe(route.hash.as_ref(), hash);
    sheet.row(Area::Session, "hash of datagrams", hash, route.origin);
    for (what, most) in [
        ("longest datagram of clients", route.largest_request),
        ("longest datagram of endpoints", route.largest_answer),
    ] {
        sheet.row(Area::Limit, what, most.to_string(), route.origin);
    }
    sheet
}

/// What becomes of a wish for each of these kinds: a route has it otherwise than its listener.
pub(super) fn upgrades(sheet: &mut Sheet, of: &Upgrading<'_>, kinds: &[String]) {
    for kind in kinds {
        let found = of.of_kind(kind);
        let listed = found.map(|it| if it.allowed { "passes" } else { "is refused" });
        let others = match of.http.upgrades.others {
            Unlisted::Refused => "is refused",
            Unlisted::Allowed => "passes",
            Unlisted::Unheard => "is not heard",
        };
        let origin = found.map_or(of.http.origin, |it| it.origin);
        let what = format!("upgrade to {kind}");
        sheet.row(Area::Upgrade, what, listed.unwrap_or(others), origin);
    }
    let others = variant(&of.http.upgrades.others);
    sheet.row(Area::Upgrade, "other upgrades", others, of.http.origin);
    let http2 = yes(of.http.upgrades.http2);
    sheet.row(Area::Upgrade, "upgrades over HTTP/2", http2, of.http.origin);
}

/// What a route and its listener say of upgrades.
pub(super) struct Upgrading<'a> {
    pub(super) http: &'a HttpConnections,
    pub(super) route: &'a [Upgrade],
}

impl Upgrading<'_> {
    fn of_kind(&self, kind: &str) -> Option<&Upgrade> {
        let mut own = self.route.iter();
        let own = own.find(|it| it.kind.eq_ignore_ascii_case(kind));
        own.or_else(|| self.http.upgrades.of_kind(kind))
    }

    /// The kinds that are named, in lower case.
    pub(super) fn kinds(&self) -> impl Iterator<Item = String> {
        let all = self.route.iter().chain(&self.http.upgrades.listed);
        all.map(|it| it.kind.to_ascii_lowercase())
    }
}
