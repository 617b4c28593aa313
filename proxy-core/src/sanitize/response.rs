//! What every response says, whatever its route.

use crate::config::{HeadRules, ServerTransformation};
use crate::heads::{Field, HeadWriter};

/// Writes the response's own headers. Last of all: what routes do to them does not last. `traced`: the client wants to know the
/// request's `id`, which is asked for only if it is told.
///
/// Source: envoy `source/common/http/conn_manager_impl.cc` (`ActiveStream::encodeHeaders`), `mutateResponseHeaders`.
pub(crate) fn write_response<'a>(
    rules: &HeadRules,
    traced: bool,
    id: impl FnOnce() -> Option<&'a str>,
    out: &mut impl HeadWriter,
) {
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
    if (rules.request_id.in_response || traced)
        && let Some(id) = id()
    {
        out.set_field(Field::RequestId, id);
    }
    if let Some(via) = &rules.via {
        out.extend_field(Field::Via, ", ", via);
    }
}
