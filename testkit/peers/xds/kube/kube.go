// Package kube reads manifests as far as a control plane's integration with Kubernetes does: which pods there are, where they are, and
// which Services lead to them. Nothing runs: every workload has one pod, and addresses are given in the order of the files.
package kube

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Object is any object of a manifest.
type Object struct {
	APIVersion, Kind, Namespace, Name string
	Labels, Annotations               map[string]string
	// Body is the whole of it.
	Body map[string]any
}

// Spec is what the object asks for.
func (o *Object) Spec() map[string]any {
	spec, _ := o.Body["spec"].(map[string]any)
	return spec
}

// Group is the API group, without its version.
func (o *Object) Group() string {
	group, _, found := strings.Cut(o.APIVersion, "/")
	if !found {
		return ""
	}
	return group
}

// Port is a port of a Service or of a container.
type Port struct {
	Name, Protocol, AppProtocol string
	Number                      int
	// Target is a Service's `targetPort`: a number or a name; empty: the same number.
	Target string
}

// Service is a Service, with its address.
type Service struct {
	*Object
	IP       string
	Headless bool
	Selector map[string]string
	Ports    []Port
}

// Pod is the one pod of a workload.
type Pod struct {
	Namespace, Name, Workload, IP, Account string
	Labels, Annotations                    map[string]string
	Ports                                  []Port
}

// Cluster is all of some manifests.
type Cluster struct {
	Objects  []*Object
	Services []*Service
	Pods     []*Pod
}

// Read reads files, and all files of folders whose names end in `.yaml` or `.yml`.
func Read(paths []string) (*Cluster, error) {
	var files []string
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, entry os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !entry.IsDir() && (name == path || slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(name))) {
				files = append(files, name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	all := &Cluster{}
	for _, file := range files {
		if err := all.file(file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, object := range all.Objects {
		all.add(object)
	}
	return all, nil
}

func (c *Cluster) file(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	documents := yaml.NewDecoder(file)
	for {
		var body map[string]any
		err := documents.Decode(&body)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if body == nil {
			continue
		}
		object := &Object{APIVersion: text(body, "apiVersion"), Kind: text(body, "kind"), Body: body}
		meta := under(body, "metadata")
		object.Name, object.Namespace = text(meta, "name"), text(meta, "namespace")
		if object.Namespace == "" {
			object.Namespace = "default"
		}
		object.Labels, object.Annotations = texts(meta, "labels"), texts(meta, "annotations")
		if old := c.Find(object.Kind, object.Namespace, object.Name); old != nil && old.Group() == object.Group() {
			*old = *object
			continue
		}
		c.Objects = append(c.Objects, object)
	}
}

// Find is the object of this kind and name.
func (c *Cluster) Find(kind, namespace, name string) *Object {
	for _, object := range c.Objects {
		if object.Kind == kind && object.Namespace == namespace && object.Name == name {
			return object
		}
	}
	return nil
}

func (c *Cluster) add(object *Object) {
	spec := object.Spec()
	switch object.Kind {
	case "Service":
		service := &Service{Object: object, IP: text(spec, "clusterIP"), Selector: texts(spec, "selector"), Ports: ports(spec, "port")}
		service.Headless = service.IP == "None"
		if service.IP == "" {
			service.IP = fmt.Sprintf("10.96.0.%d", 10+len(c.Services))
		}
		c.Services = append(c.Services, service)
	case "Deployment", "StatefulSet", "DaemonSet":
		template := under(spec, "template")
		meta, inner := under(template, "metadata"), under(template, "spec")
		pod := &Pod{
			Namespace: object.Namespace, Workload: object.Name,
			Name:   object.Name + map[string]string{"Deployment": "-6d5f7c9b8-x2x4k", "StatefulSet": "-0", "DaemonSet": "-x2x4k"}[object.Kind],
			IP:     fmt.Sprintf("10.244.1.%d", 10+len(c.Pods)),
			Labels: texts(meta, "labels"), Annotations: texts(meta, "annotations"),
			Account: text(inner, "serviceAccountName"),
		}
		if pod.Account == "" {
			pod.Account = "default"
		}
		for _, container := range list(inner, "containers") {
			pod.Ports = append(pod.Ports, ports(container, "containerPort")...)
		}
		c.Pods = append(c.Pods, pod)
	}
}

// Behind are the pods that a Service selects.
func (c *Cluster) Behind(service *Service) []*Pod {
	var all []*Pod
	for _, pod := range c.Pods {
		if pod.Namespace == service.Namespace && len(service.Selector) > 0 && has(pod.Labels, service.Selector) {
			all = append(all, pod)
		}
	}
	return all
}

// Before are the Services that select a pod.
func (c *Cluster) Before(pod *Pod) []*Service {
	var all []*Service
	for _, service := range c.Services {
		if slices.Contains(c.Behind(service), pod) {
			all = append(all, service)
		}
	}
	return all
}

// Dialled is the pod's port that a Service's port leads to; 0: the pod has none of that name.
func (p *Pod) Dialled(port Port) int {
	if port.Target == "" {
		return port.Number
	}
	if number, err := strconv.Atoi(port.Target); err == nil {
		return number
	}
	return p.Named(port.Target)
}

// Named is the container's port of a name; 0: there is none.
func (p *Pod) Named(name string) int {
	for _, own := range p.Ports {
		if own.Name == name {
			return own.Number
		}
	}
	return 0
}

func has(labels, wanted map[string]string) bool {
	for key, value := range wanted {
		if labels[key] != value {
			return false
		}
	}
	return true
}

func ports(of map[string]any, number string) []Port {
	var all []Port
	for _, port := range list(of, "ports") {
		protocol := text(port, "protocol")
		if protocol == "" {
			protocol = "TCP"
		}
		at, _ := port[number].(int)
		all = append(all, Port{
			Name: text(port, "name"), Protocol: protocol, AppProtocol: text(port, "appProtocol"), Number: at, Target: text(port, "targetPort"),
		})
	}
	return all
}

func under(of map[string]any, key string) map[string]any {
	inner, _ := of[key].(map[string]any)
	return inner
}

func list(of map[string]any, key string) []map[string]any {
	all, _ := of[key].([]any)
	var maps []map[string]any
	for _, one := range all {
		if it, is := one.(map[string]any); is {
			maps = append(maps, it)
		}
	}
	return maps
}

func text(of map[string]any, key string) string {
	value := of[key]
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

func texts(of map[string]any, key string) map[string]string {
	all := map[string]string{}
	for key, value := range under(of, key) {
		all[key] = fmt.Sprint(value)
	}
	return all
}
