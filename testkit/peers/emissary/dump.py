#!/usr/bin/env python3
"""Writes the configuration dump that an Envoy of Emissary would give, from files of manifests and without a cluster.

usage: dump.py --emissary CHECKOUT --envoy ENVOY [--namespace NS] [--id ID] MANIFESTS... > dump.json

CHECKOUT is a checkout of Emissary's repository at the release to ask; its own compiler (`python/ambassador`) reads the
manifests, as it does in a pod, and writes Envoy's configuration. What its ADS server does to that is done here too: route
tables are handed over by name, and endpoints of EDS clusters by their own subscription. ENVOY, a program of any release
that knows the fields, is started with it on a loopback address, and is asked for its dump.

What a cluster gives and files do not: Secrets that are asked for and not among the manifests are made up (`openssl`).
What is written is the same for the same input: times, digests and what a program says of its own build are taken out.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

import yaml

LOOPBACK = "127.77.0.1"
ANYWHERE = "0.0.0.0"
BASE = "/ambassador/snapshots"
WHEN = "2026-01-05T09:00:00.000Z"
TYPES = "type.googleapis.com/envoy.config."
MANAGER = "envoy.filters.network.http_connection_manager"
# Emissary names these alone; releases of Envoy after its own want to know what they are
BARE = {
    "envoy.filters.http.cors": "http.cors.v3.Cors",
    "envoy.filters.http.grpc_http1_bridge": "http.grpc_http1_bridge.v3.Config",
    "envoy.filters.http.grpc_web": "http.grpc_web.v3.GrpcWeb",
    "envoy.filters.http.router": "http.router.v3.Router",
    "envoy.filters.listener.proxy_protocol": "listener.proxy_protocol.v3.ProxyProtocol",
    "envoy.filters.listener.tls_inspector": "listener.tls_inspector.v3.TlsInspector",
}
FILTERS = "type.googleapis.com/envoy.extensions.filters."
# what those releases do not know any more
GONE = "envoy.reloadable_features.no_extension_lookup_by_name"


def main():
    args = arguments()
    os.environ["AMBASSADOR_NAMESPACE"] = args.namespace
    if args.id:
        os.environ["AMBASSADOR_ID"] = args.id
    with tempfile.TemporaryDirectory(prefix="emissary-") as folder:
        scratch = pathlib.Path(folder)
        generated, endpoints = compiled(args, documents(args.manifests), scratch)
        dump = asked(args.envoy, generated, endpoints, scratch)
    print(json.dumps(clean(dump, folder, generated[0]), indent=1))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--emissary", required=True, type=pathlib.Path, help="a checkout of Emissary's repository")
    parser.add_argument("--envoy", required=True, help="the program")
    parser.add_argument("--namespace", default="emissary", help="AMBASSADOR_NAMESPACE")
    parser.add_argument("--id", help="AMBASSADOR_ID")
    parser.add_argument("manifests", nargs="+", type=pathlib.Path, help="files or folders")
    return parser.parse_args()


def documents(paths):
    """The objects of files and folders, as a cluster would have them."""
    files = []
    for path in paths:
        files += sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    objects = [it for file in files for it in yaml.safe_load_all(file.read_text()) if it]
    for it in objects:
        group, _, version = it["apiVersion"].rpartition("/")
        if group == "getambassador.io" and version != "v3alpha1":
            # a cluster converts those before Emissary sees them
            sys.exit(f"{it['kind']} {it['metadata']['name']}: only v3alpha1 can be compiled without a cluster")
        it["metadata"].setdefault("namespace", "default")
    return objects


def compiled(args, objects, scratch):
    """Bootstrap and resources as Emissary's compiler makes them, and the endpoints of EDS clusters by name of service."""
    for source in ("python/ambassador/src", "python"):
        if (args.emissary / source / "ambassador").is_dir():
            sys.path.insert(0, str(args.emissary / source))
            break
    else:
        sys.exit(f"{args.emissary} has no python/ambassador")
    import logging

    from ambassador.compile import Compile
    from ambassador.utils import SecretHandler, SecretInfo

    logging.disable(logging.CRITICAL)

    class Secrets(SecretHandler):
        """Makes up what the manifests do not have."""

        def load_secret(self, resource, secret_name, namespace):
            certificate, key = made_up(secret_name, scratch)
            return SecretInfo(secret_name, namespace, "kubernetes.io/tls", certificate, key, decode_b64=False)

    secrets = Secrets(logging.getLogger(), str(scratch), str(scratch / "secrets"), "0")
    result = Compile(logging.getLogger(), yaml.safe_dump_all(objects), secret_handler=secrets, k8s=True)
    told = [(key, it["error"]) for key, all in result["ir"].aconf.errors.items() for it in all]
    told += [(key, it) for key, all in result["ir"].aconf.notices.items() for it in all]
    for key, what in told:
        print(f"emissary: {key}: {what}", file=sys.stderr)
    bootstrap, resources, clusters = result["xds"].split_config()
    plain = json.loads(json.dumps([bootstrap, resources], default=dict))
    return plain, {it["endpoint_path"]: addresses(it, objects) for it in clusters.values() if "endpoint_path" in it}


def made_up(name, scratch):
    key, certificate = scratch / f"{name}.key", scratch / f"{name}.crt"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate.read_text(), key.read_text()


def addresses(entry, objects):
    """Addresses of a service's pods, as far as the manifests have Endpoints of it."""
    wanted = (entry["service"], entry["namespace"])
    found = [it for it in objects if it["kind"] == "Endpoints"]
    found = [it for it in found if (it["metadata"]["name"], it["metadata"]["namespace"]) == wanted]
    subsets = [subset for it in found for subset in it.get("subsets", [])]
    return [(address["ip"], port["port"]) for it in subsets for address in it["addresses"] for port in it["ports"][:1]]


def asked(envoy, generated, endpoints, scratch):
    """What an Envoy that was told all of it dumps."""
    bootstrap, resources = json.loads(json.dumps(generated))
    static = resources["static_resources"]
    for listener in static["listeners"]:
        bound = listener["address"]["socket_address"]
        if bound["address"] == ANYWHERE:
            bound["address"] = LOOPBACK
        typed(listener)
        split_tables(listener, scratch)
    for cluster in static["clusters"]:
        if "eds_cluster_config" in cluster:
            own_endpoints(cluster["eds_cluster_config"], endpoints, scratch)
    for layer in bootstrap["layered_runtime"]["layers"]:
        layer.get("static_layer", {}).pop(GONE, None)
    dynamic = bootstrap["dynamic_resources"] = {}
    for kind, name, type_url in (("lds", "listeners", "listener.v3.Listener"), ("cds", "clusters", "cluster.v3.Cluster")):
        dynamic[f"{kind}_config"] = subscription(scratch, kind, type_url, static[name])
    # no name is looked up outside
    bootstrap["typed_dns_resolver_config"] = {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [{"socket_address": {"address": LOOPBACK, "port_value": 1}}],
            "dns_resolver_options": {"no_default_search_domain": True, "use_tcp_for_dns_lookups": True},
        },
    }
    bootstrap["admin"] = {"address": {"socket_address": {"address": LOOPBACK, "port_value": 0}}}
    config, admin = scratch / "envoy.json", scratch / "admin"
    config.write_text(json.dumps(bootstrap))
    command = [envoy, "-c", str(config), "--admin-address-path", str(admin), "--use-dynamic-base-id"]
    command += ["--concurrency", "1", "--log-level", "warn"]
    log = scratch / "log"
    running = subprocess.Popen(command, stdout=log.open("w"), stderr=subprocess.STDOUT)
    try:
        tables = [it for it in scratch.glob("*-routeconfig-*.json")]
        return ready_dump(running, admin, {it["name"] for it in static["listeners"]}, len(tables))
    except Refused as refused:
        sys.exit(f"{log.read_text()}\n{refused}")
    finally:
        running.terminate()
        running.wait()


class Refused(Exception):
    """Why an Envoy does not serve."""


def typed(value):
    """Says of filters that are known by name what they are."""
    for it in value if isinstance(value, list) else value.values() if isinstance(value, dict) else []:
        typed(it)
    if isinstance(value, dict) and value.get("name") in BARE:
        value.setdefault("typed_config", {}).setdefault("@type", FILTERS + BARE[value["name"]])


def split_tables(listener, scratch):
    """Puts a name in the place of each route table, as the ADS server does."""
    seen = {}
    for chain in listener["filter_chains"]:
        for filter in chain["filters"]:
            table = filter["typed_config"].pop("route_config", None) if filter["name"] == MANAGER else None
            if table is None:
                continue
            match = hashlib.md5(json.dumps(chain.get("filter_chain_match"), sort_keys=True).encode()).hexdigest()
            at = seen[match] = seen.get(match, -1) + 1
            table["name"] = f"{listener['name']}-routeconfig-{match}-{at}"
            source = subscription(scratch, table["name"], "route.v3.RouteConfiguration", [table])
            filter["typed_config"]["rds"] = {"route_config_name": table["name"], "config_source": source}


def own_endpoints(config, endpoints, scratch):
    name = config["service_name"]
    found = [
        {"endpoint": {"address": {"socket_address": {"address": ip, "port_value": port}}}}
        for ip, port in endpoints.get(name, [])
    ]
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": found}]}
    config["eds_config"] = subscription(scratch, f"eds-{name}", "endpoint.v3.ClusterLoadAssignment", [assignment])


def subscription(scratch, name, type_url, resources):
    """A file with resources, and where to find it."""
    path = scratch / (re.sub(r"[^\w.-]", "_", name) + ".json")
    typed = [{"@type": TYPES + type_url, **it} for it in resources]
    path.write_text(json.dumps({"version_info": "v1", "resources": typed}))
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def ready_dump(running, admin, listeners, tables):
    """The dump, once every listener and every route table stands; an error of any ends it."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if running.poll() is not None:
            raise Refused("the Envoy ended")
        if admin.exists() and admin.read_text():
            try:
                with urllib.request.urlopen(f"http://{admin.read_text()}/config_dump", timeout=10) as answer:
                    dump = json.load(answer)
            except OSError:
                time.sleep(0.1)
                continue
            parts = {it["@type"].rsplit(".", 1)[1]: it for it in dump["configs"]}
            known = parts.get("ListenersConfigDump", {}).get("dynamic_listeners", [])
            found = parts.get("RoutesConfigDump", {}).get("dynamic_route_configs", [])
            refused = [it["error_state"]["details"] for it in known if "error_state" in it]
            if refused:
                raise Refused("\n".join(refused))
            if {it["name"] for it in known if "active_state" in it} == listeners and len(found) == tables:
                return dump
        time.sleep(0.1)
    raise Refused("the Envoy did not take every listener and every route")


def clean(dump, folder, bootstrap):
    """Takes out what is of this run and not of Emissary: folders, ports, times, digests, an Envoy's build."""
    text = json.dumps(dump)
    text = text.replace(f"{folder}/secrets", BASE).replace(LOOPBACK, ANYWHERE)
    text = re.sub(r'"last_updated": "[^"]*"', f'"last_updated": "{WHEN}"', text)
    text = re.sub(r"/[0-9A-F]{40}(\.\w+)+", r"/tls\1", text)
    dump = walked(json.loads(text))
    for part in dump["configs"]:
        if part["@type"].endswith("BootstrapConfigDump"):
            part["bootstrap"] = bootstrap
        for name in ("dynamic_active_clusters", "dynamic_route_configs"):
            if name in part:
                part[name].sort(key=name_of)
    return dump


def name_of(entry):
    inner = entry.get("cluster") or entry.get("route_config")
    return inner["name"]


def walked(value):
    """Subscriptions to files are subscriptions to Emissary's ADS, and filters have the names that it gives them."""
    if isinstance(value, list):
        return [walked(it) for it in value]
    if not isinstance(value, dict):
        return value
    if "path_config_source" in value:
        return {"ads": {}, "resource_api_version": "V3"}
    if set(value.get("typed_config", {})) == {"@type"} and value.get("name") in BARE:
        return {"name": value["name"]}
    return {key: walked(it) for key, it in value.items()}


if __name__ == "__main__":
    main()
