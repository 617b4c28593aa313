//! What colours mean.

/// A colour by its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ink {
    /// Words and axes.
    Text,
    /// Words of less weight.
    Faint,
    /// Grid lines.
    Grid,
    /// The ground itself, for gaps.
    Ground,
    /// Fault windows, the warm-up, what was not run.
    Shade,
    /// Served.
    Good,
    /// Failed.
    Failed,
    /// Refused by policy.
    Refused,
    /// Retries and hedges.
    Retries,
    /// Neither: first tries, unfinished.
    Neutral,
    /// Latency p50, and the other lines of one kind from light to dark.
    Light,
    /// Latency p90.
    Middle,
    /// Latency p99.
    Dark,
    /// One of seven steps of a heatmap, from few to many.
    Heat(u8),
}

/// How many steps a heatmap has.
pub(crate) const HEATS: u8 = 7;

impl Ink {
    /// The colour on a light ground and on a dark one.
    ///
    /// Meanings from Okabe and Ito's palette, safe for the colour-blind; on dark the lightness turns round, not the hue.
    /// Words have a contrast of at least 4.5 to their ground.
    #[must_use]
    pub const fn colours(self) -> [[u8; 3]; 2] {
        match self {
            Self::Text => [[0x22, 0x26, 0x2a], [0xe6, 0xe8, 0xea]],
            Self::Faint => [[0x5c, 0x64, 0x6c], [0xa4, 0xac, 0xb4]],
            Self::Grid => [[0xdf, 0xe2, 0xe5], [0x33, 0x38, 0x3e]],
            Self::Ground => [[0xff, 0xff, 0xff], [0x16, 0x19, 0x1c]],
            Self::Shade => [[0x7f, 0x86, 0x8d], [0x8d, 0x95, 0x9d]],
            Self::Good => [[0x00, 0x9e, 0x73], [0x14, 0xb8, 0x8a]],
            Self::Failed => [[0xd5, 0x5e, 0x00], [0xf0, 0x7a, 0x1c]],
            Self::Refused => [[0xe6, 0x9f, 0x00], [0xf2, 0xb4, 0x33]],
            Self::Retries => [[0xcc, 0x79, 0xa7], [0xdb, 0x8f, 0xb9]],
            Self::Neutral => [[0xa3, 0xab, 0xb3], [0x6d, 0x76, 0x7f]],
            Self::Light => [[0x5b, 0xab, 0xdb], [0x2b, 0x7f, 0xb5]],
            Self::Middle => [[0x00, 0x72, 0xb2], [0x5a, 0xb1, 0xe4]],
            Self::Dark => [[0x00, 0x37, 0x5c], [0xc4, 0xe3, 0xf7]],
            Self::Heat(step) => match step {
                0 => [[0xe4, 0xee, 0xf4], [0x1c, 0x2a, 0x33]],
                1 => [[0xcb, 0xdf, 0xeb], [0x1f, 0x38, 0x47]],
                2 => [[0xad, 0xcd, 0xe0], [0x22, 0x48, 0x5d]],
                3 => [[0x8c, 0xb9, 0xd4], [0x28, 0x5a, 0x76]],
                4 => [[0x68, 0xa2, 0xc5], [0x34, 0x70, 0x91]],
                5 => [[0x45, 0x89, 0xb3], [0x48, 0x89, 0xac]],
                _ => [[0x2a, 0x6f, 0x9e], [0x66, 0xa5, 0xc7]],
            },
        }
    }

    /// Every ink, for a page's style.
    pub fn all() -> impl Iterator<Item = Self> {
        let plain = [
            Self::Text,
            Self::Faint,
            Self::Grid,
            Self::Ground,
            Self::Shade,
            Self::Good,
            Self::Failed,
            Self::Refused,
            Self::Retries,
            Self::Neutral,
            Self::Light,
            Self::Middle,
            Self::Dark,
        ];
        plain.into_iter().chain((0..HEATS).map(Self::Heat))
    }

    /// Its name in a page's style.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Faint => "faint".into(),
            Self::Grid => "grid".into(),
            Self::Ground => "ground".into(),
            Self::Shade => "shade".into(),
            Self::Good => "good".into(),
            Self::Failed => "failed".into(),
            Self::Refused => "refused".into(),
            Self::Retries => "retries".into(),
            Self::Neutral => "neutral".into(),
            Self::Light => "light".into(),
            Self::Middle => "middle".into(),
            Self::Dark => "dark".into(),
            Self::Heat(step) => format!("heat{step}"),
        }
    }

    /// `#009E73`: as it stands in the SVG, on light ground.
    #[must_use]
    pub fn hex(self) -> String {
        hex(self.colours()[0])
    }

    /// The same for dark ground.
    #[must_use]
    pub fn dark_hex(self) -> String {
        hex(self.colours()[1])
    }
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(colour: [u8; 3]) -> f64 {
        let linear = colour.map(|c| {
            let c = f64::from(c) / 255.0;
            if c <= 0.04045 {
                c / 12.92
            } else {
                libm::pow((c + 0.055) / 1.055, 2.4)
            }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    #[test]
    fn words_stand_out_from_their_ground() {
        for ink in [Ink::Text, Ink::Faint] {
            for (mine, ground) in ink.colours().into_iter().zip(Ink::Ground.colours()) {
                let (a, b) = (luminance(mine), luminance(ground));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= 4.5, "{ink:?}: {contrast}");
            }
        }
    }

    #[test]
    fn no_two_inks_share_a_colour() {
        let mut seen: Vec<String> = Ink::all().map(Ink::hex).collect();
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
