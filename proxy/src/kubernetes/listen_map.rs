//! Where proxies listen, where it is not where the manifests say: several of them on one machine, or without the right to low ports.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

use crate::bootstrap::LoadError;

/// The file's content.
///
/// ```json
/// {"gateways": {"shop/edge": {"address": "127.0.0.1", "ports": {"80": 8080}}},
///  "mesh": {"shop/web": {"shop/cart": {"address": "127.0.0.2", "ports": {"80": 8081}}}}}
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenMap {
    /// By `namespace/name` of a gateway. Gateways that it does not name are not served, unless it names none at all.
    pub gateways: BTreeMap<String, Listens>,
    /// By `namespace/name` of a workload with a sidecar: by `namespace/name` of a Service, where its calls are taken in the place of
    /// redirected connections.
    pub mesh: BTreeMap<String, BTreeMap<String, Listens>>,
}

/// Where something listens.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listens {
    /// The address.
    pub address: IpAddr,
    /// The port that is listened on, by the port that clients of the manifests would dial.
    pub ports: BTreeMap<u16, u16>,
    /// What is carried at a port that clients would dial; none: TCP.
    #[serde(default)]
    pub proto: BTreeMap<u16, Transport>,
}

/// What is carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Transport {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl ListenMap {
    /// Reads the file.
    ///
    /// # Errors
    /// Where it cannot be read, or is not what it should be.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| LoadError::new(format!("cannot read {name}: {error}\n")))?;
        Self::parse(&text).map_err(|error| LoadError::new(format!("{name}: {error}\n")))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut from = serde_json::Deserializer::from_str(text);
        let map = serde_path_to_error::deserialize(&mut from).map_err(|error| {
            let path = error.path().to_string();
            format!("{path}: {}", error.into_inner())
        })?;
        from.end().map_err(|error| error.to_string())?;
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_says_where_ports_are_found() {
        let text = r#"{"gateways": {"a/b": {"address": "127.0.0.1", "ports": {"80": 8080}}},
                       "mesh": {"c/d": {"e/f": {"address": "::1", "ports": {"443": 443}}}}}"#;
        let map = ListenMap::parse(text).expect("a map");
        assert_eq!(map.gateways["a/b"].ports[&80], 8080);
        let udp = r#"{"gateways": {"a/b": {"address": "127.0.0.1", "ports": {"53": 53}, "proto": {"53": "UDP"}}}}"#;
        let udp = ListenMap::parse(udp).expect("a map");
        assert_eq!(udp.gateways["a/b"].proto[&53], Transport::Udp);
        assert!(map.mesh["c/d"]["e/f"].address.is_ipv6());
        assert_eq!(ListenMap::parse("{}"), Ok(ListenMap::default()));
    }

    #[test]
    fn what_is_wrong_in_a_map_is_said_with_its_place() {
        for (text, says) in [
            (
                r#"{"gateways": {"a/b": {"address": "here", "ports": {}}}}"#,
                "gateways.a/b.address: invalid IP address syntax",
            ),
            (
                r#"{"gateways": {"a/b": {"address": "127.0.0.1", "ports": {"80": 65536}}}}"#,
                "gateways.a/b.ports.80: invalid value",
            ),
            (r#"{"gateway": {}}"#, "unknown field `gateway`"),
            (
                r#"{"gateways": {"a/b": {"ports": {}}}}"#,
                "missing field `address`",
            ),
            ("{} {}", "trailing characters"),
            ("", "EOF"),
        ] {
            let error = ListenMap::parse(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
