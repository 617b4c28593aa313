// Command kuma records what a real Kuma tells the sidecars of some manifests: it starts a control plane on loopback, gives it the objects
// that Kuma's integration with Kubernetes makes of pods, Services and policies, and asks for each proxy's configuration as its Envoy asks.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"windtunnel.dev/testkit/peers/xds/ads"
	"windtunnel.dev/testkit/peers/xds/kube"
)

func main() {
	log.SetFlags(0)
	program := flag.String("kuma-cp", "", "the program `kuma-cp`")
	out := flag.String("out", ".", "the folder to write `WORKLOAD.json` into")
	only := flag.String("only", "", "workloads to record, with commas between them; none: all that have a sidecar")
	quiet := flag.Duration("quiet", 3*time.Second, "how long nothing new comes before all is told")
	flag.Parse()
	if *program == "" || flag.NArg() == 0 {
		log.Fatal("usage: kuma -kuma-cp PROGRAM [-out FOLDER] [-only WORKLOADS] FILE_OR_FOLDER…")
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
	plane, err := start(ctx, program)
	if err != nil {
		return err
	}
	defer plane.stop()
	proxies, err := register(ctx, plane, cluster)
	if err != nil {
		return err
	}
	// what is on loopback has a certificate that it made itself
	trusting := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
	conn, err := grpc.NewClient(plane.xds, grpc.WithTransportCredentials(trusting))
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, proxy := range proxies {
		if only != "" && !slices.Contains(strings.Split(only, ","), proxy.pod.Workload) {
			continue
		}
		node, err := plane.bootstrap(ctx, proxy)
		if err != nil {
			return fmt.Errorf("%s: %w", proxy.name(), err)
		}
		told, err := ads.Collect(ctx, conn, node, ads.StateOfTheWorld, quiet)
		if err != nil {
			return fmt.Errorf("%s: %w", proxy.name(), err)
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
