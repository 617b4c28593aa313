// Istio-dump has Istio's own control plane read Kubernetes manifests and writes what it would push to a proxy, in the form in which that
// proxy shows it on /config_dump. No cluster is needed, and nothing is sent anywhere.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"istio.io/istio/pkg/log"
)

// several is a flag that may be given more than once.
type several []string

func (s *several) String() string { return strings.Join(*s, ",") }

func (s *several) Set(value string) error {
	*s = append(*s, value)
	return nil
}

func main() {
	var files, inject several
	flag.Var(&files, "f", "a file or a folder of manifests; may be repeated")
	flag.Var(&inject, "inject", "a namespace whose pods have sidecars, as if it were labelled; may be repeated")
	out := flag.String("o", ".", "the folder to write dumps to, as KIND-NAMESPACE-NAME.json")
	only := flag.Bool("validate", false, "ask Istio's validation about each object, and write nothing")
	list := flag.Bool("list", false, "list the proxies that there are, and write nothing")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: istio-dump -f MANIFESTS [-o FOLDER] [sidecar/NAMESPACE/WORKLOAD | gateway/NAMESPACE/WORKLOAD ...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	quiet()
	if err := run(files, inject, *out, *only, *list, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "istio-dump:", err)
		os.Exit(1)
	}
}

// quiet keeps the control plane's logs to errors.
func quiet() {
	options := log.DefaultOptions()
	options.SetDefaultOutputLevel(log.OverrideScopeName, log.ErrorLevel)
	_ = log.Configure(options)
}

func run(files, inject []string, out string, only, list bool, wanted []string) error {
	set, err := readAll(files)
	if err != nil {
		return err
	}
	problems := set.validate()
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, problem)
	}
	if only {
		if refused(problems) {
			return fmt.Errorf("Istio refuses some objects")
		}
		return nil
	}
	if refused(problems) {
		return fmt.Errorf("Istio refuses some objects: nothing written")
	}
	cluster := set.cluster(inject)
	proxies, err := choose(cluster.proxies, wanted)
	if err != nil {
		return err
	}
	if list {
		for _, proxy := range proxies {
			fmt.Println(proxy.title())
		}
		return nil
	}
	dumps, err := push(set, cluster, proxies)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for at, proxy := range proxies {
		name := strings.ReplaceAll(proxy.title(), "/", "-") + ".json"
		if err := os.WriteFile(filepath.Join(out, name), dumps[at], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// choose returns the wanted proxies in the order asked for, all if none is.
func choose(all []proxy, wanted []string) ([]proxy, error) {
	if len(wanted) == 0 {
		return all, nil
	}
	var found []proxy
	for _, name := range wanted {
		at := -1
		var titles []string
		for i, one := range all {
			titles = append(titles, one.title())
			if one.title() == name {
				at = i
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("no proxy %q; there are: %s", name, strings.Join(titles, ", "))
		}
		found = append(found, all[at])
	}
	return found, nil
}
