//! Access logs as files.

use std::path::Path;

use bytes::Bytes;
use http::Request;
use tempfile::TempDir;

use crate::harness::{Client, Upstream, answer, free_port, proxy_with};
use crate::serve::bootstrap;

/// A bootstrap whose requests are logged to `path`.
fn logging(port: u16, path: &Path, format: &str, upstream: u16) -> String {
    let plain = bootstrap(
        port,
        "                route: {cluster: back}",
        "",
        &[upstream],
    );
    let path = path.display();
    let log = format!(
        "          access_log:
          - name: file
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {path}
              {format}
          route_config:"
    );
    plain.replacen("          route_config:", &log, 1)
}

fn get(path: &str) -> Request<Bytes> {
    let request = Request::get(path).header("host", "shop.example");
    request.body(Bytes::new()).expect("a request")
}

async fn ask_many(port: u16, clients: usize, requests: usize) {
    let mut all = tokio::task::JoinSet::new();
    for client in 0..clients {
        all.spawn(async move {
            let mut connection = match client % 2 {
                0 => Client::http1(port).await,
                _ => Client::http2(port).await,
            };
            for number in 0..requests {
                connection.send(get(&format!("/{client}/{number}"))).await;
            }
        });
    }
    while let Some(done) = all.join_next().await {
        done.expect("a client that does not panic");
    }
}

/// Waits for its end, which is when all lines are written.
async fn end(proxy: proxy::Proxy) {
    proxy.end();
    let joined = tokio::task::spawn_blocking(move || proxy.join());
    joined.await.expect("it ends");
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a log");
    assert!(text.is_empty() || text.ends_with('\n'), "a line is cut off");
    text.lines().map(str::to_owned).collect()
}

/// Waits until a file has so many lines.
async fn until(path: &Path, count: usize) {
    let written = async {
        while std::fs::read_to_string(path)
            .unwrap_or_default()
            .lines()
            .count()
            < count
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(20), written);
    in_time.await.expect("lines are written before long");
}

#[tokio::test]
async fn lines_are_whole_at_the_end_and_files_begin_anew_when_asked() {
    let dir = TempDir::new().expect("a place for logs");
    let (now, before) = (dir.path().join("log"), dir.path().join("log.1"));
    let upstream = Upstream::start(|_, _| answer(200, "hello")).await;
    let port = free_port();
    let format = "log_format: {text_format: \"%REQ(:path)% %RESPONSE_CODE% %BYTES_SENT% %UPSTREAM_HOST%\\n\"}";
    let proxy = proxy_with(&logging(port, &now, format, upstream.port), 2);
    ask_many(port, 8, 200).await;
    // more than a buffer takes, less than two: the rest comes in a second
    until(&now, 1600).await;
    std::fs::rename(&now, &before).expect("it can be moved");
    proxy.reopen_logs();
    ask_many(port, 4, 10).await;
    end(proxy).await;
    let (old, new) = (lines(&before), lines(&now));
    assert_eq!((old.len(), new.len()), (1600, 40));
    let host = format!(" 200 5 127.0.0.1:{}", upstream.port);
    assert!(old.iter().chain(&new).all(|line| line.ends_with(&host)));
    let mut paths: Vec<&str> = old
        .iter()
        .filter_map(|line| line.split(' ').next())
        .collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), 1600, "each request has a line of its own");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_keeps_a_process_from_starting() {
    let dir = TempDir::new().expect("a place for logs");
    let path = dir.path().join("none").join("log");
    let text = logging(free_port(), &path, "", 9);
    let read = proxy::parse("bootstrap.yaml", &text);
    let read = read.unwrap_or_else(|error| panic!("{error}"));
    let started = proxy::Proxy::start(proxy::Options {
        config: read.config,
        admin: read.admin,
        secrets: read.secrets,
        endpoints: read.endpoints,
        names: read.names,
        concurrency: 1,
        seed: 7,
        drain: std::time::Duration::ZERO,
        doors: Vec::new(),
        place: proxy::Place::default(),
    });
    match started {
        Err(proxy::StartError::Log { path: told, .. }) => {
            assert_eq!(&*told, path.display().to_string());
        }
        other => panic!("{other:?}"),
    }
}
