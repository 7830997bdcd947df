//! Trains models on profiles. Pure: profiles are offered, a document comes out; the seed and the time are given.
//!
//! Each feature is brought to mean 0 and deviation 1, then clustered (KMeans) or weighed (logistic regression). A fifth of the
//! rows is held back from the training, and the report says how the model does on it. The same profiles and the same seed give
//! the same model, in whatever order the profiles come: rows are drawn, held back and put in order by a hash of the user's id.

mod clusters;
mod logistic;
mod request;
mod sample;
mod scale;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use ndarray::Array2;
use serde_json::{Map, Value, json};

use crate::{
    model::{Effect, Fault},
    predict::Columns,
};

pub use request::{MAX_ROWS, Method, Request};
pub use sample::{LeftOut, Sample};

/// Every so many-th row is held back.
const HELD_BACK: usize = 5;

/// Fewer rows than this say nothing.
const FEWEST: usize = 10;

/// What is told while a model is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The steps that are done.
    pub done: u32,
    /// Of so many.
    pub of: u32,
}

/// The rows that a model learns from, or is judged by: scaled, with what is missing at the mean.
struct Part {
    rows: Array2<f64>,
    labels: Vec<bool>,
}

/// Trains a model on a sample. `id` and `trained_at` become part of the document; `previous` are the centres of the clusters
/// of the model that this one replaces: a new cluster takes the number of the old one that it is nearest to.
///
/// # Errors
/// The sample does not allow what was asked for. Pointers are to the request.
pub fn train(
    id: &str,
    request: &Request,
    sample: &Sample,
    trained_at: Timestamp,
    previous: Option<&[Vec<f64>]>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Map<String, Value>, Vec<Fault>> {
    let count = sample.len();
    if count < FEWEST {
        let left_out = sample.left_out();
        let message = format!(
            "{count} of {} profiles can be learnt from; at least {FEWEST} are needed ({left_out})",
            sample.seen()
        );
        return Err(vec![refused("", message)]);
    }
    let held_back = |position: usize| position % HELD_BACK == HELD_BACK - 1;
    let (mean, scale) = scale::fit(sample, &held_back);
    let unknown = mean.iter().enumerate().filter(|(_, mean)| mean.is_nan()).map(|(position, _)| {
        let name = request.columns.iter().nth(position).map_or("", |column| column.name());
        let message = format!("no profile has a number for {name:?}; a string needs an encoding");
        refused(&format!("/feature_columns/{position}"), message)
    });
    let unknown: Vec<Fault> = unknown.collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let part = |wanted: bool| scale::apply(sample, &mean, &scale, &|position| held_back(position) == wanted);
    let (learnt_from, judged_by) = (part(false), part(true));
    let mut report = json!({
        "seen": sample.seen(), "rows": learnt_from.rows.nrows(), "held_back": judged_by.rows.nrows(),
        "left_out": sample.left_out().to_json(), "missing": missing(&request.columns, sample),
    });
    let parameters = match &request.method {
        Method::KMeans { k, restarts } => {
            let previous = previous.map(|centres| scale::scaled(centres, &mean, &scale));
            let found = clusters::fit(&learnt_from.rows, *k, *restarts, request.seed, previous.as_deref(), progress)?;
            extend(&mut report, found.report(&learnt_from.rows, &judged_by.rows));
            json!({ "centroids": found.centroids })
        }
        Method::Logistic { alpha, .. } => {
            progress(Progress { done: 0, of: 1 });
            let found = logistic::fit(&learnt_from, *alpha)?;
            progress(Progress { done: 1, of: 1 });
            extend(&mut report, found.report(&judged_by));
            json!({ "coefficients": found.coefficients, "intercept": found.intercept })
        }
    };
    let mut document = request.begin(id);
    document.insert("scaler".to_owned(), json!({ "mean": mean, "scale": scale }));
    document.extend(parameters.as_object().cloned().unwrap_or_default());
    document.insert("trained_at".to_owned(), json!(format!("{trained_at:.6}")));
    document.insert("training".to_owned(), request.training(sample.most()));
    document.insert("report".to_owned(), report);
    Ok(document)
}

/// How many of the rows lack each column.
fn missing(columns: &Columns, sample: &Sample) -> Value {
    let count = |position: usize| sample.rows().filter(|row| row.features[position].is_nan()).count();
    let counts =
        columns.iter().enumerate().map(|(position, column)| (column.name().to_owned(), json!(count(position))));
    Value::Object(counts.collect())
}

fn extend(report: &mut Value, more: Value) {
    if let (Value::Object(report), Value::Object(more)) = (report, more) {
        report.extend(more);
    }
}

fn refused(pointer: &str, message: String) -> Fault {
    Fault { pointer: pointer.to_owned(), message, effect: Effect::Tolerated }
}
