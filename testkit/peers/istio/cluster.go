package main

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// cluster is what Kubernetes would have made of manifests: pods with addresses, endpoints of Services, and their proxies.
type cluster struct {
	objects []runtime.Object
	proxies []proxy

	injected map[string]bool
	pods     []*corev1.Pod
	services []*corev1.Service
	nodes    []*corev1.Node
	address  int
}

// proxy is one whose configuration may be asked for: that of the first pod of a workload.
type proxy struct {
	kind      string
	namespace string
	workload  string
	pod       *corev1.Pod
}

func (p proxy) title() string { return p.kind + "/" + p.namespace + "/" + p.workload }

// cluster plays the controllers of Kubernetes: replicas, addresses, endpoint slices.
func (m *manifests) cluster(inject []string) *cluster {
	c := &cluster{injected: map[string]bool{}}
	for _, name := range inject {
		c.injected[name] = true
	}
	workloads := map[*corev1.Pod]string{}
	for _, object := range m.objects {
		switch one := object.(type) {
		case *corev1.Namespace:
			if one.Labels["istio-injection"] == "enabled" || one.Labels["istio.io/rev"] != "" {
				c.injected[one.Name] = true
			}
			c.objects = append(c.objects, one)
		case *corev1.Node:
			c.nodes = append(c.nodes, one)
			c.objects = append(c.objects, one)
		case *corev1.Service:
			c.services = append(c.services, one)
		case *corev1.Pod, *appsv1.Deployment, *appsv1.StatefulSet, *appsv1.DaemonSet:
			// their pods stand for them
		default:
			c.objects = append(c.objects, one)
		}
	}
	for _, object := range m.objects {
		for _, pod := range c.podsOf(object) {
			workloads[pod] = nameOfWorkload(object)
		}
	}
	c.addGateways(m, workloads)
	for nth, service := range c.services {
		c.addService(nth, service)
	}
	for _, pod := range c.pods {
		c.objects = append(c.objects, pod)
	}
	c.addProxies(workloads)
	return c
}

func nameOfWorkload(object runtime.Object) string {
	return object.(metav1.Object).GetName()
}

// podsOf makes the pods that a controller keeps, or the one that is written.
func (c *cluster) podsOf(object runtime.Object) []*corev1.Pod {
	switch one := object.(type) {
	case *corev1.Pod:
		return []*corev1.Pod{c.run(one, "")}
	case *appsv1.Deployment:
		hash := drawn(one.Namespace+"/"+one.Name, 10)
		return c.replicas(one.ObjectMeta, one.Spec.Replicas, one.Spec.Template, func(nth int) (string, string) {
			return fmt.Sprintf("%s-%s-%s", one.Name, hash, drawn(fmt.Sprint(one.Namespace, one.Name, nth), 5)), "ReplicaSet/" + one.Name + "-" + hash
		})
	case *appsv1.StatefulSet:
		return c.replicas(one.ObjectMeta, one.Spec.Replicas, one.Spec.Template, func(nth int) (string, string) {
			return fmt.Sprintf("%s-%d", one.Name, nth), "StatefulSet/" + one.Name
		})
	case *appsv1.DaemonSet:
		return c.replicas(one.ObjectMeta, nil, one.Spec.Template, func(nth int) (string, string) {
			return fmt.Sprintf("%s-%s", one.Name, drawn(fmt.Sprint(one.Namespace, one.Name, nth), 5)), "DaemonSet/" + one.Name
		})
	}
	return nil
}

func (c *cluster) replicas(of metav1.ObjectMeta, count *int32, template corev1.PodTemplateSpec, name func(nth int) (string, string)) []*corev1.Pod {
	replicas := 1
	if count != nil {
		replicas = int(*count)
	}
	var made []*corev1.Pod
	for nth := range replicas {
		own, owner := name(nth)
		pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
		pod.Name, pod.Namespace = own, of.Namespace
		made = append(made, c.run(pod, owner))
	}
	return made
}

// run gives a pod what a scheduler, a kubelet and Istio's webhook give it.
func (c *cluster) run(pod *corev1.Pod, owner string) *corev1.Pod {
	kind, name, owned := strings.Cut(owner, "/")
	if owned {
		yes := true
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, Controller: &yes}}
	}
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = "default"
	}
	if len(c.nodes) > 0 && pod.Spec.NodeName == "" {
		pod.Spec.NodeName = c.nodes[c.address%len(c.nodes)].Name
	}
	c.address++
	pod.Status = corev1.PodStatus{
		Phase:      corev1.PodRunning,
		PodIP:      fmt.Sprintf("10.244.%d.%d", c.address/250, c.address%250+1),
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
	if c.isMeshed(pod) {
		if pod.Labels == nil {
			pod.Labels = map[string]string{}
		}
		pod.Labels["security.istio.io/tlsMode"] = "istio"
	}
	c.pods = append(c.pods, pod)
	return pod
}

// isMeshed says whether the webhook would give a pod a sidecar; that of a gateway has one in any case.
func (c *cluster) isMeshed(pod *corev1.Pod) bool {
	if pod.Spec.HostNetwork {
		return false
	}
	if isGateway(pod) {
		return true
	}
	switch value(pod, "sidecar.istio.io/inject") {
	case "true":
		return true
	case "false":
		return false
	}
	return c.injected[pod.Namespace] || pod.Labels["istio.io/rev"] != ""
}

func value(pod *corev1.Pod, key string) string {
	if value, is := pod.Labels[key]; is {
		return value
	}
	return pod.Annotations[key]
}

// isGateway says whether a pod's proxy is a gateway's: it has the template, or nothing in it but the proxy.
func isGateway(pod *corev1.Pod) bool {
	if pod.Annotations["inject.istio.io/templates"] == "gateway" || pod.Labels["gateway.networking.k8s.io/gateway-name"] != "" {
		return true
	}
	for _, container := range pod.Spec.Containers {
		if container.Name == "istio-proxy" && slices.Contains(container.Args, "router") {
			return true
		}
	}
	return false
}

// drawn is a text as Kubernetes draws for names, the same for the same name.
func drawn(of string, length int) string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(of))
	sum, text := hash.Sum64(), make([]byte, length)
	for at := range text {
		text[at] = letters[sum%uint64(len(letters))]
		sum = sum/uint64(len(letters)) ^ sum<<7
	}
	return string(text)
}

// addGateways makes the pods of gateways that the manifests leave to charts and controllers: those that no pod has the labels of, and those
// that Istio's own controller makes for a Gateway of the Gateway API.
func (c *cluster) addGateways(m *manifests, workloads map[*corev1.Pod]string) {
	for _, one := range m.configs {
		spec, is := one.Spec.(*networking.Gateway)
		if !is || len(spec.Selector) == 0 {
			continue
		}
		wanted := labels.SelectorFromSet(spec.Selector)
		exists := func(pod *corev1.Pod) bool { return wanted.Matches(labels.Set(pod.Labels)) }
		if slices.ContainsFunc(c.pods, exists) {
			continue
		}
		name, namespace := one.Name, one.Namespace
		if spec.Selector["istio"] == "ingressgateway" {
			name, namespace = "istio-ingressgateway", m.mesh.RootNamespace
		}
		workloads[c.addGateway(namespace, name, spec.Selector)] = name
	}
	for _, object := range m.objects {
		one, is := object.(*gateway.Gateway)
		if !is || one.Spec.GatewayClassName != "istio" || len(one.Spec.Addresses) > 0 {
			continue
		}
		name := one.Name + "-istio"
		own := map[string]string{"gateway.networking.k8s.io/gateway-name": one.Name}
		workloads[c.addGateway(one.Namespace, name, own)] = name
		service := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: one.Namespace, Labels: own},
			Spec:       corev1.ServiceSpec{Selector: own, Type: corev1.ServiceTypeLoadBalancer},
		}
		seen := map[int32]bool{}
		for _, listener := range one.Spec.Listeners {
			if port := int32(listener.Port); !seen[port] {
				seen[port] = true
				service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: fmt.Sprintf("tcp-%d", port), Port: port, Protocol: corev1.ProtocolTCP})
			}
		}
		c.services = append(c.services, service)
	}
	isClass := func(object runtime.Object) bool {
		class, is := object.(*gateway.GatewayClass)
		return is && class.Name == "istio"
	}
	if !slices.ContainsFunc(m.objects, isClass) {
		c.objects = append(c.objects, &gateway.GatewayClass{
			ObjectMeta: metav1.ObjectMeta{Name: "istio"},
			Spec:       gateway.GatewayClassSpec{ControllerName: "istio.io/gateway-controller"},
		})
	}
}

func (c *cluster) addGateway(namespace, name string, own map[string]string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name:        fmt.Sprintf("%s-%s-%s", name, drawn(namespace+name, 10), drawn(name, 5)),
		Namespace:   namespace,
		Labels:      maps.Clone(own),
		Annotations: map[string]string{"inject.istio.io/templates": "gateway"},
	}}
	pod.Spec.ServiceAccountName = name
	if name == "istio-ingressgateway" {
		pod.Spec.ServiceAccountName = "istio-ingressgateway-service-account"
	}
	return c.run(pod, "ReplicaSet/"+name+"-"+drawn(namespace+name, 10))
}

// addService gives a Service an address and its endpoint slice.
func (c *cluster) addService(nth int, written *corev1.Service) {
	service := written.DeepCopy()
	for at := range service.Spec.Ports {
		port := &service.Spec.Ports[at]
		if port.Protocol == "" {
			port.Protocol = corev1.ProtocolTCP
		}
		if port.TargetPort == (intstr.IntOrString{}) {
			port.TargetPort = intstr.FromInt32(port.Port)
		}
	}
	if service.Spec.Type == "" {
		service.Spec.Type = corev1.ServiceTypeClusterIP
	}
	if service.Spec.ClusterIP == "" && service.Spec.Type != corev1.ServiceTypeExternalName {
		service.Spec.ClusterIP = fmt.Sprintf("10.96.%d.%d", (nth+1)/250, (nth+1)%250+1)
		service.Spec.ClusterIPs = []string{service.Spec.ClusterIP}
	}
	c.objects = append(c.objects, service)
	if len(service.Spec.Selector) > 0 && service.Spec.Type != corev1.ServiceTypeExternalName {
		c.objects = append(c.objects, c.slices(service)...)
	}
}

// slices are the endpoints of a Service: one slice for each set of port numbers, as named ports may differ from pod to pod.
func (c *cluster) slices(service *corev1.Service) []runtime.Object {
	wanted := labels.SelectorFromSet(service.Spec.Selector)
	byPorts := map[string]*discoveryv1.EndpointSlice{}
	var order []string
	for _, pod := range c.pods {
		if pod.Namespace != service.Namespace || !wanted.Matches(labels.Set(pod.Labels)) {
			continue
		}
		ports := portsOf(service, pod)
		key := fmt.Sprint(numbers(ports))
		slice := byPorts[key]
		if slice == nil {
			slice = &discoveryv1.EndpointSlice{
				ObjectMeta: metav1.ObjectMeta{
					Name:      fmt.Sprintf("%s-%s", service.Name, drawn(service.Namespace+service.Name+key, 5)),
					Namespace: service.Namespace,
					Labels:    map[string]string{discoveryv1.LabelServiceName: service.Name},
				},
				AddressType: discoveryv1.AddressTypeIPv4,
				Ports:       ports,
			}
			if service.Spec.ClusterIP == corev1.ClusterIPNone {
				slice.Labels[corev1.IsHeadlessService] = ""
			}
			byPorts[key] = slice
			order = append(order, key)
		}
		ready := true
		endpoint := discoveryv1.Endpoint{
			Addresses:  []string{pod.Status.PodIP},
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: pod.Name, Namespace: pod.Namespace},
		}
		if pod.Spec.NodeName != "" {
			endpoint.NodeName = &pod.Spec.NodeName
		}
		if pod.Spec.Subdomain == service.Name && pod.Spec.Hostname != "" {
			endpoint.Hostname = &pod.Spec.Hostname
		}
		slice.Endpoints = append(slice.Endpoints, endpoint)
	}
	var made []runtime.Object
	for _, key := range order {
		made = append(made, byPorts[key])
	}
	return made
}

func numbers(ports []discoveryv1.EndpointPort) []int32 {
	var all []int32
	for _, port := range ports {
		all = append(all, *port.Port)
	}
	return all
}

func portsOf(service *corev1.Service, pod *corev1.Pod) []discoveryv1.EndpointPort {
	var ports []discoveryv1.EndpointPort
	for _, port := range service.Spec.Ports {
		number := port.TargetPort.IntVal
		if port.TargetPort.Type == intstr.String {
			number = named(pod, port.TargetPort.StrVal)
			if number == 0 {
				continue
			}
		}
		ports = append(ports, discoveryv1.EndpointPort{
			Name:        &port.Name,
			Port:        &number,
			Protocol:    &port.Protocol,
			AppProtocol: port.AppProtocol,
		})
	}
	return ports
}

func named(pod *corev1.Pod, name string) int32 {
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name {
				return port.ContainerPort
			}
		}
	}
	return 0
}

func (c *cluster) addProxies(workloads map[*corev1.Pod]string) {
	seen := map[string]bool{}
	for _, pod := range c.pods {
		if !c.isMeshed(pod) {
			continue
		}
		kind := "sidecar"
		if isGateway(pod) {
			kind = "gateway"
		}
		one := proxy{kind: kind, namespace: pod.Namespace, workload: workloads[pod], pod: pod}
		if !seen[one.title()] {
			seen[one.title()] = true
			c.proxies = append(c.proxies, one)
		}
	}
}
