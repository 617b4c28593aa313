package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"windtunnel.dev/testkit/peers/xds/kube"
)

// system is the namespace of the control plane: policies in it are for everybody.
const system = "kuma-system"

// proxy is the sidecar of a pod.
type proxy struct {
	pod  *kube.Pod
	mesh string
}

func (p *proxy) name() string { return p.pod.Name + "." + p.pod.Namespace }

// register gives the control plane the meshes, then destinations and policies, then the proxies of pods.
func register(ctx context.Context, plane *plane, cluster *kube.Cluster) ([]*proxy, error) {
	modes := map[string]string{}
	for _, object := range cluster.Objects {
		if object.Group() == "kuma.io" && object.Kind == "Mesh" {
			body := maps.Clone(object.Spec())
			if body == nil {
				body = map[string]any{}
			}
			if err := plane.put(ctx, "Mesh", "", object.Name, body); err != nil {
				return nil, err
			}
			services, _ := body["meshServices"].(map[string]any)
			modes[object.Name], _ = services["mode"].(string)
		}
	}
	for _, service := range cluster.Services {
		mesh := meshOf(cluster, service.Labels, service.Annotations, service.Namespace)
		if service.Labels["kuma.io/ignore"] == "true" || modes[mesh] == "" || modes[mesh] == "Disabled" {
			continue
		}
		if err := plane.put(ctx, "MeshService", mesh, service.Name+"."+service.Namespace, destination(service, mesh)); err != nil {
			return nil, err
		}
	}
	if err := virtual(ctx, plane, cluster); err != nil {
		return nil, err
	}
	for _, object := range cluster.Objects {
		if object.Group() != "kuma.io" || object.Kind == "Mesh" {
			continue
		}
		body := map[string]any{"labels": labels(object), "spec": object.Spec()}
		mesh := object.Labels["kuma.io/mesh"]
		if mesh == "" {
			mesh = "default"
		}
		if err := plane.put(ctx, object.Kind, mesh, object.Name+"."+object.Namespace, body); err != nil {
			return nil, err
		}
	}
	var proxies []*proxy
	for _, pod := range cluster.Pods {
		if !injected(cluster, pod) {
			continue
		}
		it := &proxy{pod: pod, mesh: meshOf(cluster, pod.Labels, pod.Annotations, pod.Namespace)}
		if err := plane.put(ctx, "Dataplane", it.mesh, it.name(), dataplane(cluster, it)); err != nil {
			return nil, err
		}
		proxies = append(proxies, it)
	}
	return proxies, nil
}

// virtual has Services without a MeshService be known by their own ports, and by nothing but their tag.
func virtual(ctx context.Context, plane *plane, cluster *kube.Cluster) error {
	seen := map[int]bool{}
	for _, service := range cluster.Services {
		for _, port := range service.Ports {
			if seen[port.Number] {
				continue
			}
			seen[port.Number] = true
			number := strconv.Itoa(port.Number)
			body := map[string]any{
				"selectors": []any{map[string]any{"match": map[string]any{"kuma.io/service": "*", "k8s.kuma.io/service-port": number}}},
				"conf": map[string]any{
					"host": "{{.service}}.mesh", "port": number,
					"parameters": []any{map[string]any{"name": "service", "tagKey": "kuma.io/service"}},
				},
			}
			if err := plane.put(ctx, "VirtualOutbound", "default", "port-"+number, body); err != nil {
				return err
			}
		}
	}
	return nil
}

func injected(cluster *kube.Cluster, pod *kube.Pod) bool {
	const asked = "kuma.io/sidecar-injection"
	for _, of := range []map[string]string{pod.Labels, pod.Annotations} {
		if written, found := of[asked]; found {
			return written == "enabled" || written == "true"
		}
	}
	namespace := cluster.Find("Namespace", "default", pod.Namespace)
	return namespace != nil && (namespace.Labels[asked] == "enabled" || namespace.Labels[asked] == "true")
}

func meshOf(cluster *kube.Cluster, labels, annotations map[string]string, namespace string) string {
	const of = "kuma.io/mesh"
	found := []map[string]string{labels, annotations}
	if object := cluster.Find("Namespace", "default", namespace); object != nil {
		found = append(found, object.Labels, object.Annotations)
	}
	for _, one := range found {
		if one[of] != "" {
			return one[of]
		}
	}
	return "default"
}

// own are the labels by which an object of Kubernetes is known outside it.
func own(of map[string]string, namespace, name string) map[string]string {
	all := maps.Clone(of)
	all["kuma.io/display-name"], all["k8s.kuma.io/namespace"] = name, namespace
	all["kuma.io/origin"], all["kuma.io/zone"] = "zone", zone
	return all
}

func labels(object *kube.Object) map[string]string {
	all := own(object.Labels, object.Namespace, object.Name)
	if role := role(object); role != "" {
		all["kuma.io/policy-role"] = role
	}
	return all
}

// role tells on whose behalf a policy is written, as the integration with Kubernetes has it.
func role(object *kube.Object) string {
	spec := object.Spec()
	to, hasTo := spec["to"].([]any)
	_, hasFrom := spec["from"]
	_, hasRules := spec["rules"]
	_, hasDefault := spec["default"]
	switch {
	case !hasTo && !hasFrom && !hasRules && !hasDefault:
		return ""
	case object.Namespace == system:
		return "system"
	case !hasTo:
		return "workload-owner"
	}
	for _, one := range to {
		item, _ := one.(map[string]any)
		target, _ := item["targetRef"].(map[string]any)
		named := target["kind"] == "MeshService" || target["kind"] == "MeshHTTPRoute"
		home := target["namespace"] == nil || target["namespace"] == object.Namespace
		if !named || target["name"] == nil || !home {
			return "consumer"
		}
	}
	return "producer"
}

func destination(service *kube.Service, mesh string) map[string]any {
	all := own(service.Labels, service.Namespace, service.Name)
	all["k8s.kuma.io/service-name"], all["kuma.io/managed-by"], all["kuma.io/mesh"] = service.Name, "k8s-controller", mesh
	all["k8s.kuma.io/is-headless-service"] = strconv.FormatBool(service.Headless)
	selector := maps.Clone(service.Selector)
	selector["k8s.kuma.io/namespace"] = service.Namespace
	var ports []any
	for _, port := range service.Ports {
		if port.Protocol != "TCP" {
			continue
		}
		made := map[string]any{"port": port.Number, "appProtocol": protocol(service, port)}
		if port.Name != "" {
			made["name"] = port.Name
		}
		var target any = port.Number
		if port.Target != "" {
			target = port.Target
		}
		if number, err := strconv.Atoi(port.Target); err == nil {
			target = number
		}
		made["targetPort"] = target
		ports = append(ports, made)
	}
	return map[string]any{
		"labels": all,
		"spec":   map[string]any{"state": "Available", "selector": map[string]any{"dataplaneTags": selector}, "ports": ports},
	}
}

var spoken = []string{"http", "http2", "tcp", "tls", "grpc", "kafka", "mysql"}

// protocol is what a port speaks: as it is declared, else as the Service is annotated.
func protocol(service *kube.Service, port kube.Port) string {
	declared := strings.ToLower(port.AppProtocol)
	if slices.Contains(spoken, declared) {
		return declared
	}
	if annotated := service.Annotations[fmt.Sprintf("%d.service.kuma.io/protocol", port.Number)]; annotated != "" {
		return strings.ToLower(annotated)
	}
	return "tcp"
}

func dataplane(cluster *kube.Cluster, it *proxy) map[string]any {
	pod := it.pod
	all := own(pod.Labels, pod.Namespace, pod.Name)
	all["k8s.kuma.io/service-account"], all["kuma.io/workload"] = pod.Account, pod.Account
	networking := map[string]any{
		"address":             pod.IP,
		"transparentProxying": map[string]any{"redirectPortInbound": 15006, "redirectPortOutbound": 15001, "ipFamilyMode": "IPv4"},
	}
	var inbounds []any
	services := cluster.Before(pod)
	slices.SortFunc(services, func(a, b *kube.Service) int { return strings.Compare(a.Name, b.Name) })
	for _, service := range services {
		if service.Labels["kuma.io/ignore"] == "true" {
			continue
		}
		for _, port := range service.Ports {
			number := pod.Dialled(port)
			if port.Protocol != "TCP" || number == 0 {
				continue
			}
			tags := map[string]string{}
			for key, value := range pod.Labels {
				if value != "" && !strings.Contains(key, "kuma.io/") {
					tags[key] = value
				}
			}
			tags["k8s.kuma.io/namespace"], tags["k8s.kuma.io/service-name"] = pod.Namespace, service.Name
			tags["k8s.kuma.io/service-port"] = strconv.Itoa(port.Number)
			tags["kuma.io/service"] = fmt.Sprintf("%s_%s_svc_%d", service.Name, service.Namespace, port.Number)
			tags["kuma.io/protocol"], tags["kuma.io/zone"] = protocol(service, port), zone
			inbound := map[string]any{"port": number, "tags": tags, "state": "Ready"}
			for _, declared := range pod.Ports {
				if declared.Number == number && declared.Protocol == port.Protocol && declared.Name != "" {
					inbound["name"] = declared.Name
				}
			}
			inbounds = append(inbounds, inbound)
		}
	}
	if inbounds == nil {
		inbounds = append(inbounds, map[string]any{"port": 49151, "state": "Ready", "tags": map[string]string{
			"k8s.kuma.io/namespace": pod.Namespace, "kuma.io/service": fmt.Sprintf("%s_%s_svc", pod.Workload, pod.Namespace), "kuma.io/protocol": "tcp",
			"kuma.io/zone": zone,
		}})
	}
	networking["inbound"] = inbounds
	return map[string]any{"labels": all, "networking": networking}
}
