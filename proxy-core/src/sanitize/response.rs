//! What every response says, whatever its route.

use crate::config::{HeadRules, ServerTransformation};
use crate::heads::{Field, HeadWriter};

/// The request of a response, as far as the rules for responses need to know it.
pub(crate) struct ResponseTo<'a> {
    pub(crate) id: Option<&'a str>,
    /// Whether its client wants to know the id.
    pub(crate) traced: bool,
}

/// Writes the response's own headers. Last of all: what routes do to them does not last.
///
/// Source: envoy `source/common/http/conn_manager_impl.cc` (`ActiveStream::encodeHeaders`), `mutateResponseHeaders`.
pub(crate) fn write_response(rules: &HeadRules, to: ResponseTo<'_>, out: &mut impl HeadWriter) {
    let writes = match rules.server.transformation {
        ServerTransformation::Overwrite => true,
        ServerTransformation::AppendIfAbsent => !out.has_field(Field::Server),
        ServerTransformation::PassThrough => false,
    };
    if writes {
        match &rules.server.name {
            std::borrow::Cow::Borrowed(name) => out.set_const(Field::Server, name),
            std::borrow::Cow::Owned(name) => out.set_field(Field::Server, name),
        }
    }
    let wanted = rules.request_id.in_response || to.traced;
    if let Some(id) = to.id.filter(|_| wanted) {
        out.set_field(Field::RequestId, id);
    }
    if let Some(via) = &rules.via {
        out.extend_field(Field::Via, ", ", via);
    }
}
