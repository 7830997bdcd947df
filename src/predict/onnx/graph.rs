//! What is done to a graph before tract reads it.
//!
//! The chosen output and what it needs stay. scikit-learn's exporter writes operators that tract does not know and that others
//! can say: `Scaler` is a subtraction and a multiplication, `ZipMap` gives probabilities names that nobody asks for, an `Imputer`
//! has nothing to do, as what is missing is filled in before, and classes that are words are numbered, from 0.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::{
    pb::{
        AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType, tensor_proto::DataType,
        tensor_shape_proto::dimension::Value as Dimension, type_proto::Value as Type,
    },
    prelude::DatumType,
};

use super::{Wrong, trees};

/// The operators that are run: those of scikit-learn's classifiers, scalers, networks and clusters. None of them makes much of
/// little, runs in a loop, or reads a file.
const OPERATORS: [&str; 58] = [
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "ArrayFeatureExtractor",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Flatten",
    "Gather",
    "Gemm",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "Identity",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "LinearClassifier",
    "LinearRegressor",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Normalizer",
    "Not",
    "Or",
    "Pow",
    "PRelu",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "TreeEnsembleClassifier",
];

/// One input of the graph: so many feature columns, one after the other.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) datum_type: DatumType,
    pub(super) width: usize,
}

/// What is known of the graph.
pub(super) struct Prepared {
    pub(super) inputs: Vec<Input>,
    /// What the graph itself takes the features' means to be.
    pub(super) mean: Option<Vec<f64>>,
}

/// Rewrites the graph. `knows` says which operators can be run.
pub(super) fn prepare(
    graph: &mut GraphProto,
    output: Option<&str>,
    columns: usize,
    knows: &dyn Fn(&str) -> bool,
) -> Result<Prepared, Wrong> {
    choose_output(graph, output)?;
    rename_zipped(graph);
    keep_needed(graph);
    let inputs = inputs(graph, columns)?;
    let mean = mean(graph);
    rewrite(graph);
    let can_run = |operator: &&str| OPERATORS.contains(operator) && knows(operator);
    let operators = graph.node.iter().map(|node| node.op_type.as_str());
    let unknown: BTreeSet<&str> = operators.filter(|operator| !can_run(operator)).collect();
    if !unknown.is_empty() {
        let names = unknown.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Wrong::onnx(format!("operators that are not supported: {names}")));
    }
    for node in graph.node.iter().filter(|node| node.op_type == "TreeEnsembleClassifier") {
        trees::check(node).map_err(|why| Wrong::onnx(format!("the tree ensemble {:?} is broken: {why}", node.name)))?;
    }
    let tensors = graph.node.iter().flat_map(|node| &node.attribute).filter_map(|attribute| attribute.t.as_ref());
    if graph.initializer.iter().chain(tensors).any(|tensor| !tensor.external_data.is_empty()) {
        return Err(Wrong::onnx("the model keeps numbers in other files; export it as one"));
    }
    Ok(Prepared { inputs, mean })
}

/// Leaves one output: the named one, else the first of probabilities, else the first.
fn choose_output(graph: &mut GraphProto, wanted: Option<&str>) -> Result<(), Wrong> {
    let names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let chosen = match wanted {
        Some(wanted) => names.iter().position(|name| *name == wanted).ok_or_else(|| Wrong {
            pointer: "/output",
            message: format!("there is no output {wanted:?}; there are {}", names.join(", ")),
        })?,
        None => names.iter().position(|name| name.contains("prob")).unwrap_or(0),
    };
    if names.is_empty() {
        return Err(Wrong::onnx("the model has no output"));
    }
    let mut output = graph.output.swap_remove(chosen);
    output.r#type = None;
    graph.output = vec![output];
    Ok(())
}

/// An output that is a `ZipMap` becomes what is zipped.
fn rename_zipped(graph: &mut GraphProto) {
    for node in graph.node.iter().filter(|node| node.op_type == "ZipMap") {
        if let ([zipped], [named]) = (&*node.input, &*node.output) {
            graph
                .output
                .iter_mut()
                .filter(|output| output.name == *named)
                .for_each(|output| output.name.clone_from(zipped));
        }
    }
}

/// Drops the nodes that the output does not need.
fn keep_needed(graph: &mut GraphProto) {
    let makers: BTreeMap<&str, usize> = graph
        .node
        .iter()
        .enumerate()
        .flat_map(|(position, node)| node.output.iter().map(move |output| (output.as_str(), position)))
        .collect();
    let mut needed = BTreeSet::new();
    let mut names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    while let Some(name) = names.pop() {
        if let Some(maker) = makers.get(name)
            && needed.insert(*maker)
        {
            names.extend(graph.node[*maker].input.iter().map(String::as_str));
        }
    }
    let mut position = 0..;
    graph.node.retain(|_| position.next().is_some_and(|position| needed.contains(&position)));
    graph.value_info.clear();
}

/// The graph's inputs, which take the feature columns in turn.
fn inputs(graph: &GraphProto, columns: usize) -> Result<Vec<Input>, Wrong> {
    let constants: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let mut inputs = Vec::new();
    for input in graph.input.iter().filter(|input| !constants.contains(input.name.as_str())) {
        let Some(Type::TensorType(tensor)) = input.r#type.as_ref().and_then(|found| found.value.as_ref()) else {
            return Err(Wrong::onnx(format!("the input {:?} has no type", input.name)));
        };
        let datum_type = match DataType::try_from(tensor.elem_type) {
            Ok(DataType::Float) => DatumType::F32,
            Ok(DataType::Double) => DatumType::F64,
            Ok(DataType::Int64) => DatumType::I64,
            other => {
                let message = format!(
                    "the input {:?} takes {other:?}; features are floats, doubles or 64-bit integers",
                    input.name
                );
                return Err(Wrong::onnx(message));
            }
        };
        let last = tensor.shape.as_ref().and_then(|shape| shape.dim.last()?.value.as_ref());
        let width = match last {
            Some(Dimension::DimValue(width)) => usize::try_from(*width).ok().filter(|width| *width > 0),
            Some(Dimension::DimParam(_)) | None => None,
        };
        inputs.push((datum_type, width));
    }
    let known: usize = inputs.iter().filter_map(|(_, width)| *width).fold(0, usize::saturating_add);
    let open = inputs.iter().filter(|(_, width)| width.is_none()).count();
    let fits = if open == 1 { known < columns } else { open == 0 && known == columns };
    if !fits {
        let message = format!("the model takes {known} features, and there are {columns} feature columns");
        return Err(Wrong { pointer: "/feature_columns", message });
    }
    Ok(inputs
        .into_iter()
        .map(|(datum_type, width)| Input { datum_type, width: width.unwrap_or(columns - known) })
        .collect())
}

/// What a node says of its input's means: the offset of a scaler, or what an imputer fills in.
fn mean(graph: &GraphProto) -> Option<Vec<f64>> {
    let [input] = &*graph.input else { return None };
    let first = graph.node.iter().find(|node| node.input.first() == Some(&input.name))?;
    let name = match first.op_type.as_str() {
        "Scaler" => "offset",
        "Imputer" => "imputed_value_floats",
        _ => return None,
    };
    Some(floats(first, name)?.iter().copied().map(f64::from).collect())
}

fn rewrite(graph: &mut GraphProto) {
    let nodes = std::mem::take(&mut graph.node);
    for mut node in nodes {
        number_classes(&mut node);
        place_base(&mut node);
        match (node.op_type.as_str(), &*node.input, &*node.output) {
            ("Scaler", [input], [output]) => {
                let named = |what: &str| format!("{output}.{what}");
                let offset = floats(&node, "offset").unwrap_or(&[0.0]);
                let scale = floats(&node, "scale").unwrap_or(&[1.0]);
                graph.initializer.push(constant(named("offset"), offset));
                graph.initializer.push(constant(named("scale"), scale));
                let to = AttributeProto {
                    name: "to".to_owned(),
                    r#type: AttributeType::Int.into(),
                    i: i64::from(i32::from(DataType::Float)),
                    ..AttributeProto::default()
                };
                graph.node.push(NodeProto { attribute: vec![to], ..made("Cast", &[input], &named("float")) });
                graph.node.push(made("Sub", &[&named("float"), &named("offset")], &named("centred")));
                graph.node.push(made("Mul", &[&named("centred"), &named("scale")], output));
            }
            ("Imputer", [input], [output]) => graph.node.push(made("Identity", &[input], output)),
            _ => graph.node.push(node),
        }
    }
}

/// tract cannot look words up.
fn number_classes(node: &mut NodeProto) {
    let numbers = if node.op_type == "LinearClassifier" { "classlabels_ints" } else { "classlabels_int64s" };
    for attribute in node.attribute.iter_mut().filter(|attribute| attribute.name == "classlabels_strings") {
        let count = std::mem::take(&mut attribute.strings).len();
        attribute.name = numbers.to_owned();
        attribute.r#type = AttributeType::Ints.into();
        attribute.ints = (0..).take(count).collect();
    }
}

/// The trees of two classes add to the score of one of them alone, and so does a single base value; tract wants one for each.
fn place_base(node: &mut NodeProto) {
    let named = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    let classes = named("classlabels_int64s").map_or(0, |labels| labels.ints.len());
    let Some(class) = named("class_ids").and_then(|ids| usize::try_from(*ids.ints.first()?).ok()) else { return };
    for base in node.attribute.iter_mut().filter(|attribute| attribute.name == "base_values") {
        if let ([value], 2, 0..2) = (&*base.floats, classes, class) {
            let value = *value;
            base.floats = vec![0.0; 2];
            base.floats[class] = value;
        }
    }
}

fn floats<'n>(node: &'n NodeProto, name: &str) -> Option<&'n [f32]> {
    let attribute = node.attribute.iter().find(|attribute| attribute.name == name)?;
    Some(&attribute.floats)
}

fn constant(name: String, values: &[f32]) -> TensorProto {
    TensorProto {
        name,
        dims: vec![1, i64::try_from(values.len()).unwrap_or(i64::MAX)],
        data_type: DataType::Float.into(),
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn made(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: operator.to_owned(),
        name: output.to_owned(),
        input: inputs.iter().map(|input| (*input).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}
