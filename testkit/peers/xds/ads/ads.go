// Package ads asks a control plane for what it tells a proxy, as an Envoy asks, and writes the answer as an Envoy's administration
// interface shows it at /config_dump.
package ads

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
)

// Types of resources.
const (
	Clusters  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	Endpoints = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	Listeners = "type.googleapis.com/envoy.config.listener.v3.Listener"
	Routes    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	Secrets   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

// Variant is one of the two ways in which resources are asked for.
type Variant int

const (
	// StateOfTheWorld has every answer hold all resources of a type.
	StateOfTheWorld Variant = iota
	// Incremental has answers hold what has changed.
	Incremental
)

// Configuration is what a proxy was told: resources by type and name.
type Configuration map[string]map[string]*anypb.Any

// answer is one message of a control plane.
type answer struct {
	kind, version, nonce string
	resources            []*anypb.Any
	removed              []string
	err                  error
}

// stream is one of the variants on the wire.
type stream interface {
	// ask subscribes to names of a type, which are `all` from then on; an acknowledgement has the answer that it is of.
	ask(kind string, fresh, all []string, of answer) error
	receive() answer
}

// Collect asks for all that the node is told, until nothing has come for the time of quiet.
func Collect(ctx context.Context, conn *grpc.ClientConn, node *core.Node, variant Variant, quiet time.Duration) (Configuration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked, err := open(ctx, conn, node, variant)
	if err != nil {
		return nil, err
	}
	came := make(chan answer)
	go func() {
		for {
			it := asked.receive()
			select {
			case came <- it:
			case <-ctx.Done():
				return
			}
			if it.err != nil {
				return
			}
		}
	}()
	found, names := Configuration{}, map[string][]string{}
	for _, kind := range []string{Clusters, Listeners} {
		if err := asked.ask(kind, nil, nil, answer{}); err != nil {
			return nil, err
		}
	}
	for {
		select {
		case it := <-came:
			if it.err != nil {
				return nil, it.err
			}
			if err := found.take(it, variant); err != nil {
				return nil, err
			}
			if err := asked.ask(it.kind, nil, names[it.kind], it); err != nil {
				return nil, err
			}
			wanted, err := found.follow()
			if err != nil {
				return nil, err
			}
			for _, next := range []string{Endpoints, Routes, Secrets} {
				fresh := slices.DeleteFunc(slices.Clone(wanted[next]), func(name string) bool {
					return slices.Contains(names[next], name)
				})
				if len(fresh) == 0 {
					continue
				}
				names[next] = wanted[next]
				if err := asked.ask(next, fresh, wanted[next], answer{}); err != nil {
					return nil, err
				}
			}
		case <-time.After(quiet):
			if found[Clusters] == nil || found[Listeners] == nil {
				return nil, fmt.Errorf("`%s` was told nothing of its clusters and listeners", node.GetId())
			}
			for _, name := range names[Routes] {
				if found[Routes][name] == nil {
					return nil, fmt.Errorf("`%s` was told of no route table `%s`", node.GetId(), name)
				}
			}
			return found, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take notes an answer.
func (c Configuration) take(it answer, variant Variant) error {
	known := c[it.kind]
	if known == nil || (variant == StateOfTheWorld && (it.kind == Clusters || it.kind == Listeners)) {
		known = map[string]*anypb.Any{}
	}
	for _, resource := range it.resources {
		name, err := named(resource)
		if err != nil {
			return err
		}
		known[name] = resource
	}
	for _, gone := range it.removed {
		delete(known, gone)
	}
	c[it.kind] = known
	return nil
}

// follow tells what clusters and listeners refer to, by type.
func (c Configuration) follow() (map[string][]string, error) {
	wanted := map[string][]string{}
	for _, resource := range c[Clusters] {
		var it cluster.Cluster
		if err := resource.UnmarshalTo(&it); err != nil {
			return nil, err
		}
		if it.GetType() != cluster.Cluster_EDS {
			continue
		}
		name := it.GetEdsClusterConfig().GetServiceName()
		if name == "" {
			name = it.GetName()
		}
		wanted[Endpoints] = append(wanted[Endpoints], name)
	}
	for _, resource := range c[Listeners] {
		var it listener.Listener
		if err := resource.UnmarshalTo(&it); err != nil {
			return nil, err
		}
		tables, err := tables(&it)
		if err != nil {
			return nil, err
		}
		wanted[Routes] = append(wanted[Routes], tables...)
	}
	for _, kind := range []string{Clusters, Listeners} {
		for name, resource := range c[kind] {
			value, err := plain(resource)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			wanted[Secrets] = append(wanted[Secrets], secrets(value)...)
		}
	}
	for kind, names := range wanted {
		slices.Sort(names)
		wanted[kind] = slices.Compact(names)
	}
	return wanted, nil
}

// secrets are the names of certificates that are asked for on their own.
func secrets(value any) (names []string) {
	switch it := value.(type) {
	case map[string]any:
		if name, is := it["name"].(string); is && it["sds_config"] != nil {
			names = append(names, name)
		}
		for _, inner := range it {
			names = append(names, secrets(inner)...)
		}
	case []any:
		for _, inner := range it {
			names = append(names, secrets(inner)...)
		}
	}
	return names
}

// tables are the names of the route tables that a listener asks for.
func tables(it *listener.Listener) (names []string, err error) {
	chains := slices.Clone(it.GetFilterChains())
	if rest := it.GetDefaultFilterChain(); rest != nil {
		chains = append(chains, rest)
	}
	for _, chain := range chains {
		for _, filter := range chain.GetFilters() {
			var manager hcm.HttpConnectionManager
			config := filter.GetTypedConfig()
			if !config.MessageIs(&manager) {
				continue
			}
			if err := config.UnmarshalTo(&manager); err != nil {
				return nil, err
			}
			if name := manager.GetRds().GetRouteConfigName(); name != "" {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// named is the name of any resource.
func named(resource *anypb.Any) (string, error) {
	message, err := resource.UnmarshalNew()
	if err != nil {
		return "", err
	}
	switch it := message.(type) {
	case interface{ GetClusterName() string }:
		return it.GetClusterName(), nil
	case interface{ GetName() string }:
		return it.GetName(), nil
	default:
		return "", fmt.Errorf("a resource without a name: %s", resource.GetTypeUrl())
	}
}

func open(ctx context.Context, conn *grpc.ClientConn, node *core.Node, variant Variant) (stream, error) {
	client := discovery.NewAggregatedDiscoveryServiceClient(conn)
	if variant == Incremental {
		answers, err := client.DeltaAggregatedResources(ctx)
		return &incremental{answers, node}, err
	}
	answers, err := client.StreamAggregatedResources(ctx)
	return &wholesale{answers, node}, err
}

type wholesale struct {
	answers discovery.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	node    *core.Node
}

func (s *wholesale) ask(kind string, _, all []string, of answer) error {
	return s.answers.Send(&discovery.DiscoveryRequest{
		Node: s.node, TypeUrl: kind, ResourceNames: all, VersionInfo: of.version, ResponseNonce: of.nonce,
	})
}

func (s *wholesale) receive() answer {
	it, err := s.answers.Recv()
	return answer{
		kind: it.GetTypeUrl(), version: it.GetVersionInfo(), nonce: it.GetNonce(), resources: it.GetResources(), err: ended(err),
	}
}

type incremental struct {
	answers discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	node    *core.Node
}

func (s *incremental) ask(kind string, fresh, _ []string, of answer) error {
	return s.answers.Send(&discovery.DeltaDiscoveryRequest{
		Node: s.node, TypeUrl: kind, ResourceNamesSubscribe: fresh, ResponseNonce: of.nonce,
	})
}

func (s *incremental) receive() answer {
	it, err := s.answers.Recv()
	resources := make([]*anypb.Any, 0, len(it.GetResources()))
	for _, resource := range it.GetResources() {
		resources = append(resources, resource.GetResource())
	}
	return answer{kind: it.GetTypeUrl(), nonce: it.GetNonce(), resources: resources, removed: it.GetRemovedResources(), err: ended(err)}
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the control plane has ended the stream")
	}
	return err
}
