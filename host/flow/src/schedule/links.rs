//! What each task of a plan makes of what becomes of the tasks before it. A plain function of the
//! plan.

use std::collections::BTreeMap;

use crate::plan::{Input, List, NodeId, Plan};
use crate::policy::{ErrorsMode, Trigger};

/// What a task takes of another that it waits for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Link {
    /// It takes its result, and does not merely come after it.
    pub(super) reads: bool,
    /// It takes it in a way that cannot do without.
    raises: bool,
    /// Runs for elements that are not there are skipped.
    pub(super) skips: bool,
    /// It has to know of each run why it failed: it takes states in the place of results, say.
    pub(super) told: bool,
}

impl Link {
    /// Whether what did not complete there is accounted for by what the task makes of it.
    pub(super) const fn accounts(self) -> bool {
        self.reads && !self.raises
    }
}

/// For each task, what it takes of those that it waits for.
pub(super) fn links(plan: &Plan) -> Vec<BTreeMap<NodeId, Link>> {
    let of = |node: &crate::plan::Node| {
        let upstream = node.gates.iter().chain(&node.pipes);
        let mut links: BTreeMap<NodeId, Link> = upstream.map(|id| (*id, Link::default())).collect();
        for (_, input) in &node.inputs {
            let Some(target) = input.target() else { continue };
            let link = links.entry(target.node).or_default();
            link.reads = true;
            link.raises |= target.errors == ErrorsMode::Raise;
            // What maps over a task that has ended as a whole says of each run why it failed.
            let each = matches!(input, Input::Each(List::Of(_)));
            link.told |=
                target.errors == ErrorsMode::States || each && node.gates.contains(&target.node);
            link.skips |= target.errors == ErrorsMode::Skip && each;
        }
        links
    };
    plan.nodes.iter().map(of).collect()
}

/// For each task, whether somebody makes something of it that it failed: a trigger, or an argument
/// that can do without its result.
pub(super) fn accounted(plan: &Plan, links: &[BTreeMap<NodeId, Link>]) -> Vec<bool> {
    let mut accounted = vec![false; plan.nodes.len()];
    for (node, links) in plan.nodes.iter().zip(links) {
        for (other, link) in links {
            accounted[*other] |= node.trigger != Trigger::AllSuccessful || link.accounts();
        }
    }
    for target in plan.result.targets() {
        accounted[target.node] |= target.errors != ErrorsMode::Raise;
    }
    accounted
}
