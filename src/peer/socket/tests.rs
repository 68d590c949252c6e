//! Handshakes in virtual time, over paths that lose datagrams.

use super::datagram;
use super::flights::Flights;
use super::inbox::{Inbox, Polled};
use super::nomination::Nominations;
use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

const MILLISECOND: Duration = Duration::from_millis(1);

/// A datagram with one record per message number, as the crate packs them; `None` is "finished".
fn flight(record: &mut u64, messages: &[Option<u16>]) -> Vec<u8> {
    let mut datagram = Vec::new();
    for message in messages {
        let epoch = u8::from(message.is_none());
        let number = record.to_be_bytes();
        datagram.extend_from_slice(&[22, 254, 253, 0, epoch]);
        datagram.extend_from_slice(&number[2..]);
        let [high, low] = message.unwrap_or(7).to_be_bytes();
        let body = [1, 0, 0, 12, high, low, 0, 0, 0, 0, 0, 0];
        datagram.extend_from_slice(&[0, body.len() as u8]);
        datagram.extend_from_slice(&body);
        *record += 1;
    }
    datagram
}

fn check(id: u8, class: u16) -> Vec<u8> {
    let mut datagram = class.to_be_bytes().to_vec();
    datagram.extend_from_slice(&[0, 0, 0x21, 0x12, 0xa4, 0x42]);
    datagram.extend_from_slice(&[id; 12]);
    datagram
}

/// One side: says flight after flight as the other's are complete, drops what it has had, and repeats nothing itself.
struct Side {
    flights: Flights<()>,
    /// What it says, flight by flight, and how many of them have been said.
    lines: Vec<Vec<Vec<u8>>>,
    said: usize,
    /// Datagrams that came.
    had: HashSet<Vec<u8>>,
}

impl Side {
    fn speak(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let line = self.lines.get(self.said).cloned().unwrap_or_default();
        self.said += 1;
        for datagram in &line {
            self.flights.handle_sent((), datagram, now);
        }
        line
    }
}

/// A path with a fixed delay one way, that loses what `loses` says.
fn shake_hands(delay: Duration, mut loses: impl FnMut() -> bool) -> (Duration, usize) {
    let (mut of_client, mut of_server) = (0, 0);
    let client = vec![
        vec![flight(&mut of_client, &[Some(0)])],
        vec![flight(&mut of_client, &[Some(1)])],
        vec![flight(&mut of_client, &[Some(2), Some(3)]), flight(&mut of_client, &[Some(4), None])],
    ];
    let server = vec![
        vec![flight(&mut of_server, &[Some(0)])],
        vec![flight(&mut of_server, &[Some(1), Some(2)]), flight(&mut of_server, &[Some(3), Some(4)])],
        vec![flight(&mut of_server, &[None])],
    ];
    let start = Instant::now();
    let side = |lines| Side { flights: Flights::default(), lines, said: 0, had: HashSet::new() };
    let mut sides = [side(client), side(server)];
    // Both know the round trip.
    for side in &mut sides {
        side.flights.handle_sent((), &check(1, 0x0001), start);
        side.flights.handle_received(&check(1, 0x0101), start + delay * 2);
    }
    let mut now = start + delay * 2;
    let mut order: u64 = 0;
    let mut air: BTreeSet<(Instant, u64, usize, Vec<u8>)> = BTreeSet::new();
    let mut sent = 0;
    let mut send = |air: &mut BTreeSet<_>, to: usize, datagrams: Vec<Vec<u8>>, now: Instant| {
        for datagram in datagrams {
            sent += 1;
            order += 1;
            if !loses() {
                air.insert((now + delay, order, to, datagram));
            }
        }
    };
    let line = sides[0].speak(now);
    send(&mut air, 1, line, now);
    loop {
        let arrives = air.first().map(|(at, ..)| *at);
        let due = sides.iter().filter_map(|side| side.flights.poll_timeout()).min();
        let Some(next) = arrives.into_iter().chain(due).min() else {
            panic!("both sides wait for ever after {:?}", now - start)
        };
        now = next.max(now);
        for from in [0, 1] {
            let again = sides[from].flights.handle_timeout(now);
            send(&mut air, 1 - from, again.into_iter().map(|((), datagram)| datagram).collect(), now);
        }
        while air.first().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, _, to, datagram)) = air.pop_first() else { break };
            sides[to].flights.handle_received(&datagram, now);
            sides[to].had.insert(datagram);
            // The client has said as many flights as the server's next; the server one fewer than the client's.
            let awaited = sides[to].said - usize::from(to == 0);
            let complete = sides[1 - to]
                .lines
                .get(awaited)
                .is_some_and(|line| line.iter().all(|part| sides[to].had.contains(part)));
            if complete {
                if to == 0 && awaited == 2 {
                    return (now - start - delay * 2, sent);
                }
                let line = sides[to].speak(now);
                send(&mut air, 1 - to, line, now);
            }
        }
    }
}

#[test]
fn nothing_is_repeated_on_a_path_that_loses_nothing() {
    for delay in [0, 1, 10, 50, 150] {
        let (took, sent) = shake_hands(MILLISECOND * delay, || false);
        assert_eq!((took, sent), (MILLISECOND * delay * 6, 8), "{delay} ms");
    }
}

#[test]
fn the_loss_of_any_one_datagram_costs_some_round_trips_and_no_second() {
    for delay in [1, 10, 50] {
        for lost in 0..8 {
            let mut number = 0;
            let (took, _) = shake_hands(MILLISECOND * delay, || {
                number += 1;
                number == lost + 1
            });
            let limit = MILLISECOND * (delay * 10 + 25);
            assert!(took <= limit, "{delay} ms, datagram {lost} lost: {took:?} and not {limit:?}");
        }
    }
}

#[test]
fn a_handshake_gets_through_where_every_third_datagram_is_lost() {
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    let mut times = Vec::new();
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        times.push(shake_hands(MILLISECOND * 5, || random.random_bool(0.33)).0);
    }
    times.sort();
    println!("median {:?}, 95 % {:?}, longest {:?}", times[100], times[190], times[199]);
    assert!(times[100] < MILLISECOND * 250 && times[190] < MILLISECOND * 1200, "{times:?}");
}

#[test]
fn after_finished_only_a_repetition_of_the_other_side_brings_one() {
    let now = Instant::now();
    let mut flights = Flights::default();
    let (mut of_client, mut of_server) = (0, 0);
    let last = flight(&mut of_client, &[Some(0), None]);
    let reply = flight(&mut of_server, &[None]);
    flights.handle_received(&last, now);
    flights.handle_sent((), &reply, now);
    assert_eq!(flights.poll_timeout(), None, "a server that has finished waits for nothing");
    let later = now + MILLISECOND * 100;
    assert!(flights.handle_received(&last, later));
    assert_eq!(flights.handle_timeout(later), [((), reply)]);
    assert_eq!(flights.poll_timeout(), None);
}

#[test]
fn what_never_gets_an_answer_is_given_up() {
    let mut now = Instant::now();
    let mut flights = Flights::default();
    flights.handle_sent((), &flight(&mut 0, &[Some(0)]), now);
    let mut repetitions = 0;
    while let Some(due) = flights.poll_timeout() {
        now = due;
        repetitions += flights.handle_timeout(now).len();
        assert!(repetitions < 100, "it goes on for ever");
    }
    assert!(repetitions > 3);
}

#[test]
fn a_relays_envelope_is_seen_through() {
    let inner = flight(&mut 9, &[Some(3)]);
    let mut channel = vec![0x40, 0, 0, inner.len() as u8];
    channel.extend_from_slice(&inner);
    let mut indication = check(5, 0x0016);
    // An address that is not looked at, then the data, padded.
    indication.extend_from_slice(&[0x00, 0x12, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0]);
    indication.extend_from_slice(&[0x00, 0x13, 0, inner.len() as u8]);
    indication.extend_from_slice(&inner);
    for datagram in [&inner, &channel, &indication] {
        let records: Vec<_> = datagram::handshake_records(datagram::unwrapped(datagram)).collect();
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].number, records[0].message), (9, Some((3, 0))));
    }
}

#[test]
fn a_nomination_is_answered_at_once_and_repeated_until_it_is_really_answered() {
    use rtc::stun::message::Message;
    let now = Instant::now();
    let here = "192.0.2.1:5000".parse().expect("an address");
    let mut nomination = check(3, 0x0001);
    nomination.extend_from_slice(&[0x00, 0x25, 0, 0]);
    let mut nominations = Nominations::default();
    assert_eq!(nominations.handle_sent((), &nomination, here, now), None, "nobody could sign the answer");
    nominations.set_password("0123456789abcdef0123456789abcdef");
    assert_eq!(nominations.handle_sent((), &check(2, 0x0001), here, now), None, "an ordinary check");
    let answer = nominations.handle_sent((), &nomination, here, now).expect("an answer");
    assert_eq!(datagram::check_answer(&answer), Some([3; 12]));
    Message::new().unmarshal_binary(&answer).expect("a message");
    for _ in 0..3 {
        let due = nominations.poll_timeout().expect("it is repeated");
        assert_eq!(nominations.handle_timeout(due), [((), nomination.clone())]);
    }
    nominations.handle_received(&check(3, 0x0101));
    assert_eq!(nominations.poll_timeout(), None);
}

/// Takes what there is: the first octet of a datagram.
fn read(inbox: &mut Inbox, over: bool) -> Result<u8, Polled> {
    let (mut room, mut meta) = ([0; 64], [webrtc::runtime::RecvMeta::default()]);
    let mut buffers = [std::io::IoSliceMut::new(&mut room)];
    let context = std::task::Context::from_waker(std::task::Waker::noop());
    match inbox.poll(&context, over, &mut buffers, &mut meta) {
        Polled::Datagram => Ok(room[0]),
        other => Err(other),
    }
}

#[test]
fn media_without_keys_waits_for_the_end_of_the_handshake_and_for_the_reader_to_note_it() {
    let now = Instant::now();
    let mut inbox = Inbox::default();
    let mut came = webrtc::runtime::RecvMeta::default();
    (came.addr, came.len, came.stride) = ("192.0.2.1:5000".parse().expect("an address"), 4, 2);
    assert!(inbox.hold(&[128, 0, 129, 0], &came, now), "two datagrams that came as one");
    assert!(!inbox.hold(&[22, 0, 22, 0], &came, now), "the handshake itself does not wait");
    assert_eq!(read(&mut inbox, false), Err(Polled::Nothing));
    inbox.answer(came.addr, vec![1, 1]);
    assert_eq!(read(&mut inbox, false), Ok(1), "an answer does not either");
    inbox.pause();
    assert_eq!(read(&mut inbox, true), Err(Polled::Pause));
    assert_eq!([read(&mut inbox, true), read(&mut inbox, true)], [Ok(128), Ok(129)]);
    assert_eq!(read(&mut inbox, true), Err(Polled::Nothing));
}

#[test]
fn no_more_media_than_so_much_waits_and_not_for_ever() {
    let now = Instant::now();
    let mut came = webrtc::runtime::RecvMeta::default();
    (came.addr, came.len, came.stride) = ("192.0.2.1:5000".parse().expect("an address"), 2, 2);
    let mut inbox = Inbox::default();
    let held = (0..1000).take_while(|_| inbox.hold(&[128, 0], &came, now)).count();
    assert!((16..1000).contains(&held), "{held}");
    let mut inbox = Inbox::default();
    assert!(inbox.hold(&[128, 0], &came, now));
    assert!(!inbox.hold(&[128, 0], &came, now + Duration::from_secs(10)));
}

proptest::proptest! {
    #[test]
    fn no_octets_upset_it(octets: Vec<u8>, head in 0usize..4) {
        let heads: [&[u8]; 4] = [&[], &[22, 254, 253, 0, 0], &[0x40], &[0, 0x16, 0, 8, 0x21, 0x12, 0xa4, 0x42]];
        let datagram = [heads[head], &octets].concat();
        let mut flights = Flights::default();
        let now = Instant::now();
        flights.handle_received(&datagram, now);
        flights.handle_sent((), &datagram, now);
        flights.handle_timeout(now + Duration::from_secs(2));
    }
}
