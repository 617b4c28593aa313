//! The standard gamma distribution: its distribution function and quantile.

/// The regularised incomplete gamma functions P(a, x) and Q(a, x) = 1 - P(a, x), each with its own relative precision.
///
/// Source: Abramowitz and Stegun 6.5.29 (series) below x = a + 1, 6.5.31 (continued fraction, by Lentz's method) above.
pub(super) fn incomplete(a: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    let scale = libm::exp(a * libm::log(x) - x - libm::lgamma(a));
    if x < a + 1.0 {
        let p = (scale * series(a, x)).min(1.0);
        (p, 1.0 - p)
    } else {
        let q = (scale * fraction(a, x)).min(1.0);
        (1.0 - q, q)
    }
}

/// More terms than the slowest accepted shape needs (they grow with the root of `a`).
const TERMS: u32 = 5_000;

fn series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
    for _ in 0..TERMS {
        n += 1.0;
        term *= x / n;
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    sum
}

fn fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / away_from_zero(b);
    let mut h = d;
    for i in 1..TERMS {
        let i = f64::from(i);
        let an = -i * (i - a);
        b += 2.0;
        d = 1.0 / away_from_zero(an * d + b);
        c = away_from_zero(b + an / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() < 1e-16 {
            break;
        }
    }
    h
}

/// The x with P(a, x) = u, for `u` in (0, 1).
///
/// Newton's steps with Halley's correction inside a bracket that only shrinks, so that it ends for every shape. The start
/// is Wilson and Hilferty's (1931) cube of a normal, or the first term of the series for small shapes and far lower tails.
pub(super) fn quantile(a: f64, u: f64) -> f64 {
    let log_norm = libm::lgamma(a);
    let mut x = start(a, u);
    let (mut low, mut high) = (0.0, f64::INFINITY);
    for _ in 0..200 {
        let (p, q) = incomplete(a, x);
        let off = if u < 0.5 { p - u } else { (1.0 - u) - q };
        if off > 0.0 {
            high = x;
        } else if off < 0.0 {
            low = x;
        } else {
            return x;
        }
        let density = libm::exp((a - 1.0) * libm::log(x) - x - log_norm);
        let newton = off / density;
        let halley = newton / (1.0 - 0.5 * (newton * ((a - 1.0) / x - 1.0)).clamp(-1.0, 1.0));
        let mut next = x - halley;
        if !(next > low && next < high) {
            next = if high.is_finite() {
                0.5 * (low + high)
            } else {
                2.0 * x
            };
        }
        if (next - x).abs() <= 1e-14 * x {
            return next;
        }
        x = next;
    }
    x
}

fn start(a: f64, u: f64) -> f64 {
    let z = super::normal::quantile(u);
    let root = 1.0 - 1.0 / (9.0 * a) + z / (3.0 * libm::sqrt(a));
    if a >= 1.0 && root > 0.3 {
        return a * root * root * root;
    }
    let first_term = libm::exp((libm::log(u) + libm::lgamma(a + 1.0)) / a);
    if first_term < 0.3 * a.max(0.1) || u < 0.5 {
        first_term.max(f64::MIN_POSITIVE)
    } else {
        // the tail is nearly exponential
        (a - libm::log1p(-u)).max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_match_published_chi_square_tables() {
        // NIST/SEMATECH e-Handbook table of chi-square critical values: chi2(k) = 2 x gamma(k / 2)
        for (k, p, critical) in [
            (1.0, 0.90, 2.706),
            (1.0, 0.999, 10.828),
            (2.0, 0.95, 5.991),
            (5.0, 0.975, 12.833),
            (10.0, 0.99, 23.209),
            (30.0, 0.95, 43.773),
            (100.0, 0.999, 149.449),
            (5.0, 0.025, 0.831),
            (10.0, 0.01, 2.558),
            (100.0, 0.05, 77.929),
        ] {
            let found = 2.0 * quantile(k / 2.0, p);
            assert!((found - critical).abs() < 6e-4, "chi2({k}) at {p}: {found}");
        }
    }

    #[test]
    fn shape_one_is_the_exponential() {
        for i in 1..1000 {
            let u = f64::from(i) / 1000.0;
            let exact = -libm::log1p(-u);
            assert!((quantile(1.0, u) / exact - 1.0).abs() < 1e-12, "{u}");
        }
    }

    #[test]
    fn the_distribution_function_undoes_the_quantile_for_every_shape() {
        for a in [0.01, 0.1, 0.5, 0.9, 1.5, 3.0, 42.0, 1e3, 1e4] {
            for u in [1e-12, 1e-6, 0.01, 0.3, 0.5, 0.77, 0.99, 1.0 - 1e-9] {
                let x = quantile(a, u);
                if x < 1e-290 {
                    continue; // below what a double can hold: gamma(0.01) at 1e-6 is about 1e-600
                }
                let (p, q) = incomplete(a, x);
                let off = if u < 0.5 {
                    p / u - 1.0
                } else {
                    q / (1.0 - u) - 1.0
                };
                assert!(off.abs() < 1e-9, "gamma({a}) at {u}: x {x}, off by {off}");
            }
        }
    }
}
