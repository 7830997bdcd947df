//! Sums from which means and variances come.

/// How many observations there are, their sum, and the sum of their squares. Two of them add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// How many.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub squares: f64,
}

impl Moments {
    /// So many of `count` are 1 and the others 0.
    #[must_use]
    pub fn of_rate(ones: u64, count: u64) -> Self {
        Self { count: count as f64, sum: ones as f64, squares: ones as f64 }
    }

    /// Takes in `times` observations of the same value.
    pub fn add(&mut self, value: f64, times: u64) {
        let times = times as f64;
        self.count += times;
        self.sum += times * value;
        self.squares += times * value * value;
    }

    /// Takes in what was observed elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// The mean; 0 without observations.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }

    /// The sample's variance; 0 with less than two observations.
    #[must_use]
    pub fn variance(&self) -> f64 {
        let around = self.squares - self.sum * self.mean();
        if self.count > 1.0 { (around / (self.count - 1.0)).max(0.0) } else { 0.0 }
    }

    /// The same mean and variance, as if of so many times fewer independent observations: the design effect of cluster
    /// sampling. Kish: Survey sampling (1965), 5.4.
    #[must_use]
    pub fn thinned(self, times: f64) -> Self {
        let times = times.max(1.0);
        Self { count: self.count / times, sum: self.sum / times, squares: self.squares / times }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_variances() {
        let mut all = Moments::default();
        assert_eq!((all.mean(), all.variance()), (0.0, 0.0));
        all.add(2.0, 2);
        let mut more = Moments::default();
        more.add(5.0, 1);
        all.merge(&more);
        assert_eq!((all.count, all.mean(), all.variance()), (3.0, 3.0, 3.0));
        let rate = Moments::of_rate(20, 100);
        assert!((rate.variance() - 0.2 * 0.8 * 100.0 / 99.0).abs() < 1e-12);
        let thinned = rate.thinned(4.0);
        assert_eq!((thinned.count, thinned.mean()), (25.0, 0.2));
    }
}
