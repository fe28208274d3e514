//! Which layer of which track a subscriber gets: by what is visible, and by what the link bears.

/// A layer that is chosen anew must leave room, so that it is not given back at once: the link bears
/// this many percent of what is spent.
const ROOM: u64 = 115;

/// One video track as a subscriber wants it.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Bits a second of each layer, from the lowest; `None` where nothing comes.
    pub(crate) layers: Vec<Option<u64>>,
    /// The highest that is wanted; `None` when it is not seen.
    pub(crate) highest: Option<usize>,
    /// What it gets now.
    pub(crate) current: Option<usize>,
    /// Those with more are served first.
    pub(crate) priority: u8,
}

/// The layer of each track within so many bits a second, and how many more would give the next
/// better layer to somebody. The lowest layer of what is seen is always given: a low picture is
/// better than none.
pub(crate) fn allocate(budget: u64, wanted: &[Wanted]) -> (Vec<Option<usize>>, Option<u64>) {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(wanted[*index].priority));
    let mut given: Vec<Option<usize>> = wanted.iter().map(lowest).collect();
    let cost = |index: usize, layer: Option<usize>| {
        layer.and_then(|layer| wanted[index].layers[layer]).unwrap_or(0)
    };
    let mut spent: u64 = (0..wanted.len()).map(|index| cost(index, given[index])).sum();
    let mut missing: Option<u64> = None;
    // One step for each in turn, the most important first, until nobody can rise.
    loop {
        let mut rose = false;
        for &index in &order {
            let Some(next) = next_layer(&wanted[index], given[index]) else { continue };
            let more = cost(index, Some(next)).saturating_sub(cost(index, given[index]));
            let keeps = wanted[index].current.is_some_and(|current| current >= next);
            let factor = if keeps { 100 } else { ROOM };
            if scaled(spent + more, factor) <= budget {
                spent += more;
                given[index] = Some(next);
                rose = true;
            } else {
                let needed = scaled(spent + more, ROOM);
                missing = Some(missing.map_or(needed, |least| least.min(needed)));
            }
        }
        if !rose {
            return (given, missing);
        }
        missing = None;
    }
}

fn scaled(bits: u64, percent: u64) -> u64 {
    bits.saturating_mul(percent) / 100
}

fn lowest(wanted: &Wanted) -> Option<usize> {
    let highest = wanted.highest?;
    let within = wanted.layers.iter().take(highest + 1).position(Option::is_some);
    // What is asked for may not come at all: then the next that does.
    within.or_else(|| wanted.layers.iter().position(Option::is_some))
}

fn next_layer(wanted: &Wanted, given: Option<usize>) -> Option<usize> {
    let highest = wanted.highest?.min(wanted.layers.len().checked_sub(1)?);
    (given? + 1..=highest).find(|layer| wanted.layers[*layer].is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn three(highest: Option<usize>, current: Option<usize>, priority: u8) -> Wanted {
        let layers = vec![Some(150_000), Some(500_000), Some(1_500_000)];
        Wanted { layers, highest, current, priority }
    }

    #[test]
    fn a_link_gets_what_it_bears() {
        let all = [three(Some(2), None, 0)];
        assert_eq!(allocate(10_000_000, &all).0, [Some(2)]);
        assert_eq!(allocate(600_000, &all), (vec![Some(1)], Some(1_725_000)));
        assert_eq!(allocate(1_000, &all).0, [Some(0)], "a low picture is better than none");
    }

    #[test]
    fn a_layer_is_kept_where_it_would_not_be_taken_anew() {
        assert_eq!(allocate(1_600_000, &[three(Some(2), None, 0)]).0, [Some(1)]);
        assert_eq!(allocate(1_600_000, &[three(Some(2), Some(2), 0)]).0, [Some(2)]);
    }

    #[test]
    fn what_is_not_seen_costs_nothing_and_what_matters_comes_first() {
        let all = [three(Some(2), None, 0), three(None, None, 9), three(Some(2), None, 1)];
        assert_eq!(allocate(800_000, &all).0, [Some(0), None, Some(1)]);
    }

    #[test]
    fn a_layer_that_does_not_come_is_passed_over() {
        let wanted = Wanted { layers: vec![Some(100), None, Some(900)], ..three(Some(2), None, 0) };
        assert_eq!(allocate(5000, std::slice::from_ref(&wanted)).0, [Some(2)]);
        let none = Wanted { layers: vec![None, None, None], ..wanted };
        assert_eq!(allocate(5000, &[none]).0, [None]);
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_is_wanted_and_together_not_more_than_the_link_bears(
            budget in 0u64..10_000_000,
            tracks in proptest::collection::vec((0usize..4, 0u8..3), 0..20),
        ) {
            let wanted: Vec<_> = tracks
                .iter()
                .map(|(highest, priority)| three(highest.checked_sub(1), None, *priority))
                .collect();
            let (given, _) = allocate(budget, &wanted);
            let cost = |index: usize, layer: Option<usize>| {
                layer.and_then(|layer| wanted[index].layers[layer]).unwrap_or(0)
            };
            let spent: u64 = (0..given.len()).map(|index| cost(index, given[index])).sum();
            let least: u64 = (0..given.len()).map(|index| cost(index, lowest(&wanted[index]))).sum();
            prop_assert!(spent <= budget.max(least));
            for (given, wanted) in given.iter().zip(&wanted) {
                prop_assert!(*given <= wanted.highest);
            }
        }
    }
}
