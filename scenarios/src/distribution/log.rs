//! The natural logarithm of numbers in (0, 1], for draws: without a division, and the same bits on every host.
//!
//! The range is cut in pieces of an octave's 128th, the logarithm of each piece's middle c is looked up, and that of x / c, which is
//! within 1/256 of one, is the series log(1 + r). Only additions and multiplications of IEEE 754, each rounded once.
//!
//! Source: Tang, "Table-driven implementation of the logarithm function in IEEE floating-point arithmetic", ACM TOMS 16 (1990).

use core::f64::consts::LN_2;

/// Pieces of an octave, as bits of the mantissa.
const PIECES: u32 = 7;
const MANTISSA: u32 = f64::MANTISSA_DIGITS - 1;

#[derive(Clone, Copy)]
struct Piece {
    middle: f64,
    inverse: f64,
    log: f64,
}

static TABLE: [Piece; 1 << PIECES] = table();

const fn table() -> [Piece; 1 << PIECES] {
    let none = Piece {
        middle: 0.0,
        inverse: 0.0,
        log: 0.0,
    };
    let mut table = [none; 1 << PIECES];
    let mut at = 0;
    while at < table.len() {
        let middle = 1.0 + (at as f64 + 0.5) / table.len() as f64;
        table[at] = Piece {
            middle,
            inverse: 1.0 / middle,
            log: series(middle),
        };
        at += 1;
    }
    table
}

/// log(c) for c in [1, 2]: twice the inverse hyperbolic tangent of (c - 1) / (c + 1), which is a third at most.
const fn series(c: f64) -> f64 {
    let s = (c - 1.0) / (c + 1.0);
    let (mut sum, mut degree) = (0.0, 39);
    while degree > 0 {
        sum = sum * s * s + 1.0 / degree as f64;
        degree -= 2;
    }
    2.0 * s * sum
}

/// log(x) for x in (0, 1], to less than 2^-51 of the larger of one and the result.
#[inline]
pub(crate) fn log(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = (bits >> MANTISSA) as i32 - (f64::MAX_EXP - 1);
    let mantissa = bits & ((1 << MANTISSA) - 1);
    let piece = &TABLE[(mantissa >> (MANTISSA - PIECES)) as usize];
    let scaled = f64::from_bits(1.0_f64.to_bits() | mantissa);
    // the difference is exact
    let r = (scaled - piece.middle) * piece.inverse;
    let square = r * r;
    let high = -1.0 / 4.0 + r * (1.0 / 5.0) + square * (-1.0 / 6.0 + r * (1.0 / 7.0));
    let low = -1.0 / 2.0 + r * (1.0 / 3.0) + square * high;
    f64::from(exponent) * LN_2 + (piece.log + (r + square * low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_close(x: f64) -> bool {
        let exact = libm::log(x);
        (log(x) - exact).abs() <= 2.0 * f64::EPSILON * exact.abs().max(1.0)
    }

    #[test]
    fn the_ends_of_all_pieces_are_as_libm_has_them() {
        assert_eq!(log(1.0), 0.0);
        for octave in 0..55 {
            for piece in 0..128_u32 {
                let start = (1.0 + f64::from(piece) / 128.0) * libm::exp2(-f64::from(octave) - 1.0);
                for x in [start, start.next_down(), start.next_up()] {
                    assert!(is_close(x), "{x}: {} and not {}", log(x), libm::log(x));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_as_libm_has_it(x in f64::MIN_POSITIVE..=1.0, near in 0.0..1.0_f64) {
            prop_assert!(is_close(x), "{x}: {} and not {}", log(x), libm::log(x));
            let near = 1.0 - near * 1e-6;
            prop_assert!(is_close(near), "{near}: {} and not {}", log(near), libm::log(near));
        }
    }
}
