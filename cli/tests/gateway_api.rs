//! Manifests of the Gateway API: every command reads them.

use std::path::Path;
use std::process::Command;

const SHOP: &str = "tests/data/gateway-api";

/// The status, what is printed and what is said, of a command in a folder.
fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_windtunnel"))
        .args(args)
        .current_dir(folder)
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_request_is_followed_through_a_gateway_and_its_routes() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let trace = |url: &str, wanted: i32| {
        let (status, out, err) = run(here, &["trace", "-f", SHOP, "--from", "gateway", url]);
        assert_eq!(status, wanted, "{out}{err}");
        out
    };
    let served = trace("http://shop.example.com/cart/1", 0);
    for part in ["shop/edge", "shop/cart", "The client gets 200"] {
        assert!(served.contains(part), "{part} is not in {served}");
    }
    // a rule is told with its place, in the manifest's words
    assert!(served.contains("shop.yaml:"), "{served}");
    let moved = trace("http://shop.example.com/old", 0);
    assert!(moved.contains("The client gets 302"), "{moved}");
    let nowhere = trace("http://other.example.com/cart", 1);
    assert!(nowhere.contains("The client gets 404"), "{nowhere}");
}

#[test]
fn a_first_scenario_enters_by_the_gateway_and_flies() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join(SHOP);
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = here.to_str().expect("text");
    let (status, out, err) = run(folder.path(), &["init", "-f", manifests]);
    assert_eq!(status, 0, "{err}");
    for part in ["via: gateway", "host: shop.example.com, path: /cart"] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
    std::fs::write(folder.path().join("scenario.yaml"), &out).expect("it is written");
    let (status, _, err) = run(folder.path(), &["check", "scenario.yaml"]);
    assert_eq!(status, 0, "{err}");
    let (status, out, err) = run(
        folder.path(),
        &["run", "scenario.yaml", "-o", "json=result.json", "--quiet"],
    );
    assert_eq!(status, 0, "{out}{err}");
}
