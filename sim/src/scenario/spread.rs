//! A mean over several runs, and how far it may be off.

use serde::Serialize;

/// A mean with the half of its 95% confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The true mean lies within so much of it in 95 of 100 cases; none with a single run.
    pub within: Option<f64>,
}

/// The 97.5% quantiles of Student's distribution, for 1 degree of freedom and on.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

impl Spread {
    /// Returns the spread of a number over runs; `None` where no run has it.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count;
        let freedom = values.len() - 1;
        let within = (freedom > 0).then(|| {
            let variance =
                values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / freedom as f64;
            let student = STUDENT.get(freedom - 1).copied().unwrap_or(1.96);
            student * libm::sqrt(variance / count)
        });
        Some(Self { mean, within })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_student() {
        let spread = Spread::of(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread.mean, 2.0);
        assert!((spread.within.unwrap() - 4.303 / 3.0_f64.sqrt()).abs() < 1e-9);
        assert_eq!(Spread::of(&[5.0]).unwrap().within, None);
        assert_eq!(Spread::of(&[]), None);
    }
}
