#!/usr/bin/env python3
"""Answers controllers as a Kubernetes API server would that has the objects of manifest files, and that nobody writes to.

usage: serve.py --listen 127.0.0.1:8001 [--crds FILE]... MANIFESTS...

Discovery, lists, single objects and watches of the kinds below. A watch is given what there is and stays open; nothing ever changes. Kinds that
the files have none of are empty lists, so that a controller may wait for all of them. Whatever is written is answered with what was written, and
forgotten. `--crds` takes CustomResourceDefinitions, whose defaults are put into objects as a cluster would put them in.

There is no TLS and no authorization: listen on loopback.
"""

import argparse
import http.server
import json
import pathlib
import threading
import urllib.parse

import yaml

# group and version: kind, plural, whether objects stand in namespaces
KINDS = {
    "v1": [
        ("ConfigMap", "configmaps", True),
        ("Endpoints", "endpoints", True),
        ("Namespace", "namespaces", False),
        ("Node", "nodes", False),
        ("Pod", "pods", True),
        ("Secret", "secrets", True),
        ("Service", "services", True),
    ],
    "apps/v1": [("Deployment", "deployments", True)],
    "discovery.k8s.io/v1": [("EndpointSlice", "endpointslices", True)],
    "networking.k8s.io/v1": [("Ingress", "ingresses", True), ("IngressClass", "ingressclasses", False)],
    "coordination.k8s.io/v1": [("Lease", "leases", True)],
    "traefik.io/v1alpha1": [
        ("IngressRoute", "ingressroutes", True),
        ("IngressRouteTCP", "ingressroutetcps", True),
        ("IngressRouteUDP", "ingressrouteudps", True),
        ("Middleware", "middlewares", True),
        ("MiddlewareTCP", "middlewaretcps", True),
        ("ServersTransport", "serverstransports", True),
        ("ServersTransportTCP", "serverstransporttcps", True),
        ("TLSOption", "tlsoptions", True),
        ("TLSStore", "tlsstores", True),
        ("TraefikService", "traefikservices", True),
    ],
    "gateway.networking.k8s.io/v1": [
        ("BackendTLSPolicy", "backendtlspolicies", True),
        ("GatewayClass", "gatewayclasses", False),
        ("Gateway", "gateways", True),
        ("GRPCRoute", "grpcroutes", True),
        ("HTTPRoute", "httproutes", True),
    ],
    "gateway.networking.k8s.io/v1beta1": [("ReferenceGrant", "referencegrants", True)],
    "gateway.networking.k8s.io/v1alpha2": [("TCPRoute", "tcproutes", True), ("TLSRoute", "tlsroutes", True)],
}
CREATED = "2026-01-05T09:00:00Z"
VERSION = "1"
LONGEST_WATCH = 600


class Store:
    """The objects, by group, version and plural."""

    def __init__(self, paths, crds):
        self.plurals = {(gv, kind): plural for gv, all in KINDS.items() for kind, plural, _ in all}
        self.namespaced = {(gv, plural): own for gv, all in KINDS.items() for _, plural, own in all}
        self.kinds = {(gv, plural): kind for gv, all in KINDS.items() for kind, plural, _ in all}
        self.objects = {key: [] for key in self.kinds}
        schemas = dict(pair for path in crds for pair in schemas_of(path))
        for it in documents(paths):
            key = (it["apiVersion"], self.plurals.get((it["apiVersion"], it["kind"])))
            if key not in self.objects:
                continue
            metadata = it.setdefault("metadata", {})
            if self.namespaced[key]:
                metadata.setdefault("namespace", "default")
            self.objects[key].append(it)
            metadata.setdefault("uid", f"00000000-0000-0000-0000-{sum(map(len, self.objects.values())):012}")
            metadata.setdefault("resourceVersion", VERSION)
            metadata.setdefault("creationTimestamp", CREATED)
            metadata.setdefault("generation", 1)
            put_defaults(it, schemas.get((it["apiVersion"], it["kind"]), {}))

    def find(self, key, namespace, selector, fields):
        """Objects of a kind, of one namespace if any is named, with these labels and fields."""
        found = []
        for it in self.objects[key]:
            metadata = it["metadata"]
            if namespace and metadata.get("namespace") != namespace:
                continue
            if selects(selector, metadata.get("labels", {})) and all(
                str(metadata.get(path.removeprefix("metadata."))) == value for path, value in fields
            ):
                found.append(it)
        return found


def documents(paths):
    files = []
    for path in paths:
        files += sorted(path.rglob("*.y*ml")) if path.is_dir() else [path]
    for file in files:
        for it in yaml.load_all(file.read_text(), yaml.CSafeLoader):
            if it:
                yield from it["items"] if it.get("kind") == "List" else [it]


def schemas_of(path):
    for it in documents([path]):
        if it["kind"] == "CustomResourceDefinition":
            for version in it["spec"]["versions"]:
                kind = (f"{it['spec']['group']}/{version['name']}", it["spec"]["names"]["kind"])
                yield kind, version["schema"]["openAPIV3Schema"]


def put_defaults(value, schema):
    """Defaults of a schema, where an object has no value for them."""
    if isinstance(value, list):
        for it in value:
            put_defaults(it, schema.get("items", {}))
    if not isinstance(value, dict):
        return
    for name, own in schema.get("properties", {}).items():
        if "default" in own:
            value.setdefault(name, json.loads(json.dumps(own["default"])))
        if name in value:
            put_defaults(value[name], own)
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        for it in value.values():
            put_defaults(it, others)


def selects(selector, labels):
    """`a=b`, `a!=b`, `a`, `!a`, `a in (b,c)`: as far as controllers write them."""
    for term in filter(None, (part.strip() for part in split_terms(selector))):
        if " in (" in term:
            name, values = term.rstrip(")").split(" in (")
            is_right = labels.get(name) in [it.strip() for it in values.split(",")]
        elif "!=" in term:
            name, value = term.split("!=")
            is_right = labels.get(name) != value
        elif "=" in term:
            name, value = term.replace("==", "=").split("=")
            is_right = labels.get(name) == value
        else:
            is_right = (term.lstrip("!") in labels) != term.startswith("!")
        if not is_right:
            return False
    return True


def split_terms(selector):
    depth, term = 0, ""
    for letter in selector:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            yield term
            term = ""
        else:
            term += letter
    yield term


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store = None
    ended = threading.Event()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        parts = [it for it in url.path.split("/") if it]
        match parts:
            case ["version"]:
                self.reply({"major": "1", "minor": "33", "gitVersion": "v1.33.0", "platform": "linux/amd64"})
            case ["healthz" | "livez" | "readyz"]:
                self.reply("ok")
            case ["api"]:
                self.reply({"kind": "APIVersions", "versions": ["v1"]})
            case ["apis"]:
                self.reply({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups()})
            case ["api", version, *rest]:
                self.of_version(version, rest, query)
            case ["apis", group, version, *rest]:
                self.of_version(f"{group}/{version}", rest, query)
            case _:
                self.not_found()

    def of_version(self, gv, rest, query):
        if gv not in KINDS:
            return self.not_found()
        match rest:
            case []:
                return self.reply(resources(gv))
            case ["namespaces", namespace, plural]:
                return self.list(gv, plural, namespace, query)
            case ["namespaces", namespace, plural, name, *_]:
                return self.one(gv, plural, namespace, name)
            case [plural]:
                return self.list(gv, plural, None, query)
            case [plural, name, *_]:
                return self.one(gv, plural, None, name)

    def one(self, gv, plural, namespace, name):
        if (gv, plural) not in self.store.objects:
            return self.not_found()
        found = self.store.find((gv, plural), namespace, "", [("metadata.name", name)])
        self.reply(found[0]) if found else self.not_found()

    def list(self, gv, plural, namespace, query):
        key = (gv, plural)
        if key not in self.store.objects:
            return self.not_found()
        fields = [tuple(it.split("=", 1)) for it in query.get("fieldSelector", "").split(",") if it]
        found = self.store.find(key, namespace, query.get("labelSelector", ""), fields)
        if query.get("watch") in ("true", "1"):
            return self.watch(key, found, query)
        kind = self.store.kinds[key]
        self.reply({"kind": f"{kind}List", "apiVersion": gv, "metadata": {"resourceVersion": VERSION}, "items": found})

    def watch(self, key, found, query):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if query.get("sendInitialEvents") == "true":
            for it in found:
                self.event("ADDED", it)
            metadata = {"resourceVersion": VERSION, "annotations": {"k8s.io/initial-events-end": "true"}}
            gv, plural = key
            self.event("BOOKMARK", {"kind": self.store.kinds[key], "apiVersion": gv, "metadata": metadata})
        self.wfile.flush()
        # nothing ever happens
        self.ended.wait(min(float(query.get("timeoutSeconds", LONGEST_WATCH)), LONGEST_WATCH))
        try:
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass
        self.close_connection = True

    def event(self, kind, it):
        line = json.dumps({"type": kind, "object": it}).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")

    def written(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        try:
            self.reply(json.loads(body))
        except ValueError:
            self.reply({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    do_PUT = do_POST = do_PATCH = do_DELETE = written

    def reply(self, body, status=200):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def not_found(self):
        self.reply({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}, 404)

    def log_message(self, format, *args):
        pass


def groups():
    found = {}
    for gv in KINDS:
        group, _, version = gv.rpartition("/")
        if group:
            found.setdefault(group, []).append({"groupVersion": gv, "version": version})
    return [{"name": name, "versions": all, "preferredVersion": all[0]} for name, all in found.items()]


def resources(gv):
    verbs = ["get", "list", "watch"]
    all = [{"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": own, "verbs": verbs} for kind, plural, own in KINDS[gv]]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": gv, "resources": all}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


def started(address, paths, crds=()):
    """A server that answers in threads of its own; `shutdown` ends it."""
    host, _, port = address.rpartition(":")
    handler = type("Own", (Handler,), {"store": Store(paths, crds), "ended": threading.Event()})
    server = Server((host, int(port)), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--listen", default="127.0.0.1:8001", help="address and port")
    parser.add_argument("--crds", action="append", default=[], type=pathlib.Path, help="CustomResourceDefinitions, for their defaults")
    parser.add_argument("manifests", nargs="+", type=pathlib.Path, help="files or folders")
    args = parser.parse_args()
    server = started(args.listen, args.manifests, args.crds)
    print(f"READY http://{server.server_address[0]}:{server.server_address[1]}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.shutdown()


if __name__ == "__main__":
    main()
