//! Edits of heads as `set`, `add` and `remove`.

use proxy_core::heads::HeaderOp;

use crate::yaml::Map;

/// Edits by kind, and those that have none of these.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Edits {
    pub(crate) set: Vec<(String, String)>,
    pub(crate) add: Vec<(String, String)>,
    pub(crate) remove: Vec<String>,
    /// In words, what cannot be said so.
    pub(crate) unsaid: Vec<String>,
}

/// In which order a target carries kinds of edits out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Set, add, remove (the Gateway API).
    RemoveLast,
    /// Remove, set, add (Envoy).
    RemoveFirst,
}

impl Edits {
    /// Sorts edits that are carried out one after the other. Where the order of two for one header counts and the target has another, that
    /// is unsaid.
    pub(crate) fn of(edits: &[HeaderOp], order: Order) -> Self {
        let mut all = Self::default();
        for edit in edits {
            match edit {
                HeaderOp::Set(name, value) => {
                    // what was done to the header before is of no account
                    all.set.retain(|(own, _)| **own != **name);
                    all.add.retain(|(own, _)| **own != **name);
                    if order == Order::RemoveLast {
                        all.remove.retain(|own| **own != **name);
                    }
                    all.set.push((name.to_string(), value.to_string()));
                }
                HeaderOp::Append(name, value) => {
                    let removed = all.remove.iter().position(|own| **own == **name);
                    match (removed, order) {
                        // taken out and put in again is set
                        (Some(at), Order::RemoveLast) => {
                            all.remove.remove(at);
                            all.set.push((name.to_string(), value.to_string()));
                        }
                        (Some(_) | None, _) => {
                            let twice = all.add.iter().any(|(own, _)| **own == **name);
                            if twice {
                                all.unsaid.push(format!("a second value for `{name}`"));
                            } else {
                                all.add.push((name.to_string(), value.to_string()));
                            }
                        }
                    }
                }
                HeaderOp::Remove(name) => {
                    all.set.retain(|(own, _)| **own != **name);
                    all.add.retain(|(own, _)| **own != **name);
                    if !all.remove.iter().any(|own| **own == **name) {
                        all.remove.push(name.to_string());
                    }
                }
                HeaderOp::AddIfAbsent(name, _) => {
                    all.unsaid
                        .push(format!("`{name}` put in only where it is absent"));
                }
                HeaderOp::IfPresent(name, _, _) => {
                    all.unsaid
                        .push(format!("edits that depend on whether `{name}` is there"));
                }
            }
        }
        all
    }

    /// Whether nothing can be written.
    pub(crate) const fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Lists of `name` and `value`: the Gateway API's form, Linkerd's and Kuma's.
    pub(crate) fn as_lists(&self) -> Map {
        let pairs = |all: &[(String, String)]| -> Vec<Map> {
            all.iter()
                .map(|(name, value)| {
                    Map::new()
                        .with("name", name.as_str())
                        .with("value", value.as_str())
                })
                .collect()
        };
        Map::new()
            .list("set", pairs(&self.set))
            .list("add", pairs(&self.add))
            .list("remove", self.remove.clone())
    }

    /// Mappings from name to value: Istio's form, in which a per cent sign begins what the proxy fills in.
    pub(crate) fn as_maps(&self) -> Map {
        let pairs = |all: &[(String, String)]| {
            let mut map = Map::new();
            for (name, value) in all {
                map.set(name, value.replace('%', "%%"));
            }
            map
        };
        Map::new()
            .map("set", pairs(&self.set))
            .map("add", pairs(&self.add))
            .list("remove", self.remove.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> HeaderOp {
        HeaderOp::Set(name.into(), value.into())
    }

    #[test]
    fn edits_come_to_the_same_in_another_order() {
        let remove = |name: &str| HeaderOp::Remove(name.into());
        let add = |name: &str, value: &str| HeaderOp::Append(name.into(), value.into());
        let edits = Edits::of(&[remove("a"), set("a", "1")], Order::RemoveLast);
        assert_eq!((edits.set.len(), edits.remove.len()), (1, 0));
        let edits = Edits::of(&[set("a", "1"), remove("a")], Order::RemoveFirst);
        assert_eq!((edits.set.len(), edits.remove.len()), (0, 1));
        let edits = Edits::of(&[remove("a"), add("a", "1")], Order::RemoveLast);
        assert_eq!(edits.set, [("a".to_owned(), "1".to_owned())]);
        assert!(edits.add.is_empty() && edits.unsaid.is_empty());
    }

    #[test]
    fn what_depends_on_the_head_is_unsaid() {
        let edits = [HeaderOp::AddIfAbsent("x-id".into(), "1".into())];
        let edits = Edits::of(&edits, Order::RemoveLast);
        assert!(edits.is_empty());
        assert_eq!(edits.unsaid, ["`x-id` put in only where it is absent"]);
    }

    #[test]
    fn a_per_cent_sign_stays_one_in_istio() {
        let edits = Edits::of(&[set("a", "50%")], Order::RemoveFirst);
        let map = edits.as_maps();
        let text = crate::yaml::Value::from(map).to_yaml();
        assert!(text.contains("50%%"), "{text}");
    }
}
