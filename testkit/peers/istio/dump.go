package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	admin "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/util"
	label "istio.io/istio/pilot/pkg/serviceregistry/util/label"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config/schema/gvr"
	"istio.io/istio/pkg/kube/kclient/clienttest"
	"istio.io/istio/pkg/test"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/gateway-api/pkg/consts"
)

// version is what proxies say of themselves: Istio's control plane goes by it.
const version = "1.31.0"

// settled is how long informers are waited for: they read memory.
const settled = 500 * time.Millisecond

// push has the control plane read everything and returns what it would send to each proxy.
func push(set *manifests, cluster *cluster, proxies []proxy) ([][]byte, error) {
	var dumps [][]byte
	var failed error
	err := test.Wrap(func(t test.Failer) {
		server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
			KubernetesObjects:          cluster.objects,
			Configs:                    set.configs,
			MeshConfig:                 set.mesh,
			DisableSecretAuthorization: true,
		})
		know(t, server)
		for _, one := range proxies {
			text, err := dump(server, cluster, one)
			if err != nil {
				failed = fmt.Errorf("%s: %w", one.title(), err)
				return
			}
			dumps = append(dumps, text)
		}
	})
	if err != nil {
		return nil, err
	}
	return dumps, failed
}

// know tells the control plane which release of the Gateway API is installed: it reads GRPCRoute, TCPRoute and TLSRoute of newer ones alone.
func know(t test.Failer, server *xds.FakeDiscoveryServer) {
	release := map[string]string{consts.BundleVersionAnnotation: consts.BundleVersion}
	for _, kind := range []schema.GroupVersionResource{gvr.GRPCRoute, gvr.TCPRoute, gvr.TLSRoute} {
		clienttest.MakeCRDWithAnnotations(t, server.KubeClient(), kind, release)
	}
	// informers of kinds that were not there begin on their own
	time.Sleep(settled)
	server.Discovery.ConfigUpdate(&model.PushRequest{Forced: true})
	server.EnsureSynced(t)
}

func dump(server *xds.FakeDiscoveryServer, cluster *cluster, asked proxy) ([]byte, error) {
	node, err := nodeOf(cluster, asked)
	if err != nil {
		return nil, err
	}
	connected, err := connect(server, node)
	if err != nil {
		return nil, err
	}
	clusters := &admin.ClustersConfigDump{}
	for _, one := range server.Clusters(connected) {
		clusters.DynamicActiveClusters = append(clusters.DynamicActiveClusters, &admin.ClustersConfigDump_DynamicCluster{Cluster: packed(one)})
	}
	listeners := &admin.ListenersConfigDump{}
	for _, one := range server.Listeners(connected) {
		listeners.DynamicListeners = append(listeners.DynamicListeners, &admin.ListenersConfigDump_DynamicListener{
			Name:        one.Name,
			ActiveState: &admin.ListenersConfigDump_DynamicListenerState{Listener: packed(one)},
		})
	}
	routes := &admin.RoutesConfigDump{}
	for _, one := range server.Routes(connected) {
		routes.DynamicRouteConfigs = append(routes.DynamicRouteConfigs, &admin.RoutesConfigDump_DynamicRouteConfig{RouteConfig: packed(one)})
	}
	endpoints := &admin.EndpointsConfigDump{}
	for _, one := range server.Endpoints(connected) {
		endpoints.DynamicEndpointConfigs = append(endpoints.DynamicEndpointConfigs, &admin.EndpointsConfigDump_DynamicEndpointConfig{EndpointConfig: packed(one)})
	}
	started := &admin.BootstrapConfigDump{Bootstrap: &bootstrap.Bootstrap{Node: node}}
	asking := map[string]bool{}
	for _, section := range []proto.Message{clusters, listeners} {
		if err := askedFor(section, asking); err != nil {
			return nil, err
		}
	}
	return write(&admin.ConfigDump{Configs: []*anypb.Any{
		packed(started), packed(clusters), packed(endpoints), packed(listeners), packed(routes), packed(secrets(asking)),
	}})
}

// askedFor finds the names of secrets that are asked for by SDS: the agent beside the proxy has them, and the control plane.
func askedFor(section proto.Message, names map[string]bool) error {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(section)
	if err != nil {
		return err
	}
	var whole any
	if err := json.Unmarshal(text, &whole); err != nil {
		return err
	}
	var walk func(any)
	walk = func(value any) {
		switch one := value.(type) {
		case map[string]any:
			if name, is := one["name"].(string); is && one["sds_config"] != nil {
				names[name] = true
			}
			for _, inner := range one {
				walk(inner)
			}
		case []any:
			for _, inner := range one {
				walk(inner)
			}
		}
	}
	walk(whole)
	return nil
}

// secrets are those of a proxy as it shows them: without keys, and here with nothing in their certificates.
func secrets(names map[string]bool) *admin.SecretsConfigDump {
	made := &admin.SecretsConfigDump{}
	redacted := func(text string) *core.DataSource {
		return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: []byte(text)}}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		one := &tls.Secret{Name: name}
		if name == "ROOTCA" || strings.HasPrefix(name, "file-root:") || strings.HasSuffix(name, "-cacert") {
			one.Type = &tls.Secret_ValidationContext{ValidationContext: &tls.CertificateValidationContext{TrustedCa: redacted("root")}}
		} else {
			one.Type = &tls.Secret_TlsCertificate{TlsCertificate: &tls.TlsCertificate{
				CertificateChain: redacted("chain"),
				PrivateKey:       redacted("[redacted]"),
			}}
		}
		made.DynamicActiveSecrets = append(made.DynamicActiveSecrets, &admin.SecretsConfigDump_DynamicSecret{Name: name, Secret: packed(one)})
	}
	return made
}

func packed(message proto.Message) *anypb.Any {
	made, err := anypb.New(message)
	if err != nil {
		panic(err) // a message of the control plane's own
	}
	return made
}

// nodeOf is what the agent beside a proxy says of it.
func nodeOf(cluster *cluster, of proxy) (*core.Node, error) {
	pod := of.pod
	role := "sidecar"
	if of.kind == "gateway" {
		role = "router"
	}
	labels := map[string]any{}
	for key, value := range pod.Labels {
		labels[key] = value
	}
	metadata, err := structpb.NewStruct(map[string]any{
		"CLUSTER_ID":        "Kubernetes",
		"INSTANCE_IPS":      pod.Status.PodIP,
		"INTERCEPTION_MODE": "REDIRECT",
		"ISTIO_VERSION":     version,
		"LABELS":            labels,
		"MESH_ID":           "cluster.local",
		"NAME":              pod.Name,
		"NAMESPACE":         pod.Namespace,
		"NODE_NAME":         pod.Spec.NodeName,
		"SERVICE_ACCOUNT":   pod.Spec.ServiceAccountName,
		"WORKLOAD_NAME":     of.workload,
	})
	if err != nil {
		return nil, err
	}
	return &core.Node{
		Id:       fmt.Sprintf("%s~%s~%s.%s~%s.svc.cluster.local", role, pod.Status.PodIP, pod.Name, pod.Namespace, pod.Namespace),
		Cluster:  fmt.Sprintf("%s.%s", of.workload, pod.Namespace),
		Metadata: metadata,
		Locality: localityOf(cluster, pod),
	}, nil
}

func localityOf(cluster *cluster, pod *corev1.Pod) *core.Locality {
	at := slices.IndexFunc(cluster.nodes, func(node *corev1.Node) bool { return node.Name == pod.Spec.NodeName })
	if at < 0 {
		return nil
	}
	own := cluster.nodes[at].Labels
	return &core.Locality{
		Region:  own["topology.kubernetes.io/region"],
		Zone:    own["topology.kubernetes.io/zone"],
		SubZone: own["topology.istio.io/subzone"],
	}
}

// connect does what the control plane does when a proxy's stream begins.
func connect(server *xds.FakeDiscoveryServer, node *core.Node) (*model.Proxy, error) {
	metadata, err := model.ParseMetadata(node.Metadata)
	if err != nil {
		return nil, err
	}
	connected, err := model.ParseServiceNodeWithMetadata(node.Id, metadata)
	if err != nil {
		return nil, err
	}
	connected.ConfigNamespace = model.GetProxyConfigNamespace(connected)
	connected.XdsNode = node
	connected.SetWorkloadLabels(server.Env())
	connected.Locality = node.Locality
	if connected.Locality == nil {
		connected.Locality = &core.Locality{}
	}
	connected.Labels = labelled(connected)
	connected.LastPushContext = server.PushContext()
	return server.SetupProxy(connected), nil
}

// labelled adds to a proxy's labels where it is, as the control plane does.
func labelled(connected *model.Proxy) map[string]string {
	place := util.LocalityToString(connected.Locality)
	settings := connected.Metadata
	return label.AugmentLabels(connected.Labels, settings.ClusterID, place, connected.GetNodeName(), settings.Network)
}

// write lays a dump out with a resource a line, the same bytes for the same dump.
func write(dump *admin.ConfigDump) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(dump)
	if err != nil {
		return nil, err
	}
	var whole struct {
		Configs []map[string]any `json:"configs"`
	}
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("{\"configs\": [")
	for nth, section := range whole.Configs {
		if nth > 0 {
			out.WriteString(",")
		}
		if err := writeSection(&out, section); err != nil {
			return nil, err
		}
	}
	out.WriteString("\n]}\n")
	return out.Bytes(), nil
}

func writeSection(out *bytes.Buffer, section map[string]any) error {
	kind, err := json.Marshal(section["@type"])
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n{\"@type\": %s", kind)
	var keys []string
	for key := range section {
		if key != "@type" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		list, is := section[key].([]any)
		if !is {
			text, err := compact(section[key])
			if err != nil {
				return err
			}
			fmt.Fprintf(out, ",\n\"%s\": %s", key, text)
			continue
		}
		fmt.Fprintf(out, ",\n\"%s\": [", key)
		for nth, item := range list {
			if nth > 0 {
				out.WriteString(",")
			}
			text, err := compact(item)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "\n%s", text)
		}
		out.WriteString("]")
	}
	out.WriteString("}")
	return nil
}

func compact(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimRight(text.Bytes(), "\n"), nil
}
