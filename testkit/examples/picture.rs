//! Draws the picture of the README: two variants of the tutorial, flown, over one time axis.
//!
//! ```text
//! cargo run --release -p testkit --example picture
//! ```

use std::path::Path;

use reports::chart::Ink;
use reports::chart::strips::{Panel, panels, ruler};
use reports::result::RunResult;
use sim::{Options, fly};
use testkit::flights::shipped_flight;

const VARIANTS: [&str; 2] = ["storm", "budget"];
/// What the page calls the panels that are shown.
const SHOWN: [&str; 3] = ["Requests a second", "Latency", "Attempts"];
const WIDTH: f64 = 960.0;
const MARGIN: f64 = 16.0;
const LINE: f64 = 22.0;

fn main() -> std::io::Result<()> {
    let fly_one = |variant: &str| {
        let flight = shipped_flight("tutorial", Some(variant), &[]);
        fly(&flight, flight.plan.seed, Options::default()).result
    };
    let results: Vec<RunResult> = VARIANTS.into_iter().map(fly_one).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/storm.svg");
    std::fs::write(path, picture(&results))
}

/// Strips under each other as the page has them, in one SVG that needs no style sheet.
fn picture(results: &[RunResult]) -> String {
    let mut sheet = Sheet {
        body: String::new(),
        y: MARGIN,
    };
    sheet.strip(&ruler(results));
    let all = panels(results);
    let begins = |panel: &&Panel| SHOWN.iter().any(|name| panel.name.starts_with(name));
    for panel in all.iter().filter(begins) {
        sheet.heading(panel);
        for (result, row) in results.iter().zip(&panel.rows) {
            sheet.title(&result.label(), &row.title.replace('`', ""));
            sheet.strip(row.svg.as_deref().unwrap_or_default());
        }
    }
    sheet.finish()
}

struct Sheet {
    body: String,
    y: f64,
}

impl Sheet {
    /// A drawing of the page, moved here.
    fn strip(&mut self, svg: &str) {
        let height = svg
            .split_once(" height=\"")
            .and_then(|(_, rest)| rest.split('"').next())
            .and_then(|height| height.parse::<f64>().ok());
        let Some(height) = height else {
            return;
        };
        let placed = format!("<svg x=\"{MARGIN}\" y=\"{}\"", self.y);
        self.body.push_str(&svg.replacen("<svg", &placed, 1));
        self.y += height + 4.0;
    }

    /// What a panel shows, and what its colours mean.
    fn heading(&mut self, panel: &Panel) {
        self.y += LINE;
        let mut line = bold(&panel.name);
        for (ink, name) in &panel.key {
            let (square, words) = (ink.hex(), Ink::Faint.hex());
            line.push_str(&format!(
                "<tspan dx=\"12\" fill=\"{square}\">\u{25a0}</tspan><tspan dx=\"4\" fill=\"{words}\">{}</tspan>",
                escaped(name)
            ));
        }
        self.line(&line);
    }

    /// What is to be seen in a strip, and of which variant.
    fn title(&mut self, label: &str, title: &str) {
        self.y += LINE - 6.0;
        let title = escaped(title);
        self.line(&format!("{}<tspan dx=\"8\">{title}</tspan>", bold(label)));
    }

    /// Words on the present line.
    fn line(&mut self, spans: &str) {
        self.body.push_str(&format!(
            "<text x=\"{MARGIN}\" y=\"{}\" font-size=\"13\" fill=\"{}\">{spans}</text>",
            self.y,
            Ink::Text.hex()
        ));
        self.y += 4.0;
    }

    fn finish(self) -> String {
        let (width, height) = (WIDTH + 2.0 * MARGIN, self.y + MARGIN);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\
            <style>text{{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}}</style>\
            <rect width=\"100%\" height=\"100%\" fill=\"{}\"/>{}</svg>\n",
            Ink::Ground.hex(),
            self.body
        )
    }
}

fn bold(words: &str) -> String {
    format!("<tspan font-weight=\"600\">{}</tspan>", escaped(words))
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;")
}
