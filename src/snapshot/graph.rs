//! Which flags stand on a cycle of parents and prerequisites, or behind too long a chain of them.

use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;

/// The nodes that a node refers to.
pub(super) type Edges = SmallVec<[usize; 4]>;

/// The longest chain of parents and prerequisites behind a flag. Evaluation recurses along it.
pub(super) const MAX_CHAIN: usize = 64;

/// Why a flag cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unsound {
    /// It stands on this cycle: the first node again at the end.
    Cycle(Vec<usize>),
    /// More than [`MAX_CHAIN`] flags stand behind it.
    TooDeep,
}

/// Finds the nodes that cannot be evaluated, by Tarjan's strongly connected components.
pub(super) fn unsound(edges: &[Edges]) -> BTreeMap<usize, Unsound> {
    let mut found = BTreeMap::new();
    let mut depth = vec![0_usize; edges.len()];
    // Components come in reverse topological order: what a component refers to was seen before it.
    for component in components(edges) {
        let behind = component.iter().flat_map(|node| &edges[*node]).map(|next| depth[*next]).max();
        let chain = behind.map_or(0, |behind| behind + 1);
        let is_cycle = component.len() > 1 || edges[component[0]].contains(&component[0]);
        for node in &component {
            depth[*node] = chain;
            if chain > MAX_CHAIN {
                found.insert(*node, Unsound::TooDeep);
            } else if is_cycle {
                found.insert(*node, Unsound::Cycle(shortest_cycle(*node, &component, edges)));
            }
        }
    }
    found
}

/// The nodes that lead to each other, each such group once; a node that stands on no cycle is in none.
pub(super) fn cycles(edges: &[Edges]) -> impl Iterator<Item = Vec<usize>> {
    let on_cycle =
        |component: &SmallVec<[usize; 1]>| component.len() > 1 || edges[component[0]].contains(&component[0]);
    components(edges).into_iter().filter(on_cycle).map(SmallVec::into_vec)
}

/// The shortest way from `from` back to itself within its component.
fn shortest_cycle(from: usize, component: &[usize], edges: &[Edges]) -> Vec<usize> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(node) = queue.pop_front() {
        for next in edges[node].iter().filter(|next| component.contains(next)) {
            if *next == from {
                let mut path = vec![from, node];
                while let Some(before) = path.last().filter(|last| **last != from).and_then(|last| came_from.get(last))
                {
                    path.push(*before);
                }
                path.reverse();
                return if node == from { vec![from, from] } else { path };
            }
            if !came_from.contains_key(next) {
                came_from.insert(*next, node);
                queue.push_back(*next);
            }
        }
    }
    vec![from, from]
}

/// Tarjan's algorithm, without recursion: a chain in a document must not exhaust the stack.
fn components(edges: &[Edges]) -> Vec<SmallVec<[usize; 1]>> {
    const UNSEEN: usize = usize::MAX;
    let (mut order, mut low) = (vec![UNSEEN; edges.len()], vec![0; edges.len()]);
    let (mut on_stack, mut stack, mut found) = (vec![false; edges.len()], Vec::new(), Vec::new());
    let (mut count, mut walk) = (0, Vec::new());
    for root in 0..edges.len() {
        if order[root] != UNSEEN {
            continue;
        }
        walk.push((root, 0));
        while let Some((node, position)) = walk.last_mut() {
            let node = *node;
            if *position == 0 {
                (order[node], low[node], on_stack[node]) = (count, count, true);
                count += 1;
                stack.push(node);
            }
            if let Some(next) = edges[node].get(*position) {
                *position += 1;
                if order[*next] == UNSEEN {
                    walk.push((*next, 0));
                } else if on_stack[*next] {
                    low[node] = low[node].min(order[*next]);
                }
                continue;
            }
            walk.pop();
            if let Some((above, _)) = walk.last() {
                low[*above] = low[*above].min(low[node]);
            }
            if low[node] == order[node] {
                let start =
                    stack.iter().rposition(|member| *member == node).expect("the root of a component is on the stack");
                let component: SmallVec<[usize; 1]> = stack.drain(start..).collect();
                component.iter().for_each(|member| on_stack[*member] = false);
                found.push(component);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_cycles_and_names_them() {
        // 0 → 1 → 2 → 0; 3 → 3; 4 → 0; 5 → 6; 1 → 4 → 0 is a longer way round.
        let edges = [[1].as_slice(), &[2], &[0], &[3], &[0], &[6], &[]].map(Edges::from);
        let found = unsound(&edges);
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(found[&1], Unsound::Cycle(vec![1, 2, 0, 1]));
        assert_eq!(found[&3], Unsound::Cycle(vec![3, 3]));
    }

    #[test]
    fn a_node_with_a_position_of_its_own_is_entered_once() {
        assert_eq!(components(&[[].as_slice(), &[0, 0], &[1, 0]].map(Edges::from)).len(), 3);
        assert_eq!(unsound(&[[1, 2].as_slice(), &[0], &[]].map(Edges::from)).len(), 2);
    }

    #[test]
    fn long_chains_do_not_exhaust_the_stack() {
        let chain: Vec<Edges> = (0..100_000_usize).map(|node| node.checked_sub(1).into_iter().collect()).collect();
        let found = unsound(&chain);
        assert_eq!(found.len(), 100_000 - MAX_CHAIN - 1);
        assert_eq!(found.keys().next(), Some(&(MAX_CHAIN + 1)));
    }
}
