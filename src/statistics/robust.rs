//! How unusual a number is among others of which some may be unusual too.

/// What makes the median absolute deviation of normal numbers their standard deviation.
const OF_MEDIAN_DEVIATION: f64 = 1.4826;

/// The same for their mean absolute deviation.
const OF_MEAN_DEVIATION: f64 = 1.2533;

/// The middle of the numbers; none without any.
#[must_use]
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = numbers.iter().copied().filter(|number| number.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// How many standard deviations a number is above the median of `others`, where the deviation is told by the median of the
/// absolute ones, so that a few outliers among the others hide nothing. None: there are fewer than eight others, or they are
/// all the same. Iglewicz, Hoaglin: How to detect and handle outliers (1993), 3.3; they call 3.5 an outlier.
#[must_use]
pub fn robust_score(number: f64, others: &[f64]) -> Option<f64> {
    let middle = median(others).filter(|_| others.len() >= 8)?;
    let deviations: Vec<f64> = others.iter().map(|other| (other - middle).abs()).collect();
    let of_median = OF_MEDIAN_DEVIATION * median(&deviations)?;
    let of_mean = OF_MEAN_DEVIATION * deviations.iter().sum::<f64>() / deviations.len() as f64;
    let deviation = if of_median > 0.0 { of_median } else { of_mean };
    (deviation > 0.0).then(|| (number - middle) / deviation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_hide_nothing() {
        let others = [10.0, 11.0, 9.0, 10.5, 9.5, 10.0, 10.2, 9.8, 500.0];
        assert_eq!(median(&others), Some(10.0));
        assert!(robust_score(13.0, &others).unwrap() > 3.5);
        assert!(robust_score(10.4, &others).unwrap().abs() < 2.0);
        assert_eq!(robust_score(1.0, &[1.0; 20]), None);
        assert_eq!((robust_score(1.0, &others[..7]), median(&[])), (None, None));
        let mostly_same = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        assert!(robust_score(5.0, &mostly_same).unwrap() > 3.5);
    }
}
