//! Means and their intervals: Student's t, nothing more.

/// Of a mean: how likely the interval is to hold it.
pub const CONFIDENCE: f64 = 0.95;

/// Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom.
///
/// Source: Abramowitz and Stegun, table 26.10.
const T_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

/// The two-sided 95 % point of Student's t; infinite without a degree of freedom.
///
/// Beyond 30 degrees by the expansion in 1/degrees around the normal point, Abramowitz and Stegun 26.7.5, exact to three
/// decimals there.
#[must_use]
pub fn student_t(degrees: usize) -> f64 {
    if degrees == 0 {
        return f64::INFINITY;
    }
    if let Some(t) = T_975.get(degrees - 1) {
        return *t;
    }
    const X: f64 = 1.959_963_985;
    let n = degrees as f64;
    let (x3, x5) = (X * X * X, X * X * X * X * X);
    X + (x3 + X) / (4.0 * n) + (5.0 * x5 + 16.0 * x3 + 3.0 * X) / (96.0 * n * n)
}

/// The mean; none of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Half the width of the 95 % interval of the mean; none of fewer than two values.
#[must_use]
pub fn half_width(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    let deviation = libm::sqrt(squares / (n - 1.0));
    Some(student_t(values.len() - 1) * deviation / libm::sqrt(n))
}

/// The 95 % interval of the mean; none of fewer than two values, or of values that are not finite.
#[must_use]
pub fn mean_interval(values: &[f64]) -> Option<(f64, f64)> {
    if values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let (mean, half) = (mean(values)?, half_width(values)?);
    Some((mean - half, mean + half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_t_points_agree_with_the_tables() {
        for (degrees, expected) in [
            (1, 12.706),
            (10, 2.228),
            (30, 2.042),
            (31, 2.040),
            (40, 2.021),
            (60, 2.000),
            (120, 1.980),
            (100_000, 1.960),
        ] {
            assert!(
                (student_t(degrees) - expected).abs() < 6e-4,
                "{degrees}: {}",
                student_t(degrees)
            );
        }
    }

    #[test]
    fn the_interval_of_a_mean_is_the_textbook_one() {
        // Mean 5, deviation 2.1381, t(7) = 2.365.
        let (low, high) = mean_interval(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert!(
            (low - 3.2122).abs() < 1e-3 && (high - 6.7878).abs() < 1e-3,
            "{low} {high}"
        );
        assert_eq!(mean_interval(&[1.0]), None);
        assert_eq!(mean_interval(&[3.0, 3.0]), Some((3.0, 3.0)));
    }
}
