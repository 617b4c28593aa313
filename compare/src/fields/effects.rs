//! How requests leave, how their answers do, and where redirects lead.

use std::collections::BTreeSet;

use proxy_core::config::{HeaderEdits, Redirect, Route};
use proxy_core::heads::{HeadWriter, HeaderOp, OwnedHead};
use proxy_core::route::{Departure, redirect_location, write_request, write_response};

use crate::Area;
use crate::requests::Sent;
use crate::tell::{NONE, Sheet};

/// What a header holds that was there before anybody touched it.
const BEFORE: &str = "before";
/// What stands in the place of an endpoint's host name.
const ENDPOINT: &str = "the endpoint's host name";
/// What stands in the place of an authority that each side knows by its own address.
const ASKED: &str = "the host that was asked for";

/// How one request leaves on both sides; `asks` is the authority by which each was asked.
pub(crate) fn departures(
    requests: [&OwnedHead; 2],
    sent: [Sent<'_>; 2],
    asks: [&str; 2],
) -> [Sheet; 2] {
    let names = names(sent.map(|it| edits(it, Toward::Upstream)));
    let answers = self::names(sent.map(|it| edits(it, Toward::Client)));
    [0, 1].map(|side| {
        let (request, sent) = (requests[side], sent[side]);
        let mut sheet = Sheet::default();
        let origin = sent.route.origin;
        let plain = leaves(request, sent);
        let path = match plain.path == request.path {
            true => "kept".to_owned(),
            false => plain.path.clone(),
        };
        sheet.row(Area::Rewrite, "path", path, origin);
        let authority = match plain.authority == request.authority {
            true => "kept".to_owned(),
            false => neutral(&plain.authority, asks[side]),
        };
        sheet.row(Area::Rewrite, "authority", authority, origin);
        let there = with_all(request, &names);
        let there = leaves(&there, sent);
        let clean = leaves(&without_all(request, &names), sent);
        for name in &names {
            let text = both_ways(&clean, &there, name);
            sheet.row(
                Area::Headers,
                format!("request header {name}"),
                text,
                origin,
            );
        }
        let empty = OwnedHead::new("GET", false, "", "/");
        let answered = |head: &OwnedHead| {
            let mut head = head.clone();
            write_response(sent.route, sent.weighted, &mut head);
            head
        };
        let (clean, there) = (answered(&empty), answered(&with_all(&empty, &answers)));
        for name in &answers {
            let text = both_ways(&clean, &there, name);
            sheet.row(
                Area::Headers,
                format!("response header {name}"),
                text,
                origin,
            );
        }
        sheet
    })
}

/// Where two redirects lead.
pub(crate) fn redirects(
    requests: [&OwnedHead; 2],
    to: [(&Route, &Redirect); 2],
    asks: [&str; 2],
) -> [Sheet; 2] {
    [0, 1].map(|side| {
        let (route, redirect) = to[side];
        let mut sheet = Sheet::default();
        let request = requests[side];
        let location = redirect_location(route, redirect, request.scheme_word(), request.view());
        let status = redirect.status.to_string();
        sheet.row(Area::Redirect, "redirect status", status, route.origin);
        let location = match asks[0] == asks[1] {
            true => location,
            false => neutral(&location, asks[side]),
        };
        sheet.row(Area::Redirect, "location", location, route.origin);
        sheet
    })
}

fn neutral(text: &str, asked: &str) -> String {
    match asked.is_empty() {
        true => text.to_owned(),
        false => text.replace(asked, ASKED),
    }
}

fn leaves(request: &OwnedHead, sent: Sent<'_>) -> OwnedHead {
    let mut out = request.clone();
    let departure = Departure {
        weighted: sent.weighted,
        endpoint_host: ENDPOINT,
        tells: false,
        ..Departure::PLAIN
    };
    write_request(sent.route, request.view(), departure, &mut out);
    out
}

fn with_all(request: &OwnedHead, names: &BTreeSet<String>) -> OwnedHead {
    let mut request = without_all(request, names);
    for name in names {
        request.append(name, BEFORE);
    }
    request
}

fn without_all(request: &OwnedHead, names: &BTreeSet<String>) -> OwnedHead {
    let mut request = request.clone();
    for name in names {
        request.remove(name);
    }
    request
}

/// What a header holds in the end: where it was not there, and where it was.
fn both_ways(clean: &OwnedHead, there: &OwnedHead, name: &str) -> String {
    let said = |head: &OwnedHead| head.values(name).unwrap_or_else(|| NONE.to_owned());
    let (clean, there) = (said(clean), said(there));
    match clean == there {
        true => clean,
        false => format!("{clean}, or {there} where it was `{BEFORE}`"),
    }
}

#[derive(Clone, Copy)]
enum Toward {
    Upstream,
    Client,
}

fn edits<'a>(sent: Sent<'a>, toward: Toward) -> [&'a HeaderEdits; 2] {
    let weighted = sent.forward.clusters.get(sent.weighted);
    match toward {
        Toward::Upstream => [
            weighted.map_or(&sent.route.request_edits, |it| &it.request_edits),
            &sent.route.request_edits,
        ],
        Toward::Client => [
            weighted.map_or(&sent.route.response_edits, |it| &it.response_edits),
            &sent.route.response_edits,
        ],
    }
}

/// Every header that an edit of either side touches.
fn names(edits: [[&HeaderEdits; 2]; 2]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for edit in edits.iter().flatten().flat_map(|all| all.iter()) {
        add(edit, &mut names);
    }
    names
}

fn add(edit: &HeaderOp, names: &mut BTreeSet<String>) {
    names.insert(edit.name().to_owned());
    match edit {
        HeaderOp::IfPresent(_, there, absent) => {
            for inner in there.iter().chain(absent.iter()) {
                add(inner, names);
            }
        }
        HeaderOp::Set(..)
        | HeaderOp::Append(..)
        | HeaderOp::AddIfAbsent(..)
        | HeaderOp::Remove(_) => {}
    }
}
