//! Zone-aware routing: how much of the load stays in the caller's locality, and where the rest goes.

/// How the load leaves one locality.
#[derive(Clone, PartialEq, Debug)]
pub struct Split {
    /// Share that stays local, in ten-thousandths.
    pub local: u32,
    /// What each locality can take beyond its own callers, in the order of the localities.
    pub residual: Vec<u64>,
}

/// Splits the load of callers in locality `own`.
///
/// `callers` and `upstreams` are the healthy callers and endpoints of each locality. Where the endpoints' share is not
/// below the callers', all stays local; else as much as the shares allow, and the rest goes to the localities that
/// have endpoints to spare, in proportion to those. None: there is nobody to compare with, no caller in `own` or callers in
/// one locality alone.
///
/// Source: Envoy `source/extensions/load_balancing_policies/common/load_balancer_impl.cc`
/// (`regenerateLocalityRoutingStructures`).
#[must_use]
pub fn split(own: usize, callers: &[u64], upstreams: &[u64]) -> Option<Split> {
    let share = |counts: &[u64], i: usize| {
        let total: u64 = counts.iter().sum();
        (counts.get(i).copied().unwrap_or(0) * 10_000).checked_div(total)
    };
    if callers.iter().filter(|count| **count > 0).count() < 2 {
        return None;
    }
    let (from, to) = (share(callers, own)?, share(upstreams, own)?);
    if from == 0 {
        return None;
    }
    let local = if to >= from {
        10_000
    } else {
        to * 10_000 / from
    };
    let residual = (0..upstreams.len())
        .map(|i| {
            let spare = share(upstreams, i)
                .unwrap_or(0)
                .saturating_sub(share(callers, i).unwrap_or(0));
            if i == own { 0 } else { spare }
        })
        .collect();
    Some(Split {
        local: local as u32,
        residual,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_local_endpoints_keep_everything_local() {
        let split = split(0, &[2, 2], &[5, 5]).unwrap();
        assert_eq!(split.local, 10_000);
    }

    #[test]
    fn a_short_locality_sends_the_rest_to_those_with_spare_endpoints() {
        let split = split(0, &[2, 1, 1], &[1, 2, 1]).unwrap();
        assert_eq!(
            split.local, 5_000,
            "a quarter of the endpoints for half of the callers"
        );
        assert_eq!(split.residual, [0, 2_500, 0]);
    }

    #[test]
    fn nobody_there_is_nothing_to_split() {
        assert_eq!(split(0, &[0, 0], &[1, 1]), None);
        assert_eq!(split(0, &[1, 1], &[0, 0]), None);
        assert_eq!(split(0, &[4, 0], &[1, 1]), None, "callers in one locality");
    }

    /// The example in Envoy's source: callers 40, 40, 20 %, endpoints 25, 50, 25 %.
    #[test]
    fn the_rest_goes_by_residual_capacity() {
        let split = split(0, &[4, 4, 2], &[1, 2, 1]).unwrap();
        assert_eq!((split.local, split.residual), (6_250, vec![0, 1_000, 500]));
    }

    #[test]
    fn a_locality_without_endpoints_sends_everything_away() {
        let split = split(0, &[2, 2], &[0, 4]).unwrap();
        assert_eq!((split.local, split.residual), (0, vec![0, 5_000]));
    }

    #[test]
    fn a_locality_without_callers_takes_what_it_can() {
        let split = split(0, &[3, 1, 0], &[1, 1, 2]).unwrap();
        assert_eq!((split.local, split.residual), (3_333, vec![0, 0, 5_000]));
    }
}
