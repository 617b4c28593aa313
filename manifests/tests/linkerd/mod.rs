//! Linkerd's vote for emoji: a page that asks two services of gRPC, and a bot that votes.

use super::asked::{Ask, World, ask, get};

const FILES: &[(&str, &str)] = &[
    ("emojivoto.yaml", include_str!("data/emojivoto.yaml")),
    ("profiles.yaml", include_str!("data/profiles.yaml")),
    ("retries.yaml", include_str!("data/retries.yaml")),
    ("routes.yaml", include_str!("data/routes.yaml")),
    ("policy.yaml", include_str!("data/policy.yaml")),
    ("ballots.yaml", include_str!("data/ballots.yaml")),
];

/// The vote, and some files after each other.
fn vote(others: &[&str]) -> World {
    let names = ["emojivoto.yaml"].iter().chain(others);
    let files = names.map(|name| {
        let mut all = FILES.iter();
        *all.find(|(known, _)| known == name).expect("a file")
    });
    World::meshed(&files.collect::<Vec<_>>(), "linkerd@2.19")
}

fn call(url: &str) -> Ask {
    ask("POST", url).with("content-type", "application/grpc")
}

const LIST: &str = "http://emoji-svc.emojivoto:8080/emojivoto.v1.EmojiService/ListAll";
const DOUGHNUT: &str = "http://voting-svc.emojivoto:8080/emojivoto.v1.VotingService/VoteDoughnut";
const POOP: &str = "http://voting-svc.emojivoto:8080/emojivoto.v1.VotingService/VotePoop";

#[test]
fn the_vote_as_it_is_installed() {
    let vote = vote(&[]);
    let told = vote
        .asked()
        .from(
            "vote-bot",
            &get("http://web-svc.emojivoto:80/api/vote?choice=:doughnut:"),
        )
        .from("web", &call(LIST))
        .from("web", &call(DOUGHNUT))
        .from("web", &get("http://other.example/"))
        .carries("web", "other.example:5000")
        .into("voting", 8080, true, &call(DOUGHNUT))
        .into("voting", 8080, false, &call(DOUGHNUT))
        .told();
    insta::assert_snapshot!(format!("{}\n{}{told}", vote.proxies(), vote.lines()));
}

#[test]
fn profiles_say_which_routes_are_tried_again() {
    let vote = vote(&["profiles.yaml"]);
    let told = vote
        .asked()
        .from("web", &call(DOUGHNUT))
        .from("web", &call(POOP))
        .from("web", &get("http://voting-svc.emojivoto:8801/metrics"))
        .from("vote-bot", &get("http://web-svc.emojivoto/api/list"))
        .from(
            "vote-bot",
            &get("http://web-svc.emojivoto/api/vote?choice=:poop:"),
        )
        .from("vote-bot", &get("http://web-svc.emojivoto/leaderboard"))
        .told();
    insta::assert_snapshot!(format!("{}{told}", vote.lines()));
}

#[test]
fn annotations_say_how_services_are_called() {
    let vote = vote(&["retries.yaml"]);
    let told = vote
        .asked()
        .from("web", &call(DOUGHNUT))
        .from("web", &call(LIST))
        .from("vote-bot", &get("http://web-svc.emojivoto/api/list"))
        .told();
    insta::assert_snapshot!(format!("{}{told}", vote.lines()));
}

#[test]
fn profiles_put_annotations_out_of_use() {
    let vote = vote(&["retries.yaml", "profiles.yaml"]);
    let told = vote
        .asked()
        .from("web", &call(DOUGHNUT))
        .from("web", &call(POOP))
        .from("web", &call(LIST))
        .told();
    insta::assert_snapshot!(format!("{}{told}", vote.lines()));
}

#[test]
fn routes_split_and_bound_what_a_service_is_asked() {
    let vote = vote(&["retries.yaml", "routes.yaml"]);
    let told = vote
        .asked()
        .from("vote-bot", &get("http://web-svc.emojivoto/"))
        .from(
            "vote-bot",
            &get("http://web-svc.emojivoto/api/vote?choice=:poop:"),
        )
        .from(
            "vote-bot",
            &get("http://web-svc.emojivoto/leaderboard").with("x-canary", "always"),
        )
        .from("vote-bot", &get("http://web-svc.emojivoto/old"))
        .from("web", &call(LIST))
        .from("web", &get(LIST))
        .from(
            "web",
            &call("http://emoji-svc:8080/emojivoto.v1.EmojiService/ListAll"),
        )
        .from("web", &call(DOUGHNUT))
        .told();
    insta::assert_snapshot!(format!("{}{told}", vote.lines()));
}

#[test]
fn what_is_said_of_who_may_call() {
    let vote = vote(&["policy.yaml"]);
    let told = vote
        .asked()
        .into("emoji", 8080, true, &call(LIST))
        .into("emoji", 8080, false, &call(LIST))
        .into("voting", 8080, true, &call(DOUGHNUT))
        .into("voting", 8080, false, &call(DOUGHNUT))
        .told();
    insta::assert_snapshot!(format!("{}{told}", vote.lines()));
}

#[test]
fn ports_of_databases_are_not_looked_into() {
    let vote = vote(&["ballots.yaml"]);
    let told = vote
        .asked()
        .carries("web", "ballots:4406")
        .carries("web", "cache:6379")
        .carries("web", "emoji-svc:8080")
        .carries("web", "backup.example:9001")
        .told();
    insta::assert_snapshot!(format!("{}{told}", vote.lines()));
}
