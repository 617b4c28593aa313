//! When conditions changed.

use std::collections::BTreeMap;

use super::ObjectStatus;

/// Since when conditions are as they are.
#[derive(Clone, Debug, Default)]
pub struct Stamps(BTreeMap<String, (&'static str, String)>);

impl ObjectStatus {
    /// Writes into each condition since when it is as it is: since `now`, unless it was the same before.
    pub fn stamp(&mut self, stamps: &mut Stamps, now: &str) {
        let (kind, meta) = (&self.kind, &self.metadata);
        let object = format!("{kind}/{}/{}", meta.namespace, meta.name);
        for (place, condition) in self.conditions() {
            let key = format!("{object} {place}");
            let known = stamps.0.get(&key);
            let since = match known {
                Some((status, since)) if *status == condition.status => since.clone(),
                Some(_) | None => now.to_owned(),
            };
            condition.last_transition_time.clone_from(&since);
            stamps.0.insert(key, (condition.status, since));
        }
    }
}
