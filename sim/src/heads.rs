//! The heads in flight: templates that requests share, and what proxies make of them.

use proxy_core::heads::{HeadId, HeadWriter, Heads, is_control};
use proxy_core::node::EditKey;
use rustc_hash::FxHashMap;

/// Response heads have this bit set in their number.
const RESPONSE: u32 = 1 << 31;
/// Statuses have response heads of these numbers; heads with header fields come after them.
const PLAIN: usize = 1024;

/// Every head that has occurred. Equal heads are one.
#[derive(Clone, Debug)]
pub(crate) struct HeadTable {
    requests: Vec<Head>,
    by_content: FxHashMap<Content, HeadId>,
    responses: Vec<ResponseHead>,
    by_response: FxHashMap<ResponseHead, HeadId>,
    /// What a proxy of a configuration made of a head.
    departed: FxHashMap<(u32, HeadId, EditKey), HeadId>,
}

#[derive(Clone, Debug)]
struct Head {
    content: Content,
    has_controls: bool,
    /// What was last made of it: most heads pass one proxy, which changes them in one way.
    last_departure: Option<(u32, EditKey, HeadId)>,
}

/// What is in a request's head.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Content {
    pub(crate) method: Box<str>,
    pub(crate) authority: Box<str>,
    pub(crate) path: Box<str>,
    /// Names in lower case.
    pub(crate) headers: Vec<(Box<str>, Box<str>)>,
}

/// What is in a response's head.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct ResponseHead {
    status: u16,
    headers: Vec<(Box<str>, Box<str>)>,
}

impl HeadTable {
    pub(crate) fn new() -> Self {
        let plain = (0..PLAIN as u16).map(|status| ResponseHead {
            status,
            headers: Vec::new(),
        });
        Self {
            requests: Vec::new(),
            by_content: FxHashMap::default(),
            responses: plain.collect(),
            by_response: FxHashMap::default(),
            departed: FxHashMap::default(),
        }
    }

    /// The number of a request's head.
    pub(crate) fn request(&mut self, content: Content) -> HeadId {
        if let Some(&known) = self.by_content.get(&content) {
            return known;
        }
        let id = HeadId(self.requests.len() as u32);
        self.requests.push(Head {
            has_controls: content.headers.iter().any(|(name, _)| is_control(name)),
            content: content.clone(),
            last_departure: None,
        });
        self.by_content.insert(content, id);
        id
    }

    /// The number of a response's head without fields.
    pub(crate) const fn response(status: u16) -> HeadId {
        HeadId(RESPONSE | (status as u32 % PLAIN as u32))
    }

    /// The head that leaves a proxy of `config` in place of `head`; `write` makes it when it is new.
    pub(crate) fn departing(
        &mut self,
        config: u32,
        head: HeadId,
        edits: EditKey,
        write: impl FnOnce(&Self, &mut Draft),
    ) -> HeadId {
        match self.requests[head.0 as usize].last_departure {
            Some((by, how, made)) if by == config && how == edits => made,
            Some(_) | None => self.departing_otherwise(config, head, edits, write),
        }
    }

    #[inline(never)]
    fn departing_otherwise(
        &mut self,
        config: u32,
        head: HeadId,
        edits: EditKey,
        write: impl FnOnce(&Self, &mut Draft),
    ) -> HeadId {
        let made = match self.departed.get(&(config, head, edits)) {
            Some(&known) => known,
            None => {
                let mut draft = Draft(self.content(head).clone());
                write(self, &mut draft);
                let made = self.request(draft.0);
                self.departed.insert((config, head, edits), made);
                made
            }
        };
        self.requests[head.0 as usize].last_departure = Some((config, edits, made));
        made
    }

    /// The response head that `write` makes of `head`.
    pub(crate) fn edited_response(
        &mut self,
        head: HeadId,
        write: impl FnOnce(&Self, &mut ResponseDraft),
    ) -> HeadId {
        let mut draft = ResponseDraft {
            fields: &self.response_head(head).headers,
            edited: None,
        };
        write(self, &mut draft);
        let Some(headers) = draft.edited else {
            return head;
        };
        let status = self.response_head(head).status;
        let made = ResponseHead { status, headers };
        if made.headers.is_empty() {
            return Self::response(status);
        }
        if let Some(&known) = self.by_response.get(&made) {
            return known;
        }
        let id = HeadId(RESPONSE | self.responses.len() as u32);
        self.responses.push(made.clone());
        self.by_response.insert(made, id);
        id
    }

    pub(crate) fn content(&self, head: HeadId) -> &Content {
        &self.requests[head.0 as usize].content
    }

    fn response_head(&self, head: HeadId) -> &ResponseHead {
        &self.responses[(head.0 & !RESPONSE) as usize]
    }
}

impl Heads for HeadTable {
    fn method(&self, request: HeadId) -> &str {
        &self.content(request).method
    }

    fn authority(&self, request: HeadId) -> &str {
        &self.content(request).authority
    }

    fn path(&self, request: HeadId) -> &str {
        &self.content(request).path
    }

    fn header(&self, request: HeadId, name: &str) -> Option<&str> {
        find(&self.content(request).headers, name)
    }

    fn has_controls(&self, request: HeadId) -> bool {
        self.requests[request.0 as usize].has_controls
    }

    fn status(&self, response: HeadId) -> u16 {
        self.response_head(response).status
    }

    fn has_retry_marks(&self, response: HeadId) -> bool {
        !self.response_head(response).headers.is_empty()
    }

    fn response_header(&self, response: HeadId, name: &str) -> Option<&str> {
        find(&self.response_head(response).headers, name)
    }
}

fn find<'a>(headers: &'a [(Box<str>, Box<str>)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(key, _)| &**key == name);
    found.map(|(_, value)| &**value)
}

/// A request's head being changed.
pub(crate) struct Draft(Content);

impl HeadWriter for Draft {
    fn set_path(&mut self, path: &str) {
        self.0.path = path.into();
    }

    fn set_authority(&mut self, authority: &str) {
        self.0.authority = authority.into();
    }

    fn set(&mut self, name: &str, value: &str) {
        set(&mut self.0.headers, name, value);
    }

    fn append(&mut self, name: &str, value: &str) {
        self.0.headers.push((name.into(), value.into()));
    }

    fn remove(&mut self, name: &str) {
        self.0.headers.retain(|(key, _)| &**key != name);
    }

    fn has(&self, name: &str) -> bool {
        find(&self.0.headers, name).is_some()
    }

    fn first(&self, name: &str) -> Option<&str> {
        find(&self.0.headers, name)
    }
}

/// A response's head being changed; copied only when something is.
pub(crate) struct ResponseDraft<'a> {
    fields: &'a Vec<(Box<str>, Box<str>)>,
    edited: Option<Vec<(Box<str>, Box<str>)>>,
}

impl ResponseDraft<'_> {
    fn fields(&mut self) -> &mut Vec<(Box<str>, Box<str>)> {
        self.edited.get_or_insert_with(|| self.fields.clone())
    }
}

impl HeadWriter for ResponseDraft<'_> {
    fn set_path(&mut self, _path: &str) {}

    fn set_authority(&mut self, _authority: &str) {}

    fn set(&mut self, name: &str, value: &str) {
        set(self.fields(), name, value);
    }

    fn append(&mut self, name: &str, value: &str) {
        self.fields().push((name.into(), value.into()));
    }

    fn remove(&mut self, name: &str) {
        self.fields().retain(|(key, _)| &**key != name);
    }

    fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    fn first(&self, name: &str) -> Option<&str> {
        find(self.edited.as_ref().unwrap_or(self.fields), name)
    }
}

fn set(headers: &mut Vec<(Box<str>, Box<str>)>, name: &str, value: &str) {
    headers.retain(|(key, _)| &**key != name);
    headers.push((name.into(), value.into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(path: &str) -> Content {
        Content {
            method: "GET".into(),
            authority: "a".into(),
            path: path.into(),
            headers: vec![("x-a".into(), "1".into())],
        }
    }

    #[test]
    fn equal_heads_are_one() {
        let mut table = HeadTable::new();
        let first = table.request(content("/x"));
        assert_eq!(table.request(content("/x")), first);
        assert_ne!(table.request(content("/y")), first);
        assert_eq!(table.header(first, "x-a"), Some("1"));
    }

    #[test]
    fn a_head_leaves_each_proxy_as_that_proxy_has_it() {
        let mut table = HeadTable::new();
        let came = table.request(content("/x"));
        let mut leave = |config: u32| {
            let mark = |_: &HeadTable, draft: &mut Draft| draft.set("x-by", &config.to_string());
            let made = table.departing(config, came, EditKey::NONE, mark);
            table.header(made, "x-by").map(str::to_owned)
        };
        for config in [1, 1, 2, 1, 2, 2] {
            assert_eq!(leave(config), Some(config.to_string()));
        }
    }

    #[test]
    fn a_response_without_edits_stays_the_plain_head_of_its_status() {
        let mut table = HeadTable::new();
        let plain = HeadTable::response(503);
        assert_eq!(table.status(plain), 503);
        assert_eq!(table.edited_response(plain, |_, _| ()), plain);
        let tagged = table.edited_response(plain, |_, draft| draft.set("x-tag", "v1"));
        assert_eq!(table.response_header(tagged, "x-tag"), Some("v1"));
        assert_eq!(table.status(tagged), 503);
        let back = table.edited_response(tagged, |_, draft| draft.remove("x-tag"));
        assert_eq!(back, plain);
    }
}
