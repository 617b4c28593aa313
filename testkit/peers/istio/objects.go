package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
	kubelib "istio.io/istio/pkg/kube"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	corev1 "k8s.io/api/core/v1"
)

// manifests is what was read: Istio's own objects, and all others that the control plane or this program knows.
type manifests struct {
	configs []config.Config
	objects []runtime.Object
	// what cannot be read, with its file
	unread []problem
	mesh   *meshconfig.MeshConfig
}

// problem is what Istio says of an object.
type problem struct {
	object  string
	text    string
	refuses bool
}

func (p problem) String() string {
	word := "warning"
	if p.refuses {
		word = "refused"
	}
	return fmt.Sprintf("%s: %s: %s", word, p.object, p.text)
}

func refused(problems []problem) bool {
	return slices.ContainsFunc(problems, func(one problem) bool { return one.refuses })
}

func readAll(paths []string) (*manifests, error) {
	if len(paths) == 0 {
		return nil, errors.New("no manifests: say -f FILE")
	}
	set := &manifests{mesh: installed()}
	for _, path := range paths {
		walk := func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			switch filepath.Ext(path) {
			case ".yaml", ".yml":
			default:
				return nil
			}
			if entry.IsDir() {
				return nil
			}
			return set.read(path)
		}
		if err := filepath.WalkDir(path, walk); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// installed is the mesh as an install without options has it: Istio's charts set a provider of metrics.
func installed() *meshconfig.MeshConfig {
	settings := mesh.DefaultMeshConfig()
	settings.DefaultProviders.Metrics = []string{"prometheus"}
	return settings
}

func (m *manifests) read(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	reader := kubeyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for nth := 1; ; nth++ {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := m.add(document); err != nil {
			return fmt.Errorf("%s, document %d: %w", path, nth, err)
		}
	}
}

func (m *manifests) add(document []byte) error {
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Items           []any `json:"items"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil {
		return err
	}
	switch {
	case head.Kind == "":
		return nil
	case head.Kind == "List":
		for _, item := range head.Items {
			text, err := yaml.Marshal(item)
			if err != nil {
				return err
			}
			if err := m.add(text); err != nil {
				return err
			}
		}
		return nil
	}
	group := head.GroupVersionKind().Group
	if strings.HasSuffix(group, ".istio.io") {
		return m.addConfig(document)
	}
	object, _, err := kubelib.IstioCodec.UniversalDeserializer().Decode(document, nil, nil)
	if runtime.IsNotRegisteredError(err) {
		fmt.Fprintf(os.Stderr, "passed over: %s of %s\n", head.Kind, head.APIVersion)
		return nil
	}
	if err != nil {
		return err
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	if accessor.GetNamespace() == "" && !clusterWide[head.Kind] {
		accessor.SetNamespace("default")
	}
	if settings, is := object.(*corev1.ConfigMap); is && settings.Name == "istio" && settings.Namespace == m.mesh.RootNamespace {
		merged, err := mesh.ApplyMeshConfig(settings.Data["mesh"], m.mesh)
		if err != nil {
			return err
		}
		m.mesh = merged
	}
	m.objects = append(m.objects, object)
	return nil
}

// clusterWide has the kinds without a namespace.
var clusterWide = map[string]bool{"Namespace": true, "Node": true, "GatewayClass": true, "IngressClass": true}

func (m *manifests) addConfig(document []byte) error {
	object := crd.IstioKind{}
	if err := kubeyaml.NewYAMLOrJSONDecoder(bytes.NewReader(document), len(document)+1).Decode(&object); err != nil {
		return err
	}
	kind := object.GroupVersionKind()
	schema, known := collections.PilotGatewayAPI().FindByGroupVersionAliasesKind(resource.FromKubernetesGVK(&kind))
	if !known {
		fmt.Fprintf(os.Stderr, "passed over: %s of %s\n", kind.Kind, kind.GroupVersion())
		return nil
	}
	if object.Namespace == "" {
		object.Namespace = "default"
	}
	name := fmt.Sprintf("%s/%s/%s", object.Kind, object.Namespace, object.Name)
	spec, err := schema.NewInstance()
	if err != nil {
		return err
	}
	if err := config.ApplyJSONStrict(spec, string(object.Spec)); err != nil {
		m.unread = append(m.unread, problem{object: name, text: err.Error(), refuses: true})
		return nil
	}
	read, err := crd.ConvertObject(schema, &object, "cluster.local")
	if err != nil {
		return err
	}
	// of objects that are as old as each other Istio takes the first by name, and manifests tell no age
	if read.CreationTimestamp.IsZero() {
		read.CreationTimestamp = time.Unix(0, 0)
	}
	m.configs = append(m.configs, *read)
	return nil
}

// validate asks Istio's own validation, which its webhook asks in a cluster.
func (m *manifests) validate() []problem {
	problems := slices.Clone(m.unread)
	for _, one := range m.configs {
		schema, known := collections.PilotGatewayAPI().FindByGroupVersionKind(one.GroupVersionKind)
		if !known {
			continue
		}
		name := fmt.Sprintf("%s/%s/%s", one.GroupVersionKind.Kind, one.Namespace, one.Name)
		warning, err := schema.ValidateConfig(one)
		if err != nil {
			problems = append(problems, problem{object: name, text: err.Error(), refuses: true})
		}
		if warning != nil {
			problems = append(problems, problem{object: name, text: warning.Error()})
		}
	}
	return problems
}
