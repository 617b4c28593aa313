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
const SHOWN: [&str; 3] = ["Requests", "Latency", "Attempts"];
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

    fn heading(&mut self, panel: &Panel) {
        self.y += LINE;
        let mut x = MARGIN;
        self.words(&mut x, &panel.name, "font-weight=\"600\"", Ink::Text);
        for (ink, name) in &panel.key {
            x += 14.0;
            let top = self.y - 10.0;
            self.body.push_str(&format!(
                "<rect x=\"{x}\" y=\"{top}\" width=\"11\" height=\"11\" rx=\"2\" fill=\"{}\"/>",
                ink.hex()
            ));
            x += 16.0;
            self.words(&mut x, name, "", Ink::Faint);
        }
        self.y += 4.0;
    }

    fn title(&mut self, label: &str, title: &str) {
        self.y += LINE - 6.0;
        let mut x = MARGIN;
        self.words(&mut x, label, "font-weight=\"600\"", Ink::Text);
        x += 8.0;
        self.words(&mut x, title, "", Ink::Text);
        self.y += 4.0;
    }

    /// Words on the present line; `x` moves on by about their width.
    fn words(&mut self, x: &mut f64, words: &str, weight: &str, ink: Ink) {
        let text = words.replace('&', "&amp;").replace('<', "&lt;");
        self.body.push_str(&format!(
            "<text x=\"{x}\" y=\"{}\" font-size=\"14\" {weight} fill=\"{}\">{text}</text>",
            self.y,
            ink.hex()
        ));
        *x += words.chars().count() as f64 * 7.2;
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
