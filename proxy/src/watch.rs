//! Files and folders that are watched for changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Changes come in bursts; they are waited out so long.
const QUIET: Duration = Duration::from_millis(100);

/// Tells of changes of files.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    wanted: Arc<Mutex<Wanted>>,
    changes: UnboundedReceiver<()>,
}

/// Which changes are told: folders have other files, too.
#[derive(Default)]
struct Wanted {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Wanted {
    fn has(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        // the link that Kubernetes turns when a mounted ConfigMap or Secret changes
        name == "..data"
            || self.files.contains(path)
            || self.folders.iter().any(|folder| path.starts_with(folder))
    }
}

impl Watch {
    pub(crate) fn new(paths: &[PathBuf]) -> Self {
        let (tell, changes) = unbounded_channel();
        let wanted = Arc::new(Mutex::new(Wanted::default()));
        let asked = wanted.clone();
        let told = move |event: notify::Result<notify::Event>| {
            let is_change = event.is_ok_and(|event| {
                let wanted = asked.lock().unwrap_or_else(PoisonError::into_inner);
                !matches!(event.kind, EventKind::Access(_))
                    && event.paths.iter().any(|path| wanted.has(path))
            });
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
            wanted,
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
            {
                let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
                if is_folder {
                    wanted.folders.insert(path.clone());
                } else {
                    wanted
                        .files
                        .insert(folder_of(path).join(path.file_name().unwrap_or_default()));
                }
            }
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
