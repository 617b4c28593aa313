package ads

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Parts of a dump in an Envoy's order: its type, the list in it, what an element is in, and what it is called there.
var parts = []struct{ dump, list, kind, state, element string }{
	{"ClustersConfigDump", "dynamic_active_clusters", Clusters, "", "cluster"},
	{"ListenersConfigDump", "dynamic_listeners", Listeners, "active_state", "listener"},
	{"RoutesConfigDump", "dynamic_route_configs", Routes, "", "route_config"},
	{"SecretsConfigDump", "dynamic_active_secrets", Secrets, "", "secret"},
}

// Dump writes a configuration as /config_dump has it, one resource a line, in the order of their names. What changes from one recording
// to the next is left out: versions, times, endpoints, and the texts of certificates and keys.
func (c Configuration) Dump(node *core.Node) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("{\"configs\": [\n")
	own, err := plain(node)
	if err != nil {
		return nil, err
	}
	bootstrap := map[string]any{"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": map[string]any{"node": own}}
	if err := line(&out, bootstrap); err != nil {
		return nil, err
	}
	for _, part := range parts {
		resources := c[part.kind]
		fmt.Fprintf(&out, ",\n{\"@type\": \"type.googleapis.com/envoy.admin.v3.%s\", \"%s\": [", part.dump, part.list)
		for at, name := range slices.Sorted(maps.Keys(resources)) {
			if at > 0 {
				out.WriteByte(',')
			}
			out.WriteByte('\n')
			resource, err := plain(resources[name])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			var element any = map[string]any{part.element: resource}
			if part.kind == Secrets {
				element = map[string]any{"name": name, part.element: resource}
			} else if part.state != "" {
				element = map[string]any{"name": name, part.state: element}
			}
			if err := line(&out, element); err != nil {
				return nil, err
			}
		}
		out.WriteString("]}")
	}
	out.WriteString("\n]}\n")
	return out.Bytes(), nil
}

func line(out *bytes.Buffer, value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	out.Write(bytes.TrimSpace(text.Bytes()))
	return nil
}

// plain is a message as JSON has it, with the names of its fields as they are in the protocol.
func plain(message proto.Message) (any, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		return nil, err
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	withoutSecrets(value)
	return value, nil
}

// secret are fields whose texts are left out: Envoy itself shows no keys, and certificates are new each time.
var secret = map[string]string{"private_key": "[redacted]", "certificate_chain": "[left out]", "trusted_ca": "[left out]"}

func withoutSecrets(value any) {
	switch it := value.(type) {
	case map[string]any:
		for key, inner := range it {
			text, is := secret[key]
			source, of := inner.(map[string]any)
			if !is || !of {
				withoutSecrets(inner)
				continue
			}
			for form := range source {
				switch form {
				case "inline_string":
					source[form] = text
				case "inline_bytes":
					source[form] = base64.StdEncoding.EncodeToString([]byte(text))
				}
			}
		}
	case []any:
		for _, inner := range it {
			withoutSecrets(inner)
		}
	}
}
