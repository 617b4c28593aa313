//! Traces: the same requests, and what upstreams are told and collectors get of them, by Envoy and by ours.

mod asked;
mod names;
mod otlp;
mod seen;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use crate::binaries::Side;
use crate::processes::Running;
use crate::yaml;
use asked::{Ask, COUNT, asks, bootstrap, listeners};
use names::{named, without_request_ids};
use seen::{Seen, is_told, serve};

/// Sends a request, and reads its answer to its end; gives the headers of it that are compared.
async fn ask(at: SocketAddr, (_, path, headers): &Ask) -> Vec<String> {
    let mut stream = TcpStream::connect(at).await.expect("it listens");
    let mut text = format!("GET {path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await.expect("it is sent");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let read = tokio::time::timeout(Duration::from_secs(5), read).await;
    read.expect("in time").expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let lines = answer.split("\r\n\r\n").next().unwrap_or_default().lines();
    let mut told: Vec<String> = lines
        .enumerate()
        .filter(|(nth, line)| *nth == 0 || is_told(line))
        .map(|(_, line)| line.to_owned())
        .collect();
    told[1..].sort();
    told
}

/// What is known to differ made alike: spans of tries and of their request may be sent in any order.
async fn outcomes(side: Side, first: u16) -> Vec<Vec<String>> {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 251, 0, 9), 0)).await;
    let listener = listener.expect("a port");
    let upstream = listener.local_addr().expect("its address");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let serving = tokio::spawn(serve(listener, seen.clone()));
    let file = tempfile::Builder::new().suffix(".yaml").tempfile();
    let file = file.expect("a file for the bootstrap");
    std::fs::write(file.path(), yaml::document(&bootstrap(first, upstream))).expect("written");
    let ports: BTreeMap<&str, u16> = listeners()
        .iter()
        .map(|(name, ..)| *name)
        .zip(first..)
        .collect();
    let at = |name: &str| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[name]));
    let running = Running::start(side, file.path(), &[at("in")]).await;
    let mut running = running.unwrap_or_else(|why| panic!("{why}"));
    let mut all = Vec::new();
    for it in asks() {
        let mut lines = ask(at(it.0), &it).await;
        // until nothing more comes: there may be no span at all
        let mut count = usize::MAX;
        loop {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let now = seen.lock().expect("nobody panicked").spans.len();
            if now == count {
                break;
            }
            count = now;
        }
        let seen = std::mem::take(&mut *seen.lock().expect("nobody panicked"));
        lines.extend(seen.told.iter().map(|told| format!("{told:?}")));
        let mut spans = seen.spans;
        // those of tries in their order, by what they are called and what they say
        spans.sort_by_key(|line| (line.contains("egress"), line.contains("retry.count")));
        lines.extend(spans);
        let given = format!("{:?}", it.2);
        let mut names = BTreeMap::new();
        let upstream = upstream.to_string();
        let lines = lines.iter().map(|line| {
            let line = without_request_ids(line, &given).replace(&upstream, "<upstream>");
            named(&line, &mut names, &given)
        });
        all.push(lines.collect());
    }
    running.end().await;
    serving.abort();
    all
}

/// Tells what Envoy tells.
pub(crate) fn compare() {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        // ports in a row that are free
        let taken = |first: u16| {
            let all = (first..first + COUNT).map(|port| {
                let bound = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port));
                bound.is_err()
            });
            all.into_iter().any(|taken| taken)
        };
        let first = (21_000..30_000)
            .step_by(usize::from(COUNT))
            .find(|first| !taken(*first));
        let first = first.expect("free ports");
        let envoy = outcomes(Side::Envoy, first).await;
        let ours = outcomes(Side::Ours, first).await;
        let mut text = String::new();
        for ((it, envoy), ours) in asks().iter().zip(&envoy).zip(&ours) {
            if envoy != ours {
                text.push_str(&format!("{} {} {:?}\n", it.0, it.1, it.2));
                let most = envoy.len().max(ours.len());
                let none = String::new();
                for nth in 0..most {
                    let of = |all: &Vec<String>| all.get(nth).unwrap_or(&none).clone();
                    let (envoy, ours) = (of(envoy), of(ours));
                    if envoy != ours {
                        text.push_str(&format!("  Envoy: {envoy}\n  ours:  {ours}\n"));
                    }
                }
            }
        }
        assert!(text.is_empty(), "{text}");
    });
}
