//! Machines on a network of their own: one network namespace each, joined by a router that can be cut.
//!
//! Needs root. Everything is gone when the fixture is dropped.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A router and the machines at its ports; machine `n` has the address 10.77.n.2.
pub(crate) struct Network {
    prefix: String,
    machines: u8,
}

impl Network {
    /// A network of so many machines; `None`, with the reason on stderr, where namespaces cannot be made.
    pub(crate) fn new(machines: u8) -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("ahoy-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let network = Self { prefix, machines };
        match network.make() {
            Ok(()) => Some(network),
            Err(reason) => {
                #[allow(clippy::print_stderr)]
                {
                    eprintln!("SKIPPED: no network namespaces can be made here ({reason})");
                }
                None
            }
        }
    }

    fn make(&self) -> Result<(), String> {
        let router = self.router();
        run(&["ip", "netns", "add", &router])?;
        self.ip(&router, "link set lo up")?;
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        run(&["ip", "netns", "exec", &router, "sh", "-c", forward])?;
        run(&["ip", "netns", "exec", &router, "nft", "add table ip cut"])?;
        let hook = "add chain ip cut through { type filter hook forward priority 0 ; policy accept ; }";
        run(&["ip", "netns", "exec", &router, "nft", hook])?;
        for number in 1..=self.machines {
            let machine = self.machine(number);
            run(&["ip", "netns", "add", &machine])?;
            self.ip(&machine, "link set lo up")?;
            self.ip(&router, &format!("link add port{number} type veth peer name eth0 netns {machine}"))?;
            self.ip(&router, &format!("addr add 10.77.{number}.1/24 dev port{number}"))?;
            self.ip(&router, &format!("link set port{number} up"))?;
            self.ip(&machine, "link set eth0 up")?;
            self.ip(&machine, &format!("addr add 10.77.{number}.2/24 dev eth0"))?;
            self.ip(&machine, &format!("route add default via 10.77.{number}.1"))?;
        }
        Ok(())
    }

    /// The name of a machine's namespace.
    pub(crate) fn machine(&self, number: u8) -> String {
        format!("{}-m{number}", self.prefix)
    }

    fn router(&self) -> String {
        format!("{}-router", self.prefix)
    }

    /// Nothing passes the router any more, or everything does again.
    pub(crate) fn cut(&self, cut: bool) {
        let policy = if cut { "drop" } else { "accept" };
        let hook = format!("add chain ip cut through {{ policy {policy} ; }}");
        run(&["ip", "netns", "exec", &self.router(), "nft", &hook]).unwrap();
    }

    /// Runs `ip` on a machine.
    pub(crate) fn change(&self, number: u8, words: &str) {
        self.ip(&self.machine(number), words).unwrap();
    }

    fn ip(&self, namespace: &str, words: &str) -> Result<(), String> {
        let command: Vec<&str> = ["ip", "-n", namespace].into_iter().chain(words.split(' ')).collect();
        run(&command)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for number in 1..=self.machines {
            run(&["ip", "netns", "delete", &self.machine(number)]).ok();
        }
        run(&["ip", "netns", "delete", &self.router()]).ok();
    }
}

fn run(command: &[&str]) -> Result<(), String> {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.map_err(|error| format!("{}: {error}", command[0]))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", command.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
