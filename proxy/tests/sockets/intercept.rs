//! Redirect rules at work: a pod and the world outside it as network namespaces, joined by a pair of interfaces.
//!
//! Needs root, iproute2, nftables and Python; where one is missing the test says so and passes.

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const PROXY: &str = env!("CARGO_BIN_EXE_windtunnel-proxy");
/// As which the sidecar runs; everything else is root's.
const UID: &str = "1337";

/// Two namespaces; gone with this.
struct Net {
    pod: String,
    outside: String,
}

fn ip(args: &[&str]) -> bool {
    let done = Command::new("ip").args(args).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

impl Net {
    /// None: this machine cannot have them.
    fn new() -> Option<Self> {
        let own = std::process::id();
        let net = Self {
            pod: format!("wt-pod-{own}"),
            outside: format!("wt-out-{own}"),
        };
        let has = |program: &str| {
            let found = Command::new(program).arg("--version").output();
            found.is_ok_and(|it| it.status.success())
        };
        if !has("nft") || !has("setpriv") || !has("python3") || !ip(&["netns", "add", &net.pod]) {
            return None;
        }
        assert!(ip(&["netns", "add", &net.outside]), "a second namespace");
        let (near, far) = (format!("wtp{own}"), format!("wto{own}"));
        let steps: [&[&str]; 10] = [
            &["link", "add", &near, "type", "veth", "peer", "name", &far],
            &["link", "set", &near, "netns", &net.pod],
            &["link", "set", &far, "netns", &net.outside],
            &["-n", &net.pod, "addr", "add", "10.9.0.2/24", "dev", &near],
            &[
                "-n",
                &net.outside,
                "addr",
                "add",
                "10.9.0.1/24",
                "dev",
                &far,
            ],
            &["-n", &net.pod, "link", "set", "lo", "up"],
            &["-n", &net.pod, "link", "set", &near, "up"],
            &["-n", &net.outside, "link", "set", "lo", "up"],
            &["-n", &net.outside, "link", "set", &far, "up"],
            &["-n", &net.pod, "route", "add", "default", "via", "10.9.0.1"],
        ];
        for step in steps {
            assert!(ip(step), "ip {}", step.join(" "));
        }
        Some(net)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.pod]);
        ip(&["netns", "del", &self.outside]);
    }
}

/// A program in a namespace; ended with this.
struct Inside(Child);

impl Inside {
    fn start(namespace: &str, program: &[&str]) -> Self {
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace])
            .args(program)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let out = child.stdout.take().expect("its output");
        let mut first = String::new();
        BufReader::new(out).read_line(&mut first).expect("a line");
        assert_eq!(first, "READY\n", "{program:?}");
        Self(child)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a program in a namespace prints.
fn run(namespace: &str, program: &[&str]) -> Result<String, String> {
    let done = Command::new("ip")
        .args(["netns", "exec", namespace])
        .args(program)
        .output()
        .expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if done.status.success() {
        Ok(text(&done.stdout))
    } else {
        Err(text(&done.stderr))
    }
}

/// The body of an answer.
fn get(namespace: &str, url: &str, host: &str) -> String {
    let script = "import sys, urllib.request as u
print(u.urlopen(u.Request(sys.argv[1], headers={'Host': sys.argv[2]}), timeout=5).read().decode())";
    let got = run(namespace, &["python3", "-c", script, url, host]);
    got.unwrap_or_else(|error| panic!("{url} from {namespace}: {error}"))
}

/// A server that says its name, and whom it takes for its client.
const SERVER: &str = "import http.server as h, sys
class S(h.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f'{sys.argv[2]} for {self.client_address[0]}'.encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
server = h.ThreadingHTTPServer(('0.0.0.0', int(sys.argv[1])), S)
print('READY', flush=True)
server.serve_forever()";

fn server(namespace: &str, port: &str, name: &str) -> Inside {
    Inside::start(namespace, &["python3", "-c", SERVER, port, name])
}

const MANIFESTS: &str = "apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.8
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  clusterIP: 10.96.0.9
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: cart-1, namespace: shop, labels: {kubernetes.io/service-name: cart}}
addressType: IPv4
endpoints: [{addresses: [10.9.0.1], conditions: {ready: true}}]
ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http:
  - match: [{uri: {prefix: /mesh}}]
    directResponse: {status: 200, body: {string: the sidecar of web}}
  - route: [{destination: {host: cart}}]
";

#[test]
fn a_sidecar_takes_what_its_application_sends_and_what_is_sent_to_it() {
    let Some(net) = Net::new() else {
        eprintln!("SKIPPED: it needs root, ip, nft, setpriv and python3");
        return;
    };
    let folder = TempDir::new().expect("a folder");
    let manifests = folder.path().join("shop.yaml");
    std::fs::write(&manifests, MANIFESTS).expect("it is written");
    let manifests = manifests.display().to_string();
    let intercept = |what: &[&str]| {
        let done = run(&net.pod, &[&[PROXY, "intercept"], what].concat());
        done.unwrap_or_else(|error| panic!("{what:?}: {error}"));
    };
    let _web = server(&net.pod, "8080", "web");
    let _metrics = server(&net.pod, "9090", "metrics");
    let _cart = server(&net.outside, "8080", "cart");
    let _database = server(&net.outside, "5432", "database");
    // where another user can get at it
    let program = folder.path().join("proxy");
    std::fs::copy(PROXY, &program).expect("it is copied");
    open_to_all(folder.path());
    let program = program.display().to_string();
    let sidecar = [
        &*program,
        "sidecar",
        "-f",
        &manifests,
        "--workload",
        "shop/web",
    ];
    let reduced = ["setpriv", "--reuid", UID, "--regid", UID, "--clear-groups"];
    let _sidecar = Inside::start(&net.pod, &[&reduced[..], &sidecar].concat());

    intercept(&[
        "install",
        "--proxy-uid",
        UID,
        "--exclude-inbound-ports",
        "9090",
        "--exclude-outbound-ports",
        "5432",
    ]);
    // by a Service's address, which is nowhere
    assert_eq!(
        get(&net.pod, "http://10.96.0.9/", "cart"),
        "cart for 10.9.0.2"
    );
    assert_eq!(
        get(&net.pod, "http://10.96.0.9/mesh", "cart"),
        "the sidecar of web"
    );
    // the application takes its sidecar for its client
    assert_eq!(
        get(&net.outside, "http://10.9.0.2:8080/", "web"),
        "web for 127.0.0.6"
    );
    // excluded ports, and an application that calls itself
    assert_eq!(
        get(&net.outside, "http://10.9.0.2:9090/", "web"),
        "metrics for 10.9.0.1"
    );
    assert_eq!(
        get(&net.pod, "http://10.9.0.1:5432/", "db"),
        "database for 10.9.0.2"
    );
    assert_eq!(
        get(&net.pod, "http://127.0.0.1:8080/", "web"),
        "web for 127.0.0.1"
    );
    assert_eq!(
        get(&net.pod, "http://10.9.0.2:8080/", "web"),
        "web for 10.9.0.2"
    );
    let ready = get(&net.pod, "http://127.0.0.1:15000/ready", "admin");
    assert_eq!(ready, "LIVE");

    // twice is as good as once
    intercept(&["install", "--proxy-uid", UID]);
    assert_eq!(
        get(&net.outside, "http://10.9.0.2:9090/", "web"),
        "metrics for 127.0.0.6"
    );
    intercept(&["remove"]);
    intercept(&["remove"]);
    // rules are gone at once for connections that begin now
    assert_eq!(
        get(&net.outside, "http://10.9.0.2:8080/", "web"),
        "web for 10.9.0.1"
    );
    let left = run(&net.pod, &["nft", "list", "ruleset"]).expect("rules");
    assert!(!left.contains("windtunnel"), "{left}");
}

fn open_to_all(folder: &Path) {
    let all = Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, all).expect("it is ours");
}
