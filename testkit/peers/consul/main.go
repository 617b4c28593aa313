// Command consul records what a real Consul tells the sidecars of some manifests: it starts an agent on loopback, registers the pods and
// writes the configuration entries as Consul's integration with Kubernetes does, and asks for each proxy's configuration as its Envoy asks.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	envoy "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"
	"windtunnel.dev/testkit/peers/xds/ads"
	"windtunnel.dev/testkit/peers/xds/kube"
)

func main() {
	log.SetFlags(0)
	program := flag.String("consul", "", "the program `consul`")
	out := flag.String("out", ".", "the folder to write `WORKLOAD.json` into")
	only := flag.String("only", "", "workloads to record, with commas between them; none: all that have a sidecar")
	quiet := flag.Duration("quiet", 2*time.Second, "how long nothing new comes before all is told")
	flag.Parse()
	if *program == "" || flag.NArg() == 0 {
		log.Fatal("usage: consul -consul PROGRAM [-out FOLDER] [-only WORKLOADS] FILE_OR_FOLDER…")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := record(ctx, *program, *out, *only, *quiet, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func record(ctx context.Context, program, out, only string, quiet time.Duration, paths []string) error {
	cluster, err := kube.Read(paths)
	if err != nil {
		return err
	}
	agent, err := start(ctx, program)
	if err != nil {
		return err
	}
	defer agent.stop()
	proxies, err := register(ctx, agent, cluster)
	if err != nil {
		return err
	}
	if err := configure(ctx, agent, cluster); err != nil {
		return err
	}
	conn, err := grpc.NewClient(agent.xds, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, proxy := range proxies {
		if only != "" && !listed(only, proxy.pod.Workload) {
			continue
		}
		node, err := proxy.node()
		if err != nil {
			return err
		}
		told, err := ads.Collect(ctx, conn, node, ads.Incremental, quiet)
		if err != nil {
			return fmt.Errorf("%s: %w", proxy.id(), err)
		}
		text, err := told.Dump(node)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, proxy.pod.Workload+".json"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func listed(list, name string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == name {
			return true
		}
	}
	return false
}

// node says who asks, as consul-dataplane writes it into the bootstrap of its Envoy.
func (p *proxy) node() (*core.Node, error) {
	metadata, err := structpb.NewStruct(map[string]any{"node_name": node, "namespace": "default", "partition": "default"})
	if err != nil {
		return nil, err
	}
	return &core.Node{
		Id: p.id(), Cluster: p.service, Metadata: metadata,
		UserAgentName: "envoy",
		UserAgentVersionType: &core.Node_UserAgentBuildVersion{UserAgentBuildVersion: &core.BuildVersion{
			Version: &envoy.SemanticVersion{MajorNumber: 1, MinorNumber: 24, Patch: 10},
		}},
	}, nil
}
