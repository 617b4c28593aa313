//! Plotters' SVG backend, with fractions of a pixel and colours by meaning.

use plotters::backend::SVGBackend;
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontTransform, IntoFont, RGBColor, ShapeStyle};

use super::Ink;

/// The backend knows whole units only; so many of them make a pixel.
const UNITS: f64 = 4.0;
/// Asked for in the SVG; the host that shows it has it, none is measured here.
const FONT: &str = "system-ui, -apple-system, Segoe UI, Roboto, sans-serif";
/// The backend divides the size it is given by this.
const FONT_FACTOR: f64 = 1.24;
/// Width of a letter to its size, on the wide side, for keeping labels apart.
const LETTER: f64 = 0.56;

/// Where a text stands from its point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letters {
    pub(crate) size: f64,
    pub(crate) ink: Ink,
    pub(crate) bold: bool,
    pub(crate) anchor: Anchor,
}

impl Letters {
    pub(crate) const fn new(size: f64, ink: Ink, anchor: Anchor) -> Self {
        Self {
            size,
            ink,
            bold: false,
            anchor,
        }
    }

    pub(crate) const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
}

/// About how wide a text will be.
pub(crate) fn width_of(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * LETTER
}

/// The text, shortened in the middle to fit a width.
pub(crate) fn fitted(text: &str, size: f64, width: f64) -> String {
    let fits = (width / (size * LETTER)) as usize;
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= fits || fits < 3 {
        return text.to_owned();
    }
    let (head, tail) = (fits.div_ceil(2) - 1, fits / 2);
    let head: String = letters[..head].iter().collect();
    let tail: String = letters[letters.len() - tail..].iter().collect();
    format!("{head}…{tail}")
}

/// Draws into one SVG. All coordinates are pixels.
pub(crate) struct Pen<'a> {
    backend: SVGBackend<'a>,
}

/// One SVG of this size, with `alt` in place of the picture for who cannot see it.
pub(crate) fn draw(width: f64, height: f64, alt: &str, paint: impl FnOnce(&mut Pen<'_>)) -> String {
    let mut text = String::new();
    {
        let size = (units(width) as u32, units(height) as u32);
        let mut pen = Pen {
            backend: SVGBackend::with_string(&mut text, size),
        };
        paint(&mut pen);
        pen.backend.present().expect("a string takes everything");
    }
    let body = text.split_once('>').map_or("", |(_, body)| body);
    let body = body
        .replace(" opacity=\"1\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(&format!(" font-family=\"{FONT}\""), "")
        .replace(" \"/>", "\"/>");
    format!(
        "<svg viewBox=\"0 0 {} {}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{}\">{body}",
        units(width),
        units(height),
        crate::html::escape(alt)
    )
}

fn units(pixels: f64) -> i32 {
    libm::round(pixels * UNITS) as i32
}

fn style(ink: Ink, opacity: f64, width: f64) -> ShapeStyle {
    let [r, g, b] = ink.colours()[0];
    ShapeStyle {
        color: RGBColor(r, g, b).mix(opacity),
        filled: true,
        stroke_width: units(width).max(1) as u32,
    }
}

fn point((x, y): (f64, f64)) -> (i32, i32) {
    (units(x), units(y))
}

const DRAWN: &str = "a string takes everything";

impl Pen<'_> {
    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        self.backend
            .draw_line(point(from), point(to), &style(ink, 1.0, width))
            .expect(DRAWN);
    }

    /// A line of dashes four pixels long.
    pub(crate) fn dashed(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = libm::sqrt(dx * dx + dy * dy);
        let at = |d: f64| (from.0 + dx * d / length, from.1 + dy * d / length);
        let mut done = 0.0;
        while done < length {
            self.line(at(done), at((done + 4.0).min(length)), ink, width);
            done += 7.0;
        }
    }

    pub(crate) fn path(&mut self, points: &[(f64, f64)], ink: Ink, width: f64) {
        if points.len() > 1 {
            self.backend
                .draw_path(points.iter().copied().map(point), &style(ink, 1.0, width))
                .expect(DRAWN);
        }
    }

    pub(crate) fn area(&mut self, points: &[(f64, f64)], ink: Ink, opacity: f64) {
        if points.len() > 2 {
            let colour = style(ink, opacity, 1.0);
            self.backend
                .fill_polygon(points.iter().copied().map(point), &colour)
                .expect(DRAWN);
        }
    }

    /// Filled, from its upper left to its lower right corner.
    pub(crate) fn rect(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, opacity: f64) {
        self.backend
            .draw_rect(point(from), point(to), &style(ink, opacity, 1.0), true)
            .expect(DRAWN);
    }

    pub(crate) fn disc(&mut self, centre: (f64, f64), radius: f64, ink: Ink, opacity: f64) {
        let radius = units(radius).max(1) as u32;
        self.backend
            .draw_circle(point(centre), radius, &style(ink, opacity, 1.0), true)
            .expect(DRAWN);
    }

    /// A text whose middle has the height of its point.
    pub(crate) fn text(&mut self, text: &str, at: (f64, f64), letters: Letters) {
        let [r, g, b] = letters.ink.colours()[0];
        let style = if letters.bold {
            plotters::style::FontStyle::Bold
        } else {
            plotters::style::FontStyle::Normal
        };
        let size = letters.size * UNITS * FONT_FACTOR;
        let font = (FontFamily::Name(FONT), size, style).into_font();
        let h_pos = match letters.anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let style = font
            .transform(FontTransform::None)
            .color(&RGBColor(r, g, b))
            .pos(Pos::new(h_pos, VPos::Center));
        self.backend
            .draw_text(text, &style, point(at))
            .expect(DRAWN);
    }
}
