package main

import (
	"bytes"
	"context"
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
)

// node is the one node of the catalog.
const node = "node"

// trust names the mesh in all its identities: otherwise it is drawn at each start.
const trust = "11111111-2222-3333-4444-555555555555"

// agent is a running Consul: server and client in one, in memory, on loopback.
type agent struct {
	process *exec.Cmd
	ended   chan error
	folder  string
	http    string
	xds     string
}

func start(ctx context.Context, program string) (*agent, error) {
	folder, err := os.MkdirTemp("", "consul-")
	if err != nil {
		return nil, err
	}
	ports := map[string]int{"dns": -1, "https": -1, "grpc_tls": -1}
	for _, name := range []string{"http", "grpc", "server", "serf_lan", "serf_wan"} {
		if ports[name], err = free(); err != nil {
			return nil, err
		}
	}
	config := map[string]any{
		"node_name": node, "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "ports": ports, "disable_update_check": true,
		"connect": map[string]any{"enabled": true, "ca_config": map[string]any{"cluster_id": trust}},
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "agent.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	logs, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	process := exec.CommandContext(ctx, program, "agent", "-dev", "-log-level=warn", "-config-file="+file)
	process.Stdout, process.Stderr = logs, logs
	if err := process.Start(); err != nil {
		return nil, err
	}
	it := &agent{
		process: process, ended: make(chan error, 1), folder: folder,
		http: fmt.Sprintf("http://127.0.0.1:%d", ports["http"]), xds: fmt.Sprintf("127.0.0.1:%d", ports["grpc"]),
	}
	go func() { it.ended <- process.Wait() }()
	if err := it.ready(ctx); err != nil {
		it.stop()
		return nil, err
	}
	return it, nil
}

// ready waits for the authority that signs the proxies' certificates: it is there last.
func (a *agent) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var roots struct{ ActiveRootID string }
		err := a.call(ctx, http.MethodGet, "/v1/connect/ca/roots", nil, &roots)
		if err == nil && roots.ActiveRootID != "" {
			return nil
		}
		select {
		case <-a.ended:
			logs, _ := os.ReadFile(filepath.Join(a.folder, "log"))
			return fmt.Errorf("consul has ended: %s", logs)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (a *agent) stop() {
	if err := a.process.Process.Signal(os.Interrupt); err == nil {
		select {
		case <-a.ended:
		case <-time.After(5 * time.Second):
			_ = a.process.Process.Kill()
		}
	}
	_ = os.RemoveAll(a.folder)
}

// call asks the agent; an answer that is not 200 is an error with its text.
func (a *agent) call(ctx context.Context, method, path string, body, into any) error {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.http+path, sent)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
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
