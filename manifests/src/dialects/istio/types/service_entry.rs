//! ServiceEntry.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{LabelSelector, Written};
use crate::text::{Present, Spanned};

/// `ServiceEntry.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEntry {
    /// Names.
    pub hosts: Vec<Spanned<String>>,
    /// Addresses and address blocks that are dialled for them.
    pub addresses: Vec<Spanned<String>>,
    /// Ports.
    pub ports: Vec<EntryPort>,
    /// Whether it is part of the mesh; none: not.
    pub location: Option<Spanned<Location>>,
    /// How endpoints are found; none: `NONE`.
    pub resolution: Option<Spanned<Resolution>>,
    /// Endpoints.
    pub endpoints: Vec<WorkloadEntry>,
    /// Pods that are its endpoints.
    pub workload_selector: Option<LabelSelector>,
    /// Namespaces that see it; none: all.
    pub export_to: Vec<Spanned<String>>,
    /// Names that its servers may prove.
    pub subject_alt_names: Option<Present>,
}

/// A port of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryPort {
    /// Number.
    pub number: Spanned<u16>,
    /// What is spoken; none: looked into.
    #[serde(default)]
    pub protocol: Option<Spanned<String>>,
    /// Name.
    pub name: Spanned<String>,
    /// What is dialled on endpoints; none: `number`.
    #[serde(default)]
    pub target_port: Option<Spanned<u16>>,
}

/// Whether a host is part of the mesh.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Location {
    /// Not: no mutual TLS.
    MeshExternal,
    /// It is.
    MeshInternal,
}

/// How endpoints are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Resolution {
    /// The address that was dialled.
    None,
    /// The endpoints written.
    Static,
    /// By DNS, all answers.
    Dns,
    /// By DNS, one answer at a time.
    DnsRoundRobin,
    /// By DNS, the host of each request.
    DynamicDns,
}

/// An endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEntry {
    /// Address or name.
    pub address: Option<Spanned<String>>,
    /// Ports by the name of the entry's port.
    pub ports: BTreeMap<Spanned<String>, Spanned<u16>>,
    /// Labels.
    pub labels: Written,
    /// Network.
    pub network: Option<Present>,
    /// Region, zone and subzone.
    pub locality: Option<Spanned<String>>,
    /// Share.
    pub weight: Option<Spanned<u32>>,
    /// Service account of a proxy that stands before it.
    pub service_account: Option<Spanned<String>>,
}
