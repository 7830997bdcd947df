//! Checks tree ensembles.
//!
//! tract walks trees without looking whether a child or a class exists, and ends at a leaf only. So each tree's nodes must be
//! numbered from 0 without a gap, a child must come after its parent, and each class must be there.

use tract_onnx::pb::NodeProto;

/// Says what is wrong with a tree ensemble.
pub(super) fn check(node: &NodeProto) -> Result<(), &'static str> {
    let ensemble = Ensemble { node };
    let classes = ensemble.count("classlabels_int64s")?;
    let ids = ensemble.numbers("nodes_nodeids")?;
    let trees = ensemble.numbers("nodes_treeids")?;
    let features = ensemble.numbers("nodes_featureids")?;
    let children = [ensemble.numbers("nodes_truenodeids")?, ensemble.numbers("nodes_falsenodeids")?];
    let modes = ensemble.words("nodes_modes")?;
    let count = ids.len();
    if [trees.len(), features.len(), children[0].len(), children[1].len(), modes.len()] != [count; 5] {
        return Err("its lists of nodes differ in length");
    }
    if features.iter().any(|feature| !(0..i64::from(u16::MAX)).contains(feature)) {
        return Err("it asks for a feature that cannot be");
    }
    let nodes: Vec<usize> = (0..count).collect();
    for tree in nodes.chunk_by(|left, right| trees[*left] == trees[*right]) {
        let size = i64::try_from(tree.len()).unwrap_or(i64::MAX);
        let mut numbers: Vec<i64> = tree.iter().map(|node| ids[*node]).collect();
        numbers.sort_unstable();
        if !numbers.into_iter().eq(0..size) {
            return Err("the nodes of a tree are not numbered from 0");
        }
        let branches = tree.iter().copied().filter(|node| modes[*node] != b"LEAF");
        let children = branches.flat_map(|node| children.map(|list| (ids[node], list[node])));
        if children.into_iter().any(|(parent, child)| child <= parent || child >= size) {
            return Err("a node's child does not come after it");
        }
    }
    let leaves = ["class_ids", "class_nodeids", "class_treeids"].map(|name| ensemble.numbers(name));
    let [class_ids, class_nodes, class_trees] = leaves;
    let (class_ids, class_nodes, class_trees) = (class_ids?, class_nodes?, class_trees?);
    if [class_nodes.len(), class_trees.len()] != [class_ids.len(); 2] {
        return Err("its lists of leaves differ in length");
    }
    if class_ids.iter().any(|class| !(0..classes).contains(class)) {
        return Err("a leaf is of a class that there is not");
    }
    if class_nodes.iter().chain(class_trees).any(|number| *number < 0) {
        return Err("a leaf is of a node that cannot be");
    }
    Ok(())
}

struct Ensemble<'n> {
    node: &'n NodeProto,
}

impl<'n> Ensemble<'n> {
    fn numbers(&self, name: &str) -> Result<&'n [i64], &'static str> {
        let mut named = self.node.attribute.iter().filter(|attribute| attribute.name == name);
        let found = named.next().map(|attribute| &*attribute.ints).filter(|numbers| !numbers.is_empty());
        // A second list of the name might be the one that is read.
        if named.next().is_some() { Err("a list is there twice") } else { found.ok_or("a list is missing") }
    }

    fn words(&self, name: &str) -> Result<&'n [Vec<u8>], &'static str> {
        let mut named = self.node.attribute.iter().filter(|attribute| attribute.name == name);
        let found = named.next().map(|attribute| &*attribute.strings);
        if named.next().is_some() { Err("a list is there twice") } else { found.ok_or("a list is missing") }
    }

    fn count(&self, name: &str) -> Result<i64, &'static str> {
        Ok(i64::try_from(self.numbers(name)?.len()).unwrap_or(i64::MAX))
    }
}
