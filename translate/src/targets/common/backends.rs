//! Destinations as references to Services.

use manifests::model::ServiceId;

use crate::intent::{Destination, Leads, Source};

/// A Service's port, and what of the destination is not in that.
pub(crate) struct Backend<'a> {
    pub(crate) service: ServiceId,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) port: u16,
    /// A subset that has to be a Service of its own.
    pub(crate) labels: Vec<(String, String)>,
}

/// The Service that a destination leads to; an error says in words what it is instead.
pub(crate) fn backend<'a>(source: Source<'a>, to: &Destination<'a>) -> Result<Backend<'a>, String> {
    match &to.leads {
        Leads::Service {
            service,
            port,
            labels,
            ..
        } => {
            let found = source.service(*service);
            let labels = labels.iter();
            Ok(Backend {
                service: *service,
                namespace: &found.namespace,
                name: &found.name,
                port: *port,
                labels: labels
                    .map(|(key, value)| (key.to_string(), value.to_string()))
                    .collect(),
            })
        }
        Leads::Missing => Err("a destination that does not exist".to_owned()),
        Leads::Other => {
            let name = to.cluster.map_or("somebody", |cluster| &cluster.service);
            Err(format!("`{name}`, which is no Service"))
        }
    }
}
