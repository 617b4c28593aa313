//! The same Ingresses as a real NGINX has them: what ingress-nginx would write is written by hand, and both are asked for the same paths.
//!
//! Needs `nginx` on the path: `cargo test -p manifests --test nginx -- --ignored`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::rig::{Built, Layers};

/// Services `a`, `b` and `c`, and Ingresses of two hosts: one with paths, one with regular expressions and a rewrite.
const MANIFESTS: &str = "apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec: {selector: {app: b}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: c}
spec: {selector: {app: c}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: paths}
spec:
  ingressClassName: nginx
  rules:
  - host: paths.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}
      - {path: /foo, pathType: Prefix, backend: {service: {name: b, port: {number: 80}}}}
      - {path: /foo, pathType: Exact, backend: {service: {name: c, port: {number: 80}}}}
      - {path: /foo/bar, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}
      - {path: /slash/, pathType: Prefix, backend: {service: {name: b, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: regex, annotations: {nginx.ingress.kubernetes.io/rewrite-target: /$2}}
spec:
  ingressClassName: nginx
  rules:
  - host: regex.test
    http:
      paths:
      - {path: /api(/|$)(.*), pathType: ImplementationSpecific, backend: {service: {name: b, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: beside}
spec:
  ingressClassName: nginx
  rules:
  - host: regex.test
    http:
      paths:
      - {path: /foo, pathType: Exact, backend: {service: {name: c, port: {number: 80}}}}
      - {path: /foo/bar, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}
";

/// What `nginx.tmpl` of release 1.15 has for these, as far as paths go. `PORT` and `A`, `B`, `C` are ports.
const SERVERS: &str = r#"
server { listen 127.0.0.1:PORT; server_name paths.test; port_in_redirect off;
  location "/foo/bar/" { proxy_pass http://127.0.0.1:A; }
  location = "/foo/bar" { proxy_pass http://127.0.0.1:A; }
  location "/slash/" { proxy_pass http://127.0.0.1:B; }
  location = "/slash/" { proxy_pass http://127.0.0.1:B; }
  location "/foo/" { proxy_pass http://127.0.0.1:B; }
  location = "/foo" { proxy_pass http://127.0.0.1:C; }
  location "/" { proxy_pass http://127.0.0.1:A; }
}
server { listen 127.0.0.1:PORT; server_name regex.test; port_in_redirect off;
  location ~* "^/api(/|$)(.*)" { rewrite "(?i)/api(/|$)(.*)" /$2 break; proxy_pass http://127.0.0.1:B; }
  location ~* "^/foo/bar/" { proxy_pass http://127.0.0.1:A; }
  location ~* "^/foo/bar" { proxy_pass http://127.0.0.1:A; }
  location ~* "^/foo" { proxy_pass http://127.0.0.1:C; }
  location ~* "^/" { return 404; }
}
"#;

/// An upstream that answers with its name and the path that it was asked for.
fn upstream(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            let _ = lines
                .by_ref()
                .find(|line| line.as_ref().is_ok_and(String::is_empty));
            let path = first.split(' ').nth(1).unwrap_or_default();
            let body = format!("default-{name}-80 as {path}");
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    port
}

struct Nginx {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Nginx {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let folder = std::env::temp_dir().join(format!("windtunnel-nginx-{port}"));
        fs::create_dir_all(&folder).expect("a folder");
        let at = folder.display();
        let mut servers = SERVERS.replace("PORT", &port.to_string());
        for (word, name) in [(":A;", "a"), (":B;", "b"), (":C;", "c")] {
            servers = servers.replace(word, &format!(":{};", upstream(name)));
        }
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|it| format!("{it}_temp_path {at}/{it};"));
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log; \nevents {{}}\nhttp {{ access_log off; {}\n{servers}}}\n",
            temporary.concat()
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, config).expect("a file");
        let process = Command::new("nginx")
            .args(["-p", &at.to_string(), "-c", &file.display().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is on the path");
        let mut started = Self {
            process,
            folder,
            port,
        };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = started.process.try_wait().expect("its own process");
            assert!(ended.is_none(), "nginx has ended: {ended:?}");
            std::thread::yield_now();
        }
        started
    }

    /// What becomes of a request, in the words of [`Built::outcome`].
    fn ask(&self, host: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        )
        .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).unwrap_or_default();
        let mut lines = head.lines();
        let location = lines.find_map(|line| line.strip_prefix("Location: "));
        match (status, location) {
            ("200", _) => body.to_owned(),
            (status, Some(to)) => format!("{status} {to}"),
            (status, None) => status.to_owned(),
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
#[ignore = "needs nginx on the path"]
fn a_real_nginx_chooses_the_same_locations() {
    let nginx = Nginx::start();
    let built = Built::of(&Layers::text(MANIFESTS));
    let paths = [
        "/",
        "/foo",
        "/foo/",
        "/foo?x=1",
        "/foobar",
        "/foo/bar",
        "/foo/bar/",
        "/foo/bar/baz",
        "/foo/barn",
        "/FOO",
        "/slash",
        "/slash?x=1",
        "/slash/",
        "/slash/x",
        "/slashes",
        "/x",
    ];
    for path in paths {
        let ours = built.outcome("paths.test", path);
        assert_eq!(ours, nginx.ask("paths.test", path), "paths.test{path}");
    }
    let patterns = [
        "/",
        "/api",
        "/api/",
        "/api/x/y?z=1",
        "/API/X",
        "/apis",
        "/foo",
        "/foobar",
        "/FOO/x",
        "/foo/bar",
        "/foo/barn",
        "/foo/bar/x",
        "/x/foo",
        "/x/api/y",
    ];
    for path in patterns {
        let ours = built.outcome("regex.test", path);
        assert_eq!(ours, nginx.ask("regex.test", path), "regex.test{path}");
    }
}
