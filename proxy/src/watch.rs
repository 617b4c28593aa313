//! Files and folders that are watched for changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Changes come in bursts; they are waited out so long.
const QUIET: Duration = Duration::from_millis(100);

/// Tells of changes of files.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    changes: UnboundedReceiver<()>,
}

impl Watch {
    pub(crate) fn new(paths: &[PathBuf]) -> Self {
        let (tell, changes) = unbounded_channel();
        let told = move |event: notify::Result<notify::Event>| {
            let is_change = event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_)));
            if is_change {
                // nobody listens any more once the process ends
                let _ = tell.send(());
            }
        };
        let watcher = RecommendedWatcher::new(told, Config::default());
        if let Err(error) = &watcher {
            eprintln!("files are not watched, send SIGHUP after changes: {error}");
        }
        let mut watch = Self {
            watcher: watcher.ok(),
            watched: BTreeSet::new(),
            changes,
        };
        watch.also(paths);
        watch
    }

    /// Watches these, too. Files are watched by their folders: whoever writes a file anew, or turns a symbolic link, replaces it.
    pub(crate) fn also(&mut self, paths: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for path in paths {
            let is_folder = path.is_dir();
            let folder = if is_folder { path } else { folder_of(path) };
            let mode = if is_folder {
                RecursiveMode::Recursive
            } else {
                RecursiveMode::NonRecursive
            };
            if !self.watched.insert(folder.to_owned()) {
                continue;
            }
            if let Err(error) = watcher.watch(folder, mode) {
                eprintln!("{} is not watched: {error}", folder.display());
            }
        }
    }

    /// Done when something has changed, and nothing more for a moment.
    pub(crate) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        while let Ok(Some(())) = tokio::time::timeout(QUIET, self.changes.recv()).await {}
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}
