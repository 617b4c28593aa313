//! Files and folders that are watched for changes.
//!
//! The kernel is asked for files that were closed after writing, came, went or were renamed, and for nothing else: a log that somebody writes in
//! the same folder wakes nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::unix::AsyncFd;

/// Changes come in bursts; they are waited out so long.
const QUIET: Duration = Duration::from_millis(100);

/// Tells of changes of files.
pub(crate) struct Watch {
    /// None: the system watches nothing, as was said.
    told: Option<AsyncFd<Told>>,
    wanted: Wanted,
    watched: BTreeMap<WatchDescriptor, Watched>,
    /// Whether something has changed that was not told yet.
    has_changed: bool,
}

struct Told(Inotify);

impl AsRawFd for Told {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// A folder that the kernel watches.
struct Watched {
    path: PathBuf,
    /// Whether folders in it are watched, too.
    is_tree: bool,
}

/// Which changes are told: folders have other files, too.
#[derive(Default)]
struct Wanted {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Wanted {
    fn has(&self, path: &Path) -> bool {
        // the link that Kubernetes turns when a mounted ConfigMap or Secret changes
        path.file_name() == Some(OsStr::new("..data"))
            || self.files.contains(path)
            || self.folders.iter().any(|folder| path.starts_with(folder))
    }
}

impl Watch {
    /// To be called where tokio runs.
    pub(crate) fn new(paths: &[PathBuf]) -> Self {
        let told = inotify();
        if let Err(error) = &told {
            eprintln!("files are not watched, send SIGHUP after changes: {error}");
        }
        let mut watch = Self {
            told: told.ok(),
            wanted: Wanted::default(),
            watched: BTreeMap::new(),
            has_changed: false,
        };
        watch.also(paths);
        watch
    }

    /// Watches these, too. Files are watched by their folders: whoever writes a file anew, or turns a symbolic link, replaces it.
    pub(crate) fn also(&mut self, paths: &[PathBuf]) {
        for path in paths {
            if path.is_dir() {
                self.wanted.folders.insert(path.clone());
                self.add(path, true);
            } else {
                let folder = folder_of(path);
                let name = path.file_name().unwrap_or_default();
                self.wanted.files.insert(folder.join(name));
                self.add(folder, false);
            }
        }
    }

    /// Has the kernel watch a folder and, of a tree, those in it.
    fn add(&mut self, folder: &Path, is_tree: bool) {
        let Some(told) = &self.told else {
            return;
        };
        let flags = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_ONLYDIR;
        let watched = match told.get_ref().0.add_watch(folder, flags) {
            Ok(watched) => watched,
            Err(error) => {
                eprintln!("{} is not watched: {error}", folder.display());
                return;
            }
        };
        // one folder has one number, by whatever links it was reached: a tree that leads back into itself ends here
        if let Some(known) = self.watched.get_mut(&watched)
            && (known.is_tree || !is_tree)
        {
            return;
        }
        let path = folder.to_owned();
        self.watched.insert(watched, Watched { path, is_tree });
        if is_tree {
            let within = fs::read_dir(folder).into_iter().flatten().flatten();
            for entry in within.map(|entry| entry.path()).filter(|it| it.is_dir()) {
                self.add(&entry, true);
            }
        }
    }

    /// Done when something has changed, and nothing more for a moment.
    pub(crate) async fn changed(&mut self) {
        if !self.has_changed {
            self.wait().await;
            self.has_changed = true;
        }
        while tokio::time::timeout(QUIET, self.wait()).await.is_ok() {}
        self.has_changed = false;
    }

    /// Until something changes.
    async fn wait(&mut self) {
        loop {
            let Some(told) = &self.told else {
                return std::future::pending().await;
            };
            let Ok(mut ready) = told.readable().await else {
                return std::future::pending().await;
            };
            let read = ready.try_io(|told| told.get_ref().0.read_events().map_err(io::Error::from));
            let Ok(Ok(events)) = read else {
                continue; // nothing there yet
            };
            let mut has_changed = false;
            for event in events {
                has_changed |= self.has_meaning(&event);
            }
            if has_changed {
                return;
            }
        }
    }

    fn has_meaning(&mut self, event: &InotifyEvent) -> bool {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            return true; // some were lost
        }
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            self.watched.remove(&event.wd);
            return false;
        }
        let Some(watched) = self.watched.get(&event.wd) else {
            return false;
        };
        let path = match &event.name {
            Some(name) => watched.path.join(name),
            None => watched.path.clone(),
        };
        if watched.is_tree && event.mask.contains(AddWatchFlags::IN_ISDIR) && path.is_dir() {
            self.add(&path, true);
        }
        self.wanted.has(&path)
    }
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe; the descriptor is this value's own and never changes, which is all that it asks for"
)]
fn inotify() -> io::Result<AsyncFd<Told>> {
    let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
    AsyncFd::new(Told(Inotify::init(flags)?))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tempfile::TempDir;

    use super::*;

    async fn is_told(watch: &mut Watch) -> bool {
        let told = tokio::time::timeout(Duration::from_millis(400), watch.changed());
        told.await.is_ok()
    }

    #[tokio::test]
    async fn a_file_is_told_of_when_it_is_written_or_replaced_and_its_neighbours_are_not() {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("proxy.yaml"), "a").unwrap();
        let mut watch = Watch::new(&[at("proxy.yaml")]);
        assert!(!is_told(&mut watch).await, "nothing has happened");

        fs::write(at("proxy.yaml"), "b").unwrap();
        assert!(is_told(&mut watch).await, "written");

        fs::write(at("other.yaml"), "b").unwrap();
        assert!(!is_told(&mut watch).await, "a neighbour");

        fs::rename(at("other.yaml"), at("proxy.yaml")).unwrap();
        assert!(is_told(&mut watch).await, "replaced");

        std::os::unix::fs::symlink("elsewhere", at("..data")).unwrap();
        assert!(is_told(&mut watch).await, "the link of a mounted volume");
    }

    #[tokio::test]
    async fn a_file_that_stays_open_is_told_of_once_it_is_closed() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("proxy.yaml");
        let mut file = fs::File::create(&path).unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&path));
        file.write_all(b"half").unwrap();
        assert!(!is_told(&mut watch).await);
        drop(file);
        assert!(is_told(&mut watch).await);
    }

    #[tokio::test]
    async fn folders_are_watched_to_their_depth_also_those_that_come_later() {
        let folder = TempDir::new().unwrap();
        let deep = folder.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        // a tree that leads back into itself
        std::os::unix::fs::symlink(folder.path(), deep.join("round")).unwrap();
        let mut watch = Watch::new(&[folder.path().to_owned()]);
        fs::write(deep.join("route.yaml"), "a").unwrap();
        assert!(is_told(&mut watch).await, "in a folder's folder");

        fs::create_dir(deep.join("c")).unwrap();
        assert!(is_told(&mut watch).await, "a new folder");
        fs::write(deep.join("c/route.yaml"), "a").unwrap();
        assert!(is_told(&mut watch).await, "in a new folder");
        fs::remove_file(deep.join("c/route.yaml")).unwrap();
        assert!(is_told(&mut watch).await, "gone");
    }

    #[tokio::test]
    async fn a_change_is_not_lost_to_whoever_waits_for_something_else_as_well() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("proxy.yaml");
        let mut watch = Watch::new(std::slice::from_ref(&path));
        fs::write(&path, "a").unwrap();
        // given up after it was heard of and before it was quiet
        let heard = tokio::time::timeout(Duration::from_millis(20), watch.changed());
        assert!(heard.await.is_err());
        assert!(is_told(&mut watch).await);
    }
}
