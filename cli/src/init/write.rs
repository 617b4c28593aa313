//! The text of a first scenario.

use super::found::{Entry, Found, FoundWorkload};

/// Words that YAML takes for something else than text.
const RESERVED: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];

/// The scenario, with the mark behind every guess.
pub(super) fn scenario(name: &str, paths: &[String], found: &Found) -> String {
    let mut out = String::from(
        "# Written from manifests. They do not say how long services take, whom they call and how many requests come:\n\
         # those values are guessed and marked `# assumed`. Replace what you know.\n\
         apiVersion: windtunnel.dev/v1alpha1\n\
         kind: Scenario\n",
    );
    let paths: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
    let mesh = match &found.mesh {
        Some(mesh) => format!("  mesh: {mesh}               # as the manifests show\n"),
        None => "  mesh: none\n".to_owned(),
    };
    out.push_str(&format!(
        "metadata:\n  name: {}\nspec:\n  duration: 60s\n  warmup: 10s\n  seed: 1\n  manifests: [{}]\n{mesh}",
        quoted(name),
        paths.join(", ")
    ));
    out.push_str("  workloads:\n");
    for each in &found.workloads {
        out.push_str(&workload(each));
    }
    if !found.entries.is_empty() {
        out.push_str("  load:\n");
        for entry in &found.entries {
            out.push_str(&load(entry));
        }
        out.push_str("  expect:\n");
        for entry in &found.entries {
            out.push_str(&format!(
                "    - \"success('{0}') >= 0.99\"                  # assumed: a common objective\n",
                entry.name
            ));
        }
    }
    out
}

fn workload(each: &FoundWorkload) -> String {
    let mut out = format!(
        "    {}:\n      concurrency: 16                                  # assumed: a thread pool of a common size\n      \
         handlers:\n        - match: /\n          \
         time: {{lognormal: {{median: 10ms, p99: 60ms}}}}     # assumed: of the order of a service with a database\n",
        quoted(&each.key)
    );
    if !each.calls.is_empty() {
        out.push_str("          steps:\n");
        for service in &each.calls {
            out.push_str(&format!(
                "            - call: {{service: {}, request: GET /}}   # assumed: its containers are given the address\n",
                quoted(service)
            ));
        }
    }
    out
}

fn load(entry: &Entry) -> String {
    let mut out = format!(
        "    - name: {}\n      via: {}\n      requests:\n",
        quoted(&entry.name),
        quoted(&entry.via)
    );
    for (host, path) in &entry.requests {
        out.push_str(&format!(
            "        - {{host: {}, path: {}}}\n",
            quoted(host),
            quoted(path)
        ));
    }
    out.push_str(
        "      open: {arrivals: poisson, rate: 20/s}            # assumed: some traffic\n      \
         client: {timeout: 5s}                            # assumed: as long as a person waits\n",
    );
    out
}

/// As YAML takes it for text, in a flow too.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    let begins = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'/');
    let reserved = RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if begins && !reserved && text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_where_yaml_would_take_it_for_something_else() {
        for (text, expected) in [
            ("orders", "orders"),
            ("shop/orders", "shop/orders"),
            ("true", "\"true\""),
            ("Null", "\"Null\""),
            ("8080", "\"8080\""),
            ("orders:8080", "\"orders:8080\""),
            ("../x", "\"../x\""),
            ("a\"b\\\n", "\"a\\\"b\\\\\\u000a\""),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
