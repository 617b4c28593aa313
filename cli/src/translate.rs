//! `windtunnel translate`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use manifests::diagnostics::Diagnostics;
use manifests::load::{self, Layer};
use manifests::model::{Input, MeshWish, Model, SidecarRules};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use translate::intent::Source;
use translate::targets::{TARGETS, Target};
use translate::{Translation, files as files_of, stream, to_json, to_markdown, to_text};

use crate::exit::{Exit, Fault};
use crate::told::Told;
use crate::{files, print};

/// Write the nearest manifests of another system, and every difference in behaviour that remains.
///
/// What proxies go by is written with the means of the other system, defaults of the old one included; Namespaces, Deployments and Services come
/// along, without labels and annotations that nobody reads any more. What was written is read again, and both are asked the same requests: the
/// report lists everything that they decide differently, and why. docs/translate.md has what each system cannot say.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windtunnel translate manifests/ --to linkerd -o linkerd/
  windtunnel translate manifests/ --to gateway-api --report markdown=report.md > new.yaml
  kubectl get all,vs,dr,ns -o yaml | windtunnel translate -f - --to kuma -o kuma/ --report json

Exit status: 0 what was written does the same, 1 differences remain, 2 there are errors.")]
pub(crate) struct Args {
    /// Files and folders of manifests, in layers as given; `-` is standard input
    #[arg(value_name = "PATH", required_unless_present = "filename")]
    paths: Vec<PathBuf>,
    /// The same, as kubectl has it (repeatable)
    #[arg(short, long, value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// The system to write for
    #[arg(long, value_name = "SYSTEM", value_parser = target)]
    to: Choice,
    /// The mesh that runs, and its release: `istio@1.27`; default: what the manifests show
    #[arg(long, value_name = "MESH", value_parser = mesh)]
    mesh: Option<Wish>,
    /// A namespace, or a workload as NAMESPACE/NAME, whose pods have sidecars although no manifest says so
    /// (repeatable)
    #[arg(long, value_name = "NAME")]
    inject: Vec<String>,
    /// Write files to this folder: one a namespace and kind of objects; without it one stream goes to
    /// standard output
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// What remains different, as text, json or markdown, to FILE; without one to standard output where that is
    /// free, else to standard error
    #[arg(long, value_name = "FORMAT[=FILE]", default_value = "text")]
    report: Report,
}

/// A target, which has no words of its own.
#[derive(Clone, Copy)]
struct Choice(&'static Target);

impl std::fmt::Debug for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

fn target(text: &str) -> Result<Choice, String> {
    let names = || {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        names.join(", ")
    };
    let found = Target::named(text).map(Choice);
    found.ok_or_else(|| format!("nothing is written for `{text}`; there are {}", names()))
}

/// The mesh that the command line names.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Wish {
    system: String,
    release: Option<String>,
}

fn mesh(text: &str) -> Result<Wish, String> {
    let (system, release) = match text.split_once('@') {
        Some((system, release)) => (system, Some(release.to_owned())),
        None => (text, None),
    };
    match (system, &release) {
        ("", _) => Err("a mesh is needed, such as `istio` or `istio@1.27`".to_owned()),
        (_, Some(release)) if release.is_empty() => {
            Err(format!("a release is needed after `{text}`"))
        }
        (system, _) => Ok(Wish {
            system: system.to_owned(),
            release,
        }),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Text,
    Json,
    Markdown,
}

/// What the report becomes, and where it goes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Report {
    format: Format,
    path: Option<PathBuf>,
}

impl FromStr for Report {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, path) = match text.split_once('=') {
            Some((format, path)) => (format, Some(path)),
            None => (text, None),
        };
        let format = match format {
            "text" => Format::Text,
            "json" => Format::Json,
            "markdown" | "md" => Format::Markdown,
            _ => return Err(format!("`{format}` is not text, json or markdown")),
        };
        if path == Some("") {
            return Err(format!("a file is needed after `{text}`"));
        }
        Ok(Self {
            format,
            path: path.map(PathBuf::from),
        })
    }
}

impl Report {
    fn render(&self, translation: &Translation) -> String {
        match self.format {
            Format::Text => to_text(translation),
            Format::Json => to_json(translation),
            Format::Markdown => to_markdown(translation),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit, Fault> {
    check_places(args).map_err(Fault::Text)?;
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let mut origins = Origins::default();
    let layers: Vec<Layer> = args
        .filename
        .iter()
        .chain(&args.paths)
        .map(|path| layer(path))
        .collect();
    let input = Input {
        objects: load::load(&layers, &mut sources, &mut problems),
        mesh: args
            .mesh
            .as_ref()
            .map_or(MeshWish::Shown, |wish| MeshWish::Named {
                system: wish.system.clone(),
                release: wish.release.clone(),
                span: Span::NOWHERE,
            }),
        sidecars: SidecarRules {
            inject: args
                .inject
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            skip: Vec::new(),
        },
        ..Input::default()
    };
    let model = Model::build(input, &mut origins, &mut problems);
    let mut told = Told::default();
    told.add(&problems, &sources);
    told.settle()?;
    let Some(model) = model else {
        return Err(Fault::Told);
    };
    let source = Source {
        model: &model,
        origins: &origins,
        sources: &sources,
    };
    let translation = translate::translate(source, args.to.0);
    write(args, &translation).map_err(Fault::Text)?;
    Ok(
        match (translation.faults.is_empty(), translation.is_equivalent()) {
            (false, _) => Exit::BadInput,
            (true, true) => Exit::Good,
            (true, false) => Exit::NotHeld,
        },
    )
}

fn layer(path: &Path) -> Layer {
    if path == Path::new("-") {
        return Layer::stdin();
    }
    Layer::path(path.display().to_string(), path)
}

/// Says before anything is read that something could not be written.
fn check_places(args: &Args) -> Result<(), String> {
    if let Some(folder) = &args.output
        && folder.exists()
        && !folder.is_dir()
    {
        return Err(format!(
            "cannot write to `{}`: it is no folder",
            folder.display()
        ));
    }
    match &args.report.path {
        Some(path) => files::check_place(path),
        None => Ok(()),
    }
}

/// Writes everything, all files or none.
fn write(args: &Args, translation: &Translation) -> Result<(), String> {
    let report = args.report.render(translation);
    let mut all: Vec<(PathBuf, String)> = Vec::new();
    if let Some(folder) = &args.output {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
        let files = files_of(translation).into_iter();
        all.extend(files.map(|file| (folder.join(file.name), file.text)));
    }
    if let Some(path) = &args.report.path {
        all.push((path.clone(), report.clone()));
    }
    files::write_all(&all)?;
    match (&args.output, &args.report.path) {
        (Some(_), None) => print::out(&report),
        (Some(_), Some(_)) => Ok(()),
        (None, place) => {
            if place.is_none() {
                eprint!("{report}");
            }
            print::out(&whole(translation))
        }
    }
}

/// Everything as one stream: objects, or files of proxies one after the other.
fn whole(translation: &Translation) -> String {
    let mut text = stream(translation);
    for (name, file) in &translation.files {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        text.push_str(&format!("# {name}\n{file}"));
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_one_of_those_that_there_are() {
        assert_eq!(target("istio").map(|it| it.0.name), Ok("istio"));
        let problem = target("isto").map(|it| it.0.name).unwrap_err();
        assert!(problem.contains("gateway-api, istio"), "{problem}");
    }

    #[test]
    fn a_report_has_a_format_and_perhaps_a_file() {
        let report = |text: &str| text.parse::<Report>();
        assert_eq!(
            report("markdown=a.md"),
            Ok(Report {
                format: Format::Markdown,
                path: Some("a.md".into())
            })
        );
        assert!(report("json").is_ok_and(|it| it.path.is_none()));
        assert!(report("json=").is_err());
        assert!(report("html").is_err());
    }

    #[test]
    fn a_mesh_may_have_a_release() {
        let wish = |system: &str, release: Option<&str>| Wish {
            system: system.to_owned(),
            release: release.map(str::to_owned),
        };
        assert_eq!(mesh("istio"), Ok(wish("istio", None)));
        assert_eq!(mesh("istio@1.27"), Ok(wish("istio", Some("1.27"))));
        assert!(mesh("istio@").is_err());
        assert!(mesh("@1").is_err());
    }
}
