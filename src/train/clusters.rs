//! KMeans: begun by k-means++ and run by linfa, several times, then settled until no row changes its cluster.

use linfa::{DatasetBase, traits::Fit as _};
use linfa_clustering::KMeans;
use ndarray::{Array2, ArrayView2};
use rand_xoshiro::{Xoshiro256Plus, rand_core::SeedableRng as _};
use serde_json::{Value, json};

use super::{Progress, refused};
use crate::{model::Fault, predict};

/// The most rounds of one start, and of the settling after it.
const ROUNDS: u64 = 300;

/// How far the clusters may move together in a round for linfa to stop.
const TOLERANCE: f64 = 1e-4;

/// What was found.
pub(super) struct Clusters {
    pub(super) centroids: Vec<Vec<f64>>,
}

/// One start's outcome.
struct Start {
    /// One row for each cluster, one after the other.
    centroids: Vec<f64>,
    /// The sum of the squared distances to the nearest centroid.
    inertia: f64,
    sizes: Vec<usize>,
}

/// Finds clusters. The largest is the first, unless previous ones say which number is nearest to what it was.
pub(super) fn fit(
    rows: &Array2<f64>,
    k: usize,
    restarts: u32,
    seed: u64,
    previous: Option<&[Vec<f64>]>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Clusters, Vec<Fault>> {
    if rows.nrows() < k {
        return Err(vec![refused("/k", format!("{k} clusters of {} profiles", rows.nrows()))]);
    }
    let mut best: Option<Start> = None;
    for run in 0..restarts {
        progress(Progress { done: run, of: restarts });
        let found = start(rows, k, seed.wrapping_add(u64::from(run)))?;
        if best.as_ref().is_none_or(|best| found.inertia < best.inertia) {
            best = Some(found);
        }
    }
    progress(Progress { done: restarts, of: restarts });
    let Some(best) = best else { return Err(vec![refused("/restarts", "no start".to_owned())]) };
    let width = rows.ncols();
    let mut found: Vec<(usize, Vec<f64>)> =
        best.sizes.iter().copied().zip(best.centroids.chunks_exact(width).map(<[f64]>::to_vec)).collect();
    if found.iter().any(|(size, _)| *size == 0) {
        let distinct = found.iter().filter(|(size, _)| *size > 0).count();
        return Err(vec![refused("/k", format!("the profiles fall into {distinct} clusters only, not {k}"))]);
    }
    found.sort_by(|left, right| {
        let by_place = || left.1.iter().zip(&right.1).map(|(left, right)| left.total_cmp(right)).find(|by| by.is_ne());
        right.0.cmp(&left.0).then_with(|| by_place().unwrap_or(std::cmp::Ordering::Equal))
    });
    let centroids: Vec<Vec<f64>> = found.into_iter().map(|(_, centroid)| centroid).collect();
    Ok(Clusters {
        centroids: match previous.filter(|previous| previous.len() == k && previous.iter().all(|at| at.len() == width))
        {
            Some(previous) => renumbered(centroids, previous),
            None => centroids,
        },
    })
}

fn start(rows: &Array2<f64>, k: usize, seed: u64) -> Result<Start, Vec<Fault>> {
    let parameters = KMeans::params_with_rng(k, Xoshiro256Plus::seed_from_u64(seed))
        .n_runs(1)
        .max_n_iterations(ROUNDS)
        .tolerance(TOLERANCE);
    let dataset: DatasetBase<ArrayView2<'_, f64>, ()> = DatasetBase::new(rows.view(), ());
    let fitted =
        parameters.fit(&dataset).map_err(|error| vec![refused("", format!("KMeans found no clusters: {error}"))])?;
    Ok(settle(rows, fitted.centroids().iter().copied().collect()))
}

/// Moves each centroid to the mean of its rows until no row changes its cluster. linfa counts a centroid as one more row of its
/// cluster, and stops when little moves; the report, and who else clusters the same rows, mean the plain mean.
fn settle(rows: &Array2<f64>, mut centroids: Vec<f64>) -> Start {
    let (width, k) = (rows.ncols(), centroids.len() / rows.ncols());
    let mut members: Vec<u32> = Vec::new();
    for _ in 0..ROUNDS {
        let now: Vec<u32> = assigned(rows, &centroids).map(|(cluster, _)| cluster).collect();
        if now == members {
            break;
        }
        members = now;
        let (mut sums, mut counts) = (vec![0.0; centroids.len()], vec![0_u32; k]);
        for (row, cluster) in rows.rows().into_iter().zip(&members) {
            let cluster = *cluster as usize;
            counts[cluster] += 1;
            sums[cluster * width..][..width].iter_mut().zip(row).for_each(|(sum, at)| *sum += at);
        }
        for (cluster, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            for position in cluster * width..(cluster + 1) * width {
                centroids[position] = sums[position] / f64::from(*count);
            }
        }
    }
    let (mut inertia, mut sizes) = (0.0, vec![0; k]);
    for (cluster, distance) in assigned(rows, &centroids) {
        inertia += distance;
        sizes[cluster as usize] += 1;
    }
    Start { centroids, inertia, sizes }
}

/// The nearest cluster of each row, and the squared distance to it.
fn assigned<'r>(rows: &'r Array2<f64>, centroids: &'r [f64]) -> impl Iterator<Item = (u32, f64)> + use<'r> {
    rows.rows().into_iter().map(|row| {
        let row = row.to_slice().unwrap_or_default();
        predict::nearest(row, centroids)
    })
}

/// Gives each cluster the number of the previous one that it is nearest to; the closest pairs choose first.
fn renumbered(mut centroids: Vec<Vec<f64>>, previous: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let distance =
        |left: &[f64], right: &[f64]| -> f64 { left.iter().zip(right).map(|(a, b)| (a - b) * (a - b)).sum() };
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (number, was) in previous.iter().enumerate() {
        pairs.extend(centroids.iter().enumerate().map(|(position, is)| (distance(was, is), number, position)));
    }
    pairs.sort_by(|left, right| left.0.total_cmp(&right.0).then((left.1, left.2).cmp(&(right.1, right.2))));
    let mut places: Vec<Option<usize>> = vec![None; previous.len()];
    for (_, number, position) in pairs {
        if places[number].is_none() && !places.contains(&Some(position)) {
            places[number] = Some(position);
        }
    }
    places.into_iter().flatten().map(|position| std::mem::take(&mut centroids[position])).collect()
}

impl Clusters {
    pub(super) fn report(&self, learnt_from: &Array2<f64>, judged_by: &Array2<f64>) -> Value {
        let flat: Vec<f64> = self.centroids.concat();
        let mut sizes = vec![0_u32; self.centroids.len()];
        let inertia: f64 = assigned(learnt_from, &flat).map(|(_, distance)| distance).sum();
        let held_back: f64 = assigned(judged_by, &flat).map(|(_, distance)| distance).sum();
        for (cluster, _) in assigned(learnt_from, &flat).chain(assigned(judged_by, &flat)) {
            sizes[cluster as usize] += 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "there are at most 100 000 rows")]
        let per_row = |sum: f64, rows: &Array2<f64>| sum / rows.nrows() as f64;
        json!({"inertia": inertia, "inertia_per_row": per_row(inertia, learnt_from),
            "held_back_inertia_per_row": per_row(held_back, judged_by), "cluster_sizes": sizes})
    }
}
