//! The matchers of TCP routers.
//!
//! Source: traefik `pkg/muxer/tcp/{matcher,matcher_v2}.go`.

use proxy_core::config::Cidr;

use super::http::{HostPattern, Pattern, ascii, block, pattern};
use super::parse::{Call, Problem, Tree};
use super::{Syntax, arguments, known_name};

/// What a connection is asked for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum TcpMatcher {
    /// The server name of its TLS hello; `*` takes plaintext, too.
    HostSni(HostPattern),
    /// A match anywhere in that name.
    HostSniRegexp(Pattern),
    /// The client's address.
    ClientIp(Cidr),
    /// A protocol that the hello offers.
    Alpn(String),
}

const MATCHERS: &[&str] = &["HostSNI", "HostSNIRegexp", "ClientIP", "ALPN"];

pub(super) fn matcher(call: &Call, syntax: Syntax) -> Result<Tree<TcpMatcher>, Problem> {
    let name = known_name(call, MATCHERS)?;
    let most = match syntax {
        Syntax::V2 => usize::MAX,
        Syntax::V3 => 1,
    };
    let args = arguments(call, 1..=most)?;
    let each = (0..args.len()).map(|nth| {
        let text = args[nth];
        Ok(Tree::Leaf(match name {
            "HostSNI" => TcpMatcher::HostSni(HostPattern::new(ascii(call, text)?)),
            "HostSNIRegexp" => TcpMatcher::HostSniRegexp(match syntax {
                Syntax::V3 => pattern(call, nth)?,
                Syntax::V2 => super::templates::host(&call.args[nth])?,
            }),
            "ClientIP" => TcpMatcher::ClientIp(block(call, nth)?),
            _ => TcpMatcher::Alpn(text.to_owned()),
        }))
    });
    Ok(Tree::Or(each.collect::<Result<_, Problem>>()?))
}
