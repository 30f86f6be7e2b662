//! The order in which tables can be made.

use std::collections::BTreeSet;

/// Puts what others stand on before them; `parents` has the numbers of those that each stands on. Where they stand on
/// one another in a circle, and where nothing else decides, the order stays.
pub(super) fn parents_first(parents: &[Vec<usize>]) -> Vec<usize> {
    let mut waits_for: Vec<BTreeSet<usize>> = parents.iter().map(|own| own.iter().copied().collect()).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); parents.len()];
    for (child, own) in waits_for.iter_mut().enumerate() {
        own.remove(&child);
        for parent in own.iter() {
            children[*parent].push(child);
        }
    }
    let mut waiting: BTreeSet<usize> = (0..parents.len()).collect();
    let mut ready: BTreeSet<usize> = waiting.iter().copied().filter(|at| waits_for[*at].is_empty()).collect();
    let mut order = Vec::with_capacity(parents.len());
    while let Some(next) = ready.pop_first().or_else(|| waiting.first().copied()) {
        waiting.remove(&next);
        order.push(next);
        for child in &children[next] {
            waits_for[*child].remove(&next);
            if waits_for[*child].is_empty() && waiting.contains(child) {
                ready.insert(*child);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_else_the_order_stays() {
        assert_eq!(parents_first(&[vec![2], vec![], vec![1]]), [1, 2, 0]);
        assert_eq!(parents_first(&[vec![], vec![0], vec![]]), [0, 1, 2]);
        assert_eq!(parents_first(&[vec![0], vec![2], vec![1], vec![0]]), [0, 3, 1, 2]);
    }
}
