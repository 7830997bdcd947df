//! Models exported to ONNX, run by tract.
//!
//! Asking one allocates, unlike the other kinds. Only what the chosen output needs is compiled; it is asked once for nobody, so
//! that what cannot run is refused when the model is read.

mod graph;
mod trees;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tract_onnx::{pb, prelude::*};

use super::{Kind, LIMIT, Prediction, read::Reader};
use graph::Input;

/// A model that is ready to run.
#[derive(Debug)]
pub(super) struct Network {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<Input>,
    /// What a missing feature is taken for.
    mean: Vec<f64>,
    kind: Kind,
    /// Which of the probabilities.
    class: usize,
}

impl Network {
    /// Reads `onnx`, `output`, `class` and `scaler.mean` of a model with so many feature columns.
    pub(super) fn read(reader: &mut Reader<'_>, columns: usize) -> Option<Self> {
        let text = reader.string("/onnx")?;
        let output = reader.value("/output").is_some().then(|| reader.string("/output")).flatten();
        let class = reader.value("/class").is_some().then(|| reader.number("/class"));
        let mean = reader.value("/scaler/mean").is_some().then(|| reader.numbers("/scaler/mean", columns));
        if reader.value("/scaler/scale").is_some() {
            reader
                .fault("/scaler/scale", "an ONNX model scales by itself; `mean` alone says what a missing feature is");
        }
        let Ok(bytes) = STANDARD.decode(text) else {
            reader.fault("/onnx", "expected the model's bytes in base64");
            return None;
        };
        let built = catch_unwind(AssertUnwindSafe(|| Self::build(&bytes, output, class, mean, columns)));
        match built {
            Ok(Ok(network)) => Some(network),
            Ok(Err(Wrong { pointer, message })) => {
                reader.fault(pointer, message);
                None
            }
            Err(_) => {
                reader.fault("/onnx", "the model is broken: reading it failed");
                None
            }
        }
    }

    fn build(
        bytes: &[u8],
        output: Option<&str>,
        class: Option<f64>,
        mean: Option<Vec<f64>>,
        columns: usize,
    ) -> Result<Self, Wrong> {
        let framework = tract_onnx::onnx();
        let mut model: pb::ModelProto =
            framework.proto_model_for_read(&mut &*bytes).map_err(|error| Wrong::onnx(format!("not ONNX: {error}")))?;
        let graph = model.graph.as_mut().ok_or_else(|| Wrong::onnx("the model has no graph"))?;
        let prepared =
            graph::prepare(graph, output, columns, &|operator| framework.op_register.0.contains_key(operator))?;
        let mean = mean.or(prepared.mean).filter(|mean| mean.len() == columns);
        let mean = mean.ok_or_else(|| Wrong {
            pointer: "/scaler/mean",
            message: "missing; the model does not say what a missing feature is taken for".to_owned(),
        })?;
        let mut compiled = framework
            .model_for_proto_model(&model)
            .map_err(|error| Wrong::onnx(format!("the model cannot be run: {error:#}")))?;
        for (position, input) in prepared.inputs.iter().enumerate() {
            let fact = InferenceFact::dt_shape(input.datum_type, [1, input.width]);
            compiled.set_input_fact(position, fact).map_err(|error| Wrong::onnx(error.to_string()))?;
        }
        let plan = compiled
            .into_optimized()
            .and_then(IntoRunnable::into_runnable)
            .map_err(|error| Wrong::onnx(format!("the model cannot be run: {error:#}")))?;
        let mut network = Self { plan, inputs: prepared.inputs, mean, kind: Kind::Clusters, class: 0 };
        let said =
            network.run(&network.mean).map_err(|error| Wrong::onnx(format!("the model cannot be run: {error:#}")))?;
        let [said] = &*said else { return Err(Wrong::onnx("the model has no output")) };
        if said.datum_type().is_float() {
            network.kind = Kind::Probability;
            network.class = chosen(class, said.len())?;
        } else if !said.datum_type().is_integer() || said.len() != 1 {
            let message = format!(
                "expected one whole number or probabilities, not {:?} of {:?}",
                said.shape(),
                said.datum_type()
            );
            return Err(Wrong { pointer: "/output", message });
        }
        Ok(network)
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Asks the model.
    pub(super) fn predict(&self, features: impl Iterator<Item = Option<f64>>) -> Prediction {
        let features: Vec<f64> = features.zip(&self.mean).map(|(feature, mean)| feature.unwrap_or(*mean)).collect();
        // It ran when it was read; should it fail for these numbers all the same, no request goes down with it.
        let said = catch_unwind(AssertUnwindSafe(|| self.run(&features).ok())).ok().flatten();
        let first = said.as_ref().and_then(|said| said.first());
        match self.kind {
            Kind::Probability => {
                let said = first.and_then(|said| said.cast_to::<f64>().ok());
                let said = said
                    .as_ref()
                    .and_then(|said| said.try_as_plain_ram().ok()?.as_slice::<f64>().ok()?.get(self.class).copied());
                let said = said.filter(|said| !said.is_nan()).unwrap_or_default();
                Prediction::Probability(said.clamp(0.0, 1.0))
            }
            Kind::Clusters => {
                let said = first.and_then(|said| said.cast_to::<i64>().ok());
                let said = said
                    .as_ref()
                    .and_then(|said| said.try_as_plain_ram().ok()?.as_slice::<i64>().ok()?.first().copied());
                Prediction::Cluster(said.and_then(|said| u32::try_from(said).ok()).unwrap_or(u32::MAX))
            }
        }
    }

    fn run(&self, features: &[f64]) -> TractResult<TVec<TValue>> {
        let mut rest = features;
        let mut values = TVec::new();
        for input in &self.inputs {
            let (own, others) = rest.split_at(input.width.min(rest.len()));
            rest = others;
            let wide = tract_ndarray::Array2::from_shape_vec((1, own.len()), own.to_vec())?.into_tensor();
            values.push(wide.cast_to_dt(input.datum_type)?.into_owned().into_tvalue());
        }
        self.plan.run(values)
    }
}

/// Something that is wrong with the model.
struct Wrong {
    pointer: &'static str,
    message: String,
}

impl Wrong {
    fn onnx(message: impl Into<String>) -> Self {
        Self { pointer: "/onnx", message: message.into() }
    }
}

/// Which of so many probabilities is meant: of two the second, that of the positive class.
fn chosen(class: Option<f64>, count: usize) -> Result<usize, Wrong> {
    let wrong = |message: String| Wrong { pointer: "/class", message };
    match (class, count) {
        (None, 1) => Ok(0),
        (None, 2) => Ok(1),
        (None, _) => Err(wrong(format!("missing; which of the {count} probabilities is meant, from 0"))),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is checked to be a small whole number"
        )]
        (Some(class), _) if class.fract() == 0.0 && (0.0..LIMIT).contains(&class) && (class as usize) < count => {
            Ok(class as usize)
        }
        (Some(class), _) => Err(wrong(format!("there is no probability {class}, only {count}, from 0"))),
    }
}
