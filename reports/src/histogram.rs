//! Log-linear histograms: constant relative error, memory by range and not by samples, sums that do not depend on order.
//!
//! Source: HdrHistogram's bucketing (Tene). `hdrhistogram` itself is the oracle in the tests; ours keeps only the range
//! that was touched, since there is one per window.

use serde::{Deserialize, Serialize};

/// Durations in nanoseconds, counted in buckets of `2^bits` a doubling.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "Sparse", into = "Sparse")]
pub struct Histogram {
    bits: u32,
    /// Bucket number of `counts[0]`, a multiple of `2^bits`.
    offset: usize,
    counts: Vec<u64>,
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
}

/// How a histogram is written: bucket numbers and counts of the buckets that are not empty.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sparse {
    bits: u32,
    sum_ns: u64,
    min_ns: u64,
    max_ns: u64,
    buckets: Vec<(u32, u64)>,
}

/// Three significant digits: totals.
pub const FINE: u32 = 10;
/// Within 1.6 %: one for each window.
pub const COARSE: u32 = 5;

impl Histogram {
    /// An empty one with `2^bits` buckets a doubling.
    #[must_use]
    pub const fn new(bits: u32) -> Self {
        Self {
            bits,
            offset: 0,
            counts: Vec::new(),
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
        }
    }

    /// Counts one sample. Allocates only when it widens the range by a doubling or more.
    #[inline]
    pub fn record(&mut self, nanos: u64) {
        let bucket = self.bucket_of(nanos);
        let at = bucket.wrapping_sub(self.offset);
        if at >= self.counts.len() {
            self.widen(bucket);
        }
        self.counts[bucket - self.offset] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(nanos);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    #[cold]
    fn widen(&mut self, bucket: usize) {
        let block = 1 << self.bits;
        let start = bucket / block * block;
        if self.counts.is_empty() {
            self.offset = start;
        }
        if start < self.offset {
            let front = self.offset - start;
            self.counts.splice(0..0, std::iter::repeat_n(0, front));
            self.offset = start;
        }
        let need = start + block - self.offset;
        if self.counts.len() < need {
            self.counts.resize(need, 0);
        }
    }

    const fn bucket_of(&self, nanos: u64) -> usize {
        if nanos < 1 << self.bits {
            return nanos as usize;
        }
        let shift = 63 - nanos.leading_zeros() - self.bits;
        ((shift as usize) << self.bits) + (nanos >> shift) as usize
    }

    /// The lowest value of a bucket and how many values it spans.
    const fn bounds_of(bits: u32, bucket: usize) -> (u64, u64) {
        if bucket < 1 << bits {
            return (bucket as u64, 1);
        }
        let shift = (bucket >> bits) - 1;
        let mantissa = (bucket & ((1 << bits) - 1)) as u64 + (1 << bits);
        (mantissa << shift, 1 << shift)
    }

    /// How many samples.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing was counted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The exact mean in nanoseconds; none without samples.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The exact largest sample; none without samples.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// The exact smallest sample; none without samples.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// The middle of the bucket that holds the sample of rank `ceil(q · count)`, within the exact smallest and largest.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let rank = (libm::ceil(q * self.count as f64) as u64).clamp(1, self.count);
        let mut seen = 0;
        for (at, &n) in self.counts.iter().enumerate() {
            seen += n;
            if seen >= rank {
                let (low, width) = Self::bounds_of(self.bits, self.offset + at);
                return Some((low + width / 2).clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// Adds the samples of `other`, whose buckets must be as fine or finer. The order of merges does not matter.
    pub fn merge(&mut self, other: &Self) {
        for (low, width, n) in other.buckets() {
            let bucket = self.bucket_of(if other.bits == self.bits {
                low
            } else {
                low + width / 2
            });
            if bucket.wrapping_sub(self.offset) >= self.counts.len() {
                self.widen(bucket);
            }
            self.counts[bucket - self.offset] += n;
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// The buckets that are not empty: lowest value, number of values spanned, samples.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|&(_, &n)| n > 0)
            .map(|(at, &n)| {
                let (low, width) = Self::bounds_of(self.bits, self.offset + at);
                (low, width, n)
            })
    }

    /// Empties it and gives back what was in it, keeping its memory.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let taken = Self {
            counts: self.counts.clone(),
            ..*self
        };
        self.counts.fill(0);
        (self.count, self.sum, self.min, self.max) = (0, 0, u64::MAX, 0);
        taken
    }

    /// Frees the ends of the range that hold nothing.
    pub fn shrink(&mut self) {
        let block = 1 << self.bits;
        let used = self
            .counts
            .iter()
            .rposition(|&n| n > 0)
            .map_or(0, |i| i + 1);
        self.counts.truncate(used.next_multiple_of(block));
        let idle = self.counts.iter().take_while(|&&n| n == 0).count() / block * block;
        self.counts.drain(..idle);
        self.offset += idle;
        self.counts.shrink_to_fit();
    }
}

impl From<Histogram> for Sparse {
    fn from(h: Histogram) -> Self {
        let filled = h.counts.iter().enumerate().filter(|&(_, &n)| n > 0);
        Self {
            bits: h.bits,
            sum_ns: h.sum,
            min_ns: if h.count == 0 { 0 } else { h.min },
            max_ns: h.max,
            buckets: filled.map(|(at, &n)| ((h.offset + at) as u32, n)).collect(),
        }
    }
}

impl From<Sparse> for Histogram {
    /// Nonsense in a file gives a small or an odd histogram, never a panic.
    fn from(s: Sparse) -> Self {
        let mut h = Self::new(s.bits.clamp(1, FINE));
        let most = (65 - h.bits as usize) << h.bits;
        for (bucket, n) in s.buckets {
            let bucket = (bucket as usize).min(most - 1);
            if bucket.wrapping_sub(h.offset) >= h.counts.len() {
                h.widen(bucket);
            }
            let slot = &mut h.counts[bucket - h.offset];
            *slot = slot.saturating_add(n);
            h.count = h.count.saturating_add(n);
        }
        h.sum = s.sum_ns;
        if h.count > 0 {
            h.min = s.min_ns.min(s.max_ns);
            h.max = s.max_ns;
        }
        h.shrink();
        h
    }
}

#[cfg(test)]
mod tests;
