//! The settings of a Traefik's container.

use crate::load::Object;
use crate::text::{Node, Span};

/// One setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Setting {
    /// Its path in lower case, without dashes: `entrypoints.web.address`.
    pub(super) key: String,
    /// Its value; `true` where none is written.
    pub(super) value: String,
    /// Where it stands.
    pub(super) span: Span,
}

/// Variables of the environment begin with this.
const PREFIX: &str = "TRAEFIK_";

/// The settings of the pods of a workload, in the order written: its arguments, and where there are none, its environment.
///
/// Source: traefik `cmd/traefik/traefik.go`: of a file, arguments and environment the first that is there counts.
pub(super) fn settings(object: &Object) -> Vec<Setting> {
    let Some(container) = container_of(object) else {
        return Vec::new();
    };
    let written = ["command", "args"].map(|field| container.get(field).and_then(Node::as_seq));
    let args: Vec<(&str, Span)> = written
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|arg| Some((arg.as_str()?, arg.span)))
        .collect();
    let flags = flags(&args);
    if !flags.is_empty() {
        return flags;
    }
    let env = container.get("env").and_then(Node::as_seq);
    env.into_iter().flatten().filter_map(variable).collect()
}

/// The container that runs Traefik in the pods of a workload: by its image, by its name, or the first.
pub(in crate::dialects::traefik) fn container_of(object: &Object) -> Option<&Node> {
    let containers = object.node.at("spec.template.spec.containers")?.as_seq()?;
    let by_image = containers.iter().find(|it| runs_traefik(it));
    let by_name = containers
        .iter()
        .find(|it| it.get("name").and_then(Node::as_str) == Some("traefik"));
    by_image.or(by_name).or_else(|| containers.first())
}

/// Whether a container's image is Traefik's own.
pub(in crate::dialects::traefik) fn runs_traefik(container: &Node) -> bool {
    let image = container.get("image").and_then(Node::as_str);
    image.is_some_and(|image| {
        let image = image.split('@').next().unwrap_or(image);
        let name = image.rsplit('/').next().unwrap_or(image);
        name.split(':').next() == Some("traefik")
    })
}

fn flags(args: &[(&str, Span)]) -> Vec<Setting> {
    let mut found = Vec::new();
    let mut rest = args.iter().peekable();
    while let Some((arg, span)) = rest.next() {
        let Some(flag) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
            continue;
        };
        let (key, value) = match flag.split_once('=') {
            Some((key, value)) => (key, value.to_owned()),
            None => {
                let value = rest.next_if(|(next, _)| !next.starts_with('-'));
                (flag, value.map_or("true", |(value, _)| value).to_owned())
            }
        };
        found.push(Setting {
            key: key.to_ascii_lowercase(),
            value: value.trim_matches('"').to_owned(),
            span: *span,
        });
    }
    found
}

fn variable(entry: &Node) -> Option<Setting> {
    let name = entry.get("name")?.as_str()?;
    let key = name.strip_prefix(PREFIX)?;
    let value = entry.get("value")?;
    Some(Setting {
        key: key.to_ascii_lowercase().replace('_', "."),
        value: value.as_str()?.to_owned(),
        span: value.span,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Diagnostics;
    use crate::load::{Layer, load};
    use crate::text::Sources;

    fn settings_of(container: &str) -> Vec<(String, String)> {
        let (mut sources, mut out) = (Sources::default(), Diagnostics::default());
        let text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: traefik}}\nspec:\n  template:\n    spec:\n      containers:\n      - {{name: log, image: busybox, args: [--x=1]}}\n      - {container}\n"
        );
        let objects = load(&[Layer::text("a.yaml", text)], &mut sources, &mut out);
        let object = objects.iter().next().expect("one object");
        let all = settings(object).into_iter();
        all.map(|it| (it.key, it.value)).collect()
    }

    #[test]
    fn settings_are_arguments_or_else_the_environment() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for (container, want) in [
            (
                "{name: t, image: 'traefik:v3.7', args: ['--entryPoints.web.address=:8000', --api]}",
                vec![
                    pair("entrypoints.web.address", ":8000"),
                    pair("api", "true"),
                ],
            ),
            (
                "{name: t, image: 'docker.io/library/traefik@sha256:1', args: [--log.level, DEBUG, --ping]}",
                vec![pair("log.level", "DEBUG"), pair("ping", "true")],
            ),
            (
                "{name: t, image: traefik, env: [{name: TRAEFIK_ENTRYPOINTS_WEB_ADDRESS, value: ':81'}, {name: OTHER, value: a}]}",
                vec![pair("entrypoints.web.address", ":81")],
            ),
            (
                "{name: traefik, image: mine, command: [traefik, --a=b]}",
                vec![pair("a", "b")],
            ),
        ] {
            assert_eq!(settings_of(container), want, "{container}");
        }
    }
}
