package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"gopkg.in/yaml.v3"
)

// zone is the one zone there is.
const zone = "default"

// plane is a running control plane, in memory, on loopback.
type plane struct {
	process *exec.Cmd
	ended   chan error
	folder  string
	http    string
	xds     string
	client  *http.Client
	// paths are the plurals of kinds of objects.
	paths map[string]string
}

func start(ctx context.Context, program string) (*plane, error) {
	folder, err := os.MkdirTemp("", "kuma-")
	if err != nil {
		return nil, err
	}
	ports := map[string]int{}
	for _, name := range []string{"api", "xds", "diagnostics", "mads", "inter"} {
		if ports[name], err = free(); err != nil {
			return nil, err
		}
	}
	logs, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	process := exec.CommandContext(ctx, program, "run")
	process.Stdout, process.Stderr = logs, logs
	process.Env = append(os.Environ(),
		"KUMA_MODE=zone", "KUMA_ENVIRONMENT=universal", "KUMA_STORE_TYPE=memory", "KUMA_REPORTS_ENABLED=false", "KUMA_GENERAL_WORK_DIR="+folder,
		"KUMA_MULTIZONE_ZONE_NAME="+zone,
		"KUMA_API_SERVER_HTTP_INTERFACE=127.0.0.1", "KUMA_API_SERVER_HTTPS_ENABLED=false", fmt.Sprintf("KUMA_API_SERVER_HTTP_PORT=%d", ports["api"]),
		"KUMA_DP_SERVER_AUTHN_DP_PROXY_TYPE=none", "KUMA_DP_SERVER_HDS_ENABLED=false", fmt.Sprintf("KUMA_DP_SERVER_PORT=%d", ports["xds"]),
		fmt.Sprintf("KUMA_DIAGNOSTICS_SERVER_PORT=%d", ports["diagnostics"]),
		fmt.Sprintf("KUMA_MONITORING_ASSIGNMENT_SERVER_PORT=%d", ports["mads"]),
		fmt.Sprintf("KUMA_INTER_CP_SERVER_PORT=%d", ports["inter"]), "KUMA_INTER_CP_CATALOG_INSTANCE_ADDRESS=127.0.0.1",
		"KUMA_XDS_DATAPLANE_CONFIGURATION_REFRESH_INTERVAL=500ms", "KUMA_RUNTIME_UNIVERSAL_VIP_REFRESH_INTERVAL=500ms",
		"KUMA_IPAM_ALLOCATION_INTERVAL=500ms",
		// a Service has no other ports than its own
		"KUMA_DNS_SERVER_SERVICE_VIP_ENABLED=false",
	)
	if err := process.Start(); err != nil {
		return nil, err
	}
	blind := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	it := &plane{
		process: process, ended: make(chan error, 1), folder: folder, client: &http.Client{Transport: blind},
		http: fmt.Sprintf("http://127.0.0.1:%d", ports["api"]), xds: fmt.Sprintf("127.0.0.1:%d", ports["xds"]), paths: map[string]string{},
	}
	go func() { it.ended <- process.Wait() }()
	if err := it.ready(ctx); err != nil {
		it.stop()
		return nil, err
	}
	return it, nil
}

// ready waits for the mesh that every control plane makes, and notes what kinds are called.
func (p *plane) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := p.call(ctx, http.MethodGet, p.http+"/meshes/default", nil, nil)
		if err == nil {
			break
		}
		select {
		case <-p.ended:
			logs, _ := os.ReadFile(filepath.Join(p.folder, "log"))
			return fmt.Errorf("kuma-cp has ended: %s", logs)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	var known struct{ Resources []struct{ Name, Path string } }
	if err := p.call(ctx, http.MethodGet, p.http+"/_resources", nil, &known); err != nil {
		return err
	}
	for _, kind := range known.Resources {
		p.paths[kind.Name] = kind.Path
	}
	return nil
}

func (p *plane) stop() {
	if err := p.process.Process.Signal(os.Interrupt); err == nil {
		select {
		case <-p.ended:
		case <-time.After(10 * time.Second):
			_ = p.process.Process.Kill()
		}
	}
	if os.Getenv("KEEP_LOGS") == "" {
		_ = os.RemoveAll(p.folder)
	}
}

// put writes an object of a mesh, or a mesh.
func (p *plane) put(ctx context.Context, kind, mesh, name string, body map[string]any) error {
	path, known := p.paths[kind]
	if !known {
		return fmt.Errorf("this Kuma has no %s", kind)
	}
	body["type"], body["name"] = kind, name
	url := fmt.Sprintf("%s/%s/%s", p.http, path, name)
	if kind != "Mesh" {
		body["mesh"] = mesh
		url = fmt.Sprintf("%s/meshes/%s/%s/%s", p.http, mesh, path, name)
	}
	if err := p.call(ctx, http.MethodPut, url, body, nil); err != nil {
		return fmt.Errorf("%s %s: %w", kind, name, err)
	}
	return nil
}

// bootstrap tells the control plane of a proxy that starts, and is told how it is called.
func (p *plane) bootstrap(ctx context.Context, it *proxy) (*core.Node, error) {
	version := map[string]any{
		"kumaDp": map[string]any{"version": "2.14.3", "gitTag": "v2.14.3", "gitCommit": "unknown", "buildDate": "unknown"},
		"envoy":  map[string]any{"version": "1.37.0", "build": "unknown", "kumaDpCompatible": true},
	}
	// what a kuma-dp of its defaults can do
	features := []string{"feature-tcp-accesslog-via-named-pipe", "feature-embedded-dns", "feature-strict-inbound-ports", "feature-reuse-port"}
	var told struct{ Bootstrap []byte }
	err := p.call(ctx, http.MethodPost, "https://"+p.xds+"/bootstrap", map[string]any{
		"mesh": it.mesh, "name": it.name(), "proxyType": "dataplane", "version": version, "features": features, "dnsPort": 15053,
		"readinessPort": 9902, "operatingSystem": "linux", "workdir": "/tmp",
	}, &told)
	if err != nil {
		return nil, err
	}
	var bootstrap struct{ Node map[string]any }
	if err := yaml.Unmarshal(told.Bootstrap, &bootstrap); err != nil {
		return nil, err
	}
	text, err := json.Marshal(bootstrap.Node)
	if err != nil {
		return nil, err
	}
	var node core.Node
	return &node, protojson.Unmarshal(text, &node)
}

// call asks the control plane; an answer that is no success is an error with its text.
func (p *plane) call(ctx context.Context, method, url string, body, into any) error {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, sent)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	answer, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", answer.Status, bytes.TrimSpace(text))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

func free() (int, error) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer held.Close()
	return held.Addr().(*net.TCPAddr).Port, nil
}
