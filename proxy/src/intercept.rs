//! Redirect rules: what an application sends, and what is sent to it, is brought to the sidecar beside it.
//!
//! Source: Istio 1.29 `tools/istio-iptables`: the same rules, in nftables' words.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use proxy::kubernetes::{INBOUND, OUTBOUND, OWN_SOURCE};

use crate::args::{Intercept, Rules};

/// The table that holds all rules; nobody else's is touched.
const TABLE: &str = "inet windtunnel";

pub(crate) fn run(what: &Intercept) -> Result<(), String> {
    let (script, print) = match what {
        Intercept::Install { rules, print } => (install(rules)?, *print),
        Intercept::Remove { print } => (remove(), *print),
    };
    if print {
        crate::serve::tell(script.trim_end());
        return Ok(());
    }
    apply(&script)
}

/// A table that is not there cannot be deleted, so it is made first.
fn remove() -> String {
    format!("table {TABLE}\ndelete table {TABLE}\n")
}

/// All or nothing: nftables puts a script in force as a whole.
fn install(rules: &Rules) -> Result<String, String> {
    let uid = rules.proxy_uid;
    let mut out = remove();
    let mut line = |text: &str| {
        let _ = writeln!(out, "{text}");
    };
    line(&format!("table {TABLE} {{"));
    line("  chain inbound {");
    line("    type nat hook prerouting priority dstnat; policy accept;");
    line("    meta l4proto != tcp return");
    // the proxy's own ports are for those who ask for them
    let own = [OUTBOUND, INBOUND];
    let passed = rules.exclude_inbound_ports.iter().chain(&own);
    line(&format!("    tcp dport {} return", ports(passed)));
    line(&format!("    meta l4proto tcp redirect to :{INBOUND}"));
    line("  }");
    line("  chain outbound {");
    line("    type nat hook output priority -100; policy accept;");
    line("    meta l4proto != tcp return");
    // what the proxy passes on to its application
    line(&format!("    ip saddr {OWN_SOURCE} return"));
    // an application that calls its own Service: its proxy dials it as it dials any pod
    line(&format!(
        "    oifname \"lo\" meta skuid {uid} ip daddr != 127.0.0.1 meta l4proto tcp redirect to :{INBOUND}"
    ));
    // an application that calls itself
    line(&format!("    oifname \"lo\" meta skuid != {uid} return"));
    line(&format!("    meta skuid {uid} return"));
    line("    ip daddr 127.0.0.1 return");
    line("    ip6 daddr ::1 return");
    if !rules.exclude_outbound_ports.is_empty() {
        line(&format!(
            "    tcp dport {} return",
            ports(rules.exclude_outbound_ports.iter())
        ));
    }
    for block in &rules.exclude_outbound_cidrs {
        let family = family(block)?;
        line(&format!("    {family} daddr {block} return"));
    }
    line(&format!("    meta l4proto tcp redirect to :{OUTBOUND}"));
    line("  }");
    line("}");
    Ok(out)
}

/// `{ 22, 15001 }`.
fn ports<'a>(ports: impl Iterator<Item = &'a u16>) -> String {
    let sorted: BTreeSet<&u16> = ports.collect();
    let texts: Vec<String> = sorted.iter().map(ToString::to_string).collect();
    format!("{{ {} }}", texts.join(", "))
}

/// How nftables calls the addresses of a block.
fn family(block: &str) -> Result<&'static str, String> {
    let bad = || format!("`{block}` is no block of addresses: write 10.0.0.0/8");
    let (ip, bits) = match block.split_once('/') {
        Some((ip, bits)) => (ip, Some(bits.parse::<u8>().map_err(|_| bad())?)),
        None => (block, None),
    };
    match (ip.parse().map_err(|_| bad())?, bits.unwrap_or_default()) {
        (IpAddr::V4(_), ..=32) => Ok("ip"),
        (IpAddr::V6(_), ..=128) => Ok("ip6"),
        (IpAddr::V4(_) | IpAddr::V6(_), _) => Err(bad()),
    }
}

fn apply(script: &str) -> Result<(), String> {
    let started = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut nft = started.map_err(|error| {
        format!("cannot run nft, which puts the rules in force (--print shows them): {error}")
    })?;
    if let Some(mut input) = nft.stdin.take() {
        let written = input.write_all(script.as_bytes());
        written.map_err(|error| format!("nft does not take the rules: {error}"))?;
    }
    let done = nft.wait_with_output();
    let done = done.map_err(|error| format!("nft does not end: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("nft refuses the rules: {}", said.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            proxy_uid: 1337,
            exclude_inbound_ports: vec![22, 15000],
            exclude_outbound_ports: vec![5432],
            exclude_outbound_cidrs: vec!["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()],
        }
    }

    #[test]
    fn what_is_excluded_returns_before_the_redirect() {
        let script = install(&rules()).expect("rules");
        let at = |text: &str| {
            script
                .find(text)
                .unwrap_or_else(|| panic!("{text}: {script}"))
        };
        let inbound = at("redirect to :15006\n  }");
        let outbound = at("redirect to :15001\n  }");
        assert!(at("tcp dport { 22, 15000, 15001, 15006 } return") < inbound);
        for rule in [
            "meta skuid 1337 return",
            "tcp dport { 5432 } return",
            "ip daddr 10.0.0.0/8 return",
            "ip6 daddr fd00::/8 return",
        ] {
            assert!((inbound..outbound).contains(&at(rule)), "{rule}: {script}");
        }
    }

    #[test]
    fn what_was_there_is_replaced_as_a_whole() {
        let script = install(&rules()).expect("rules");
        assert!(script.starts_with(&remove()));
    }

    #[test]
    fn blocks_that_are_none_are_refused() {
        for block in [
            "10.0.0.0/33",
            "here",
            "10.0.0.0/8; flush ruleset",
            "::/129",
            "10.0.0.0/-1",
        ] {
            assert!(family(block).is_err(), "{block}");
        }
    }
}
