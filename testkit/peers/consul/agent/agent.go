//go:build tools

// Package agent pins the release of Consul that dumps are recorded of: `go build github.com/hashicorp/consul` in this folder.
package agent

import _ "github.com/hashicorp/consul"
