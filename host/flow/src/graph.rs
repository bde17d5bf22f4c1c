//! The shape of a flow: depths of tasks, and cycles. A plain function of edges.

/// What became of a look at a graph's edges.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// No cycles: for each node the length of the longest path that leads to it.
    Layers(Vec<u32>),
    /// Cycles, each as its nodes in the order of the edges, starting from its lowest.
    Cycles(Vec<Vec<usize>>),
}

/// Looks at a graph, given for each node the nodes that it depends on. Edges from a node to
/// itself are left out: they are faults of their own.
pub(crate) fn shape(upstream: &[Vec<usize>]) -> Shape {
    let mut depths: Vec<Option<u32>> = vec![None; upstream.len()];
    let mut cycles = Vec::new();
    loop {
        settle(upstream, &mut depths);
        let Some(start) = depths.iter().position(Option::is_none) else { break };
        let cycle = find_cycle(upstream, &depths, start);
        // So that the next look finds other cycles, and not this one again.
        cycle.iter().for_each(|node| depths[*node] = Some(0));
        cycles.push(cycle);
    }
    if cycles.is_empty() {
        Shape::Layers(depths.into_iter().flatten().collect())
    } else {
        Shape::Cycles(cycles)
    }
}

/// Gives a depth to every node whose upstream all has one.
fn settle(upstream: &[Vec<usize>], depths: &mut [Option<u32>]) {
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); upstream.len()];
    let mut waiting = vec![0_usize; upstream.len()];
    for (node, nodes) in upstream.iter().enumerate() {
        for other in nodes.iter().filter(|other| **other != node) {
            dependants[*other].push(node);
            waiting[node] += usize::from(depths[*other].is_none());
        }
    }
    let open = |node: &usize| depths[*node].is_none() && waiting[*node] == 0;
    let mut ready: Vec<usize> = (0..upstream.len()).filter(open).collect();
    while let Some(node) = ready.pop() {
        let above = upstream[node].iter().filter(|other| **other != node);
        let deepest = above.filter_map(|other| depths[*other]).max();
        depths[node] = Some(deepest.map_or(0, |depth| depth + 1));
        for dependant in &dependants[node] {
            if depths[*dependant].is_none() {
                waiting[*dependant] -= 1;
                if waiting[*dependant] == 0 {
                    ready.push(*dependant);
                }
            }
        }
    }
}

/// Walks upstream from a node that has no depth until it comes by a node twice.
fn find_cycle(upstream: &[Vec<usize>], depths: &[Option<u32>], start: usize) -> Vec<usize> {
    let mut walked = vec![start];
    loop {
        let here = walked[walked.len() - 1];
        let next = upstream[here].iter().find(|next| **next != here && depths[**next].is_none());
        // A node without a depth has something upstream without one.
        let Some(&next) = next else { return walked };
        if let Some(first) = walked.iter().position(|node| *node == next) {
            let mut cycle = walked.split_off(first);
            // Walked against the edges; told along them.
            cycle.reverse();
            let lowest = cycle.iter().enumerate().min_by_key(|(_, node)| **node);
            let lowest = lowest.map_or(0, |(at, _)| at);
            cycle.rotate_left(lowest);
            return cycle;
        }
        walked.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_are_those_of_the_longest_path() {
        let upstream = [vec![], vec![0], vec![0, 1], vec![], vec![3, 2, 2]];
        assert_eq!(shape(&upstream), Shape::Layers(vec![0, 1, 2, 0, 3]));
        assert_eq!(shape(&[]), Shape::Layers(vec![]));
    }

    #[test]
    fn every_cycle_is_found_once_and_what_hangs_on_it_is_not_one() {
        let upstream = [vec![2], vec![0], vec![1], vec![2], vec![5], vec![4], vec![6]];
        assert_eq!(shape(&upstream), Shape::Cycles(vec![vec![0, 1, 2], vec![4, 5]]));
    }
}
