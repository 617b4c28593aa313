//! A trace as people read it: indented by party, with the rule of each decision at the right.

use proxy_core::time::Duration;
use reports::trace::{Consequence, Step, Subject, Trace};

/// Columns to the right of which a rule is written behind its line.
const WIDTH: usize = 92;
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
    let mut out = format!("{}\n", pen.bold(&trace.request));
    steps(trace, pen, &mut out);
    out.push_str(&format!("\n{}\n", pen.outcome(trace)));
    if !asked {
        return out;
    }
    let Some(server) = trace.outcome.server else {
        out.push_str("\nIt reaches no server, so nothing of one can fail.\n");
        return out;
    };
    let server = &trace.parties[server as usize];
    out.push_str(&format!(
        "\nIf {} fails:\n",
        pen.bold(workload_of(&server.name))
    ));
    for each in consequences {
        out.push_str(&consequence(each, pen));
    }
    out
}

/// `service-a` of `service-a-1`.
fn workload_of(pod: &str) -> &str {
    pod.rsplit_once('-').map_or(pod, |(name, _)| name)
}

fn steps(trace: &Trace, pen: Pen, out: &mut String) {
    let mut open: Vec<u32> = Vec::new();
    let mut last_at = 0;
    for step in &trace.steps {
        match open.iter().position(|party| *party == step.party) {
            Some(at) => open.truncate(at + 1),
            None => {
                let party = &trace.parties[step.party as usize];
                let depth = party.depth;
                open.retain(|each| trace.parties[*each as usize].depth < depth);
                open.push(step.party);
                let about = match party.about.is_empty() {
                    true => String::new(),
                    false => format!("  {}", pen.dim(&party.about)),
                };
                let plain =
                    party.full_name().len() + about_width(&party.about) + indent(depth).len();
                let head = format!("{}{}{about}", indent(depth), pen.bold(&party.full_name()));
                out.push('\n');
                out.push_str(&ruled(&head, plain, party.origin.as_deref(), pen));
            }
        }
        if step.at_ns > last_at {
            let passed = Duration::from_nanos(step.at_ns);
            let depth = trace.parties[step.party as usize].depth;
            let text = format!("after {passed}");
            out.push_str(&format!("{}  {}\n", indent(depth), pen.dim(&text)));
            last_at = step.at_ns;
        }
        line(trace, step, pen, out);
    }
}

fn about_width(about: &str) -> usize {
    match about.chars().count() {
        0 => 0,
        count => count + 2,
    }
}

fn line(trace: &Trace, step: &Step, pen: Pen, out: &mut String) {
    let depth = trace.parties[step.party as usize].depth;
    let subject = format!("{:<SUBJECT$}", step.subject.text());
    let plain = indent(depth).len() + 2 + SUBJECT + step.text.chars().count();
    let text = match (step.failed, step.subject) {
        (true, _) => pen.bad(&step.text),
        (false, Subject::Answer) => pen.good(&step.text),
        (false, _) => step.text.clone(),
    };
    let line = format!("{}  {}{text}", indent(depth), pen.dim(&subject));
    out.push_str(&ruled(&line, plain, step.origin.as_deref(), pen));
}

/// A line with its rule at the right edge, or two columns behind it.
fn ruled(line: &str, width: usize, origin: Option<&str>, pen: Pen) -> String {
    match origin {
        None => format!("{line}\n"),
        Some(origin) => {
            let gap = WIDTH.saturating_sub(width).max(2);
            format!("{line}{}{}\n", " ".repeat(gap), pen.dim(origin))
        }
    }
}

fn indent(depth: u32) -> String {
    "  ".repeat(depth as usize)
}

fn consequence(each: &Consequence, pen: Pen) -> String {
    let outcome = &each.trace.outcome;
    let passed = Duration::from_nanos(outcome.after_ns);
    let seen = match (outcome.open, outcome.status) {
        (true, _) => format!("waits, {} and on", passed),
        (false, _) => format!("{} after {passed}", outcome.text()),
    };
    let width = seen.chars().count();
    let seen = match outcome.status {
        200..=399 => pen.good(&seen),
        _ => pen.bad(&seen),
    };
    let gap = " ".repeat(24_usize.saturating_sub(width).max(2));
    let mut out = format!(
        "  {:<22}the client: {seen}{gap}{}\n",
        each.trouble.text(),
        each.tries_text()
    );
    if let Some(step) = &each.decided {
        let party = &each.trace.parties[step.party as usize];
        let text = format!(
            "{:<24}{}: {} {}",
            "",
            party.full_name(),
            step.subject.text(),
            step.text
        );
        let width = text.chars().count();
        out.push_str(&ruled(&text, width, step.origin.as_deref(), pen));
    }
    out
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
