//! How Traefik is started, and what follows for entry points.

use proxy_core::config::ChainAction;
use proxy_core::time::Duration;

use super::rig::*;

const CRD: &str = "--providers.kubernetescrd=true";

fn http(built: &Built, port: u16) -> proxy_core::config::HttpConnections {
    let chain = built.chain(port, false, "").expect("a chain");
    match chain.action {
        ChainAction::Http(http) => *http,
        ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => panic!("no requests"),
    }
}

#[test]
fn without_its_manifests_traefik_runs_as_its_chart_installs_it() {
    let built = build(&[routes(&[&to_a("PathPrefix(`/`)")])]);
    let facts = &built.model.gateways()[0];
    assert_eq!(&*facts.name, "traefik/traefik");
    let listens: Vec<_> = facts
        .listens
        .iter()
        .map(|it| (it.port, it.bound, it.tls))
        .collect();
    assert_eq!(listens, [(80, 8000, false), (443, 8443, true)]);
    assert!(built.lines().contains("assumed[traefik::assumed-pods]"));
    let http = http(&built, 8000);
    assert_eq!(
        http.request_timeout.map(|it| it.value),
        Some(Duration::from_secs(60))
    );
    assert_eq!(
        http.idle_timeout.map(|it| it.value),
        Some(Duration::from_secs(180))
    );
}

#[test]
fn entry_points_are_those_of_the_arguments() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: traefik, namespace: edge}\nspec: {selector: {app: traefik}, ports: [{name: web, port: 80, targetPort: 9080}, {name: admin, port: 9000, targetPort: 8080}]}\n";
    let args = [
        "--entryPoints.web.address=:9080",
        "--entrypoints.web.transport.respondingtimeouts.readtimeout=0",
        "--entrypoints.web.transport.respondingtimeouts.idletimeout=30s",
        "--entrypoints.web.transport.keepalivemaxrequests=100",
        "--entryPoints.traefik.address=:8080",
        CRD,
        "--providers.kubernetescrd.allowemptyservices=true",
    ];
    let built = build(&[
        routes(&[&to_a("PathPrefix(`/`)")]),
        started(&args),
        service.to_owned(),
    ]);
    let facts = &built.model.gateways()[0];
    assert_eq!(&*facts.name, "edge/traefik");
    let listens: Vec<_> = facts.listens.iter().map(|it| (it.port, it.bound)).collect();
    assert_eq!(listens, [(80, 9080), (9000, 8080)]);
    let http = http(&built, 9080);
    assert!(http.request_timeout.is_none());
    assert_eq!(
        http.idle_timeout.map(|it| it.value),
        Some(Duration::from_secs(30))
    );
    assert_eq!(
        http.max_requests_per_connection.map(|it| it.value),
        Some(100)
    );
    assert_eq!(built.ask_at(9080, &get("h", "/")), "a:80");
    // the entry point of the API is nobody's unless it is asked for
    assert_eq!(built.ask_at(8080, &get("h", "/")), "404");
}

#[test]
fn entry_points_that_are_defaults_leave_others_to_those_who_name_them() {
    let args = [
        "--entrypoints.web.address=:8000",
        "--entrypoints.web.asdefault=true",
        "--entrypoints.internal.address=:8001",
        CRD,
    ];
    let named = "entryPoints: [internal]\nroutes: [{match: 'PathPrefix(`/`)', services: [{name: b, port: 80}]}]";
    let built = build(&[
        routes(&[&to_a("PathPrefix(`/`)")]),
        object("IngressRoute", "inner", named),
        started(&args),
    ]);
    assert_eq!(built.ask_at(8000, &get("h", "/")), "a:80");
    assert_eq!(built.ask_at(8001, &get("h", "/")), "b:80");
}

/// Quirk: the redirect of an entry point names the port that the other one listens on in its pod.
#[test]
fn an_entry_point_is_redirected_to_the_port_of_another() {
    let with = |to: &str| {
        let to = format!("--entrypoints.web.http.redirections.entrypoint.to={to}");
        let args = [
            "--entrypoints.web.address=:8000",
            "--entrypoints.websecure.address=:8443",
            "--entrypoints.websecure.http.tls=true",
            CRD,
            to.as_str(),
        ];
        build(&[routes(&[&to_a("PathPrefix(`/`)")]), started(&args)])
    };
    let named = with("websecure");
    assert_eq!(named.ask(&get("h", "/a")), "301 https://h:8443/a");
    assert_eq!(named.ask(&over_tls("h", "/a")), "a:80");
    assert_eq!(with(":443").ask(&get("h", "/a")), "301 https://h/a");
    assert!(with("gone").problems.has_errors());
}

#[test]
fn middlewares_of_an_entry_point_come_before_those_of_its_routers() {
    let args = [
        "--entrypoints.web.address=:8000",
        "--entrypoints.web.http.middlewares=other-tag@kubernetescrd",
        CRD,
    ];
    let tag = "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: tag, namespace: other}\nspec: {headers: {customRequestHeaders: {X-Entry: web}}}\n";
    let built = build(&[
        routes(&[&to_a("PathPrefix(`/`)")]),
        tag.to_owned(),
        started(&args),
    ]);
    assert_eq!(
        built.ask(&get("h", "/")),
        "a:80 +x-entry=web",
        "{}",
        built.lines()
    );
    let broken = build(&[routes(&[&to_a("PathPrefix(`/`)")]), started(&args)]);
    assert_eq!(broken.ask(&get("h", "/")), "404");
}

#[test]
fn a_provider_that_does_not_run_reads_nothing() {
    let args = [
        "--entrypoints.web.address=:8000",
        "--providers.kubernetesingress",
    ];
    let built = build(&[routes(&[&to_a("PathPrefix(`/`)")]), started(&args)]);
    assert_eq!(built.ask(&get("h", "/")), "404");
    let none = build(&[started(&["--entrypoints.web.address=:8000"])]);
    assert!(none.lines().contains("warning[traefik::no-provider]"));
}

#[test]
fn each_traefik_serves_its_own_class() {
    let public = started(&["--entrypoints.web.address=:8000", CRD]);
    let internal = started(&[
        "--entrypoints.web.address=:8000",
        "--providers.kubernetescrd.ingressclass=internal",
    ])
    .replace(
        "name: traefik, namespace: edge",
        "name: traefik-internal, namespace: edge",
    )
    .replace("app: traefik}", "app: internal}");
    let inner = "ingressClassName: internal\nroutes: [{match: 'Path(`/b`)', services: [{name: b, port: 80}]}]";
    let built = build(&[
        routes(&[&to_a("Path(`/a`)")]),
        object("IngressRoute", "inner", inner),
        public,
        internal,
    ]);
    let names: Vec<&str> = built.model.gateways().iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["edge/traefik", "edge/traefik-internal"]);
    assert_eq!(built.ask(&get("h", "/a")), "a:80");
    assert_eq!(built.ask(&get("h", "/b")), "404");
}

#[test]
fn settings_that_mean_nothing_here_are_told() {
    let args = [
        "--entrypoints.web.address=web",
        "--entrypoints.web.http3",
        "--entrypoints.web.forwardedheaders.insecure",
        "--configfile=/etc/traefik.yml",
        "--experimental.plugins.x.modulename=y",
        "--providers.docker",
        "--log.level=DEBUG",
        CRD,
    ];
    let built = build(&[started(&args)]);
    let lines = built.lines();
    for (key, times) in [
        ("bad-setting", 1),
        ("traefik::setting", 5),
        ("log.level", 0),
    ] {
        assert_eq!(lines.matches(key).count(), times, "{key}\n{lines}");
    }
}
