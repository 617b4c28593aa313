//! What a person is told, as it is drawn.

use super::rig::*;

#[test]
fn problems_are_shown_at_their_place() {
    let built = build(&["
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop}
spec:
  entryPoints: [web, webscure]
  routes:
  - match: Host(`shop.com`) && PathPrefx(`/api`)
    services: [{name: a, port: 80}]
  - match: Host(`shop.com`) and PathPrefix(`/api`)
    services: [{name: a, port: 80}]
  - match: Host(`shop.com`, `www.shop.com`)
    services: [{name: a, port: 80}]
  - match: PathRegexp(`(`)
    services: [{name: aa, port: 80}]
  - match: PathPrefix(`/a`)
    middlewares: [{name: strp}, {name: both}]
    services: [{name: a, port: 81, stratgey: p2c}]
  - match: PathPrefix(`/b`)
    priority: 9223372036854775807
    middlewares: [{name: breaker}, {name: auth}, {name: pages}]
    services: [{name: b, port: 80, strategy: leastime, responseForwarding: {flushInterval: 1ms}}]
  - match: PathPrefix(`/c`)
    services: [{name: c, namespace: other, port: 80}, {name: x, kind: Deployment, port: 80}]
  - match: Header(`Host`, `shop.com`)
    services: [{name: a, port: 80, healthCheck: {path: /}}]
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: strip}
spec: {stripPrefix: {prefixes: [/a], forceSlash: true}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: both}
spec:
  addPrefix: {prefix: /a}
  compress: {}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: breaker}
spec: {circuitBreaker: {expression: ResponseCodeRatio(500 600) > 0.5, checkPeriod: often}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: auth}
spec: {forwardAuth: {address: 'http://auth.default/verify'}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: pages}
spec: {errors: {status: [500-599], service: {name: b, port: 80}, query: '/{status}.html'}}
---
apiVersion: traefik.containo.us/v1alpha1
kind: Middleware
metadata: {name: old}
spec: {compress: {}}
---
apiVersion: traefik.io/v1alpha1
kind: TLSOption
metadata: {name: mtls}
spec: {clientAuth: {secretNames: [ca], clientAuthType: RequireAndVerifyClientCert}, minVersion: VersionTLS12}
"
    .to_owned()]);
    insta::assert_snapshot!(built.rendered());
}
