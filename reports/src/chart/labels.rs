//! Labels that do not lie on each other.

/// Moves positions apart until each is at least `gap` from the next, within `low..=high`, in the order they were in.
pub(crate) fn spread(positions: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..positions.len()).collect();
    order.sort_by(|&a, &b| positions[a].total_cmp(&positions[b]));
    let mut placed = vec![0.0; positions.len()];
    let mut floor = low;
    for &at in &order {
        placed[at] = positions[at].max(floor);
        floor = placed[at] + gap;
    }
    let mut ceiling = high;
    for &at in order.iter().rev() {
        placed[at] = placed[at].min(ceiling);
        ceiling = placed[at] - gap;
    }
    placed
}

/// The first row in which each stretch has room, `gap` from its neighbours.
pub(crate) fn rows(stretches: &[(f64, f64)], gap: f64) -> Vec<usize> {
    let mut taken: Vec<Vec<(f64, f64)>> = Vec::new();
    stretches
        .iter()
        .map(|&(from, to)| {
            let free =
                |row: &Vec<(f64, f64)>| row.iter().all(|&(a, b)| to + gap <= a || from >= b + gap);
            let at = taken.iter().position(free).unwrap_or_else(|| {
                taken.push(Vec::new());
                taken.len() - 1
            });
            taken[at].push((from, to));
            at
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_moved_apart_and_stay_inside() {
        assert_eq!(
            spread(&[50.0, 52.0, 10.0], 14.0, 0.0, 100.0),
            [50.0, 64.0, 10.0]
        );
        assert_eq!(spread(&[95.0, 96.0], 14.0, 0.0, 100.0), [86.0, 100.0]);
    }

    #[test]
    fn stretches_that_overlap_get_rows_of_their_own() {
        assert_eq!(
            rows(&[(0.0, 50.0), (40.0, 90.0), (60.0, 80.0)], 5.0),
            [0, 1, 0]
        );
    }
}
