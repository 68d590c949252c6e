//! Calls between Ahoy and a real browser, on a page that behaves as the article's sample does.

mod common;

use common::browser::Browser;
use common::page::{Guest, PageServer};
use common::server::Server;
use common::{clip, exclusive};
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);

/// The page and the browser by themselves: what fails here is not Ahoy's participant.
#[test]
fn two_browsers_call_each_other_through_the_server() {
    let _turn = exclusive();
    let server = Server::start();
    let page = PageServer::start();
    let mut browser = Browser::start(Some(&clip::path()));
    let mut alice = Guest::join(&mut browser, &page, server.port(), "alice");
    let mut bob = Guest::join(&mut browser, &page, server.port(), "bob");
    alice.wait_state("bob is there", SETUP, |state| state["users"].as_array().unwrap().len() == 2);

    alice.invite("bob");
    for guest in [&mut alice, &mut bob] {
        guest.wait_pictures(30, SETUP);
        assert!(guest.level_heard(Duration::from_secs(2)) > 0.001);
    }
    alice.hang_up();
    assert_eq!(bob.wait_ended(Duration::from_secs(5)), "remote hang-up");
}
