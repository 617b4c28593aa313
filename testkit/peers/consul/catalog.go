package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"windtunnel.dev/testkit/peers/xds/kube"
)

// Annotations and labels of Consul's integration with Kubernetes.
const (
	prefix      = "consul.hashicorp.com/"
	inject      = prefix + "connect-inject"
	transparent = prefix + "transparent-proxy"
	named       = prefix + "connect-service"
	meant       = prefix + "kubernetes-service"
	appPort     = prefix + "connect-service-port"
	upstreams   = prefix + "connect-service-upstreams"
	words       = prefix + "service-meta-"
	tags        = prefix + "service-tags"
	ignored     = prefix + "service-ignore"
)

// proxyPort is where a sidecar takes connections of the mesh.
const proxyPort = 20000

// proxy is the sidecar of a pod.
type proxy struct {
	pod     *kube.Pod
	service string
}

func (p *proxy) id() string { return p.pod.Name + "-" + p.service + "-sidecar-proxy" }

// register tells the agent of every pod with a sidecar, as the endpoints controller of Consul's integration with Kubernetes does.
func register(ctx context.Context, agent *agent, cluster *kube.Cluster) ([]*proxy, error) {
	var proxies []*proxy
	for _, service := range cluster.Services {
		if service.Labels[ignored] == "true" {
			continue
		}
		for _, pod := range cluster.Behind(service) {
			which := pod.Annotations[meant]
			if pod.Annotations[inject] != "true" || (which != "" && which != service.Name) {
				continue
			}
			it := &proxy{pod: pod, service: service.Name}
			if name := pod.Annotations[named]; name != "" {
				it.service = name
			}
			for _, body := range registrations(cluster, service, it) {
				if err := agent.call(ctx, http.MethodPut, "/v1/agent/service/register", body, nil); err != nil {
					return nil, fmt.Errorf("%v: %w", body["ID"], err)
				}
			}
			proxies = append(proxies, it)
		}
	}
	return proxies, nil
}

// registrations are a pod's service and its sidecar.
func registrations(cluster *kube.Cluster, service *kube.Service, it *proxy) []map[string]any {
	pod := it.pod
	meta := map[string]string{
		"pod-name": pod.Name, "k8s-namespace": pod.Namespace, "k8s-service-name": service.Name,
		"managed-by": "consul-k8s-endpoints-controller", "synthetic-node": "true",
	}
	for key, value := range pod.Annotations {
		if word, found := strings.CutPrefix(key, words); found {
			meta[word] = value
		}
	}
	var own []string
	for tag := range strings.SplitSeq(pod.Annotations[tags], ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			own = append(own, tag)
		}
	}
	id := pod.Name + "-" + it.service
	body := map[string]any{"ID": id, "Name": it.service, "Address": pod.IP, "Meta": meta, "Tags": own}
	sidecar := map[string]any{
		"DestinationServiceName": it.service, "DestinationServiceID": id, "Config": map[string]any{}, "Upstreams": explicit(pod),
	}
	if port := listens(pod); port != 0 {
		body["Port"] = port
		sidecar["LocalServiceAddress"], sidecar["LocalServicePort"] = "127.0.0.1", port
	}
	beside := map[string]any{
		"Kind": "connect-proxy", "ID": it.id(), "Name": it.service + "-sidecar-proxy", "Address": pod.IP, "Port": proxyPort,
		"Meta": meta, "Tags": own, "Proxy": sidecar,
	}
	if isTransparent(cluster, pod) {
		sidecar["Mode"] = "transparent"
		if !service.Headless {
			virtual := map[string]any{"virtual": map[string]any{"Address": service.IP, "Port": service.Ports[0].Number}}
			body["TaggedAddresses"], beside["TaggedAddresses"] = virtual, virtual
		}
	}
	return []map[string]any{body, beside}
}

// listens is the application's port: as it is annotated, else the first of its containers.
func listens(pod *kube.Pod) int {
	written, _, _ := strings.Cut(pod.Annotations[appPort], ",")
	if written == "" {
		if len(pod.Ports) == 0 {
			return 0
		}
		return pod.Ports[0].Number
	}
	return port(pod, written)
}

func port(pod *kube.Pod, written string) int {
	if number, err := strconv.Atoi(written); err == nil {
		return number
	}
	return pod.Named(written)
}

func isTransparent(cluster *kube.Cluster, pod *kube.Pod) bool {
	if written, found := pod.Annotations[transparent]; found {
		return written == "true"
	}
	if namespace := cluster.Find("Namespace", "default", pod.Namespace); namespace != nil {
		if written, found := namespace.Labels[transparent]; found {
			return written == "true"
		}
	}
	return true
}

// explicit are those that have a port of their own on loopback.
func explicit(pod *kube.Pod) []map[string]any {
	var all []map[string]any
	for one := range strings.SplitSeq(pod.Annotations[upstreams], ",") {
		name, at, found := strings.Cut(strings.TrimSpace(one), ":")
		if !found {
			continue
		}
		all = append(all, map[string]any{
			"DestinationType": "service", "DestinationName": strings.TrimSuffix(name, ".svc"), "LocalBindPort": port(pod, at),
		})
	}
	return all
}

// entries are Consul's configuration entries by the kind of their resource, in the order in which they are written.
var entries = []struct{ kind, entry string }{
	{"ProxyDefaults", "proxy-defaults"},
	{"Mesh", "mesh"},
	{"ServiceDefaults", "service-defaults"},
	{"ServiceResolver", "service-resolver"},
	{"ServiceSplitter", "service-splitter"},
	{"ServiceRouter", "service-router"},
	{"ServiceIntentions", "service-intentions"},
}

// configure writes the configuration entries. One that refers to another of its kind is tried again when that is there.
func configure(ctx context.Context, agent *agent, cluster *kube.Cluster) error {
	for _, kind := range entries {
		var waiting []map[string]any
		for _, object := range cluster.Objects {
			if object.Kind == kind.kind && object.Group() == strings.TrimSuffix(prefix, "/") {
				waiting = append(waiting, entry(kind.entry, object))
			}
		}
		for len(waiting) > 0 {
			var refused []map[string]any
			var reason error
			for _, one := range waiting {
				if err := agent.call(ctx, http.MethodPut, "/v1/config", one, nil); err != nil {
					refused, reason = append(refused, one), fmt.Errorf("%s/%v: %w", kind.entry, one["Name"], err)
				}
			}
			if len(refused) == len(waiting) {
				return reason
			}
			waiting = refused
		}
	}
	return nil
}

// entry is a resource as a configuration entry: its fields have the same names, but for their first letters, which Consul does not mind.
func entry(kind string, object *kube.Object) map[string]any {
	body := maps.Clone(object.Spec())
	if body == nil {
		body = map[string]any{}
	}
	body["Kind"] = kind
	if kind != "mesh" {
		body["Name"] = object.Name
	}
	if destination, is := body["destination"].(map[string]any); is && kind == "service-intentions" {
		body["Name"] = destination["name"]
		delete(body, "destination")
	}
	lasting(body)
	return body
}

// lasting gives a passive health check the time of a first ejection that the integration writes where the resource has none.
func lasting(value any) {
	switch it := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(it)) {
			check, is := it[key].(map[string]any)
			if is && key == "passiveHealthCheck" && check["baseEjectionTime"] == nil {
				check["baseEjectionTime"] = "30s"
			}
			lasting(it[key])
		}
	case []any:
		for _, one := range it {
			lasting(one)
		}
	}
}
