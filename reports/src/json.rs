//! The file that has everything the page has, and the way back from it.
//!
//! One JSON object: `schemaVersion`, `program`, and `results`, one [`RunResult`] a variant in the order of the page. The
//! fields are those of [`crate::result`], in camelCase and in the order written there; times are integer nanoseconds
//! since the start (`…Ns`), series have one entry a window of `time.windowNs`, `origin` and the like are positions in
//! lists of the same result. Totals and series of pooled seeds are sums: divide by `time.runs`. A histogram lists
//! `[bucket, count]`: with `b = bits`, a bucket below `2^b` is that many nanoseconds, another starts at
//! `(bucket mod 2^b + 2^b) << (bucket / 2^b - 1)`. The same results give the same bytes.

use serde::{Deserialize, Serialize};

use crate::result::{RunResult, SCHEMA_VERSION};

/// Written in every file, so that a reader knows what it has before it.
pub const PROGRAM: &str = "windtunnel";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    schema_version: u32,
    program: &'a str,
    results: &'a [RunResult],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    results: Vec<RunResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    schema_version: Option<u32>,
    program: Option<String>,
}

/// Why a file could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not the fields of a result.
    #[error("not a result: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Some other JSON.
    #[error("not a result of windtunnel: it has no `program: windtunnel`")]
    Foreign,
    /// Written by a release with other fields.
    #[error("a result of schema version {found}; this release reads version {SCHEMA_VERSION}")]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// Positions in it lead nowhere.
    #[error("a result that is not whole: {0}")]
    Broken(String),
}

/// The results as JSON, with a newline at the end.
#[must_use]
pub fn write(results: &[RunResult]) -> String {
    let file = Written {
        schema_version: SCHEMA_VERSION,
        program: PROGRAM,
        results,
    };
    let mut text = serde_json::to_string(&file).expect("results have string keys only");
    text.push('\n');
    text
}

/// The results of a file.
///
/// # Errors
/// On anything that [`write()`] of this schema version cannot have written.
pub fn read(text: &str) -> Result<Vec<RunResult>, ReadError> {
    let head: Head = serde_json::from_str(text)?;
    if head.program.as_deref() != Some(PROGRAM) {
        return Err(ReadError::Foreign);
    }
    match head.schema_version {
        Some(SCHEMA_VERSION) => {}
        found => {
            let found = found.unwrap_or(0);
            return Err(ReadError::Version { found });
        }
    }
    let file: Read = serde_json::from_str(text)?;
    for result in &file.results {
        whole(result).map_err(ReadError::Broken)?;
    }
    Ok(file.results)
}

/// What everything else takes for granted: an axis of sane length, and positions that lead somewhere.
fn whole(result: &RunResult) -> Result<(), String> {
    const MOST_WINDOWS: usize = 1_000_000;
    let time = &result.time;
    if time.window_ns == 0 || time.windows == 0 || time.windows > MOST_WINDOWS || time.runs == 0 {
        return Err("its time axis has no length".into());
    }
    let within = |at: u32, list: usize, what: &str| {
        if (at as usize) < list {
            Ok(())
        } else {
            Err(format!("{what} {at} of {list}"))
        }
    };
    let workloads = result.workloads.len();
    for edge in &result.edges {
        within(edge.from, workloads, "workload")?;
        within(edge.to, workloads, "workload")?;
        let retried = edge.retried.iter().filter_map(|r| r.origin);
        let rejected = edge.rejected.iter().filter_map(|r| r.origin);
        for origin in retried.chain(rejected) {
            within(origin, result.origins.len(), "origin")?;
        }
    }
    for refused in &result.refused {
        within(refused.by, workloads, "workload")?;
        let from = refused.from;
        from.map_or(Ok(()), |at| within(at, workloads, "workload"))?;
        let origin = refused.origin;
        origin.map_or(Ok(()), |at| within(at, result.origins.len(), "origin"))?;
    }
    for load in &result.loads {
        load.enters
            .map_or(Ok(()), |at| within(at, workloads, "workload"))?;
    }
    for cluster in &result.clusters {
        let edges = result.edges.len();
        cluster
            .edge
            .map_or(Ok(()), |at| within(at, edges, "edge"))?;
        for ejected in &cluster.ejected {
            within(ejected.endpoint, cluster.endpoints.len(), "endpoint")?;
        }
    }
    for waterfall in &result.waterfalls {
        for (at, span) in waterfall.spans.iter().enumerate() {
            within(span.lane, waterfall.lanes.len(), "lane")?;
            span.parent.map_or(Ok(()), |p| within(p, at, "span"))?;
        }
    }
    Ok(())
}
