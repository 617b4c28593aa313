//! The status of the Gateway API's objects, as a controller would write it into a cluster, in a file.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use manifests::gateway_api::status::{ObjectStatus, Stamps};
use serde::Serialize;

use super::Read;

/// Writes the file, as a `List` of objects; whoever reads it never sees half of it.
#[derive(Debug)]
pub struct Reporter {
    path: PathBuf,
    stamps: Stamps,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    api_version: &'static str,
    kind: &'static str,
    items: Vec<ObjectStatus>,
}

impl Reporter {
    /// Writes to this file.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            stamps: Stamps::default(),
        }
    }

    /// Writes the status of everything that was read.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, read: &Read) -> std::io::Result<()> {
        let now = crate::log::rfc3339(crate::clock::since_epoch());
        let mut items = read.model.statuses().to_vec();
        for item in &mut items {
            if let Some(name) = item.gateway() {
                item.listens_at(addresses(read, &name));
            }
            item.stamp(&mut self.stamps, &now);
        }
        let list = List {
            api_version: "v1",
            kind: "List",
            items,
        };
        let mut text = serde_json::to_vec_pretty(&list)?;
        text.push(b'\n');
        let mut half = self.path.clone().into_os_string();
        half.push(format!(".{}", std::process::id()));
        std::fs::write(&half, text)?;
        std::fs::rename(&half, &self.path)
    }
}

/// Where a gateway listens, each address once.
fn addresses(read: &Read, gateway: &str) -> BTreeSet<IpAddr> {
    let mut proxies = read.proxies.iter();
    let ready = proxies.find(|ready| *ready.name == *gateway);
    let doors = ready.into_iter().flat_map(|ready| &ready.doors);
    doors.map(|door| door.address.ip()).collect()
}
