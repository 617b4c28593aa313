//! Flights on loopback that are kept in a file, so that hours need not be had at once.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use testkit::flights::shipped;
use xxhash_rust::xxh3::Xxh3;

/// What one flight left.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Flown {
    /// Its seed.
    pub(crate) seed: u64,
    /// Name and value.
    pub(crate) figures: Vec<(String, f64)>,
    /// Why the figures must not be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) invalid: Option<String>,
}

/// The flights of one variant.
#[derive(Default, Serialize, Deserialize)]
struct Variant {
    /// Of the scenario with its manifests and what is changed of it.
    digest: String,
    /// By arm.
    arms: BTreeMap<String, Vec<Flown>>,
}

/// All flights, by scenario and variant.
pub(crate) struct Kept {
    file: Option<PathBuf>,
    variants: BTreeMap<String, Variant>,
}

impl Kept {
    /// What `file` has; without one, or where it is not there yet, nothing.
    pub(crate) fn open(file: Option<PathBuf>) -> Result<Self, String> {
        let variants = match file.as_deref().map(fs::read_to_string) {
            None => BTreeMap::new(),
            Some(Ok(text)) => serde_json::from_str(&text).map_err(|error| error.to_string())?,
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Some(Err(error)) => return Err(error.to_string()),
        };
        Ok(Self { file, variants })
    }

    /// Forgets the flights of a scenario that is not what it was.
    pub(crate) fn drop_if_changed(&mut self, name: &str, sets: &[&str]) -> Result<(), String> {
        let scenario = name.split_once(':').map_or(name, |(scenario, _)| scenario);
        let mut hash = Xxh3::new();
        digest(&shipped().join(scenario), &mut hash).map_err(|error| error.to_string())?;
        sets.iter().for_each(|set| hash.update(set.as_bytes()));
        let digest = format!("{:016x}", hash.digest());
        let variant = self.variants.entry(name.to_owned()).or_default();
        if variant.digest != digest {
            *variant = Variant {
                digest,
                arms: BTreeMap::new(),
            };
        }
        Ok(())
    }

    /// The flights of a variant with an arm's proxies.
    pub(crate) fn of(&self, name: &str, arm: &str) -> &[Flown] {
        let variant = self.variants.get(name);
        variant
            .and_then(|variant| variant.arms.get(arm))
            .map_or(&[], Vec::as_slice)
    }

    /// Keeps one more.
    pub(crate) fn add(&mut self, name: &str, arm: &str, flown: Flown) -> Result<(), String> {
        let variant = self.variants.entry(name.to_owned()).or_default();
        variant.arms.entry(arm.to_owned()).or_default().push(flown);
        let Some(file) = &self.file else {
            return Ok(());
        };
        let text =
            serde_json::to_string_pretty(&self.variants).map_err(|error| error.to_string())?;
        fs::write(file, text + "\n").map_err(|error| error.to_string())
    }
}

/// Every file of a folder, by name.
fn digest(folder: &Path, hash: &mut Xxh3) -> std::io::Result<()> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut entries: Vec<PathBuf> = entries.collect::<Result<_, _>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            digest(&entry, hash)?;
        } else {
            hash.update(&fs::read(&entry)?);
        }
    }
    Ok(())
}
