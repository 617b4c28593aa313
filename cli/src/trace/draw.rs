//! A trace as people read it: indented by party, with the rule of each decision at the right.

use proxy_core::time::Duration;
use reports::trace::{Consequence, Part, Step, Subject, Trace};

/// The longest line that the column of the rules gives way to.
const WIDEST: usize = 100;
/// Columns of a trouble.
const TROUBLE: usize = 22;
/// Columns of the subject.
const SUBJECT: usize = 11;

/// Draws a trace and what would come of failures; `asked` says whether those were asked for.
pub(super) fn draw(
    trace: &Trace,
    consequences: &[Consequence],
    asked: bool,
    colour: bool,
) -> String {
    let pen = Pen { colour };
    let mut page = Page::default();
    steps(trace, pen, &mut page);
    let mut out = format!("{}\n", pen.bold(&trace.request));
    out.push_str(&page.set(pen));
    out.push_str(&format!("\n{}\n", pen.outcome(trace)));
    if !asked {
        return out;
    }
    let Some(server) = &trace.outcome.server else {
        out.push_str("\nIt reaches no server, so nothing of one can fail.\n");
        return out;
    };
    out.push_str(&format!("\nIf {}\n", pen.bold(&server.workload)));
    let lengths = consequences.iter().flat_map(|each| {
        let parts = each.parts.iter().filter(|part| part.origin.is_some());
        parts.map(|part| part_text(each, part).chars().count())
    });
    let width = lengths.filter(|length| *length <= WIDEST).max();
    for each in consequences {
        out.push_str(&consequence(each, pen, width.unwrap_or(0)));
    }
    out
}

/// Lines, some with a rule at the right.
#[derive(Default)]
struct Page {
    lines: Vec<Line>,
}

struct Line {
    text: String,
    /// As it is seen, without colours.
    width: usize,
    origin: Option<String>,
}

impl Page {
    fn add(&mut self, text: String, width: usize, origin: Option<&str>) {
        let origin = origin.map(str::to_owned);
        self.lines.push(Line {
            text,
            width,
            origin,
        });
    }

    /// The text with all rules in one column, but for lines that are too long.
    fn set(&self, pen: Pen) -> String {
        let ruled = self.lines.iter().filter(|line| line.origin.is_some());
        let widths = ruled.map(|line| line.width);
        let column = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
        let mut out = String::new();
        for line in &self.lines {
            out.push_str(&line.text);
            if let Some(origin) = &line.origin {
                let gap = column.saturating_sub(line.width) + 2;
                out.push_str(&" ".repeat(gap));
                out.push_str(&pen.dim(origin));
            }
            out.push('\n');
        }
        out
    }
}

fn steps(trace: &Trace, pen: Pen, page: &mut Page) {
    let mut open: Vec<u32> = Vec::new();
    let mut known = vec![false; trace.parties.len()];
    let mut last_at = 0;
    for step in &trace.steps {
        let depth = trace.parties[step.party as usize].depth;
        match open.iter().position(|party| *party == step.party) {
            Some(at) => open.truncate(at + 1),
            None => {
                open.retain(|each| trace.parties[*each as usize].depth < depth);
                open.push(step.party);
                let is_known = std::mem::replace(&mut known[step.party as usize], true);
                header(trace, step.party, is_known, pen, page);
            }
        }
        if step.at_ns > last_at {
            let passed = format!("after {}", Duration::from_nanos(step.at_ns));
            page.add(format!("{}  {}", indent(depth), pen.dim(&passed)), 0, None);
            last_at = step.at_ns;
        }
        line(depth, step, pen, page);
    }
}

/// The name of a party; what it is, where it is met for the first time.
fn header(trace: &Trace, party: u32, is_known: bool, pen: Pen, page: &mut Page) {
    let party = &trace.parties[party as usize];
    let (name, indent) = (party.full_name(), indent(party.depth));
    page.add(String::new(), 0, None);
    if is_known {
        page.add(format!("{indent}{}", pen.bold(&name)), 0, None);
        return;
    }
    let about = match party.about.is_empty() {
        true => String::new(),
        false => format!("  {}", party.about),
    };
    let width = indent.len() + name.chars().count() + about.chars().count();
    let text = format!("{indent}{}{}", pen.bold(&name), pen.dim(&about));
    page.add(text, width, party.origin.as_deref());
}

fn line(depth: u32, step: &Step, pen: Pen, page: &mut Page) {
    let subject = format!("{:<SUBJECT$}", step.subject.text());
    let width = indent(depth).len() + 2 + SUBJECT + step.text.chars().count();
    let text = match (step.failed, step.subject) {
        (true, _) => pen.bad(&step.text),
        (false, Subject::Answer) => pen.good(&step.text),
        (false, _) => step.text.clone(),
    };
    let line = format!("{}  {}{text}", indent(depth), pen.dim(&subject));
    page.add(line, width, step.origin.as_deref());
}

fn indent(depth: u32) -> String {
    "  ".repeat(depth as usize)
}

fn consequence(each: &Consequence, pen: Pen, width: usize) -> String {
    let outcome = &each.trace.outcome;
    let passed = Duration::from_nanos(outcome.after_ns);
    let seen = match outcome.open {
        true => format!("still waits after {passed}: nothing bounds it"),
        false => format!("gets {} after {passed}", outcome.text()),
    };
    let seen = match outcome.status {
        200..=399 => pen.good(&seen),
        _ => pen.bad(&seen),
    };
    let mut out = format!("  {:<TROUBLE$}the client {seen}\n", each.trouble.text());
    for part in &each.parts {
        let text = part_text(each, part);
        let gap = " ".repeat(width.saturating_sub(text.chars().count()) + 2);
        let origin = part
            .origin
            .as_deref()
            .map(|it| format!("{gap}{}", pen.dim(it)));
        out.push_str(&format!("{text}{}\n", origin.unwrap_or_default()));
    }
    out
}

fn part_text(each: &Consequence, part: &Part) -> String {
    let party = &each.trace.parties[part.party as usize];
    let indent = " ".repeat(TROUBLE + 2);
    format!("{indent}{}: {}", party.full_name(), part.words())
}

/// How words are set.
#[derive(Clone, Copy)]
struct Pen {
    colour: bool,
}

impl Pen {
    fn set(self, code: &str, text: &str) -> String {
        match self.colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn bold(self, text: &str) -> String {
        self.set("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.set("2", text)
    }

    fn good(self, text: &str) -> String {
        self.set("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.set("31", text)
    }

    fn outcome(self, trace: &Trace) -> String {
        let outcome = &trace.outcome;
        let passed = Duration::from_nanos(outcome.after_ns);
        let text = match outcome.open {
            true => format!("The client has no answer after {passed}."),
            false => format!("The client gets {} after {passed}.", outcome.text()),
        };
        match trace.is_answered() && outcome.status < 500 {
            true => self.good(&text),
            false => self.bad(&text),
        }
    }
}
