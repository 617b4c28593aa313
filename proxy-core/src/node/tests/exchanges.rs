use proptest::prelude::*;

use super::rig::{Head, Rig};
use crate::ids::ExchangeId;
use crate::node::exchanges::Exchanges;
use crate::node::machine::Exchange;

/// Any exchange, as a node makes them.
fn exchange() -> Exchange {
    let mut rig = Rig::simple(1, |_, _| ());
    let head = Head {
        path: "/".into(),
        ..Head::default()
    };
    let (_, id) = rig.send_head(head, false);
    rig.node
        .machine
        .exchanges
        .get(id)
        .expect("it was not answered yet")
        .clone()
}

proptest! {
    #[test]
    fn an_id_finds_its_own_exchange_and_after_its_end_none(steps in prop::collection::vec(any::<(bool, prop::sample::Index)>(), 1..60)) {
        let template = exchange();
        let mut exchanges = Exchanges::default();
        let (mut live, mut gone): (Vec<(ExchangeId, u64)>, Vec<ExchangeId>) = (Vec::new(), Vec::new());
        for (token, (begins, which)) in steps.into_iter().enumerate() {
            let token = token as u64;
            if begins || live.is_empty() {
                let make = || Exchange { token, ..template.clone() };
                live.push((exchanges.insert(make), token));
            } else {
                let (id, _) = live.swap_remove(which.index(live.len()));
                exchanges.remove(id);
                exchanges.remove(id);
                gone.push(id);
            }
            prop_assert_eq!(exchanges.len(), live.len());
            for (id, token) in &live {
                prop_assert_eq!(exchanges.get(*id).map(|e| e.token), Some(*token));
            }
            for id in &gone {
                prop_assert!(exchanges.get(*id).is_none() && exchanges.get_mut(*id).is_none());
            }
            let mut listed: Vec<_> = exchanges.iter().map(|(id, e)| (id, e.token)).collect();
            listed.sort_unstable();
            live.sort_unstable();
            prop_assert_eq!(&listed, &live);
        }
    }
}
